"""Run the scripts of this folder as notebooks: ``python notebooks/build.py`` writes ``01_exploration.ipynb`` and so on.

Needs requirements-notebooks.txt. For work with Jupyter itself: ``jupytext --to notebook notebooks/*.py``.
"""

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SCRIPTS = sorted(HERE.glob("0*.py"))


def execute(script: Path, seconds: int = 3600) -> nbformat.NotebookNode:
    """The notebook of a script, with what its cells printed and showed.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        nbclient.exceptions.CellTimeoutError: one took longer than ``seconds``.
    """
    notebook = jupytext.read(script)
    return NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": HERE}}).execute()


if __name__ == "__main__":
    for script in SCRIPTS:
        print(script.name, file=sys.stderr)
        nbformat.write(execute(script), script.with_suffix(".ipynb"))
