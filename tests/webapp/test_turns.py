"""Many visitors at once: each has an answer of its own, and none waits in vain."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from src.webapp import turns
from tests.webapp.served import BLACK, BLUE, GREEN, RED, encode, halves, serve

pytestmark = pytest.mark.large


def test_twenty_at_once_all_get_their_own(app):
    colors = [(RED, "red"), (GREEN, "green"), (BLUE, "blue")]
    asked = [colors[number % 3] for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda each: app.post("/explain", encode(halves(each[0], BLACK))), asked))
    assert [status for status, _ in answers] == [200] * 20
    assert [found["classes"][0]["class"] for _, found in answers] == [name for _, name in asked]
    assert app.get("/health")[1]["waiting"] == 0


class Slow:
    """A service whose computations take until they are let go."""

    names = {"slow": "slow"}
    errors: dict = {}

    def __init__(self):
        self.computed, self.begun, self.go = [], threading.Event(), threading.Event()

    def predict(self, upload, model, top):
        self.begun.set()
        assert self.go.wait(30)
        self.computed.append(upload.shown[0, 0].tolist())
        return {"model": model, "classes": [], "seconds": 0.0}


def _wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_too_many_are_asked_to_come_again(monkeypatch):
    monkeypatch.setattr(turns, "WAITING", 3)
    slow = Slow()
    with serve(slow) as served, ThreadPoolExecutor(3) as pool:
        picture = encode(halves(RED, GREEN))
        taken = [pool.submit(served.post, "/predict", picture) for _ in range(3)]
        _wait_until(lambda: served.get("/health")[1]["waiting"] == 3)
        status, found, headers = served.ask("POST", "/predict", picture)
        assert status == 503 and "try again" in found["error"] and headers["Retry-After"] == "2"
        slow.go.set()
        assert [each.result()[0] for each in taken] == [200] * 3
        assert served.post("/predict", picture)[0] == 200


def test_who_has_left_is_passed_over():
    slow = Slow()
    with serve(slow) as served, ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.post, "/predict", encode(halves(RED, RED)))
        assert slow.begun.wait(20)
        gone = http.client.HTTPConnection(served.address.removeprefix("http://"))
        gone.request("POST", "/predict", encode(halves(GREEN, GREEN)))
        _wait_until(lambda: served.get("/health")[1]["waiting"] == 2)
        gone.close()
        last = pool.submit(served.post, "/predict", encode(halves(BLUE, BLUE)))
        _wait_until(lambda: served.get("/health")[1]["waiting"] == 3)
        slow.go.set()
        assert first.result()[0] == last.result()[0] == 200
    assert slow.computed == [list(RED), list(BLUE)]


def test_who_sends_too_slowly_gives_the_place_back(app, monkeypatch):
    monkeypatch.setattr(turns, "RECEIVING", 0.3)
    slow = http.client.HTTPConnection(app.address.removeprefix("http://"), timeout=20)
    slow.putrequest("POST", "/predict")
    slow.putheader("Content-Length", "1000")
    slow.endheaders(b"only this")
    answer = slow.getresponse()
    assert answer.status == 400 and b"did not arrive within" in answer.read()
    slow.close()
    assert app.get("/health")[1]["waiting"] == 0


def test_an_error_of_ours_is_owned_up_to(capfd):
    class Broken(Slow):
        def predict(self, upload, model, top):
            raise ZeroDivisionError("ours")

    with serve(Broken()) as served:
        status, found = served.post("/predict", encode(halves(RED, RED)))
        assert status == 500 and "error of ours" in found["error"]
        assert served.get("/health")[0] == 200
