"""The bundles of a sweep's trials: the best one is kept under the sweep's name, the others go."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from src.atomic import atomic_folder
from src.files import read_json, write_json
from src.model_choice import BUNDLE_FILE
from src.sweeping.results import TrialResult, find_best


def keep_best(results: Sequence[TrialResult], trials: Path, target: Path, record: dict) -> bool:
    """Move the best trial's bundle to ``target`` and remove what the other finished trials left.

    What is to be done is told by what is there: after an interruption a further call ends what was begun.

    Args:
        trials: folder of the trials' bundles, each named by its digest, and of their checkpoints.
        target: ``models/<name>``, where an older bundle is replaced whole.
        record: what bundle.json shall say of the sweep.

    Returns:
        Whether ``target`` now holds the best trial's bundle. It does not where someone has removed or replaced it.
    """
    best = find_best(results)
    if best:
        _place(trials / best.digest, target, record | {"digest": best.digest})
    for digest in {result.digest for result in results if result.state != "interrupted"}:
        for path in trials.glob(f"*/{digest}*"):  # a checkpoint
            path.unlink()
        shutil.rmtree(trials / digest, ignore_errors=True)
    return bool(best) and _sweep_of(target).get("digest") == best.digest


def _place(bundle: Path, target: Path, record: dict) -> None:
    if (bundle / BUNDLE_FILE).is_file():
        with atomic_folder(target) as folder:
            shutil.copytree(bundle, folder, dirs_exist_ok=True)
            info = read_json(folder / BUNDLE_FILE)
            info["settings"] |= {"models_dir": str(target.parent), "name": target.name}
            write_json(folder / BUNDLE_FILE, info | {"name": target.name, "sweep": record})
    elif _sweep_of(target).get("digest") == record["digest"] and _sweep_of(target) != record:
        write_json(target / BUNDLE_FILE, read_json(target / BUNDLE_FILE) | {"sweep": record})  # of more trials now


def _sweep_of(target: Path) -> dict:
    path = target / BUNDLE_FILE
    return read_json(path).get("sweep", {}) if path.is_file() else {}
