"""Whether a network can learn from images and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_unet.engine.base.errors import (
    ImageShapeError,
    LabelsError,
    SettingsError,
    TrainingError,
)
from napari_unet.engine.images.image import channels_first
from napari_unet.engine.networks.annotation import check_classes, labels_are_classes
from napari_unet.engine.networks.class_roles import types_of
from napari_unet.engine.training.pairs import TrainingPair, checked_mask, types_in
from napari_unet.engine.weight_map.weight_map import IGNORED, check_labels


def check_pairs(
    pairs: Sequence[TrainingPair],
    validation: Sequence[TrainingPair],
    *,
    ndim: int,
    class_roles: Sequence[str],
) -> None:
    """Raise unless a network can learn from `pairs` and be validated on the others.

    Raises
    ------
    TrainingError, LabelsError, ImageError
        In one sentence that names the image.
    """
    if not pairs:
        raise TrainingError("There are no training images; give at least one with its labels.")
    for pair in (*pairs, *validation):
        if not (math.isfinite(pair.weight) and pair.weight > 0):
            raise TrainingError(
                f"'{pair.name}' has the weight {pair.weight:g}; use a positive number, 1 for an "
                "image that is drawn as often as others."
            )
        try:
            labels, _ = check_labels(pair.labels), pair.anisotropy
            shape = channels_first(
                np.asarray(pair.image), ndim=ndim, channel_axis=pair.channel_axis
            ).shape[1:]
        except (ImageShapeError, LabelsError, SettingsError) as error:
            raise type(error)(f"'{pair.name}': {error}") from error
        if shape != labels.shape:
            raise TrainingError(
                f"'{pair.name}' has {_in_words(shape)} pixels but its labels have "
                f"{_in_words(labels.shape)}; choose the labels of this image."
            )
        for name in ("reviewed", "corrected"):
            mask = getattr(pair, name)
            if mask is not None:
                checked_mask(mask, labels.shape, pair.name, name)
        if labels_are_classes(class_roles):
            check_classes(labels, class_roles, name=pair.name)
        _check_types(pair, class_roles)
    _check_content(pairs, class_roles)


def _check_types(pair: TrainingPair, class_roles: Sequence[str]) -> None:
    known = types_of(class_roles)
    unknown = [name for name in types_in([pair]) if name not in known]
    if unknown and known:
        raise TrainingError(
            f"'{pair.name}' has cells of the type '{unknown[0]}', and the network knows "
            f"{', '.join(known)}; use these names, or begin with a model that knows no types yet."
        )


def _check_content(pairs: Sequence[TrainingPair], class_roles: Sequence[str]) -> None:
    numbers = {int(number) for pair in pairs for number in np.unique(pair.checked_labels())}
    if numbers == {IGNORED}:
        raise TrainingError(
            "No pixel of the training images was reviewed; paint at least a few cells, or say "
            "where everything is labelled."
        )
    if not labels_are_classes(class_roles):
        if max(numbers) <= 0:
            raise TrainingError(
                "No training image has a labelled cell; paint at least a few cells first."
            )
        return
    background = "background" in class_roles
    classes = {
        class_roles[number - 1] if number else "background"
        for number in numbers
        if number > 0 or (number == 0 and background)
    }
    if len(classes) < 2:
        found = f"only '{classes.pop()}'" if classes else "no class"
        raise TrainingError(
            f"The training images show {found}; label pixels of at least two of "
            f"{', '.join(class_roles)}."
        )


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
