"""Model files that are dropped on napari or opened in it go to the Model widget."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from napari import current_viewer

from napari_unet.viewer.commands import open_widget

NO_LAYER: list[tuple[None]] = [(None,)]
"""What napari takes for a file that was read and makes no layer."""

MODEL_PATTERNS = {
    "napari-unet-cells, safetensors": ("*.safetensors",),
    "PyTorch, TorchScript": ("*.pt", "*.pth", "*.ckpt", "*.bin", "*.t7"),
    "torch.export": ("*.pt2",),
    "ONNX": ("*.onnx",),
    "bioimage.io packages": ("*.zip", "*rdf.yaml", "*bioimageio.yaml"),
}
"""How the files of each kind of model are called; napari knows the same from the manifest."""

_OTHERS_TOO = {"*.bin", "*.zip", "*rdf.yaml", "*bioimageio.yaml"}
_SURE = {each[1:] for kind in MODEL_PATTERNS.values() for each in kind if each not in _OTHERS_TOO}
_HEAD_BYTES = 65_536
_PICKLE = b"\x80"
_ZIP = b"PK\x03\x04"
_PACKAGE = r"(?:rdf|bioimageio|.*\.rdf|.*\.bioimageio)\.yaml"
_WEIGHTS = r"(?:[^/]+/)?(?:data\.pkl|constants\.pkl|archive_format)"


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """Return what opens a file, if it is a model and there is a window.

    Parameters
    ----------
    path : str or sequence of str
        As napari gives it: a list where Shift is held. Several files at once
        are no model.

    Returns
    -------
    callable or None
        None leaves the file to other readers.
    """
    single = _single(path)
    if single is None or current_viewer() is None:
        return None
    return open_model if looks_like_model(single) else None


def open_model(path: Any) -> list[tuple[None]]:
    """Load a model in the Model widget, which shows how it goes, and return at once.

    Returns
    -------
    list
        napari's way to say that there is no layer to add.
    """
    viewer, single = current_viewer(), _single(path)
    if viewer is not None and single is not None:
        open_widget(viewer, "Model").model_choice.open(str(single))
    return NO_LAYER


def _single(path: str | PathLike[str] | Sequence[str]) -> Path | None:
    """The one file that was given; None for several."""
    if isinstance(path, str | PathLike):
        return Path(path)
    return Path(path[0]) if len(path) == 1 else None


def looks_like_model(path: Path) -> bool:
    """Whether a file is worth a closer look by the Model widget: a glance at suffix and content.

    Suffixes that only models have are enough: what is wrong with such a file
    is said best there. Others must have the content, too.
    """
    if path.suffix.lower() in _SURE:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(_ZIP):
            return _has_model(path)
    except OSError:
        return False
    if path.suffix.lower() in (".yaml", ".yml"):
        return all(re.search(rb"(?m)^%s:" % key, head) for key in (b"format_version", b"weights"))
    return path.suffix.lower() == ".bin" and head.startswith(_PICKLE)


def _has_model(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
    return any(re.fullmatch(_PACKAGE, name) or re.fullmatch(_WEIGHTS, name) for name in names)
