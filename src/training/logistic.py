"""The exact head: L2-regularised multinomial logistic regression on frozen features, by scikit-learn. Loads no Keras.

The loss is that of Bishop (Pattern Recognition and Machine Learning, 2006, eq. 4.108) with a Gaussian prior on the
weights and none on the biases: sum_i w_i CE_i + l2 / 2 |W|^2. The cross-entropy is summed, not averaged, so that one
strength is one prior, whatever the number of pictures. Features are divided by their mean norm, so that it is also the
same for every backbone. Features are not standardised one by one: with few pictures that was much worse.
"""

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from src.datasets.folds import make_folds
from src.evaluation.calibration import losses, softmax
from src.settings import random_generator

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # that are tried, the strongest first
USUAL_STRENGTH = 0.01  # where none can be chosen
_TOLERANCE, _EXACT_TOLERANCE = 1e-5, 1e-8  # of the gradient of the mean loss
_MOST_STEPS = 5000
_CHOSEN_BY = 2000  # pictures at most that the strength is chosen by


@dataclass(frozen=True)
class LinearHead:
    """Features to logits.

    Attributes:
        kernel: float64 (D, C).
        bias: float64 (C,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits float64 (N, C) of features (N, D)."""
        return np.asarray(features, np.float64) @ self.kernel + self.bias

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities float32 (N, C) of features (N, D)."""
        return softmax(self.logits(features))


@dataclass(frozen=True)
class Scaled:
    """Views of N pictures as the regression takes them: divided by their mean norm, in as few coordinates as hold them.

    An L2-regularised solution is a sum of its samples, and is the same in all coordinates that keep their products:
    with fewer samples than features a fit in these takes a fraction of the time, to the same result.

    Attributes:
        values: float64 (V, N, R), R at most the number of features and V N.
        basis: float64 (D, R), orthonormal columns, divided by the scale: ``features @ basis`` are coordinates.
    """

    values: np.ndarray
    basis: np.ndarray

    def project(self, features: np.ndarray) -> np.ndarray:
        """Coordinates float64 (N, R) of further pictures' features (N, D)."""
        return np.asarray(features, np.float64) @ self.basis

    def unscale(self, head: LinearHead) -> LinearHead:
        """A head over ``values`` as one over the features themselves."""
        return LinearHead(self.basis @ head.kernel, head.bias)


def scale_features(features: np.ndarray) -> Scaled:
    """Prepare the features (V, N, D) of N pictures in V views. Their labels play no part in it."""
    features = np.asarray(features, np.float64)
    rows = features.reshape(-1, features.shape[-1])
    scale = float(np.linalg.norm(rows, axis=1).mean()) or 1.0
    with _one_thread():
        basis = np.linalg.qr(rows.T)[0] if len(rows) < rows.shape[1] else np.eye(rows.shape[1])
    return Scaled((rows @ basis / scale).reshape(*features.shape[:2], -1), basis / scale)


def picture_weights(labels: np.ndarray, class_count: int, balanced: bool) -> np.ndarray:
    """The weight of each picture in the loss, float64 (N,): n / (C n_c) as ``training.fit.class_weights`` has them, or
    1. Classes without a picture do not count."""
    counts = np.bincount(labels, minlength=class_count)
    return (len(labels) / ((counts > 0).sum() * np.maximum(counts, 1)))[labels] if balanced else np.ones(len(labels))


def fit_head(
    views: np.ndarray, labels: np.ndarray, class_count: int, l2: float, *, balanced: bool = True, exact: bool = False
) -> LinearHead:
    """The optimum of the penalised loss; each of a picture's views counts as 1 / V of it.

    Args:
        views: float64 (V, N, R), as :class:`Scaled` has them.
        labels: int (N,), 0..C-1.
        class_count: C; a class without a picture gets a logit below all others.
        l2: strength, above 0.
        balanced: whether pictures of rare classes count for more, as by ``--balance weights``.
        exact: to go on to the last digits, for weights that are kept.
    """
    (head,) = fit_path(views, labels, class_count, (l2,), balanced=balanced, exact=exact)
    return head


