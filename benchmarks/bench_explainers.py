"""Class activation maps a second beside Keras' forward pass, and the memory that many pictures take.

The same network, pictures and classes for every side, in turn:

- Keras' forward pass: the model in one ``tf.function``, and ``predict_on_batch``;
- ours, whole graph: all of it in TensorFlow, in batches;
- ours, engine: the activations from the fast engine, only what follows differentiated;
- every other method by gradient, the same two ways, beside the forward pass (``cam_rates``), and Score-CAM;
- tutorial: as widely shown, for each picture a new ``keras.Model`` of activations and output, and a GradientTape,
  without a graph function. It is given the logits to differentiate, so that all maps must agree, which is checked.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice

from benchmarks.cam_rates import measure_cams, measure_rate, measure_scorecam
from benchmarks.report import describe_machine, print_conditions, print_json_line, print_medians, run_in_turn
from src.errors import UserError, command
from src.loading.folder import find_pictures
from src.settings import create_parser, positive_int, quiet_tensorflow

EXAMPLES = """\
  python -m benchmarks.bench_explainers --data data/test
  python -m benchmarks.bench_explainers --data data/test --backbone resnet50 --weights none --pictures 32
  python -m benchmarks.bench_explainers --data data/test --memory 10000"""
AGREEMENT = 1e-2  # of the largest value: what maps may differ by (a ReLU near its kink lets a gradient through or not)
FIRST = 1000  # pictures, after which memory is read for the first time


def explain_by_tutorial(model, layer: str, weight_rule, image, class_index: int):
    """The map (h, w) of one picture as tutorials have it: the gradient model is built anew, and nothing is traced."""
    import keras
    import tensorflow as tf

    outputs = [model.get_layer(layer).output, model.get_layer("logits").output]
    gradient_model = keras.Model(model.inputs, outputs)
    with tf.GradientTape() as tape:
        activations, logits = gradient_model([image[None]], training=False)
        score = logits[:, class_index]
    weights = weight_rule(activations, tape.gradient(score, activations))
    return tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))[0].numpy()


def measure_memory(explainer, read, paths, count: int, batch_size: int) -> tuple[int, int]:
    """Peak resident megabytes of this process after ``FIRST`` pictures and after ``count`` (files in turn), explained
    as the command does."""
    from src.explainers.stream import explain_pictures

    class Watched:
        """The explainer, which reads the peak when it has explained ``FIRST`` pictures."""

        explained, first_peak = 0, 0

        def explain(self, inputs, class_index=None):
            result = explainer.explain(inputs, class_index)
            self.explained += len(inputs)
            self.first_peak = self.first_peak or (_peak_megabytes() if self.explained >= FIRST else 0)
            return result

    watched = Watched()
    explain_pictures(watched, read, list(islice(cycle(paths), count)), [-1] * count, batch_size=batch_size)
    return watched.first_peak, _peak_megabytes()


def _peak_megabytes() -> int:
    try:
        import resource
    except ImportError as error:
        raise UserError("this system does not tell a process's memory; leave out --memory") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def compare_maps(found: dict) -> dict[str, float]:
    """How far each side's maps lie from those of the whole graph at most, as a share of the latter's largest value.

    Raises ``UserError`` where the maps show nothing or differ by more than ``AGREEMENT``.
    """
    reference = found["ours, whole graph"]
    scale = float(reference.max())
    if not scale > 0:
        raise UserError("all maps are zero, which shows nothing; take other pictures (--data) or weights")
    differences = {
        name: float(abs(found[name] - reference[: len(found[name])]).max()) / scale
        for name in ("ours, engine", "tutorial")
    }
    for name, difference in differences.items():
        if not difference <= AGREEMENT:
            raise UserError(f"the maps of {name} differ by {difference:.2g} of the largest value: no fair comparison")
    return differences


def summarise_rates(medians: dict[str, float], whole_seconds: float, fast_seconds: float) -> dict:
    """Rates, their ratios, and from how many pictures on the engine's longer start is paid for."""
    keras_rate, graph, engine = (medians[name] for name in ("Keras, tf.function", "ours, whole graph", "ours, engine"))
    # What each picture gains by the engine pays for the longer start after so many of them.
    pays_from = max(0.0, fast_seconds - whole_seconds) / (1 / graph - 1 / engine) if engine > graph else None
    return {
        "keras_forward_images_s": keras_rate,
        "keras_predict_images_s": medians["Keras, predict_on_batch"],
        "whole_graph_images_s": graph,
        "engine_images_s": engine,
        "tutorial_images_s": medians["tutorial"],
        "ratio_whole_graph_to_forward": graph / keras_rate,
        "ratio_engine_to_forward": engine / keras_rate,
        "ratio_whole_graph_to_tutorial": graph / medians["tutorial"],
        "ratio_engine_to_tutorial": engine / medians["tutorial"],
        "seconds_to_first_map_whole_graph": whole_seconds,
        "seconds_to_first_map_engine": fast_seconds,
        "engine_pays_from_pictures": pays_from,
    }


