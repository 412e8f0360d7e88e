"""A network for other programs: as a bioimage.io package, ONNX, a state dict or our own file."""

from __future__ import annotations

import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from napari_unet.engine.base.errors import CheckpointError, SettingsError
from napari_unet.engine.base.whole_file import whole_file, write_problem
from napari_unet.engine.export.bioimage import check_package, licence_id, write_package
from napari_unet.engine.export.example import example_of
from napari_unet.engine.export.onnx import MOST_DIFFERENCE, check_onnx, onnx_model
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.foreign.opening import OWN_NOTE
from napari_unet.engine.images.image import AnyImage
from napari_unet.engine.models.checkpoint import as_network, save_checkpoint
from napari_unet.engine.models.facts import author_output_sentence, model_facts
from napari_unet.engine.networks.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

Stages: TypeAlias = Generator["str | Export", None, None]
Writer: TypeAlias = Callable[[Network, Path, ExportSettings, AnyImage | None], Stages]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A kind of file that a network can be written as."""

    name: str
    """For programs and the command line."""
    title: str
    purpose: str
    """`title`, `purpose`: for people: what it is called, and whom it is for."""
    suffix: str
    """Ending of its file."""
    write: Writer
    """Given the network, the path, the settings and a typical image, yields what it does
    next, in words, and at the end the `Export`."""
    stages: int = 1
    """How often it says so."""
    extra: str = ""
    """What is to be installed beside the plugin; empty if nothing."""
    modules: tuple[str, ...] = ()
    """What must be there to write it."""
    note_suffix: str = ""
    """Ending of a second file beside it; empty if there is none."""

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

    def beside(self, target: Path) -> tuple[Path, ...]:
        """Further files that are written beside `target`."""
        return (target.with_suffix(self.note_suffix),) if self.note_suffix else ()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # not even the package that it lies in


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
    """How far an export is."""

    stage: str
    """What is done next, in words; empty at the end."""
    step: int
    steps: int
    """`step`, `steps`: stages done and in all."""
    result: Export | None = None
    """The last report carries it."""


def export_model(
    network: Network | str | os.PathLike[str],
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
    network : Network, str or path
        The network, or by a bundled model's name or a model file.
    path : str or path
        The format's ending is appended if it is missing.
    format : {"bioimageio", "onnx", "state-dict", "safetensors"}
        See `export_formats`.
    settings : ExportSettings, optional
        Licence, authors and citations.
    image : (H, W), (Z, H, W) or either with one channel axis, first or last, optional
        A typical image, with which a bioimage.io package is tested and
        illustrated; a bundled one of its kind by default.
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
    network: Network | str | os.PathLike[str],
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
    network = as_network(network)
    target = kind.path(path)
    _check(network, kind, target, overwrite=overwrite)
    if settings.licence:
        described = replace(network.description, licence=settings.licence)
        network = Network(network.unet, described)
    with closing(kind.write(network, target, settings, image)) as stages:
        for step, stage in enumerate(stages):
            if isinstance(stage, Export):
                yield ExportReport("", step, kind.stages, stage)
            else:
                yield ExportReport(stage, step, kind.stages)


def _check(network: Network, kind: ExportFormat, target: Path, *, overwrite: bool) -> None:
    """Find out before any work what would make it vain."""
    if not network.description.architecture.is_trainable:
        raise CheckpointError(
            f"'{network.description.name}' is a ready-made network, which runs but cannot be "
            "taken apart; pass on the file that it came in."
        )
    if not kind.is_installed:
        raise CheckpointError(
            f"Writing {kind.title} needs further packages; install them with: "
            f'pip install "napari-unet-cells[{kind.extra}]"'
        )
    for path in (target, *kind.beside(target)):
        if path.exists() and not overwrite:
            raise CheckpointError(f"'{path}' exists; choose another name or allow overwriting it.")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise CheckpointError(write_problem(target, error)) from error


# -- the formats -----------------------------------------------------------------------------------


def _write_onnx(
    network: Network, target: Path, _settings: ExportSettings, _image: AnyImage | None
) -> Stages:
    model, difference = yield from _checked_onnx(network)
    yield "writing the file"
    with whole_file(target, refused=CheckpointError) as partial:
        partial.write_bytes(model.SerializeToString())
    yield Export(target, checks=(_same_output(difference),))


def _checked_onnx(network: Network) -> Generator[str, None, tuple[ModelProto, float]]:
    yield "translating the network to ONNX"
    model = onnx_model(network)
    yield "checking it against our own output"
    return model, check_onnx(model, network)


def _write_bioimageio(
    network: Network, target: Path, settings: ExportSettings, image: AnyImage | None
) -> Stages:
    # Before the long part: there may be no licence, and the image may not fit.
    licence_id(network.description, settings)
    example = example_of(network, image)
    model, difference = yield from _checked_onnx(network)
    yield "packing it"
    with _workplace() as folder:
        package = write_package(network, model, example, folder, settings)
        yield "running the test of bioimageio.core"
        check_package(package, network.description)
        yield "writing the file"
        with whole_file(target, refused=CheckpointError) as partial:
            partial.write_bytes(package.read_bytes())
    passed = "The package passes the test of bioimageio.core, with images of several sizes."
    yield Export(target, checks=(_same_output(difference), passed))


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


def _write_state_dict(
    network: Network, target: Path, _settings: ExportSettings, _image: AnyImage | None
) -> Stages:
    """Write the bare weights, as the author's own code loads them, and a description beside."""
    yield "writing the file"
    description = network.description
    weights = OrderedDict(
        # A copy, because a part of a larger tensor is saved with all of it.
        (name, value.detach().cpu().clone(memory_format=torch.contiguous_format))
        for name, value in network.unet.author_weights().items()
    )
    # Where torch notes the versions of layers; without it the tuned thresholds would be lost.
    vars(weights)["_metadata"] = {"": {"version": 1, OWN_NOTE: description.to_json()}}
    facts = {**model_facts(description), "output": author_output_sentence(description)}
    note = {**facts, "description": json.loads(description.to_json())}
    (beside,) = _STATE_DICT.beside(target)
    text = json.dumps(note, indent=1, ensure_ascii=False)
    with whole_file(beside, refused=CheckpointError) as partial:
        partial.write_text(text, "utf-8")
    with whole_file(target, refused=CheckpointError, library_errors=(RuntimeError,)) as partial:
        torch.save(weights, partial)
    check = f"{len(weights)} tensors, which load with torch.load(..., weights_only=True)."
    yield Export(target, (beside,), (check,))


