"""A network that gives classes, in the Segment form: each pixel gets the number of its class."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet.engine.networks.network import Network
from napari_unet.session import Session


@pytest.fixture
def session(threshold_network: Network, model_file: Any) -> Session:
    described = replace(
        threshold_network.description, class_roles=("dark", "bright"), object_diameter_px=None
    )
    session = Session()
    session.adopt(Network(threshold_network.unet, described), str(model_file))
    return session


def test_a_run_fills_a_layer_with_classes_and_tells_their_shares(
    person: Any, squares: NDArray[np.uint8]
) -> None:
    person.viewer.add_image(squares, name="squares")

    assert person.run().startswith("94 % dark, 6 % bright in 'squares' (")
    expected = np.where(squares > 100, 2, 1)
    assert np.array_equal(person.result.data, expected)
    assert "no-cells-told" not in {each.code for each in person.widget.form.concerns.findings}

    # Thresholds make cells, not classes; a second run finds the same.
    assert not person.widget.form.common.isVisible()
    person.set("foreground_threshold", 0.9)
    assert np.array_equal(person.result.data, expected)
    person.run()
    assert np.array_equal(person.result.data, expected)


def test_slices_and_parts_have_the_numbers_of_the_classes(
    person: Any, squares: NDArray[np.uint8]
) -> None:
    stack = np.stack([squares, np.roll(squares, 8, axis=1)])
    person.viewer.add_image(stack, name="stack")
    person.choose("stack")
    person.run()
    assert np.array_equal(person.result.data, np.where(stack > 100, 2, 1))

    person.result.data[...] = 0
    person.viewer.layers.remove(person.result)
    person.choose("view")
    person.look_at((0, 0, 0), (0, 20, 30))
    person.run()
    part = person.result.data[person.viewer.dims.current_step[0]][2:18, 2:28]
    assert set(np.unique(part)) == {1, 2}
