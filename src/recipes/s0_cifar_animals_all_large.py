"""Ours on all pictures of S0's three classes, the larger of two networks for an ensemble."""

from dataclasses import replace

from src.recipes.s0_cifar_animals_best import RECIPE as FEW
from src.recipes.tasks import CIFAR_ANIMALS_ALL

RECIPE = replace(
    FEW,
    name="s0-cifar-animals-all-large",
    title="all 15,000 pictures of the three classes, at 192 x 192",
    origin=(
        "Ours: all pictures that CIFAR-10 has of the classes to train, its own 3,000 to test. From the fourth block of "
        "EfficientNet-Lite0 on, with four views of each picture and MixUp. Stores 6.4 GB of features."
    ),
    task=CIFAR_ANIMALS_ALL,
    options=FEW.options
    | {
        "image_size": 192,
        "batch_size": 64,
        "unfreeze": "block3_expand_conv",
        "train_depthwise": False,
        "views": 4,
        "phase1_epochs": 0,
        "phase2_epochs": 9,
        "phase2_rate": 5e-4,
        "warmup_epochs": 0.3,
        "label_smoothing": 0.1,
        "mixup": 0.2,
        "rotation": 10,
        "zoom": 0.1,
        "select": "accuracy",
    },
    quick=FEW.quick | {"batch_size": 16},
    expected=(0.92, 0.945),
    minutes=30.1,
    measured_n=3000,
)
