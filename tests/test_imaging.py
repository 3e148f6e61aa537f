"""Any picture that OpenCV or Pillow writes comes out as RGB uint8, upright; what is no picture comes as ImageError."""

import io
import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from src import imaging
from src.imaging import ImageError
from src.jpeg import has_many_scans
from src.threads import WORKERS
from src.verification import verify_image
from tests.encoded import GRAY, RGB, RGBA, pillow, with_orientation
from tests.faults.pictures import broken_moving_png, many_scans

GRAY_AS_RGB = np.repeat(GRAY[..., None], 3, axis=2)
PALETTE = Image.fromarray(RGB).quantize(64)


def opencv(suffix, image) -> bytes:
    return cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image)[1].tobytes()


def over_white(rgba) -> np.ndarray:
    color, alpha = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return (color * alpha + 255 * (255 - alpha) + 127) // 255


def wide(image, low=0) -> np.ndarray:
    return (image.astype(np.uint16) << 8) | low


LOSSLESS = {
    **{f"rgb {kind}": (pillow(RGB, kind), RGB) for kind in ("PNG", "BMP", "TIFF", "PPM", "JPEG2000")},
    **{f"gray {kind}": (pillow(GRAY, kind), GRAY_AS_RGB) for kind in ("PNG", "BMP", "TIFF", "PPM")},
    **{f"palette {kind}": (pillow(PALETTE, kind), np.array(PALETTE.convert("RGB"))) for kind in ("PNG", "TIFF", "GIF")},
    **{
        f"1 bit {kind}": (pillow(Image.fromarray(GRAY > 99), kind), (GRAY_AS_RGB > 99) * 255)
        for kind in ("PNG", "TIFF")
    },
    "rgb WEBP": (pillow(RGB, "WEBP", lossless=True), RGB),
    "gray 16 bit PNG": (opencv(".png", wide(GRAY, 200)), GRAY_AS_RGB),
    "rgb 16 bit PNG": (opencv(".png", wide(RGB, 200)), RGB),
    "gray 16 bit TIFF": (pillow(wide(GRAY), "TIFF"), GRAY_AS_RGB),
    "gray 32 bit TIFF": (pillow(GRAY.astype(np.int32), "TIFF"), GRAY_AS_RGB),
    "float 0..1 gray TIFF": (opencv(".tiff", GRAY / np.float32(255)), GRAY_AS_RGB),
    "float 0..1 rgb TIFF": (opencv(".tiff", RGB / np.float32(255)), RGB),
    "float 0..255 gray TIFF": (pillow(GRAY.astype(np.float32), "TIFF"), GRAY_AS_RGB),
    "double 0..1 gray TIFF": (opencv(".tiff", GRAY / np.float64(255)), GRAY_AS_RGB),
    "rgba PNG": (pillow(RGBA, "PNG"), over_white(RGBA)),
    "rgba TIFF": (pillow(RGBA, "TIFF"), over_white(RGBA)),
    "rgba WEBP": (pillow(RGBA, "WEBP", lossless=True, exact=True), over_white(RGBA)),
    "rgba 16 bit PNG": (cv2.imencode(".png", wide(RGBA[..., [2, 1, 0, 3]]))[1].tobytes(), over_white(RGBA)),
    "gray and alpha PNG": (
        pillow(Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(RGB[..., 0])]), "PNG"),
        over_white(np.dstack([GRAY_AS_RGB, RGB[..., 0]])),
    ),
    **{
        f"palette with transparency {kind}": (
            data := pillow(PALETTE, kind, transparency=3),
            over_white(np.array(Image.open(io.BytesIO(data)).convert("RGBA"))),
        )
        for kind in ("PNG", "GIF")
    },
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_come_out_exactly(name):
    data, expected = LOSSLESS[name]
    image = imaging.decode_image(data, name)
    assert image.dtype == np.uint8 and image.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(image, expected)


def test_16_bit_rgb_tiff_within_one_level():
    image = imaging.decode_image(opencv(".tiff", wide(RGB, 7)))
    np.testing.assert_allclose(image.astype(int), RGB, atol=1)


