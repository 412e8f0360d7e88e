"""The preview of a training is one layer that changes in place."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.viewer.layers import LayerImage, read_layer
from napari_unet.viewer.results import new_preview_layer
from napari_unet.widgets.train.preview import Previewed, PreviewLayer


@pytest.fixture
def image(viewer: ViewerModel) -> LayerImage:
    layer = viewer.add_image(np.zeros((40, 50)), name="picture", scale=(2, 2), translate=(1, 0))
    return read_layer(layer, viewer.dims, network_ndim=2, extent="stack")


def seen(image: LayerImage, number: int, corner: tuple[int, int] = (10, 20)) -> Previewed:
    return Previewed(image, np.full((8, 9), number, np.int32), corner, number)


def first(image: LayerImage) -> Previewed:
    one = seen(image, 1)
    return replace(one, layer=new_preview_layer(one.labels, image, one.corner))


def test_it_lies_on_its_part_of_the_image_and_changes_in_place(
    viewer: ViewerModel, image: LayerImage
) -> None:
    preview = PreviewLayer(viewer)
    preview.show(first(image))
    layer = preview.layer
    layer.opacity = 0.3

    preview.show(seen(image, 2))
    preview.show(seen(image, 3, (12, 20)))

    assert [each.name for each in viewer.layers] == ["picture", "picture: preview of training"]
    assert preview.layer is layer
    assert (layer.data == 3).all()
    assert tuple(layer.data_to_world((0, 0))) == (25, 40)
    assert layer.opacity == 0.3
    assert not layer.editable


def test_one_that_someone_removed_stays_away_until_the_next_training(
    viewer: ViewerModel, image: LayerImage
) -> None:
    preview = PreviewLayer(viewer)
    preview.show(first(image))
    viewer.layers.remove(preview.layer)

    preview.show(seen(image, 2))
    assert len(viewer.layers) == 1

    preview.show(first(image))
    assert len(viewer.layers) == 2


def test_it_does_not_take_the_brush_from_the_labels(viewer: ViewerModel, image: LayerImage) -> None:
    labels = viewer.add_labels(np.zeros((40, 50), int))

    PreviewLayer(viewer).show(first(image))

    assert viewer.layers.selection.active is labels
