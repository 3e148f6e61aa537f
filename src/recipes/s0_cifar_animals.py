"""S0: three animals of CIFAR-10, enlarged, a linear layer over a frozen ImageNet network."""

from src.recipes.recipe import Recipe
from src.recipes.tasks import CIFAR_ANIMALS

RECIPE = Recipe(
    name="s0-cifar-animals",
    title="three animals of CIFAR-10 at 224 x 224 over a frozen backbone",
    origin=(
        "S0: frozen ImageNet ResNet-18, new last layer, Adam 1e-3, batch 32, 15 epochs, flips and turns of 10 degrees, "
        "the best epoch by validation accuracy. Keras has no ResNet-18 with weights: EfficientNet-Lite0 stands in."
    ),
    claim="0.83 test",
    task=CIFAR_ANIMALS,
    command="transfer_model",
    options={
        "backbone": "efficientnet_lite0",
        "phase1_epochs": 15,
        "phase2_epochs": 0,
        "phase1_rate": 1e-3,
        "patience": 15,
        "dense_units": 0,
        "head_dropout": 0.0,
        "select": "accuracy",
        "rotation": 10,
        "shift": 0,
        "zoom": 0,
    },
    quick={"image_size": 96},
    expected=(0.8, 0.85),
    minutes=1.2,
    measured_n=1002,
)
