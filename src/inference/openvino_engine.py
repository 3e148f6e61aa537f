"""OpenVINO on the CPU: the frozen network at two to three times the rate of Keras' graph. Loads no TensorFlow."""

import contextlib
import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from src.errors import UserError, shorten_error
from src.inference.network_xml import check_network_xml, check_outputs

if TYPE_CHECKING:
    from src.inference.frozen_graph import FrozenGraph

# Pictures that one request takes. Small chunks over several requests stay in the caches: on two cores
# EfficientNet-Lite0 ran at 145 pictures a second in twos and at 120 in chunks of 32 (docs/performance.md). So many
# alone are computed by all cores together, which is the sooner for them and the slower for many.
_CHUNK = 2


@functools.cache
def _core() -> openvino.Core:
    return openvino.Core()


class OpenVINOEngine:
    """See :class:`src.inference.engine.Engine`. Always float32: OpenVINO's own choice may be less on newer CPUs.

    Args:
        model: as OpenVINO reads it; one input, outputs with names.

    Attributes:
        output_names: what :meth:`run` returns.
    """

    name, precision = "openvino", "float32"

    def __init__(self, model: openvino.Model):
        self._model = model
        self.output_names = [output.get_any_name() for output in model.outputs]
        self._requests, self._for_many = [], False

    def _compile(self, *, for_many: bool) -> None:
        hints = {
            "PERFORMANCE_HINT": "THROUGHPUT" if for_many else "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,  # the threads that read pictures need the same cores
        }
        compiled = _core().compile_model(self._model, "CPU", hints)
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(count)]
        self._for_many = for_many

    @classmethod
    def from_graph(cls, graph: "FrozenGraph") -> "OpenVINOEngine":
        """From a frozen TensorFlow graph; its outputs get the graph's output names."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "graph.pb")
            path.write_bytes(graph.definition)
            model = _core().read_model(path)
        for name, tensor_name in graph.tensor_names.items():
            model.output(tensor_name).get_tensor().set_names({name})
        return cls(model)

    @classmethod
    def from_bytes(cls, graph: bytes, weights: bytes) -> "OpenVINOEngine":
        """From the contents of the two files that :meth:`save` wrote.

        Raises ``UserError`` where they are damaged or not as :meth:`save` writes them, or where this machine cannot run
        them.
        """
        try:
            check_network_xml(graph, len(weights))
            model = _core().read_model(graph, weights)
            check_outputs(model)
            engine = cls(model)
            engine._compile(for_many=False)
            return engine
        except (RuntimeError, ValueError) as error:
            raise UserError(f"it is not a network that OpenVINO reads ({shorten_error(error)})") from error

    def save(self, path: str | os.PathLike) -> None:
        """Write ``path`` (.xml, the graph) and the .bin beside it (its float32 weights), neither being there yet."""
        openvino.save_model(self._model, path, compress_to_fp16=False)

    @property
    def image_size(self) -> tuple[int | None, int | None]:
        """(height, width) of the pictures, None where any will do."""
        sides = list(self._model.input(0).get_partial_shape())[1:3]
        return tuple(None if side.is_dynamic else side.get_length() for side in sides)

    def width(self, name: str) -> int:
        """The size of the last dimension of the output ``name``."""
        return self._model.output(name).get_partial_shape()[-1].get_length()

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`src.inference.engine.Engine`.

        Raises ``UserError`` where OpenVINO fails, as for pictures of another size or want of memory.
        """
        try:
            return self._run(images)
        except RuntimeError as error:
            reason = shorten_error(error)
            raise UserError(f"OpenVINO could not compute the network ({reason}); try --engine keras") from error

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        many = len(images) > _CHUNK
        if not self._requests or (many and not self._for_many):  # for many once is for many ever: more will follow
            self._compile(for_many=many)
        results: dict[str, np.ndarray] = {}
        # OpenVINO keeps only the address of an array: one that nothing else holds is freed, and its memory overwritten,
        # while the request still reads it. So each request's chunk stays here, with its place, until it is done.
        held: list[tuple[int, np.ndarray] | None] = [None] * len(self._requests)

        def collect(number: int) -> None:
            if held[number] is None:
                return
            request, (start, chunk) = self._requests[number], held[number]
            request.wait()
            held[number] = None
            for index, name in enumerate(self.output_names):
                values = request.get_output_tensor(index).data
                if name not in results:
                    results[name] = np.empty((len(images), *values.shape[1:]), np.float32)
                results[name][start : start + len(chunk)] = values

        try:
            for turn, start in enumerate(range(0, len(images), _CHUNK)):
                number = turn % len(self._requests)
                collect(number)
                chunk = np.array(images[start : start + _CHUNK], np.float32, order="C")
                held[number] = start, chunk
                self._requests[number].set_input_tensor(openvino.Tensor(chunk, shared_memory=True))
                self._requests[number].start_async()
            for number in range(len(self._requests)):
                collect(number)
        finally:
            for request, content in zip(self._requests, held):
                if content is not None:  # after an error or Ctrl-C
                    with contextlib.suppress(Exception):
                        request.wait()
        return results
