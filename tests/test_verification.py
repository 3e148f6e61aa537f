"""What is decoded to its end, and damage that other readers pass over."""

import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from src import verification
from src.imaging import ImageError, read_image
from src.verification import IRREGULAR, Verified, find_damage, verify_image
from tests.encoded import RGB, RNG, pillow
from tests.faults.fuzz_pictures import join_png, split_jpeg, split_png
from tests.test_imaging import LOSSLESS, PALETTE


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_verify_refuses_a_cut_off_jpeg(tmp_path, share):
    data = pillow(np.tile(RGB, (9, 9, 1)), "JPEG")
    (tmp_path / "x.jpg").write_bytes(data)
    assert verify_image(tmp_path / "x.jpg") == Verified(180, 270, "JPEG", 1)
    (tmp_path / "x.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match="cut off"):
        verify_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["BLP", "DDS", "DIB", "ICNS", "ICO", "IM", "PCX", "QOI", "SGI", "TGA"])
def test_verify_refuses_what_only_pillow_reads(tmp_path, kind):
    image = PALETTE if kind == "BLP" else Image.fromarray(cv2.resize(RGB, (32, 32)))
    (tmp_path / "x.jpg").write_bytes(pillow(image, kind))
    for read in (read_image, verify_image):
        with pytest.raises(ImageError, match="picture"):
            read(tmp_path / "x.jpg")


def test_verify_never_starts_another_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "check_call", lambda *values, **_: started.append(values))
    (tmp_path / "x.jpg").write_bytes(pillow(RGB, "EPS"))
    with pytest.raises(ImageError, match="not a picture"):
        verify_image(tmp_path / "x.jpg")
    assert not started


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_verify_accepts_every_tiff_that_can_be_read(tmp_path, kind, shape):
    path = tmp_path / "x.tiff"
    path.write_bytes(cv2.imencode(".tiff", RNG.normal(0, 99, shape).astype(kind))[1].tobytes())
    assert read_image(path).shape == (20, 30, 3) and verify_image(path) == Verified(20, 30, "TIFF", 1)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError):
        verify_image(path)


@pytest.mark.parametrize("name", LOSSLESS)
def test_verify_accepts_what_can_be_read(tmp_path, name):
    (tmp_path / "x.jpg").write_bytes(LOSSLESS[name][0])
    verified = verify_image(tmp_path / "x.jpg")
    assert (verified.height, verified.width, verified.frames) == (20, 30, 1)
    assert find_damage(tmp_path / "x.jpg", verified) is None


def test_verify_accepts_only_what_can_be_read(tmp_path, monkeypatch):
    """A kind of which Pillow reads variants that OpenCV does not."""
    (tmp_path / "x.tiff").write_bytes(pillow(RGB, "TIFF"))

    def refuse(path):
        raise ImageError(path, "not a readable picture")

    monkeypatch.setattr(verification, "read_image", refuse)
    with pytest.raises(ImageError, match="not a readable picture"):
        verify_image(tmp_path / "x.tiff")


def test_verify_is_silent_about_large_pictures_and_odd_headers(tmp_path):
    Image.new("1", (10_400, 10_400)).save(tmp_path / "large.png")
    jpeg = pillow(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + bytes(9))
    (tmp_path / "odd.jpg").write_bytes(jpeg)
    code = "import sys; from src.verification import verify_image as v; print([v(p).height for p in sys.argv[1:]])"
    paths = [str(tmp_path / name) for name in ("large.png", "odd.jpg")]
    answer = subprocess.run([sys.executable, "-W", "default", "-c", code, *paths], capture_output=True, text=True)
    assert answer.stdout.strip() == "[10400, 20]" and answer.stderr == ""


# ------------------------------------------------------------------------------------------------- formats and frames


@pytest.mark.parametrize(
    "kind, right, wrong",
    [("JPEG", "a.JPG", "a.png"), ("PNG", "a.png", "a.jpg"), ("GIF", "a.gif", "a.jpeg"), ("WEBP", "a.webp", "a.jpg"),
     ("TIFF", "a.tif", "a.bmp"), ("BMP", "a.bmp", "a.tiff"), ("PPM", "a.ppm", "a.png")],
)  # fmt: skip
def test_a_name_suits_its_content_or_not(tmp_path, kind, right, wrong):
    (tmp_path / "x").write_bytes(pillow(RGB, kind))
    verified = verify_image(tmp_path / "x")
    assert verified.format == kind and verified.suits(right) and not verified.suits(wrong)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_frames_are_counted(tmp_path, kind):
    frames = [Image.fromarray(np.roll(RGB, shift, axis=0)) for shift in range(3)]
    frames[0].save(tmp_path / "x", format=kind, save_all=True, append_images=frames[1:])
    assert verify_image(tmp_path / "x").frames == 3


def test_previews_behind_a_jpeg_are_no_frames(tmp_path):
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[:10, :10])]
    frames[0].save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=frames[1:])
    verified = verify_image(tmp_path / "x.jpg")
    assert (verified.format, verified.frames) == ("JPEG", 1) and find_damage(tmp_path / "x.jpg", verified) is None


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04" + bytes(40), "a zip archive"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "damaged or of a kind that cannot be read"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "a video"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (bytes(4096), "nothing but zeros"),
        (b"", "empty"),
        (b"some text", "not a picture of a kind that can be read"),
    ],
)
def test_strangers_are_named(tmp_path, content, reason):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        verify_image(tmp_path / "x.jpg")


