"""S1: dogs and cats, an ImageNet backbone in two phases: the main line of this project."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import DOGS_VS_CATS

RECIPE = Recipe(
    name="s1-dogs-vs-cats",
    title="dogs and cats, a pre-trained backbone in two phases",
    origin=(
        "S1: ResNet50 frozen, dense 256, dropout 0.5, Adam 1e-4, 5 epochs; then its last 10 layers at 1e-5, 5 "
        "epochs; patience 3. 25,000 photographs, split 70/15/15. With no ResNet50 weights at hand "
        "EfficientNet-Lite0 stands in, which the first line says. What is expected is of 2,000 of the photographs."
    ),
    claim="0.9907 test",
    command="transfer_model",
    options={
        "phase1_epochs": 5,
        "phase2_epochs": 5,
        "patience": 3,
    },
    quick={
        "backbone": "efficientnet_lite0",
        "image_size": 96,
    },
    task=DOGS_VS_CATS,
    expected=(0.965, 0.995),
    minutes=0.8,
    measured_n=300,
)
