"""What ``NAME=VALUES`` means, with the two commands' own parsers."""

import pytest

from src.errors import UserError
from src.sweep import _find_command
from src.sweeping.space import Choices, Range, check_fixed, digest_of, grid_of, parse_space, read_trial

BASELINE, TRANSFER = (_find_command(name, "models") for name in ("baseline_cnn", "transfer_model"))


def read(word, command=BASELINE):
    (parameter,) = parse_space([word], command)
    return parameter


def test_words_by_hand():
    assert read("optimizer=sgd,adam") == Choices("optimizer", ("sgd", "adam"))
    assert read("batch-size=16,32") == read("batch_size=16, 32") == Choices("batch_size", ("16", "32"))
    assert read("rate=1e-4..1e-1") == Range("rate", 1e-4, 1e-1)
    assert read("phase1-rate=1e-4..1", TRANSFER) == Range("phase1_rate", 1e-4, 1.0)
    epochs = read("epochs=2..9")
    assert epochs == Range("epochs", 2, 9) and isinstance(epochs.low, int)
    assert isinstance(read("rotation=0..20").low, float)  # a number with a fraction, however it is typed


@pytest.mark.parametrize(
    ("word", "logarithmic"),
    [
        ("rate=0.01..0.1", True),
        ("rate=0.03..0.3", True),
        ("rate=0.3..2.9", False),
        ("dropout=0..0.5", False),
        ("epochs=2..20", True),
        ("epochs=2..19", False),
    ],
)
def test_ranges_of_ten_times_are_logarithmic(word, logarithmic):
    assert read(word).is_logarithmic == logarithmic


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("image-size=24,48x64", [24, (48, 64)]),
        ("nesterov=true,false", [True, False]),
        ("augment=false,true", [False, True]),
        ("clip-norm=none,1.5", [None, 1.5]),
        ("dropout=none,0", [None, 0.0]),
        ("epochs=auto,5", ["auto", 5]),
        ("seed=1,2", [1, 2]),
        ("network=baseline,fast_cnn", ["baseline", "fast_cnn"]),
    ],
)
def test_values_of_every_type(word, values):
    parameter = read(word)
    found = [read_trial(BASELINE, [], {parameter.name: text})[parameter.name] for text in parameter.texts]
    assert found == values and list(map(type, found)) == list(map(type, values))


def test_none_is_a_word_where_the_option_knows_it():
    texts = read("weights=imagenet,none", TRANSFER).texts
    assert [read_trial(TRANSFER, [], {"weights": text})["weights"] for text in texts] == ["imagenet", "none"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rat=1,2"], "rat is no option of baseline_cnn.*did you mean rate"),
        (["name=a,b"], "name is no option"),
        (["models-dir=a,b"], "models-dir is no option"),
        (["backbone=resnet50,densenet121"], "no option of baseline_cnn"),
        (["rate"], "NAME=a,b,c or NAME=lo..hi. Received: rate"),
        (["rate=0.1,-1"], "--rate: expected a number greater than 0. Received: -1"),
        (["rate=0..1"], "--rate: expected a number greater than 0. Received: 0"),
        (["rate=0.1,1e-1"], "a value twice"),
        (["rate=1..0.1"], "from a lower number to a higher one. Received: rate=1..0.1"),
        (["epochs=1.5..3"], "Received: 1.5"),
        (["epochs=auto..3"], "from a lower number"),
        (["optimizer=sgd..adam"], "invalid choice: 'sgd..adam'"),
        (["nesterov=1,0"], "true or false. Received: 1"),
        (["rate=1,2", "rate=3"], "rate is given twice"),
        (["rate=0.1,"], "Received: $"),
    ],
)
def test_what_the_command_refuses(words, message):
    with pytest.raises(UserError, match=message):
        parse_space(words, BASELINE)


def test_options_of_all_trials():
    space = parse_space(["rate=0.1,1", "nesterov=true,false"], BASELINE)
    found = check_fixed(BASELINE, ["--image-size", "24x32", "--no-flip"], space)
    assert found["image_size"] == (24, 32) and found["flip"] is False and found["optimizer"] == "adam"
    assert not {"rate", "nesterov", "name", "models_dir"} & found.keys()
    for words, message in (
        (["--rate=3"], "--rate is given for all trials, and varied"),
        (["--no-nesterov"], "--nesterov is given for all trials"),
        (["--name", "x"], "--name is an option of the sweep"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--epochs", "many"], "Received: many"),
    ):
        with pytest.raises(UserError, match=message):
            check_fixed(BASELINE, words, space)


def test_the_grid_in_order():
    grid = grid_of(parse_space(["optimizer=sgd,adam", "rate=0.1,0.01,0.001"], BASELINE))
    assert [tuple(trial.values()) for trial in grid] == [
        ("sgd", "0.1"), ("sgd", "0.01"), ("sgd", "0.001"), ("adam", "0.1"), ("adam", "0.01"), ("adam", "0.001"),
    ]  # fmt: skip
    assert len({digest_of(trial) for trial in grid}) == 6
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"}) != digest_of({"a": "2", "b": "1"})


def test_settings_reach_the_command():
    values = read_trial(TRANSFER, ["--batch-size", "8"], {"phase1_rate": "0.5", "dense_units": "0", "optimizer": "sgd"})
    settings, schedule, training, _ = TRANSFER.settings(values, "elsewhere", "best")
    assert (settings.models_dir, settings.name, settings.batch_size, settings.dense_units) == (
        "elsewhere",
        "best",
        8,
        0,
    )
    assert schedule.phase1_rate == 0.5 and training.optimizer == "sgd"
