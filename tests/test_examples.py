"""The examples in the docstrings of the public names do what they show."""

import doctest
from importlib import import_module

import pytest

import napari_unet

FUNCTIONS = [
    "boundary_weight_map",
    "compare_cells",
    "evaluate",
    "load_checkpoint",
    "preflight",
    "rank_doubt",
    "rank_uncertainty",
    "save_checkpoint",
    "segment",
    "segment_blocks",
    "suggest_model",
    "train",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example_of_a_public_function_runs_as_printed(name):
    function = getattr(napari_unet, name)
    module = import_module(function.__module__)
    examples = doctest.DocTestFinder(recurse=False).find(function, name, module=module)
    assert any(example.examples for example in examples)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in examples:
        assert runner.run(example).failed == 0
