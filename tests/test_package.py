"""What `import napari_unet` gives, and what it must not drag in."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import napari_unet


def _modules_loaded_by(statement: str) -> set[str]:
    listing = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.partition(".")[0] for name in listing.stdout.split()}


def test_importing_the_package_loads_neither_torch_nor_qt_nor_numpy() -> None:
    heavy = {"PyQt6", "PySide6", "magicgui", "napari", "numba", "numpy", "qtpy", "scipy", "torch"}

    assert not _modules_loaded_by("import napari_unet") & heavy


def test_importing_the_engine_loads_no_screen() -> None:
    screen = {"PyQt6", "PySide6", "magicgui", "napari", "npe2", "qtpy", "superqt"}

    loaded = _modules_loaded_by("import napari_unet; napari_unet.train; napari_unet.segment")

    assert "torch" in loaded
    assert not loaded & screen


@pytest.mark.parametrize("form", ["segment", "train", "weight_map", "model", "measure", "evaluate"])
def test_importing_a_form_does_not_load_torch_on_the_qt_thread(form: str) -> None:
    assert "torch" not in _modules_loaded_by(f"import napari_unet.widgets.{form}.widget")


def test_reading_a_bundled_model_does_not_load_the_compiler_of_torch() -> None:
    loaded = _modules_loaded_by("import napari_unet; napari_unet.load_checkpoint('nuclei')")

    # Its symbols come with it: two seconds, before the first image.
    assert "torch" in loaded
    assert "sympy" not in loaded


def test_every_call_of_the_python_interface_is_public() -> None:
    assert {
        "boundary_weight_map",
        "compare_cells",
        "evaluate",
        "find_errors",
        "load_checkpoint",
        "measure_cells",
        "preflight",
        "rank_doubt",
        "rank_uncertainty",
        "save_checkpoint",
        "segment",
        "segment_blocks",
        "suggest_model",
        "train",
    } <= set(dir(napari_unet))


@pytest.mark.parametrize("name", napari_unet.__all__)
def test_public_name_is_found_and_documented(name: str) -> None:
    assert getattr(napari_unet, name).__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="segmnt"):
        napari_unet.segmnt  # noqa: B018


def test_version_is_the_one_of_the_installed_distribution() -> None:
    assert napari_unet.__version__ == version("napari-unet-cells")
