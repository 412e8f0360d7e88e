"""Layers to arrays and back: slices, channels, what is in view, and places in the world."""

import json
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps.standardize_color import transform_color

from napari_unet import __version__
from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.weight_map.settings import WeightMapSettings
from napari_unet.viewer.layers import (
    LayerImage,
    as_array,
    pixel_size_um,
    place_of,
    read_layer,
    visible_box,
)
from napari_unet.viewer.results import (
    find_result,
    find_scores,
    new_labels_layer,
    new_scores_layer,
    new_weight_layer,
    note_origin,
    part_of_place,
    provenance,
)

ALL = slice(None)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def read(
    viewer: ViewerModel, layer: Image, extent: Any = "slice", *, ndim: int = 2, **channels: Any
) -> LayerImage:
    return read_layer(layer, viewer.dims, network_ndim=ndim, extent=extent, **channels)


def show(layer: Any, *corners: tuple[float, ...]) -> None:
    """What napari does when it draws: note the corners of the pixels in view."""
    layer.corner_pixels = np.array(corners)


@pytest.mark.parametrize(
    ("scale", "units", "spacing"),
    [
        ((2, 0.5, 0.5), ("um", "um", "um"), (2, 0.5, 0.5)),
        ((2, 0.5, -0.5), ("pixel", "pixel", "pixel"), (2, 0.5, 0.5)),
        ((2000, 0.5, 0.5), ("nm", "um", "um"), (2, 0.5, 0.5)),
        ((1, 1, 1), ("um", "um", "um"), (1, 1, 1)),
        ((1, 1, 1), ("pixel", "pixel", "pixel"), None),
        ((2, 0.5, 0.5), ("second", "um", "um"), None),
    ],
)
def test_the_size_of_a_voxel_is_that_of_the_layers_scale(
    viewer: ViewerModel, scale: Any, units: Any, spacing: Any
) -> None:
    volume = viewer.add_image(np.zeros((3, 4, 5)), scale=scale, units=units)
    image = read(viewer, volume, ndim=3)
    assert image.spacing == (None if spacing is None else pytest.approx(spacing))
    assert image.anisotropy == (None if spacing is None else pytest.approx(spacing[0] / spacing[1]))
    assert read(viewer, viewer.add_image(np.zeros((4, 5)), scale=(2, 2))).spacing is None


def test_a_plain_image_is_read_whole_and_not_copied(viewer: ViewerModel) -> None:
    data = np.zeros((4, 5), np.uint16)

    image = read(viewer, viewer.add_image(data, name="cells"))

    pixels, channel_axis = image.pixels()
    assert pixels.base is data
    assert (pixels.shape, channel_axis) == ((1, 4, 5), 0)
    assert (image.name, image.extent, image.has_slices) == ("cells", "slice", False)
    assert (image.labels_shape, image.planes()) == ((4, 5), [(ALL, ALL)])


def test_colours_are_no_spatial_axis(viewer: ViewerModel) -> None:
    image = read(viewer, viewer.add_image(np.zeros((4, 5, 3), np.uint8), rgb=True))

    pixels, channel_axis = image.pixels()
    assert image.labels_shape == (4, 5)
    assert (pixels.shape, channel_axis) == ((4, 5, 3), 2)


def test_one_colour_of_the_shown_slice(viewer: ViewerModel) -> None:
    data = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)
    layer = viewer.add_image(data, rgb=True)
    viewer.dims.set_current_step(0, 1)

    all_colours, channel_axis = read(viewer, layer).pixels()
    green, _ = read(viewer, layer, channel=1).pixels()

    assert np.array_equal(all_colours, data[1])
    assert channel_axis == 2
    assert np.array_equal(green, data[1, ..., 1][np.newaxis])


def test_a_layer_of_channels_is_read_whole_or_one_by_one(viewer: ViewerModel) -> None:
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data)

    whole = read(viewer, layer, channel_axis=0)
    second = read(viewer, layer, channel_axis=0, channel=1)

    assert whole.labels_shape == second.labels_shape == (4, 5)
    pixels, channel_axis = whole.pixels()
    assert channel_axis == 0
    assert np.array_equal(pixels, data)
    assert np.array_equal(second.pixels()[0], data[1:2])


