"""What a stranger's network.xml may hold: only what our own networks consist of."""

import re

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.frozen_bundle import save_frozen_form
from src.inference import network_xml
from src.inference.network_xml import check_network_xml
from src.inference.openvino_engine import OpenVINOEngine
from src.networks.registry import BACKBONES, build_transfer_model
from src.networks.scratch import SCRATCH_NETWORKS, build_scratch_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """network.xml and network.bin of a small network of ours."""
    folder = tmp_path_factory.mktemp("network")
    keras.utils.set_random_seed(0)
    names = save_frozen_form(build_scratch_model("baseline", 3, (32, 32)), "", folder)
    return [(folder / name).read_bytes() for name in names]


def _constant(graph: bytes) -> re.Match:
    return re.search(rb'element_type="f32" shape="([^"]+)" offset="(\d+)" size="(\d+)"', graph)


def _layer(graph: bytes, kind: bytes) -> re.Match:
    return re.search(rb'<layer [^>]*type="%s".*?</layer>' % kind, graph, re.DOTALL)


def _replace_constant(graph: bytes, shape=None, offset=None, size=None, kind=b"f32") -> bytes:
    match = _constant(graph)
    values = (kind, shape or match[1], offset or match[2], size or match[3])
    return graph.replace(match[0], b'element_type="%s" shape="%s" offset="%s" size="%s"' % values, 1)


NESTED = b"<rt_info>" + b'<user_data name="a">' * 50_000 + b"</user_data>" * 50_000 + b"</rt_info>"
CHANGES = {
    "a place that overflows": (lambda g: _replace_constant(g, offset=b"18446744073709551600"), "plain numbers"),
    "a place beyond the end": (lambda g: _replace_constant(g, offset=b"99999999"), "not in its weights"),
    "a shape that overflows": (lambda g: _replace_constant(g, shape=b"4194304,4194304,4194304"), "not in its weights"),
    "a size below 0": (lambda g: _replace_constant(g, size=b"-4"), "plain numbers"),
    "text": (lambda g: _replace_constant(g, kind=b"string"), "plain numbers"),
    "nested without end": (lambda g: g.replace(b"<output>", NESTED + b"<output>", 1), "<rt_info> within <layer>"),
    "another file": (
        lambda g: g.replace(b'"?>', b'"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', 1),
        "no plain XML",
    ),
    "another encoding": (lambda g: g.decode().encode("utf-16"), "no plain XML"),
    "an extension": (lambda g: g.replace(b'version="opset1"', b'version="extension"', 1), "which no network saved"),
    "a loop": (lambda g: g.replace(b'type="ReLU"', b'type="Loop"', 1), "'Loop', which no network saved"),
    "a layer without inputs": (
        lambda g: g.replace(b'type="Const"', b'type="MaxPool"', 1),
        "MaxPool of it has 0",
    ),
    "a layer twice": (lambda g: g.replace(_layer(g, b"Const")[0], _layer(g, b"Const")[0] * 2), "have one number"),
    "an edge to nowhere": (lambda g: g.replace(b'to-layer="', b'to-layer="9', 1), "not joined"),
    "a huge side": (lambda g: g.replace(b'shape="?,32,32,3"', b'shape="?,99999999999,32,3"'), "the size 99999999999"),
    "a huge output": (lambda g: g.replace(b"<dim>3</dim>", b"<dim>99999999999</dim>"), "a size beyond all bounds"),
    "a picture beyond memory": (lambda g: g.replace(b'shape="?,32,32,3"', b'shape="?,1000000,1000000,3"'), "reads"),
    "cut off": (lambda g: g[: len(g) // 2], "no XML"),
    "nothing": (lambda g: b"", "no plain XML"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_hostile_networks_are_refused(saved, what):
    graph, weights = saved
    change, reason = CHANGES[what]
    hostile = change(graph)
    assert hostile != graph
    with pytest.raises(UserError, match=re.escape(reason)):
        OpenVINOEngine.from_bytes(hostile, weights)


def test_weights_that_are_cut_off_are_refused(saved):
    graph, weights = saved
    with pytest.raises(UserError, match="not in its weights"):
        OpenVINOEngine.from_bytes(graph, weights[:-4])


def test_a_layer_beyond_memory_is_refused(saved, monkeypatch):
    monkeypatch.setattr(network_xml, "MAX_OUTPUT_VALUES", 1000)
    with pytest.raises(UserError, match="of every picture"):
        OpenVINOEngine.from_bytes(*saved)


def test_a_description_beyond_all_bounds_is_refused(saved, monkeypatch):
    monkeypatch.setattr(network_xml, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="its description has more than"):
        OpenVINOEngine.from_bytes(*saved)


def test_our_own_network_is_admitted(saved):
    outputs = OpenVINOEngine.from_bytes(*saved).run(np.zeros((1, 32, 32, 3), np.float32))
    assert outputs["probabilities"].shape == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BACKBONES, *SCRATCH_NETWORKS])
def test_every_network_of_ours_is_admitted(tmp_path, name):
    """Else it would be saved without this form."""
    if name in BACKBONES:
        model = build_transfer_model(BACKBONES[name], 3, (64, 64), weights="none")[0]
    else:
        model = build_scratch_model(name, 3, (32, 32), grayscale=True)
    names = save_frozen_form(model, "", tmp_path)
    graph, weights = ((tmp_path / name).read_bytes() for name in names)
    check_network_xml(graph, len(weights))
