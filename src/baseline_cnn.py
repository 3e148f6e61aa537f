"""Train a convolutional network from scratch: ``python -m src.baseline_cnn``."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from src.errors import UserError, command
from src.loading.augmentation import AugmentationSettings
from src.model_choice import check_output, checkpoint_path, hold_bundle
from src.settings import (
    NETWORKS,
    add_options,
    add_rate_finding,
    add_restart,
    auto_or_count,
    command_line,
    create_parser,
    height_and_width,
    option,
    picture_size,
    positive_float,
    positive_int,
    quiet_tensorflow,
    read_options,
    seed_int,
    share_below_one,
)
from src.training.options import TrainingSettings

EXAMPLES = """  python -m src.baseline_cnn
  python -m src.baseline_cnn --epochs auto --image-size 128
  python -m src.baseline_cnn --network resnet18 --image-size 64 --grayscale --name gray
  python -m src.baseline_cnn --optimizer sgd --rate 0.1 --schedule cosine --warmup-epochs 1 --epochs 30 --mixup 0.2
  python -m src.baseline_cnn --find-rate                     a picture of the loss against the learning rate"""

_SAMPLE = 5000  # at most so many training pictures are judged as they are after each epoch, or fit a first layer


@dataclass(frozen=True)
class BaselineSettings:
    """What is trained on what; S1's by default. How stands in ``TrainingSettings`` and ``AugmentationSettings``."""

    data: str = option("data", "folder with train, val and test")
    models_dir: str = option("models", "folder that the bundle is written into")
    name: str = option("baseline", "name of the bundle")
    network: str = option("baseline", "what is trained", choices=NETWORKS)
    width: float = option(1.0, "all the network's numbers of filters times this", type=positive_float)
    dropout: float | None = option(None, "share of features dropped (default: the network's own)", type=share_below_one)
    grayscale: bool = option(False, "the network sees brightness only")
    image_size: int | tuple[int, int] = option(
        224, "pixels that pictures are resized to, N for squares or HEIGHTxWIDTH", type=picture_size
    )
    batch_size: int = option(32, "pictures in a batch", type=positive_int)
    epochs: str | int = option(5, "epochs, or 'auto' to go on while validation loss improves", type=auto_or_count)
    rate: float = option(1e-3, "learning rate, or its peak", type=positive_float)
    patience: int = option(
        3,
        "epochs without improvement of validation loss after which to stop; without effect under --schedule cosine and "
        "linear",
        type=positive_int,
    )
    seed: int = option(42, "seed of weights, order and augmentation", type=seed_int)

    def verify(self, training: TrainingSettings) -> None:
        """Raise ``UserError`` where these and the settings of every training contradict each other or train nothing."""
        training.verify(self.epochs)
        if self.epochs == 0:
            raise UserError("--epochs 0 trains nothing; give it some")


KINDS = (BaselineSettings, TrainingSettings, AugmentationSettings)


def build_baseline_model(class_count: int, image_size: tuple[int, int] = (224, 224)):
    """S1's network; see :func:`src.networks.baseline.build_baseline_model`."""
    from src.networks.baseline import build_baseline_model as build  # importing the command loads no TensorFlow

    return build(class_count, image_size)


def _load_pictures(settings: BaselineSettings, training: TrainingSettings, augmentation: AugmentationSettings):
    """The iterators over training and validation pictures."""
    from src.data_loader import get_data_generators
    from src.loading.stand_ins import MAX_UNREADABLE

    train, val, _ = get_data_generators(
        settings.data,
        settings.image_size,
        settings.batch_size,
        augment=augmentation,
        seed=settings.seed,
        sampling=training.sampling,
        unreadable=MAX_UNREADABLE,
    )
    return train, val


def _build(settings: BaselineSettings, train):
    """The network, made for these training pictures."""
    import keras

    from src.loading.sample import PlainSample
    from src.networks.scratch import SCRATCH_NETWORKS, build_scratch_model

    keras.utils.set_random_seed(settings.seed)
    size = height_and_width(settings.image_size)
    options = {"width": settings.width, "dropout": settings.dropout, "grayscale": settings.grayscale}
    model = build_scratch_model(settings.network, train.num_classes, size, **options)
    if adapt := SCRATCH_NETWORKS[settings.network].adapt:
        sample = PlainSample(train, _SAMPLE, seed=settings.seed)
        adapt(model, (sample[index][0] for index in range(len(sample))))
    return model


def train_baseline(
    settings: BaselineSettings,
    training: TrainingSettings | None = None,
    augmentation: AugmentationSettings | None = None,
    listeners: Sequence[Callable[[dict], None]] = (),
    tensorboard: str | None = None,
    restart: bool = False,
) -> tuple[Path, dict]:
    """Train, keep the best epoch on validation, save the bundle. An interrupted training of the same settings goes on.

    Args:
        listeners: are called with each epoch's figures, as ``TrainingHistory`` has them.
        tensorboard: folder of its logs, which then also show the validation part's confusion and wrong answers.
        restart: to forget an interrupted training.

    Returns:
        The bundle's folder and the metrics of the epoch that was kept.

    Raises:
        UserError: the settings or the data do not allow it, another process is training this bundle, or an interrupted
            training with other settings is there (``OtherTraining``).
    """
    from src.bundle_facts import data_facts
    from src.loading.folder import check_data_folder

    training, augmentation = training or TrainingSettings(), augmentation or AugmentationSettings()
    settings.verify(training)
    class_names, counts = check_data_folder(settings.data)  # before TensorFlow takes its seconds
    check_output(settings.models_dir, settings.name)
    facts = data_facts(settings.data, counts)
    with hold_bundle(settings.models_dir, settings.name, restart=restart):
        return _train(settings, training, augmentation, class_names, facts, listeners, tensorboard)


