"""Unreadable pictures in training: passed over, each named once, up to a bound."""

import numpy as np
import pytest

from src.errors import UserError
from src.imaging import ImageError, load_image
from src.loading.generator import ImageDataGenerator
from src.loading.stand_ins import StandIns
from tests.conftest import write_data_folder

CLASSES = np.array([0, 0, 0, 1, 1])
PATHS = ["a0", "a1", "a2", "b0", "b1"]


def _reader(broken):
    def read(path):
        if path in broken:
            raise ImageError(path, "damaged")
        return path

    return read


def test_the_next_of_the_class_stands_in_and_the_first_follows_the_last(capsys):
    stand_ins = StandIns(PATHS, CLASSES, 0.5)
    read = _reader({"a1", "a2"})
    assert [stand_ins.read(index, read) for index in (0, 1, 2, 3, 4, 1)] == ["a0", "a0", "a0", "b0", "b1", "a0"]
    assert stand_ins.reasons == {"a1": "damaged", "a2": "damaged"} and not stand_ins.lost
    said = capsys.readouterr().err
    assert said.count("a1: damaged") == 1 and said.count("a2: damaged") == 1


def test_beyond_the_bound_it_stops_and_one_may_always_be():
    stand_ins = StandIns(PATHS, CLASSES, 0.01)
    read = _reader({"a1", "b0"})
    assert stand_ins.read(1, read) == "a2"
    with pytest.raises(UserError, match="2 of 5 pictures.*b0.*src.audit"):
        stand_ins.read(3, read)


def test_without_a_bound_the_first_raises_and_a_class_of_none_stops():
    with pytest.raises(ImageError, match="a1: damaged"):
        StandIns(PATHS, CLASSES, 0.0).read(1, _reader({"a1"}))
    with pytest.raises(UserError, match="no picture of the class of b1"):
        StandIns(PATHS, CLASSES, 1.0).read(4, _reader({"b0", "b1"}))


def test_what_an_earlier_run_had_found_is_known_again(capsys):
    stand_ins = StandIns(PATHS, CLASSES, 0.5)
    stand_ins.read(1, _reader({"a1"}))
    again = StandIns(["elsewhere/" + path for path in PATHS], CLASSES, 0.5)
    capsys.readouterr()
    for _ in range(2):
        again.recall(stand_ins.record() | {"99": "beyond", "x": "none"})
    assert again.reasons == {"elsewhere/a1": "damaged"}
    assert again.read(1, _reader(())) == "elsewhere/a2", "as before, though it could be read now"
    assert capsys.readouterr().err.count("elsewhere/a1: damaged") == 1


@pytest.fixture
def damaged(tmp_path):
    """Twelve training pictures of two classes, of which one is cut off and one is gone once they were listed."""
    folder = write_data_folder(tmp_path / "data", {"train": 6}) / "train"
    cut = folder / "dark" / "dark_002.png"
    cut.write_bytes(cut.read_bytes()[:100])
    return folder


def _iterate(folder, **options):
    return ImageDataGenerator().flow_from_directory(
        str(folder), target_size=(24, 24), batch_size=5, shuffle=False, unreadable=0.2, **options
    )


@pytest.mark.parametrize("memory_gb", [0.0, 1.0])
def test_batches_stay_whole(damaged, capsys, memory_gb):
    batches = _iterate(damaged, memory_gb=memory_gb)
    (damaged / "light" / "light_005.png").unlink()  # the last one, for which the first stands in
    for _ in range(2):
        images = np.concatenate([batches[index][0] for index in range(len(batches))])
        assert len(images) == 12
        np.testing.assert_array_equal(images[2], load_image(damaged / "dark" / "dark_003.png", (24, 24)))
        np.testing.assert_array_equal(images[11], load_image(damaged / "light" / "light_000.png", (24, 24)))
    assert sorted(map(str, batches.stand_ins.reasons)) == [
        str(damaged / "dark" / "dark_002.png"),
        str(damaged / "light" / "light_005.png"),
    ]
    assert batches.stand_ins.lost
    assert capsys.readouterr().err.count("another of its class taken instead") == 2


def test_damaged_content_is_part_of_what_identifies_the_pictures_and_nothing_is_lost(damaged):
    batches = _iterate(damaged)
    first = batches.fingerprint()
    batches[0]
    assert not batches.stand_ins.lost and _iterate(damaged).fingerprint() == first
    gone = damaged / "light" / "light_000.png"
    again = _iterate(damaged)
    gone.unlink()
    assert again.fingerprint() != first
