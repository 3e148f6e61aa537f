"""S2: cats and dogs from scratch, gray, 64 x 64."""

from src.recipes.recipe import FLIPS, Recipe
from src.recipes.tasks import DOGS_VS_CATS_2000

RECIPE = Recipe(
    name="s2-gray-resnet18",
    title="cats and dogs in gray at 64 x 64, ResNet-18 from scratch",
    origin=(
        "S2: ResNet-18 with a one-channel stem, Adam 1e-3, random flips, the best epoch by validation "
        "accuracy. It says itself that nearly every picture got the same class."
    ),
    claim="0.759 validation",
    command="baseline_cnn",
    options={
        "network": "resnet18",
        "grayscale": True,
        "image_size": 64,
        "epochs": 20,
        "optimizer": "adam",
        "rate": 1e-3,
        "patience": 20,
        "select": "accuracy",
        **FLIPS,
    },
    quick={
        "width": 0.25,
    },
    task=DOGS_VS_CATS_2000,
    expected=(0.63, 0.735),
    minutes=6.5,
    measured_n=300,
)