def build_sides(model, rule, whole, fast, images, batch_size: int, tutorial_count: int) -> dict[str, Callable]:
    """What each side computes, by name: all of ``images`` (N, H, W, 3) in batches, the tutorial's the first ones."""
    import numpy as np
    import tensorflow as tf

    starts = range(0, len(images), batch_size)
    batches = [images[start : start + batch_size] for start in starts]

    forward = tf.function(
        lambda inputs: model(inputs, training=False), input_signature=[tf.TensorSpec((None, *images.shape[1:]))]
    )
    # The same class for all sides: of two nearly equal logits one side could take the other.
    classes = np.concatenate([whole.explain(batch).class_index for batch in batches])

    def by_explainer(explainer) -> np.ndarray:
        asked = (classes[start : start + batch_size] for start in starts)
        return np.concatenate([explainer.explain(*pair).heatmaps for pair in zip(batches, asked)])

    def by_tutorial() -> np.ndarray:
        pairs = zip(images[:tutorial_count], classes)
        return np.stack([explain_by_tutorial(model, whole.target_layer, rule, *pair) for pair in pairs])

    return {
        "Keras, tf.function": lambda: [forward(tf.constant(batch)).numpy() for batch in batches],
        "Keras, predict_on_batch": lambda: [model.predict_on_batch(batch) for batch in batches],
        "ours, whole graph": lambda: by_explainer(whole),
        "ours, engine": lambda: by_explainer(fast),
        "tutorial": by_tutorial,
    }


def measure_others(model, layer: str, images, arguments, forward: Callable[[], object]) -> dict:
    """Every method by gradient beside the forward pass, and Score-CAM."""
    from src.explainers.cam import CAM_METHODS
    from src.explainers.registry import EXPLAINERS
    from src.inference.engine import create_engine

    engine = partial(create_engine, name="openvino")
    layers = {name: None if EXPLAINERS[name].after_activation else layer for name in (*CAM_METHODS, "eigencam")}
    return {
        "cams": measure_cams(model, layers, images, arguments.batch_size, arguments.rounds, forward, engine),
        "scorecam": measure_scorecam(model, None, images[: arguments.scorecam], engine),
    }


def print_nested(result: dict) -> None:
    """The ratios of every method, and Score-CAM's figures, as lines for people."""
    print("\nas a share of the forward pass: whole graph, engine")
    for name, facts in result["cams"].items():
        print(f"{name:<12} {facts['ratio_whole_graph_to_forward']:.2f}  {facts['ratio_engine_to_forward']:.2f}")
    facts = result["scorecam"]
    print(
        f"\nScore-CAM: {facts['passes']:.0f} of {facts['channels']:,} passes, {facts['seconds']:.3g} s a picture (all "
        f"{facts['passes_all']:.0f} that mark an area: {facts['seconds_all']:.3g} s; one by one with Keras: "
        f"{facts['seconds_one_by_one']:.3g} s); maps differ by {facts['largest_difference']:.2g} of the largest value"
    )


def _parse(argv):
    parser = create_parser("Class activation maps a second beside Keras' forward pass; memory.", EXAMPLES)
    parser.add_argument("--data", nargs="+", default=["data/test"], help="pictures, or folders of pictures")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a network of the registry")
    parser.add_argument("--weights", default="imagenet", help="imagenet, a path, or none")
    parser.add_argument("--method", default="gradcam", help="the rule by which channels are weighed")
    parser.add_argument("--pictures", type=positive_int, default=64, help="explained by each side in each round")
    parser.add_argument("--tutorial-pictures", type=positive_int, default=4, help="of these by the tutorial's way")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument("--rounds", type=positive_int, default=5, help="how often all sides are measured in turn")
    parser.add_argument(
        "--scorecam", type=positive_int, default=4, metavar="N", help="pictures that Score-CAM explains, once"
    )
    parser.add_argument("--memory", type=positive_int, metavar="N", help="explain N pictures and print peak memory")
    arguments = parser.parse_args(argv)
    if arguments.memory and arguments.memory <= FIRST:
        raise UserError(f"--memory compares with {FIRST:,} pictures and needs more of them")
    if arguments.memory:
        _peak_megabytes()  # a system that does not tell it should say so now
    return arguments