def fit_path(
    views: np.ndarray,
    labels: np.ndarray,
    class_count: int,
    strengths: Sequence[float],
    *,
    balanced: bool = True,
    exact: bool = False,
) -> Iterator[LinearHead]:
    """As :func:`fit_head` for several strengths, each of which begins where the one before it ended."""
    from sklearn.linear_model import LogisticRegression

    samples, weights = np.concatenate(views), picture_weights(labels, class_count, balanced) / len(views)
    present = np.unique(labels)
    model = LogisticRegression(
        tol=_EXACT_TOLERANCE if exact else _TOLERANCE, max_iter=_MOST_STEPS, warm_start=len(strengths) > 1
    )
    for l2 in strengths:
        if len(present) == 1:
            yield _assemble(np.zeros((samples.shape[1], 1)), np.zeros(1), present, class_count, len(labels))
            continue
        # Of two classes scikit-learn fits one vector, the difference of the two that a softmax has: u = 2 w, and
        # l2 / 2 (|w|^2 + |-w|^2) = l2 / 4 |u|^2.
        model.set_params(C=(2 if len(present) == 2 else 1) / l2)
        with _one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the last digits, which float64 may not have
            model.fit(samples, np.tile(labels, len(views)), sample_weight=np.tile(weights, len(views)))
        kernel, bias = model.coef_.T, model.intercept_
        if len(present) == 2:
            kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.concatenate([-bias / 2, bias / 2])
        yield _assemble(kernel.copy(), bias - bias.mean(), present, class_count, len(labels))


@functools.cache
def _thread_pools():
    """Of the libraries of linear algebra, found once, which takes some 10 ms."""
    # SciPy has one of its own: not yet loaded it would not be found, and its threads make a fit three times as dear
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import ThreadpoolController  # scikit-learn needs it, too

    return ThreadpoolController()


def _one_thread():
    """A context for many small products, of which threads would spend their time waiting for each other."""
    return _thread_pools().limit(limits=1)


def _assemble(kernel: np.ndarray, bias: np.ndarray, present: np.ndarray, class_count: int, pictures: int) -> LinearHead:
    """The head over all classes; the rare logits of those without a picture are as one picture among all would be."""
    whole = LinearHead(
        np.zeros((len(kernel), class_count)), np.full(class_count, bias.min() - np.log(pictures + class_count))
    )
    whole.kernel[:, present], whole.bias[present] = kernel, bias
    return whole


def choose_strength(
    scaled: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    class_count: int,
    *,
    plain: np.ndarray | None = None,
    balanced: bool = True,
    folds: int = 5,
    seed: int = 42,
) -> float:
    """The strength of ``STRENGTHS`` of the lowest mean log loss in stratified, grouped cross-validation; among equals
    the strongest. ``USUAL_STRENGTH`` where a class has fewer than two groups.

    Of more than 2,000 pictures so many are drawn, since the strength hardly depends on their number.

    Args:
        scaled: float64 (V, N, R), as :class:`Scaled` has them.
        labels, groups: int (N,).
        plain: float64 (N, R), by which the pictures that are held out are judged; None for the first view.
        folds, seed: as for :func:`~src.datasets.folds.make_folds`.
    """
    plain = scaled[0] if plain is None else plain
    chosen = np.sort(random_generator(seed, len(labels)).permutation(len(labels))[:_CHOSEN_BY])
    scaled, plain, labels, groups = scaled[:, chosen], plain[chosen], labels[chosen], groups[chosen]
    fold_of = make_folds(labels, groups, folds, seed)
    if fold_of is None:
        return USUAL_STRENGTH
    total = np.zeros(len(STRENGTHS))
    for fold in range(fold_of.max() + 1):
        learned, held = fold_of != fold, fold_of == fold
        heads = fit_path(scaled[:, learned], labels[learned], class_count, STRENGTHS, balanced=balanced)
        total += [losses(head.probabilities(plain[held]), labels[held]).sum() for head in heads]
    return STRENGTHS[int(total.argmin())]
