"""Any picture that OpenCV or Pillow writes comes out as RGB uint8, upright; what is no picture comes as ImageError."""

import io
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from src import imaging
from src.imaging import ImageError
from src.threads import WORKERS

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
RGBA = np.dstack([RGB, GRAY])
GRAY_AS_RGB = np.repeat(GRAY[..., None], 3, axis=2)
PALETTE = Image.fromarray(RGB).quantize(64)


def pillow(image, kind, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


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
    exif = Image.Exif()
    exif[0x112] = orientation
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    data = pillow(pixels, kind, exif=exif, **options)
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
    for read in (imaging.read_image, imaging.verify_image):
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
    for read in (imaging.read_image, imaging.verify_image):
        with pytest.raises(ImageError, match="larger than"):
            read(tmp_path / "x.png")


def test_a_small_file_with_too_many_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(ImageError, match="pixels"):
        imaging.verify_image(path)
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


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_verify_refuses_a_cut_off_jpeg(tmp_path, share):
    data = pillow(np.tile(RGB, (9, 9, 1)), "JPEG")
    (tmp_path / "x.jpg").write_bytes(data)
    assert imaging.verify_image(tmp_path / "x.jpg") == (180, 270)
    (tmp_path / "x.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match="cut off"):
        imaging.verify_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["BLP", "DDS", "DIB", "ICNS", "ICO", "IM", "PCX", "QOI", "SGI", "TGA"])
def test_verify_refuses_what_only_pillow_reads(tmp_path, kind):
    image = PALETTE if kind == "BLP" else Image.fromarray(cv2.resize(RGB, (32, 32)))
    (tmp_path / "x.jpg").write_bytes(pillow(image, kind))
    for read in (imaging.read_image, imaging.verify_image):
        with pytest.raises(ImageError, match="picture"):
            read(tmp_path / "x.jpg")


def test_verify_never_starts_another_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "check_call", lambda *values, **_: started.append(values))
    (tmp_path / "x.jpg").write_bytes(pillow(RGB, "EPS"))
    with pytest.raises(ImageError, match="not a picture"):
        imaging.verify_image(tmp_path / "x.jpg")
    assert not started


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_verify_accepts_every_tiff_that_can_be_read(tmp_path, kind, shape):
    path = tmp_path / "x.tiff"
    path.write_bytes(cv2.imencode(".tiff", RNG.normal(0, 99, shape).astype(kind))[1].tobytes())
    assert imaging.read_image(path).shape == (20, 30, 3) and imaging.verify_image(path) == (20, 30)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError):
        imaging.verify_image(path)


@pytest.mark.parametrize("name", LOSSLESS)
def test_verify_accepts_what_can_be_read(tmp_path, name):
    (tmp_path / "x.jpg").write_bytes(LOSSLESS[name][0])
    assert imaging.verify_image(tmp_path / "x.jpg") == (20, 30)


def test_verify_accepts_only_what_can_be_read(tmp_path, monkeypatch):
    """A kind of which Pillow reads variants that OpenCV does not."""
    (tmp_path / "x.tiff").write_bytes(pillow(RGB, "TIFF"))

    def refuse(path):
        raise ImageError(path, "not a readable picture")

    monkeypatch.setattr(imaging, "read_image", refuse)
    with pytest.raises(ImageError, match="not a readable picture"):
        imaging.verify_image(tmp_path / "x.tiff")


def test_verify_is_silent_about_large_pictures_and_odd_headers(tmp_path):
    Image.new("1", (10_400, 10_400)).save(tmp_path / "large.png")
    jpeg = pillow(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + bytes(9))
    (tmp_path / "odd.jpg").write_bytes(jpeg)
    code = "import sys; from src.imaging import verify_image; print([verify_image(path) for path in sys.argv[1:]])"
    paths = [str(tmp_path / name) for name in ("large.png", "odd.jpg")]
    answer = subprocess.run([sys.executable, "-W", "default", "-c", code, *paths], capture_output=True, text=True)
    assert answer.stdout.strip() == "[(10400, 10400), (20, 30)]" and answer.stderr == ""


def test_the_reason_does_not_repeat_the_path(tmp_path):
    for read in (imaging.read_image, imaging.verify_image):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "missing.png")
        assert "missing.png" not in caught.value.reason


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


def with_orientation(orientation) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


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


def test_picture_names():
    names = ["a.JPG", "b.webp", ".hidden.png", "._a.jpg", "notes.txt", "c.tiff"]
    assert [name for name in names if imaging.is_picture_name(name)] == ["a.JPG", "b.webp", "c.tiff"]
