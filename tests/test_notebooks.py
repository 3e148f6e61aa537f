"""Every notebook runs from its first cell to its last, in their order, and shows pictures."""

import re

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted((ROOT / "notebooks").glob("0*.py"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTEBOOKS_OUTPUT", str(folder))
        patch.setenv("EPOCHS", "4")
        patch.setenv("PICTURES", "shapes")
        patch.syspath_prepend(str(ROOT / "notebooks"))
        yield folder


def test_there_are_six():
    assert [int(script.name[:2]) for script in SCRIPTS] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_runs(script, place):
    pytest.importorskip("nbclient", reason="requirements-notebooks.txt is not installed")
    from build import execute

    cells = [cell for cell in execute(script, seconds=600).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    shown = [data for cell in cells for output in cell.outputs if "image/png" in (data := output.get("data", {}))]
    least, most = (len(re.findall(rf"^{before}show\(", script.read_text(), re.MULTILINE)) for before in ("", " *"))
    assert least <= len(shown) <= most  # what is indented is shown where there is such a picture
