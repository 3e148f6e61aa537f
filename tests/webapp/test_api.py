"""The JSON interface on loopback: right answers, sentences for all that is wrong, nothing kept, nobody forgotten."""

import base64
import contextlib
import socket
import struct
import tempfile
import zlib
from argparse import Namespace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from src.bundle import load_bundle
from src.imaging import write_image
from src.webapp.service import Service
from src.webapp.uploads import MAX_BYTES
from tests.reporting.made import make_data, make_model
from tests.webapp.served import (
    BLACK,
    BLUE,
    CLASSES,
    GREEN,
    RED,
    encode,
    halves,
    make_evidence,
    make_service,
    save_color_model,
    serve,
)

pytestmark = pytest.mark.large


def _decode(text: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)


def test_predict_is_what_the_bundle_says(app, models, tmp_path):
    image = halves(RED, GREEN)
    write_image(tmp_path / "picture.png", image)
    bundle = load_bundle("colors", models)
    expected = bundle.predict(bundle.prepare([tmp_path / "picture.png"]))[0]
    status, found = app.post("/predict", encode(image))
    assert status == 200 and found["model"] == "colors"
    told = {row["class"]: row["probability"] for row in found["classes"]}
    assert told == pytest.approx(dict(zip(CLASSES, expected.tolist())), abs=2e-6)
    values = [row["probability"] for row in found["classes"]]
    assert values == sorted(values, reverse=True) and sum(values) == pytest.approx(1, abs=1e-5)
    assert len(app.post("/predict", encode(image), top=1)[1]["classes"]) == 1


def test_unlike_and_unsure_pictures_are_told(tmp_path):
    save_color_model(tmp_path, "judged", evidence=make_evidence())
    save_color_model(tmp_path, "plain")
    with serve(make_service(tmp_path, "judged", "plain")) as app:
        known, unlike = encode(halves(RED, RED)), encode(halves(RED, GREEN))
        for verb in ("/predict", "/explain"):
            found = app.post(verb, known)[1]
            assert (found["known"], found["sure"], found["possible"]) == (True, True, ["red"]), found
            assert 0 <= found["novelty"] <= 1
            found = app.post(verb, unlike)[1]
            assert (found["known"], found["sure"]) == (False, False) and found["novelty"] > 1
            found = app.post(verb, known, model="plain")[1]
            assert [found[name] for name in ("known", "novelty", "sure", "possible")] == [None] * 4
        save_color_model(tmp_path, "judged")  # trained anew, without a record
        assert app.post("/predict", unlike)[1]["known"] is None


@pytest.mark.parametrize("class_name, left", [("red", True), ("green", False)])
def test_the_layer_lies_where_the_class_is(app, class_name, left):
    image = halves(RED, GREEN)
    status, found = app.post("/explain", encode(image), class_=class_name)
    assert status == 200 and found["explained"] == class_name and found["method"] == "gradcam"
    assert not found["signed"] and found["target_layer"] == "cells"
    cover = _decode(found["layer"])[..., 3].astype(float)
    assert cover.shape == (64, 64)
    there, elsewhere = (cover[:, :28], cover[:, 36:]) if left else (cover[:, 36:], cover[:, :28])
    # Grad-CAM's map is the class's channel times its weight: 230 against 10 of 255, whose root is the cover
    assert there.min() > 180 and elsewhere.max() == pytest.approx(there.max() * np.sqrt(10 / 230), rel=0.1)
    assert _decode(found["picture"]).shape == (64, 64, 3)


def test_one_class_rather_than_another(app):
    status, found = app.post("/explain", encode(halves(RED, GREEN)), class_="red", versus="green")
    assert status == 200 and (found["explained"], found["versus"]) == ("red", "green")
    assert app.post("/explain", encode(halves(RED, GREEN)), versus="blue")[1]["explained"] in ("red", "green")
    status, found = app.post("/explain", encode(halves(RED, GREEN)), class_="red", versus="red")
    assert status == 400 and "name two classes" in found["error"]


def test_signed_methods_and_methods_for_all_classes(app):
    picture = encode(halves(RED, BLACK))
    assert app.post("/explain", picture, method="occlusion")[1]["signed"] is True
    eigen = app.post("/explain", picture, method="eigencam")[1]
    assert eigen["class_specific"] is False
    status, found = app.post("/explain", picture, method="eigencam", class_="red")
    assert status == 400 and "without a class" in found["error"]


def test_a_map_without_evidence_says_so(app):
    found = app.post("/explain", encode(halves((0, 200, 0), (0, 100, 0))), class_="red")[1]
    assert found["largest"] == 0 and _decode(found["layer"])[..., 3].max() == 0


