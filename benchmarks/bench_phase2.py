"""Training steps of phase 2, with and without what it can leave out, in turn.

The sides are the whole backbone and its layers from a block on, as on stored features, each with and without its
depthwise convolutions. The steps are as ``fit_phase`` takes them, on inputs at random; no picture is read.
"""

import sys

from benchmarks.bench_precision import STEPS, prepare_steps
from benchmarks.report import describe_machine, print_conditions, print_json_line, print_medians, run_in_turn
from src.errors import command
from src.settings import create_parser, height_and_width, picture_size, positive_int, quiet_tensorflow
from src.training.options import TrainingSettings

EXAMPLES = """\
  python -m benchmarks.bench_phase2
  python -m benchmarks.bench_phase2 --image-size 160 --rounds 5
  python -m benchmarks.bench_phase2 --backbone mobilenet_v2 --unfreeze block_3_expand"""


def prepare_phase2(backbone_name: str, unfreeze: str, size: tuple[int, int], batch_size: int, depthwise: bool):
    """What ``prepare_steps`` returns for the layers that phase 2 trains."""
    from src.networks.heads import logits_model
    from src.networks.registry import build_transfer_model, get_backbone
    from src.training.frozen_features import split_at
    from src.training.two_phase import freeze_below

    backbone = get_backbone(backbone_name)
    model, base, _ = build_transfer_model(backbone, 10, size, weights="none")
    first = backbone.block_start(base, unfreeze)
    freeze_below(base, first, depthwise=depthwise)
    logits = logits_model(model)
    trained = split_at(logits, base.layers[first].input) if first else logits
    return prepare_steps(trained, TrainingSettings(), batch_size)


@command
def main(argv=None) -> None:
    parser = create_parser("Pictures per second of phase 2, and what it gains by leaving layers out.", EXAMPLES)
    parser.add_argument("--backbone", default="efficientnet_lite0", help="what is trained; its weights are random")
    parser.add_argument("--unfreeze", default="block3_expand_conv", help="first layer of the sides with fewer")
    parser.add_argument("--image-size", type=picture_size, default=96, help="pixels, N for squares or HEIGHTxWIDTH")
    parser.add_argument("--batch-size", type=positive_int, default=64, help="pictures in a step")
    parser.add_argument("--rounds", type=positive_int, default=3, help="samples of each side")
    arguments = parser.parse_args(argv)
    quiet_tensorflow()
    size = height_and_width(arguments.image_size)
    print_conditions(
        describe_machine(("tensorflow", "keras"))
        | {
            "network": f"{arguments.backbone}, {size[0]} x {size[1]} pixels",
            "timed": f"{STEPS} steps of {arguments.batch_size} pictures, in turn, {arguments.rounds} rounds",
        }
    )
    sides = {}
    for layers, unfreeze in (("all layers", "all"), (f"from {arguments.unfreeze}", arguments.unfreeze)):
        for depthwise in (True, False):
            side = f"{layers}{'' if depthwise else ', no depthwise'}"
            shape = (arguments.backbone, unfreeze, size, arguments.batch_size)
            sides[side] = prepare_phase2(*shape, depthwise)
    medians = print_medians(run_in_turn(sides, arguments.rounds), "pictures/s")
    slowest = medians["all layers"]
    for side, rate in medians.items():
        print(f"{side}: {rate / slowest:.2f} times as fast as all layers")
    print_json_line({"images_s": medians, "ratio": {side: rate / slowest for side, rate in medians.items()}})


if __name__ == "__main__":
    sys.exit(main())
