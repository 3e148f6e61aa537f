import io
import os
import zipfile

import numpy as np
import pytest

from src.datasets.seen import PictureRecord, find_seen, load_record, record_pictures
from src.errors import UserError
from src.files import sha256_file
from src.imaging import read_image, write_image
from tests.datasets.textures import texture


@pytest.fixture
def trained(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        write_image(path, texture(number))
    return [str(path) for path in paths]


def test_a_record_survives_being_saved(trained, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    record = record_pictures([*trained, str(tmp_path / "text.png"), str(tmp_path / "missing.png")])
    record.save(tmp_path / "pictures.npz")
    loaded = load_record(tmp_path / "pictures.npz")
    np.testing.assert_array_equal(loaded.digests, record.digests)
    np.testing.assert_array_equal(loaded.thumbnails, record.thumbnails)
    assert [f"{digest:016x}" for digest in record.digests[:6].tolist()] == [sha256_file(p)[:16] for p in trained]
    assert not record.digests[6:].any() and not record.thumbnails[6:].any()  # what cannot be read is no one's copy


def test_pictures_are_told_again(trained, tmp_path):
    tests = [tmp_path / name for name in ("same.png", "mirrored.jpg", "new.png", "unreadable.png")]
    tests[0].write_bytes((tmp_path / "3.png").read_bytes())
    write_image(tests[1], np.ascontiguousarray(read_image(trained[4])[:, ::-1]))
    write_image(tests[2], texture(99))
    tests[3].write_text("no picture")
    seen = find_seen(record_pictures(list(map(str, tests))), record_pictures(trained))
    assert (seen.identical, seen.near_copies) == ((0,), (1,))
    nothing = record_pictures([])
    assert find_seen(nothing, record_pictures(trained)).identical == ()
    assert find_seen(record_pictures(trained), nothing).near_copies == ()


def no_array() -> bytes:
    """A zip whose members are no arrays: NumPy hands out their bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("digests.npy", "thumbnails.npy"):
            archive.writestr(name, b"x")
    return stream.getvalue()


def changed(place: int, value: int) -> bytes:
    """A record with one byte changed."""
    stream = io.BytesIO()
    PictureRecord(np.zeros(2, np.uint64), np.zeros((2, 32, 32), np.uint8)).save(stream)
    content = bytearray(stream.getvalue())
    content[place] = value
    return bytes(content)


DIRECTORY = changed(0, ord("P")).index(b"PK\x01\x02")  # of the zip, where its members' flags and kinds stand
DAMAGED = [
    b"",
    b"garbage",
    b"PK\x03\x04 cut off",
    changed(61, 255),
    changed(DIRECTORY + 8, 1),
    changed(DIRECTORY + 10, 99),
]


@pytest.mark.parametrize("content", [*DAMAGED, no_array()])
def test_damaged_records_are_named(tmp_path, content):
    (tmp_path / "pictures.npz").write_bytes(content)
    with pytest.raises(UserError, match="missing or damaged; train the model anew"):
        load_record(tmp_path / "pictures.npz")
    with pytest.raises(UserError, match="missing or damaged"):
        load_record(tmp_path / "nothing.npz")


def test_records_of_another_shape_are_refused(tmp_path):
    PictureRecord(np.zeros(2, np.uint64), np.zeros((3, 32, 32), np.uint8)).save(tmp_path / "pictures.npz")
    with pytest.raises(UserError, match="no record of pictures"):
        load_record(tmp_path / "pictures.npz")
    for digests in (np.zeros(3), np.zeros((3, 1), np.uint64), np.zeros((), np.uint64)):
        np.savez(tmp_path / "pictures.npz", digests=digests, thumbnails=np.zeros((3, 32, 32), np.uint8))
        with pytest.raises(UserError, match="no record of pictures"):
            load_record(tmp_path / "pictures.npz")
    np.savez(tmp_path / "pictures.npz", digests=np.array([object()]), thumbnails=np.zeros((1, 32, 32), np.uint8))
    with pytest.raises(UserError, match="missing or damaged"):
        load_record(tmp_path / "pictures.npz")


def test_a_pipe_among_the_pictures_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert record_pictures([str(tmp_path / "pipe.png")]).digests.tolist() == [0]
