import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest

from src.datasets import named
from src.datasets.split import split_dataset
from src.datasets.split_settings import DOWNLOADS, SplitSettings
from src.errors import UserError
from src.imaging import read_image
from tests.datasets.pictures import encode, tar_of, zip_of


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that is served on the loopback, in the place of all data sets' homes; records what was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *values):
            asked.append(self.path)

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("IMAGE_DATASETS_URL", f"http://127.0.0.1:{httpd.server_port}/")
    monkeypatch.setenv("IMAGE_DATASETS_CACHE", str(tmp_path / "cache"))
    yield folder, asked
    httpd.shutdown()
    httpd.server_close()


def cats_and_dogs(path, first=0):
    members = {}
    for part, count in (("train", 8), ("validation", 2)):
        for k, name in enumerate(("cats", "dogs")):
            for i in range(count):
                number = first + i + 100 * k + 1000 * (part == "train")
                members[f"cats_and_dogs_filtered/{part}/{name}/{i}.jpg"] = encode(number, ".png")
    return zip_of(path, members)


def cifar10(path, train=2, test=1, classes=10):
    """CIFAR-10 in binary form; pixel (0, 1) of record i is (i, 1, 2), all others 7."""
    names = [f"class{c}" for c in range(classes)]

    def record(label, number):
        planes = np.full((3, 32, 32), 7, np.uint8)
        planes[:, 0, 1] = number, 1, 2
        return bytes([label]) + planes.tobytes()

    batches = b"".join(record(c, c * 20 + i) for i in range(train) for c in range(classes))
    tests = b"".join(record(c, c * 20 + 10 + i) for i in range(test) for c in range(classes))
    return tar_of(path, {
        "cifar-10-batches-bin/batches.meta.txt": "\n".join([*names, "", ""]).encode(),
        "cifar-10-batches-bin/data_batch_1.bin": batches,
        "cifar-10-batches-bin/test_batch.bin": tests,
        "cifar-10-batches-bin/readme.html": b"",
    })  # fmt: skip


def test_every_name_has_a_home():
    assert set(named.DATASETS) == set(DOWNLOADS)
    assert named.DATASETS["cifar10"].md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert named.DATASETS["cifar100"].md5 == "03b5dce01913d631647c71ecec9e9cb8"


def test_download_is_cached_split_and_its_checksum_recorded(server, tmp_path):
    folder, asked = server
    archive = cats_and_dogs(folder / "cats_and_dogs_filtered.zip")
    settings = SplitSettings(source="cats_and_dogs_filtered", output=str(tmp_path / "data"))
    manifest = split_dataset(settings)
    # validation is kept; test is carved from the 8 of train: 8 * .15 / .85 = 1.4
    assert manifest.counts == {part: {"cats": n, "dogs": n} for part, n in (("train", 7), ("val", 2), ("test", 1))}
    record = tmp_path / "cache" / "cats_and_dogs_filtered.zip.sha256"
    assert record.read_text().split()[0] == hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.unlink()
    assert split_dataset(SplitSettings(source=settings.source, output=str(tmp_path / "two"))).counts == manifest.counts
    assert len(asked) == 1  # the second time from the cache


def test_another_archive_than_the_first_is_refused(server, tmp_path):
    folder, _ = server
    cats_and_dogs(folder / "cats_and_dogs_filtered.zip")
    cached = named.fetch_dataset("cats_and_dogs_filtered")
    cached.unlink()
    cats_and_dogs(folder / "cats_and_dogs_filtered.zip", first=50)
    with pytest.raises(UserError, match="has the checksum"):
        named.fetch_dataset("cats_and_dogs_filtered")
    assert [path.name for path in cached.parent.iterdir()] == ["cats_and_dogs_filtered.zip.sha256"]
    cached.write_bytes(b"tampered")
    with pytest.raises(UserError, match=f"remove {cached}"):
        named.fetch_dataset("cats_and_dogs_filtered")


