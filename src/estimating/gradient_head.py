"""Cross-validation of the classic head: a hidden layer and dropout, trained by gradient for five epochs."""

from collections.abc import Iterable

import keras
import numpy as np

from src.evaluation.calibration import softmax
from src.training.logistic import picture_weights

EPOCHS, RATE, _BATCH, _UNITS, _DROPOUT = 5, 1e-4, 32, 256, 0.5  # S1's, and the defaults of src.transfer_model


def cross_validate_gradient(
    views: np.ndarray,
    plain: np.ndarray,
    labels: np.ndarray,
    folds: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    balanced: bool = True,
    seed: int = 42,
) -> np.ndarray:
    """Probabilities float32 (N, C) of each picture by a head that has not seen it.

    Args:
        views: float32 (V, N, D), by turns from epoch to epoch.
        plain: float32 (N, D), by which pictures are judged.
        labels: int (N,).
        folds: (places learned from, places held out).
        balanced: whether rare classes count for more.
        seed: of weights, dropout and order.
    """
    class_count = int(labels.max()) + 1
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(plain.shape[1:]),
            keras.layers.Dense(_UNITS, activation="relu"),
            keras.layers.Dropout(_DROPOUT, seed=seed),
            keras.layers.Dense(class_count),
        ]
    )
    model.compile(keras.optimizers.Adam(RATE), keras.losses.CategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    beginning = [np.array(variable) for variable in variables]
    probabilities = np.empty((len(labels), class_count), np.float32)
    for number, (learned, held) in enumerate(folds):
        for variable, value in zip(variables, beginning):  # a new model would have to be traced anew
            variable.assign(value)
        draw = np.random.default_rng([seed, number])
        weights, truth = picture_weights(labels[learned], class_count, balanced), np.eye(class_count)[labels[learned]]
        for epoch in range(EPOCHS):
            rows = views[epoch % len(views)][learned]
            # batches of one size, of which there is one trace: the last is filled up with pictures of no weight
            order = np.resize(draw.permutation(len(learned)), -(-len(learned) // _BATCH) * _BATCH)
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                counted = weights[batch] * (np.arange(start, start + len(batch)) < len(learned))
                model.train_on_batch(rows[batch], truth[batch], sample_weight=counted)
        probabilities[held] = softmax(model.predict_on_batch(plain[held]))
    return probabilities
