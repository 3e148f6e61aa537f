"""The plain way to train in two phases, as tutorials have it: what ``bench_two_phase`` compares with.

Stock ImageDataGenerator, ``fit`` with the backbone frozen, then ``fit`` with its top layers unfrozen; the best epoch of
each by validation loss is kept. The network, its weights, the cut, the batch size, the augmentation and the learning
rates are those of ``src.transfer_model``; BatchNormalization is frozen in both phases as it should be. TensorFlow is
imported as it comes, without the settings of ``src.settings.quiet_tensorflow``.
"""

import argparse
import sys
from pathlib import Path


def stock_pictures(data: str, part: str, backbone, batch_size: int, seed: int, class_names: list[str]):
    """Keras' own iterator over one part of a data folder."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    from src.loading.parts import AUGMENTATION

    return ImageDataGenerator(**(AUGMENTATION if part == "train" else {})).flow_from_directory(
        Path(data, part),
        target_size=(backbone.image_size, backbone.image_size),
        batch_size=batch_size,
        classes=class_names,
        shuffle=part == "train",
        seed=seed,
        interpolation=backbone.interpolation,
    )


def train_plain(data: str, name: str, weights: str, epochs: tuple[int, int], batch_size: int, seed: int, output: Path):
    """Train and save ``output``, a .keras file."""
    import keras

    from src.loading.folder import list_classes
    from src.networks.registry import build_transfer_model, get_backbone
    from src.training.two_phase import freeze_below

    keras.utils.set_random_seed(seed)
    backbone, class_names = get_backbone(name), list_classes(Path(data, "train"))
    side = backbone.image_size
    model, base, _ = build_transfer_model(backbone, len(class_names), (side, side), weights=weights)
    train, val = (stock_pictures(data, part, backbone, batch_size, seed, class_names) for part in ("train", "val"))
    first = backbone.block_start(base, backbone.unfreeze_from)
    for count, first_trainable, rate in ((epochs[0], None, 1e-4), (epochs[1], first, 1e-5)):
        freeze_below(base, first_trainable)
        model.compile(keras.optimizers.Adam(rate), loss="categorical_crossentropy", metrics=["accuracy"])
        best = keras.callbacks.EarlyStopping(monitor="val_loss", patience=count, restore_best_weights=True)
        model.fit(train, validation_data=val, epochs=count, callbacks=[best], verbose=2)
    model.save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, nargs=2, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    train_plain(
        options.data,
        options.backbone,
        options.weights,
        tuple(options.epochs),
        options.batch_size,
        options.seed,
        options.output,
    )
    sys.exit(0)
