"""HEIC as phones make it: its pixels, which way up it is, and what is refused. The files are made by pillow-heif."""

import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from src import heif, imaging
from src.datasets.split import split_dataset
from src.datasets.split_settings import SplitSettings
from src.imaging import ImageError, decode_image, read_image, write_image
from src.verification import verify_image, verify_upload
from src.webapp.uploads import Upload
from tests.conftest import run_command
from tests.encoded import heic, with_orientation

RNG = np.random.default_rng(5)
# smooth, as HEVC's lossless mode is exact anyway and the files stay small; no axis of symmetry
SMOOTH = np.clip(np.add.outer(np.arange(96) * 1.2, np.arange(128) * 0.9)[..., None] + [0, 20, -30], 0, 255)
RGB = (SMOOTH + RNG.integers(0, 8, SMOOTH.shape)).clip(0, 255).astype(np.uint8)


TILED = heic(RGB, tile_size=64)  # as phones make them


@pytest.mark.parametrize("options", [{}, {"tile_size": 64}], ids=["one", "tiles"])
def test_lossless_pictures_come_out_exactly(options):
    decoded = decode_image(heic(RGB, **options))
    assert decoded.dtype == np.uint8 and np.array_equal(decoded, RGB)


def test_colours_of_a_usual_file_are_near():
    decoded = decode_image(heic(RGB, quality=90, chroma=420, matrix_coefficients=6))
    assert np.abs(decoded.astype(int) - RGB).mean() < 3
    assert np.abs(decoded.astype(int) - RGB[..., ::-1]).mean() > 20  # with red and blue exchanged they would not be


@pytest.mark.parametrize("twelve", [False, True])
@pytest.mark.parametrize("mode", ["RGB;16", "L;16"])
def test_more_bits_keep_the_upper_ones(monkeypatch, mode, twelve):
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", twelve)
    wide = RGB.astype(np.uint16) * 257
    pixels = wide if mode == "RGB;16" else wide[..., 0]
    options = {} if mode == "RGB;16" else {"matrix_coefficients": 6}
    encoded = heic(pixels, mode, **options)
    assert pillow_heif.open_heif(encoded).info["bit_depth"] == (12 if twelve else 10)
    expected = RGB if mode == "RGB;16" else np.repeat(RGB[..., :1], 3, axis=2)
    assert np.array_equal(decode_image(encoded), expected)


def test_gray_is_gray():
    decoded = decode_image(heic(RGB[..., 0], "L", matrix_coefficients=6))
    assert np.array_equal(decoded, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA"])
def test_transparent_places_are_white(mode):
    alpha = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (96, 1))
    color = np.repeat(RGB[..., :1], 3, axis=2) if mode == "LA" else RGB
    share = alpha[..., None] / 255
    stored = np.minimum(color, alpha[..., None]) if mode == "RGBa" else color
    pixels = np.dstack([stored[..., :1] if mode == "LA" else stored, alpha])
    options = {"matrix_coefficients": 6} if mode == "LA" else {}
    expected = (stored if mode == "RGBa" else stored * share) + 255 * (1 - share)
    assert np.abs(decode_image(heic(pixels, mode, **options)) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tiles", [None, 64])
def test_a_turned_picture_is_turned_once(orientation, tiles):
    """pillow-heif writes the orientation as irot and imir, and into EXIF as well, as phones do."""
    upright = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
               4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270,
               7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}[orientation]  # fmt: skip
    exif = with_orientation(orientation).tobytes()
    encoded = heic(RGB, exif=exif, **({"tile_size": tiles} if tiles else {}))
    assert b"Exif" in encoded and (orientation == 1 or b"irot" in encoded or b"imir" in encoded)
    image = Image.fromarray(RGB)
    expected = np.asarray(image.transpose(upright) if upright is not None else image)
    assert np.array_equal(decode_image(encoded), expected)


def test_the_orientation_of_exif_alone_means_nothing():
    encoded = heic(RGB, exif=with_orientation(6).tobytes()).replace(b"irot", b"free")
    assert b"free" in encoded and np.array_equal(decode_image(encoded), RGB)