def test_a_published_checksum_is_held_against_the_download(server, tmp_path, monkeypatch):
    folder, _ = server
    archive = cifar10(folder / "cifar-10-binary.tar.gz")
    with pytest.raises(UserError, match="the published checksum is c32a1d4ab5d03f1284b67883e8d87530"):
        named.fetch_dataset("cifar10")
    assert list((tmp_path / "cache").iterdir()) == []
    right = named.NamedDataset(named.DATASETS["cifar10"].url, hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setitem(named.DATASETS, "cifar10", right)
    assert named.fetch_dataset("cifar10").read_bytes() == archive.read_bytes()


def test_missing_file_and_dead_server_are_one_sentence_with_another_way(server, monkeypatch):
    with pytest.raises(UserError, match="(?s)404.*--source PATH"):
        named.fetch_dataset("cats_vs_dogs")
    monkeypatch.setenv("IMAGE_DATASETS_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="(?s)could not fetch cats_vs_dogs.*refused.*--source PATH"):
        named.fetch_dataset("cats_vs_dogs")


def test_a_download_that_ends_early_is_refused(server, tmp_path, monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("IMAGE_DATASETS_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UserError, match="could not fetch"):
            named.fetch_dataset("cats_vs_dogs")
    assert list((tmp_path / "cache").iterdir()) == []


def test_cifar_binary_becomes_pictures(tmp_path):
    archive = cifar10(tmp_path / "cifar-10-binary.tar.gz", train=4)
    manifest = split_dataset(
        SplitSettings(source=str(archive), output=str(tmp_path / "data"), classes=("class2", "class3"))
    )
    # test is kept; val carved from 4: 4 * .15 / .85 = 0.7, so 1
    assert manifest.counts == {p: {"class2": n, "class3": n} for p, n in (("train", 3), ("val", 1), ("test", 1))}
    image = read_image(tmp_path / "data" / "test" / "class3" / "class3_00000.png")
    assert image.shape == (32, 32, 3)
    assert image[0, 1].tolist() == [3 * 20 + 10, 1, 2] and image[1, 0].tolist() == [7, 7, 7]


def test_cifar100_takes_the_fine_label(tmp_path):
    """Its official archive, made small: two coarse and three fine classes, the labels in this order."""

    def records(*labels):
        return b"".join(bytes([coarse, fine]) + bytes([shade]) * 3072 for coarse, fine, shade in labels)

    rows = [(fine % 2, fine, 40 * fine + number) for fine in range(3) for number in range(10)]
    archive = tar_of(tmp_path / "cifar-100-binary.tar.gz", {
        "cifar-100-binary/fine_label_names.txt": b"apple\nbear\nbowl\n\n",
        "cifar-100-binary/coarse_label_names.txt": b"fruit\nother\n\n",
        "cifar-100-binary/train.bin": records(*rows),
        "cifar-100-binary/test.bin": records((1, 0, 30), (0, 1, 70), (0, 2, 130)),
    })  # fmt: skip
    data = tmp_path / "data"
    manifest = split_dataset(SplitSettings(source=str(archive), output=str(data), ratios=(0.9, 0.1, 0.0)))
    counts = {"train": (9, 9, 9), "val": (1, 1, 1), "test": (1, 1, 1)}
    assert manifest.counts == {part: dict(zip(("apple", "bear", "bowl"), row)) for part, row in counts.items()}
    for path in sorted(data.glob("*/*/*.png")):
        shades = {"apple": range(40), "bear": range(40, 80), "bowl": range(80, 140)}
        assert int(read_image(path)[0, 0, 0]) in shades[path.parent.name]


def test_damaged_and_pickled_cifar_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = b"cos\nsystem\n(S'touch canary'\ntR."  # what pickle.load would run
    whole = {"b/batches.meta.txt": b"cat\ndog\n", "b/data_batch_1.bin": bytes(3073)}
    for members, match in (
        (whole | {"b/data_batch_1.bin": bytes(3072)}, "no multiple of 3073"),
        (whole | {"b/data_batch_1.bin": bytes([2]) + bytes(3072)}, "class 2 of 2"),
        (whole | {"b/batches.meta.txt": b"../cat\ndog\n"}, "does not list"),
        (whole | {"b/batches.meta.txt": b"ca\0t\ndog\n"}, "does not list"),
        (whole | {"b/batches.meta.txt": b"\xff\xfe\ndog\n"}, "does not list"),
        ({"cifar-10-batches-py/data_batch_1": code, "cifar-10-batches-py/batches.meta": code}, "binary archive"),
        ({"cifar-100-python/train": code, "cifar-100-python/meta": code}, "binary archive"),
    ):
        archive = tar_of(tmp_path / "a.tar.gz", members)
        with pytest.raises(UserError, match=match):
            split_dataset(SplitSettings(source=str(archive), output=str(tmp_path / "data")))
        assert not (tmp_path / "data").exists() and not (tmp_path / "canary").exists()
