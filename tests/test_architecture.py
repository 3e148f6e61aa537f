"""Who may import whom: downward only, layers as in docs/architecture.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    **dict.fromkeys(
        ("settings", "errors", "files", "atomic", "locks", "intervals", "limits", "progress", "ranking", "threads"), 0
    ),
    **dict.fromkeys(
        (
            "imaging",
            "heif",
            "jpeg",
            "neighbours",
            "verification",
            "drawing",
            "heatmap_drawing",
            "explanation_drawing",
            "plotting",
            "inference",
            "pages",
        ),
        1,
    ),
    "evaluation_plotting": 1,
    "estimation_plotting": 1,
    "novelty_plotting": 1,
    **dict.fromkeys(("datasets", "loading", "networks", "explainers", "evaluation", "exporting"), 2),
    **dict.fromkeys(("training", "bundle", "bundle_facts", "frozen_bundle", "model_choice"), 3),
    **dict.fromkeys(("calibrate", "ensemble", "cross_evidence", "held_out", "verdicts"), 3),
    **dict.fromkeys(
        (
            "auditing",
            "evaluating",
            "judging",
            "explaining",
            "comparing",
            "tensorboard_log",
            "recipes",
            "reporting",
            "sweeping",
            "running",
        ),
        4,
    ),
    "estimating": 4,
    "webapp": 4,
    **dict.fromkeys(("covering", "what_next"), 4),
}
COMMANDS = {
    "app",
    "audit",
    "data_loader",
    "baseline_cnn",
    "transfer_model",
    "estimate",
    "evaluate",
    "gradcam",
    "predict",
    "recipe",
    "report",
    "run",
    "shortcut",
    "sweep",
}
FILES = sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "benchmarks").glob("*.py")) + [ROOT / "split_dataset.py"]


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[parts[0] == "src"].removesuffix(".py")  # below src, or at the top


def _imports(path: Path) -> set[str]:
    """Top-level names under ``src`` that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"src.{alias.name}" for alias in node.names] if node.module == "src" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("src.")}
        found |= {"benchmarks" for name in names if name.split(".")[0] == "benchmarks"}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path):
    module = _module(path)
    layer = LAYERS.get(module, 5)
    for imported in _imports(path) - {module}:
        assert imported != "benchmarks", f"{module} imports a benchmark"
        below = LAYERS.get(imported, 5)
        allowed = below < layer or (below == layer and layer in (0, 1, 3, 4, 5))
        assert allowed, f"{module} (layer {layer}) imports {imported} (layer {below})"
        assert (module, imported) not in {("training", "bundle"), ("training", "exporting")}


def test_every_module_has_a_layer():
    known = LAYERS.keys() | COMMANDS | {"split_dataset", "benchmarks", "__init__"}
    assert {_module(path) for path in FILES} <= known


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "datasets").glob("*.py")), ids=lambda path: path.name)
def test_datasets_never_import_tensorflow(path):
    source = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name.split(".")[0] for n in ast.walk(source) if isinstance(n, ast.Import) for alias in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(source) if isinstance(n, ast.ImportFrom)}
    assert not names & {"tensorflow", "keras"}
