"""This project's own commands as stages of something longer, in this process: TensorFlow is loaded once."""

import contextlib
import importlib
import shlex
import sys
from collections.abc import Sequence

from src.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_PARTIAL, UserError
from src.progress import say


def as_typed(words: Sequence[str]) -> str:
    """The command as one types it; the first word is its module."""
    name, script = (f"{words[0]}.py", True) if words[0] == "split_dataset" else (words[0], False)
    return f"python {'' if script else '-m '}{shlex.join([name, *words[1:]])}"


def run_stage(stage: str, words: Sequence[str], again: str) -> int:
    """Run one command, its output on stderr: stdout is for the result of the whole.

    Args:
        stage: its name, for the error.
        words: the module and what its ``main`` is given.
        again: how to go on after an error: "run the same recipe again".

    Returns:
        EXIT_OK or EXIT_PARTIAL.

    Raises ``UserError`` where it fails, with its own sentence on stderr before, and ``KeyboardInterrupt`` where it was
    stopped.
    """
    say(f"$ {as_typed(words)}")
    with contextlib.redirect_stdout(sys.stderr):
        code = importlib.import_module(words[0]).main(list(words[1:]))
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (EXIT_OK, EXIT_PARTIAL):
        raise UserError(f"{stage} ended with exit code {code}; {again} once that is mended")
    return code
