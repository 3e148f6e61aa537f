"""Ours on all pictures of S0's three classes."""

from dataclasses import replace

from src.recipes.s0_cifar_animals_all_large import RECIPE as LARGE

RECIPE = replace(
    LARGE,
    name="s0-cifar-animals-all-best",
    title="all 15,000 pictures of the three classes, varied strongly",
    origin=(
        "Ours: as s0-cifar-animals-all-large, at 160 x 160 for twice as many epochs, eight views of each picture by "
        "RandAugment and erasing. Stores 8.8 GB of features."
    ),
    options=LARGE.options
    | {
        "image_size": 160,
        "views": 8,
        "phase2_epochs": 18,
        "rand_augment": 2,
        "rand_magnitude": 4,
        "erasing": 0.25,
    },
    minutes=40.0,
)
