"""Transfer from ImageNet in two phases: ``python -m src.transfer_model``."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from src.errors import UserError, command
from src.loading.augmentation import AugmentationSettings
from src.model_choice import FEATURES_DIR, check_output, checkpoint_path, hold_bundle
from src.progress import say
from src.settings import (
    add_options,
    add_rate_finding,
    add_restart,
    command_line,
    create_parser,
    natural_int,
    option,
    picture_size,
    positive_int,
    quiet_tensorflow,
    read_options,
    seed_int,
    share_below_one,
)
from src.training.options import TrainingSettings
from src.training.schedule import TwoPhaseSettings

EXAMPLES = """  python -m src.transfer_model
  python -m src.transfer_model --backbone resnet50 --phase1-epochs 5 --phase2-epochs 5      S1's schedule
  python -m src.transfer_model --backbone resnet50 --weights resnet50_notop.h5              weights from a file
  python -m src.transfer_model --find-rate                  a picture of the loss against the learning rate
  python -m src.transfer_model --phase1-epochs exact --phase2-epochs 0                      few pictures: in seconds
  python -m src.transfer_model --unfreeze 30                                                last 30 layers in phase 2
  python -m src.transfer_model --backbone resnet50 --weights none --unfreeze all            from scratch"""


_SECONDS_BETWEEN_STATES = 20.0  # what an interruption costs at most, besides the epoch it falls in
_CLEAN_PICTURES = 250  # at most so many training pictures are judged without augmentation after each epoch
DENSE_UNITS, HEAD_DROPOUT = 256, 0.5  # of S1's head


@dataclass(frozen=True)
class TransferSettings:
    """What is trained on what; the schedule stands in ``TwoPhaseSettings``."""

    data: str = option("data", "folder with train, val and test")
    models_dir: str = option("models", "folder that the bundle is written into")
    name: str = option("transfer", "name of the bundle")
    backbone: str = option("auto", "auto, resnet50, efficientnet_lite0, mobilenet_v2, efficientnet_b0 or densenet121")
    weights: str = option("imagenet", "imagenet, none, or the path of a weights file")
    image_size: int | tuple[int, int] | None = option(
        None,
        "pixels that pictures are resized to, N for squares or HEIGHTxWIDTH (default: the backbone's)",
        type=picture_size,
    )
    batch_size: int = option(32, "pictures in a batch", type=positive_int)
    unfreeze: str | None = option(
        None,
        "first layer that phase 2 trains, or how many from the top, or all; rounds to a block (default: the "
        "backbone's)",
    )
    dense_units: int | None = option(
        None,
        "units of the layer between pooling and logits; 0: none (default: 256; an exact head has none)",
        type=natural_int,
    )
    head_dropout: float | None = option(
        None, "share of features dropped before the logits (default: 0.5; an exact head has none)", type=share_below_one
    )
    seed: int = option(42, "seed of weights, order and augmentation", type=seed_int)

    @property
    def from_scratch(self) -> bool:
        """Whether all layers train in both phases, since none has learnt anything."""
        return self.weights == "none" and self.unfreeze == "all"

    def head(self, exact: bool) -> dict:
        """``dense_units`` and ``dropout`` of the head.

        Raises ``UserError`` where a hidden layer or dropout is asked of an exact head.
        """
        if not exact:
            units = DENSE_UNITS if self.dense_units is None else self.dense_units
            return {"dense_units": units, "dropout": HEAD_DROPOUT if self.head_dropout is None else self.head_dropout}
        if self.dense_units or self.head_dropout:
            flag = "--dense-units" if self.dense_units else "--head-dropout"
            raise UserError(f"--phase1-epochs exact is for a head of logits alone; leave out {flag}")
        return {"dense_units": 0, "dropout": 0.0}


KINDS = (TransferSettings, TwoPhaseSettings, TrainingSettings, AugmentationSettings)


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


def train_transfer(
    settings: TransferSettings,
    schedule: TwoPhaseSettings,
    training: TrainingSettings | None = None,
    augmentation: AugmentationSettings | None = None,
    listeners: Sequence[Callable[[dict], None]] = (),
    tensorboard: str | None = None,
    features_dir: str | Path | None = None,
    restart: bool = False,
) -> tuple[Path, dict]:
    """Train both phases, save the best epoch of both on validation; an interrupted training of these settings goes on.

    Args:
        listeners: are called with each epoch's figures, as ``TrainingHistory`` has them.
        tensorboard: folder of its logs, which then also show the validation part's confusion and wrong answers.
        features_dir: where what frozen layers compute is kept; by itself ``FEATURES_DIR`` in ``models_dir``.
        restart: to forget an interrupted training.

    Returns:
        The bundle's folder and the metrics of the epoch that was kept.

    Raises:
        UserError: the settings or the data do not allow it, another process is training this bundle, or an interrupted
            training with other settings is there (``OtherTraining``).
    """
    training, augmentation = training or TrainingSettings(), augmentation or AugmentationSettings()
    class_names, facts = _check(settings, schedule, training)
    with hold_bundle(settings.models_dir, settings.name, restart=restart):
        options = {"listeners": listeners, "tensorboard": tensorboard, "features_dir": features_dir}
        return _train(settings, schedule, training, augmentation, class_names, facts, **options)


def _train(
    settings: TransferSettings,
    schedule: TwoPhaseSettings,
    training: TrainingSettings,
    augmentation: AugmentationSettings,
    class_names: list[str],
    facts: dict,
    *,
    listeners: Sequence[Callable[[dict], None]],
    tensorboard: str | None,
    features_dir: str | Path | None,
) -> tuple[Path, dict]:
    """As :func:`train_transfer`, on data that have been looked at; ``facts`` are what a bundle remembers of them."""
    quiet_tensorflow()
    from src.bundle import list_unreadable, save_bundle
    from src.explainers.graph import find_target_layer
    from src.tensorboard_log import TensorBoardLog
    from src.training.checkpoint import Checkpoint, identify
    from src.training.precision import resolve_precision

    start, log = time.perf_counter(), TensorBoardLog(tensorboard)
    backbone, model, base, origin, first_trainable = _build(settings, schedule, len(class_names))
    train, val = _load_pictures(settings, training, augmentation, model.input_shape[1:3], backbone.interpolation)
    chosen = asdict(settings) | asdict(schedule) | asdict(training) | asdict(augmentation)
    precision = resolve_precision(training.precision)
    fixed = chosen | {"precision": precision, "weights": origin.sha256 or origin.origin}
    identity = identify(model, fixed, train.fingerprint() + val.fingerprint())
    path, stand_ins = checkpoint_path(settings.models_dir, settings.name), (train.stand_ins, val.stand_ins)
    checkpoint = Checkpoint(path, identity, _SECONDS_BETWEEN_STATES, stand_ins=stand_ins)
    checkpoint.verify()
    options = {
        "first_trainable": first_trainable,
        "listeners": [*listeners, log],
        "features_dir": Path(features_dir or Path(settings.models_dir, FEATURES_DIR)),
        "checkpoint": checkpoint,
    }
    history = _fit(model, base, train, val, settings, schedule, training, **options)
    folder = save_bundle(
        settings.name,
        settings.models_dir,
        model,
        class_names=class_names,
        image_size=model.input_shape[1:3],
        interpolation=backbone.interpolation,
        target_layer=backbone.target_layer or find_target_layer(model),
        info={
            "command": command_line("src.transfer_model", (settings, schedule, training, augmentation)),
            "backbone": backbone.name,
            "weights": {"origin": origin.origin, "sha256": origin.sha256},
            "data": facts,
            "unreadable": list_unreadable(train, val),
            "settings": chosen,
            "precision": precision,
            "unfrozen_from": base.layers[first_trainable].name,
            "views": history.views,
            "features_found": history.features_found,
            **({"l2": history.l2} if schedule.exact else {}),
            "metrics": history.best_row,
            "training_seconds": round(time.perf_counter() - start + history.seconds_before, 1),
        },
        history=history,
        pictures=[*train.filepaths, *val.filepaths],
        val=val,
        train=train,
        evidence=_choose_evidence(history, train, val, settings, schedule, training),
    )
    checkpoint.remove()
    log.add_pictures(folder, settings.data, settings.batch_size, history.best_row["epoch"])
    return folder, history.best_row


def _check(settings: TransferSettings, schedule: TwoPhaseSettings, training: TrainingSettings):
    """What can be found out before TensorFlow takes its seconds; returns the classes and what a bundle remembers of the
    data."""
    from src.bundle_facts import data_facts
    from src.loading.folder import check_data_folder

    schedule.verify(training, from_scratch=settings.from_scratch)
    settings.head(schedule.exact)
    class_names, counts = check_data_folder(settings.data)
    check_output(settings.models_dir, settings.name)
    return class_names, data_facts(settings.data, counts)


def _build(settings: TransferSettings, schedule: TwoPhaseSettings, class_count: int):
    """The backbone, the network with its part that is the backbone, the weights' origin, where phase 2 begins."""
    from src.networks.registry import build_chosen_model

    backbone, model, base, origin = build_chosen_model(
        settings.backbone,
        class_count,
        settings.image_size,
        settings.weights,
        seed=settings.seed,
        **settings.head(schedule.exact),
    )
    first_trainable = backbone.block_start(base, settings.unfreeze or backbone.unfreeze_from)
    _say_what_is_random(settings)
    return backbone, model, base, origin, first_trainable


