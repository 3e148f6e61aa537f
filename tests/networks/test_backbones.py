"""Every registered backbone: flat, RGB 0..255 in, block boundaries, weights from a file; and each one's own facts."""

import http.server
import threading

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.files import sha256_file
from src.networks import weights as weights_module
from src.networks.applications import RESNET50_FILE
from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model
from src.networks.efficientnet_lite import EFFICIENTNET_LITE0, build_imagenet_classifier
from src.networks.registry import BACKBONES, build_chosen_model, build_transfer_model, choose_backbone, get_backbone

pytestmark = pytest.mark.large

IMAGES = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def built():
    """Each backbone once, 64 x 64, weights at random."""
    models = {}

    def get(name):
        if name not in models:
            models[name] = BACKBONES[name].build((64, 64, 3))
        return models[name]

    return get


@pytest.mark.parametrize("name", BACKBONES)
def test_contract(name, built):
    backbone, model = BACKBONES[name], built(name)
    assert model.input_shape == (None, 64, 64, 3)
    assert len(model.output_shape) == 4 and model.output_shape[1:3] == (2, 2)
    assert not [layer for layer in model.layers if isinstance(layer, (keras.Model, keras.layers.Lambda))]
    starts = backbone.block_starts(model)
    assert backbone.block_start(model, backbone.unfreeze_from) in starts
    assert model.layers[backbone.block_start(model, backbone.unfreeze_from)].name == backbone.unfreeze_from
    # Each block's first layer takes a tensor that is the only way on, so that the network can be cut there.
    cut = model.layers[backbone.block_start(model, backbone.unfreeze_from)].input
    upper = keras.Model(cut, model.output)
    lower = keras.Model(model.inputs, cut)
    np.testing.assert_allclose(upper(lower(IMAGES)), model(IMAGES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_unfreeze_rounds_down_to_a_block(name, built):
    backbone, model = BACKBONES[name], built(name)
    starts = backbone.block_starts(model)
    for index in range(len(model.layers)):
        start = backbone.block_start(model, len(model.layers) - index)
        assert start in starts and start <= index
        assert not [other for other in starts if start < other <= index]
    assert backbone.block_start(model, "all") == 0
    with pytest.raises(UserError, match="no such layer"):
        backbone.block_start(model, "conv99")
    with pytest.raises(UserError, match="layers; give"):
        backbone.block_start(model, 10_000)


def test_resnet50_unfreezes_the_last_ten_layers_as_s1_does(built):
    model = built("resnet50")
    start = BACKBONES["resnet50"].block_start(model, 10)
    assert len(model.layers) - start == 10
    assert all(layer.name.startswith("conv5_block3_") for layer in model.layers[start:])
    assert BACKBONES["resnet50"].block_start(model, "7") == start  # inside the block: down to its first layer


@pytest.mark.large
@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0"])
def test_weights_from_a_file(name, built, tmp_path):
    model = built(name)
    source = BACKBONES[name].build((96, 96, 3)) if name == "efficientnet_lite0" else _plain_resnet50()
    for suffix in (".weights.h5", ".keras"):
        source.save_weights(tmp_path / f"w{suffix}") if suffix == ".weights.h5" else source.save(
            tmp_path / f"w{suffix}"
        )
        model.set_weights([np.zeros_like(value) for value in model.get_weights()])
        origin = BACKBONES[name].load_weights(model, str(tmp_path / f"w{suffix}"))
        for expected, value in zip(source.get_weights(), model.get_weights()):
            np.testing.assert_array_equal(value, expected)
        assert len(origin.sha256) == 64


def _plain_resnet50():
    return keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))


@pytest.mark.large
def test_weights_that_do_not_fit_leave_the_model_as_it_was(built, tmp_path):
    model = built("efficientnet_lite0")
    before = model.get_weights()
    build_baseline_model(3, (32, 32)).save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 40)
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.weights.h5", "cut.h5", "text.pth"):
        with pytest.raises(UserError):
            EFFICIENTNET_LITE0.load_weights(model, str(tmp_path / name))
    with pytest.raises(UserError, match="no such file"):
        BACKBONES["resnet50"].load_weights(model, str(tmp_path / "missing.h5"))
    for expected, value in zip(before, model.get_weights()):
        np.testing.assert_array_equal(value, expected)


