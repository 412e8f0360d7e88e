"""Layers to arrays and back: slices, places in the world, and edits that must survive."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet import __version__
from napari_unet.engine.errors import ImageShapeError
from napari_unet.engine.segmentation import Segmentation
from napari_unet.engine.settings import InstanceSettings, SegmentationSettings
from napari_unet.layers import (
    METADATA_KEY,
    LayerImage,
    earlier_result,
    pixel_size_um,
    place_labels,
    read_layer,
    show_labels,
)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def read(viewer: ViewerModel, layer: Image, *, every_slice: bool = False, ndim: int = 2) -> Any:
    return read_layer(layer, viewer.dims, network_ndim=ndim, every_slice=every_slice)


def segmented(labels: Any) -> Segmentation:
    labels = np.asarray(labels, np.int32)
    settings, instances = SegmentationSettings(), InstanceSettings()
    return Segmentation(
        labels, None, ("background", "cell"), int(labels.max()), settings, instances
    )


def run(viewer: ViewerModel, layer: Image, image: LayerImage, labels: Any, model: str = "m") -> Any:
    """What a run of the widget does, without the network."""
    earlier = earlier_result(viewer, image, model)
    return show_labels(viewer, layer, place_labels(segmented(labels), image, earlier, model))


def test_a_plain_image_is_read_whole_and_not_copied(viewer: ViewerModel) -> None:
    data = np.zeros((4, 5), np.uint16)

    image = read(viewer, viewer.add_image(data, name="cells"))

    assert image.pixels is data
    assert (image.name, image.is_rgb, image.every_slice) == ("cells", False, False)
    assert image.layer_shape == (4, 5)


def test_colours_are_no_spatial_axis(viewer: ViewerModel) -> None:
    image = read(viewer, viewer.add_image(np.zeros((4, 5, 3), np.uint8), rgb=True))

    assert image.is_rgb
    assert image.layer_shape == (4, 5)
    assert image.pixels.shape == (4, 5, 3)


def test_a_stack_gives_the_slice_that_is_shown(viewer: ViewerModel) -> None:
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data, scale=(2, 0.5, 0.5), translate=(10, 0, 0))
    viewer.dims.set_current_step(0, 1)

    image = read(viewer, layer)

    assert np.array_equal(image.pixels, data[1])
    assert image.layer_shape == (3, 4, 5)


def test_a_stack_shown_from_the_side_gives_the_side(viewer: ViewerModel) -> None:
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 2)

    assert np.array_equal(read(viewer, layer).pixels, data[:, 2])


def test_the_shown_slice_of_a_layer_with_fewer_axes_than_the_viewer(viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((6, 3, 4, 5)))
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data)
    viewer.dims.set_current_step(0, 5)
    viewer.dims.set_current_step(1, 2)

    assert np.array_equal(read(viewer, layer).pixels, data[2])


def test_every_slice_gives_the_whole_stack(viewer: ViewerModel) -> None:
    data = np.zeros((3, 4, 5))

    image = read(viewer, viewer.add_image(data), every_slice=True)

    assert image.pixels is data
    assert image.every_slice


def test_every_slice_means_nothing_for_a_single_image(viewer: ViewerModel) -> None:
    assert not read(viewer, viewer.add_image(np.zeros((4, 5))), every_slice=True).every_slice


def test_a_multiscale_layer_gives_its_full_resolution(viewer: ViewerModel) -> None:
    full = np.zeros((64, 64))
    layer = viewer.add_image([full, full[::2, ::2]], multiscale=True)

    assert read(viewer, layer).layer_shape == (64, 64)
    assert read(viewer, layer).pixels.shape == (64, 64)


def test_a_lazy_layer_is_not_read_on_the_way(viewer: ViewerModel) -> None:
    array = pytest.importorskip("dask.array").zeros((3, 4, 5), chunks=(1, 4, 5))
    layer = viewer.add_image(array, contrast_limits=(0, 1))

    image = read(viewer, layer)

    assert image.array is array
    assert not isinstance(image.pixels, np.ndarray)
    assert image.pixels.shape == (4, 5)


def test_an_image_for_a_stack_model_is_refused_with_a_way_out(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="flat")

    with pytest.raises(ImageShapeError) as error:
        read(viewer, layer, ndim=3)

    assert str(error.value) == (
        "Layer 'flat' has shape (4, 5); this model reads 3-D images. "
        "Choose a layer with 3 axes, or another model."
    )


def test_every_slice_of_five_axes_is_refused_with_a_way_out(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((2, 2, 3, 4, 5)), name="movie")

    with pytest.raises(ImageShapeError) as error:
        read(viewer, layer, every_slice=True)

    assert str(error.value) == (
        "Layer 'movie' has shape (2, 2, 3, 4, 5); 'every slice' takes 3 axes. "
        "Untick it to segment the slice that is shown."
    )
    assert read(viewer, layer).pixels.shape == (4, 5)


@pytest.mark.parametrize(
    ("units", "expected"),
    [(("um", "um"), 0.5), (("nm", "nm"), 0.0005), (("pixel", "pixel"), None), (("s", "um"), None)],
)
def test_pixel_size_is_read_from_units_of_length(
    viewer: ViewerModel, units: tuple[str, str], expected: float | None
) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), scale=(0.5, 0.5), units=units)

    size = pixel_size_um(layer)

    assert size == (None if expected is None else pytest.approx(expected))


def test_labels_lie_where_the_image_lies(viewer: ViewerModel) -> None:
    affine = np.array([[2.0, 0.1, 5.0], [0.0, 2.0, -3.0], [0.0, 0.0, 1.0]])
    layer = viewer.add_image(
        np.zeros((4, 5)),
        name="cells",
        scale=(0.5, 0.25),
        translate=(10, 20),
        rotate=30,
        shear=[0.2],
        affine=affine,
        units=("um", "um"),
        axis_labels=("y", "x"),
    )

    labels = run(viewer, layer, read(viewer, layer), np.ones((4, 5)))

    corners = [(0, 0), (0, 4), (3, 0), (3, 4)]
    for corner in corners:
        assert labels.data_to_world(corner) == pytest.approx(layer.data_to_world(corner))
    assert labels.units == layer.units
    assert labels.axis_labels == ("y", "x")
    assert labels.name == "cells: m"
    assert labels in viewer.layers


def test_labels_tell_how_they_came_about(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="cells")

    provenance = run(viewer, layer, read(viewer, layer), np.ones((4, 5))).metadata[METADATA_KEY]

    assert provenance["image"] == "cells"
    assert provenance["model"] == "m"
    assert provenance["cells"] == 1
    assert provenance["settings"]["every_slice"] is False
    assert provenance["instances"]["seed_threshold"] == InstanceSettings().seed_threshold
    assert provenance["version"] == __version__


def test_a_rerun_goes_into_the_same_layer_and_keeps_its_looks(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)))
    first = run(viewer, layer, read(viewer, layer), np.ones((4, 5)))
    first.opacity, first.visible, first.contour = 0.3, False, 2
    layer.name = "renamed meanwhile"

    second = run(viewer, layer, read(viewer, layer), np.full((4, 5), 2))

    assert second is first
    assert np.array_equal(first.data, np.full((4, 5), 2))
    assert (first.opacity, first.visible, first.contour) == (0.3, False, 2)
    assert len(viewer.layers) == 2


def paint(labels: Any) -> None:
    labels.brush_size = 1
    labels.paint((1, 1), 7)


def write_behind_napari(labels: Any) -> None:
    labels.data[0, 0] = 7


def replace(labels: Any) -> None:
    labels.data = np.full((4, 5), 7)


@pytest.mark.parametrize("edit", [paint, write_behind_napari, replace])
def test_a_rerun_leaves_edited_labels_alone(viewer: ViewerModel, edit: Any) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="cells")
    first = run(viewer, layer, read(viewer, layer), np.ones((4, 5)))
    edit(first)
    edited = first.data.copy()

    second = run(viewer, layer, read(viewer, layer), np.full((4, 5), 2))

    assert second is not first
    assert np.array_equal(first.data, edited)
    assert np.array_equal(second.data, np.full((4, 5), 2))


def test_another_model_makes_its_own_layer(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="cells")
    image = read(viewer, layer)

    first = run(viewer, layer, image, np.ones((4, 5)))
    second = run(viewer, layer, image, np.ones((4, 5)), model="other")

    assert second is not first
    assert second.name == "cells: other"


def test_a_result_whose_layer_was_deleted_meanwhile_makes_a_new_one(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)))
    image = read(viewer, layer)
    first = run(viewer, layer, image, np.ones((4, 5)))
    result = place_labels(
        segmented(np.ones((4, 5))), image, earlier_result(viewer, image, "m"), "m"
    )
    viewer.layers.remove(first)

    second = show_labels(viewer, layer, result)

    assert second in viewer.layers


def test_one_slice_goes_into_its_place_and_the_next_one_beside_it(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 4, 5)))
    viewer.dims.set_current_step(0, 1)
    first = run(viewer, layer, read(viewer, layer), np.full((4, 5), 1))
    assert first.data.shape == (3, 4, 5)
    viewer.dims.set_current_step(0, 2)

    second = run(viewer, layer, read(viewer, layer), np.full((4, 5), 2))

    assert second is first
    assert [plane.max() for plane in first.data] == [0, 1, 2]


def test_images_and_foreign_labels_are_no_earlier_results(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)))
    viewer.add_labels(np.ones((4, 5), int), name="mine")

    assert earlier_result(viewer, read(viewer, layer), "m") is None
