"""`napari-unet inspect` as a user meets it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_unet.cli import main

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


def test_inspect_tells_a_model_in_words_and_as_json(model: str, output: Output) -> None:
    assert main(["inspect", model]) == 0
    text = output.read()[0]
    assert "bright" in text
    assert "2-D, 1 channel" in text
    assert "background, cell" in text

    assert main(["inspect", model, "--json"]) == 0
    values = json.loads(output.read()[0])
    assert values["unet"]["depth"] == 1
    assert values["instances"]["min_size_px"] == 2
