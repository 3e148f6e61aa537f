"""The user's errors: one clear sentence on stderr and exit code 2, never a traceback.

Exit codes of every command: 0 done, 2 the user's error, 3 done in part (some pictures could not be read),
130 stopped by Ctrl-C. A traceback with exit code 1 is a bug of ours.
"""

import errno
import functools
import os
import sys

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
    errno.ENOTDIR: "a file stands where a folder is needed; check the path",
    errno.EISDIR: "a folder stands where a file is needed; check the path",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
}


class UserError(Exception):
    """Something that the user can put right. The message says what was met and what to do."""


def describe_os_error(error: OSError) -> str:
    """One sentence for an operating system's error, with the path it names."""
    reason = _DISK_ERRORS.get(error.errno, error.strerror or str(error))
    return f"{error.filename}: {reason}" if error.filename else reason


def command(main):
    """Wrap ``main(argv=None) -> int | None`` of a command: errors become a sentence and an exit code.

    The wrapped function returns the exit code and never raises for the user's errors; a script ends with
    ``sys.exit(main())``.
    """

    @functools.wraps(main)
    def wrapped(argv=None) -> int:
        try:
            code = main(argv) or EXIT_OK
            sys.stdout.flush()
            return code
        except UserError as error:
            message = str(error)
        except BrokenPipeError:
            # `... | head` closed our stdout; point it elsewhere so that the interpreter's last flush is quiet.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_OK
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            message = describe_os_error(error)
        except KeyboardInterrupt:
            print("\nStopped. What was finished before is kept; nothing was left half-written.", file=sys.stderr)
            return EXIT_INTERRUPTED
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        return EXIT_USER_ERROR

    return wrapped
