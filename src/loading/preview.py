"""A picture of what the augmentation does: to look at before hours of training."""

import os

import numpy as np

from src.drawing import draw_contact_sheet
from src.loading.iterator import DirectoryIterator


def save_augmentation(
    train: DirectoryIterator, path: str | os.PathLike, *, pictures: int = 4, views: int = 6, cell: int = 200
) -> None:
    """Draw training pictures of different classes, a row each: the original, then its views in the first epochs.

    Args:
        train: iterator over RGB pictures, not rescaled. Its epoch stays as it is.
        path: where the PNG goes.
        pictures: rows; the classes take turns.
        views: columns after the original.
        cell: height of a cell in pixels.
    """
    class_names = list(train.class_indices)
    images, captions = [], []
    for row in range(min(pictures, train.n)):
        of_class = np.flatnonzero(train.classes == row % len(class_names))
        index = int(of_class[row // len(class_names) % len(of_class)])
        images.append(_to_uint8(train.load_picture(index)))
        captions.append(f"{class_names[train.classes[index]]}\noriginal")
        for epoch in range(views):
            images.append(_to_uint8(train.load_view(index, epoch)))
            captions.append(f"epoch {epoch + 1}\n{_describe(train.get_parameters(index, epoch))}")
    title = "Training pictures as the first epochs show them"
    draw_contact_sheet(images, captions, path, columns=1 + views, title=title, cell=cell)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def _describe(parameters: dict) -> str:
    """The view in a few signs; zoom as the picture's magnification, which is the inverse of Keras' factor."""
    parts = [f"{-parameters['theta']:+.0f}°"] if parameters["theta"] else []
    if parameters["zx"] != 1 or parameters["zy"] != 1:
        parts.append(f"× {1 / parameters['zx']:.2f}, {1 / parameters['zy']:.2f}")
    if parameters["flip_horizontal"]:
        parts.append("mirrored")
    lines = [" ".join(parts)]
    if crop := parameters.get("crop"):
        lines.append(f"cut at {crop[0]:+d}, {crop[1]:+d}")
    lines.append(", ".join(name.replace("_", " ") for name, _ in parameters.get("rand_augment", ())))
    if erasing := parameters.get("erasing"):
        lines.append(f"noise {erasing[2]} x {erasing[3]}")
    return "\n".join(filter(None, lines)) or "as it is"
