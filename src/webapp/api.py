"""The JSON interface, and the page that uses it."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from src.errors import UserError
from src.webapp.answers import FILE, LEFT, PICTURE, PROBLEMS, REFUSED, Explanation, Health, Prediction, WrongAnswer
from src.webapp.guard import Guard, explain_errors
from src.webapp.page import render_app
from src.webapp.service import Service
from src.webapp.turns import Turns, receive

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
    turns, default = Turns(), next(iter(service.names))
    explain_errors(api)
    api.add_middleware(Guard, hosts=hosts)
    _add_facts(api, service, turns, default)
    _add_questions(api, service, turns, default)
    _add_errors(api, service, default)
    api.openapi = lambda: _describe(api)
    return api


def _add_facts(api: FastAPI, service: Service, turns: Turns, default: str) -> None:
    """The page, and what there is."""

    @api.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        text, policy = await asyncio.to_thread(render_app, service)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @api.get("/health")
    async def health() -> Health:
        """Whether the service answers, by which models, and how many wait."""
        return Health(status="ok", models=list(service.names), waiting=turns.waiting)

    @api.get("/classes", responses=REFUSED)
    async def classes(request: Request, model: Model = None) -> list[str]:
        """The classes of a model, in its own order."""
        async with turns.enter():
            bundle = await turns.compute(request, lambda: service.bundle(model or default))
        return list(bundle.class_names) if bundle else []


def _add_questions(api: FastAPI, service: Service, turns: Turns, default: str) -> None:
    """What is asked about a picture that is sent."""

    @api.post("/predict", response_model=Prediction, responses=PROBLEMS, openapi_extra=PICTURE)
    async def predict(request: Request, model: Model = None, top: Top = None):
        """What is in the picture."""
        encoded = await receive(request)
        async with turns.enter():
            upload = await turns.decode(encoded)
            found = await turns.compute(request, lambda: service.predict(upload, model or default, top))
        return LEFT if found is None else JSONResponse(found)

    @api.post("/explain", response_model=Explanation, responses=PROBLEMS, openapi_extra=PICTURE)
    async def explain(
        request: Request,
        model: Model = None,
        method: Method = "gradcam",
        class_name: ClassName = None,
        versus: Versus = None,
    ):
        """Which parts of the picture speak for a class."""
        encoded = await receive(request)
        async with turns.enter():
            upload = await turns.decode(encoded)
            found = await turns.compute(
                request, lambda: service.explain(upload, model or default, spell(method), class_name, versus)
            )
        return LEFT if found is None else JSONResponse(found)


def _add_errors(api: FastAPI, service: Service, default: str) -> None:
    """The gallery of the test part."""

    @api.get("/errors")
    async def errors(model: Model = None) -> list[WrongAnswer]:
        """Test pictures that a model got wrong, the surest first, where it was evaluated."""
        known = await asyncio.to_thread(lambda: service.errors)
        return [
            WrongAnswer(true=each.true, predicted=each.predicted, confidence=each.confidence, file=each.path.name)
            for each in known.get(model or default, [])
        ]

    @api.get("/errors/picture", response_class=FileResponse, responses=REFUSED | FILE)
    async def error_picture(number: Number, model: Model = None) -> FileResponse:
        """One of them, as its file is."""
        known = await asyncio.to_thread(lambda: service.errors)
        found = known.get(model or default, [])
        if number >= len(found) or not found[number].path.is_file():
            raise UserError("there is no such test picture any more; load the page anew")
        return FileResponse(found[number].path)


def _describe(api: FastAPI) -> dict:
    """The description, without the answer of 422 that FastAPI promises: here it is 400."""
    if api.openapi_schema is None:
        for path in FastAPI.openapi(api)["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
    return api.openapi_schema


def spell(method: str) -> str:
    """A method's name as it was meant: in an address + stands for a space, and gradcam++ has no spaces."""
    return method.replace(" ", "+")
