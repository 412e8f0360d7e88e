"""What is said of an image before it is segmented: nothing of a good one, a sentence of a bad."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.engine.checks.finding import Finding
from napari_unet.engine.checks.image_case import Choices
from napari_unet.engine.checks.image_facts import image_facts
from napari_unet.engine.checks.image_rules import doubtful, image_findings, with_better_model
from napari_unet.engine.checks.size_rules import found_size_finding
from napari_unet.engine.checks.volume_rules import discs
from napari_unet.engine.images.normalization import TypeRange
from napari_unet.engine.models.checkpoint import load_checkpoint
from napari_unet.engine.networks.bundled import BUNDLED_MODELS
from napari_unet.engine.networks.network import NetworkDescription, TrainingIntensity
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.files.samples import load_sample, sample_names

RNG = np.random.default_rng(0)


def model(in_channels: int = 1, ndim: int = 2, **known: Any) -> NetworkDescription:
    config = UNetConfig(ndim, in_channels, 2, base_width=1, depth=1, batch_norm=False)
    return NetworkDescription("m", config, **({"object_diameter_px": 20.0} | known))


def cells(*shape: int, ground: float = 100, bright: float = 3000, noise: float = 10) -> np.ndarray:
    """Round cells, 20 pixels across and 32 apart, on a noisy ground."""
    y, x = np.indices(shape[-2:])
    away = np.hypot(y % 32 - 16, x % 32 - 16)
    plane = ground + (bright - ground) * np.clip(11 - away, 0, 1)
    return np.broadcast_to(plane, shape) + RNG.normal(0, noise, shape)


def said(
    array: np.ndarray | None = None,
    description: NetworkDescription | None = None,
    choices: Choices | None = None,
    **known: Any,
) -> tuple[Finding, ...]:
    image = cells(128, 160).astype("uint16") if array is None else array
    return image_findings(image_facts(image, name="X", **known), description or model(), choices)


def only(found: tuple[Finding, ...]) -> Finding:
    assert len(found) == 1, found
    return found[0]


# -- facts -----------------------------------------------------------------------------------------


def test_facts_of_an_image_are_those_of_all_its_pixels() -> None:
    image = np.repeat(np.arange(1000, dtype="uint16")[:, None], 1200, axis=1)

    facts = image_facts(image, name="ramp", axis_labels=("y", "x"), pixel_size_um=0.5)

    assert (facts.name, facts.shape, facts.dtype) == ("ramp", (1000, 1200), "uint16")
    assert facts.range == pytest.approx((10, 500, 997), abs=5)
    assert facts.ground == pytest.approx(0.5, abs=0.01)
    assert not facts.is_lazy


def test_axis_of_channels_is_left_out_of_the_shape() -> None:
    facts = image_facts(np.zeros((4, 3, 20, 30)), name="", channel_axis=-3)

    assert (facts.shape, facts.channel_axis, facts.channels) == ((4, 20, 30), 1, 3)


def test_channel_with_the_most_contrast_is_named_and_alpha_is_no_channel() -> None:
    image = np.zeros((40, 40, 4), "uint8")
    image[..., 3] = RNG.integers(0, 255, (40, 40))
    image[:20, :, 1] = 90
    image[:20, :, 0] = 30

    facts = image_facts(image, name="", is_rgb=True)

    assert (facts.shape, facts.channels, facts.brightest_channel) == ((40, 40), 4, 2)
    assert not facts.is_grey
    assert image_facts(np.ones((9, 9, 3)), name="", is_rgb=True).is_grey


def test_only_the_chosen_channel_is_looked_at() -> None:
    image = np.stack([np.full((30, 30), 7), np.full((30, 30), 9)])

    facts = image_facts(image, name="", channel_axis=0, channel=2)

    assert facts.range == (9, 9, 9)


class Chunked:
    """An array in a file that notes what is read of it."""

    def __init__(self, array: np.ndarray, chunks: Any) -> None:
        self._array, self.chunks = array, chunks
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.reads: list[tuple[slice, ...]] = []

    def __getitem__(self, parts: tuple[slice, ...]) -> np.ndarray:
        self.reads.append(parts)
        return self._array[parts]


@pytest.mark.parametrize(
    ("chunks", "read"),
    [
        ((1, 100, 120), ((5, 6), (200, 300), (240, 360))),
        ((4, 300, 480), ((4, 5), (44, 300), (112, 368))),
        (((7, 3), (450, 50), (100, 380)), ((4, 5), (122, 378), (112, 368))),
        (None, ((4, 5), (122, 378), (112, 368))),
    ],
)
def test_lazy_image_is_read_once_and_within_one_chunk(chunks: Any, read: Any) -> None:
    image = Chunked(np.arange(10 * 500 * 480).reshape(10, 500, 480), chunks)

    facts = image_facts(image, name="")  # type: ignore[arg-type]

    assert facts.is_lazy
    assert [[(part.start, part.stop) for part in parts] for parts in image.reads] == [
        [tuple(part) for part in read]
    ]


def test_dask_array_computes_one_chunk() -> None:
    computed = []

    def compute(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"])
        return block

    image = dask.array.zeros((6, 700, 900), chunks=(1, 350, 450)).map_blocks(
        compute, dtype="f8", meta=np.zeros((0, 0, 0))
    )

    facts = image_facts(image, name="")

    assert computed == [(3, 1, 1)]
    assert facts.range == (0, 0, 0)


def test_one_channel_of_a_lazy_image_is_read_and_no_other() -> None:
    image = Chunked(np.zeros((3, 50, 50)), (1, 50, 50))

    facts = image_facts(image, name="", channel_axis=0, channel=3)  # type: ignore[arg-type]

    assert image.reads[0][0] == slice(2, 3)
    assert facts.brightest_channel is None


def test_mapped_file_counts_as_lazy_also_through_a_view(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "a.raw", "uint8", "w+", shape=(40, 50))

    assert image_facts(mapped, name="").is_lazy
    assert image_facts(np.asarray(mapped)[::2], name="").is_lazy


def test_large_image_is_looked_at_in_a_moment() -> None:
    image = np.broadcast_to(np.arange(12_000, dtype="uint16"), (12_000, 12_000))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        image_facts(image, name="")
        times.append(time.perf_counter() - started)

    # 5 ms on the machine it was written on; whoever reads every pixel needs a second.
    assert min(times) < 0.05


@given(
    array=arrays(
        st.sampled_from(["bool", "int8", "uint8", "uint16", "int32", "float32", "float64"]),
        array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=9),
    ),
    channel_axis=st.sampled_from([None, 0, -1]),
)
def test_any_array_can_be_looked_at_and_spoken_of(
    array: np.ndarray, channel_axis: int | None
) -> None:
    facts = image_facts(array, name="X", channel_axis=channel_axis)

    assert 0 <= facts.saturated <= 1
    found = image_findings(facts, model(in_channels=2, pixel_size_um=0.5), Choices(extent="stack"))
    assert len(found) <= 3
    assert all(finding.text.endswith(".") for finding in found)


def test_array_without_pixels_or_numbers_has_no_range() -> None:
    assert image_facts(np.zeros((0, 5)), name="").range is None
    assert image_facts(np.zeros((5, 5), complex), name="").range is None
    assert image_facts(np.full((5, 5), np.nan), name="").range is None


# -- real images -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"), [(row.name, name) for row in BUNDLED_MODELS for name in row.samples]
)
def test_bundled_model_has_nothing_to_say_of_the_images_of_its_kind(model: str, name: str) -> None:
    sample = load_sample(name)
    description = load_checkpoint(model).description

    assert said(sample.image, description, is_rgb=sample.is_rgb) == ()
    # Nor of the cells that are there: it found them all as well without a resize.
    areas = np.bincount(sample.labels.ravel())[1:]
    median = float(np.sqrt(4 / np.pi * np.median(areas[areas > 0])))
    assert found_size_finding(median, description) is None


@pytest.mark.parametrize("name", sample_names())
@pytest.mark.parametrize("kind", ["labels", "mask", "0 and 255"])
def test_labels_and_masks_are_told_from_images(name: str, kind: str) -> None:
    labels = load_sample(name).labels
    if kind != "labels":
        labels = labels > 0 if kind == "mask" else (labels > 0).astype("uint8") * 255

    assert image_facts(labels, name="").few_values


@pytest.mark.parametrize("name", ["fluorescence", "crowded", "large", "noisy", "brightfield"])
@pytest.mark.parametrize("divisor", [1, 4, 8])
def test_dim_image_is_not_taken_for_labels(name: str, divisor: int) -> None:
    image = load_sample(name).image
    image = (image if image.ndim == 2 else image[..., 1]) // divisor

    assert not image_facts(image, name="").few_values


# -- what kind of image ----------------------------------------------------------------------------


def test_labels_are_answered_with_the_one_other_image() -> None:
    labels = load_sample("crowded").labels

    finding = only(said(labels, other_images=("raw",)))

    assert finding.text == "'X' looks like labels or a mask rather than an image of cells."
    assert (finding.remedy, finding.changes) == ("Segment 'raw' instead", {"layer": "raw"})
    assert finding.severity == "warning"


def test_labels_among_several_images_offer_none_of_them() -> None:
    finding = only(said(load_sample("crowded").labels, other_images=("a", "b")))

    assert finding.text.endswith("Choose the layer that it was made from.")
    assert (finding.remedy, finding.changes) == ("", {})


def test_empty_image_is_called_empty() -> None:
    finding = only(said(np.full((50, 60), 7, "uint16")))

    assert finding.text == (
        "All pixels looked at in 'X' are 7; it seems to be empty. "
        "Choose another slice, channel or image."
    )


def test_lazy_image_is_only_called_empty_in_the_middle() -> None:
    finding = only(said(dask.array.zeros((64, 64), chunks=32)))

    assert finding.text.startswith("All pixels looked at in the middle of 'X' are 0;")
    assert finding.severity == "note"


def test_few_small_cells_on_black_are_no_empty_image() -> None:
    image = np.zeros((256, 256), "uint16")
    image[100:104, 100:104] = np.arange(16).reshape(4, 4) + 500

    assert said(image, model(object_diameter_px=4.0)) == ()


# -- intensities -----------------------------------------------------------------------------------


def test_ordinary_image_of_any_brightness_raises_no_finding() -> None:
    image = cells(128, 160)
    assert said() == ()
    assert said((image / 50 + 3).astype("uint8")) == ()
    assert said((image * 15).astype("uint16")) == ()
    assert said((image - 1000).astype("float32")) == ()


def test_saturated_cells_are_noted() -> None:
    image = np.clip(cells(128, 160, bright=9000), 0, 4095).astype("uint16")

    finding = only(said(image))

    assert finding.text == (
        f"{100 * (image == 4095).mean():.0f} % of the pixels of 'X' are as bright as its camera or "
        "file allows, so touching cells may run together. Less exposure keeps them apart."
    )
    assert finding.severity == "note"


def test_white_ground_of_a_bright_field_is_not_called_saturated() -> None:
    image = np.clip(255 - cells(128, 160, ground=0, bright=200, noise=9), 0, 255).astype("uint8")

    assert image_facts(image, name="").saturated > 0.2
    assert said(image) == ()


def test_few_grey_levels_are_noted() -> None:
    image = (cells(128, 160, ground=0, bright=8, noise=0.7).clip(0)).astype("uint16")

    finding = only(said(image))

    assert finding.text == (
        f"'X' has only {image_facts(image, name='').levels} grey levels between dark and bright, "
        "so dim cells may be missed. Export it again with its full depth, such as 16 bits."
    )


def test_black_frame_around_a_bright_ground_is_warned_of() -> None:
    image = cells(128, 160, ground=2000).astype("uint16")
    image[:16] = 0

    finding = only(said(image))

    assert finding.text == (
        f"{100 * image_facts(image, name='').padded:.0f} % of 'X' is exactly 0, as around a "
        "stitched or turned image, and that leaves little contrast for the rest. Crop it away "
        "first."
    )
    assert finding.severity == "warning"


def test_black_ground_and_a_frame_around_a_dark_one_are_fine() -> None:
    framed = cells(128, 160, ground=100).astype("uint16")
    framed[:16] = 0
    cut_off = cells(128, 160).clip(1500) - 1500

    assert said(framed) == ()
    assert said(cut_off.astype("uint16")) == ()


def test_noise_without_cells_is_noted() -> None:
    finding = only(said(RNG.normal(100, 5, (300, 300)).astype("uint16")))

    assert finding.text == (
        "'X' looks like noise alone, which is stretched to full contrast here. "
        "Look whether there are cells in this slice and channel."
    )


DARK_GROUND = TrainingIntensity("uint16", 90, 110, 3000)


def test_inverted_image_is_warned_of() -> None:
    image = (4000 - cells(128, 160)).astype("uint16")

    finding = only(said(image, model(intensity=DARK_GROUND)))

    assert finding.text == (
        "'X' is bright between its cells, the images the model learned on were dark there. "
        "Invert the image, or choose a model for such images."
    )
    bright = replace(DARK_GROUND, median=2900)
    other = only(said(None, model(intensity=bright)))
    assert other.text.startswith("'X' is dark between its cells, the images the model learned on ")


def test_model_of_colours_takes_bright_and_dark_grounds() -> None:
    image = (4000 - cells(128, 160)).astype("uint16")

    assert said(image, model(in_channels=3, intensity=DARK_GROUND)) == ()


RAW = TypeRange()


def test_model_without_normalisation_is_told_of_another_brightness() -> None:
    description = model(normalization=RAW, intensity=TrainingIntensity("uint8", 5, 7, 102))

    finding = only(said(None, description))

    # 3000 of 65535 against 102 of 255.
    assert finding.text == (
        "To the model, which takes intensities as they are, 'X' is 9 times darker than the images "
        "it learned on. Bring it to their range first (5 to 102, uint8)."
    )
    assert "brighter" in only(said(cells(128, 160), description)).text


def test_model_without_normalisation_accepts_its_own_range() -> None:
    description = model(normalization=RAW, intensity=TrainingIntensity("uint16", 100, 110, 2500))

    assert said(None, description) == ()
    assert said(None, model(normalization=RAW)) == ()


# -- channels and slices ---------------------------------------------------------------------------


def colour_picture() -> np.ndarray:
    picture = np.zeros((64, 64, 3), "uint8")
    picture[..., 2] = cells(64, 64, ground=10, bright=200, noise=3).clip(0, 255)
    picture[..., 0] = RNG.integers(0, 20, (64, 64))
    return picture


def test_colours_for_a_grey_model_offer_the_strongest_one() -> None:
    finding = only(said(colour_picture(), is_rgb=True))

    assert finding.text == (
        "'X' is in colour and the model reads one channel, so its colours are mixed into grey, in "
        "which blue hardly counts. If the cells are in one colour, read only that."
    )
    assert (finding.remedy, finding.changes) == ("Read only blue", {"channel": 3})


def test_colours_are_fine_for_a_colour_model_one_channel_or_a_grey_picture() -> None:
    picture = colour_picture()

    assert said(picture, model(in_channels=3), is_rgb=True) == ()
    assert said(picture, is_rgb=True, channel=3) == ()
    assert said(picture[..., [2, 2, 2]], is_rgb=True) == ()
    assert said(picture[..., 2], model(in_channels=3, history=({"steps": 1},))) == ()


def test_three_planes_for_a_model_of_three_channels_may_be_channels() -> None:
    finding = only(said(cells(3, 64, 80), model(in_channels=3)))

    assert finding.text == (
        "The 3 planes along axis 0 of 'X' may be channels rather than slices; "
        "the model reads 3 channels together."
    )
    assert finding.remedy == "Read the 3 planes as channels"
    assert finding.changes == {"channel_axis": 0, "channel": None}
    assert finding.severity == "note"


def test_planes_that_may_be_channels_offer_the_one_that_is_shown() -> None:
    finding = only(said(cells(2, 64, 80), choices=Choices(plane=(1, slice(None), slice(None)))))

    assert finding.text == (
        "The 2 planes along axis 0 of 'X' may be channels rather than slices. "
        "Choose the one that shows the cells."
    )
    assert finding.remedy == "Read only channel 2"
    assert finding.changes == {"channel_axis": 0, "channel": 2}


def test_axis_called_channels_is_warned_of_however_long() -> None:
    finding = only(said(cells(9, 6, 64, 80), axis_labels=("z", "C", "y", "x")))

    assert finding.text.startswith("The 6 planes along axis 1 of 'X' are channels. Choose")
    assert finding.changes == {"channel_axis": 1, "channel": 1}
    assert finding.severity == "warning"


def test_a_short_last_axis_is_warned_of_as_channels_and_not_one_of_colours() -> None:
    shape = (64, 80, 5)
    finding = only(tuple(each for each in said(RNG.random(shape)) if "channels" in each.text))

    assert finding.text.startswith("The 5 planes along axis 2 of 'X' are channels. Choose")
    assert finding.changes == {"channel_axis": 2, "channel": 1}
    assert finding.severity == "warning"
    for other in ((64, 80, 4), (64, 80, 9), (30, 80, 5)):
        assert not any("axis 2" in each.text for each in said(RNG.random(other)))


def test_channels_between_slices_and_rows_are_seen_without_a_name() -> None:
    labels = ("axis -4", "axis -3", "axis -2", "axis -1")

    assert only(said(cells(20, 2, 64, 80), axis_labels=labels)).changes["channel_axis"] == 1


def test_slices_that_are_called_so_or_many_are_no_channels() -> None:
    assert said(cells(3, 64, 80), axis_labels=("z", "y", "x")) == ()
    assert said(cells(12, 64, 80)) == ()
    assert said(cells(3, 64, 80), model(ndim=3)) == ()


def test_channels_that_are_called_time_may_be_slices() -> None:
    finding = only(said(cells(5, 64, 80), channel_axis=0, axis_labels=("t", "y", "x")))

    assert finding.text == (
        "The axis of 'X' chosen as channels is called 't'; its 5 planes may be slices."
    )
    assert finding.remedy == "Segment every one as a slice"
    assert finding.changes == {"channel_axis": None, "channel": None, "extent": "stack"}


def test_channels_that_do_not_fit_the_model_offer_the_strongest_one() -> None:
    image = cells(5, 64, 80)
    image[3] *= 2

    finding = only(said(image, model(in_channels=3), channel_axis=0))

    assert finding.text == (
        "'X' has 5 channels and the model reads 3. Choose the one that shows the cells."
    )
    assert finding.remedy == "Read only channel 4"
    assert finding.changes == {"channel_axis": 0, "channel": 4}


def test_channels_that_would_be_mixed_or_left_out_are_warned_of() -> None:
    mixed = only(said(cells(3, 64, 80), channel_axis=0))
    left_out = only(said(cells(4, 64, 80), model(in_channels=3), channel_axis=0))

    assert mixed.text == (
        "The 3 channels of 'X' are mixed into grey as if they were red, green and blue. "
        "Choose the one that shows the cells."
    )
    assert left_out.text == (
        "The model reads 3 channels; the fourth of 'X' is left out, as if it were the "
        "transparency of a picture."
    )


def test_channels_that_fit_or_are_chosen_are_fine() -> None:
    assert said(cells(3, 64, 80), model(in_channels=3), channel_axis=0) == ()
    assert said(cells(5, 64, 80), channel_axis=0, channel=2) == ()


def test_every_slice_of_a_stack_tells_that_cells_are_not_linked() -> None:
    finding = only(said(cells(12, 64, 80), choices=Choices(extent="stack")))

    assert finding.text == (
        "Each of the 12 slices is segmented by itself: a cell seen in several of them gets "
        "another number in each, as a disc for each slice. For whole cells link the slices."
    )
    assert finding.severity == "note"
    assert (finding.remedy, finding.changes) == ("Link the slices", {"volume": "linked"})
    assert said(cells(12, 64, 80), model(ndim=3), Choices(extent="stack")) == ()
    assert said(cells(12, 64, 80), choices=Choices(extent="stack", volume="linked")) == ()


def test_frames_of_a_movie_are_not_offered_to_be_linked() -> None:
    finding = only(said(cells(12, 64, 80), choices=Choices(extent="stack", is_movie=True)))

    assert finding.text.endswith("To follow cells through time, take Tracks afterwards.")
    assert not finding.remedy


def test_discs_come_with_the_offer_to_link_them() -> None:
    finding = discs("stack.tif", found=164, linked=34, slices=100)

    assert finding is not None
    assert finding.text == (
        "These are 164 discs in the 100 slices of 'stack.tif', because a cell counts in each slice "
        "that it reaches; linked where neighbouring slices overlap they are 34 cells."
    )
    assert (finding.remedy, finding.changes) == ("Link the slices", {"volume": "linked"})


def test_cells_that_lie_in_one_slice_each_are_no_discs() -> None:
    assert discs("stack.tif", found=164, linked=150, slices=100) is None
    assert discs("stack.tif", found=0, linked=0, slices=100) is None


# -- memory ----------------------------------------------------------------------------------------


def test_image_beyond_the_memory_is_offered_in_blocks() -> None:
    choices = Choices(needed_bytes=12 << 30, free_bytes=8 << 30)

    finding = only(said(choices=choices))

    assert finding.text == (
        "This takes about 12.0 GB of memory and 8.0 GB are free: it will be slow, or stop with a "
        "message. Segment it in blocks, of which one is in memory at a time, or a part of it alone."
    )
    assert (finding.remedy, finding.changes) == ("Open Large images", {"widget": "Large images"})


def test_scores_beyond_the_memory_are_noted_and_enough_memory_is_not() -> None:
    enough = Choices(needed_bytes=8 << 30, free_bytes=12 << 30)
    assert said(choices=enough) == ()

    finding = only(said(choices=replace(enough, keeps_scores=False)))

    assert finding.text == (
        "There is no memory to keep the scores of 'X', so changed thresholds show only after "
        "another Run."
    )


# -- size ------------------------------------------------------------------------------------------


def test_image_smaller_than_a_cell_is_warned_of() -> None:
    finding = only(said(cells(1, 500)))

    assert finding.text == (
        "'X' is 1 x 500 pixels, less than one cell of 20 pixels; what is found there says little. "
        "Check the cell size, or take a larger image."
    )
    assert "one cell of 150 pixels" in only(said(choices=Choices(diameter_px=150.0))).text
    assert said(cells(30, 500)) == ()


def test_pixels_that_are_no_squares_are_noted() -> None:
    finding = only(said(pixel_aspect=3.0))

    assert finding.text == (
        "The pixels of 'X' are 3.0 times as high as wide, so round cells look squeezed to the "
        "model. Resize the image to square pixels, or correct the layer's scale."
    )
    assert "4.0 times as wide as high" in only(said(pixel_aspect=0.25)).text
    assert said(pixel_aspect=1.2) == ()


def test_micrometres_without_a_pixel_size_are_warned_of() -> None:
    micrometres = Choices(size_in_um=True)

    finding = only(said(choices=micrometres))

    assert finding.text == (
        "The cell size is in micrometres, but 'X' does not say how large its pixels are. "
        "Set the layer's scale and units, or give the size in pixels."
    )
    assert finding.changes == {"diameter_px": None}
    assert said(choices=micrometres, pixel_size_um=0.3) == ()


def test_cell_size_for_a_model_that_knows_none_is_warned_of() -> None:
    finding = only(
        said(description=model(object_diameter_px=None), choices=Choices(diameter_px=30.0))
    )

    assert finding.text == (
        "The model does not say how large the cells were that it learned on, so a cell size cannot "
        "be used. Resize the image instead."
    )
    assert finding.changes == {"diameter_px": None}


def test_cell_size_that_asks_for_an_unlikely_resize_is_noted() -> None:
    few = only(said(choices=Choices(diameter_px=3.0)))
    none = only(said(choices=Choices(diameter_px=0.9)))

    assert few.text == (
        "With cells of 3 pixels the image is enlarged 6.67 times for the model. Check the number."
    )
    assert (few.remedy, few.changes) == ("Take the image as it is", {"diameter_px": None})
    assert few.severity == "note"
    assert none.text.endswith("Check the number; more than 20 times is refused.")
    assert none.severity == "warning"
    assert said(choices=Choices(diameter_px=9.0)) == ()


def test_pixel_sizes_far_apart_are_noted_with_the_way_out() -> None:
    finding = only(said(description=model(pixel_size_um=0.5), pixel_size_um=0.05))

    assert finding.text == (
        "By their pixel sizes (0.05 µm in 'X', 0.5 µm where the model learned) the image is shrunk "
        "10 times for the model. Check the number."
    )
    assert (finding.remedy, finding.changes) == ("Take the image as it is", {"diameter_px": 20.0})
    assert said(description=model(pixel_size_um=0.5), pixel_size_um=0.3) == ()


def test_unknown_pixel_size_is_noted_for_a_model_that_goes_by_it() -> None:
    finding = only(said(description=model(pixel_size_um=0.5)))

    assert finding.text == (
        "How large the pixels of 'X' are is not known, so it is taken to be as magnified as the "
        "images the model learned on (0.5 µm per pixel). If it is not, set the cell size."
    )
    assert said(description=model(pixel_size_um=0.5), choices=Choices(diameter_px=30.0)) == ()


def test_cells_found_much_larger_than_learned_offer_their_size() -> None:
    finding = found_size_finding(61.3, model())

    assert finding is not None
    assert finding.text == (
        "The cells found are about 61 pixels across; the model learned on 20. With their size set, "
        "the image is resized for it."
    )
    assert finding.remedy == "Set the cell size to 61 pixels"
    assert finding.changes == {"diameter_px": 61.0}


def test_cells_found_are_compared_as_the_model_saw_them() -> None:
    assert found_size_finding(60.0, model(), zoom=1 / 3) is None
    finding = found_size_finding(21.0, model(), zoom=3.0)
    assert finding is not None
    assert "about 21 pixels across (63 as the model sees them); the model learned" in finding.text


def test_cells_found_much_smaller_keep_a_decimal() -> None:
    finding = found_size_finding(6.27, model())

    assert finding is not None
    assert finding.changes == {"diameter_px": 6.3}


def test_cells_of_about_the_size_or_of_an_unknown_one_are_fine() -> None:
    assert found_size_finding(45.0, model()) is None
    assert found_size_finding(10.0, model()) is None
    assert found_size_finding(None, model()) is None
    assert found_size_finding(90.0, model(object_diameter_px=None)) is None


# -- together --------------------------------------------------------------------------------------


def test_at_most_three_are_said_and_warnings_come_first() -> None:
    image = np.clip(cells(4, 64, 64, bright=9000), 0, 4095).astype("uint16")
    choices = Choices(extent="stack", needed_bytes=2, free_bytes=1)

    found = said(image, choices=choices, axis_labels=("z", "y", "x"), pixel_aspect=4.0)

    assert len(found) == 3
    assert [finding.severity for finding in found] == ["warning", "note", "note"]
    assert found[0].text.startswith("This takes about 0 MB")


def test_a_better_model_comes_before_training_and_a_long_name_is_not_put_on_a_button() -> None:
    description = NetworkDescription("nuclei", UNetConfig())
    doubt = doubtful("Not to be trusted.", description)

    found = with_better_model(doubt, "cells", source="a/cells.safetensors", certainty=0.853)
    of_long_name = with_better_model(doubt, "cells " * 9, source="x", certainty=1)

    assert found.text == (
        "Not to be trusted. 'cells' fits better: on a part of this image it is 85 % sure."
    )
    assert (found.remedy, of_long_name.remedy) == ("Run with cells", "Run with it")
    assert found.changes == {"model": "a/cells.safetensors", "second_model": "", "run": True}
    assert found.other_remedies == {"Correct cells and train": {"widget": "Train"}}
    assert not with_better_model(
        replace(doubt, remedy="", changes={}), "cells", source="x", certainty=1
    ).other_remedies


@pytest.mark.parametrize(
    ("learned", "spacing", "severity", "words"),
    [
        (4.0, (2, 1, 1), "note", "Slices are 2 pixels apart and the model learned on 4"),
        (4.0, None, "warning", "taken to be 4 pixels apart, as where the model learned"),
        (4.0, (2.1, 0.5, 0.5), "", ""),
        (1.0, None, "", ""),
        (None, (2, 1, 1), "", ""),
    ],
)
def test_slices_at_another_distance_than_the_model_learned_are_told(
    learned: float | None, spacing: Any, severity: str, words: str
) -> None:
    found = said(cells(12, 64, 80), model(ndim=3, anisotropy=learned), spacing=spacing)
    assert [each.severity for each in found] == [severity] * bool(severity)
    assert all(words in each.text for each in found)
