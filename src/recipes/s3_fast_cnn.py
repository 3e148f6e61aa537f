"""Ours on CIFAR-10, from scratch."""

from src.recipes.recipe import FLIPS, Recipe
from src.recipes.tasks import CIFAR10

RECIPE = Recipe(
    name="s3-fast-cnn",
    title="CIFAR-10 from scratch, within the time of SimpleCNN",
    origin=(
        "Ours: a network after airbench (whitened first convolution), Muon, a falling rate, label smoothing, "
        "random crops and flips, flips at test time."
    ),
    command="baseline_cnn",
    options={
        "network": "fast_cnn",
        "image_size": 32,
        "batch_size": 250,
        "epochs": 10,
        "optimizer": "muon",
        "momentum": 0.6,
        "rate": 0.03,
        "schedule": "linear",
        "label_smoothing": 0.1,
        **FLIPS,
        "crop_padding": 2,
        "precision": "auto",
    },
    quick={
        "batch_size": 32,
        "width": 0.25,
    },
    evaluation={
        "flips": True,
    },
    task=CIFAR10,
    expected=(0.87, 0.895),
    minutes=6.8,
    measured_n=10_000,
)
