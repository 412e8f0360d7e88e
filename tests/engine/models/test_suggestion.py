"""Which model is suggested for an image that is unlike what another one learned from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet.engine.base.settings import SegmentationSettings
from napari_unet.engine.models import suggestion
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.models.suggestion import iterate_suggestion, suggest_model
from napari_unet.engine.networks.bundled import BundledModel
from napari_unet.engine.networks.network import Network
from napari_unet.engine.networks.unet import UNetConfig

Make = Callable[..., Network]
Squares = NDArray[np.uint8]


@pytest.fixture
def crops(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What of the image each candidate was given."""
    given: list[Any] = []
    engine = suggestion.iterate_planes

    def noted(image: Any, *arguments: Any, **options: Any) -> Any:
        given.append(image)
        return engine(image, *arguments, **options)

    monkeypatch.setattr(suggestion, "iterate_planes", noted)
    return given


def test_the_model_that_is_sure_is_suggested_for_what_another_one_doubts(
    sure_above: Make, dim_squares: Squares
) -> None:
    bright, other, dim = (sure_above(each) for each in (0.5, 0.51, 0.25))
    assert segment(dim_squares, bright).doubt
    assert not segment(dim_squares, dim).doubt

    found = suggest_model(dim_squares, bright, [other, dim])

    assert found is not None
    assert found.model is dim
    # Two scores that add up to 1, of a logit of 2 x 20 x (0.52 - 0.25); the bright pixel hardly.
    assert found.certainty == pytest.approx(1 / (1 + np.exp(-40 * 0.27)), abs=1e-4)


def test_of_several_the_surest_is_suggested_wherever_it_stands(
    sure_above: Make, dim_squares: Squares
) -> None:
    bright, surest, less = sure_above(0.5), sure_above(0.25), sure_above(0.45)

    for candidates in ([surest, less], [less, surest]):
        found = suggest_model(dim_squares, bright, candidates)
        assert found is not None
        assert found.model is surest


def test_nothing_is_suggested_where_no_other_model_is_sure_of_a_cell(
    sure_above: Make, dim_squares: Squares
) -> None:
    bright = sure_above(0.5)

    assert suggest_model(dim_squares, bright, []) is None
    assert suggest_model(dim_squares, bright, [sure_above(0.51)]) is None
    # That it sees nothing is no merit.
    assert suggest_model(np.zeros_like(dim_squares), bright, [sure_above(0.25)]) is None


def test_models_that_cannot_take_the_place_are_left_out(
    sure_above: Make, dim_squares: Squares, tmp_path: Path
) -> None:
    bright, dim = sure_above(0.5), sure_above(0.25)

    def told(**facts: Any) -> Network:
        return Network(dim.unet, replace(dim.description, **facts))

    others: list[Any] = [
        told(class_roles=("cell", "background")),
        told(architecture=UNetConfig(ndim=3, in_channels=1, classes=2)),
        told(intensity=None),
        tmp_path / "deleted.safetensors",
    ]
    two_channels = np.stack([dim_squares, dim_squares])

    assert suggest_model(dim_squares, bright, others) is None
    assert suggest_model(two_channels, bright, [dim], channel_axis=0) is None
    assert (
        suggest_model(dim_squares, bright, [told(object_diameter_px=None)], diameter_px=9) is None
    )
    found = suggest_model(dim_squares, bright, [*others, dim])
    assert found is not None
    assert found.model is dim


@pytest.mark.parametrize(("diameter_px", "side_px"), [(None, 512), (5.0, 256)])
def test_it_is_tried_where_the_cells_are_on_512_pixels_at_its_own_scale(
    sure_above: Make,
    dim_squares: Squares,
    crops: list[Any],
    diameter_px: float | None,
    side_px: int,
) -> None:
    image = np.zeros((1200, 1300), np.uint8)
    image[-64:, :80] = dim_squares

    found = suggest_model(image, sure_above(0.5), [sure_above(0.25)], diameter_px=diameter_px)

    assert found is not None
    (crop,) = crops
    np.testing.assert_array_equal(crop[0], image[-side_px:, :side_px])


def test_of_a_stack_one_slice_is_tried_with_the_intensities_of_the_stack(
    sure_above: Make, dim_squares: Squares, crops: list[Any]
) -> None:
    dim_squares[60, 4] = 0
    stack = np.stack([np.zeros_like(dim_squares), np.zeros_like(dim_squares), dim_squares])
    stack[1, 60, 4] = 200

    found = suggest_model(stack, sure_above(0.5), [sure_above(0.25)], every_slice=True)

    # Alone the squares would be as bright as can be, and of a certainty of 1.
    assert found is not None
    assert found.certainty == pytest.approx(1 / (1 + np.exp(-40 * 0.27)), abs=1e-4)
    np.testing.assert_array_equal(crops[0][0], dim_squares)


def test_of_a_field_of_view_that_alone_is_tried_with_the_intensities_of_the_image(
    sure_above: Make, dim_squares: Squares, crops: list[Any]
) -> None:
    found = suggest_model(dim_squares, sure_above(0.5), [sure_above(0.25)], region=(0, 20, 20, 60))

    assert found is not None
    assert found.certainty == pytest.approx(1 / (1 + np.exp(-40 * 0.27)), abs=1e-4)
    np.testing.assert_array_equal(crops[0][0], dim_squares[:20, 20:60])


def test_intensities_that_are_given_count(sure_above: Make, dim_squares: Squares) -> None:
    dim_squares[60, 4] = 0
    reference = np.array([[0, 200]], np.uint8)
    bright, others = sure_above(0.5), [sure_above(0.25)]

    found = suggest_model(dim_squares, bright, others, intensity_reference=reference)

    assert found is not None
    assert found.certainty == pytest.approx(1 / (1 + np.exp(-40 * 0.27)), abs=1e-4)


def test_colours_are_read_as_in_a_run(sure_above: Make, dim_squares: Squares) -> None:
    rgba = np.stack([dim_squares] * 3 + [np.full_like(dim_squares, 255)], axis=-1)

    found = suggest_model(rgba, sure_above(0.5), [sure_above(0.25)])

    assert found is not None
    assert found.certainty == pytest.approx(1 / (1 + np.exp(-40 * 0.27)), abs=1e-4)


def test_a_trial_reports_as_it_goes_on_and_ends_when_nobody_asks(
    sure_above: Make, dim_squares: Squares, crops: list[Any]
) -> None:
    bright, dim = sure_above(0.5), sure_above(0.25)
    reports = iterate_suggestion(
        dim_squares, bright.description, [bright, dim, dim], settings=SegmentationSettings()
    )

    seen = [next(reports)]
    while seen[-1].suggestion is None:
        seen.append(next(reports))
    reports.close()  # type: ignore[attr-defined]

    assert [report.tried for report in seen] == sorted(report.tried for report in seen)
    assert (seen[0].tried, seen[-1].tried, seen[-1].candidates) == (0, 2, 3)
    assert len(crops) == 2


def test_the_other_bundled_models_are_tried_by_default(
    sure_above: Make, dim_squares: Squares, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {"bright": sure_above(0.5), "dim": sure_above(0.25)}
    rows = tuple(BundledModel(name, name, ()) for name in networks)
    monkeypatch.setattr(suggestion, "BUNDLED_MODELS", rows)
    monkeypatch.setattr(suggestion, "as_network", lambda each: networks[each])

    found = suggest_model(dim_squares, "bright")

    assert found is not None
    assert found.model == "dim"
