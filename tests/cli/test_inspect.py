"""`napari-unet inspect` as a user meets it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_unet.cli import main
from napari_unet.engine.networks.network import Network
from napari_unet.versions.history import kept_versions

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


def test_kept_versions_are_listed_and_can_be_named(
    bright_is_cell: Callable[..., Network], output: Output
) -> None:
    version = kept_versions().keep(bright_is_cell(), name="my cells")

    assert main(["inspect"]) == 0
    first, *rest = output.read()[0].splitlines()
    assert first.split("  ")[0] == "my cells"
    assert version.local_date in first
    assert str(version.path) in first
    assert any(line.startswith("nuclei ") for line in rest)

    assert main(["inspect", "my cells"]) == 0
    assert "my cells" in output.read()[0]


def test_all_models_are_listed_as_json(
    bright_is_cell: Callable[..., Network], output: Output
) -> None:
    version = kept_versions().keep(bright_is_cell(), name="my cells")

    assert main(["inspect", "--json"]) == 0

    mine, *bundled = json.loads(output.read()[0])
    assert mine == {"name": "my cells", "file": str(version.path), "kept": version.date}
    assert [each["kept"] for each in bundled] == [None] * len(bundled)


def test_a_model_that_is_not_there_is_told_with_the_names_of_those_that_are(
    bright_is_cell: Callable[..., Network], output: Output
) -> None:
    kept_versions().keep(bright_is_cell(), name="my cells")

    assert main(["inspect", "my cell"]) == 1

    told = output.complaint()
    assert "There is no model 'my cell'" in told
    assert "'my cells'" in told
