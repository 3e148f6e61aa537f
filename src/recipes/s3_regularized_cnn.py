"""S3: CIFAR-10 from scratch, the small network with BatchNormalization, dropout and augmentation."""

from src.recipes.recipe import CROPS_AND_FLIPS, Recipe
from src.recipes.tasks import CIFAR10

RECIPE = Recipe(
    name="s3-regularized-cnn",
    title="CIFAR-10, two convolutions, regularized",
    origin=(
        "S3: RegularizedCNN, dropout 0.5, random flips and crops with padding 4, Adam 1e-3, 25 epochs. The first of them "
        "warms up here: at the full rate from the first step on, most of the dense layer's units die at once."
    ),
    claim="0.72 test",
    command="baseline_cnn",
    options={
        "network": "regularized_cnn",
        "image_size": 32,
        "batch_size": 64,
        "epochs": 25,
        "patience": 25,
        "warmup_epochs": 1,
        "select": "accuracy",
        **CROPS_AND_FLIPS,
    },
    task=CIFAR10,
)
