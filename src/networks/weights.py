"""Weights of keras.applications: ImageNet's by Keras' own cached download, or a local file in Keras' formats."""

import contextlib
import functools
import os
import socket
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from src.errors import Circumstance, UserError, shorten_error
from src.networks.model_files import check_weights_file, load_model, read_model_file
from src.threads import call_within

# Where keras.applications keeps its files; only asked whether it answers, Keras itself downloads.
WEIGHTS_HOST = "https://storage.googleapis.com/tensorflow/keras-applications/"
_PROBE_SECONDS = 5.0

_host_answers: bool | None = None  # asked once per process: a name that does not resolve may hang for long


class NoWeightsError(Circumstance):
    """ImageNet weights that are neither cached nor to be downloaded; ``reason`` says why."""

    def __init__(self, name: str, reason: str):
        self.reason = reason
        super().__init__(
            f"the ImageNet weights of {name} cannot be had ({reason}); give a local file with --weights PATH, "
            "or use --backbone efficientnet_lite0, whose weights are installed already"
        )


def can_reach_weights_host() -> bool:
    """Whether the host of Keras' weights answers within a few seconds (any HTTP status counts as an answer)."""
    global _host_answers
    if _host_answers is None:
        try:
            _host_answers = call_within(_PROBE_SECONDS + 1.0, lambda: _probe(WEIGHTS_HOST))
        except TimeoutError:
            _host_answers = False
    return _host_answers


def _probe(url: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PROBE_SECONDS).close()
        return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def find_cached(file_name: str) -> Path | None:
    """A weights file in Keras' cache (``KERAS_HOME``, else ``~/.keras``), or None."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    if not os.access(home, os.W_OK):  # Keras' own way out, in get_file
        home = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / ".keras"
    path = home / "models" / file_name
    return path if path.is_file() else None


def download_imagenet(factory: Callable[..., keras.Model], name: str, cached_file: str | None) -> keras.Model:
    """``factory(weights="imagenet", include_top=False)``, downloaded by Keras or from its cache.

    Raises ``NoWeightsError`` where there is no network and no cached file, or the download breaks.
    """
    if not (cached_file and find_cached(cached_file)) and not can_reach_weights_host():
        raise NoWeightsError(name, "the host of Keras' weights does not answer")
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30.0)  # Keras' own download knows no time-out
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras prints where results go
            return factory(weights="imagenet", include_top=False)
    except Exception as error:  # Keras wraps network errors in a bare Exception
        raise NoWeightsError(name, shorten_error(error, 300)) from error
    finally:
        socket.setdefaulttimeout(timeout)


def load_keras_weights(model: keras.Model, twins: Sequence[Callable[[], keras.Model]], path: str | os.PathLike) -> None:
    """Load ``.keras``, ``.weights.h5`` or ``.h5`` into ``model``.

    ``twins`` build networks whose first weights are the model's, with or without a head: a weights file only loads
    into the network it was saved from, and Keras publishes each with and without its 1,000-class top.
    Raises ``UserError`` where the file is missing, is refused or fits none of them; the model is then as it was.
    """
    path = Path(path)
    if not path.is_file():
        raise Circumstance(f"--weights {path}: no such file; give a .h5, .weights.h5 or .keras file")
    expected = [weight.shape for weight in model.weights]
    reason = "none of its forms has these shapes"
    if path.suffix == ".keras":
        loaders = [lambda: load_model(read_model_file(path), path)]
    else:
        loaders = [functools.partial(_with_weights, twin, path) for twin in twins]
    for load in loaders:
        try:
            values = load().get_weights()[: len(expected)]
            if [tuple(value.shape) for value in values] == [tuple(shape) for shape in expected]:
                model.set_weights(values)
                return
        except UserError:  # the file itself is refused
            raise
        except Exception as error:  # h5py and Keras each raise kinds of their own
            reason = shorten_error(error)
    hint = "" if path.name.endswith((".weights.h5", ".keras")) else "; a file of save_weights must end in .weights.h5"
    raise UserError(f"--weights {path} does not fit {model.name} ({reason}); give weights of that network{hint}")


def _with_weights(twin: Callable[[], keras.Model], path: Path) -> keras.Model:
    check_weights_file(path)
    network = twin()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hundreds of lines on groups that do not match; it raises as well
        network.load_weights(path)
    return network
