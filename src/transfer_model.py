"""Transfer from ImageNet in two phases: ``python -m src.transfer_model``."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from src.errors import UserError, command
from src.model_choice import check_output
from src.progress import say
from src.settings import add_options, create_parser, option, positive_int, quiet_tensorflow, read_options, seed_int

EXAMPLES = """  python -m src.transfer_model
  python -m src.transfer_model --backbone resnet50 --phase1-epochs 5 --phase2-epochs 5      S1's schedule
  python -m src.transfer_model --backbone resnet50 --weights resnet50_notop.h5              weights from a file
  python -m src.transfer_model --unfreeze 30                                                last 30 layers in phase 2
  python -m src.transfer_model --backbone resnet50 --weights none --unfreeze all            from scratch"""


FEATURES_DIR = ".features"  # beside the bundles: what frozen layers computed, for the next training on these pictures


@dataclass(frozen=True)
class TransferSettings:
    """What is trained on what; the schedule stands in ``TwoPhaseSettings``."""

    data: str = option("data", "folder with train, val and test")
    models_dir: str = option("models", "folder that the bundle is written into")
    name: str = option("transfer", "name of the bundle")
    backbone: str = option("auto", "auto, resnet50, efficientnet_lite0, mobilenet_v2, efficientnet_b0 or densenet121")
    weights: str = option("imagenet", "imagenet, none, or the path of a weights file")
    image_size: int | None = option(
        None, "height and width of the pictures (default: the backbone's)", type=positive_int
    )
    batch_size: int = option(32, "pictures in a batch", type=positive_int)
    unfreeze: str | None = option(
        None,
        "first layer that phase 2 trains, or how many from the top, or all; rounds to a block (default: the "
        "backbone's)",
    )
    augment: bool = option(True, "rotate, shift, zoom and flip the training pictures")
    seed: int = option(42, "seed of weights, order and augmentation", type=seed_int)

    @property
    def from_scratch(self) -> bool:
        """Whether all layers train in both phases, since none has learnt anything."""
        return self.weights == "none" and self.unfreeze == "all"


def build_transfer_model(
    class_count: int, backbone: str = "resnet50", image_size: int = 224, weights: str = "imagenet"
):
    """The transfer network (flat, RGB 0..255 -> probabilities); see ``src.networks.registry.build_transfer_model``."""
    from src.networks.registry import build_transfer_model as build
    from src.networks.registry import get_backbone

    model, _, _ = build(get_backbone(backbone), class_count, (image_size, image_size), weights=weights)
    return model


def _say_what_is_random(settings: TransferSettings) -> None:
    if settings.weights == "none" and not settings.from_scratch:
        say(
            "The backbone's weights are random, so that what is frozen hands on random features: good for measuring "
            "time. To train it whole from scratch, add --unfreeze all."
        )


def train_transfer(settings: TransferSettings, schedule) -> tuple[Path, dict]:
    """Train both phases, keep the best epoch of both by validation loss, save the bundle.

    Args:
        schedule: a ``TwoPhaseSettings``.

    Returns:
        The bundle's folder and the metrics of the epoch that was kept.
    """
    from src.loading.folder import check_data_folder

    class_names, counts = check_data_folder(settings.data)  # before TensorFlow takes its seconds
    check_output(settings.models_dir, settings.name)
    quiet_tensorflow()
    from src.bundle import data_facts, save_bundle
    from src.data_loader import get_data_generators, surface_errors
    from src.explainers.graph import find_target_layer
    from src.networks.heads import logits_model
    from src.networks.registry import build_chosen_model
    from src.training.fit import balanced_class_weights
    from src.training.two_phase import train_two_phase

    facts = data_facts(settings.data, counts)
    backbone, model, base, origin = build_chosen_model(
        settings.backbone, len(class_names), settings.image_size, settings.weights, seed=settings.seed
    )
    first_trainable = backbone.block_start(base, settings.unfreeze or backbone.unfreeze_from)
    _say_what_is_random(settings)
    size = model.input_shape[1:3]
    train, val, _ = get_data_generators(
        settings.data,
        size,
        settings.batch_size,
        augment=settings.augment,
        seed=settings.seed,
        interpolation=backbone.interpolation,
    )
    with surface_errors(train, val):
        history = train_two_phase(
            logits_model(model),
            base,
            train,
            val,
            schedule,
            first_trainable=first_trainable,
            from_scratch=settings.from_scratch,
            seed=settings.seed,
            class_weight=balanced_class_weights(train.classes, len(class_names)),
            features_dir=Path(settings.models_dir, FEATURES_DIR),
        )
    folder = save_bundle(
        settings.name,
        settings.models_dir,
        model,
        class_names=class_names,
        image_size=size,
        interpolation=backbone.interpolation,
        target_layer=backbone.target_layer or find_target_layer(model),
        info={
            "backbone": backbone.name,
            "weights": {"origin": origin.origin, "sha256": origin.sha256},
            "data": facts,
            "settings": {**asdict(settings), **asdict(schedule), "unfrozen_from": base.layers[first_trainable].name},
            "views": history.views,
            "metrics": history.best_row,
        },
        history=history,
    )
    return folder, history.best_row


@command
def main(argv=None) -> None:
    from src.training.schedule import TwoPhaseSettings

    parser = create_parser("Train a classifier over a backbone pre-trained on ImageNet, in two phases.", EXAMPLES)
    add_options(parser, TransferSettings)
    add_options(parser, TwoPhaseSettings)
    parser.add_argument("--json", action="store_true", help="print the kept epoch's metrics as one JSON line")
    arguments = parser.parse_args(argv)
    settings, schedule = read_options(TransferSettings, arguments), read_options(TwoPhaseSettings, arguments)
    if not schedule.phases:
        raise UserError("both phases have 0 epochs; give at least one of them some")
    folder, metrics = train_transfer(settings, schedule)
    from src.bundle import describe_training

    print(describe_training(folder, metrics, "python -m src.evaluate", as_json=arguments.json))


if __name__ == "__main__":
    sys.exit(main())
