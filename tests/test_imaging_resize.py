"""Pictures are resized by whole blocks and then between them; a large JPEG may be decoded reduced."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from src import imaging
from src.imaging import ImageError
from tests.encoded import GRAY, RGB, pillow, with_orientation


@pytest.mark.parametrize("size", [(7, 11), (40, 25), (33, 61), (20, 10)])
def test_nearest_is_pillows(size):
    expected = np.array(Image.fromarray(RGB).resize(size[::-1], Image.NEAREST))
    np.testing.assert_array_equal(imaging.resize_image(RGB, size, "nearest"), expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("blocks", [(2, 2), (1, 2), (2, 1), (4, 5), (3, 1)])
def test_shrinking_to_a_whole_part_averages_blocks(interpolation, blocks):
    """Rows and columns that fill no block are left out, half of them at each edge."""
    rows, columns = blocks
    size = (RGB.shape[0] // rows, RGB.shape[1] // columns)
    top, left = (RGB.shape[0] - size[0] * rows) // 2, (RGB.shape[1] - size[1] * columns) // 2
    inner = RGB[top : top + size[0] * rows, left : left + size[1] * columns]
    expected = inner.reshape(size[0], rows, size[1], columns, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(imaging.resize_image(RGB, size, interpolation), expected, atol=0.51)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("sides", "blocks"), [((30, 24), (1, 1)), ((48, 30), (2, 1)), ((60, 75), (3, 3))])
def test_what_is_left_is_interpolated_between_the_blocks(interpolation, sides, blocks):
    """On a picture whose values grow evenly every kernel gives (OpenCV's cubic: nearly) the new pixel's place."""
    height, width = sides
    wanted = (20, 21)
    x = (np.arange(width) + 0.5) / width
    y = (np.arange(height) + 0.5) / height
    image = np.repeat((100 * y[:, None] + 80 * x)[..., None], 3, axis=2).astype(np.float32)
    height, width = (side // block * block for side, block in zip(sides, blocks))
    offsets = [(side - inner) // 2 for side, inner in zip(sides, (height, width))]
    y = (offsets[0] + (np.arange(wanted[0]) + 0.5) * height / wanted[0]) / sides[0]
    x = (offsets[1] + (np.arange(wanted[1]) + 0.5) * width / wanted[1]) / sides[1]
    expected = 100 * y[:, None] + 80 * x
    result = imaging.resize_image(image, wanted, interpolation)[..., 0]
    np.testing.assert_allclose(result[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.4)


def test_fine_texture_of_a_large_picture_does_not_alias():
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 200
    for interpolation in ("bilinear", "bicubic", "lanczos"):
        small = imaging.resize_image(stripes, (40, 40), interpolation).astype(int)
        assert abs(small - 100).max() <= 20, interpolation  # 7 pixels make a block, of which 3 or 4 are bright


def test_bilinear_enlarges_as_pillow_does_and_each_name_differs():
    expected = np.array(Image.fromarray(RGB).resize((61, 33), Image.BILINEAR)).astype(int)
    np.testing.assert_allclose(imaging.resize_image(RGB, (33, 61), "bilinear"), expected, atol=1)
    enlarged = [imaging.resize_image(RGB, (33, 61), name) for name in imaging.INTERPOLATIONS]
    assert all((a != b).any() for i, a in enumerate(enlarged) for b in enlarged[:i])


def test_resize_keeps_dtype_and_refuses_unknown_names():
    assert imaging.resize_image(RGB.astype(np.float32), (10, 10)).dtype == np.float32
    assert imaging.resize_image(GRAY, (10, 12)).shape == (10, 12)
    with pytest.raises(ValueError, match="Received: cubic"):
        imaging.resize_image(RGB, (10, 10), "cubic")


@pytest.mark.parametrize(("size", "rows", "columns"), [((5, 5), (0, 20), (5, 25)), ((4, 12), (5, 15), (0, 30))])
def test_crop_to_aspect_takes_the_centre(size, rows, columns):
    np.testing.assert_array_equal(imaging.crop_to_aspect(RGB, size), RGB[slice(*rows), slice(*columns)])


def large_jpeg(height=488, width=616, mode="RGB", **options) -> bytes:
    """A smooth picture with a different colour in each corner."""
    corners = np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [240, 240, 240]]], np.uint8)
    image = Image.fromarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_CUBIC)).convert(mode)
    return pillow(image, "JPEG", **options)


SIZE = (30, 40)
REDUCED = {  # the encoded picture, and how many times smaller than whole it is decoded for SIZE
    **{f"orientation {n}": (large_jpeg(exif=with_orientation(n)), 8) for n in range(1, 9)},
    "odd sides": (large_jpeg(485, 611), 8),
    "odd sides, turned": (large_jpeg(485, 611, exif=with_orientation(6)), 1),  # its partial blocks lie elsewhere
    "even sides, turned": (large_jpeg(490, 610, exif=with_orientation(6)), 2),
    "just an eighth": (large_jpeg(320, 400), 8),
    "a quarter": (large_jpeg(319, 400), 4),
    "a half": (large_jpeg(100, 100), 2),
    "too small": (large_jpeg(79, 400), 1),
    "progressive": (large_jpeg(progressive=True), 8),
    "CMYK": (large_jpeg(mode="CMYK"), 8),
    "gray": (large_jpeg(mode="L"), 8),
    "restart markers": (large_jpeg(restart_marker_blocks=3), 8),
    "a thumbnail": (large_jpeg(exif=b"Exif\0\0II*\0\x08\0\0\0\0\0" + bytes(4) + large_jpeg(16, 16)), 8),
    "fill bytes": (large_jpeg().replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1), 8),
    "a header cut short": (large_jpeg()[:150], None),
    "PNG": (pillow(Image.open(io.BytesIO(large_jpeg())), "PNG"), 1),
}


@pytest.mark.parametrize("name", REDUCED)
def test_reduced_decoding_equals_the_whole_one(name):
    encoded, factor = REDUCED[name]
    if factor is None:
        with pytest.raises(ImageError, match="not a readable picture"):
            imaging.decode_image(encoded, needed=SIZE)
        return
    whole, reduced = imaging.decode_image(encoded), imaging.decode_image(encoded, needed=SIZE)
    assert [round(side / factor) for side in whole.shape[:2]] == list(reduced.shape[:2])
    assert reduced.flags["C_CONTIGUOUS"]
    for crop in (lambda image: image, lambda image: imaging.crop_to_aspect(image, SIZE)):
        a, b = (imaging.resize_image(crop(image), SIZE).astype(int) for image in (whole, reduced))
        np.testing.assert_allclose(a, b, atol=10)
        assert abs(a - b).mean() < 2.5


def test_a_damaged_length_in_the_header_leaves_the_plain_decoding():
    encoded = large_jpeg()
    at = encoded.index(b"\xff\xe0") + 2  # OpenCV looks for the next marker itself
    encoded = encoded[:at] + b"\0\x03" + encoded[at + 2 :]
    np.testing.assert_array_equal(imaging.decode_image(encoded, needed=SIZE), imaging.decode_image(encoded))


def test_a_cut_off_jpeg_is_refused_at_any_scale():
    encoded = pillow(np.tile(RGB, (20, 20, 1)), "JPEG")
    with pytest.raises(ImageError, match="cut off"):
        imaging.decode_image(encoded[: len(encoded) // 2], needed=(40, 40))


def test_load_image_reads_reduced_but_for_nearest(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    path.write_bytes(large_jpeg(640, 800))
    whole = imaging.read_image(path)
    nearest = np.array(Image.fromarray(whole).resize(SIZE[::-1], Image.NEAREST))
    np.testing.assert_array_equal(imaging.load_image(path, SIZE, "nearest"), nearest)
    for crop in (False, True):
        reduced = imaging.read_image(path, needed=SIZE)
        assert reduced.shape == (80, 100, 3)
        reduced = imaging.crop_to_aspect(reduced, SIZE) if crop else reduced
        expected = imaging.resize_image(reduced, SIZE)
        np.testing.assert_array_equal(imaging.load_image(path, SIZE, "bilinear", crop), expected)


def test_a_reduced_picture_may_have_no_more_pixels_than_a_whole_one(monkeypatch):
    monkeypatch.setattr(imaging, "MAX_PIXELS", 640 * 800 - 1)
    assert imaging.decode_image(large_jpeg(640, 800), needed=SIZE).shape == (640, 800, 3)  # OpenCV knows its own limit