def test_channels_behind_time_are_found_whatever_slice_is_shown(viewer: ViewerModel) -> None:
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    layer = viewer.add_image(data)
    viewer.dims.set_current_step(0, 1)

    shown, shown_axis = read(viewer, layer, channel_axis=1).pixels()
    stack, stack_axis = read(viewer, layer, "stack", channel_axis=1).pixels()

    assert (shown.shape, shown_axis) == ((3, 4, 5), 0)
    assert np.array_equal(shown, data[1])
    assert (stack.shape, stack_axis) == ((2, 3, 4, 5), 1)


def test_a_channel_that_is_not_there_is_refused(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 4, 5)), name="stains")

    with pytest.raises(ImageShapeError) as error:
        read(viewer, layer, channel_axis=0, channel=3)

    assert str(error.value) == (
        "Layer 'stains' has 3 channels, so there is no channel 4; choose another one."
    )


def test_a_stack_gives_the_slice_that_is_shown(viewer: ViewerModel) -> None:
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data, scale=(2, 0.5, 0.5), translate=(10, 0, 0))
    viewer.dims.set_current_step(0, 1)

    image = read(viewer, layer)

    assert np.array_equal(image.pixels()[0][0], data[1])
    assert image.labels_shape == (3, 4, 5)
    assert image.planes() == [(1, ALL, ALL)]


def test_a_stack_shown_from_the_side_gives_the_side(viewer: ViewerModel) -> None:
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 2)

    image = read(viewer, layer)

    assert np.array_equal(image.pixels()[0][0], data[:, 2])
    assert image.planes() == [(ALL, 2, ALL)]


def test_the_shown_slice_of_a_layer_with_fewer_axes_than_the_viewer(viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((6, 3, 4, 5)))
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    layer = viewer.add_image(data)
    viewer.dims.set_current_step(0, 5)
    viewer.dims.set_current_step(1, 2)

    assert np.array_equal(read(viewer, layer).pixels()[0][0], data[2])


def test_every_slice_gives_the_whole_stack(viewer: ViewerModel) -> None:
    data = np.zeros((3, 4, 5))

    image = read(viewer, viewer.add_image(data), "stack")

    assert image.pixels()[0].base is data
    assert image.planes() == [(0, ALL, ALL), (1, ALL, ALL), (2, ALL, ALL)]


def test_every_slice_goes_through_all_axes_before_the_plane(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((2, 1, 3, 4, 5)))

    planes = read(viewer, layer, "stack").planes()

    assert planes == [(t, 0, z, ALL, ALL) for t in range(2) for z in range(3)]


def test_every_slice_means_nothing_for_a_single_image(viewer: ViewerModel) -> None:
    image = read(viewer, viewer.add_image(np.zeros((4, 5))), "stack")

    assert not image.has_slices
    assert image.planes() == [(ALL, ALL)]


def test_a_model_of_stacks_reads_the_stack_at_once_and_a_series_one_by_one(
    viewer: ViewerModel,
) -> None:
    stack = viewer.add_image(np.zeros((3, 4, 5)))
    series = viewer.add_image(np.zeros((2, 3, 4, 5)))
    viewer.dims.set_current_step(0, 1)

    assert not read(viewer, stack, ndim=3).has_slices
    assert read(viewer, series, ndim=3).planes() == [(1, ALL, ALL, ALL)]
    assert len(read(viewer, series, "stack", ndim=3).planes()) == 2


def test_a_multiscale_layer_gives_its_full_resolution(viewer: ViewerModel) -> None:
    full = np.zeros((64, 64))
    layer = viewer.add_image([full, full[::2, ::2]], multiscale=True)

    image = read(viewer, layer)

    assert image.labels_shape == (64, 64)
    assert image.array is full


