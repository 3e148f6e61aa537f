"""Ours on S2's pictures."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import DOGS_VS_CATS_2000

RECIPE = Recipe(
    name="s2-gray-resnet18-best",
    title="the same gray pictures, from scratch",
    origin=("Ours: full augmentation, a stem that keeps detail, a falling learning rate, MixUp and EMA."),
    command="baseline_cnn",
    options={
        "network": "resnet18_small",
        "width": 0.5,
        "grayscale": True,
        "image_size": 64,
        "epochs": 60,
        "rate": 0.002,
        "optimizer": "adamw",
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup_epochs": 3,
        "mixup": 0.2,
        "ema": 0.99,
        "label_smoothing": 0.1,
        "rotation": 10,
    },
    quick={
        "width": 0.25,
        "warmup_epochs": 0,
        "batch_size": 16,
    },
    evaluation={
        "flips": True,
    },
    task=DOGS_VS_CATS_2000,
)
