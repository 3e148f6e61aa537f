"""Training steps of the networks from scratch in float32 and in bfloat16, on pictures at random, in turn.

The steps are as ``fit_phase`` takes them. No picture is read, and what bfloat16 does to accuracy is not measured here.
"""

import sys
import time

from benchmarks.report import describe_machine, print_conditions, print_json_line, print_medians, run_in_turn
from src.errors import command
from src.settings import (
    NETWORKS,
    create_parser,
    height_and_width,
    picture_size,
    positive_float,
    positive_int,
    quiet_tensorflow,
)
from src.training.options import OPTIMIZERS, TrainingSettings

EXAMPLES = """\
  python -m benchmarks.bench_precision
  python -m benchmarks.bench_precision --network resnet18_small --batch-size 64 --rounds 5"""
STEPS = 16


def prepare_steps(model, options: TrainingSettings, batch_size: int, precision: str = "float32"):
    """A function that trains a model for :data:`STEPS` steps, after one that is not timed.

    Args:
        model: inputs, 0 to 255 at random here, -> logits (N, C).

    Returns:
        A function without arguments that returns pictures per second.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from src.training.fit import computed_fast
    from src.training.optimizers import create_optimizer

    step = create_optimizer(options, 1e-3, STEPS, 1)
    model.compile(step, keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    classes, rng = model.output_shape[-1], np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (batch_size, *model.input_shape[1:])), tf.float32)
    labels = tf.one_hot(rng.integers(0, classes, batch_size), classes)

    def measure() -> float:
        with computed_fast(model, precision):
            model.train_on_batch(images, labels)
            begin = time.perf_counter()
            for _ in range(STEPS):
                model.train_on_batch(images, labels)
            return STEPS * batch_size / (time.perf_counter() - begin)

    return measure


def prepare_training(
    network: str, width: float, size: tuple[int, int], batch_size: int, optimizer: str, precision: str
):
    """What :func:`prepare_steps` returns for a network from scratch."""
    from src.networks.heads import logits_model
    from src.networks.scratch import build_scratch_model

    model = logits_model(build_scratch_model(network, 10, size, width=width))
    return prepare_steps(model, TrainingSettings(optimizer=optimizer), batch_size, precision)


@command
def main(argv=None) -> None:
    parser = create_parser("Pictures per second that are trained on, in float32 and in bfloat16.", EXAMPLES)
    parser.add_argument("--network", choices=NETWORKS, default="fast_cnn", help="what is trained")
    parser.add_argument("--width", type=positive_float, default=1.0, help="its numbers of filters times this")
    parser.add_argument("--image-size", type=picture_size, default=32, help="pixels, N for squares or HEIGHTxWIDTH")
    parser.add_argument("--batch-size", type=positive_int, default=250, help="pictures in a step")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="muon", help="what takes the steps")
    parser.add_argument("--rounds", type=positive_int, default=5, help="samples of each side")
    arguments = parser.parse_args(argv)
    quiet_tensorflow()
    from src.training.precision import has_bfloat16

    size = height_and_width(arguments.image_size)
    print_conditions(
        describe_machine(("tensorflow", "keras"))
        | {
            "bfloat16 in hardware": "yes" if has_bfloat16() else "no",
            "network": f"{arguments.network}, width {arguments.width:g}, {size[0]} x {size[1]} pixels",
            "optimizer": arguments.optimizer,
            "timed": f"{STEPS} steps of {arguments.batch_size} pictures, in turn, {arguments.rounds} rounds",
        }
    )
    shape = (arguments.network, arguments.width, size, arguments.batch_size, arguments.optimizer)
    sides = {precision: prepare_training(*shape, precision) for precision in ("float32", "bfloat16")}
    medians = print_medians(run_in_turn(sides, arguments.rounds), "pictures/s")
    ratio = medians["bfloat16"] / medians["float32"]
    print(f"bfloat16 is {ratio:.2f} times as fast")
    print_json_line({f"{side}_images_s": rate for side, rate in medians.items()} | {"ratio": ratio})


if __name__ == "__main__":
    sys.exit(main())
