"""The search with a plain function in the place of training: order, pruning, failures, interruption, seed."""

import math

import pytest

from src.errors import UserError
from src.sweeping.results import TrialResult, find_best, format_table, write_results
from src.sweeping.running import describe_progress
from src.sweeping.search import Search, open_study
from src.sweeping.space import Choices, Range, grid_of

GRID = [Choices("optimizer", ("sgd", "adam")), Choices("rate", ("0.1", "0.01", "0.001"))]
RANGES = [Range("rate", 1e-4, 1e-1), Range("dropout", 0.0, 0.6), Range("units", 1, 9)]
EPOCHS = 4


def accuracy_of(parameters, epoch):
    """The closer to a rate of 0.01 and the later, the better."""
    distance = abs(math.log10(float(parameters["rate"])) + 2)
    return (0.9 - 0.1 * distance - 0.05 * (parameters.get("optimizer") == "sgd")) * epoch / EPOCHS


def objective(parameters, digest, listen):
    rows = []
    for epoch in range(1, EPOCHS + 1):
        accuracy = accuracy_of(parameters, epoch)
        rows.append({"epoch": epoch, "val_accuracy": accuracy, "val_loss": 1 - accuracy, "clean_accuracy": 1.0})
        listen(rows[-1])
    return rows[-1]


def search_in(folder, space=GRID, objective=objective, count=None, seed=1, prune=False, options=None):
    grid = grid_of(space) if count is None else None
    study, storage = open_study(folder / "journal.log", "name", {"options": options or {}}, prune=prune)
    return Search(study, storage, space, grid, count or len(grid), seed, objective)


def run(search):
    told = []
    search.run(lambda result: told.append(result))
    return told


def test_a_grid_in_order_with_its_best(tmp_path):
    search = search_in(tmp_path)
    told = run(search)
    assert [tuple(result.parameters.values()) for result in told] == [tuple(trial.values()) for trial in grid_of(GRID)]
    assert told == search.results() and {result.state for result in told} == {"complete"}
    best = find_best(told)
    assert best.number == 5 and best.kept == {"val_accuracy": 0.9, "val_loss": pytest.approx(0.1), "clean_accuracy": 1}
    assert best.curve == pytest.approx([0.225, 0.45, 0.675, 0.9])
    assert run(search_in(tmp_path)) == []  # finished: nothing is trained again


def test_the_best_by_accuracy_then_loss_then_number():
    def trial(number, accuracy, loss, state="complete"):
        return TrialResult(number, {}, state, kept={"val_accuracy": accuracy, "val_loss": loss})

    trials = [trial(1, 0.8, 0.1), trial(2, 0.9, 0.5), trial(3, 0.9, 0.4), trial(4, 0.9, 0.4), trial(5, 1, 0, "pruned")]
    assert find_best(trials).number == 3
    assert find_best(trials[4:]) is None


def test_the_seed_acts_and_draws_stay_within_bounds(tmp_path):
    found = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        found[name] = [result.parameters for result in run(search_in(tmp_path / name, RANGES, count=14, seed=seed))]
    assert found["a"] == found["b"] != found["c"]
    for parameters in found["a"] + found["c"]:
        assert 1e-4 <= float(parameters["rate"]) <= 1e-1 and 0 <= float(parameters["dropout"]) <= 0.6
        assert int(parameters["units"]) in range(1, 10)
    below = sum(float(parameters["rate"]) < 10**-2.5 for parameters in found["a"][:10] + found["c"][:10])
    assert 5 <= below <= 15  # half of the draws by the logarithm; evenly drawn it would be 3 in 100


