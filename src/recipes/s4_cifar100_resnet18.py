"""S4: CIFAR-100 from scratch, ResNet-18 for small pictures."""

from src.recipes.recipe import CROPS_AND_FLIPS, Recipe
from src.recipes.tasks import CIFAR100

RECIPE = Recipe(
    name="s4-cifar100-resnet18",
    title="CIFAR-100, ResNet-18 with a small stem",
    origin=(
        "S4: ResNet-18 with a 3x3 first convolution of stride 1 and no pooling, random flips and crops, SGD "
        "at 0.001 as its best of SGD and Adam at 0.1, 0.01, 0.001."
    ),
    claim="0.71 test",
    command="baseline_cnn",
    options={
        "network": "resnet18_small",
        "image_size": 32,
        "batch_size": 128,
        "epochs": 30,
        "patience": 30,
        "optimizer": "sgd",
        "rate": 0.001,
        "select": "accuracy",
        **CROPS_AND_FLIPS,
    },
    quick={
        "width": 0.25,
        "rate": 0.01,
        "batch_size": 32,
    },
    task=CIFAR100,
)
