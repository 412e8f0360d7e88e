"""Types of cells in a layer's features: read from any table, and never lost."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.labels.cell_types import CellTypes
from napari_unet.viewer.cells.cell_types import (
    colour_by_label,
    colour_by_type,
    give_type,
    given_types,
    is_coloured_by_type,
    show_types,
    types_of_layer,
)


def layer(**features: list[object]) -> Labels:
    return Labels(np.array([[0, 1, 2, 3]]), features=features or None)


def predicted(*labels: int, share: float = 0.75) -> CellTypes:
    """All of type b."""
    shares = np.tile([1 - share, share], (len(labels), 1))
    return CellTypes(np.array(labels), ("a", "b"), shares)


@pytest.mark.parametrize(
    "features",
    [
        {"index": [3, 1], "type": ["b", "a"]},
        {"label": [3, 1, 2], "area": [1, 2, 3], "type": ["b", "a", None]},
        {"index": [1.0, np.nan, 3.0], "type": ["a", "x", " b "]},
        # As napari has it without a column of labels: the first row is that of the background.
        {"type": [np.nan, "a", "", "b"]},
    ],
)
def test_types_are_read_from_tables_with_empty_entries(features: dict[str, list[object]]) -> None:
    assert types_of_layer(layer(**features)) == {1: "a", 3: "b"}


def test_a_layer_without_types_has_none() -> None:
    assert types_of_layer(layer()) == {}
    assert types_of_layer(layer(index=[1], area=[4])) == {}


def test_predicted_types_stand_in_the_features_where_napari_shows_them() -> None:
    cells = layer()
    show_types(cells, predicted(1, 2), keeps_others=False)

    assert cells.features["index"].tolist() == [1, 2]
    assert cells.features["type"].tolist() == ["b", "b"]
    assert cells.features["type probability"].tolist() == [0.75, 0.75]
    assert given_types(cells) == {}
    assert cells._get_properties((0, 1)) == ["type: b", "type probability: 0.75"]


def test_what_a_person_said_stays_while_the_cell_is_there() -> None:
    cells = layer()
    show_types(cells, predicted(1, 2), keeps_others=False)
    give_type(cells, 2, "a")
    assert given_types(cells) == {2: "a"}

    show_types(cells, predicted(1, 2, 3), keeps_others=False)
    assert types_of_layer(cells) == {1: "b", 2: "a", 3: "b"}
    assert np.isnan(cells.features["type probability"][1])
    assert given_types(cells) == {2: "a"}

    show_types(cells, predicted(1), keeps_others=False)
    assert types_of_layer(cells) == {1: "b"}


def test_a_run_of_a_part_keeps_what_is_known_of_other_cells() -> None:
    cells = layer()
    show_types(cells, predicted(1), keeps_others=False)
    show_types(cells, predicted(3, share=0.5625), keeps_others=True)
    assert cells.features["index"].tolist() == [1, 3]
    assert cells.features["type probability"].tolist() == pytest.approx([0.75, 0.562], abs=1e-3)
    assert given_types(cells) == {}


def test_measurements_of_other_plugins_stay_beside_the_types() -> None:
    cells = layer(label=[1, 2], area=[10, 20])
    give_type(cells, 2, "a")
    assert cells.features["index"].tolist() == [1, 2]
    assert cells.features["type"].tolist() == ["", "a"]
    assert cells.features["area"].tolist() == [10, 20]
    give_type(cells, 2, "")
    assert types_of_layer(cells) == {}


def test_cells_of_a_type_share_a_colour_until_each_has_its_own_again() -> None:
    cells = layer(index=[1, 2], type=["a", "a"])
    colour_by_type(cells)
    assert is_coloured_by_type(cells)
    one, two, none = (cells.get_color(label) for label in (1, 2, 3))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, none)

    give_type(cells, 3, "b")
    assert not np.array_equal(cells.get_color(3), none)
    colour_by_label(cells)
    assert not is_coloured_by_type(cells)
    assert not np.array_equal(cells.get_color(1), cells.get_color(2))


def test_colours_by_type_need_a_type() -> None:
    with pytest.raises(UNetError, match=r"No cell of 'Labels' has a type: .* no column 'type'"):
        colour_by_type(layer())
