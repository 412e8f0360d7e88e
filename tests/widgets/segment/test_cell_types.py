"""A network that tells types apart, in the Segment form: each cell gets its type."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unet.engine.networks.network import Network
from napari_unet.engine.training.typed_start import with_types
from napari_unet.session import Session
from napari_unet.viewer.cells.cell_types import give_type, given_types, types_of_layer


@pytest.fixture
def session(threshold_network: Network, model_file: Any) -> Session:
    network = with_types(threshold_network, ("dim", "very bright"))
    with torch.no_grad():  # bright beyond 0.8
        network.unet.head.weight[2, 0] += 40
        network.unet.head.bias[2] -= 40 * 0.8
    session = Session()
    session.adopt(network, str(model_file))
    return session


@pytest.fixture
def cells() -> NDArray[np.uint8]:
    image = np.zeros((48, 48), np.uint8)
    image[5:15, 5:15], image[30:40, 30:40], image[5:15, 30:40] = 250, 250, 140
    return image


def test_a_run_tells_the_type_of_each_cell(person: Any, cells: NDArray[np.uint8]) -> None:
    person.viewer.add_image(cells, name="cells")

    assert " s): 1 dim, 2 very bright." in person.run()

    result = person.result
    assert types_of_layer(result) == {
        result.data[10, 10]: "very bright",
        result.data[10, 35]: "dim",
        result.data[35, 35]: "very bright",
    }
    assert given_types(result) == {}
    text = person.set("foreground_threshold", 0.9)
    assert text == "2 cells with these settings: 0 dim, 2 very bright."
    assert set(types_of_layer(result)) == person.cells_in(result.data)


def test_types_that_were_given_are_kept_from_the_next_run(
    person: Any, cells: NDArray[np.uint8]
) -> None:
    person.viewer.add_image(cells, name="cells")
    person.run()
    first = person.result
    give_type(first, int(first.data[10, 10]), "dim")

    text = person.run()

    assert f"Cells of '{first.name}' were given types, so it is kept as it is" in text
    assert types_of_layer(first)[first.data[10, 10]] == "dim"
    assert len(person.results) == 2
    assert types_of_layer(person.results[1])[first.data[10, 10]] == "very bright"


def test_slices_add_to_the_types_of_the_layer(person: Any, cells: NDArray[np.uint8]) -> None:
    person.viewer.add_image(np.stack([cells, cells]), name="stack")
    person.choose("slice")
    person.viewer.dims.set_current_step(0, 0)
    person.run()
    person.viewer.dims.set_current_step(0, 1)
    person.run()

    types = types_of_layer(person.result)
    assert set(types) == person.cells_in(person.result.data)
    assert sorted(types.values()) == ["dim"] * 2 + ["very bright"] * 4
