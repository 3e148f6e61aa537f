"""S3: CIFAR-10 from scratch, a small network."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import CIFAR10

RECIPE = Recipe(
    name="s3-simple-cnn",
    title="CIFAR-10, two convolutions",
    origin=(
        "S3: SimpleCNN, Adam 1e-3, 25 epochs, no augmentation; its test part chose the epoch, here a "
        "validation part does."
    ),
    claim="0.72 test",
    command="baseline_cnn",
    options={
        "network": "simple_cnn",
        "image_size": 32,
        "batch_size": 64,
        "epochs": 25,
        "patience": 25,
        "optimizer": "adam",
        "rate": 1e-3,
        "augment": False,
        "select": "accuracy",
    },
    task=CIFAR10,
    expected=(0.685, 0.715),
    minutes=7.6,
    measured_n=10_000,
)
