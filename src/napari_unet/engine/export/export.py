"""A network for other programs: as a bioimage.io package, ONNX, a state dict or our own file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.export.bioimage import check_package, example_of, licence_id, write_package
from napari_unet.engine.export.onnx import MOST_DIFFERENCE, check_onnx, onnx_model
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.models.checkpoint import save_checkpoint, write_atomically
from napari_unet.engine.models.facts import author_output_sentence, model_facts
from napari_unet.engine.networks.network import Network

FormatName: TypeAlias = Literal["bioimageio", "onnx", "state-dict", "safetensors"]

_NOTE = ".json"


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A kind of file that a network can be written as.

    Parameters
    ----------
    name : str
        For programs and the command line.
    title, purpose : str
        For people: what it is called, and whom it is for.
    suffix : str
        Ending of its file.
    extra : str
        What is to be installed beside the plugin; empty if nothing.
    modules : tuple of str
        What must be there to write it.
    """

    name: FormatName
    title: str
    purpose: str
    suffix: str
    extra: str = ""
    modules: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        """Whether all that it needs is there; imports none of it."""
        return all(map(_is_there, self.modules))

    def path(self, name: str | os.PathLike[str]) -> Path:
        """Return a file name with the ending of this format."""
        path = Path(name).expanduser()
        if path.suffix.lower() == self.suffix:
            return path
        return path.with_name(path.name + self.suffix)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # not even the package that it lies in


_ONNX_MODULES = ("onnx", "onnxruntime", "onnxscript")
_FORMATS = (
    ExportFormat(
        "bioimageio",
        "bioimage.io package",
        "Fiji (deepImageJ 3), other programs of bioimage.io, and its BioImage Model Zoo",
        ".zip",
        "bioimageio,onnx",
        ("bioimageio.core", "bioimageio.spec", *_ONNX_MODULES),
    ),
    ExportFormat(
        "onnx",
        "ONNX",
        "programs of your own, in any language, without PyTorch",
        ".onnx",
        "onnx",
        _ONNX_MODULES,
    ),
    ExportFormat(
        "state-dict",
        "PyTorch state dict",
        "the network's code in PyTorch: its weights under its author's names",
        ".pt",
    ),
    ExportFormat(
        "safetensors",
        "napari-unet-cells",
        "somebody else with this plugin, with all that is known of the model",
        ".safetensors",
    ),
)


def export_formats() -> tuple[ExportFormat, ...]:
    """List what a network can be written as."""
    return _FORMATS


def export_format(name: str) -> ExportFormat:
    """Return the format of a name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    for each in _FORMATS:
        if each.name == name:
            return each
    raise SettingsError(
        f"There is no format '{name}'; use one of {', '.join(each.name for each in _FORMATS)}."
    )


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Parameters
    ----------
    path : Path
        The model's file.
    beside : tuple of Path
        Further files, in the same folder.
    checks : tuple of str
        Sentences about what was found right before it was written.
    """

    path: Path
    beside: tuple[Path, ...] = ()
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How far an export is.

    Parameters
    ----------
    stage : str
        What is done next, in words; empty at the end.
    step, steps : int
        Stages done and in all.
    result : Export, optional
        The last report carries it.
    """

    stage: str
    step: int
    steps: int
    result: Export | None = None


def export_model(
    network: Network,
    path: str | os.PathLike[str],
    *,
    format: str,  # noqa: A002 - what it is called everywhere
    settings: ExportSettings | None = None,
    image: AnyImage | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a network for other programs, and check that they compute what is computed here.

    Parameters
    ----------
    network : Network
    path : str or path
        The format's ending is appended if it is missing.
    format : {"bioimageio", "onnx", "state-dict", "safetensors"}
        See `export_formats`.
    settings : ExportSettings, optional
        Licence, authors and citations.
    image : (H, W), (Z, H, W) or either with one channel axis, first or last, optional
        A typical image, with which a bioimage.io package is tested and
        illustrated; a bundled one of nuclei by default.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    Export

    Raises
    ------
    UNetError
        If it cannot be written in this format or to this place, or gives other
        scores there; then no file was written or replaced.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from napari_unet import export_model, load_checkpoint
    >>> with TemporaryDirectory() as folder:
    ...     written = export_model(
    ...         load_checkpoint("nuclei"), Path(folder) / "nuclei", format="state-dict"
    ...     )
    ...     written.path.name, written.beside[0].name
    ('nuclei.pt', 'nuclei.json')
    """
    reports = iterate_export(
        network, path, format=format, settings=settings, image=image, overwrite=overwrite
    )
    results = [report.result for report in reports if report.result is not None]
    return results[-1]


