"""A target that fails in every way, by which the fuzzer itself is tested."""

import os
import time
from pathlib import Path
from random import Random


def prepare() -> None:
    """Nothing is bounded here."""


def make(random: Random) -> bytes:
    return random.choice((b"raise", b"crash", b"hang", *[b"read"] * 9, *[b"refused"] * 9))


def check(data: bytes, folder: Path) -> bool:
    if data == b"raise":
        raise ZeroDivisionError("of no use")
    if data == b"crash":
        os.abort()
    if data == b"hang":
        time.sleep(600)
    return data == b"read"
