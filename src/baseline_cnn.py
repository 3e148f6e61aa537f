"""Train the convolutional network from scratch: ``python -m src.baseline_cnn``."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from src.errors import UserError, command
from src.model_choice import check_output
from src.settings import (
    add_options,
    auto_or_count,
    create_parser,
    option,
    positive_float,
    positive_int,
    quiet_tensorflow,
    read_options,
    seed_int,
)

EXAMPLES = """  python -m src.baseline_cnn
  python -m src.baseline_cnn --epochs auto --image-size 128"""


@dataclass(frozen=True)
class BaselineSettings:
    """S1's settings for the network from scratch."""

    data: str = option("data", "folder with train, val and test")
    models_dir: str = option("models", "folder that the bundle is written into")
    name: str = option("baseline", "name of the bundle")
    image_size: int = option(224, "height and width that pictures are resized to", type=positive_int)
    batch_size: int = option(32, "pictures in a batch", type=positive_int)
    epochs: str | int = option(5, "epochs, or 'auto' to go on while validation loss improves", type=auto_or_count)
    rate: float = option(1e-3, "learning rate (Adam)", type=positive_float)
    patience: int = option(3, "epochs without improvement after which to stop", type=positive_int)
    augment: bool = option(True, "rotate, shift, zoom and flip the training pictures")
    seed: int = option(42, "seed of weights, order and augmentation", type=seed_int)


def build_baseline_model(class_count: int, image_size: tuple[int, int] = (224, 224)):
    """S1's network; see :func:`src.networks.baseline.build_baseline_model`."""
    from src.networks.baseline import build_baseline_model as build  # importing the command loads no TensorFlow

    return build(class_count, image_size)


def train_baseline(settings: BaselineSettings) -> tuple[Path, dict]:
    """Train, keep the best epoch by validation loss, save the bundle.

    Returns:
        The bundle's folder and the metrics of the epoch that was kept.
    """
    from src.loading.folder import check_data_folder

    class_names, counts = check_data_folder(settings.data)  # before TensorFlow takes its seconds
    check_output(settings.models_dir, settings.name)
    quiet_tensorflow()
    import keras

    from src.bundle import data_facts, save_bundle
    from src.data_loader import get_data_generators, surface_errors
    from src.networks.baseline import BASELINE_TARGET_LAYER
    from src.networks.heads import logits_model
    from src.training.fit import TrainingHistory, balanced_class_weights, fit_phase

    facts = data_facts(settings.data, counts)
    keras.utils.set_random_seed(settings.seed)
    size = (settings.image_size, settings.image_size)
    train, val, _ = get_data_generators(
        settings.data, size, settings.batch_size, augment=settings.augment, seed=settings.seed
    )
    model = build_baseline_model(len(class_names), size)
    logits = logits_model(model)
    history = TrainingHistory(logits)
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
            class_weight=balanced_class_weights(train.classes, len(class_names)),
        )
    history.restore_best()
    folder = save_bundle(
        settings.name,
        settings.models_dir,
        model,
        class_names=class_names,
        image_size=size,
        interpolation="bilinear",
        target_layer=BASELINE_TARGET_LAYER,
        info={
            "backbone": None,
            "weights": {"origin": "none", "sha256": None},
            "data": facts,
            "settings": asdict(settings),
            "metrics": history.best_row,
        },
        history=history,
    )
    return folder, history.best_row


@command
def main(argv=None) -> None:
    parser = create_parser("Train a convolutional network from scratch.", EXAMPLES)
    add_options(parser, BaselineSettings)
    parser.add_argument("--json", action="store_true", help="print the kept epoch's metrics as one JSON line")
    arguments = parser.parse_args(argv)
    settings = read_options(BaselineSettings, arguments)
    if settings.epochs == 0:
        raise UserError("--epochs 0 trains nothing; give it some")
    folder, metrics = train_baseline(settings)
    from src.bundle import describe_training

    print(describe_training(folder, metrics, "python -m src.transfer_model", as_json=arguments.json))


if __name__ == "__main__":
    sys.exit(main())
