"""S3: CIFAR-10 from scratch, the small network with BatchNormalization, dropout and augmentation."""

from src.recipes.recipe import CROPS_AND_FLIPS, Recipe
from src.recipes.tasks import CIFAR10

RECIPE = Recipe(
    name="s3-regularized-cnn",
    title="CIFAR-10, two convolutions, regularized",
    origin=(
        "S3: RegularizedCNN, dropout 0.5, random flips and crops with padding 4, Adam 1e-3, 25 epochs. Here the rate "
        "warms up for one epoch, because at the full rate most of the dense layer's units die in the first steps, and "
        "then falls to 0."
    ),
    claim="0.72 test",
    command="baseline_cnn",
    options={
        "network": "regularized_cnn",
        "image_size": 32,
        "batch_size": 64,
        "epochs": 25,
        "patience": 25,
        "optimizer": "adam",
        "rate": 1e-3,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "select": "accuracy",
        **CROPS_AND_FLIPS,
    },
    quick={"batch_size": 16, "dropout": 0.0, "warmup_epochs": 0},
    task=CIFAR10,
)