def _load_pictures(settings: TransferSettings, training: TrainingSettings, augmentation, size, interpolation: str):
    """The iterators over training and validation pictures."""
    from src.data_loader import get_data_generators
    from src.loading.stand_ins import MAX_UNREADABLE

    train, val, _ = get_data_generators(
        settings.data,
        size,
        settings.batch_size,
        augment=augmentation,
        seed=settings.seed,
        sampling=training.sampling,
        unreadable=MAX_UNREADABLE,
        interpolation=interpolation,
    )
    return train, val


def _fit(model, base, train, val, settings: TransferSettings, schedule, training: TrainingSettings, **options):
    """Train both phases; returns the ``TrainingHistory``, the best epoch's weights in the network."""
    from src.data_loader import surface_errors
    from src.loading.sample import PlainSample
    from src.networks.heads import logits_model
    from src.training.fit import class_weights
    from src.training.two_phase import train_two_phase

    with surface_errors(train, val):
        return train_two_phase(
            logits_model(model),
            base,
            train,
            val,
            schedule,
            from_scratch=settings.from_scratch,
            seed=settings.seed,
            options=training,
            class_weight=class_weights(train.classes, train.num_classes, training.balance),
            clean=PlainSample(train, min(_CLEAN_PICTURES, val.samples), seed=settings.seed),
            **options,
        )