class _Server:
    """A file server on loopback."""

    def __init__(self, folder):
        def handler(*arguments):
            return http.server.SimpleHTTPRequestHandler(*arguments, directory=str(folder))

        self.requests = []
        http.server.SimpleHTTPRequestHandler.log_message = lambda handler, *rest: self.requests.append(handler.path)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    server = _Server(folder)
    server.folder = folder
    monkeypatch.setattr(weights_module, "WEIGHTS_HOST", server.url)
    monkeypatch.setattr(weights_module, "_host_answers", None)
    home = tmp_path / "keras"
    home.mkdir()  # where it is missing, Keras takes a folder in /tmp, which outlives the test
    monkeypatch.setenv("KERAS_HOME", str(home))
    # Keras reads the variable once, when it is imported; without this the fake would lie in the user's own cache.
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(home))
    yield server
    server.server.shutdown()


@pytest.mark.large
def test_imagenet_weights_are_downloaded_once_and_answer_as_keras_own(server, monkeypatch):
    """EfficientNetB0: the one whose graph Keras changes when it is built with weights="imagenet"."""
    from keras.src.applications import efficientnet

    plain = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(64, 64, 3))
    rng = np.random.default_rng(3)
    (norm,) = [layer for layer in plain.layers if isinstance(layer, keras.layers.Normalization)]
    norm.set_weights([np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]) ** 2, np.int32(0)])
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([rng.normal(0, 0.05, w.shape).astype(np.float32) for w in layer.get_weights()])
    plain.save_weights(server.folder / "efficientnetb0_notop.weights.h5")
    (server.folder / "efficientnetb0_notop.weights.h5").rename(server.folder / "efficientnetb0_notop.h5")
    digest = sha256_file(server.folder / "efficientnetb0_notop.h5")
    monkeypatch.setattr(efficientnet, "BASE_WEIGHTS_PATH", server.url)
    monkeypatch.setitem(efficientnet.WEIGHTS_HASHES, "b0", (digest, digest))
    reloaded = []
    original = keras.Model.load_weights

    def load_weights(self, path, *rest, **keywords):  # the served file is of the newer format, under the older name
        reloaded.append(str(path))
        renamed = str(path).replace("_notop.h5", "_copy.weights.h5")
        with open(path, "rb") as source, open(renamed, "wb") as copy:
            copy.write(source.read())
        return self.set_weights(plain.get_weights())

    monkeypatch.setattr(keras.Model, "load_weights", load_weights)
    backbone = BACKBONES["efficientnet_b0"]
    ours = backbone.build((64, 64, 3))
    origin = backbone.load_weights(ours, "imagenet")
    keras_own = keras.applications.EfficientNetB0(weights="imagenet", include_top=False, input_shape=(64, 64, 3))
    monkeypatch.setattr(keras.Model, "load_weights", original)
    np.testing.assert_allclose(ours(IMAGES), keras_own(IMAGES), rtol=1e-3, atol=1e-4)
    assert server.requests.count("/efficientnetb0_notop.h5") == 1
    assert origin.origin.startswith("imagenet") and origin.sha256 == digest


