"""The user's errors: one clear sentence on stderr and exit code 2, never a traceback.

Exit codes of every command: 0 done, 2 the user's error, 3 done in part (some pictures could not be read),
130 stopped by Ctrl-C or a signal. A traceback with exit code 1 is a bug of ours.
"""

import contextlib
import errno
import functools
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

EXIT_OK = 0
EXIT_USER_ERROR = 2
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130

_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space, or choose another output folder",
    errno.EDQUOT: "your disk quota is used up; free some space, or choose another output folder",
    errno.EACCES: "permission denied; choose a place that you may read and write",
    errno.EPERM: "not permitted; choose a place that you may read and write",
    errno.EROFS: "that place is read-only; choose another output folder",
    errno.ENOENT: "no such file or folder; check the path",
    errno.EEXIST: "a file stands where a folder is needed; check the path",
    errno.ENOTDIR: "a file stands where a folder is needed; check the path",
    errno.EISDIR: "a folder stands where a file is needed; check the path",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
    errno.ELOOP: "a symbolic link that leads back to itself; check the path",
    errno.EXDEV: "two file systems meet here, across which nothing can be moved; choose another output folder",
    errno.EINVAL: "the file system refuses this name or this way of writing; choose another place",
    errno.EFBIG: "the file would be larger than this system lets it be; choose another place",
    errno.EIO: "the disk or the network drive failed; check it, or choose another place",
    errno.EBUSY: "another program is using it; close that, or choose another place",
    errno.EMLINK: "the folder can hold no more; choose another place",
    errno.EMFILE: "too many files are open; allow more of them (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.ENOMEM: "the machine has no memory left; close other programs",
}
# What network drives say that are no longer there; not every system knows all of them.
_GONE = ("ENOTCONN", "ESTALE", "ETIMEDOUT", "ECONNRESET", "ECONNABORTED", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN",
         "ENETUNREACH", "EREMOTEIO", "ENODEV", "ENXIO")  # fmt: skip
_DISK_ERRORS |= {
    getattr(errno, name): "the network drive or the device is gone; connect it again, or choose another place"
    for name in _GONE
    if hasattr(errno, name)
}
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class UserError(Exception):
    """Something that the user can put right. The message says what was met and what to do."""


class Circumstance(UserError):
    """Nothing is wrong with what was asked for: once its cause is mended, the same command works."""


class Interrupted(KeyboardInterrupt):
    """A stop that was asked for, after what was under way is saved. The message says how to go on."""


class ModelError(UserError):
    """A model that is of no use, where another may be."""


def name_some(names: Sequence[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and line breaks


def show_control(text: str) -> str:
    """``text`` with what would steer a terminal, as the name of a file may, written out."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def shorten_error(error: Exception, most: int = 150) -> str:
    """The beginning of what a library says of its failure, on one line, to stand within a sentence of ours."""
    return " ".join(str(error).split())[:most]


def explain_os_error(error: OSError) -> str:
    """What an operating system's error means and what to do, without the path."""
    return _DISK_ERRORS.get(error.errno, error.strerror or str(error))


def describe_os_error(error: OSError) -> str:
    """One sentence for an operating system's error, with the path it names."""
    # Where a copy fills the disk, Python names the file that was read, which is not at fault.
    path = None if error.errno in _DISK_FULL else error.filename
    return f"{path}: {explain_os_error(error)}" if path else explain_os_error(error)


@contextlib.contextmanager
def _signals_stop() -> Iterator[None]:
    """SIGTERM and SIGHUP stop as Ctrl-C does, so that what is half-done is undone; what ``nohup`` ignores stays so."""

    def stop(number, frame):
        raise KeyboardInterrupt

    kept = {}
    if threading.current_thread() is threading.main_thread():  # others may not set handlers
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        kept = {n: signal.signal(n, stop) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody is there any more to read it
        print(text, file=sys.stderr)


def _has_lost_stdout() -> bool:
    """Whether nobody reads it any more; it is then pointed elsewhere, so that the interpreter's last flush is quiet."""
    try:
        number = sys.stdout.fileno()
        if hasattr(select, "poll"):
            asked = select.poll()
            asked.register(number, 0)  # that the other end is closed is told in any case
            if not asked.poll(0):
                return False
    except OSError:  # it is no file
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return True


def _is_out_of_memory(error: Exception) -> bool:
    """Python's, NumPy's, or TensorFlow's by its name, so that nothing is loaded for it."""
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


def command(main):
    """Wrap ``main(argv=None) -> int | None`` of a command: errors become a sentence and an exit code.

    The wrapped function returns the exit code and never raises for the user's errors; a script ends with
    ``sys.exit(main())``.
    """

    @functools.wraps(main)
    def wrapped(argv=None) -> int:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no error
        try:
            with _signals_stop():
                code = main(argv) or EXIT_OK
            sys.stdout.flush()
            return code
        except UserError as error:
            message = str(error)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _has_lost_stdout():  # as `... | head` closes it
                return EXIT_OK
            if error.errno not in _DISK_ERRORS:
                raise
            message = describe_os_error(error)
        except KeyboardInterrupt as stop:
            usual = "\nStopped. What was finished is kept, nothing is half-written; the same command goes on."
            _tell(str(stop) if isinstance(stop, Interrupted) else usual)
            return EXIT_INTERRUPTED
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            message = "there is not enough memory for this; take smaller pictures, smaller batches or a smaller network"
        _tell(f"error: {show_control(' '.join(message.split()))}")
        return EXIT_USER_ERROR

    return wrapped
