"""Ours on S2's pictures."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import DOGS_VS_CATS_2000

RECIPE = Recipe(
    name="s2-gray-resnet18-best",
    title="the same gray pictures, from scratch",
    origin="Ours: a fast network instead of ResNet-18, Muon, full augmentation with MixUp and erasing, a falling rate.",
    command="baseline_cnn",
    options={
        "network": "fast_cnn",
        "grayscale": True,
        "image_size": 64,
        "batch_size": 50,
        "epochs": 40,
        "optimizer": "muon",
        "momentum": 0.6,
        "rate": 0.03,
        "schedule": "cosine",
        "mixup": 0.2,
        "label_smoothing": 0.1,
        "rotation": 15,
        "erasing": 0.25,
        "select": "accuracy",
        "precision": "auto",
    },
    quick={
        "width": 0.25,
        "batch_size": 16,
    },
    evaluation={
        "flips": True,
    },
    task=DOGS_VS_CATS_2000,
    expected=(0.835, 0.915),
    minutes=3.4,
    measured_n=300,
)
