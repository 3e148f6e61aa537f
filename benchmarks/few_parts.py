"""What bench_few measures, part by part; each returns figures for the JSON line and prints them as they come."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.few_pools import Draw, Networks, Pool, draw_pictures, load_pool, train_classic
from src.datasets.folds import make_folds
from src.estimating.cross_validation import CrossValidationSettings, cross_validate
from src.evaluation.conformal import fit_sets, measure_sets, predict_sets
from src.evaluation.novelty import acceptance_threshold, auroc, fit_novelty, held_out_scores
from src.intervals import paired_interval, wilson_interval
from src.training.logistic import choose_strength, fit_head, scale_features

SHOTS = (5, 10, 20, 50)
PER_CLASS = 70
FOLDS = 20
COVERAGES = (0.9, 0.95)
_ALL_TRAIN = (0.0, 0.0)


def fit_ours(pool: Pool, places: np.ndarray):
    """What ``--phase1-epochs exact`` makes of pictures as they are: a function of features to probabilities."""
    features, labels = pool.features[places], pool.labels[places]
    scaled, count = scale_features(features[None]), len(pool.class_names)
    l2 = choose_strength(scaled.values, labels, np.arange(len(labels)), count)
    return scaled.unscale(fit_head(scaled.values, labels, count, l2, exact=True)).probabilities


def measure_accuracy(answer, pool: Pool, draw: Draw) -> float:
    """On the remainder."""
    return float((answer(pool.features[draw.remainder]).argmax(axis=1) == pool.labels[draw.remainder]).mean())


def compare_schedules(
    name: str, pool: Pool, networks: Networks, per_class: int, draws: int, *, parts: bool = False
) -> dict:
    """Ours and the classic schedule on the same training pictures of each draw, judged on all the others.

    Args:
        parts: to split the draw 70/15/15, and train on the first; without, all of it is for training.
    """
    ours, frozen, classic = [], [], []
    for number in range(draws):
        draw = draw_pictures(pool.labels, per_class, (number, per_class), *(() if parts else (_ALL_TRAIN,)))
        ours.append(measure_accuracy(fit_ours(pool, draw.train), pool, draw))
        after_one, after_both = train_classic(networks, pool, draw, number)
        frozen.append(after_one)
        classic.append(after_both)
    result = {"per_class": per_class, "draws": draws, "ours": _describe(ours)}
    for key, other in (("classic_5", frozen), ("classic_5_5", classic)):
        gain = paired_interval(ours, other)
        result |= {key: _describe(other), f"gain_over_{key}": gain.mean, f"gain_over_{key}_95": [gain.low, gain.high]}
    print(
        f"{name}, {per_class} per class: ours {result['ours']['mean']:.4f}, classic {result['classic_5']['mean']:.4f} "
        f"after 5 epochs, {result['classic_5_5']['mean']:.4f} after 5 + 5 (range of ours {min(ours):.4f} to "
        f"{max(ours):.4f})",
        flush=True,
    )
    return result


def check_intervals(name: str, pool: Pool, draws: int) -> dict:
    """How often the cross-validated interval of a draw's pictures holds the accuracy on the remainder, of the head
    trained on the draw's training part and of one trained on all of it; and the interval of its own test part."""
    covered, covered_all, single, widths, single_widths, errors = 0, 0, 0, [], [], []
    for number in range(draws):
        draw = draw_pictures(pool.labels, PER_CLASS, (number, PER_CLASS))
        answer, places = fit_ours(pool, draw.train), draw.labelled
        truth, truth_all = (measure_accuracy(each, pool, draw) for each in (answer, fit_ours(pool, places)))
        found = cross_validate(
            pool.features[places][None], pool.labels[places], np.arange(len(places)), CrossValidationSettings()
        )
        low, high = found.interval
        right = int((answer(pool.features[draw.test]).argmax(axis=1) == pool.labels[draw.test]).sum())
        test_low, test_high = wilson_interval(right, len(draw.test))
        covered += low <= truth <= high
        covered_all += low <= truth_all <= high
        single += test_low <= truth <= test_high
        widths.append(high - low)
        single_widths.append(test_high - test_low)
        errors.append(found.accuracy - truth)
    result = {
        "draws": draws,
        "pictures": PER_CLASS * len(pool.class_names),
        "covered": covered,
        "covered_of_all": covered_all,
        "width": float(np.mean(widths)),
        "difference_from_truth": _describe(errors),
        "single_split_covered": single,
        "single_split_width": float(np.mean(single_widths)),
    }
    print(
        f"{name}: the interval of {result['pictures']} pictures by cross-validation held the accuracy on the rest in "
        f"{covered} of {draws} draws (of a head trained on all of them in {covered_all}; width {result['width']:.3f}, "
        f"{result['difference_from_truth']['mean']:+.4f} on average); that of the test part in {single} "
        f"({result['single_split_width']:.3f})",
        flush=True,
    )
    return result


