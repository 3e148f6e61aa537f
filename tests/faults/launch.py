"""Runs one of the project's commands and strikes at the n-th change that it makes to files.

``python tests/faults/launch.py [options] MODULE WORDS...`` is ``python -m MODULE WORDS...`` but for an audit hook,
which Python calls before every file that is opened for writing, renamed, removed, made or linked. What C libraries
write goes into files that Python has made first, and so stands between two of these events.
"""

import argparse
import importlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_CHANGES = {
    "os.rename": 1,
    "os.remove": 0,
    "os.mkdir": 0,
    "os.rmdir": 0,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
}  # fmt: skip - events of Python, with the place of the path that is changed
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def describe_change(event: str, arguments: tuple) -> str | None:
    """A line for an audit event that changes a file, else None."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, (str, bytes)) or not isinstance(flags, int) or not flags & _WRITING:
            return None
        return f"open {os.fsdecode(path)}"
    if event == "ctypes.dlsym":  # two names change places, which Python has no event of its own for
        return "exchange ." if arguments[1] in ("renameat2", "renamex_np") else None
    if event not in _CHANGES:
        return None
    path = arguments[_CHANGES[event]]
    return f"{event.removeprefix('os.')} {path if isinstance(path, int) else os.fsdecode(path)}"


class Strike:
    """Counts the changes below the current folder, and acts at the n-th.

    Args:
        action: "count" only lists them; "kill" sends SIGKILL to this process, "interrupt" SIGINT, "fill" makes the
            tmpfs that is the current folder as small as it can be.
        at: the number of the change, from 1, or words: the first change with these in its line. The action comes
            before it.
        spare: bytes that remain free on a disk that is filled.
        listing: file that all changes are listed in, a line each.
    """

    def __init__(self, action: str, at: str, spare: int, listing: str | None):
        self._action, self._at, self._spare, self._numbers = action, at, spare, itertools.count(1)
        self._folder, self._done = os.getcwd(), False
        self._listing = os.open(listing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if listing else None
        self._own = threading.local()

    def __call__(self, event: str, arguments: tuple) -> None:
        if event not in ("open", "ctypes.dlsym") and event not in _CHANGES or getattr(self._own, "busy", False):
            return
        change = describe_change(event, arguments)
        if not change or not self._concerns(change.partition(" ")[2]):
            return
        number = next(self._numbers)
        if self._listing is not None:
            os.write(self._listing, f"{change}\n".encode(errors="surrogateescape"))
        if not self._done and (number == int(self._at) if self._at.isdecimal() else self._at in change):
            self._done = self._own.busy = True
            getattr(self, f"_{self._action}")()
            self._own.busy = False

    def _concerns(self, path: str) -> bool:
        """Whether a path lies in the current folder. A name without a folder is given where one is removed whole."""
        full = os.path.join(self._folder, path)
        return full.startswith(self._folder + os.sep) and "__pycache__" not in full

    def _count(self) -> None:
        pass

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _interrupt(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def _fill(self) -> None:
        set_disk_size(self._folder, None, self._spare)


def set_disk_size(folder: str | os.PathLike, size: int | None, spare: int = 0) -> None:
    """Give the tmpfs at ``folder`` so many bytes; None: as many as are in use, and ``spare`` more."""
    for attempt in range(20):
        found = os.statvfs(folder)
        wanted = (found.f_blocks - found.f_bfree) * found.f_frsize + spare if size is None else size
        command = ["mount", "-o", f"remount,size={max(wanted, 4096)}", str(folder)]
        # It is refused where another thread has written meanwhile, so that more is in use.
        if not subprocess.run(command, check=size is not None or attempt == 19, capture_output=True).returncode:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", choices=("count", "kill", "interrupt", "fill"), default="count")
    parser.add_argument("--at", default="0")
    parser.add_argument("--spare", type=int, default=0)
    parser.add_argument("--listing")
    parser.add_argument("--often", action="store_true", help="a transfer's state is saved after every epoch")
    parser.add_argument("module")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    sys.path[0] = str(ROOT)
    sys.argv = [arguments.module, *arguments.words]
    module = importlib.import_module(arguments.module)
    if arguments.often:
        transfer = importlib.import_module("src.transfer_model")
        if not hasattr(transfer, "_SECONDS_BETWEEN_STATES"):
            raise SystemExit("launch.py --often: src.transfer_model has no _SECONDS_BETWEEN_STATES any more")
        transfer._SECONDS_BETWEEN_STATES = 0.0
    sys.addaudithook(Strike(arguments.action, arguments.at, arguments.spare, arguments.listing))
    return module.main()


if __name__ == "__main__":
    sys.exit(main())
