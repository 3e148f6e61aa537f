"""Explainers by name. A method that is added here is enrolled in the command and in the tests of the contract."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from src.errors import UserError
from src.explainers.base import Explainer
from src.explainers.cam import CAM_METHODS, ClassActivationMap, EigenCAM
from src.explainers.channel_cam import AblationCAM, ScoreCAM
from src.explainers.explained_model import ExplainedModel
from src.explainers.gradients import GradientTimesInput, GuidedGradCAM, IntegratedGradients, Saliency, SmoothGrad
from src.explainers.perturbation import RISE, Occlusion
from src.explainers.surrogate import LIME, KernelSHAP


@dataclass(frozen=True)
class Method:
    """One entry of the registry.

    Attributes:
        title: for people.
        build: (model, **options) -> the explainer.
        by_layer: whether it takes a ``target_layer``.
        many_passes: whether it runs the network hundreds of times for a picture, so that a fast engine pays at once.
        scattered: whether its maps are made of single pixels, whose few extremes would leave the others without colour.
        after_activation: whether its equation takes activations to be at least 0, so that its layer should be one
            after a ReLU, where a network's best layer for Grad-CAM may lie before it.
    """

    title: str
    build: Callable[..., Explainer]
    by_layer: bool = False
    after_activation: bool = False
    many_passes: bool = False
    scattered: bool = False


def _cam(name: str, title: str, after_activation: bool = False) -> Method:
    return Method(title, partial(ClassActivationMap, weight_rule=CAM_METHODS[name]), True, after_activation)


EXPLAINERS: dict[str, Method] = {
    "gradcam": _cam("gradcam", "Grad-CAM"),
    "gradcam++": _cam("gradcam++", "Grad-CAM++", after_activation=True),
    "hirescam": _cam("hirescam", "HiResCAM"),
    "layercam": _cam("layercam", "LayerCAM"),
    "xgradcam": _cam("xgradcam", "XGrad-CAM", after_activation=True),
    "eigencam": Method("Eigen-CAM", EigenCAM, by_layer=True, after_activation=True),
    "scorecam": Method("Score-CAM", ScoreCAM, by_layer=True, after_activation=True, many_passes=True),
    "ablationcam": Method("Ablation-CAM", AblationCAM, by_layer=True, after_activation=True),
    "saliency": Method("Saliency", Saliency, scattered=True),
    "gradient_x_input": Method("Gradient x input", GradientTimesInput, scattered=True),
    "smoothgrad": Method("SmoothGrad", SmoothGrad, scattered=True),
    "integrated_gradients": Method("Integrated Gradients", IntegratedGradients, scattered=True),
    "guided_gradcam": Method("Guided Grad-CAM", GuidedGradCAM, by_layer=True, scattered=True),
    "occlusion": Method("Occlusion", Occlusion, many_passes=True),
    "rise": Method("RISE", RISE, many_passes=True),
    "lime": Method("LIME", LIME, many_passes=True),
    "kernel_shap": Method("Kernel SHAP", KernelSHAP, many_passes=True),
}


def create_explainer(method: str, model: keras.Model | ExplainedModel, **options) -> Explainer:
    """Build the explainer ``method`` for ``model``; ``options`` are the method's (target, target_layer ...).

    Raises:
        UserError: there is no such method, or the method refuses the model or an option's value.
    """
    if method not in EXPLAINERS:
        raise UserError(f"there is no explainer {method}; there are {', '.join(EXPLAINERS)}")
    if options.get("target_layer") and not EXPLAINERS[method].by_layer:
        raise UserError(f"{EXPLAINERS[method].title} looks at the picture itself and takes no layer")
    return EXPLAINERS[method].build(model, **options)
