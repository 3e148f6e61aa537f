"""Every notebook runs from its first cell to its last, in their order, and shows pictures."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted((ROOT / "notebooks").glob("0*.py"))


@pytest.fixture(scope="module")
def runner():
    """notebooks/execute.py."""
    for package in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="requirements-notebooks.txt is not installed")
    spec = importlib.util.spec_from_file_location("notebooks_execute", ROOT / "notebooks" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTEBOOKS_OUTPUT", str(folder))
        patch.setenv("EPOCHS", "4")
        patch.setenv("PICTURES", "shapes")
        yield folder


def test_there_are_six():
    assert [int(script.name[:2]) for script in SCRIPTS] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_runs(script, place, runner):
    cells = [cell for cell in runner.execute(script, seconds=600).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    shown = [data for cell in cells for output in cell.outputs if "image/png" in (data := output.get("data", {}))]
    least, most = (len(re.findall(rf"^{before}show\(", script.read_text(), re.MULTILINE)) for before in ("", " *"))
    assert least <= len(shown) <= most  # what is indented is shown where there is such a picture


@pytest.mark.slow
def test_paths_are_those_of_the_caller(runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("NOTEBOOKS_OUTPUT", "out")
    for given, resolved in (("photos", str(tmp_path / "photos")), ("cifar10", "cifar10")):
        monkeypatch.setenv("PICTURES", given)
        runner.resolve_paths()
        assert os.environ["PICTURES"] == resolved and Path(os.environ["NOTEBOOKS_OUTPUT"]) == tmp_path / "out"


@pytest.mark.slow
def test_what_a_failed_notebook_had_is_kept(runner, tmp_path):
    script = tmp_path / "0_broken.py"
    script.write_text("# %%\nprint('before')\n# %%\nraise ValueError('broken')\n")
    with pytest.raises(runner.CellExecutionError, match="broken"):
        runner.execute(script, tmp_path / "kept.ipynb")
    assert "before" in (tmp_path / "kept.ipynb").read_text()
