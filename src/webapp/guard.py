"""What is refused, and in which words."""

from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from src.errors import UserError
from src.webapp.turns import WAITING, Busy, TooLarge


def explain_errors(api: FastAPI) -> None:
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
        hosts: as for :func:`src.webapp.api.create_api`.
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
