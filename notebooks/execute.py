"""Run the scripts of this folder as notebooks: ``python notebooks/execute.py`` writes ``01_exploration.ipynb`` etc.

Needs requirements-notebooks.txt. For work with Jupyter itself: ``jupytext --to notebook notebooks/0*.py``.
"""

import os
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
SCRIPTS = sorted(HERE.glob("0*.py"))


def resolve_paths() -> None:
    """Make the environment's paths absolute: kernels run in this folder, not in the one where they were typed."""
    for name in ("PICTURES", "NOTEBOOKS_OUTPUT"):
        value = os.environ.get(name)
        if value and (name != "PICTURES" or Path(value).exists()):  # else the name of a data set
            os.environ[name] = str(Path(value).absolute())


def execute(script: Path, target: Path | None = None, seconds: int = 3600) -> nbformat.NotebookNode:
    """The notebook of a script, with what its cells printed and showed; written to ``target`` even where one failed.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        nbclient.exceptions.CellTimeoutError: one took longer than ``seconds``.
    """
    notebook = jupytext.read(script)
    try:
        return NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": HERE}}).execute()
    finally:
        if target:
            nbformat.write(notebook, target)


def main() -> int:
    resolve_paths()
    for script in SCRIPTS:
        print(script.name, file=sys.stderr)
        try:
            execute(script, script.with_suffix(".ipynb"))
        except CellExecutionError as error:
            print(f"error: {script.name} failed ({error.ename}: {error.evalue}); see its .ipynb", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
