"""The estimate in order: features, choice, accuracy, learning curve; written for people and for the report."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.datasets.folds import make_folds
from src.datasets.manifest import read_fingerprint
from src.errors import UserError, name_some
from src.estimating.choices import COLUMNS, Choice, choose, table, try_features
from src.estimating.cross_validation import (
    CrossValidation,
    CrossValidationSettings,
    can_cross_validate,
    cross_validate,
    prepare,
)
from src.estimating.learning_curve import ClassNeed, LearningCurve, measure_curve, measure_needs
from src.estimating.pictures import FrozenBackbone, PictureFeatures, Pictures
from src.estimation_plotting import plot_learning_curve
from src.evaluation.novelty import held_out_scores
from src.files import finite, write_csv, write_json
from src.loading.folder import check_data_folder
from src.networks.registry import get_backbone
from src.networks.weights import NoWeightsError
from src.progress import say
from src.training.schedule import TwoPhaseSettings
from src.what_next import write_what_next

FOLDER, CHOSEN_ON = "estimate", ("train", "val")  # below --output; the parts that settings are chosen on
_NOVELTY_FOLDS = 5
# Pictures; beyond, augmented views and further backbones would take minutes, and training the backbone's top layers as
# well is worth its time: of 210 pictures of three alike classes it made 0.873 to 0.884 of 0.883, of 600 0.899 to 0.904
# of 0.906 (docs/few_pictures.md).
_MANY = 1500
# Pictures times classes; beyond, folds are dealt out once instead of three times, augmented views are left out (of 700
# pictures of 10 classes their lowest log loss was 0.3256, of the pictures as they are 0.3255), and only the classes
# that are recognised the least are halved: else 30 classes of 49 pictures would take half an hour.
_LONG, _HALVED = 5000, 5
# the lightest first, by their parameters
_BY_SIZE = ("mobilenet_v2", "efficientnet_lite0", "efficientnet_b0", "densenet121", "resnet50")


@dataclass(frozen=True)
class Estimate:
    """What the pictures are worth.

    Attributes:
        pictures: all of them.
        features: float32 (N, D), by the chosen backbone.
        choice: of settings, by the parts train and val alone.
        accuracy: by cross-validation of all pictures with the chosen backbone; nothing is chosen by it.
        curve, needs: of the chosen settings, on all pictures.
    """

    pictures: Pictures
    features: np.ndarray
    choice: Choice
    accuracy: CrossValidation
    curve: LearningCurve
    needs: list[ClassNeed]

    def as_json(self) -> dict:
        names, choice = self.pictures.class_names, self.choice
        chosen = {
            "words": choice.candidate.words(frozen=len(self.pictures.labels) <= _MANY),
            "description": choice.candidate.describe(),
            "chosen_on": list(CHOSEN_ON),
            "n": choice.result.n,
            "accuracy": choice.result.accuracy,
            "interval": list(choice.result.interval),
            "log_loss": choice.result.log_loss,
            "candidates": choice.rows(),
        }
        needs = [
            {
                "class": names[need.label],
                "loss": need.loss.mean,
                "interval": [need.loss.low, need.loss.high],
                "recall_loss": need.recall.mean,
                "can_be_told": need.can_tell,
            }
            for need in self.needs
        ]
        return {
            "class_names": names,
            "choice": chosen,
            "cross_validated": self.accuracy.as_json(names),
            "learning_curve": self.curve.as_json(),
            "needs": needs,
        }


def estimate(
    data: str | Path, features_dir: Path, class_names: list[str], *, backbone: str = "auto", seed: int = 42
) -> Estimate:
    """Do all of it.

    Args:
        data: folder with train, val and test.
        features_dir: where features are stored.
        class_names: of the folder.
        backbone: its name, or "auto" for all whose ImageNet weights are at hand without a download.

    Raises:
        UserError: there are no weights, or a class has hardly more than copies of one picture.
    """
    _, counts = check_data_folder(data, class_names=class_names)
    names = _list_backbones(backbone, sum(sum(of_part.values()) for of_part in counts.values()))
    networks = [(_BY_SIZE.index(name), FrozenBackbone(name)) for name in names]
    features = PictureFeatures(data, class_names, features_dir, seed=seed)
    plain = {network: features.plain(network) for _, network in networks}
    pictures = features.pictures
    places = pictures.of_parts(CHOSEN_ON)
    _verify(pictures, places)
    long = _is_long(pictures)
    settings = CrossValidationSettings(repeats=1) if long else CrossValidationSettings()
    thirds = replace(settings, folds=3) if len(pictures.labels) > _MANY else settings  # fewer and smaller fits
    choice = _choose(features, networks, plain, places, thirds, seed)
    (network,) = [each for _, each in networks if each.backbone.name == choice.candidate.backbone]
    say(f"Cross-validating all {len(pictures.labels)} pictures ...")
    rows = plain[network]
    accuracy = cross_validate(rows[None], pictures.labels, pictures.groups, settings, seed)
    prepared = prepare(rows[None], pictures.labels)
    fixed = replace(thirds, l2=choice.candidate.l2 or float(np.median(accuracy.strengths)))
    # two repeats, which tell how much other training pictures of the same number change
    curve = measure_curve(prepared, pictures.groups, replace(fixed, repeats=max(2, fixed.repeats)), seed)
    worst = np.argsort(accuracy.recalls(), kind="stable").tolist()[: _HALVED if long else None]
    needs = measure_needs(prepared, pictures.groups, fixed, seed, worst)
    return Estimate(pictures, rows, choice, accuracy, curve, needs)


def _list_backbones(backbone: str, pictures: int) -> list[str]:
    """By name, the lightest first; of many pictures the lightest alone, before anything of them is computed."""
    names = [name for name in _BY_SIZE if name == backbone or (backbone == "auto" and get_backbone(name).is_at_hand())]
    if not names:
        raise NoWeightsError(backbone, "none of any backbone is at hand")
    if pictures <= _MANY or len(names) == 1:
        return names
    say(f"More than {_MANY} pictures: only {names[0]} is looked at (--backbone names another).")
    return names[:1]


def _is_long(pictures: Pictures) -> bool:
    return len(pictures.labels) * len(pictures.class_names) > _LONG


def _choose(features, networks: list, plain: dict, places: np.ndarray, settings, seed: int) -> Choice:
    """The choice among all candidates, on the pictures at ``places``."""
    pictures, candidates, found = features.pictures, [], []
    labels, groups = pictures.labels[places], pictures.groups[places]
    few = len(pictures.labels) <= _MANY and not _is_long(pictures)
    for number, (rank, network) in enumerate(networks):
        # augmented views of one backbone only: each takes as long as all of the pictures as they are
        count = TwoPhaseSettings().views_of(len(places), True) if few and number == len(networks) - 1 else 0
        views = features.views(network, count, CHOSEN_ON) if count else None
        say(f"Cross-validating settings on {len(places)} pictures of {' and '.join(CHOSEN_ON)} ...")
        rows = plain[network][places]
        tried = try_features((rank, network.backbone.name), rows, views, labels, groups, settings, seed)
        candidates += tried[0]
        found += tried[1]
    return choose(candidates, found)


def _verify(pictures: Pictures, places: np.ndarray) -> None:
    """Raise ``UserError`` where the pictures chosen on cannot be cross-validated."""
    labels, groups = pictures.labels[places], pictures.groups[places]
    present = np.unique(labels)
    if len(present) == len(pictures.class_names) and can_cross_validate(labels, groups):
        return
    few = [name for label, name in enumerate(pictures.class_names) if len(np.unique(groups[labels == label])) < 2]
    raise UserError(
        f"nothing can be estimated: {name_some(few)} has fewer than two different pictures in "
        f"{' and '.join(CHOSEN_ON)} (copies, and what belongs together, count once); add some"
    )


def write_estimate(result: Estimate, data: str | Path, output: Path, command: str) -> dict:
    """Write ``estimate.json``, ``choices.csv`` and ``learning_curve.png``, and ``what_next/`` beside them; returns what
    the first holds."""
    folder = output / FOLDER
    record = finite(result.as_json() | {"data": read_fingerprint(data), "command": command})
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "choices.csv", list(COLUMNS), table(record["choice"]["candidates"]))
    title = f"{len(result.pictures.labels)} pictures of {len(result.pictures.class_names)} classes, cross-validated"
    plot_learning_curve(record["learning_curve"], folder / "learning_curve.png", title=title)
    record["what_next"] = _write_what_next(result, data, output, record)
    write_json(folder / "estimate.json", record)
    return record


def _write_what_next(result: Estimate, data: str | Path, output: Path, record: dict) -> dict[str, int]:
    """The sheet of pictures that are worth a look; returns how many there are for each reason."""
    pictures, names = result.pictures, [str(Path(path).relative_to(data)) for path in result.pictures.paths]
    found = write_what_next(
        output,
        pictures.paths,
        pictures.labels,
        pictures.class_names,
        result.accuracy.probabilities,
        _score_novelty(result.features, pictures),
        pictures.groups,
        result.features,
        record["data"],
        names=names,
        command=record["command"],
    )
    return found["counts"]


def _score_novelty(features: np.ndarray, pictures: Pictures) -> np.ndarray | None:
    """As of ``held_out_scores``; None where too few pictures of a class differ, as of two in every class."""
    try:
        return held_out_scores(
            features, pictures.labels, make_folds(pictures.labels, pictures.groups, _NOVELTY_FOLDS, 0)
        )
    except ValueError:
        return None