def test_float_tiff_with_nan_and_beyond_255():
    values = GRAY.astype(np.float32) * 1000
    values[3, 4] = np.nan
    image = imaging.decode_image(opencv(".tiff", values))
    expected = np.rint(np.nan_to_num(values) / np.nanmax(values) * 255)
    np.testing.assert_array_equal(image[..., 0], expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_agrees_with_pillow(mode):
    smooth = cv2.resize(RGB, (90, 60), interpolation=cv2.INTER_CUBIC)
    data = pillow(Image.fromarray(smooth).convert(mode), "JPEG", quality=95)
    expected = np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    np.testing.assert_allclose(imaging.decode_image(data), expected, atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("pixels", [RGB, RGBA], ids=["rgb", "rgba"])
def test_exif_orientation_is_applied(kind, pixels, orientation):
    if kind == "JPEG":
        pixels = RGB
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    data = pillow(pixels, kind, exif=with_orientation(orientation), **options)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    expected = over_white(expected) if expected.shape[2] == 4 else expected
    np.testing.assert_allclose(imaging.decode_image(data).astype(int), expected, atol=3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("block", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0"])
def test_damaged_exif_damages_no_pixel(block):
    np.testing.assert_array_equal(imaging.decode_image(pillow(RGBA, "PNG", exif=block)), over_white(RGBA))


def test_pictures_are_read_in_batches_in_order():
    def read(path):
        if path == "bad":
            raise imaging.ImageError(path, "bad")
        return np.full((1, 1, 3), int(path), np.uint8)

    batches = list(imaging.read_in_batches(["1", "bad", "3", "4", "bad"], read, 2))
    assert [indices for indices, _, _ in batches] == [[0], [2, 3], []]
    assert [images[..., 0].ravel().tolist() for _, images, _ in batches] == [[1], [3, 4], []]
    assert [[error.path for error in errors] for _, _, errors in batches] == [["bad"], [], ["bad"]]


def test_the_next_batch_is_read_meanwhile_and_no_more():
    size = 8 * WORKERS + 5  # more than threads hold in any case
    begun, all_begun = [], threading.Event()

    def read(path):
        begun.append(path)
        if len(begun) == 2 * size:
            all_begun.set()
        return np.zeros((1, 1, 3), np.uint8)

    batches = imaging.read_in_batches([str(number) for number in range(3 * size)], read, size)
    next(batches)
    assert all_begun.wait(5) and len(begun) == 2 * size
    assert sum(len(images) for _, images, _ in batches) == 2 * size


def test_read_image_opens_any_name(tmp_path):
    path = tmp_path / "žluťoučký kůň 馬.png"
    imaging.write_image(path, RGB)
    np.testing.assert_array_equal(imaging.read_image(path), RGB)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not a picture at all" * 9, "not a readable picture"),
        (pillow(np.tile(RGB, (9, 9, 1)), "JPEG")[:9000], "cut off"),
        (pillow(RGB, "PNG")[:700], "cut off"),
        (pillow(RGB, "TIFF")[:500], "not a readable picture"),
    ],
)
def test_unreadable_files_name_themselves_and_say_why(tmp_path, capfd, content, reason):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for read in (imaging.read_image, verify_image):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert caught.value.path == str(path) and str(path) in str(caught.value) and caught.value.reason
        if read is imaging.read_image:
            assert reason in caught.value.reason
    assert capfd.readouterr().err == ""  # OpenCV's own C messages are silenced


def test_missing_and_too_large_files(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="no such file"):
        imaging.read_image(tmp_path / "missing.png")
    imaging.write_image(tmp_path / "x.png", RGB)
    monkeypatch.setattr(imaging, "MAX_FILE_BYTES", 100)
    for read in (imaging.read_image, verify_image):
        with pytest.raises(ImageError, match="larger than"):
            read(tmp_path / "x.png")


def test_a_small_file_with_too_many_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(ImageError, match="pixels"):
        verify_image(path)
    # In its own process: OpenCV takes the limit when it is loaded, which another test may have done before.
    code = """
import sys
from src import imaging
try:
    imaging.read_image(sys.argv[1])
except imaging.ImageError as error:
    print(error.reason)
"""
    answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"more than {imaging.MAX_PIXELS:,} pixels"


def test_the_reason_does_not_repeat_the_path(tmp_path):
    for read in (imaging.read_image, verify_image):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "missing.png")
        assert "missing.png" not in caught.value.reason


def test_picture_names():
    names = ["a.JPG", "b.webp", ".hidden.png", "._a.jpg", "notes.txt", "c.tiff"]
    assert [name for name in names if imaging.is_picture_name(name)] == ["a.JPG", "b.webp", "c.tiff"]


@pytest.mark.parametrize("pixels", [RGB, RGBA, GRAY], ids=["rgb", "rgba", "gray"])
@pytest.mark.parametrize("hidden", [True, False])
def test_of_a_png_that_moves_the_first_picture_is_read(pixels, hidden):
    frames = {"save_all": True, "default_image": hidden, "append_images": [Image.fromarray(pixels[::-1].copy())]}
    expected = imaging.decode_image(pillow(pixels, "PNG"))
    np.testing.assert_array_equal(imaging.decode_image(pillow(pixels, "PNG", **frames)), expected)


def test_a_broken_png_that_moves_does_not_end_the_process():
    """In its own process, which OpenCV, left to itself, ends (opencv/opencv#27744)."""
    code = "import sys\nfrom src.imaging import decode_image\nprint(decode_image(sys.stdin.buffer.read()).shape)"
    answer = subprocess.run([sys.executable, "-c", code], input=broken_moving_png(RGBA), capture_output=True)
    assert answer.returncode == 1 and b"ImageError: picture: not a readable picture" in answer.stderr


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "device.png", "."):
        for read in (imaging.read_image, verify_image):
            with pytest.raises(ImageError, match="no file, but a folder, a pipe or a device"):
                read(tmp_path / name)


