"""What the description of a Keras model may ask for: layers of Keras' own, by name, and nothing else.

Keras' safe mode forbids some things that run code, and can be switched off for the whole process; new ways around it
are found every year (CVE-2025-1550, -8747, -9905, -9906, -12058). So nothing reaches Keras here that is not on a list.
"""

import re

MAX_FILE_BYTES = 8 * 2**30  # no classifier of pictures is larger
# One model within another takes four levels.
MAX_DEPTH = 100


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Layers whose output is a function of pictures and weights alone.
LAYERS = _names(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
    AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CenterCrop
    Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D
    DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupedQueryAttention Identity InputLayer LSTM LSTMCell
    LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MixUp
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness
    RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
    RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing ReversibleEmbedding SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax Solarization
    SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract TimeDistributed
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)
ACTIVATIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish tanh tanh_shrink threshold
    """
)
_MODELS = frozenset({"Functional", "Model", "Sequential"})
_POLICIES = frozenset({"DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy"})
_BY_MODULE = {
    "keras.layers": LAYERS,
    "keras": _MODELS | _POLICIES,
    "keras.models": _MODELS,
    "keras.src.models.functional": _MODELS,
    "keras.src.models.sequential": _MODELS,
    "keras.dtype_policies": _POLICIES,
    "keras.src.applications.convnext": {"LayerScale"},
    "keras.src.applications.inception_resnet_v2": {"CustomScaleLayer"},
    "keras.src.ops.core": {"Cast", "ConvertToTensor", "Slice", "StopGradient", "Unstack"},
    "keras.src.ops.linalg": {"Norm"},
    "keras.src.ops.math": {"Erf", "Logsumexp", "Rsqrt", "TopK"},
}
# Every class in these computes with numbers only.
_WHOLE_MODULES = frozenset(
    {
        "keras.constraints", "keras.initializers", "keras.quantizers", "keras.regularizers", "keras.src.ops.image",
        "keras.src.ops.nn", "keras.src.ops.numpy",
    }
)  # fmt: skip
# Keras 2 and .h5 files leave out the module.
_WITHOUT_MODULE = (
    LAYERS
    | _MODELS
    | _POLICIES
    | _names(
        """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer L1 L1L2 L2 LecunNormal LecunUniform
        MaxNorm MinMaxNorm NonNeg Ones Orthogonal OrthogonalInitializer OrthogonalRegularizer Policy RandomNormal
        RandomUniform TruncatedNormal UnitNorm VarianceScaling Zeros
    """
    )
)
# Values that JSON has no form for.
_VALUES = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"})
_VALUES |= {"__tuple__", "TensorShape"}

_CODE = "Python code of whoever made the file"
_REASONS = {
    "Lambda": f"is a Lambda, {_CODE}",
    "__lambda__": f"holds a lambda, {_CODE}",
    "TFSMLayer": "is a TFSMLayer, which runs another saved model from the disk",
    "TorchModuleWrapper": f"is a TorchModuleWrapper, {_CODE}",
    "FlaxLayer": f"is a FlaxLayer, {_CODE}",
    "JaxLayer": f"is a JaxLayer, {_CODE}",
    "StringLookup": "is a StringLookup, which may read any file of yours as its vocabulary",
    "IntegerLookup": "is an IntegerLookup, which may read any file of yours as its vocabulary",
    "TextVectorization": "is a TextVectorization, which may read any file of yours as its vocabulary",
    "TFOpLambda": "is a TFOpLambda, an operation that only Keras 2 knows",
    "SlicingOpLambda": "is a SlicingOpLambda, an operation that only Keras 2 knows",
}


class Refusal(Exception):
    """Why a model file is refused, as the end of a sentence that begins with its name."""


def check_config(config: object) -> None:
    """Check the description of a model (what JSON makes of it), and take the settings of its training out of it, in
    place: they may name losses and metrics of anyone's, and are not needed.

    Raises ``Refusal`` where it is no model's, is nested too deeply, or asks for anything that is not listed here.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise Refusal("it describes no model of Keras")
    waiting = [(config, "it", 0)]
    while waiting:
        value, owner, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise Refusal("its description is nested too deeply")
        if isinstance(value, dict):
            value.pop("compile_config", None)
            if "class_name" in value:
                owner = _owner(value) or owner
                _check_object(value, owner)
            waiting += [(inner, owner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, owner, depth + 1) for inner in value]


def _owner(value: dict) -> str | None:
    settings = value.get("config")
    name = settings.get("name") if isinstance(settings, dict) else None
    return f"its layer {name[:60]!r}" if isinstance(name, str) else None


def _check_object(value: dict, owner: str) -> None:
    name, module = value["class_name"], value.get("module")
    if name == "function":
        _check_function(value, owner)
    elif not isinstance(name, str) or not isinstance(module, str | None):
        raise Refusal(f"{owner} is or holds an object whose class is no text")
    elif not _is_listed(name, module):
        if name in _REASONS and (module is None or module.startswith("keras")):
            raise Refusal(f"{owner} {_REASONS[name]}")
        place = f" from {module[:60]!r}" if module and module != "keras.layers" else ""
        raise Refusal(f"{owner} is or holds {name[:60]!r}{place}, which is no layer of Keras for pictures")
    elif value.get("registered_name") not in (None, name):
        raise Refusal(f"{owner} asks for {str(value['registered_name'])[:60]!r}, a class from outside Keras")


def _is_listed(name: str, module: str | None) -> bool:
    if name in _VALUES:
        return True
    if module is None:
        return name in _WITHOUT_MODULE
    if module in _WHOLE_MODULES:
        return re.fullmatch("[A-Z][A-Za-z0-9]*", name) is not None  # functions are written small
    return name in _BY_MODULE.get(module, ())


def _check_function(value: dict, owner: str) -> None:
    name, module = value.get("config"), value.get("module")
    plain = isinstance(name, str) and name in ACTIVATIONS and module in (None, "builtins", "keras.activations")
    if not plain or value.get("registered_name") not in (None, name, "function"):
        raise Refusal(f"{owner} calls the function {str(name)[:60]!r} of {str(module)[:60]!r}, which is no activation")