@pytest.mark.filterwarnings("error")  # Optuna warns of an epoch that is reported twice
def test_a_search_that_is_interrupted_goes_on_as_it_would_have(tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = run(search_in(tmp_path / "whole", RANGES, count=13))
    started = []

    def stopped_in_trial_2(parameters, digest, listen):
        started.append((digest, parameters))
        if len(started) == 2:
            listen({"epoch": 1, "val_accuracy": 0.25, "val_loss": 0.5})
            raise KeyboardInterrupt
        return objective(parameters, digest, listen)

    with pytest.raises(KeyboardInterrupt):
        run(search_in(tmp_path / "stopped", RANGES, stopped_in_trial_2, count=13))
    left = search_in(tmp_path / "stopped", RANGES, stopped_in_trial_2, count=13)
    assert [result.state for result in left.results()] == ["complete", "interrupted"]
    assert left.results()[1].curve == [0.25] and find_best(left.results()).number == 1
    continued = run(left)
    assert started[2] == started[1]  # the same parameters in the same folder, so that its checkpoint serves
    assert [result.parameters for result in continued] == [result.parameters for result in whole[1:]]
    assert left.results()[1].curve == whole[1].curve  # the epoch of the interrupted run was trained anew
    more = run(search_in(tmp_path / "stopped", RANGES, count=15))
    assert [result.number for result in more] == [14, 15]


def test_a_killed_process_leaves_nothing_in_the_way(tmp_path):
    run(search_in(tmp_path, GRID[1:]))
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    (tmp_path / "journal.log.lock").write_text("")
    assert len(search_in(tmp_path, GRID[1:]).results()) == 3
    assert journal.read_bytes().startswith(whole) and b'"wor{' not in journal.read_bytes()
    journal.write_bytes(b"no journal\n" + whole)
    with pytest.raises(UserError, match="cannot be read as the journal.*--restart"):
        search_in(tmp_path, GRID[1:])


def test_pruning(tmp_path):
    """Five trials are complete before any is pruned, and none is after its first epoch."""
    rates = [Choices("rate", ("0.01", "0.011", "0.012", "0.013", "0.014", "0.0001", "0.0102"))]
    for name, prune in (("pruned", True), ("whole", False)):
        (tmp_path / name).mkdir()
        results = run(search_in(tmp_path / name, rates, prune=prune))
        assert [result.state for result in results[:5]] == ["complete"] * 5 and results[6].state == "complete"
        assert results[5].state == ("pruned" if prune else "complete")
        assert len(results[5].epochs) == (2 if prune else EPOCHS)
        assert results[5].figures["val_accuracy"] == pytest.approx(0.35 if prune else 0.7)
    assert find_best(results).number == 1


def test_a_failure_is_listed_and_the_rest_goes_on(tmp_path):
    def failing(parameters, digest, listen):
        if parameters["rate"] == "0.1":
            raise UserError("the loss was not a number in every epoch")
        return objective(parameters, digest, listen)

    results = run(search_in(tmp_path, GRID, failing))
    assert [result.state for result in results] == ["failed", "complete", "complete"] * 2
    assert results[0].reason == "the loss was not a number in every epoch" and results[0].figures == {}
    assert find_best(results).number == 5
    assert run(search_in(tmp_path, GRID)) == []  # what failed once is not tried again
    assert "failed    the loss was not a number in every epoch" in format_table(results)
    assert [line[:1] for line in format_table(results).splitlines()] == [" "] * 5 + ["*", " "]


def test_an_error_of_ours_stops_the_sweep_and_the_trial_is_tried_again(tmp_path):
    def broken(parameters, digest, listen):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(search_in(tmp_path, GRID, broken))
    assert [result.number for result in run(search_in(tmp_path, GRID))] == [1, 2, 3, 4, 5, 6]


def test_the_same_parameters_are_trained_once(tmp_path):
    calls = []

    def counted(parameters, digest, listen):
        calls.append(digest)
        return objective(parameters, digest, listen)

    results = run(search_in(tmp_path, [Choices("rate", ("0.1", "0.01"))], counted, count=8))
    assert len(results) == 8 and len(calls) == len(set(calls)) == 2
    for result in results:
        first = next(other for other in results if other.parameters == result.parameters)
        assert result.twin == (None if result is first else first.number) and result.kept == first.kept
        assert (result.seconds == 0) == (result is not first)


def test_another_sweep_under_the_same_name(tmp_path):
    search_in(tmp_path, options={"epochs": 5, "width": 1.0})
    search_in(tmp_path, options={"width": 1.0, "epochs": 5})
    with pytest.raises(UserError, match=r"other settings \(epochs differ\).*--restart"):
        search_in(tmp_path, options={"epochs": 6, "width": 1.0})


def test_the_csv(tmp_path):
    results = run(search_in(tmp_path, GRID[1:]))
    write_results(results, tmp_path / "sweep.csv")
    header, first, *others = (tmp_path / "sweep.csv").read_text().splitlines()
    assert header == "trial,rate,val_accuracy,val_loss,clean_accuracy,epochs_trained,seconds,state,reason"
    assert first.startswith("1,0.1,0.8,0.1") and ",1.0,4," in first and len(others) == 2


def test_the_line_of_a_trial_tells_the_time_left():
    kept = {"val_accuracy": 0.75, "val_loss": 0.5}
    trials = [
        TrialResult(1, {"batch_size": "8", "rate": "0.0123456"}, "complete", [kept], kept, 50),
        TrialResult(2, {"batch_size": "9", "rate": "0.2"}, "pruned", [kept | {"val_accuracy": 0.5}], seconds=10),
    ]
    line = describe_progress(trials[0], trials[:1], 4)
    assert line == (
        "Trial 1 of 4: batch-size 8, rate 0.01235: validation accuracy 0.7500; 50 s (best so far); 02:30 left"
    )
    line = describe_progress(trials[1], trials, 4)
    assert line == (
        "Trial 2 of 4: batch-size 9, rate 0.2: pruned after epoch 1 at 0.5000; 10 s (best: 0.7500, trial 1); 01:00 left"
    )