def test_a_dask_layer_is_not_read_on_the_way(viewer: ViewerModel) -> None:
    array = dask.array.zeros((3, 4, 5), chunks=(1, 4, 5))
    layer = viewer.add_image(array, contrast_limits=(0, 1))

    image = read(viewer, layer)

    assert image.array is array
    assert image.is_lazy
    pixels, _ = image.pixels()
    assert isinstance(pixels, dask.array.Array)
    assert pixels.shape == (1, 4, 5)
    assert image.intensity_reference() is None


def test_a_zarr_layer_is_cut_in_its_own_chunks() -> None:
    stored = zarr.zeros((4, 6), chunks=(2, 3), dtype="uint8")

    array = as_array(stored)

    assert isinstance(array, dask.array.Array)
    assert array.chunks == ((2, 2), (3, 3))


def test_anything_else_that_napari_shows_can_be_cut_too() -> None:
    class Odd:
        """An array that can only be read by index."""

        shape, dtype, ndim = (4, 6), np.dtype("uint8"), 2

        def __getitem__(self, key: Any) -> Any:
            return np.arange(24, dtype=np.uint8).reshape(4, 6)[key]

    assert np.array_equal(np.asarray(as_array(Odd())[1, 2:4]), [8, 9])


def test_intensities_of_one_slice_are_measured_on_the_stack(viewer: ViewerModel) -> None:
    data = np.zeros((3, 4, 5, 4), np.uint8)
    layer = viewer.add_image(data, rgb=True)

    reference = read(viewer, layer).intensity_reference()

    assert reference is not None
    # Transparency is no intensity.
    assert reference.shape == (3, 3, 4, 5)
    assert read(viewer, layer, "stack").intensity_reference() is None


def test_too_few_axes_are_refused_with_a_way_out(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="flat")

    with pytest.raises(ImageShapeError) as error:
        read(viewer, layer, ndim=3)

    assert str(error.value) == (
        "Layer 'flat' has shape (4, 5); this model reads 3-D images. "
        "Choose a layer with 3 axes, or another model."
    )


def test_the_field_of_view_is_what_napari_drew_last(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 40, 50)))
    viewer.dims.set_current_step(0, 2)
    show(layer, (0, 10, 20), (0, 29, 60))

    image = read(viewer, layer, "view")

    assert image.planes() == [(2, ALL, ALL)]
    assert image.region == (10, 30, 20, 50)
    assert image.near == (20, 35)


def test_the_middle_of_the_view_is_known_for_the_whole_slice_too(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((40, 50)))
    show(layer, (10, 20), (29, 39))

    image = read(viewer, layer)

    assert image.region is None
    assert image.near == (20, 30)


def test_the_view_of_a_multiscale_layer_is_counted_in_full_pixels(viewer: ViewerModel) -> None:
    full = np.zeros((64, 64))
    layer = viewer.add_image([full, full[::2, ::2]], multiscale=True)
    layer.data_level = 1
    show(layer, (4, 8), (15, 19))

    assert read(viewer, layer, "view").region == (8, 31, 16, 39)


def test_the_view_of_a_layer_with_channels_leaves_them_out(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 40, 50)))
    show(layer, (0, 10, 20), (0, 29, 39))

    assert read(viewer, layer, "view", channel_axis=0).region == (10, 30, 20, 40)


def test_a_layer_out_of_view_is_refused_rather_than_segmented_whole(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((40, 50)), name="far away")
    show(layer, (39, 0), (39, 10))

    with pytest.raises(ImageShapeError) as error:
        read(viewer, layer, "view")

    assert str(error.value) == (
        "Nothing of layer 'far away' is in view; move it into the canvas (its home button shows "
        "all layers), or segment the whole image."
    )
    assert read(viewer, layer).near is None


def test_a_single_row_of_pixels_can_be_in_view(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((1, 50)))
    show(layer, (0, 10), (0, 19))

    assert visible_box(layer, (0, 1), (ALL, ALL), [1, 50]) == (0, 1, 10, 20)


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


def test_a_mirrored_layer_has_a_pixel_size_like_any_other(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), scale=(-0.5, 0.5), units=("um", "um"))

    assert pixel_size_um(layer) == pytest.approx(0.5)


