"""The JSON interface, and the page that uses it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from src.errors import UserError
from src.webapp.page import render_app
from src.webapp.service import Service
from src.webapp.uploads import MAX_BYTES, Upload

Result = TypeVar("Result")
WAITING = 40  # pictures at once, beyond which visitors are asked to come again
DECODING = 1  # at once, since a large picture takes 400 MB meanwhile
RECEIVING = 60  # seconds that a picture may take to arrive


class Probability(BaseModel):
    """A class, and how probable the model holds it."""

    name: str = Field(alias="class")
    probability: float = Field(ge=0, le=1)


class Prediction(BaseModel):
    """What is in the picture: classes, the likeliest first."""

    model: str
    classes: list[Probability]
    seconds: float = Field(description="of reading and computing, without waiting")


class Explanation(Prediction):
    """Why: a layer to lay over the picture."""

    method: str
    title: str = Field(description="the method's, for people")
    explained: str = Field(description="the class that the map is about")
    versus: str | None = Field(description="the class that it is set against")
    signed: bool = Field(description="whether the map also shows evidence against the class (blue)")
    class_specific: bool = Field(description="whether the map depends on the class")
    largest: float = Field(description="raw value of the last colour; 0: no evidence")
    target_layer: str
    passes: str = Field(description="runs of the network")
    picture: str = Field(description="the picture as it was read, upright and reduced: JPEG in base64")
    layer: str = Field(description="the map's colours with transparency, of the same size: PNG in base64")


class Health(BaseModel):
    """Whether the service answers."""

    status: str
    models: list[str]
    waiting: int = Field(description="pictures that are being worked on or wait")


class WrongAnswer(BaseModel):
    """A test picture that a model got wrong."""

    true: str
    predicted: str
    confidence: float
    file: str


class Problem(BaseModel):
    """What is wrong, in one sentence that says what to do."""

    error: str


class Busy(Exception):
    """Too many wait already."""


class TooLarge(UserError):
    """More bytes than are taken."""


class Turns:
    """One computation after the other, in the order of their coming; whoever has left is passed over."""

    def __init__(self):
        self.waiting = 0
        self._turn, self._decoders = asyncio.Lock(), asyncio.Semaphore(DECODING)
        # A thread of its own: a computation cannot be stopped, and none may begin beside it even where its visitor's
        # request was.
        self._worker = ThreadPoolExecutor(1, "computing")

    @contextlib.asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Raises ``Busy`` where too many are in already."""
        if self.waiting >= WAITING:
            raise Busy
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def decode(self, encoded: bytes) -> Upload:
        async with self._decoders:
            return await asyncio.to_thread(Upload.open, encoded)

    async def compute(self, request: Request, function: Callable[[], Result]) -> Result | None:
        """What ``function`` returns; None where the visitor has left meanwhile."""
        async with self._turn:
            if await request.is_disconnected():
                return None
            return await asyncio.get_running_loop().run_in_executor(self._worker, function)


