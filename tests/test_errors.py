"""A command's end: what the user reads on stderr, the exit code, and the signals that stop it."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest

from src.errors import UserError, command, describe_os_error
from src.progress import say, track
from tests.conftest import ROOT

DISK = [errno.EXDEV, errno.ELOOP, errno.EIO, errno.EINVAL, errno.EMFILE, errno.ENOSPC, errno.ENOMEM, errno.EBUSY]
NETWORK = [errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH]


@pytest.mark.parametrize("number", DISK + NETWORK)
def test_the_disks_errors_are_one_sentence(capsys, number):
    @command
    def main(argv=None):
        raise OSError(number, os.strerror(number), "place")

    assert main() == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("error", [MemoryError(), type("ResourceExhaustedError", (Exception,), {})("OOM when")])
def test_too_little_memory_is_one_sentence(capsys, error):
    @command
    def main(argv=None):
        raise error

    assert main() == 2
    assert "not enough memory" in capsys.readouterr().err


class Gone(io.StringIO):
    """A stream that nobody reads any more."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])  # of a pipe, and of a terminal
def test_where_nobody_reads_stderr_the_work_goes_on_and_the_exit_code_is_right(monkeypatch, capsys, number):
    monkeypatch.setattr(sys, "stderr", Gone(number))
    done = []

    @command
    def main(argv=None):
        say("nobody reads this")
        with track(total=30, what="Reading pictures") as progress:
            progress.update(10)
            progress.refresh()
        done.append(True)
        if argv:
            raise argv

    assert (main(), main(UserError("x")), main(KeyboardInterrupt()), len(done)) == (0, 2, 130, 3)
    assert main(OSError(errno.ENOSPC, "full")) == 2
    with pytest.raises(BrokenPipeError):  # of another pipe than stdout
        main(BrokenPipeError(errno.EPIPE, "broken"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has other errors for pipes")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_has_seen_enough_is_no_error(unbuffered):
    lines = "from src.errors import command; command(lambda a=None: [print('x' * 9999) for _ in range(99)] and None)()"
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; {lines}; sys.exit(7)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 7


def test_a_full_disk_does_not_blame_the_file_that_was_copied():
    assert "source.jpg" not in describe_os_error(OSError(errno.ENOSPC, "No space left on device", "source.jpg"))
    assert "source.jpg" in describe_os_error(OSError(errno.EACCES, "Permission denied", "source.jpg"))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_stop_as_ctrl_c_does(capsys, name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    cleaned = []

    @command
    def main(argv=None):
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(True)

    assert main() == 130 and cleaned and "Stopped" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert command(lambda argv=None: signal.raise_signal(signal.SIGHUP))() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_name_that_the_terminal_cannot_show_is_no_error(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    assert command(lambda argv=None: print("Кошка"))() == 0
    assert stream.buffer.getvalue().startswith(b"\\u041a")


def test_progress_in_a_log_is_whole_lines(capsys):
    with track(total=100, what="Reading pictures") as progress:
        for _ in range(3):
            progress.update(10)
            progress.refresh()  # as happens by itself every ten seconds
    print("error: x", file=sys.stderr)
    lines = capsys.readouterr().err.split("\n")
    assert [line[:21] for line in lines] == [f"Reading pictures:  {n}" for n in (10, 20, 30)] + ["error: x", ""]
    assert "\r" not in "".join(lines)