def test_no_network_is_one_sentence_and_asked_once(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(weights_module, "_host_answers", None)
    monkeypatch.setattr(weights_module, "_probe", lambda url: asked.append(url) or False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for _ in range(2):
        with pytest.raises(UserError, match="--weights PATH"):
            BACKBONES["resnet50"].load_weights(None, "imagenet")
    assert len(asked) == 1


@pytest.mark.large
def test_auto_goes_on_where_the_weights_cannot_be_had_after_all(monkeypatch, tmp_path, capsys):
    """The host answers, but the download fails; or the file in the cache is damaged."""
    monkeypatch.setattr(weights_module, "_host_answers", True)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def fail(*arguments, **keywords):
        raise weights_module.NoWeightsError("resnet50", "403")

    monkeypatch.setattr("src.networks.applications.download_imagenet", fail)
    backbone, model, base, origin = build_chosen_model("auto", 2, 64, "imagenet", seed=1)
    assert backbone is EFFICIENTNET_LITE0 and model.input_shape == (None, 64, 64, 3)
    assert "(403): taking efficientnet_lite0 instead." in capsys.readouterr().err
    with pytest.raises(UserError, match="403"):
        build_chosen_model("resnet50", 2, 64, "imagenet", seed=1)


@pytest.mark.large
def test_efficientnet_b0_files_of_ours_load_as_they_are(built, tmp_path):
    model = built("efficientnet_b0")
    (norm,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]
    deviation = np.float32([0.229, 0.224, 0.225])
    norm.set_weights([np.float32([0.485, 0.456, 0.406]), deviation**2, np.int32(0)])
    variances = []
    for name in ("first.keras", "second.keras"):
        model.save(tmp_path / name)
        BACKBONES["efficientnet_b0"].load_weights(model, str(tmp_path / name))
        variances.append(norm.get_weights()[1])
    np.testing.assert_allclose(variances, [deviation**3] * 2, rtol=1e-5)


def test_a_closed_port_does_not_answer_and_a_status_does(server):
    assert weights_module._probe(server.url + "missing")  # 404 is an answer
    assert not weights_module._probe("http://127.0.0.1:9/")


def test_auto_takes_resnet50_where_its_weights_are(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(weights_module, "_host_answers", False)
    assert choose_backbone("auto", "imagenet")[0] == "efficientnet_lite0"
    monkeypatch.setattr(weights_module, "_host_answers", True)
    assert choose_backbone("auto", "imagenet")[0] == "resnet50"
    monkeypatch.setattr(weights_module, "_host_answers", False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / RESNET50_FILE).write_bytes(b"x")
    name, why = choose_backbone("auto", "imagenet")
    assert name == "resnet50" and "cache" in why
    assert choose_backbone("auto", "none")[0] == "resnet50"
    assert choose_backbone("mobilenet_v2", "imagenet")[0] == "mobilenet_v2"
    with pytest.raises(UserError, match="there are auto, efficientnet_lite0, resnet50"):
        get_backbone("resnet18")


def test_transfer_model_ends_in_logits_and_probabilities():
    model, base, origin = build_transfer_model(EFFICIENTNET_LITE0, 3, (64, 64), weights="none")
    assert [layer.name for layer in model.layers[-5:]] == ["pooling", "dense", "dropout", "logits", "probabilities"]
    probabilities = np.asarray(model(IMAGES))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert origin.origin == "none"
    assert all(layer in model.layers for layer in base.layers)


def test_baseline_is_s1s_network():
    model = build_baseline_model(3, (64, 64))
    # 64 -> 62 -> 31 -> 29 -> 14 -> 12 -> 6
    assert model.get_layer("pool3").output.shape[1:] == (6, 6, 128)
    parameters = (27 * 32 + 32) + (288 * 64 + 64) + (576 * 128 + 128) + (6 * 6 * 128 * 128 + 128) + (128 * 3 + 3)
    assert model.count_params() == parameters
    assert model.get_layer(BASELINE_TARGET_LAYER).output.shape[1:3] == (12, 12)


@pytest.mark.slow
def test_imagenet_classifier_names_real_photographs(real_pictures):
    """PITFALLS' 0.886 top-1 is over 1,000 pictures; these are every eighth of them."""
    from src.imaging import load_image

    paths = sorted((real_pictures / "imagenet_samples").glob("*.jpg"))
    if not paths:
        pytest.skip("imagenet_samples is not among the real pictures")
    images = np.stack([load_image(path, (224, 224), "bicubic") for path in paths]).astype(np.float32)
    labels = np.array([int(path.name[:4]) for path in paths])
    predicted = build_imagenet_classifier().predict(images, batch_size=32, verbose=0).argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    print(f"top-1 {accuracy:.3f} of {len(paths)}")
    assert len(paths) == 125 and accuracy >= 0.80
