"""Part of bench_explainers: every class activation map beside Keras' forward pass, and Score-CAM's passes."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.report import print_medians, run_in_turn

FORWARD = "Keras, tf.function"


def measure_cams(
    model, layers: dict[str, str | None], images: np.ndarray, batch_size: int, rounds: int, forward: Callable, engine
) -> dict[str, dict[str, float]]:
    """Rates of methods by gradient, whole graph and with the engine, in turn with the forward pass.

    Args:
        layers: method -> its target layer.
        images: (N, H, W, 3), explained in batches.
        forward: computes the answers to all of ``images`` with Keras.
        engine: as :class:`src.explainers.explained_model.ExplainedModel` takes it.

    Returns:
        For each method its rates and their ratios to that of the forward pass.
    """
    from src.explainers.explained_model import ExplainedModel
    from src.explainers.registry import create_explainer

    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    kinds = {"whole graph": ExplainedModel(model), "engine": ExplainedModel(model, engine=engine)}
    computations = {FORWARD: forward}
    for method, layer in layers.items():
        for kind, explained in kinds.items():
            explainer = create_explainer(method, explained, target_layer=layer)
            computations[f"{method}, {kind}"] = partial(_explain_all, explainer, batches)
    for compute in computations.values():
        compute()  # warms up
    sides = {name: partial(measure_rate, compute, len(images)) for name, compute in computations.items()}
    medians = print_medians(run_in_turn(sides, rounds), "pictures/s")
    return {
        method: {
            "whole_graph_images_s": medians[f"{method}, whole graph"],
            "engine_images_s": medians[f"{method}, engine"],
            "ratio_whole_graph_to_forward": medians[f"{method}, whole graph"] / medians[FORWARD],
            "ratio_engine_to_forward": medians[f"{method}, engine"] / medians[FORWARD],
        }
        for method in layers
    }


def measure_scorecam(model, layer: str | None, images: np.ndarray, engine) -> dict[str, float]:
    """Score-CAM as it is, with all channels, and with a mask at a time in Keras, as is widely done; one run of each.

    Args:
        images: (n, H, W, 3), a few: of the last way only the first, and of it only 64 masks.

    Returns:
        Seconds for a picture, passes for a picture, and how far stopping early moves a map as a share of its largest
        value.
    """
    from src.explainers.explained_model import ExplainedModel
    from src.explainers.registry import create_explainer

    explained = ExplainedModel(model, engine=engine)
    explainers = {
        name: create_explainer("scorecam", explained, target_layer=layer, **options)
        for name, options in (("early", {}), ("all", {"tolerance": 0.0}))
    }
    explained.answer(images[:1])  # makes and warms up the engine
    explainers["early"].layer.differentiate(images[:1], np.full(1, -1, np.int32))
    maps, seconds, passes = {}, {}, {}
    for name, explainer in explainers.items():
        begin = time.perf_counter()
        maps[name] = explainer.explain(images).heatmaps
        seconds[name] = (time.perf_counter() - begin) / len(images)
        passes[name] = float(np.mean(explainer.channels_used))
    single = images[:1]
    model.predict_on_batch(single)
    begin = time.perf_counter()
    for _ in range(64):
        model.predict_on_batch(single)
    one_by_one = (time.perf_counter() - begin) / 64
    shares = {
        name: one / np.maximum(one.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
        for name, one in maps.items()
    }
    channels = explainers["all"].layer.channels
    return {
        "channels": channels,
        "passes": passes["early"],
        "passes_all": passes["all"],
        "seconds": seconds["early"],
        "seconds_all": seconds["all"],
        "seconds_one_by_one": one_by_one * channels,
        "ratio_to_one_by_one": one_by_one * channels / seconds["early"],
        "largest_difference": float(np.abs(shares["early"] - shares["all"]).max()),
    }


def _explain_all(explainer, batches: list[np.ndarray]) -> None:
    for batch in batches:
        explainer.explain(batch)


def measure_rate(compute: Callable[[], object], count: int) -> float:
    """Pictures a second where ``compute`` takes ``count`` of them."""
    begin = time.perf_counter()
    compute()
    return count / (time.perf_counter() - begin)