def tell_unlike(pool: Pool, known: np.ndarray, new: np.ndarray, unlike: dict[str, np.ndarray]) -> dict:
    """Novelty of ``known`` places, which it is fitted on and its threshold set by cross-validation, judged by the known
    classes' places ``new`` and by the features of pictures that are unlike."""
    features, labels = pool.features[known], np.unique(pool.labels[known], return_inverse=True)[1]
    novelty = fit_novelty(features, labels)
    folds = make_folds(labels, np.arange(len(labels)), FOLDS, 0)
    threshold = acceptance_threshold(held_out_scores(features, labels, folds), 0.95)
    kept = novelty.scores(pool.features[new])
    result = {"kept": float((kept <= threshold).mean())}
    for name, others in unlike.items():
        scores = novelty.scores(others)
        result |= {f"auroc_{name}": auroc(kept, scores), f"refused_{name}": float((scores > threshold).mean())}
    return result


def measure_unlike(name: str, pool: Pool, unlike: dict[str, np.ndarray], draws: int) -> dict:
    """All classes of a pool known, 70 pictures of each; features of pictures of other kinds."""
    rows = []
    for number in range(draws):
        draw = draw_pictures(pool.labels, PER_CLASS, (number, PER_CLASS))
        rows.append(tell_unlike(pool, draw.labelled, draw.remainder, unlike))
    return _summarise(name, rows)


def measure_left_out(name: str, pool: Pool, per_class: int, draws: int) -> dict:
    """Three classes known, a fourth left out, all drawn by chance anew in each draw."""
    rows = []
    for number in range(draws):
        chosen = np.random.default_rng((number, per_class, 4)).permutation(len(pool.class_names))[:4]
        inside = np.isin(pool.labels, chosen[:3])
        draw = draw_pictures(np.where(inside, pool.labels, -1), per_class, (number, per_class), _ALL_TRAIN)
        known = draw.train[inside[draw.train]]
        new = draw.remainder[inside[draw.remainder]]
        rows.append(tell_unlike(pool, known, new, {"left_out": pool.features[pool.labels == chosen[3]]}))
    return _summarise(name, rows) | {"per_class": per_class}


def check_sets(name: str, pool: Pool, draws: int, counts: tuple[int, int, int]) -> dict:
    """Coverage of conformal sets: a head of so many pictures, thresholds by so many others, judged on so many more."""
    result = {"train": counts[0], "held_out": counts[1], "judged": counts[2], "draws": draws}
    figures = {coverage: [] for coverage in COVERAGES}
    for number in range(draws):
        order = np.random.default_rng((number, 9)).permutation(len(pool.labels))
        train, held_out, judged = np.split(order[: sum(counts)], np.cumsum(counts)[:2])
        answer = fit_ours(pool, train)
        held, new = answer(pool.features[held_out]), answer(pool.features[judged])
        for coverage, rows in figures.items():
            threshold = fit_sets(held, pool.labels[held_out], coverage)
            rows.append(measure_sets(predict_sets(new, threshold), pool.labels[judged]))
    for coverage, rows in figures.items():
        shares = [row.covered / row.n for row in rows]
        within = sum(abs(share - coverage) <= 0.02 for share in shares)
        size = float(np.mean([row.mean_size for row in rows]))
        result[f"asked_{coverage}"] = {**_describe(shares), "within_0.02": within, "mean_size": size}
        print(
            f"{name}: sets at {coverage:g} held the true class in {np.mean(shares):.4f} of {counts[2]} pictures "
            f"(within 0.02 in {within} of {draws} draws, {size:.2f} classes)",
            flush=True,
        )
    return result


def load_features(folder: Path, cache: Path, networks: Networks) -> np.ndarray:
    """Pooled features (N, D) of all pictures below ``folder``."""
    return load_pool(folder, cache, networks, views=0).features


def _describe(values: Sequence[float]) -> dict:
    values = np.asarray(values, float)
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return {
        "mean": float(values.mean()),
        "deviation": spread,
        "least": float(values.min()),
        "most": float(values.max()),
    }


def _summarise(name: str, rows: list[dict]) -> dict:
    result = {key: _describe([row[key] for row in rows]) for key in rows[0]} | {"draws": len(rows)}
    shown = ", ".join(f"{key} {value['mean']:.3f}" for key, value in result.items() if key != "draws")
    print(f"{name}: {shown}", flush=True)
    return result
