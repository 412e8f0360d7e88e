"""Which labels belong to which image: by where they came from, by name, or as somebody chose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari.layers import Image, Labels, Layer

from napari_unet.files.image_file import image_stem
from napari_unet.files.pairs import names_go_together
from napari_unet.viewer.layers import find_layer, full_resolution
from napari_unet.viewer.results import METADATA_KEY, is_made_up

if TYPE_CHECKING:
    from napari.components import ViewerModel

Reason: TypeAlias = Literal["origin", "name", "only", "chosen"]

REASONS: dict[Reason, str] = {
    "origin": "Segment cells made these labels of this image.",
    "name": "Paired by their names.",
    "only": "Paired as the only image and labels of this size.",
    "chosen": "Paired by you.",
}
"""Why an image has its labels, as a sentence."""


_COUNT = re.compile(r" \[\d+\]$")


class Partners:
    """Tells the labels of an image of a viewer, and remembers what was paired.

    An image of the same size is no evidence: a series has many. So labels that
    came from another image, or were paired with one, are nobody else's unless
    a person chooses them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._paired: dict[str, tuple[str, Reason]] = {}

    def pair(self, image: Image, labels: Labels, reason: Reason) -> None:
        """Remember that these go together, whatever they are called later."""
        self._paired[_id(image)] = _id(labels), reason

    def labels_of(self, image: Image) -> tuple[Labels, Reason] | None:
        """Return the labels of an image, and how that is known; None where nothing tells."""
        labels_id, reason = self._paired.get(_id(image), ("", "chosen"))
        paired = find_layer(self._viewer, labels_id)
        if isinstance(paired, Labels):
            return paired, reason
        found = [(labels, self.image_of(labels)) for labels in self._labels_layers()]
        own = [(labels, told[1]) for labels, told in found if told and told[0] is image]
        # The uppermost, which is the newest unless somebody moved it.
        sure = [each for each in own if each[1] != "only"][-1:]
        return next(iter(sure or (own if len(own) == 1 else ())), None)

    def image_of(self, labels: Labels) -> tuple[Image, Reason] | None:
        """Return the image of some labels, and how that is known; None where nothing tells."""
        images = self._image_layers()
        origin = _made(labels).get("image_id")
        for image in images:
            if _id(image) == origin:
                return image, "origin"
        for image in images:
            labels_id, reason = self._paired.get(_id(image), ("", "chosen"))
            if labels_id == _id(labels):
                return image, reason
        fitting = [image for image in images if _fit(image, labels)]
        named = [image for image in fitting if _are_named_alike(image, labels)]
        named = named or [each for each in fitting if _are_named_alike(each, labels, counts=False)]
        if len(named) == 1:
            return named[0], "name"
        is_of_another = origin is not None or bool(named) or self._is_paired(labels)
        return None if is_of_another or len(fitting) != 1 else (fitting[0], "only")

    def _is_paired(self, labels: Labels) -> bool:
        """Whether it has been, be it with an image that is closed by now."""
        return any(labels_id == _id(labels) for labels_id, _ in self._paired.values())

    def _image_layers(self) -> list[Image]:
        layers = self._viewer.layers
        return [each for each in layers if isinstance(each, Image) and not is_made_up(each)]

    def _labels_layers(self) -> list[Labels]:
        layers = self._viewer.layers
        return [each for each in layers if isinstance(each, Labels) and not is_made_up(each)]


def _id(layer: Layer) -> str:
    return str(layer.unique_id)


def _made(layer: Layer) -> Mapping[str, Any]:
    """How its labels came about, if Segment cells has noted that; a file may hold anything."""
    made = layer.metadata.get(METADATA_KEY)
    return made if isinstance(made, Mapping) else {}


def _fit(image: Image, labels: Labels) -> bool:
    """Whether labels have the size of the image, or of one of its channels."""
    shape = tuple(full_resolution(image).shape[: image.ndim])
    wanted = tuple(full_resolution(labels).shape)
    return wanted in {shape, *(shape[:axis] + shape[axis + 1 :] for axis in range(len(shape)))}


def _are_named_alike(image: Image, labels: Labels, *, counts: bool = True) -> bool:
    """Whether their names go together; `counts` says if the "[1]" that napari adds is a part."""
    # Saved and opened again, labels are other layers, and know their image by its name alone.
    of_labels = {*_names(labels), str(_made(labels).get("image", "")), _of_result(labels.name)}
    of_image = _names(image)
    if not counts:
        of_labels = {_COUNT.sub("", name) for name in of_labels}
        of_image = {_COUNT.sub("", name) for name in of_image}
    return any(names_go_together(one, other) for one in of_image for other in of_labels)


def _names(layer: Layer) -> set[str]:
    """Name of a layer and, as that is easily changed, of the file that it was opened from."""
    path = layer.source.path
    return {str(layer.name), *((image_stem(Path(path)),) if path else ())}


def _of_result(name: str) -> str:
    """Name of the image in that of a layer of results, "cells: nuclei"."""
    return name.rpartition(": ")[0]
