"""Ours on S1's pictures."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import DOGS_VS_CATS

RECIPE = Recipe(
    name="s1-dogs-vs-cats-best",
    title="the same photographs, larger, epochs while they help",
    origin=(
        "Ours: EfficientNet-Lite0 at 288 pixels instead of 224, both phases for as long as validation loss improves, "
        "what is frozen computed once. What is expected is of 2,000 of the photographs."
    ),
    command="transfer_model",
    options={
        "backbone": "efficientnet_lite0",
        "image_size": 288,
    },
    quick={
        "image_size": 96,
    },
    evaluation={
        "flips": True,
    },
    task=DOGS_VS_CATS,
    expected=(0.975, 1.0),
    minutes=2.0,
    measured_n=300,
)