# --------------------------------------------------------------------------------------------------- hidden damage


def photograph():
    """Enough of texture for a JPEG of 30,000 bytes."""
    coarse = np.random.default_rng(5).integers(0, 256, (40, 50, 3), np.uint8)
    return cv2.resize(coarse, (400, 320), interpolation=cv2.INTER_CUBIC)


def zeroed(data):
    middle = len(data) // 2
    return data[:middle] + bytes(len(data) // 10) + data[middle + len(data) // 10 :]


DAMAGES = {
    "zeroed": zeroed,
    "a piece is missing": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 700 :],
    "cut, and ended anew": lambda data: data[: len(data) * 2 // 3] + b"\xff\xd9",
    "line ends changed": lambda data: data[:700] + data[700:].replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_within_a_jpeg_is_found(tmp_path, damage):
    path = tmp_path / "x.jpg"
    data = pillow(photograph(), "JPEG", quality=90)
    path.write_bytes(data)
    verified = verify_image(path)
    assert find_damage(path, verified) is None
    path.write_bytes(DAMAGES[damage](data))
    assert verify_image(path) == verified  # to Pillow it is as good as before
    assert find_damage(path, verified).startswith(IRREGULAR if damage == "line ends changed" else "damaged")


def test_a_lost_block_is_found_where_the_decoder_says_nothing(tmp_path, monkeypatch):
    import simplejpeg

    path = tmp_path / "x.jpg"
    data = pillow(photograph(), "JPEG", quality=90)
    path.write_bytes(data[:9000] + bytes(512) + data[9512:])
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: None)
    assert find_damage(path, Verified(320, 400, "JPEG", 1)) == "damaged (a block of zeros amid its data)"
    for behind in (bytes(5000), bytes(5000) + data, bytes(400) + b"film \xff\xd9 film"):  # as of phones, no damage
        path.write_bytes(data + behind)
        assert find_damage(path, Verified(320, 400, "JPEG", 1)) is None


@pytest.mark.parametrize("place", [-2, -1])
def test_a_few_bytes_too_many_are_another_matter(tmp_path, place):
    """As in some pictures of Kaggle's dogs and cats, whose every pixel is right."""
    path = tmp_path / "x.jpg"
    data = pillow(photograph(), "JPEG", quality=90)
    path.write_bytes(data[:-2] + bytes(40 * -place) + data[-2:])
    assert find_damage(path, verify_image(path)).startswith(IRREGULAR)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_flat_jpegs_have_long_runs_of_equal_codes_and_are_sound(tmp_path, mode, optimize):
    path = tmp_path / "x.jpg"
    image = np.full((2000, 2000, 3), 255, np.uint8)
    image[:40, :40] = photograph()[:40, :40]
    path.write_bytes(pillow(Image.fromarray(image).convert(mode), "JPEG", optimize=optimize))
    assert find_damage(path, verify_image(path)) is None


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"subsampling": 0}])
def test_sound_jpegs_of_all_kinds_pass(tmp_path, mode, options):
    path = tmp_path / "x.jpg"
    path.write_bytes(pillow(Image.fromarray(photograph()).convert(mode), "JPEG", **options) + b"notes behind the end")
    assert find_damage(path, verify_image(path)) is None


def test_a_broken_checksum_within_a_png_is_found(tmp_path):
    path = tmp_path / "x.png"
    data = bytearray(pillow(photograph(), "PNG"))
    path.write_bytes(data)
    verified = verify_image(path)
    assert find_damage(path, verified) is None
    place = data.index(b"IDAT")
    length = int.from_bytes(data[place - 4 : place], "big")
    assert int.from_bytes(data[place + 4 + length : place + 8 + length], "big") == zlib.crc32(
        data[place : place + 4 + length]
    )
    data[place + 4 + length] ^= 255
    path.write_bytes(data)
    assert "damaged" in find_damage(path, verified)


def test_what_pillow_alone_makes_a_picture_of_does_not_pass(tmp_path):
    """A PNG whose data end too soon, with every checksum right; a JPEG whose header is lost, before its preview."""
    chunks = split_png(pillow(RGB, "PNG"))
    chunks[0] = (b"IHDR", chunks[0][1][:4] + (2000).to_bytes(4, "big") + chunks[0][1][8:])
    (tmp_path / "x.png").write_bytes(join_png(chunks))
    frames = {"save_all": True, "append_images": [Image.fromarray(RGB)]}
    whole = pillow(RGB, "MPO", **frames)
    scan = split_jpeg(whole)[-1][1][14:]  # from behind its header to the end of the file
    (tmp_path / "x.jpg").write_bytes(whole[:20] + scan)
    for name in ("x.png", "x.jpg"):
        with Image.open(tmp_path / name) as image:
            image.load()
        with pytest.raises(ImageError, match="not a readable picture"):
            verify_image(tmp_path / name)