def test_large_and_turned_pictures(app):
    """A photograph of 1,500 x 1,000, stored lying with EXIF "turn by 90 degrees": red is above once it is upright."""
    lying = cv2.resize(halves(RED, GREEN), (1500, 1000), interpolation=cv2.INTER_NEAREST)
    encoded = encode(lying, ".jpg")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + encoded[2:]
    status, found = app.post("/explain", turned, class_="red")
    picture, cover = _decode(found["picture"]), _decode(found["layer"])[..., 3]
    assert status == 200 and picture.shape[:2] == cover.shape == (640, 426)
    assert picture[40, 200, 2] > 200 and picture[600, 200, 1] > 200  # BGR: red above, green below
    assert cover[:280].min() > 4 * cover[360:].max() > 0


def _bomb(width: int, height: int) -> bytes:
    """A small PNG that would unpack to width x height."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b"", 400, "empty"),
        (b"this is a text file", 400, "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "XML"),
        (b"\0\0\0\x18ftypheic" + bytes(100), 400, "damaged"),
        (b"%PDF-1.7" + bytes(100), 400, "PDF"),
        (_bomb(30_000, 30_000), 400, "pixels"),
        (_bomb(100, 100), 400, "damaged"),
        (bytes(MAX_BYTES + 1), 413, "larger than 25 MB"),
    ],
    ids=["empty", "text", "svg", "heic", "pdf", "bomb", "short", "large"],
)
def test_what_is_no_picture_gets_a_sentence(app, body, status, words):
    for path in ("/predict", "/explain"):
        answer, found = app.post(path, body)
        assert answer == status and words in found["error"] and found["error"].endswith("."), found


def test_a_jpeg_of_many_scans_is_refused_at_once(app):
    """Each scan of a progressive JPEG goes over the whole picture: a small file could take hours."""
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert app.post("/predict", progressive)[0] == 200
    last = progressive.rindex(b"\xff\xda")
    bomb = progressive[:-2] + 200 * progressive[last:-2] + progressive[-2:]
    status, found = app.post("/predict", bomb)
    assert status == 400 and "scans" in found["error"]


def test_other_formats_than_jpeg_may_have_fewer_pixels(app, monkeypatch):
    monkeypatch.setattr("src.webapp.uploads.MAX_PIXELS", 10_000)
    image = halves(RED, GREEN)  # 4,096 pixels
    assert app.post("/predict", encode(image, ".jpg"))[0] == 200
    status, found = app.post("/predict", encode(image))
    assert status == 400 and "too many for a PNG; send a JPEG" in found["error"]


def test_a_picture_cut_off_gets_a_sentence(app):
    noise = np.random.default_rng(5).integers(0, 256, (200, 200, 3), np.uint8)
    for suffix in (".jpg", ".png"):
        whole = encode(noise, suffix)
        assert app.post("/predict", whole)[0] == 200
        status, found = app.post("/predict", whole[: len(whole) // 2])
        assert status == 400 and ("cut off" in found["error"] or "damaged" in found["error"])


def test_wrong_names_get_a_sentence(app):
    picture = encode(halves(RED, GREEN))
    for query, words in (
        ({"model": "nope"}, "there are colors"),
        ({"method": "nope"}, "gradcam"),
        ({"class_": "reed"}, "near it are red"),
        ({"versus": "zebra"}, "no class zebra"),
    ):
        status, found = app.post("/explain", picture, **query)
        assert status == 400 and words in found["error"]
    status, found = app.post("/predict", picture, top=0)
    assert status == 400 and found["error"].startswith("top: ")
    status, found = app.get("/nowhere")
    assert status == 404 and "/openapi.json" in found["error"] and app.get("/predict")[0] == 405
    assert app.ask("POST", "/explain?method=gradcam++", picture)[1]["method"] == "gradcam++"  # + means a space there


def test_health_and_description(app):
    assert app.get("/health") == (200, {"status": "ok", "models": ["colors"], "waiting": 0})
    assert app.get("/classes") == (200, list(CLASSES))
    status, description = app.get("/openapi.json")
    assert status == 200 and {"/health", "/predict", "/explain"} <= description["paths"].keys()
    posted = description["paths"]["/explain"]["post"]
    assert "image/*" in posted["requestBody"]["content"]
    assert {each["name"] for each in posted["parameters"]} == {"model", "method", "class", "versus"}
    assert posted["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Explanation")
    named = description["components"]["schemas"]["Explanation"]["properties"]
    assert named.keys() == app.post("/explain", encode(halves(RED, GREEN)))[1].keys()
    assert "422" not in posted["responses"] and {"400", "403", "413", "500", "503"} <= posted["responses"].keys()
    assert app.get("/docs")[0] == 404  # it would load scripts from elsewhere


def test_only_its_own_page_may_ask(app):
    port = app.address.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "", "[::1", "a]b"):
        assert app.ask("GET", "/health", headers={"Host": host})[0] == 403
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert app.ask("GET", "/health", headers={"Host": host})[0] == 200
    picture = encode(halves(RED, GREEN))
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert app.ask("POST", "/predict", picture, {"Origin": origin})[0] == 403
    status, _, headers = app.ask("POST", "/predict", picture, {"Origin": app.address})
    assert status == 200 and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin" and "Access-Control-Allow-Origin" not in headers


def test_nothing_is_written_and_nobody_called(models, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    called, connect = [], socket.socket.connect

    def watch(self, address):
        called.append(address)
        return connect(self, address)

    before = sorted(models.rglob("*"))
    with serve(make_service(models, "colors")) as served:
        monkeypatch.setattr(socket.socket, "connect", watch)
        assert served.get("/")[0] == 200
        large = encode(np.random.default_rng(1).integers(0, 256, (1200, 1200, 3), np.uint8))  # more than 4 MB
        assert served.post("/explain", large)[0] == 200 and len(large) > 4e6
    assert {address[0] for address in called} == {"127.0.0.1"}
    assert list((tmp_path / "temporary").iterdir()) == list((tmp_path / "work").iterdir()) == []
    assert sorted(models.rglob("*")) == before


def _save_plain(path: Path, activation: str, units: int = 3, bias: float = 0.0) -> None:
    inputs = keras.Input((8, 8, 3))
    cells = keras.layers.Conv2D(4, 3)(inputs)
    outputs = keras.layers.Dense(units, activation=activation)(keras.layers.GlobalAveragePooling2D()(cells))
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights([model.layers[-1].get_weights()[0], np.full(units, bias, np.float32)])
    model.save(path)


def _make_plain(path: Path, *classes: str) -> Service:
    asked = {"classes": list(classes), "preprocessing": "0-1", "engine": "auto"}
    return Service([str(path)], Namespace(models_dir="nowhere", data="nowhere", output="nowhere", **asked))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "linear"])
def test_plain_models_answer_as_predict_does(tmp_path, activation):
    keras.utils.set_random_seed(4)
    _save_plain(tmp_path / "plain.keras", activation)
    write_image(tmp_path / "picture.png", halves(RED, BLUE))
    bundle = load_bundle(tmp_path / "plain.keras", class_names=["a", "b", "c"], preprocessing="0-1")
    expected = bundle.predict(bundle.prepare([tmp_path / "picture.png"]))[0]
    with serve(_make_plain(tmp_path / "plain.keras", "a", "b", "c")) as served:
        for path in ("/predict", "/explain"):
            status, found = served.post(path, (tmp_path / "picture.png").read_bytes())
            told = {row["class"]: row["probability"] for row in found["classes"]}
            assert status == 200 and told == pytest.approx(dict(zip("abc", expected.tolist())), abs=2e-6)


def test_a_model_that_answers_with_nan_says_so(tmp_path):
    _save_plain(tmp_path / "plain.keras", "softmax", bias=float("nan"))
    with serve(_make_plain(tmp_path / "plain.keras", "a", "b", "c")) as served:
        for path in ("/predict", "/explain"):
            status, found = served.post(path, encode(halves(RED, BLUE)))
            assert status == 400 and "NaN" in found["error"]


def test_a_model_without_convolutions_can_be_asked_but_not_explained_by_gradcam(tmp_path, capsys):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.save(tmp_path / "dense.keras")
    service = _make_plain(tmp_path / "dense.keras", "a", "b")
    service.warm_up()
    assert "cannot be explained by Grad-CAM" in capsys.readouterr().err
    with serve(service) as served:
        picture = encode(halves(RED, BLUE))
        assert served.post("/predict", picture)[0] == 200 and served.post("/explain", picture)[0] == 400
        assert served.post("/explain", picture, method="saliency")[0] == 200


def test_a_model_that_is_trained_anew_is_loaded_again(tmp_path):
    save_color_model(tmp_path)
    with serve(make_service(tmp_path, "colors")) as served:
        picture = encode(halves(RED, RED))
        assert served.post("/explain", picture)[1]["explained"] == "red"
        save_color_model(tmp_path, class_names=("x", "y", "z"))
        assert served.get("/classes")[1] == ["x", "y", "z"]
        assert served.post("/explain", picture)[1]["explained"] == "z"


def test_errors_of_the_test_part(models, tmp_path):
    data = make_data(tmp_path / "data", CLASSES)
    make_model(tmp_path / "out", models, "evaluated", data, {0: 1, 7: 2})
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [path.unlink() for path in (models / "evaluated").iterdir()])
        served = stack.enter_context(serve(make_service(models, "colors", "evaluated", root=tmp_path)))
        assert served.get("/errors") == (200, [])
        status, found = served.get("/errors", model="evaluated")
        assert status == 200 and [row["file"] for row in found] == ["green_1.png", "blue_0.png"]  # the surest first
        status, picture = served.get("/errors/picture", model="evaluated", number=1)
        assert status == 200 and picture == (data / "test" / "blue" / "blue_0.png").read_bytes()
        for number in (2, -1, "../../etc/passwd"):
            assert served.get("/errors/picture", model="evaluated", number=number)[0] == 400
        Path(data, "test", "blue", "blue_0.png").unlink()
        status, found = served.get("/errors/picture", model="evaluated", number=1)
        assert status == 400 and "load the page anew" in found["error"]
