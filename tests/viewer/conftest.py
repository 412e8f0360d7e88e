"""A viewer without a window."""

import pytest
from napari.components import ViewerModel


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()
