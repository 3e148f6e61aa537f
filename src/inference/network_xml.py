"""OpenVINO's description of a network, checked before OpenVINO reads it: its reader believes what a file claims.

Elements nested 50,000 deep end the whole process (OpenVINO 2026.4), and a picture a million pixels wide is prepared for
without end. So only what our own networks consist of is admitted: plain layers, and constants that are their bytes.
"""

import math
import re
from collections import Counter
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    import openvino

MAX_BYTES = 16 * 2**20  # DenseNet121 takes 1 MB
MAX_SIDE = 2**31 - 1
# Of one layer for one picture: VGG16 takes 2**22 for 224 x 224.
MAX_OUTPUT_VALUES = 2**28

_ELEMENTS = {
    "net": {""},
    "layers": {"net"},
    "layer": {"layers"},
    "data": {"layer"},
    "input": {"layer"},
    "output": {"layer"},
    "port": {"input", "output"},
    "dim": {"port"},
    "edges": {"net"},
    "edge": {"edges"},
    "rt_info": {"net"},
    "info": {"rt_info"},
}
# How many inputs each kind of layer has: OpenVINO ends the process where some have none.
_INPUTS = {
    **dict.fromkeys(("Const", "Parameter"), range(1)),
    **dict.fromkeys(
        (
            "Abs", "AvgPool", "Clamp", "Convert", "Elu", "Exp", "Gelu", "HSigmoid", "HSwish", "LogSoftmax", "MaxPool",
            "Mish", "Negative", "ReLU", "Result", "ShapeOf", "Sigmoid", "SoftMax", "SoftPlus", "Sqrt", "Tanh",
        ),
        range(1, 2),
    ),
    **dict.fromkeys(("Squeeze", "Swish"), range(1, 3)),
    **dict.fromkeys(
        (
            "Add", "Convolution", "Divide", "GroupConvolution", "MatMul", "Maximum", "Minimum", "Multiply", "PRelu",
            "Power", "ReduceMax", "ReduceMean", "ReduceProd", "ReduceSum", "Reshape", "SquaredDifference", "Subtract",
            "Transpose", "Unsqueeze",
        ),
        range(2, 3),
    ),
    "Gather": range(3, 4),
    **dict.fromkeys(("Pad", "StridedSlice"), range(3, 5)),
    "Concat": range(1, 1000),
}  # fmt: skip
_ITEM_BYTES = {"f16": 2, "f32": 4, "f64": 8, "i8": 1, "u8": 1, "i32": 4, "i64": 8, "boolean": 1}


def check_network_xml(graph: bytes, weights_bytes: int) -> None:
    """Raise ``ValueError``, whose text says why, where ``graph`` is not such a network.

    Args:
        graph: the content of network.xml.
        weights_bytes: the size of network.bin.
    """
    if len(graph) > MAX_BYTES:
        raise ValueError(f"its description has more than {MAX_BYTES // 2**20} MB")
    # OpenVINO would guess other encodings from the first bytes; a comment or document type is never needed.
    if not graph.startswith(b"<?xml ") or b"\0" in graph or b"<!" in graph or graph.count(b"<?") > 1:
        raise ValueError("its description is no plain XML")
    if re.search(rb">\s*[0-9]{10}", graph):
        raise ValueError("its description holds a size beyond all bounds")
    reader = _Reader(weights_bytes)
    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    try:
        parser.Parse(graph, True)
    except expat.ExpatError as error:
        raise ValueError(f"its description is no XML ({error})") from error
    reader.check_inputs()


def check_outputs(model: "openvino.Model") -> None:
    """Raise ``ValueError``, whose text says why, where a layer makes more of one picture than memory is for."""
    for operation in model.get_ops():
        for output in operation.outputs():
            sides = [1 if side.is_dynamic else side.get_length() for side in output.get_partial_shape()]
            if math.prod(sides) > MAX_OUTPUT_VALUES:
                raise ValueError(f"a layer of it makes {sides} of every picture")


class _Reader:
    """Told of one element after the other."""

    def __init__(self, weights_bytes: int):
        self._weights_bytes = weights_bytes
        self._open, self._layer = [""], ""
        self._kinds, self._ends = {}, []  # of layers by their ids; (layer, port) that an edge leads to

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._open[-1] not in _ELEMENTS.get(name, ()):
            raise ValueError(f"its description holds <{name[:60]}> within <{self._open[-1]}>")
        self._open.append(name)
        if name == "layer":
            self._layer = attributes.get("type", "")
            number = attributes.get("id")
            if number in self._kinds:
                raise ValueError("two layers of it have one number")
            self._kinds[number] = self._layer
            if self._layer not in _INPUTS or not attributes.get("version", "").startswith("opset"):
                raise ValueError(f"it holds a layer {self._layer[:60]!r}, which no network saved here does")
        elif name == "edge":
            self._ends.append((attributes.get("to-layer"), attributes.get("to-port")))
        elif name == "data" and self._layer == "Const":
            self._check_constant(attributes)
        elif name == "data":
            for value in attributes.values():
                _check_numbers(value)

    def end(self, name: str) -> None:
        self._open.pop()

    def check_inputs(self) -> None:
        """After the last element."""
        counts = Counter(layer for layer, _ in set(self._ends))
        if len(set(self._ends)) < len(self._ends) or not counts.keys() <= self._kinds.keys():
            raise ValueError("its layers are not joined as those of a network")
        for layer, kind in self._kinds.items():
            if counts[layer] not in _INPUTS[kind]:
                raise ValueError(f"a layer {kind} of it has {counts[layer]} inputs")

    def _check_constant(self, attributes: dict[str, str]) -> None:
        try:
            offset, size = (_number(attributes[key]) for key in ("offset", "size"))
            shape = [_number(side) for side in attributes["shape"].split(",") if side.strip()]
            item_bytes = _ITEM_BYTES[attributes["element_type"]]
        except (KeyError, ValueError):
            raise ValueError("a constant of it is not described as plain numbers") from None
        if math.prod(shape) * item_bytes != size or offset + size > self._weights_bytes:
            raise ValueError("a constant of it is not in its weights")


def _number(text: str) -> int:
    if not re.fullmatch(r" ?[0-9]{1,12}", text, re.ASCII):
        raise ValueError(text[:60])
    return int(text)


def _check_numbers(text: str) -> None:
    for number in re.findall(r"(?<![\w.])[0-9]{10,}(?![\w.])", text):
        if int(number[:20]) > MAX_SIDE:
            raise ValueError(f"its description holds the size {number[:20]}")
