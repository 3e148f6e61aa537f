"""``python -m src.app`` as a process: it serves, stops when asked to, and says what is wrong in a sentence."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from src.app import main
from src.errors import UserError
from src.webapp.server import address_of, allowed_hosts, is_private, open_socket
from tests.conftest import ROOT, check_user_error, run_command
from tests.webapp.served import encode, halves, save_color_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_color_model(folder)
    return folder


@pytest.mark.commands
def test_it_serves_until_it_is_stopped(models, tmp_path):
    words = [sys.executable, "-m", "src.app", "--port", "0", "--json", "--models-dir", str(models)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        started = json.loads(process.stdout.readline())
        assert started["models"] == ["colors", "imagenet"]
        host = started["address"].removeprefix("http://")
        assert host.startswith("127.0.0.1:")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", "/predict", encode(halves((9, 9, 200), (0, 0, 9))))
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["classes"][0]["class"] == "blue"
        connection.close()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err and "Stopped." in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.commands
def test_a_model_that_is_not_there_and_a_port_that_is_taken(tmp_path):
    missing = run_command("-m", "src.app", "--port", 0, "--models-dir", tmp_path, "--model", "nope")
    check_user_error(missing, "no model nope")
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        check_user_error(run_command("-m", "src.app", "--port", port), f"port {port} is taken", "--port")


@pytest.mark.parametrize("port", ["-1", "65536", "web"])
def test_no_port(port, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--port", port])
    assert stopped.value.code == 2 and "from 0" in capsys.readouterr().err


def test_addresses(capsys):
    assert main(["--host", "no.such.host.invalid"]) == 2
    assert "no such address" in capsys.readouterr().err
    assert main(["--host", "192.0.2.1", "--port", "0"]) == 2  # an address for documentation, nobody's
    assert "not an address of this machine" in capsys.readouterr().err
    with open_socket("0.0.0.0", 0) as bound:
        assert address_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert allowed_hosts(bound) is None and not is_private(bound)
    assert main(["--host", "a..b"]) == 2 and "no such address" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "127.1"])
def test_every_spelling_of_this_machine_is_guarded(host):
    with open_socket(host, 0) as bound:
        assert is_private(bound) and {"localhost", bound.getsockname()[0]} <= allowed_hosts(bound)


def test_two_sockets_do_not_share_a_port():
    with open_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is taken"):
            open_socket("127.0.0.1", port)
        with socket.create_connection(bound.getsockname()[:2], timeout=5):  # who comes early is kept waiting
            pass
