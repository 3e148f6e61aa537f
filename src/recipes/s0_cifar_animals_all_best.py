"""Ours on all pictures of S0's three classes."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import CIFAR_ANIMALS_ALL

RECIPE = Recipe(
    name="s0-cifar-animals-all-best",
    title="all 15,000 pictures of the three classes, the whole backbone trained",
    origin=(
        "Ours: as s0-cifar-animals-best, on all pictures that CIFAR-10 has of the classes to train, tested on "
        "its own 3,000."
    ),
    command="transfer_model",
    options={
        "backbone": "efficientnet_lite0",
        "image_size": 160,
        "phase1_epochs": 5,
        "phase2_epochs": 4,
        "phase2_rate": 0.0002,
        "unfreeze": "all",
        "schedule": "cosine",
    },
    quick={
        "image_size": 96,
        "unfreeze": None,
    },
    evaluation={
        "flips": True,
    },
    task=CIFAR_ANIMALS_ALL,
)
