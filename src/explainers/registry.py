"""Explainers by name. A method that is added here is enrolled in the command and in the tests of the contract."""

from collections.abc import Callable
from functools import partial

import keras

from src.errors import UserError
from src.explainers.base import Explainer
from src.explainers.cam import CAM_METHODS, ClassActivationMap

EXPLAINERS: dict[str, Callable[..., Explainer]] = {
    name: partial(ClassActivationMap, weight_rule=rule) for name, rule in CAM_METHODS.items()
}


def create_explainer(method: str, model: keras.Model, **options) -> Explainer:
    """Build the explainer ``method`` for ``model``; ``options`` are the method's (target, target_layer ...).

    Raises:
        UserError: there is no such method, or the method refuses the model or an option's value.
    """
    if method not in EXPLAINERS:
        raise UserError(f"there is no explainer {method}; there are {', '.join(EXPLAINERS)}")
    return EXPLAINERS[method](model, **options)
