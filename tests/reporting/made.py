"""Results as the commands leave them, made by the functions that they use, without a network."""

import json
from pathlib import Path

import numpy as np

from src.evaluation.artefacts import Predictions, save_evaluation
from src.evaluation.metrics import evaluate_predictions
from src.evaluation.trust import Answered, measure_trust
from src.explainers.base import Explanation
from src.explainers.stream import ExplainedPictures
from src.explainers.summary import TrueClassMaps, save_heatmaps, summarize_test_part
from src.files import finite, write_csv, write_json
from src.imaging import write_image
from src.loading.folder import list_pictures

NAMES = ("cat", "dog", "owl")
CELLS = (5, 7)  # of a map


def make_data(root: Path, class_names=NAMES, test: int = 6, side: int = 20) -> Path:
    """A folder with the parts train and test, pictures of ``side`` x 30 in colours of their own."""
    for part, count in (("train", 3), ("test", test)):
        for label, name in enumerate(class_names):
            for number in range(count):
                color = np.array(
                    [40 + 60 * label % 200, 20 + 30 * number % 200, 200 if part == "test" else 90], np.uint8
                )
                write_image(root / part / name / f"{name}_{number}.png", np.broadcast_to(color, (side, 30, 3)).copy())
    return root


def make_model(
    output: Path,
    models: Path,
    name: str,
    data: Path,
    wrong: dict[int, int],
    *,
    maps: bool = True,
    digest: str = "abc",
    fingerprint: str | None = None,
    trusted: bool = False,
) -> np.ndarray:
    """One evaluated and explained model.

    Args:
        wrong: index of a test picture -> the class that it is taken for; the others are right.
        trusted: with verdicts: the last picture has the highest novelty, 1.5, and alone is unlike; sure from 0.8.

    Returns:
        The raw maps float32 (N, 5, 7) for the predicted classes; those for the true classes are these, mirrored.
    """
    class_names = sorted(path.name for path in (data / "test").iterdir())
    paths = [str(data / "test" / name / path) for name in class_names for path in list_pictures(data / "test" / name)]
    labels = np.array([class_names.index(Path(path).parent.name) for path in paths])
    predicted = labels.copy()
    predicted[list(wrong)] = list(wrong.values())
    sure = np.linspace(0.6, 0.99, len(paths))
    probabilities = np.tile(((1 - sure) / (len(class_names) - 1))[:, None], (1, len(class_names))).astype(np.float32)
    probabilities[np.arange(len(paths)), predicted] = sure
    novelties = np.append(np.linspace(0.2, 0.9, len(paths) - 1), 1.5)
    trust = measure_trust(
        {"n": 40, "origin": "validation", "keep": 0.95, "accept_errors": 0.05, "sure_from": 0.8},
        {0.9: 0.3},
        Answered(labels, probabilities, novelties, (sure >= 0.8) & (novelties <= 1)),
        held_out=np.linspace(0.1, 1, 40),
        unknown=np.linspace(0.8, 3, 12),
    )
    evaluation = evaluate_predictions(labels, probabilities, class_names, trust=trust if trusted else None)
    folder, origin = output / name, {"network": digest, "data": fingerprint}
    save_evaluation(
        folder,
        evaluation,
        Predictions(paths, labels, probabilities),
        class_names,
        origin | {"command": f"python -m src.evaluate --model {name}"},
    )
    heatmaps = np.random.default_rng(7).uniform(-0.2, 1, (len(paths), *CELLS)).astype(np.float32)
    if maps:
        explained = ExplainedPictures(
            paths, labels, Explanation(heatmaps, np.log(probabilities), probabilities, predicted, "conv"), []
        )
        index = np.flatnonzero(labels != predicted)
        again = Explanation(
            heatmaps[index][:, :, ::-1], np.log(probabilities[index]), probabilities[index], labels[index], "conv"
        )
        save_heatmaps(folder / "heatmaps.npz", explained, class_names, TrueClassMaps(index, again))
        summary = summarize_test_part(explained, [None] * len(paths), (20, 30), class_names, None)
        record = {
            "model": name,
            "title": "Grad-CAM",
            "command": "python -m src.gradcam --flips",
            "explained_class": None,
        }
        write_json(folder / "explained.json", finite(record | origin | summary))
    make_bundle(models / name, class_names, digest)
    return heatmaps


def make_bundle(folder: Path, class_names: list[str], digest: str) -> None:
    """What the page reads of a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "format": 1,
        "class_names": class_names,
        "command": "python -m src.baseline_cnn --epochs 2",
        "settings": {"epochs": 2, "rate": 0.001, "grayscale": False},
        "metrics": {"epoch": 2},
        "training_seconds": 12.5,
        "versions": {"python": "3.11", "keras": "3.15"},
        "sha256": {"model.keras": digest},
    }
    (folder / "bundle.json").write_text(json.dumps(record))
    header = ["phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    write_csv(folder / "history.csv", header, [(1, 1, 1.1, 0.4, 1.2, 0.3), (1, 2, 0.7, 0.8, 0.9, 0.6)])


def make_audit(output: Path, data: Path, findings: list[tuple]) -> None:
    """``findings``: rows of (file, kind, score, reason, suggested, other)."""
    folder = output / "audit"
    counts = {part.name: {c.name: len(list_pictures(c)) for c in part.iterdir()} for part in data.iterdir()}
    write_csv(folder / "findings.csv", ["file", "kind", "score", "reason", "suggested", "other"], findings)
    write_json(folder / "audit.json", {"counts": counts, "findings": {}, "pictures": 27})
