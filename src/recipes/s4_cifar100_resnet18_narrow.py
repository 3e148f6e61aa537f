"""S4's network, narrow and for fewer epochs."""

from dataclasses import replace

from src.recipes.s4_cifar100_resnet18 import RECIPE as WHOLE

RECIPE = replace(
    WHOLE,
    name="s4-cifar100-resnet18-narrow",
    title="S4's ResNet-18 at a quarter of its width, 12 epochs",
    origin=(
        "As s4-cifar100-resnet18, for a machine on which that would take many hours: does it learn? What is expected "
        "is of 50 classes of Tiny ImageNet."
    ),
    claim=None,
    options=WHOLE.options | {"width": 0.25, "epochs": 12, "patience": 12, "precision": "auto"},
    expected=(0.1, 0.17),
    minutes=9.3,
    measured_n=2500,
)