def _choose_evidence(history, train, val, settings: TransferSettings, schedule, training: TrainingSettings):
    """What is known of a network whose backbone is the pre-trained one still, and its head exact; None for others."""
    from src.cross_evidence import cross_validate_evidence

    if not schedule.exact or history.best_row["phase"] != 1:
        return None
    fitted = {"l2": history.l2, "balanced": training.balance != "none", "seed": settings.seed}
    return partial(cross_validate_evidence, train=train, val=val, data_dir=settings.data, **fitted)


def find_rate(
    settings: TransferSettings,
    schedule: TwoPhaseSettings,
    training: TrainingSettings,
    augmentation: AugmentationSettings,
    output: str,
    *,
    as_json: bool = False,
) -> str:
    """Draw the loss against the learning rate of the first phase that has epochs, into a folder of ``output``; returns
    what is to be said of it."""
    class_names, _ = _check(settings, schedule, training)
    if schedule.exact:
        raise UserError("an exact head has no learning rate; to find that of phase 2, give --phase1-epochs 0")
    quiet_tensorflow()
    from src.data_loader import surface_errors
    from src.networks.heads import logits_model
    from src.training.rate_finder import draw_rate_finding
    from src.training.two_phase import freeze_below

    backbone, model, base, _, first_trainable = _build(settings, schedule, len(class_names))
    train, _ = _load_pictures(settings, training, augmentation, model.input_shape[1:3], backbone.interpolation)
    phase = schedule.phases[0]
    if not settings.from_scratch:
        freeze_below(base, first_trainable if phase == 2 else None, depthwise=schedule.train_depthwise)
    head = "" if phase == 1 else ", of a head that is untrained, as --phase1-epochs 0 leaves it"
    say(f"What --phase{phase}-rate could be{head}.")
    picture = Path(output, settings.name, "learning_rate.png")
    with surface_errors(train):
        return draw_rate_finding(logits_model(model), train, training, picture, seed=settings.seed, as_json=as_json)


@command
def main(argv=None) -> int | None:
    parser = create_parser("Train a classifier over a backbone pre-trained on ImageNet, in two phases.", EXAMPLES)
    for kind in KINDS:
        add_options(parser, kind)
    add_rate_finding(parser)
    parser.add_argument("--tensorboard", metavar="FOLDER", help="also write TensorBoard's logs into this folder")
    add_restart(parser)
    parser.add_argument("--json", action="store_true", help="print the kept epoch's metrics as one JSON line")
    arguments = parser.parse_args(argv)
    settings, schedule, training, augmentation = (read_options(kind, arguments) for kind in KINDS)
    augmentation.note_idle()
    if arguments.find_rate:
        print(find_rate(settings, schedule, training, augmentation, arguments.output, as_json=arguments.json))
        return None
    folder, metrics = train_transfer(
        settings, schedule, training, augmentation, tensorboard=arguments.tensorboard, restart=arguments.restart
    )
    from src.bundle import describe_training, exit_code_of

    print(describe_training(folder, metrics, "python -m src.evaluate", as_json=arguments.json))
    return exit_code_of(folder)


if __name__ == "__main__":
    sys.exit(main())