AFFINE = np.array([[2.0, 0.1, 5.0], [0.0, 2.0, -3.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "shear",
    [[0.2], np.array([[1.0, 0.0], [0.3, 1.0]])],
    ids=["above the diagonal", "below the diagonal"],
)
def test_labels_lie_where_the_image_lies(viewer: ViewerModel, shear: Any) -> None:
    layer = viewer.add_image(
        np.zeros((4, 5)),
        name="cells",
        scale=(0.5, 0.25),
        translate=(10, 20),
        rotate=30,
        shear=shear,
        affine=AFFINE,
        units=("um", "um"),
        axis_labels=("y", "x"),
    )

    labels = viewer.add_layer(
        new_labels_layer(np.zeros((4, 5), np.int32), read(viewer, layer), "m")
    )

    for corner in [(0, 0), (0, 4), (3, 0), (3, 4)]:
        assert labels.data_to_world(corner) == pytest.approx(layer.data_to_world(corner))
    assert labels.units == layer.units
    assert labels.axis_labels == ("y", "x")
    assert labels.name == "cells: m"


def test_labels_without_the_channel_axis_lie_where_each_channel_lies(viewer: ViewerModel) -> None:
    layer = viewer.add_image(
        np.zeros((2, 3, 4, 5)),
        scale=(3, 1, 0.5, 0.25),
        translate=(7, 0, 10, 20),
        shear=[0, 0, 0, 0, 0, 0.2],
        rotate=np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.6, -0.8], [0, 0, 0.8, 0.6]]),
        units=("s", "pixel", "um", "um"),
        axis_labels=("t", "c", "y", "x"),
    )
    image = read(viewer, layer, channel_axis=1)

    labels = new_labels_layer(np.zeros(image.labels_shape, np.int32), image, "m")

    for t, y, x in [(0, 0, 0), (1, 3, 0), (1, 0, 4), (0, 3, 4)]:
        expected = np.delete(layer.data_to_world((t, 1, y, x)), 1)
        assert labels.data_to_world((t, y, x)) == pytest.approx(expected)
    assert labels.axis_labels == ("t", "y", "x")
    assert [str(unit) for unit in labels.units] == ["second", "micrometer", "micrometer"]


def made_of(image: LayerImage, model: str = "m") -> dict[str, Any]:
    return provenance(
        image,
        model,
        source="m.safetensors",
        file_hash="abc",
        guesses={"final": "sigmoid"},
        cells=1,
        settings=SegmentationSettings(diameter_px=12.0),
        instances=InstanceSettings(min_size_px=5),
        checksums={":,:": [1]},
    )


def test_provenance_is_plain_values_that_tell_how_to_do_it_again(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 4, 5)), name="cells")
    image = read(viewer, layer, "stack", channel_axis=0, channel=2)

    made = made_of(image)

    assert json.loads(json.dumps(made)) == made
    assert made["image"] == "cells"
    assert made["image_id"] == str(layer.unique_id)
    assert (made["model"], made["model_source"], made["model_sha256"]) == (
        "m",
        "m.safetensors",
        "abc",
    )
    assert (made["extent"], made["channel"], made["cells"]) == ("stack", 3, 1)
    assert made["settings"]["diameter_px"] == 12.0
    assert made["instances"]["min_size_px"] == 5
    assert made["version"] == __version__
    assert made["date"].endswith("+00:00")


def result(viewer: ViewerModel, image: LayerImage, model: str = "m") -> Labels:
    labels = viewer.add_layer(
        new_labels_layer(np.zeros(image.labels_shape, np.int32), image, model)
    )
    note_origin(labels, made_of(image, model))
    return labels


def test_a_result_is_found_again_when_image_and_labels_are_renamed(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="cells")
    labels = result(viewer, read(viewer, layer))
    layer.name, labels.name = "nuclei", "mine"

    assert find_result(viewer, read(viewer, layer), "m") is labels


