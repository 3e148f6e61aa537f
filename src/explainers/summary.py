"""What explained pictures amount to in figures: raw maps to keep, activation strength, agreement with masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.drawing import enlarge_heatmap
from src.explainers.faithfulness import center_blob, describe_strength, energy_on_object, peak_on_object
from src.explainers.stream import ExplainedPictures
from src.files import atomic_file
from src.imaging import read_image, resize_image


def save_heatmaps(path: Path, explained: ExplainedPictures, class_names: Sequence[str]) -> None:
    """Write the raw maps and the answers to an .npz: heatmaps, paths, class_index, labels, predicted, logits,
    probabilities, class_names, target_layer."""
    explanation = explained.explanation
    with atomic_file(path) as temporary:
        np.savez_compressed(
            temporary,
            heatmaps=explanation.heatmaps,
            paths=np.asarray(explained.paths),
            class_index=explanation.class_index,
            labels=explained.labels,
            predicted=explanation.predicted,
            logits=explanation.logits,
            probabilities=explanation.probabilities,
            class_names=np.asarray(class_names),
            target_layer=np.asarray(explanation.target_layer),
        )


def compare_strength(explained: ExplainedPictures) -> dict[str, dict[str, float]]:
    """Raw activation strength of the maps of "correct" and of "wrong" predictions; see ``describe_strength``."""
    heatmaps, correct = explained.explanation.heatmaps, explained.correct
    return {"correct": describe_strength(heatmaps[correct]), "wrong": describe_strength(heatmaps[~correct])}


def measure_localisation(
    explained: ExplainedPictures, mask_paths: Sequence[Path | None], size: tuple[int, int]
) -> dict[str, float | int] | None:
    """How many maps point at their object, beside a Gaussian blob in the centre.

    Args:
        mask_paths: one for each explained picture; None or a missing file leaves the picture out.
        size: (height, width) that maps are enlarged to (bilinear, cell centres aligned) and masks resized to
            (nearest): the picture's size as the network sees it.

    Returns:
        Shares 0..1 ``pointing_game`` and ``energy_in_mask``, the same of the blob, the masks' mean share of the
        picture ``mask_area``, and ``n_masks``; None where there is no mask.
    """
    hits, energies, blob_hits, blob_energies, areas = [], [], [], [], []
    blob = center_blob(size)
    for heatmap, path in zip(explained.explanation.heatmaps, mask_paths):
        if path is None or not Path(path).is_file():
            continue
        mask = resize_image(read_image(path)[..., 0], size, "nearest") > 127
        enlarged = enlarge_heatmap(heatmap, size)
        hits.append(peak_on_object(enlarged, mask))
        energies.append(energy_on_object(enlarged, mask))
        blob_hits.append(peak_on_object(blob, mask))
        blob_energies.append(energy_on_object(blob, mask))
        areas.append(mask.mean())
    if not hits:
        return None
    return {
        "pointing_game": float(np.mean(hits)),
        "energy_in_mask": float(np.mean(energies)),
        "blob_pointing_game": float(np.mean(blob_hits)),
        "blob_energy_in_mask": float(np.mean(blob_energies)),
        "mask_area": float(np.mean(areas)),
        "n_masks": len(hits),
    }