def iterate_export(
    network: Network,
    path: str | os.PathLike[str],
    *,
    format: str,  # noqa: A002
    settings: ExportSettings | None = None,
    image: AnyImage | None = None,
    overwrite: bool = False,
) -> Iterator[ExportReport]:
    """Write a network for other programs, with a report before each stage.

    To stop, no longer iterate: no file is left. Parameters and errors are
    those of `export_model`; nothing is checked before the first iteration.

    Yields
    ------
    ExportReport
        The last one carries the result.
    """
    kind, settings = export_format(format), settings or ExportSettings()
    target = kind.path(path)
    _check(network, kind, settings, target, overwrite=overwrite)
    if settings.licence:
        described = replace(network.description, licence=settings.licence)
        network = Network(network.unet, described)
    if kind.name == "onnx":
        yield from _onnx(network, target)
    elif kind.name == "bioimageio":
        yield from _bioimageio(network, target, settings, image)
    elif kind.name == "state-dict":
        yield from _state_dict(network, target)
    else:
        yield ExportReport("writing the file", 0, 1)
        saved = save_checkpoint(network, target, overwrite=overwrite)
        yield ExportReport("", 1, 1, Export(saved))


def _check(
    network: Network, kind: ExportFormat, settings: ExportSettings, target: Path, *, overwrite: bool
) -> None:
    """Find out before any work what would make it vain."""
    if not network.description.unet.is_trainable:
        raise CheckpointError(
            f"'{network.description.name}' is a ready-made network, which runs but cannot be "
            "taken apart; pass on the file that it came in."
        )
    if not kind.is_installed:
        raise CheckpointError(
            f"Writing {kind.title} needs further packages; install them with: "
            f'pip install "napari-unet-cells[{kind.extra}]"'
        )
    if kind.name == "bioimageio":
        licence_id(network.description, settings)
    for path in (target, *_beside(kind, target)):
        if path.exists() and not overwrite:
            raise CheckpointError(f"'{path}' exists; choose another name or allow overwriting it.")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise CheckpointError(
            f"'{target}' cannot be written ({error.strerror}); choose a folder that exists, "
            "is writable and has room."
        ) from error


def _beside(kind: ExportFormat, target: Path) -> tuple[Path, ...]:
    return (target.with_suffix(_NOTE),) if kind.name == "state-dict" else ()


def _onnx(network: Network, target: Path) -> Iterator[ExportReport]:
    yield ExportReport("translating the network to ONNX", 0, 3)
    model = onnx_model(network)
    yield ExportReport("checking it against our own output", 1, 3)
    difference = check_onnx(model, network)
    yield ExportReport("writing the file", 2, 3)
    write_atomically(target, lambda partial: partial.write_bytes(model.SerializeToString()))
    yield ExportReport("", 3, 3, Export(target, checks=(_same_output(difference),)))


def _bioimageio(
    network: Network, target: Path, settings: ExportSettings, image: AnyImage | None
) -> Iterator[ExportReport]:
    example = example_of(network, image)  # before the long part: the image may not fit
    yield ExportReport("translating the network to ONNX", 0, 5)
    model = onnx_model(network)
    yield ExportReport("checking it against our own output", 1, 5)
    difference = check_onnx(model, network)
    yield ExportReport("packing it", 2, 5)
    with _workplace() as folder:
        package = write_package(network, model, example, folder, settings)
        yield ExportReport("running the test of bioimageio.core", 3, 5)
        check_package(package, network.description)
        yield ExportReport("writing the file", 4, 5)
        write_atomically(target, lambda partial: partial.write_bytes(package.read_bytes()))
    passed = "The package passes the test of bioimageio.core, with images of several sizes."
    yield ExportReport("", 5, 5, Export(target, checks=(_same_output(difference), passed)))


@contextmanager
def _workplace() -> Iterator[Path]:
    try:
        # The library leaves files open, which Windows then does not delete.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise CheckpointError(
            f"The package cannot be put together in '{tempfile.gettempdir()}' "
            f"({error.strerror or error}); make room there."
        ) from error


def _same_output(difference: float) -> str:
    return (
        f"ONNX Runtime gives the same output as we do, for images of two sizes: it differs by "
        f"{difference:.1g} at most, {MOST_DIFFERENCE:g} would be allowed."
    )


def _state_dict(network: Network, target: Path) -> Iterator[ExportReport]:
    """Write the bare weights, as the author's own code loads them, and a description beside."""
    yield ExportReport("writing the file", 0, 1)
    weights = {
        # A copy, because a part of a larger tensor is saved with all of it.
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.unet.author_weights().items()
    }
    description = network.description
    facts = {**model_facts(description), "output": author_output_sentence(description)}
    note = {**facts, "description": json.loads(description.to_json())}
    (beside,) = _beside(export_format("state-dict"), target)
    text = json.dumps(note, indent=1, ensure_ascii=False)
    write_atomically(beside, lambda partial: partial.write_text(text, "utf-8"))
    write_atomically(target, lambda partial: torch.save(weights, partial))
    check = f"{len(weights)} tensors, which load with torch.load(..., weights_only=True)."
    yield ExportReport("", 1, 1, Export(target, (beside,), (check,)))