def _write_own(
    network: Network, target: Path, _settings: ExportSettings, _image: AnyImage | None
) -> Stages:
    yield "writing the file"
    # What may not be replaced was refused before.
    yield Export(save_checkpoint(network, target, overwrite=True))


_ONNX_MODULES = ("onnx", "onnxruntime", "onnxscript")
_STATE_DICT = ExportFormat(
    "state-dict",
    "PyTorch state dict",
    "the network's code in PyTorch: its weights under its author's names",
    ".pt",
    _write_state_dict,
    note_suffix=".json",
)
_FORMATS = (
    ExportFormat(
        "bioimageio",
        "bioimage.io package",
        "Fiji (deepImageJ 3), other programs of bioimage.io, and its BioImage Model Zoo",
        ".zip",
        _write_bioimageio,
        stages=5,
        extra="bioimageio,onnx",
        modules=("bioimageio.core", "bioimageio.spec", *_ONNX_MODULES),
    ),
    ExportFormat(
        "onnx",
        "ONNX",
        "programs of your own, in any language, without PyTorch",
        ".onnx",
        _write_onnx,
        stages=3,
        extra="onnx",
        modules=_ONNX_MODULES,
    ),
    _STATE_DICT,
    ExportFormat(
        "safetensors",
        "napari-unet-cells",
        "somebody else with this plugin, with all that is known of the model",
        ".safetensors",
        _write_own,
    ),
)
