"""The trials of a sweep one after the other, with Optuna, and their journal."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from src.errors import Circumstance, UserError
from src.settings import random_generator
from src.sweeping.results import FIGURES, TrialResult
from src.sweeping.space import Choices, Range, as_text, digest_of

# (parameters as text, their digest, a listener of epochs) -> the kept epoch's figures
Objective = Callable[[dict[str, str], str, Callable[[dict], None]], dict]

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}
# No trial is pruned before five are complete, nor after its first epoch, which says little of the others.
_PRUNER = {"n_startup_trials": 5, "n_warmup_steps": 2}
_EPOCH = "epoch "  # begins the names under which the journal has an epoch's figures


class _GridInOrder(optuna.samplers.BaseSampler):
    """The combinations in their order; Optuna's own grid is gone through at random."""

    def __init__(self, combinations: Sequence[dict[str, str]]):
        self.combinations = combinations

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self.combinations[trial.number][param_name]


def open_study(journal: Path, name: str, identity: dict, *, prune: bool) -> tuple[optuna.Study, JournalStorage]:
    """The study that a journal holds, or a new one, and where it is stored. The caller keeps other processes away.

    Args:
        identity: JSON of what all trials must have in common; its "options" are compared one by one.

    Raises ``UserError`` where the journal is of another identity, or is none.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _mend(journal)
    pruner = optuna.pruners.MedianPruner(**_PRUNER) if prune else optuna.pruners.NopPruner()
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (ValueError, KeyError) as error:
        raise UserError(f"{journal} cannot be read as the journal of a sweep; begin anew with --restart") from error
    stored = study.user_attrs.get("identity", identity)  # none yet where the first run was stopped before it
    if differing := _differing(stored, identity):
        raise UserError(
            f"the sweep {name} was begun with other settings ({', '.join(differing)} differ); "
            "give another --name, or begin it anew with --restart"
        )
    study.set_user_attr("identity", identity)
    return study, storage


def _mend(journal: Path) -> None:
    """Take away what a killed process left: its lock, and a line that it had not written to its end."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.is_file() and (content := journal.read_bytes()) and not content.endswith(b"\n"):
        with open(journal, "r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _differing(first: dict, second: dict) -> list[str]:
    """The keys whose values differ, those within "options" by their own names."""
    one, other = ({**identity, **identity["options"], "options": None} for identity in (first, second))
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def read_result(trial: FrozenTrial) -> TrialResult:
    """What the journal says of one trial."""
    attributes = trial.user_attrs
    numbers = sorted(int(name.removeprefix(_EPOCH)) for name in attributes if name.startswith(_EPOCH))
    last = attributes.get("epochs", len(numbers))  # one that could not go on, and began anew, may have ended earlier
    return TrialResult(
        number=trial.number + 1,
        parameters={name: as_text(value) for name, value in trial.params.items()},
        state=_STATES[trial.state],
        epochs=[attributes[f"{_EPOCH}{number}"] for number in numbers if number <= last],
        kept=attributes.get("kept", {}),
        seconds=attributes.get("seconds", 0.0),
        reason=attributes.get("reason", ""),
        twin=attributes.get("twin"),
    )


@dataclass
class Search:
    """The trials of one study.

    Attributes:
        study, storage: as of ``open_study``.
        space: what is varied.
        grid: the combinations to go through; None: Optuna's TPE chooses (Bergstra et al. 2011).
        count: how many trials there shall be.
        seed: of TPE. Each trial's draws are a function of (seed, its number, the trials before), so that an
            interrupted search goes on as it would have.
        objective: trains; hands each epoch to the listener it is given. What the listener raises ends the trial.
    """

    study: optuna.Study
    storage: JournalStorage
    space: Sequence[Choices | Range]
    grid: Sequence[dict[str, str]] | None
    count: int
    seed: int
    objective: Objective

    def results(self) -> list[TrialResult]:
        """Of all trials so far."""
        return [read_result(trial) for trial in self.study.get_trials(deepcopy=False)]

    def run(self, finished: Callable[[TrialResult], None]) -> None:
        """Train what is missing, interrupted trials first; ``finished`` is told of each."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        for frozen in self.study.get_trials(states=[TrialState.RUNNING]):
            self.study.sampler = self._sampler(frozen.number)
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, frozen.number)
            finished(self._run(optuna.Trial(self.study, trial_id)))
        while (number := len(self.study.get_trials(deepcopy=False))) < self.count:
            self.study.sampler = self._sampler(number)
            finished(self._run(self.study.ask()))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        if self.grid is not None:
            return _GridInOrder(self.grid)
        return optuna.samplers.TPESampler(seed=int(random_generator(self.seed, number).integers(2**32)))

    def _run(self, trial: optuna.Trial) -> TrialResult:
        parameters = {parameter.name: parameter.suggest(trial) for parameter in self.space}
        others = self.study.get_trials(deepcopy=False)[: trial.number]
        twin = next((other for other in others if other.params == trial.params and other.state.is_finished()), None)
        if twin:
            state, value = _copy(twin, trial)
        else:
            state, value = self._train(trial, parameters)
        return read_result(self.study.tell(trial.number, value, state))

    def _train(self, trial: optuna.Trial, parameters: dict[str, str]) -> tuple[TrialState, float | None]:
        before, start = trial.user_attrs.get("seconds", 0.0), time.perf_counter()
        reported = set(self.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

        def listen(row: dict) -> None:
            trial.set_user_attr(f"{_EPOCH}{row['epoch']}", _figures(row))
            trial.set_user_attr("epochs", row["epoch"])
            if row["epoch"] not in reported:  # an interrupted training repeats those since its last state
                trial.report(row["val_accuracy"], row["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            row = self.objective(parameters, digest_of(parameters), listen)
            trial.set_user_attr("kept", _figures(row))
            return TrialState.COMPLETE, row["val_accuracy"]
        except optuna.TrialPruned:
            return TrialState.PRUNED, None
        except Circumstance:  # which the other trials would meet as well: this one is gone on with
            raise
        except UserError as error:
            trial.set_user_attr("reason", str(error))
            return TrialState.FAIL, None
        finally:
            trial.set_user_attr("seconds", before + time.perf_counter() - start)


def _figures(row: dict) -> dict:
    return {name: float(row[name]) for name in FIGURES if name in row}


def _copy(twin: FrozenTrial, trial: optuna.Trial) -> tuple[TrialState, float | None]:
    """Give a trial the outcome of one with the same parameters."""
    for step, value in twin.intermediate_values.items():
        trial.report(value, step)
    first = twin.user_attrs.get("twin", twin.number + 1)
    for name, value in (twin.user_attrs | {"seconds": 0.0, "twin": first}).items():
        trial.set_user_attr(name, value)
    return twin.state, twin.value if twin.state == TrialState.COMPLETE else None
