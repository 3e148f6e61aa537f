"""S3: CIFAR-10 from scratch, the small network with BatchNormalization, dropout and augmentation."""

from dataclasses import replace

from src.recipes.recipe import CROPS_AND_FLIPS
from src.recipes.s3_simple_cnn import RECIPE as SIMPLE

RECIPE = replace(
    SIMPLE,
    name="s3-regularized-cnn",
    title="CIFAR-10, two convolutions, regularized",
    origin=(
        "S3: RegularizedCNN, dropout 0.5, random flips and crops with padding 4, Adam 1e-3, 25 epochs. Here the rate "
        "warms up for one epoch, because at the full rate most of the dense layer's units die in the first steps, and "
        "then falls to 0."
    ),
    options=SIMPLE.options
    | {"network": "regularized_cnn", "augment": True, "schedule": "cosine", "warmup_epochs": 1, **CROPS_AND_FLIPS},
    quick={"batch_size": 16, "dropout": 0.0, "warmup_epochs": 0},
    expected=(0.73, 0.755),
    minutes=19.4,
    measured_n=10_000,
)
