"""Many visitors, one computation at a time: who waits, who is put off, who has left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from src.errors import UserError
from src.webapp.uploads import MAX_BYTES, Upload

Result = TypeVar("Result")
WAITING = 40  # pictures at once, beyond which visitors are asked to come again
DECODING = 1  # at once, since a large picture takes 400 MB meanwhile
RECEIVING = 60  # seconds that a picture may take to arrive


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


async def receive(request: Request) -> bytes:
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
