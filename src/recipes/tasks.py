"""The pictures of the experiments."""

from src.recipes.recipe import Task

# The published experiments parted near-copies, of which CIFAR-10 has many (docs/data.md), and so does what is to be
# compared with them.
_AS_PUBLISHED = {"allow_near_duplicates": True}
_ANIMALS = ["cat", "dog", "horse"]

# S0's 4,998 pictures: 3,195 / 801 / 1,002 here, 3,196 / 800 / 1,002 there, taken from both of CIFAR's parts.
CIFAR_ANIMALS = Task(
    "cifar-animals",
    "cifar10",
    _AS_PUBLISHED | {"classes": _ANIMALS, "pool": True, "limit_per_class": 1666, "ratios": [0.6395, 0.16, 0.2005]},
)
# All pictures of S0's three classes: 15,000 to train and choose by, CIFAR's own 3,000 to test.
CIFAR_ANIMALS_ALL = Task(
    "cifar-animals-all", "cifar10", _AS_PUBLISHED | {"classes": _ANIMALS, "ratios": [0.95, 0.05, 0]}
)
DOGS_VS_CATS = Task("dogs-vs-cats", "cats_vs_dogs", _AS_PUBLISHED | {"ratios": [0.7, 0.15, 0.15]})
# S2 does not say how many pictures it has.
DOGS_VS_CATS_2000 = Task(
    "dogs-vs-cats-2000", "cats_vs_dogs", _AS_PUBLISHED | {"limit_per_class": 1000, "ratios": [0.7, 0.15, 0.15]}
)
# CIFAR's own test part; what chooses the epoch is taken from its training part.
CIFAR10 = Task("cifar10", "cifar10", _AS_PUBLISHED | {"ratios": [0.9, 0.1, 0]})
CIFAR100 = Task("cifar100", "cifar100", _AS_PUBLISHED | {"ratios": [0.9, 0.1, 0]})