async def _receive(request: Request) -> bytes:
    """The body, no more of it than is allowed, in no more time. Raises ``UserError``."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(RECEIVING):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BYTES:
                    raise TooLarge(f"the picture is larger than {MAX_BYTES // 2**20} MB; send a smaller one")
                parts.append(part)
    except TimeoutError as error:
        raise UserError(f"the picture did not arrive within {RECEIVING} seconds; send a smaller one") from error
    except ClientDisconnect as error:
        raise UserError("the picture did not arrive") from error
    return b"".join(parts)


_PICTURE = {
    "requestBody": {
        "required": True,
        "description": "The picture's bytes as they are (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF).",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_REFUSED = {
    400: {"model": Problem, "description": "No picture, or an unknown model, method or class"},
    403: {"model": Problem, "description": "Asked by another site's page"},
    500: {"model": Problem, "description": "An error of ours"},
    503: {"model": Problem, "description": "Too many wait; come again"},
}
_PROBLEMS = _REFUSED | {413: {"model": Problem, "description": "Too large"}}
_FILE = {200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The file"}}
_LEFT = Response(status_code=499)  # nobody reads it

Model = Annotated[str | None, Query(description="a model of /health; the first where none is named")]
Method = Annotated[str, Query(description="as of python -m src.gradcam --method")]
ClassName = Annotated[str | None, Query(alias="class", description="the class to explain; else the predicted one")]
Versus = Annotated[str | None, Query(description="why that class rather than this one")]
Top = Annotated[int | None, Query(ge=1, description="so many classes at most")]
Number = Annotated[int, Query(ge=0, description="its place in the list of /errors")]


def create_api(service: Service, hosts: frozenset[str] | None) -> FastAPI:
    """The application.

    Args:
        hosts: what browsers may call this server (Host), so that no other page's name can be made to mean this
            machine; None for anything.
    """
    api = FastAPI(
        title="Image classifier with explanations",
        description="Send a picture, get its class, and why. Nothing that is sent is kept.",
        version="1",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    turns = Turns()
    default = next(iter(service.names))
    _explain_errors(api)
    api.add_middleware(Guard, hosts=hosts)

    @api.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        text, policy = await asyncio.to_thread(render_app, service)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @api.get("/health")
    async def health() -> Health:
        """Whether the service answers, by which models, and how many wait."""
        return Health(status="ok", models=list(service.names), waiting=turns.waiting)

    @api.get("/classes", responses=_REFUSED)
    async def classes(request: Request, model: Model = None) -> list[str]:
        """The classes of a model, in its own order."""
        async with turns.enter():
            bundle = await turns.compute(request, lambda: service.bundle(model or default))
        return list(bundle.class_names) if bundle else []

    @api.post("/predict", response_model=Prediction, responses=_PROBLEMS, openapi_extra=_PICTURE)
    async def predict(request: Request, model: Model = None, top: Top = None):
        """What is in the picture."""
        encoded = await _receive(request)
        async with turns.enter():
            upload = await turns.decode(encoded)
            found = await turns.compute(request, lambda: service.predict(upload, model or default, top))
        return _LEFT if found is None else JSONResponse(found)

    @api.post("/explain", response_model=Explanation, responses=_PROBLEMS, openapi_extra=_PICTURE)
    async def explain(
        request: Request,
        model: Model = None,
        method: Method = "gradcam",
        class_name: ClassName = None,
        versus: Versus = None,
    ):
        """Which parts of the picture speak for a class."""
        encoded = await _receive(request)
        async with turns.enter():
            upload = await turns.decode(encoded)
            found = await turns.compute(
                request, lambda: service.explain(upload, model or default, spell(method), class_name, versus)
            )
        return _LEFT if found is None else JSONResponse(found)

    @api.get("/errors")
    async def errors(model: Model = None) -> list[WrongAnswer]:
        """Test pictures that a model got wrong, the surest first, where it was evaluated."""
        known = await asyncio.to_thread(lambda: service.errors)
        return [
            WrongAnswer(true=each.true, predicted=each.predicted, confidence=each.confidence, file=each.path.name)
            for each in known.get(model or default, [])
        ]

    @api.get("/errors/picture", response_class=FileResponse, responses=_REFUSED | _FILE)
    async def error_picture(number: Number, model: Model = None) -> FileResponse:
        """One of them, as its file is."""
        known = await asyncio.to_thread(lambda: service.errors)
        found = known.get(model or default, [])
        if number >= len(found) or not found[number].path.is_file():
            raise UserError("there is no such test picture any more; load the page anew")
        return FileResponse(found[number].path)

    def describe() -> dict:
        """The description, without the answer of 422 that FastAPI promises: here it is 400."""
        if api.openapi_schema is None:
            found = FastAPI.openapi(api)
            for path in found["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
        return api.openapi_schema

    api.openapi = describe
    return api


def spell(method: str) -> str:
    """A method's name as it was meant: in an address + stands for a space, and gradcam++ has no spaces."""
    return method.replace(" ", "+")


def _explain_errors(api: FastAPI) -> None:
    """Errors become sentences."""

    @api.exception_handler(UserError)
    async def refuse(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": f"{error}."}, 413 if isinstance(error, TooLarge) else 400)

    @api.exception_handler(RequestValidationError)
    async def refuse_values(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()[0]
        return JSONResponse({"error": f"{found['loc'][-1]}: {found['msg']}."}, 400)

    @api.exception_handler(HTTPException)
    async def refuse_address(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": f"{error.detail}: /openapi.json says what there is."}, error.status_code)

    @api.exception_handler(Busy)
    async def put_off(request: Request, error: Busy) -> JSONResponse:
        message = f"{WAITING} pictures are waiting already; try again in a moment."
        return JSONResponse({"error": message}, 503, headers={"Retry-After": "2"})

    @api.exception_handler(Exception)
    async def confess(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "This is an error of ours; the terminal that the server runs in says more."}, 500)


class Guard:
    """Refuses what pages of other sites send, and adds headers that keep answers to the page that asked.

    Args:
        hosts: as for :func:`create_api`.
    """

    HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    )

    def __init__(self, app: Callable, hosts: frozenset[str] | None):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: dict) -> None:
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message.get("headers", []), *self.HEADERS]}
            await send(message)

        refusal = self._refuse(Headers(scope=scope))
        answer = self._app if refusal is None else JSONResponse({"error": refusal}, 403)
        await answer(scope, receive, send_guarded)

    def _refuse(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return "This server is for this machine alone; open it by its own address."
        if origin is not None and origin.partition("://")[2] != host:
            return "Requests of other sites' pages are refused."
        return None


def _host_name(host: str) -> str | None:
    """The name or address of a Host header, without the port; None where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
