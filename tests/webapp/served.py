"""A small model that is known to the last figure, and the app served over it on loopback, in a thread."""

import contextlib
import http.client
import json
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import cv2
import keras
import numpy as np

from src.bundle import save_bundle
from src.evaluation.novelty import fit_novelty
from src.held_out import HeldOut
from src.networks.heads import add_head
from src.webapp.api import create_api
from src.webapp.server import address_of, allowed_hosts, create_server, open_socket
from src.webapp.service import Service

RED, GREEN, BLUE, BLACK = (230, 10, 10), (10, 230, 10), (10, 10, 230), (0, 0, 0)
CLASSES = ("blue", "green", "red")


def save_color_model(models: Path, name: str = "colors", class_names=CLASSES, evidence: HeldOut | None = None) -> None:
    """A network 32 x 32 whose logits are 12 times the mean blue, green and red (0..1) of the picture."""
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.AveragePooling2D(4)(keras.layers.Rescaling(1 / 255)(inputs))
    cells = keras.layers.Conv2D(3, 1, name="cells")(pooled)
    model = keras.Model(inputs, add_head(keras.layers.GlobalAveragePooling2D()(cells), 3))
    model.get_layer("cells").set_weights([np.eye(3, dtype=np.float32)[None, None], np.zeros(3, np.float32)])
    model.get_layer("logits").set_weights([12 * np.eye(3, dtype=np.float32)[::-1], np.zeros(3, np.float32)])
    save_bundle(
        name, models, model, class_names=list(class_names), image_size=(32, 32), interpolation="bilinear",
        target_layer="cells", info={}, evidence=evidence and (lambda answer: evidence),
    )  # fmt: skip


def make_evidence() -> HeldOut:
    """60 answers, all right: pictures of one colour each, of which the mean colours are known to a hundredth."""
    labels = np.arange(60) % 3
    noise = np.random.default_rng(0).normal(0, 0.01, (60, 3))
    colors = np.array([BLUE, GREEN, RED])[labels] / 255 + noise
    novelty = fit_novelty(colors[30:], labels[30:])
    answers = np.full((60, 3), 0.01, np.float32)
    answers[np.arange(60), labels] = 0.98
    return HeldOut(labels[:30], answers[:30], novelty=novelty, scores=novelty.scores(colors[:30]))


def halves(left: tuple[int, int, int], right: tuple[int, int, int], side: int = 64) -> np.ndarray:
    """RGB uint8 (side, side, 3): one colour on the left, one on the right."""
    image = np.empty((side, side, 3), np.uint8)
    image[:, : side // 2], image[:, side // 2 :] = left, right
    return image


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def make_service(models: Path, *names: str, root: Path | None = None) -> Service:
    """As ``python -m src.app`` makes it; data and results below ``root``."""
    root = root or models / "nowhere"
    arguments = Namespace(
        models_dir=str(models), classes=None, preprocessing=None, engine="auto", data=str(root / "data"),
        output=str(root / "out"),
    )  # fmt: skip
    return Service(names, arguments)


class Served:
    """A running app; ``address`` is its http://127.0.0.1:port."""

    def __init__(self, address: str):
        self.address, self._host = address, address.removeprefix("http://")

    def ask(self, verb: str, path: str, body: bytes | None = None, headers: dict | None = None, **query):
        """(status, value of the JSON or bytes, headers) of one request; query values of None are left out."""
        given = urlencode({name.rstrip("_"): value for name, value in query.items() if value is not None})
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request(verb, f"{path}?{given}" if given else path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        value = json.loads(content) if answer.headers.get_content_type() == "application/json" else content
        return answer.status, value, answer.headers

    def get(self, path: str, **query):
        return self.ask("GET", path, **query)[:2]

    def post(self, path: str, body: bytes, **query):
        return self.ask("POST", path, body, **query)[:2]


@contextlib.contextmanager
def serve(service: Service) -> Iterator[Served]:
    """Serve it on a free port until the block ends."""
    with open_socket("127.0.0.1", 0) as bound:
        server = create_server(create_api(service, allowed_hosts(bound)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield Served(address_of(bound))
        finally:
            server.should_exit = True
            thread.join(30)