def test_a_result_of_another_image_model_or_shape_is_not_this_one(viewer: ViewerModel) -> None:
    layer, other = viewer.add_image(np.zeros((4, 5))), viewer.add_image(np.zeros((4, 5)))
    labels = result(viewer, read(viewer, layer))

    assert find_result(viewer, read(viewer, other), "m") is None
    assert find_result(viewer, read(viewer, layer), "n") is None
    labels.data = np.zeros((2, 5), np.int32)
    assert find_result(viewer, read(viewer, layer), "m") is None


def test_each_channel_has_a_result_of_its_own(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((2, 4, 5)), name="cells")
    first, second = (read(viewer, layer, channel_axis=0, channel=n) for n in (0, 1))
    labels = result(viewer, first)

    assert labels.name == "cells: m, channel 1"
    assert find_result(viewer, first, "m") is labels
    assert find_result(viewer, second, "m") is None


def test_labels_that_cannot_be_written_in_place_are_no_result(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)))
    labels = result(viewer, read(viewer, layer))

    labels.data = np.zeros((4, 5), np.int64)

    assert find_result(viewer, read(viewer, layer), "m") is None


def test_a_copy_of_a_result_is_left_to_the_person_who_made_it(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)))
    labels = result(viewer, read(viewer, layer))
    copy = Labels(labels.data.copy(), metadata=labels.metadata)

    viewer.add_layer(copy)

    assert find_result(viewer, read(viewer, layer), "m") is labels


def test_labels_of_a_person_are_no_result(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5)))
    viewer.add_labels(np.ones((4, 5), np.int32), name="mine")

    assert find_result(viewer, read(viewer, layer), "m") is None


def test_scores_lie_on_the_image_from_0_to_1_and_are_found_by_their_class(
    viewer: ViewerModel,
) -> None:
    layer = viewer.add_image(np.zeros((4, 5)), name="cells", scale=(2, 2), translate=(1, 0))
    image = read(viewer, layer)

    scores = viewer.add_layer(new_scores_layer(np.zeros((4, 5), np.float32), image, "m", "cell"))

    assert scores.name == "cells: m, cell score"
    assert tuple(scores.contrast_limits) == (0, 1)
    assert scores.data_to_world((3, 4)) == layer.data_to_world((3, 4))
    assert find_scores(viewer, image, "m", "cell") is scores
    assert find_scores(viewer, image, "m", "border") is None
    assert find_scores(viewer, image, "n", "cell") is None
    scores.data = np.zeros((2, 5), np.float32)
    assert find_scores(viewer, image, "m", "cell") is None


def test_a_part_of_a_turned_and_scaled_layer_lies_on_the_whole() -> None:
    whole = Image(np.zeros((30, 40)), scale=(0.5, 0.25), translate=(3, 4), rotate=30, shear=[0.2])
    place = place_of(whole, (0, 1))

    part = Image(np.zeros((5, 6)), **part_of_place(place, (7, 11)))

    for pixel in ((0, 0), (2, 3)):
        world = whole.data_to_world(np.add(pixel, (7, 11)))
        assert np.allclose(part.data_to_world(pixel), world)


@pytest.mark.parametrize("ground", ["white", "black", "#d9a9c9"])
def test_scores_and_weights_show_on_fluorescence_and_on_stained_tissue(
    viewer: ViewerModel, ground: str
) -> None:
    image = read_layer(
        viewer.add_image(np.zeros((4, 5))), viewer.dims, network_ndim=2, extent="slice"
    )
    labels = viewer.add_labels(np.zeros((4, 5), np.int32))
    array = np.zeros((4, 5), np.float32)
    shown = [new_scores_layer(array, image, "m", role) for role in ("cell", "border", "other")]
    shown.append(new_weight_layer(array, labels, WeightMapSettings()))
    below = transform_color(ground)[0, :3]
    for layer in shown:
        nothing, much = layer.colormap.map(np.array([0.0, 0.9]))
        seen = layer.opacity * much[3] * (much[:3] - below)
        assert nothing[3] == 0
        assert np.abs(seen).max() > 0.25
        assert layer.blending == "translucent_no_depth"
