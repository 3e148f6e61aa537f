import errno
from dataclasses import dataclass

import numpy as np
import pytest

from src.errors import UserError, command
from src.settings import (
    add_options,
    auto_or_count,
    check_options,
    create_parser,
    load_settings,
    option,
    random_generator,
    read_options,
    share,
    share_below_one,
    up_to_ten,
)


@dataclass(frozen=True)
class Example:
    rate: float = option(0.1, "a rate")
    image_size: int | None = option(None, "a size")
    epochs: str | int = option("auto", "epochs", type=auto_or_count)
    augment: bool = option(True, "views")


def _parse(*words):
    parser = create_parser("Example.", "  example")
    add_options(parser, Example)
    return read_options(Example, parser.parse_args(words))


def test_command_line_over_defaults():
    assert _parse() == Example()
    given = _parse("--rate", "0.5", "--image-size", "96", "--epochs", "7", "--no-augment")
    assert given == Example(rate=0.5, image_size=96, epochs=7, augment=False)


@pytest.mark.parametrize("words", [["--epochs", "-1"], ["--epochs", "many"], ["--unknown"], ["--rat", "1"]])
def test_bad_options_end_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        _parse(*words)
    assert stop.value.code == 2


def test_unknown_saved_setting_is_refused():
    assert load_settings(Example, {"rate": 0.2}) == Example(rate=0.2)
    with pytest.raises(UserError, match="ratte"):
        load_settings(Example, {"ratte": 0.2})


def test_random_generator_is_a_function_of_its_key():
    first = random_generator(42, 3, 7).integers(1 << 30, size=4)
    assert (first == random_generator(42, 3, 7).integers(1 << 30, size=4)).all()
    for other in ((43, 3, 7), (42, 4, 7), (42, 3, 8)):
        assert (first != random_generator(*other).integers(1 << 30, size=4)).any()


@pytest.mark.parametrize("key", [(0,), (42, 1, 2), (2**32 - 1, 3), (2**32, 3), (2**63 + 5, 1), (-1, 4), (5, 2**33 + 7)])
def test_random_generator_is_numpys_own_of_the_key_and_its_length(key):
    """Also for numbers beyond 32 bits, which take another way."""
    seed, *rest = key
    expected = np.random.default_rng([len(rest), seed % 2**64, *rest])
    np.testing.assert_array_equal(random_generator(*key).integers(1 << 60, size=8), expected.integers(1 << 60, size=8))


@dataclass(frozen=True)
class Bounded:
    probability: float = option(0.5, "a probability", type=share)
    part: float = option(0.5, "a part", type=share_below_one)
    strength: float = option(5.0, "a strength", type=up_to_ten)
    kind: str = option("a", "a kind", choices=("a", "b"))
    rate: float | None = option(None, "a rate, or none", type=share)


def test_settings_made_in_python_are_held_to_the_same_bounds():
    for fits in ({}, {"probability": 1}, {"part": 0}, {"strength": 10}, {"kind": "b"}, {"rate": None}, {"rate": 1}):
        check_options(Bounded(**fits))
    for name, value, words in (
        ("probability", 1.01, "from 0 to 1. Received: 1.01"),
        ("part", 1.0, "from 0 to below 1. Received: 1.0"),
        ("strength", -0.5, "from 0 to 10. Received: -0.5"),
        ("strength", None, "from 0 to 10. Received: None"),
        ("kind", "c", "one of a, b. Received: c"),
        ("rate", 2.0, "from 0 to 1. Received: 2.0"),
    ):
        with pytest.raises(UserError, match=f"{name}: expected .*{words}"):
            check_options(Bounded(**{name: value}))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("give another\n path"), 2, "error: give another path\n"),
        (OSError(errno.ENOSPC, "No space left on device", "in.png"), 2, "error: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "out.png"), 2, "error: out.png: permission denied"),
        (KeyboardInterrupt(), 130, "Stopped."),
    ],
)
def test_errors_become_a_sentence_and_a_code(error, code, words, capsys):
    @command
    def main(argv=None):
        raise error

    assert main() == code
    assert words in capsys.readouterr().err


def test_a_bug_stays_a_traceback():
    @command
    def main(argv=None):
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError):
        main()


def test_keys_of_different_length_do_not_meet():
    draws = [random_generator(42, *key).integers(1 << 30) for key in ((), (0,), (0, 0))]
    assert len(set(draws)) == 3