def test_files_are_read_verified_and_named(tmp_path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(heic(RGB, exif=with_orientation(6).tobytes()))
    verified = verify_image(path)
    assert (verified.height, verified.width, verified.format, verified.frames) == (128, 96, "HEIF", 1)
    assert verified.suits("a.heic") and verified.suits("b.HIF") and not verified.suits("c.jpg")
    assert read_image(path, needed=(10, 10)).shape == (128, 96, 3)  # no reduced scale, and no harm
    assert all(map(imaging.is_picture_name, ("a.heic", "A.HEIC", "b.heif", "c.hif")))


def test_the_first_of_several_pictures_is_the_main_one(tmp_path):
    file = pillow_heif.HeifFile()
    for pixels in (RGB[:64], RGB):
        file.add_frombytes("RGB", pixels.shape[1::-1], pixels.tobytes())
    file.save(tmp_path / "two.heic", primary_index=1, quality=-1, chroma=444, matrix_coefficients=0)
    assert verify_image(tmp_path / "two.heic").frames == 2
    assert np.array_equal(read_image(tmp_path / "two.heic"), RGB)


@pytest.mark.parametrize("encoded", [heic(RGB), TILED], ids=["one", "tiles"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_off_file_is_refused(tmp_path, encoded, share):
    """libheif itself leaves the missing tiles out, and says nothing."""
    (tmp_path / "x.heic").write_bytes(encoded[: int(share * len(encoded))])
    with pytest.raises(ImageError, match="cut off|damaged"):
        verify_image(tmp_path / "x.heic")
    with pytest.raises(ImageError, match="cut off|damaged"):
        read_image(tmp_path / "x.heic")


def test_what_follows_the_boxes_does_not_count():
    assert np.array_equal(decode_image(TILED + b"\0\0\1\0SEFD some telephone's own"), RGB)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(imaging, "MAX_PIXELS", 96 * 128 - 1)
    with pytest.raises(ImageError, match="128 x 96 pixels are more than 12,287"):
        decode_image(TILED)


def _with_tiles(encoded: bytes, rows: int, columns: int) -> bytes:
    """The grid of 2 x 2 tiles as one of more, which names its first tile again and again; the box iref grows."""
    references = struct.pack(">HH", 1, 4) + struct.pack(">4H", 2, 3, 4, 5)
    place = encoded.index(b"dimg" + references)
    count = rows * columns
    longer = struct.pack(">HH", 1, count) + struct.pack(f">{count}H", *[2] * count)
    grown = 2 * (count - 4)
    changed = bytearray(encoded.replace(b"dimg" + references, b"dimg" + longer))
    for start in (place - 4, place - 16, encoded.index(b"meta") - 4):  # dimg, iref, meta
        size = struct.unpack_from(">I", encoded, start)[0]
        struct.pack_into(">I", changed, start, size + grown)
    grid = bytes([0, 0, 1, 1]) + struct.pack(">HH", 128, 96)
    assert grid in encoded
    start = changed.index(grid)
    changed[start + 2 : start + 4] = bytes([rows - 1, columns - 1])
    return bytes(changed)


def test_more_tiles_than_are_shown_are_refused():
    """Each would be decoded, at its full size, though nothing of it is seen."""
    with pytest.raises(heif.HeifError, match="more tiles than its size takes"):
        heif.measure_heif(_with_tiles(TILED, 20, 20), imaging.MAX_PIXELS)
    assert heif.measure_heif(TILED, imaging.MAX_PIXELS) == (96, 128, 1)


@pytest.mark.parametrize("width, height", [(10, 10), (100_000, 100_000), (10_000, 10_000)])
def test_a_size_that_is_not_the_true_one_is_refused(width, height):
    encoded = bytearray(heic(RGB))
    place = encoded.index(b"ispe") + 8
    encoded[place : place + 8] = struct.pack(">II", width, height)
    with pytest.raises(ImageError):
        decode_image(bytes(encoded))


def _mutated(encoded: bytes, seed: int) -> bytes:
    """A few bytes changed, mostly of the boxes, some left out or put in."""
    rng = np.random.default_rng(seed)
    changed = bytearray(encoded)
    end = encoded.index(b"mdat") + 8 if seed % 3 else len(encoded)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(8, end))
        action = rng.integers(0, 8)
        if action == 0:
            del changed[place : place + int(rng.integers(1, 20))]
        elif action == 1:
            changed[place:place] = rng.bytes(int(rng.integers(1, 20)))
        else:
            changed[place : place + 1] = rng.bytes(1)
    return bytes(changed)


def test_damaged_files_are_pictures_or_errors_of_ours():
    outcomes = {"read": 0, "refused": 0}
    for seed in range(400):
        try:
            decoded = decode_image(_mutated(TILED if seed % 2 else heic(RGB[:32, :32]), seed))
            assert decoded.dtype == np.uint8 and decoded.ndim == 3 and decoded.shape[2] == 3
            outcomes["read"] += 1
        except ImageError as error:
            assert error.reason
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100 and outcomes["read"] > 10


def test_pictures_are_read_at_once_in_threads():
    files = [heic(np.roll(RGB, shift, axis=1)) for shift in range(6)]
    with ThreadPoolExecutor(4) as threads:
        decoded = list(threads.map(decode_image, files * 4))
    assert all(np.array_equal(each, np.roll(RGB, place % 6, axis=1)) for place, each in enumerate(decoded))


@pytest.mark.parametrize(
    "head, told",
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", True),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", True),
        (b"\0\0\0\x14ftyphevc\0\0\0\0mif1", True),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", False),
        (b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf", False),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", False),
        (b"\xff\xd8\xff\xe0", False),
        (b"", False),
    ],
)
def test_heif_is_told_by_its_brands(head, told):
    assert heif.is_heif(head) is told


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heif._library.cache_clear()
    try:
        (tmp_path / "x.heic").write_bytes(TILED)
        for read in (verify_image, read_image):
            with pytest.raises(ImageError, match=r"x.heic: a HEIC photograph.*pip install -r requirements.txt$"):
                read(tmp_path / "x.heic")
    finally:
        monkeypatch.undo()
        heif._library.cache_clear()


