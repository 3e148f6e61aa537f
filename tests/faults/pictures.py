"""A tree of pictures that mean harm, or have been harmed, among sound ones: two classes, each file with its fate."""

import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.encoded import pillow, with_orientation
from tests.faults.fuzz_pictures import join_jpeg, join_png, split_jpeg, split_png

CLASSES = ("=cmd", "plain $x$")
_MOST_NAME = 255


@dataclass
class Tree:
    """What lies below ``root``, by paths relative to it.

    Attributes:
        good: pictures that are to be used.
        bad: what cannot be read, and a word of the reason.
    """

    root: Path
    good: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def make_tree(root: Path) -> Tree:
    """Fill an empty folder."""
    tree = Tree(root)
    for place, class_name in enumerate(CLASSES):
        for number in range(8):
            _add_good(tree, f"{class_name}/plain {number}.png", pillow(_picture(10 * place + number), "PNG"))
    _add_odd_pictures(tree, CLASSES[0])
    _add_odd_names(tree, CLASSES[1])
    _add_harmed(tree, CLASSES[0])
    _add_bombs(tree, CLASSES[1])
    _add_what_is_no_file(tree, CLASSES[0])
    return tree


def _picture(number: int, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    """Noise that is coarse enough to be told apart, another for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (8, 10, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def _add_good(tree: Tree, name: str, content: bytes) -> None:
    tree.path(name).write_bytes(content)
    tree.good.append(name)


def _add_bad(tree: Tree, name: str, content: bytes, word: str) -> None:
    tree.path(name).write_bytes(content)
    tree.bad[name] = word


def _add_odd_pictures(tree: Tree, folder: str) -> None:
    """Kinds of pictures that are rare, and right."""
    frames = [Image.fromarray(_picture(number)) for number in (101, 102)]
    gray, moving = _picture(103)[..., 0], {"save_all": True, "append_images": frames}
    rgba = np.dstack([_picture(104), gray])
    exif = with_orientation(6)
    exif[0x9286] = b"x" * 60_000  # a comment that nearly fills the segment
    many = split_jpeg(pillow(_picture(105), "JPEG"))
    many[1:1] = [(b"\xff\xe1", b"Exif\0\0" + bytes(60_000)), (b"\xff\xe2", bytes(65_000))] * 40
    odd = {
        "one pixel.png": pillow(_picture(106, (1, 1)), "PNG"),
        "wide.png": pillow(_picture(107, (1, 30_000)), "PNG"),
        "high.png": pillow(_picture(108, (30_000, 1)), "PNG"),
        "sixteen.png": cv2.imencode(".png", _picture(109).astype(np.uint16) * 257)[1].tobytes(),
        "cmyk.jpg": pillow(Image.fromarray(_picture(110)).convert("CMYK"), "JPEG"),
        "palette.png": pillow(Image.fromarray(_picture(111)).quantize(9), "PNG", transparency=3),
        "alpha.webp": pillow(rgba, "WEBP"),
        "moving.gif": pillow(_picture(112), "GIF", **moving),
        "moving.webp": pillow(_picture(113), "WEBP", **moving),
        "moving.png": pillow(_picture(114), "PNG", **moving),
        "turned.jpg": pillow(_picture(116), "JPEG", exif=with_orientation(5)),
        "huge exif.jpg": pillow(_picture(117), "JPEG", exif=exif),
        "many segments.jpg": join_jpeg(many),
        "a png.jpg": pillow(_picture(118), "PNG"),
    }  # fmt: skip
    for name, content in odd.items():
        _add_good(tree, f"{folder}/{name}", content)


def _add_odd_names(tree: Tree, folder: str) -> None:
    """Names that a file system may give, as far as this one does."""
    names = [
        " a b .png", "it's \"q\".png", "two\nlines.png", "-rf.png", "--json.png", "=1+1.png", "@SUM(1).png",
        "$x^2$.png",
        "%s{}.png", "x\x1b[31m.png", "a.png.png", "\u202egnp.png", "é馬🦊.png", "tab\t.png", "a;b,c.png", "UPPER.PNG",
        "x" * (_MOST_NAME - 4) + ".png", "馬" * 83 + ".png", "back\\slash.png", os.fsdecode(b"not \xff utf-8.png"),
        "folder.jpg/inner.png", "deep/" * 250 + "deep.png",
    ]  # fmt: skip
    for number, name in enumerate(names):
        try:
            _add_good(tree, f"{folder}/{name}", pillow(_picture(200 + number), "PNG"))
        except OSError:  # this file system refuses it
            continue


def _add_harmed(tree: Tree, folder: str) -> None:
    jpeg, png = pillow(_picture(300, (200, 250)), "JPEG"), pillow(_picture(301), "PNG")
    _add_bad(tree, f"{folder}/empty.png", b"", "empty")
    _add_bad(tree, f"{folder}/zeros.jpg", bytes(5000), "zeros")
    _add_bad(tree, f"{folder}/cut off.jpg", jpeg[: len(jpeg) // 2], "cut off")
    _add_bad(tree, f"{folder}/cut off.png", png[: len(png) // 2], "")
    _add_bad(tree, f"{folder}/page.png", b"<html><body>404</body></html>", "web page")
    _add_bad(tree, f"{folder}/drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "XML")
    _add_bad(tree, f"{folder}/document.jpg", b"%PDF-1.7", "PDF")
    _add_bad(tree, f"{folder}/moving and broken.png", broken_moving_png(_picture(302)), "")
    (tree.root / "outside.png").write_bytes(pillow(_picture(304), "PNG"))
    tree.bad["outside.png"] = "outside"


def broken_moving_png(pixels: np.ndarray) -> bytes:
    """A PNG of two pictures whose first is left out, and with it the second's data, before a chunk that is none."""
    frames = {"save_all": True, "append_images": [Image.fromarray(pixels[::-1].copy())]}
    header, count, _, data, second, *_ = split_png(pillow(pixels, "PNG", **frames))
    return join_png([header, count, data, second, (b"\xae" * 4, b"")])


def _add_bombs(tree: Tree, folder: str) -> None:
    """Small files that claim to be enormous, or take for ever."""
    side = 50_000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1000 * (side // 8 + 1))) for _ in range(side // 1000)) + rows.flush()
    _add_bad(tree, f"{folder}/bomb.png", join_png([(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]), "pixels")
    segments = split_jpeg(pillow(_picture(400), "JPEG"))
    claimed = [(tag, content[:1] + struct.pack(">HH", 65_500, 65_500) + content[5:] if tag == b"\xff\xc0" else content)
               for tag, content in segments]  # fmt: skip
    _add_bad(tree, f"{folder}/bomb.jpg", join_jpeg(claimed), "pixels")
    gif = pillow(_picture(401), "GIF")
    _add_bad(tree, f"{folder}/bomb.gif", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:], "pixels")
    _add_bad(
        tree,
        f"{folder}/scans.jpg",
        many_scans(pillow(_picture(402, (500, 500)), "JPEG", progressive=True), 3000),
        "scans",
    )


def many_scans(jpeg: bytes, count: int) -> bytes:
    """A progressive JPEG with its last scan so many times more."""
    start, end = jpeg.rindex(b"\xff\xda"), jpeg.rindex(b"\xff\xd9")
    return jpeg[:end] + jpeg[start:end] * count + jpeg[end:]


def _add_what_is_no_file(tree: Tree, folder: str) -> None:
    """Links that loop, dangle or leave the folder, a pipe, and a file that may not be read."""
    inside = tree.root / folder
    elsewhere = tree.root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.png").write_bytes(pillow(_picture(500), "PNG"))
    (inside / "link.png").symlink_to(elsewhere / "linked.png")
    tree.good.append(f"{folder}/link.png")
    for name, target in (("loop.png", "loop.png"), ("dangling.png", "nothing.png"), ("device.png", "/dev/zero")):
        (inside / name).symlink_to(target)
    tree.bad |= {
        f"{folder}/loop.png": "link",
        f"{folder}/dangling.png": "no such file",
        f"{folder}/device.png": "no file",
    }
    (tree.root / "loop").symlink_to("loop")  # where classes are: no folder, and no picture by its name
    (inside / "round").symlink_to(tree.root)
    os.mkfifo(inside / "pipe.png")
    tree.bad[f"{folder}/pipe.png"] = "pipe"
    if os.geteuid() != 0:  # who may read everything
        _add_bad(tree, f"{folder}/locked.png", pillow(_picture(501), "PNG"), "permission")
        (inside / "locked.png").chmod(0)