def test_a_jpeg_of_many_scans_is_refused_and_what_lies_behind_it_does_not_count(tmp_path):
    data = pillow(np.tile(RGB, (2, 2, 1)), "JPEG", progressive=True)
    film = b"\xff\xda" * 500
    (tmp_path / "film.jpg").write_bytes(data + film)
    assert imaging.read_image(tmp_path / "film.jpg").shape == (40, 60, 3) and verify_image(tmp_path / "film.jpg")
    (tmp_path / "note.jpg").write_bytes(data[:2] + b"\xff\xe5\x03\xea" + film + data[2:])
    assert imaging.read_image(tmp_path / "note.jpg").shape == (40, 60, 3) and verify_image(tmp_path / "note.jpg")
    end = b"\xff\xfe\0\4\xff\xd9"  # a comment that looks like the end
    for hidden in (b"", end):
        jpeg = many_scans(data, 300)
        place = jpeg.index(b"\xff\xda")
        (tmp_path / "scans.jpg").write_bytes(jpeg[:place] + hidden + jpeg[place:])
        for read in (imaging.read_image, verify_image):
            with pytest.raises(ImageError, match="more than 100 scans"):
                read(tmp_path / "scans.jpg")


def test_a_transparent_picture_of_many_rows_is_whole():
    rgba = np.tile(RGBA, (7, 1, 1))
    np.testing.assert_array_equal(imaging.decode_image(pillow(rgba, "PNG")), over_white(rgba))


def test_scans_that_hide_behind_a_marker_without_a_length_are_counted():
    """Decoders pass over FF01; taken for a segment, the two bytes behind it would be the length of what it hides."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(stream, "JPEG", progressive=True)
    picture = stream.getvalue()
    last = picture.rfind(b"\xff\xda")
    scan = picture[last:-2]
    assert not has_many_scans(picture)
    hidden = picture[:last] + b"\xff\x01" + 200 * scan + picture[-2:]
    with pytest.raises(ImageError, match="scans"):
        imaging.decode_image(hidden)
