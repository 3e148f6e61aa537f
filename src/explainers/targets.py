"""What is explained: a function of the logits, and which class it is asked about."""

import difflib
from collections.abc import Callable, Sequence

import tensorflow as tf

from src.errors import UserError

Target = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(logits float32 (N, C), class_index int32 (N,)) -> one number for each picture (N,), to be differentiated."""


def class_logit(logits: tf.Tensor, class_index: tf.Tensor) -> tf.Tensor:
    """The class's logit: y^c of Grad-CAM's eq. 1, "the score for class c before the softmax".

    Never the probability: where the softmax is sure, its gradient vanishes and so would the explanation.
    """
    return tf.gather(logits, class_index, axis=1, batch_dims=1)


def class_contrast(versus: int) -> Target:
    """Why this class rather than that one: the class's logit minus the logit of the class ``versus``.

    What speaks for both falls away. Of one sigmoid unit z, which stands as (-z, z), it is 2 z: twice the log-odds. It
    carries ``versus`` as an attribute, by which an ExplainedModel knows that this class itself cannot be explained.
    Raises ``UserError`` at once for a negative number.
    """
    if versus < 0:
        raise UserError(f"classes are numbered from 0. Received: {versus}")

    def contrast(logits: tf.Tensor, class_index: tf.Tensor) -> tf.Tensor:
        return class_logit(logits, class_index) - logits[:, versus]

    contrast.versus = versus
    return contrast


def describe_class(explained: str | None, versus: str | None) -> str:
    """In words: the class asked about (None: the predicted one), and the one it is asked about rather than."""
    return name_contrast("the predicted class" if explained is None else f"the class {explained}", versus)


def name_contrast(explained: str, versus: str | None) -> str:
    """``explained``, and the class it is asked about rather than, if any."""
    return explained if versus is None else f"{explained} rather than {versus}"


def find_class(name: str, class_names: Sequence[str]) -> int:
    """Index of a class by its name, whatever the case. Raises ``UserError`` that lists the nearest names."""
    folded = [known.casefold() for known in class_names]
    if name in class_names:
        return list(class_names).index(name)
    if name.casefold() in folded:
        return folded.index(name.casefold())
    near = difflib.get_close_matches(name.casefold(), folded, n=5, cutoff=0.5)
    near += [known for known in folded if name.casefold() in known and known not in near][:5]
    if near:
        raise UserError(f"no class {name}; near it are {', '.join(class_names[folded.index(n)] for n in near)}")
    shown = ", ".join(class_names[:10]) + (f" … ({len(class_names)} in all)" if len(class_names) > 10 else "")
    raise UserError(f"no class {name}; there are {shown}")
