"""The server: its socket first, so that a port that is taken is known before models are loaded."""

import asyncio
import errno
import ipaddress
import logging
import socket

import uvicorn
from fastapi import FastAPI

from src.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
CONNECTIONS = 200  # at once


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens: who comes before the server runs is kept waiting, not refused, and nobody else can take
    the port meanwhile. Port 0 takes any that is free.

    Raises ``UserError`` where there is no such address, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host}: there is no such address of this machine") from error
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is taken, perhaps by another app; choose another with --port") from error
        if error.errno == errno.EACCES:
            raise UserError(f"port {port} is kept for the system; choose one from 1024 on with --port") from error
        raise UserError(f"--host {host}: not an address of this machine ({error.strerror})") from error
    return bound


def address_of(bound: socket.socket) -> str:
    """What to type into a browser on this machine."""
    host, port = bound.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def is_private(bound: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def allowed_hosts(bound: socket.socket) -> frozenset[str] | None:
    """What browsers may call this server; None, anything, for one that other machines reach."""
    return frozenset({*LOOPBACK, bound.getsockname()[0]}) if is_private(bound) else None


class _Ended(logging.Filter):
    """Passes over that requests were cut off when the server ended, which is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def create_server(api: FastAPI) -> uvicorn.Server:
    """Run it by ``server.run(sockets=[bound])``; it ends on Ctrl-C, or once ``should_exit`` is set."""
    settings = {"log_level": "warning", "server_header": False, "timeout_graceful_shutdown": 5}
    server = uvicorn.Server(uvicorn.Config(api, limit_concurrency=CONNECTIONS, **settings))
    logging.getLogger("uvicorn.error").addFilter(_Ended())
    return server