@command
def main(argv=None) -> int | None:
    arguments = _parse(argv)
    paths = find_pictures(arguments.data)
    quiet_tensorflow()
    import keras
    import numpy as np

    from src.explainers.cam import CAM_METHODS, ClassActivationMap
    from src.explainers.graph import find_target_layer
    from src.imaging import load_image
    from src.inference.engine import create_engine
    from src.networks.registry import build_transfer_model, get_backbone

    if arguments.method not in CAM_METHODS:
        raise UserError(f"there is no method {arguments.method}; there are {', '.join(CAM_METHODS)}")
    rule, backbone = CAM_METHODS[arguments.method], get_backbone(arguments.backbone)
    size = (backbone.image_size, backbone.image_size)
    keras.utils.set_random_seed(1)
    model, _, _ = build_transfer_model(backbone, 2, size, weights=arguments.weights)
    layer = backbone.target_layer or find_target_layer(model)

    def read(path) -> np.ndarray:
        return load_image(path, size, backbone.interpolation).astype(np.float32)

    images = np.stack([read(path) for path in islice(cycle(paths), arguments.pictures)])
    whole = ClassActivationMap(model, rule, target_layer=layer)
    begin = time.perf_counter()
    fast = ClassActivationMap(model, rule, target_layer=layer, engine=partial(create_engine, name="openvino"))
    fast.explain(images[:1])
    fast_seconds = time.perf_counter() - begin
    # Before the other sides, whose peak would hide this one's growth.
    peaks = measure_memory(fast, read, paths, arguments.memory, arguments.batch_size) if arguments.memory else ()
    begin = time.perf_counter()
    whole.explain(images[:1])
    whole_seconds = time.perf_counter() - begin

    tutorial_images = images[: arguments.tutorial_pictures]
    computations = build_sides(model, rule, whole, fast, images, arguments.batch_size, len(tutorial_images))
    differences = compare_maps({name: compute() for name, compute in computations.items()})  # also warms all sides up
    print_conditions(
        describe_machine(("tensorflow", "keras", "openvino", "numpy"))
        | {
            "network": f"{backbone.name}, weights {arguments.weights}, two classes, target layer {layer}",
            "method": arguments.method,
            "pictures": f"{len(images)} of {len(paths):,} files, {size[0]} x {size[1]}, batches of "
            f"{min(arguments.batch_size, len(images))}",
            "tutorial": f"the first {len(tutorial_images)} of them, one by one",
            "rounds": f"{arguments.rounds}, all sides in turn",
            "largest difference of maps": ", ".join(f"{name} {value:.2g}" for name, value in differences.items()),
            "to the first map": f"whole graph {whole_seconds:.3g} s, engine {fast_seconds:.3g} s",
        }
    )
    counts = dict.fromkeys(computations, len(images)) | {"tutorial": len(tutorial_images)}
    sides = {name: partial(measure_rate, compute, counts[name]) for name, compute in computations.items()}
    medians = print_medians(run_in_turn(sides, arguments.rounds), "pictures/s")
    result = {
        "backbone": backbone.name,
        "method": arguments.method,
        **summarise_rates(medians, whole_seconds, fast_seconds),
        "largest_difference": max(differences.values()),
    }
    forward = computations["Keras, tf.function"]
    result |= measure_others(model, layer, images, arguments, forward)
    print_nested(result)
    if peaks:
        print(f"\npeak memory after {FIRST:,} pictures {peaks[0]:,} MB, after {arguments.memory:,} {peaks[1]:,} MB")
        result |= {"memory_pictures": arguments.memory, "memory_first_mb": peaks[0], "memory_last_mb": peaks[1]}
    print_json_line(result)
    return None


if __name__ == "__main__":
    sys.exit(main())
