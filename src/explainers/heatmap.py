"""One picture, one map: the function that users of Keras' Grad-CAM tutorial know."""

import weakref

import numpy as np

from src.errors import UserError
from src.explainers.registry import create_explainer

# One explainer for each model and layer, as long as the model lives: building and tracing take seconds.
_explainers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def make_gradcam_heatmap(
    image_array, model, last_conv_layer_name: str | None = None, pred_index: int | None = None
) -> np.ndarray:
    """Grad-CAM of one picture, after the function of the same name in Keras' tutorial.

    Two differences, on purpose: the gradient is that of the logit, not of the softmax (where the network is sure the
    latter vanishes), and the map is raw: ReLU(sum_k alpha_k A^k) of Selvaraju et al. 2017, eq. 1 and 2, not divided by
    its maximum. For a picture of 0..1 divide by ``heatmap.max()`` where that is positive.

    Args:
        image_array: (H, W, 3) or (1, H, W, 3) as the model takes it; for our bundles RGB 0..255.
        model: a Keras classifier; it stays as it is, and is traced only once for each layer.
        last_conv_layer_name: the target layer; None for the last convolution, activation or sum.
        pred_index: the class to explain; None for the predicted one.

    Returns:
        float32 (h, w), at least 0, at the target layer's own resolution.

    Raises:
        UserError: the model, the layer, the class or the picture's shape does not fit.
    """
    inputs = np.asarray(image_array, np.float32)
    inputs = inputs[None] if inputs.ndim == 3 else inputs
    if len(inputs) != 1:
        raise UserError(f"one picture is needed, (H, W, 3) or (1, H, W, 3). Received: {inputs.shape}")
    of_model = _explainers.setdefault(model, {})
    if last_conv_layer_name not in of_model:
        of_model[last_conv_layer_name] = create_explainer("gradcam", model, target_layer=last_conv_layer_name)
    return of_model[last_conv_layer_name].explain(inputs, None if pred_index is None else int(pred_index)).heatmaps[0]