def test_uploads_are_taken_and_bounded():
    upload = Upload.open(TILED)
    assert np.array_equal(upload.shown, RGB)
    with pytest.raises(ImageError, match="too many for a HEIC; send a JPEG"):
        verify_upload(TILED, "it", 2**20, 96 * 128 + 100)
    with pytest.raises(ImageError, match="larger than"):
        verify_upload(TILED, "it", 100, 10**6)
    with pytest.raises(ImageError, match="cut off"):
        Upload.open(TILED[:-50])


def test_a_folder_of_heic_is_split_and_the_broken_one_set_aside(tmp_path):
    for index, name in enumerate(("dark", "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng([index, number]).integers(100 * index, 100 * index + 99, (40, 40, 3))
            (tmp_path / "photos" / name / f"IMG_{number}.HEIC").write_bytes(heic(pixels.astype(np.uint8)))
    write_image(tmp_path / "photos" / "dark" / "jpeg.jpg", RGB)
    (tmp_path / "photos" / "light" / "short.HEIC").write_bytes(TILED[:-50])
    manifest = split_dataset(SplitSettings(source=str(tmp_path / "photos"), output=str(tmp_path / "data")))
    placed = {name: sum(counts[name] for counts in manifest.counts.values()) for name in ("dark", "light")}
    assert placed == {"dark": 9, "light": 8}
    assert [entry["path"] for entry in manifest.set_aside] == ["light/short.HEIC"]
    assert "cut off" in manifest.set_aside[0]["reason"]


@pytest.mark.commands
def test_the_package_is_loaded_only_for_heif(tmp_path):
    write_image(tmp_path / "x.jpg", RGB)
    (tmp_path / "x.heic").write_bytes(TILED)
    code = (
        "import sys; from src.imaging import read_image; read_image(sys.argv[1]); print('pillow_heif' in sys.modules)"
    )
    assert run_command("-c", code, tmp_path / "x.jpg").stdout.strip() == "False"
    assert run_command("-c", code, tmp_path / "x.heic").stdout.strip() == "True"
