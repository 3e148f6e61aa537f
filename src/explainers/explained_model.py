"""A classifier as explainers see it: answers, scores of one target, and gradients of it; each built and traced once.

Several explainers of one model share one :class:`ExplainedModel`, so that nothing is traced or compiled twice.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from src.errors import UserError
from src.explainers.graph import GradientModel, as_functional, build_answer_model, build_gradient_model, walk_layers
from src.explainers.targets import Target, class_logit
from src.inference.engine import Engine

EngineFactory = Callable[[keras.KerasTensor, dict[str, keras.KerasTensor]], Engine | None]
"""(symbolic inputs, symbolic outputs by name) -> an engine for these, as of
:func:`src.inference.engine.create_engine`, or None for TensorFlow."""

# So many pictures are computed at once, if more are asked for.
BATCH = 32
# So many pictures are worked on at once where each takes many runs: one is prepared while the other is computed.
AT_ONCE = 2


class ExplainedModel:
    """One model under one target.

    Nothing of the caller's model is altered: its layers are shared, and what it learns later is explained too.

    Args:
        model: see :func:`src.explainers.graph.build_gradient_model`, which also names the errors raised.
        target: what is explained, a function of logits and class.
        engine: makes what computes frozen networks faster than TensorFlow; called when it is first needed, for the
            answers (outputs ``logits`` where the network has a layer of that name, and ``probabilities``) or for the
            activations of a target layer (an output of that layer's name). It is left aside where it is Keras again,
            and while the weights are not what they were when it was made.
        black: the input values of a black pixel, a number or (3,): 0 for RGB 0..255 and 0..1.
        soften: what makes of the network's probabilities (N, C) the ones that people are shown, by a temperature say;
            None leaves them as they are. Logits, and so all maps and measures, know nothing of it.

    Attributes:
        input_shape: (H, W, 3), None where any size fits.
        class_count: the classes that can be explained; 2 for one sigmoid unit.
        soften: as given, or what changes nothing.
        versus: the class that the target sets others against; None where it does not.
        gradient_scale: what scores are multiplied by before, and gradients divided by after differentiation.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        target: Target = class_logit,
        engine: EngineFactory | None = None,
        black: float | Sequence[float] = 0.0,
        soften: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        # Not the caller's object: it may be kept as the key of what is explained, and should die when it is dropped.
        self.model = as_functional(model)
        self._answer_model = build_answer_model(self.model)
        self.target, self.black = target, np.asarray(black, np.float32)
        self.versus = getattr(target, "versus", None)
        self._engine_factory, self.soften = engine, soften or (lambda probabilities: probabilities)
        self.input_shape = tuple(model.inputs[0].shape[1:])
        self.class_count = max(model.outputs[0].shape[-1], 2)
        if self.versus is not None and self.versus >= self.class_count:
            raise UserError(f"classes are numbered 0 to {self.class_count - 1}. Received: {self.versus}")
        half = any(getattr(layer, "compute_dtype", "") == "float16" for layer in walk_layers(self.model))
        # In half precision small gradients would be rounded to nothing; a power of two costs no digit.
        self.gradient_scale = 1024.0 if half else 1.0
        self._layers: dict[str, TargetLayer] = {}
        self._by_keras = self._by_engine = self._gradients = None
        self._building = threading.Lock()

    # ------------------------------------------------------------------------------------------------- what is asked

    def check(self, inputs: np.ndarray, class_index: int | Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
        """Inputs float32 (N, H, W, 3) and classes int32 (N,), -1 for the predicted one; raises ``UserError``."""
        inputs = np.asarray(inputs, np.float32)
        if not inputs.size:
            raise UserError("there is no picture to explain")
        if inputs.ndim != 4 or any(want not in (None, got) for want, got in zip(self.input_shape, inputs.shape[1:])):
            raise UserError(f"the model takes pictures {self.input_shape} in batches. Received: {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise UserError("a picture's values are not finite (NaN or infinite); look at how it was read or prepared")
        if class_index is None:
            return inputs, np.full(len(inputs), -1, np.int32)
        wanted = np.asarray(class_index)
        known = np.issubdtype(wanted.dtype, np.integer) and np.all((wanted >= 0) & (wanted < self.class_count))
        if not known or wanted.shape not in ((), (len(inputs),)):
            raise UserError(
                f"classes are numbered 0 to {self.class_count - 1}, one for all or one for each of {len(inputs)} "
                f"pictures. Received: {class_index}"
            )
        if self.versus is not None and np.any(wanted == self.versus):
            raise UserError(f"the class {self.versus} cannot be set against itself")
        return inputs, np.broadcast_to(wanted, len(inputs)).astype(np.int32)

    def choose_classes(self, logits: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """The class that each map is about, int32 (N,): the wanted one, for -1 the predicted one; where that is the
        class that the target sets others against, the runner-up."""
        best = tf.math.top_k(logits, 2).indices
        predicted = best[:, 0] if self.versus is None else tf.where(best[:, 0] == self.versus, best[:, 1], best[:, 0])
        return tf.where(wanted < 0, predicted, wanted)

    # ------------------------------------------------------------------------------------------------------- answers

    def answer(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities, float32 (N, C), of inputs (N, H, W, 3), N >= 1, in batches."""
        with self._building:
            compute = self._compute_answers()
        parts = [compute(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
        logits, probabilities = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in (0, 1))
        return logits, probabilities

    def score(self, inputs: np.ndarray, class_index: int) -> np.ndarray:
        """The target's values float32 (N,) of one class for inputs (N, H, W, 3)."""
        return self.score_logits(self.answer(inputs)[0], np.full(len(inputs), class_index, np.int32))

    def score_logits(self, logits: np.ndarray, class_index: np.ndarray) -> np.ndarray:
        """The target's values float32 (N,) for logits (N, C) and classes int (N,)."""
        return self.target(tf.constant(logits, tf.float32), tf.constant(class_index, tf.int32)).numpy()

    def _compute_answers(self) -> Callable:
        if self._by_keras is None:
            head, model = self._answer_model.head, self._answer_model.model
            # In our networks, and as they were saved for OpenVINO, the head reads the layer "logits".
            names = ["logits" if head.is_logits else "before_logits", "probabilities"][: len(model.outputs)]
            self._by_engine = FrozenPart.make(self._engine_factory, model.inputs[0], dict(zip(names, model.outputs)))
            self._read = tf.function(head.answers, reduce_retracing=True, autograph=False)
            signature = [tf.TensorSpec((None, *self.input_shape))]
            # Last: where an engine is refused, the next call shall refuse it too.
            self._by_keras = tf.function(self._answer_model, input_signature=signature, autograph=False)
        if self._by_engine is not None and self._by_engine.is_current():
            return lambda inputs: self._read(*map(tf.constant, self._by_engine.run(inputs)))
        return lambda inputs: self._by_keras(tf.constant(inputs))

    # ----------------------------------------------------------------------------------------------------- gradients

    def input_gradients(self, inputs: np.ndarray, class_index: np.ndarray) -> np.ndarray:
        """d target / d inputs, float32 (N, H, W, 3), in batches; classes int (N,)."""
        if self._gradients is None:
            self._gradients = compile_input_gradients(self._answer_model, self)
        return run_in_batches(self._gradients, inputs, class_index)

    def layer(self, name: str | None = None) -> "TargetLayer":
        """The layer of that name, or the last fitting one; built once. Raises ``UserError`` with those which fit."""
        if name not in self._layers:
            found = TargetLayer(self, build_gradient_model(self.model, name), self._engine_factory)
            self._layers[name] = self._layers.setdefault(found.name, found)
        return self._layers[name]


def compile_input_gradients(answer_model: Callable, explained: ExplainedModel) -> Callable:
    """A graph function (inputs (N, H, W, 3), classes int32 (N,)) -> d target / d inputs, float32, of the answers of
    this model (it may be an altered one) under the target of ``explained``."""
    scale = explained.gradient_scale

    def compute(inputs: tf.Tensor, class_index: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            scores = scale * explained.target(answer_model(inputs)[0], class_index)
        gradients = tape.gradient(scores, inputs)
        if gradients is None:
            raise UserError("the logits do not depend on the picture in a differentiable way")
        return gradients / scale

    signature = [tf.TensorSpec((None, *explained.input_shape)), tf.TensorSpec((None,), tf.int32)]
    return tf.function(compute, input_signature=signature, autograph=False)


def run_in_batches(compute: Callable, inputs: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    """``compute`` of :func:`compile_input_gradients` over any number of inputs, BATCH at a time."""
    parts = [
        compute(tf.constant(inputs[start : start + BATCH]), tf.constant(class_index[start : start + BATCH], tf.int32))
        for start in range(0, len(inputs), BATCH)
    ]
    return np.concatenate([part.numpy() for part in parts])


class TargetLayer:
    """Activations of one layer, the target's gradients there, and scores of altered activations.

    Attributes:
        name: the layer's.
        channels: K.
        uses_engine: whether an engine computes the activations.
    """

    def __init__(self, explained: ExplainedModel, gradient_model: GradientModel, factory: EngineFactory | None):
        self.name = gradient_model.target_layer
        self._explained, self._gradient_model = explained, gradient_model
        inputs, activations = gradient_model.model.inputs[0], gradient_model.model.outputs[0]
        self.channels = activations.shape[-1]
        self._activation_shape = tuple(activations.shape[1:])
        self._whole = self._compile(gradient_model, explained.input_shape)
        self._frozen = self._rest = None
        if gradient_model.tail is not None:
            self._frozen = FrozenPart.make(factory, inputs, {self.name: activations})
        if self._frozen is not None:
            self._from_activations = self._compile(gradient_model.from_activations, self._activation_shape)

    @property
    def uses_engine(self) -> bool:
        return self._frozen is not None

    def _compile(self, forward: Callable, shape: Sequence[int | None]) -> Callable:
        """One graph for every size of batch."""
        signature = [tf.TensorSpec((None, *shape)), tf.TensorSpec((None,), tf.int32)]
        trace = partial(self._trace, forward)
        return tf.function(trace, input_signature=signature, autograph=False)  # autograph would wrap our errors

    def _trace(self, forward: Callable, start: tf.Tensor, wanted: tf.Tensor):
        """The computation from the inputs or the activations on; ``wanted`` holds -1 where the predicted class is to
        be explained."""
        with tf.GradientTape() as tape:
            tape.watch(start)  # frozen variables are not watched, and activations may only arise inside
            activations, logits, probabilities = forward(start)
            class_index = self._explained.choose_classes(logits, wanted)
            scores = self._explained.gradient_scale * self._explained.target(logits, class_index)
        # Scores of different pictures do not meet, so the gradient of their sum holds each one's own.
        gradients = tape.gradient(scores, activations)
        if gradients is None:
            raise UserError(f"the logits do not depend on the layer {self.name} in a differentiable way")
        gradients = tf.cast(gradients, tf.float32) / self._explained.gradient_scale
        return tf.cast(activations, tf.float32), gradients, logits, probabilities, class_index

    def differentiate(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple[tf.Tensor, ...]:
        """Activations and gradients, float32 (N, h, w, K), logits, probabilities (N, C) and class_index (N,).

        Args:
            wanted: int32 (N,), -1 for the predicted class.
        """
        wanted = tf.constant(wanted, tf.int32)
        if self._frozen is not None and self._frozen.is_current():
            return self._from_activations(tf.constant(self._frozen.run(inputs)[0]), wanted)
        return self._whole(tf.constant(inputs), wanted)

    def score_activations(self, inputs: np.ndarray, activations: tf.Tensor, class_index: int) -> np.ndarray:
        """The target's values (M,) where the layer's activations are replaced by these, float32 (M, h, w, K).

        Args:
            inputs: (1, H, W, 3), the picture; it matters where something leads past the layer.

        Raises:
            UserError: the layer is within a nested model and something leads past it there.
        """
        if self._rest is None:
            self._rest = tf.function(self._build_rest(), reduce_retracing=True, autograph=False)
        return self._rest(tf.constant(inputs), activations, tf.constant(class_index, tf.int32)).numpy()

    def _build_rest(self) -> Callable:
        gradient_model, target = self._gradient_model, self._explained.target
        model = gradient_model.model
        if gradient_model.tail is None:
            try:
                beside = keras.Model([model.inputs[0], model.outputs[0]], model.outputs[1:])
            except ValueError as error:
                raise UserError(
                    f"the activations of {self.name} cannot be replaced: it lies in a nested model with another way "
                    "around it; take another method or layer"
                ) from error

        def compute(inputs, activations, class_index):
            activations = tf.cast(activations, model.outputs[0].dtype)
            count = tf.shape(activations)[0]
            if gradient_model.tail is None:
                ends = keras.tree.flatten(beside([tf.repeat(inputs, count, axis=0), activations], training=False))
                logits, _ = gradient_model.head.answers(*ends)
            else:
                _, logits, _ = gradient_model.from_activations(activations)
            return target(logits, tf.repeat(class_index, count))

        return compute


class FrozenPart:
    """A part of the network computed by an engine, and whether the network is still what it was then.

    Args:
        engine: has at least ``names`` among its outputs.
        part: the same part in Keras.
    """

    def __init__(self, engine: Engine, names: Sequence[str], part: keras.Model):
        self._engine, self._names, self._lock = engine, list(names), threading.Lock()
        self.is_current = _unchanged_since_now(part)

    @classmethod
    def make(cls, factory: EngineFactory | None, inputs: keras.KerasTensor, outputs: dict) -> "FrozenPart | None":
        """By the caller's factory; None where there is none or where it comes to Keras again, which is faster whole."""
        engine = factory(inputs, outputs) if factory is not None else None
        if engine is None or engine.name == "keras":
            return None
        return cls(engine, outputs, keras.Model(inputs, list(outputs.values())))

    def run(self, inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs, in the order of their names; one thread at a time, as engines take it."""
        with self._lock:
            results = self._engine.run(inputs)
        return [results[name] for name in self._names]


def _unchanged_since_now(model: keras.Model) -> Callable[[], tf.Tensor]:
    """A function that returns whether all of the model's variables have the values that they have now."""
    then = [tf.identity(variable.value) for variable in model.variables]

    @tf.function(input_signature=[], autograph=False)
    def compare() -> tf.Tensor:
        equal = (tf.reduce_all(variable.value == value) for variable, value in zip(model.variables, then))
        return tf.reduce_all([tf.constant(True), *equal])

    return compare
