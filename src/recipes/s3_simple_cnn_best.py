"""Ours on CIFAR-10, in no more time than SimpleCNN takes in plain Keras."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import CIFAR10

RECIPE = Recipe(
    name="s3-simple-cnn-best",
    title="CIFAR-10 with a pre-trained network, within the time of SimpleCNN in plain Keras",
    origin=(
        "Ours: the upper thirteen blocks of EfficientNet-Lite0 but their depthwise convolutions and "
        "BatchNormalization, from ImageNet, trained at 96 x 96 on what the lower three compute once; flips at test "
        "time."
    ),
    command="transfer_model",
    options={
        "backbone": "efficientnet_lite0",
        "image_size": 96,
        "batch_size": 64,
        "unfreeze": "block3_expand_conv",
        "train_depthwise": False,
        "views": 2,
        "phase1_epochs": 0,
        "phase2_epochs": 5,
        "phase2_rate": 5e-4,
        "schedule": "cosine",
        "warmup_epochs": 0.3,
        "label_smoothing": 0.1,
        "rotation": 10,
        "zoom": 0.1,
        "select": "accuracy",
    },
    quick={
        "batch_size": 16,
    },
    evaluation={
        "flips": True,
    },
    task=CIFAR10,
    expected=(0.905, 0.925),
    minutes=12.7,
    measured_n=10_000,
)