def _train(
    settings: BaselineSettings,
    training: TrainingSettings,
    augmentation: AugmentationSettings,
    class_names: list[str],
    facts: dict,
    listeners: Sequence[Callable[[dict], None]],
    tensorboard: str | None,
) -> tuple[Path, dict]:
    """As :func:`train_baseline`, on data that have been looked at; ``facts`` are what a bundle remembers of them."""
    quiet_tensorflow()
    from src.bundle import list_unreadable, save_bundle
    from src.networks.scratch import SCRATCH_NETWORKS
    from src.tensorboard_log import TensorBoardLog
    from src.training.checkpoint import Checkpoint, identify
    from src.training.precision import resolve_precision

    start = time.perf_counter()
    log = TensorBoardLog(tensorboard)
    train, val = _load_pictures(settings, training, augmentation)
    model = _build(settings, train)
    chosen = asdict(settings) | asdict(training) | asdict(augmentation)
    precision = resolve_precision(training.precision)
    identity = identify(model, chosen | {"precision": precision}, train.fingerprint() + val.fingerprint())
    path, stand_ins = checkpoint_path(settings.models_dir, settings.name), (train.stand_ins, val.stand_ins)
    checkpoint = Checkpoint(path, identity, stand_ins=stand_ins)
    history = _fit(model, train, val, settings, training, checkpoint, [*listeners, log])
    folder = save_bundle(
        settings.name,
        settings.models_dir,
        model,
        class_names=class_names,
        image_size=model.input_shape[1:3],
        interpolation="bilinear",
        target_layer=SCRATCH_NETWORKS[settings.network].target_layer,
        info={
            "command": command_line("src.baseline_cnn", (settings, training, augmentation)),
            "network": settings.network,
            "backbone": None,
            "weights": {"origin": "none", "sha256": None},
            "data": facts,
            "unreadable": list_unreadable(train, val),
            "settings": chosen,
            "precision": precision,
            "metrics": history.best_row,
            "training_seconds": round(time.perf_counter() - start + history.seconds_before, 1),
        },
        history=history,
        pictures=[*train.filepaths, *val.filepaths],
        val=val,
        train=train,
    )
    checkpoint.remove()
    log.add_pictures(folder, settings.data, settings.batch_size, history.best_row["epoch"])
    return folder, history.best_row


def _fit(model, train, val, settings: BaselineSettings, training: TrainingSettings, checkpoint, listeners):
    """Train the network; returns the ``TrainingHistory``, the best epoch's weights in the network."""
    from src.data_loader import surface_errors
    from src.loading.sample import PlainSample
    from src.networks.heads import logits_model
    from src.training.fit import class_weights, fit_phase
    from src.training.history import TrainingHistory

    logits = logits_model(model)
    history = TrainingHistory(logits, listeners=listeners)
    with surface_errors(train, val):
        fit_phase(
            logits,
            train,
            val,
            history,
            phase=1,
            epochs=settings.epochs,
            learning_rate=settings.rate,
            patience=settings.patience,
            options=training,
            class_weight=class_weights(train.classes, train.num_classes, training.balance),
            seed=settings.seed,
            clean=PlainSample(train, min(_SAMPLE, val.samples), seed=settings.seed),
            checkpoint=checkpoint,
        )
    history.restore_best()
    return history


def find_rate(
    settings: BaselineSettings,
    training: TrainingSettings,
    augmentation: AugmentationSettings,
    output: str,
    *,
    as_json: bool = False,
) -> str:
    """Draw the loss against the learning rate into a folder of ``output``; returns what is to be said of it."""
    from src.loading.folder import check_data_folder

    training.verify(settings.epochs)
    check_data_folder(settings.data)
    check_output(settings.models_dir, settings.name)
    quiet_tensorflow()
    from src.data_loader import surface_errors
    from src.networks.heads import logits_model
    from src.training.rate_finder import draw_rate_finding

    train, _ = _load_pictures(settings, training, augmentation)
    logits = logits_model(_build(settings, train))
    picture = Path(output, settings.name, "learning_rate.png")
    with surface_errors(train):
        return draw_rate_finding(logits, train, training, picture, seed=settings.seed, as_json=as_json)


@command
def main(argv=None) -> int | None:
    parser = create_parser("Train a convolutional network from scratch.", EXAMPLES)
    for kind in KINDS:
        add_options(parser, kind)
    add_rate_finding(parser)
    parser.add_argument("--tensorboard", metavar="FOLDER", help="also write TensorBoard's logs into this folder")
    add_restart(parser)
    parser.add_argument("--json", action="store_true", help="print the kept epoch's metrics as one JSON line")
    arguments = parser.parse_args(argv)
    settings, training, augmentation = (read_options(kind, arguments) for kind in KINDS)
    augmentation.note_idle()
    if arguments.find_rate:
        print(find_rate(settings, training, augmentation, arguments.output, as_json=arguments.json))
        return None
    folder, metrics = train_baseline(
        settings, training, augmentation, tensorboard=arguments.tensorboard, restart=arguments.restart
    )
    from src.bundle import describe_training, exit_code_of

    print(describe_training(folder, metrics, "python -m src.transfer_model", as_json=arguments.json))
    return exit_code_of(folder)


if __name__ == "__main__":
    sys.exit(main())
