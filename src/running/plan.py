"""The stages of a run: their commands, and by what it is known that one is done."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from src.datasets.manifest import load_manifest
from src.errors import UserError
from src.files import read_json, sha256_file
from src.model_choice import BUNDLE_FILE

BASELINE, ESTIMATE, TRANSFER = "baseline", "estimate", "transfer"
# Enough to see what pictures of one's own are worth without ImageNet, and seconds for a few hundred of them.
_BASELINE_OPTIONS = ("--image-size", "64", "--epochs", "8")
_GRADCAM_OPTIONS = ("--samples", "4")  # drawn of each class, as files beside the page, which draws its own


@dataclass(frozen=True)
class RunSettings:
    """What the user asked for.

    Attributes:
        source: folder or archive of the pictures, as ``split_dataset.py`` takes it.
        output: folder of all that comes of it.
        backbone: of the transfer, as its ``--backbone``.
        baseline: whether a network from scratch is trained beside it.
    """

    source: str
    output: Path
    seed: int = 42
    backbone: str = "auto"
    baseline: bool = True

    @property
    def data(self) -> Path:
        return self.output / "data"

    @property
    def models_dir(self) -> Path:
        return self.output / "models"

    @property
    def results(self) -> Path:
        """The folder that the other commands call gradcam."""
        return self.output / "gradcam"

    @property
    def report(self) -> Path:
        return self.results / "report.html"

    @property
    def estimate(self) -> Path:
        """What ``src.estimate`` has found."""
        return self.results / "estimate" / "estimate.json"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the bundles, the one to use first."""
        return (TRANSFER, BASELINE) if self.baseline else (TRANSFER,)


@dataclass(frozen=True)
class Stage:
    """One command of a run.

    Attributes:
        name: as in the record and in what is said.
        words: makes the module and its arguments, once the stages before it are done.
        result: a digest of what it has left; None where that is not whole.
        needs: stages whose results it works with, besides the pictures for the first.
        trains: the bundle that it trains, whose half-done state may lie beside it.
    """

    name: str
    words: Callable[[], list[str]]
    result: Callable[[], str | None]
    needs: tuple[str, ...] = ()
    trains: str | None = None


def plan_stages(settings: RunSettings) -> list[Stage]:
    """All stages in their order."""
    data, models_dir = ["--data", str(settings.data)], ["--models-dir", str(settings.models_dir)]
    seed, results = ["--seed", str(settings.seed)], ["--output", str(settings.results)]
    training = [*data, *models_dir, *seed]
    split = ["--source", settings.source, "--output", str(settings.data), *seed, "--force"]
    audit = settings.results / "audit"
    judged = [*data, *models_dir, "--model", *settings.models, *results, *seed]

    def of_each(*names: str) -> list[Path]:
        return [settings.results / model / name for model in settings.models for name in names]

    def bundle(name: str) -> Callable[[], str | None]:
        return lambda: digest_files([settings.models_dir / name / BUNDLE_FILE])

    # The audit comes after the split: it then tells copies across parts and parts that differ as well, its corrections
    # are remembered by later splits, and the pictures of the user's own folder are never touched.
    stages = [
        Stage("split", lambda: ["split_dataset", *split], lambda: _digest_split(settings.data)),
        Stage(
            "audit",
            lambda: ["src.audit", *data, "--output", str(audit), *seed],
            lambda: digest_files([audit / "audit.json", audit / "findings.csv"]),
            ("split",),
        ),
        Stage(
            BASELINE,
            lambda: ["src.baseline_cnn", *training, *_BASELINE_OPTIONS],
            bundle(BASELINE),
            ("split",),
            trains=BASELINE,
        ),
        Stage(
            ESTIMATE,
            lambda: ["src.estimate", *training, *results, "--backbone", settings.backbone],
            lambda: digest_files([settings.estimate, settings.results / "what_next" / "what_next.json"]),
            ("split",),
        ),
        Stage(
            TRANSFER,
            lambda: ["src.transfer_model", *training, *choose_transfer(settings)],
            bundle(TRANSFER),
            ("split", ESTIMATE),
            trains=TRANSFER,
        ),
        Stage(
            "evaluate",
            lambda: ["src.evaluate", *judged],
            lambda: digest_files(of_each("metrics.json", "predictions.csv")),
            ("split", *settings.models),
        ),
        Stage(
            "gradcam",
            lambda: ["src.gradcam", *judged, *_GRADCAM_OPTIONS],
            lambda: digest_files(of_each("explained.json", "heatmaps.npz")),
            ("split", *settings.models),
        ),
    ]
    stages = [stage for stage in stages if stage.name != BASELINE or settings.baseline]
    report = Stage(
        "report",
        lambda: ["src.report", *data, *models_dir, *results],
        lambda: digest_files([settings.report]),
        tuple(stage.name for stage in stages),
    )
    return [*stages, report]


def choose_transfer(settings: RunSettings) -> list[str]:
    """The words of the training of the transfer: what cross-validation of train and val has chosen; none as long as it
    has not."""
    try:
        return [str(word) for word in read_json(settings.estimate)["choice"]["words"]]
    except (OSError, UserError, KeyError, TypeError):
        return []


def digest_files(paths: list[Path]) -> str | None:
    """One digest of several files; None where one is missing."""
    try:
        return hashlib.sha256("".join(map(sha256_file, paths)).encode()).hexdigest()
    except OSError:
        return None


def _digest_split(data: Path) -> str | None:
    """The content hash of a split whose files are all there."""
    try:
        manifest = load_manifest(data)
    except UserError:
        return None
    return manifest.content_hash if all(os.path.isfile(data / name) for name in manifest.files) else None
