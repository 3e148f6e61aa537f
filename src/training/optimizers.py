"""The optimisers and the course of the learning rate."""

import math

import keras
from keras import ops

from src.training.options import TrainingSettings

_SPARED = ("bias", "beta", "gamma")  # by weight decay
_ADAMW_DECAY = 0.004  # Keras' own


@keras.saving.register_keras_serializable("image_classifier")
class RateSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Up from 0 over some steps, then constant, or down to 0 after the last step.

    Args:
        peak: the rate after the warm-up.
        steps: of the whole training.
        warmup_steps: of its beginning; the rate at step s is then peak (s + 1) / warmup_steps.
        shape: "constant"; "linear"; or "cosine", peak (1 + cos(pi t)) / 2 with t from 0 to 1 after the warm-up
            (Loshchilov & Hutter 2017, equation 5, without restarts).
    """

    def __init__(self, peak: float, steps: int, warmup_steps: int = 0, shape: str = "constant"):
        super().__init__()
        self.peak, self.steps, self.warmup_steps, self.shape = peak, steps, warmup_steps, shape

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)
        done = ops.clip((step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1), 0.0, 1.0)
        if self.shape == "cosine":
            fall = (1 + ops.cos(math.pi * done)) / 2
        else:
            fall = 1 - done if self.shape == "linear" else 1.0
        return self.peak * rise * fall

    def get_config(self) -> dict:
        return {"peak": self.peak, "steps": self.steps, "warmup_steps": self.warmup_steps, "shape": self.shape}


@keras.saving.register_keras_serializable("image_classifier")
class Muon(keras.optimizers.Muon):
    """Keras' Muon, which leaves convolutions to AdamW, with their kernels taken as matrices (h w in, out) as well,
    but for depthwise ones.

    The step of a matrix is its momentum with all singular values made about 1 (Jordan et al. 2024), scaled so that its
    root mean square is 0.2 as that of AdamW's steps (Liu et al. 2025, section 2.2). All else goes by AdamW.
    """

    def _should_use_adamw(self, variable) -> bool:
        if len(variable.shape) == 4:
            return variable.shape[-1] == 1  # one filter, or a depthwise kernel (h, w, C, 1): no matrix of filters
        return super()._should_use_adamw(variable)

    def _muon_update_step(self, gradient, variable, lr, m):
        shape = gradient.shape
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        step = ops.add(gradient, self.momentum * m) if self.nesterov else m
        step = self.zeropower_via_newtonschulz5(ops.reshape(step, (-1, shape[-1])), self.ns_steps)
        self.assign_sub(variable, ops.reshape(self.lr_adjust(lr * step), shape))


def create_optimizer(options: TrainingSettings, rate: float, steps_per_epoch: int, epochs: int) -> keras.Optimizer:
    """The optimiser that the settings stand for.

    Args:
        rate: the learning rate, or its peak.
        steps_per_epoch: batches in an epoch.
        epochs: after which a falling rate has come to 0.
    """
    if options.schedule in ("constant", "plateau") and not options.warmup_epochs:
        course = rate
    else:
        warmup = round(options.warmup_epochs * steps_per_epoch)
        course = RateSchedule(rate, steps_per_epoch * epochs, warmup, options.schedule)
    decay = options.weight_decay
    if decay is None:
        decay = _ADAMW_DECAY if options.optimizer == "adamw" else 0.0
    common = {
        "learning_rate": course,
        "weight_decay": decay or None,
        "global_clipnorm": options.clip_norm,
        "use_ema": bool(options.ema),
        "ema_momentum": options.ema,
    }
    nesterov = options.nesterov is not False
    if options.optimizer == "sgd":
        momentum = 0.9 if options.momentum is None else options.momentum
        optimizer = keras.optimizers.SGD(**common, momentum=momentum, nesterov=nesterov)
    elif options.optimizer == "muon":
        momentum = 0.95 if options.momentum is None else options.momentum
        kept = {"adam_weight_decay": decay or None, "exclude_layers": ["logits"]}
        optimizer = Muon(**common, momentum=momentum, nesterov=nesterov, **kept)
    else:  # both decouple the decay, which is all that AdamW adds
        optimizer = keras.optimizers.Adam(**common)
    optimizer.exclude_from_weight_decay(var_names=_SPARED)
    return optimizer
