"""A sweep from what the user typed to the kept bundle, the table and the picture."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from src.bundle_facts import data_facts
from src.errors import UserError
from src.files import read_json
from src.loading.folder import check_data_folder, digest_pictures
from src.locks import hold_lock
from src.model_choice import BUNDLE_FILE, check_output, hold_bundle
from src.progress import say
from src.sweeping.keeping import keep_best
from src.sweeping.picture import draw_sweep
from src.sweeping.results import TrialResult, count_states, describe_parameters, find_best, write_results
from src.sweeping.search import Search, open_study
from src.sweeping.space import Choices, Range, SweptCommand, check_fixed, grid_of, parse_space, read_trial

SWEEPS_DIR = ".sweeps"  # beside the bundles: the journal of each sweep, and its trials while they are needed
JOURNAL_FILE = "journal.log"
_LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Sweep:
    """What the user asked for.

    Attributes:
        command: what trains.
        words: ``NAME=VALUES``, each.
        fixed: options of the command that all trials share.
        name: of the sweep and of the bundle that it leaves.
        output: folder of pictures; the sweep's are in one of its name.
        trials: how many a search shall have; None: the full grid.
        seed: of a search.
        prune: whether trials that lag behind are ended; None: those of a search are.
    """

    command: SweptCommand
    words: Sequence[str]
    fixed: Sequence[str] = ()
    name: str = "sweep"
    models_dir: str = "models"
    output: str = "gradcam"
    trials: int | None = None
    seed: int = 42
    prune: bool | None = None

    @property
    def folder(self) -> Path:
        """Where the journal and the trials lie."""
        return Path(self.models_dir, SWEEPS_DIR, self.name)

    @property
    def is_pruned(self) -> bool:
        """Whether trials that lag behind are ended."""
        return self.trials is not None if self.prune is None else self.prune


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep leaves.

    Attributes:
        bundle: folder of the best trial's, or None where someone has removed or replaced it.
        table, picture: paths.
    """

    results: list[TrialResult]
    bundle: Path | None
    table: Path
    picture: Path


def run_sweep(sweep: Sweep, *, restart: bool = False) -> SweepOutcome:
    """Train what is missing of a sweep; keep the best bundle, write the table and the picture.

    Args:
        restart: forget all trials of an earlier sweep of this name.

    Raises:
        UserError: something was asked that the command refuses (then nothing is trained), the sweep of this name is
            another one or is running, or no trial was completed.
    """
    space = parse_space(sweep.words, sweep.command)
    options = check_fixed(sweep.command, sweep.fixed, space)
    grid = _check_grid(sweep, space) if sweep.trials is None else None
    check_output(sweep.models_dir, sweep.name)
    class_counts = check_data_folder(options["data"])[1]
    identity = {
        "command": sweep.command.name,
        "what is varied": {parameter.name: parameter.record for parameter in space},
        "grid or search": "grid" if grid else "search",
        "seed of the search": None if grid else sweep.seed,
        "pruning": sweep.is_pruned,
        "pictures": data_facts(options["data"], class_counts)
        | {"digest": digest_pictures(options["data"], ("train", "val"))},
        "options": options,
    }
    identity = json.loads(json.dumps(identity))  # as the journal gives it back: a tuple becomes a list
    what = f"the sweep {sweep.name} is running already"
    with (
        hold_lock(sweep.folder / _LOCK_FILE, what, "give another --name"),
        hold_bundle(sweep.models_dir, sweep.name),
    ):
        if restart:
            _forget(sweep.folder)
        study, storage = open_study(sweep.folder / JOURNAL_FILE, sweep.name, identity, prune=sweep.is_pruned)

        def train(parameters: dict[str, str], digest: str, listener) -> dict:
            return _train(sweep, parameters, digest, listener)

        count = len(grid) if grid else sweep.trials
        return _run(sweep, Search(study, storage, space, grid, count, sweep.seed, train), identity["what is varied"])


def _check_grid(sweep: Sweep, space: list[Choices | Range]) -> list[dict[str, str]]:
    """The grid, each of its combinations accepted by the command."""
    if ranges := [parameter.name for parameter in space if isinstance(parameter, Range)]:
        raise UserError(f"{ranges[0]} is a range, which has no end of values; say how many to try with --trials")
    grid = grid_of(space)
    for parameters in grid:
        try:
            values = read_trial(sweep.command, sweep.fixed, parameters)
            sweep.command.verify(*sweep.command.settings(values, sweep.models_dir, sweep.name))
        except UserError as error:
            raise UserError(f"{describe_parameters(parameters)}: {error}") from error
    return grid


def _forget(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK_FILE:
            path.unlink()


def _train(sweep: Sweep, parameters: dict[str, str], digest: str, listener) -> dict:
    """The kept epoch's figures of one trial."""
    info = sweep.folder / digest / BUNDLE_FILE
    if info.is_file():  # the training had ended when the sweep was interrupted
        return read_json(info)["metrics"]
    values = read_trial(sweep.command, sweep.fixed, parameters)
    settings = sweep.command.settings(values, str(sweep.folder), digest)
    sweep.command.verify(*settings)
    return sweep.command.train(*settings, listeners=[listener])[1]


def _run(sweep: Sweep, search: Search, varied: dict) -> SweepOutcome:
    target, output = Path(sweep.models_dir, sweep.name), Path(sweep.output, sweep.name)

    def settle() -> tuple[list[TrialResult], bool]:
        results = search.results()
        best = find_best(results)
        record = {"command": sweep.command.name, "varied": varied} | count_states(results)
        record |= {"trial": best.number, "parameters": best.parameters} if best else {}
        kept = keep_best(results, sweep.folder, target, record)
        if results:
            write_results(results, output / "sweep.csv")
        return results, kept

    def finished(result: TrialResult) -> None:
        say(describe_progress(result, settle()[0], search.count))

    search.run(finished)
    results, kept = settle()
    if not find_best(results):
        raise UserError(f"none of {len(results)} trials was completed; the last one: {results[-1].reason}")
    draw_sweep(results, search.space, output / "sweep.png", title=f"{sweep.name}: {sweep.command.name}")
    return SweepOutcome(results, target if kept else None, output / "sweep.csv", output / "sweep.png")


def describe_progress(result: TrialResult, results: Sequence[TrialResult], count: int) -> str:
    """A line for a finished trial: what it reached, the best so far, the time left."""
    accuracy, best = result.figures.get("val_accuracy", math.nan), find_best(results)
    outcome = {
        "complete": f"validation accuracy {accuracy:.4f}",
        "pruned": f"pruned after epoch {len(result.epochs)} at {accuracy:.4f}",
        "failed": f"failed: {result.reason}",
    }[result.state]
    outcome += f", as trial {result.twin}" if result.twin else f"; {result.seconds:.0f} s"
    if best:
        is_best = best.number == result.number
        outcome += " (best so far)" if is_best else f" (best: {best.kept['val_accuracy']:.4f}, trial {best.number})"
    trained = [r.seconds for r in results if r.state != "interrupted" and not r.twin]
    left = count - sum(r.state != "interrupted" for r in results)
    if left > 0:
        outcome += f"; {tqdm.format_interval(left * sum(trained) / max(len(trained), 1))} left"
    return f"Trial {result.number} of {count}: {describe_parameters(result.parameters)}: {outcome}"
