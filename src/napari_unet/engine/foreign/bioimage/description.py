"""What a bioimage.io package says of its model, in formats 0.4 and 0.5 alike.

It is read as plain YAML. The format's own library refuses whole packages for what does not matter
here (a short name, a missing cover), would fetch what is not there, and takes seconds to start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from napari_unet.engine.base.errors import CheckpointError

_LETTERS = {"batch": "b", "channel": "c", "index": "i", "time": "t"}
_FORMATS = ("0.4", "0.5")


@dataclass(frozen=True, slots=True)
class ProcessingStep:
    """Something that is done to a tensor before or after the network."""

    name: str
    """As the format calls it: "scale_range"."""
    options: Mapping[str, Any]
    """Its "kwargs", as they stand in the file."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What is said of one input or output."""

    name: str
    axes: str
    """One letter for each: "bcyx"."""
    channels: tuple[str, ...]
    """Their names; empty if they are not named or counted."""
    step_px: int
    """Sizes that it can have differ by this."""
    halo_px: int
    """Pixels at each border that are not to be trusted."""
    pixel_size_um: float | None
    dtype: str
    steps: tuple[ProcessingStep, ...]
    test_file: str
    """Name of an example in the package; "" if there is none."""


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """One file of weights."""

    source: str
    """Name in the package, or an address on the internet."""
    sha256: str = ""
    """"" if it is not told."""
    code_file: str = ""
    """Python file that builds the network; "" if there is none."""
    beside: tuple[str, ...] = ()
    """Files that must lie beside it."""


@dataclass(frozen=True, slots=True)
class PackageDescription:
    """What a package says of its model."""

    name: str
    summary: str
    licence: str
    training_data: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    weights: dict[str, WeightsFacts]
    """From the format's name, such as "onnx"."""
    attachments: tuple[str, ...]
    """Names of further files."""


def read_description(text: bytes) -> PackageDescription:
    """Read the text of "rdf.yaml" or "bioimageio.yaml".

    Raises
    ------
    CheckpointError
        If it is of another format, or torn. The message is a predicate.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError("holds a damaged description; download it again.") from error
    if not isinstance(content, Mapping) or content.get("type", "model") != "model":
        raise CheckpointError("describes no model; choose a package that holds one.")
    version = str(content.get("format_version", "unknown"))
    if not version.startswith(tuple(f"{known}." for known in _FORMATS)):
        raise CheckpointError(
            f"is in version {version} of the bioimage.io format, and {' and '.join(_FORMATS)} are "
            "read here. Open its file of weights (PyTorch, ONNX or TorchScript) itself."
        )
    try:
        return _description(content, is_old=version.startswith("0.4."))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"holds a description that cannot be read ({type(error).__name__}: {error}); check "
            "it with 'bioimageio test', or download it again."
        ) from error


def _description(content: Mapping[str, Any], *, is_old: bool) -> PackageDescription:
    attachments = _attachments(content.get("attachments"))
    return PackageDescription(
        name=str(content["name"]),
        summary=_summary(content),
        licence=str(content.get("license") or ""),
        training_data=_training_data(content.get("training_data")),
        inputs=_tensors(content, "input", is_old=is_old),
        outputs=_tensors(content, "output", is_old=is_old),
        weights={
            str(kind): _weights(entry, attachments)
            for kind, entry in content["weights"].items()
            if entry
        },
        attachments=attachments,
    )


# -- texts ----------------------------------------------------------------------------------------


def _summary(content: Mapping[str, Any]) -> str:
    authors = [str(author["name"]) for author in content.get("authors") or ()]
    cited = [
        " ".join(str(cite[key]) for key in ("text", "doi", "url") if cite.get(key))
        for cite in content.get("cite") or ()
    ]
    tags = [str(tag) for tag in content.get("tags") or ()]
    parts = [str(content.get("description") or "").strip().rstrip(".")]
    parts += [f"By {', '.join(authors)}"] if authors else []
    parts += [f"Cite: {'; '.join(cited)}"] if cited else []
    parts += [f"Tags: {', '.join(tags)}"] if tags else []
    return ". ".join(part for part in parts if part) + "."


def _training_data(data: Any) -> str:
    if isinstance(data, Mapping):
        return str(data.get("name") or data.get("id") or "")
    return str(data or "")


def _attachments(found: Any) -> tuple[str, ...]:
    entries = found.get("files") or () if isinstance(found, Mapping) else found or ()
    return tuple(_source(entry) for entry in entries)


def _source(entry: Any) -> str:
    source = str(entry["source"] if isinstance(entry, Mapping) else entry or "")
    return source.removeprefix("./")


def _weights(entry: Mapping[str, Any], attachments: tuple[str, ...]) -> WeightsFacts:
    architecture = entry.get("architecture")
    code = ""
    if isinstance(architecture, Mapping):
        code = str(architecture.get("source") or "")
    elif isinstance(architecture, str) and ":" in architecture:
        code = architecture.rpartition(":")[0]
    external = entry.get("external_data")
    return WeightsFacts(
        source=_source(entry),
        sha256=str(entry.get("sha256") or ""),
        code_file=code,
        # Before there was an entry for it, what ONNX needs was attached.
        beside=(_source(external),) if external else attachments,
    )


# -- tensors --------------------------------------------------------------------------------------


def _tensors(content: Mapping[str, Any], role: str, *, is_old: bool) -> tuple[TensorFacts, ...]:
    entries = content[f"{role}s"]
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{role}s: {entries}")
    if not is_old:
        return tuple(map(_tensor, entries))
    tests = content.get(f"test_{role}s") or [""] * len(entries)
    return tuple(_old_tensor(*pair) for pair in zip(entries, tests, strict=True))


def _tensor(entry: Mapping[str, Any]) -> TensorFacts:
    """Read a tensor of format 0.5."""
    axes: Sequence[Mapping[str, Any]] = entry["axes"]
    letters = [
        str(axis.get("id")) if axis["type"] == "space" else axis_letter(axis["type"])
        for axis in axes
    ]
    spatial = [axis for axis in axes if axis["type"] == "space"]
    units = {str(axis.get("unit")) for axis in spatial if axis.get("id") in ("x", "y")}
    data = entry.get("data") or {}
    data = data[0] if isinstance(data, list) else data
    return TensorFacts(
        name=str(entry.get("id") or ""),
        axes="".join(letter if len(letter) == 1 else "?" for letter in letters),
        channels=next((_names(axis) for axis in axes if axis["type"] == "channel"), ()),
        step_px=max([int(_step(axis.get("size"))) for axis in spatial], default=1),
        halo_px=max([int(axis.get("halo") or 0) for axis in spatial], default=0),
        pixel_size_um=float(spatial[-1].get("scale") or 1) if units == {"micrometer"} else None,
        dtype=str(data.get("type") or "float32"),
        steps=_steps(entry),
        test_file=_source(entry.get("test_tensor")),
    )


def axis_letter(kind: str) -> str:
    """Give the letter by which format 0.4 calls an axis of format 0.5."""
    return _LETTERS.get(kind, kind)


def _names(axis: Mapping[str, Any]) -> tuple[str, ...]:
    names = axis.get("channel_names")
    if isinstance(names, list):
        return tuple(map(str, names))
    size = axis.get("size")
    return tuple(f"channel{n}" for n in range(size)) if isinstance(size, int) else ()


def _step(size: Any) -> int:
    return int(size.get("step") or 1) if isinstance(size, Mapping) else 1


def _old_tensor(entry: Mapping[str, Any], test: Any) -> TensorFacts:
    """Read a tensor of format 0.4."""
    axes, shape = str(entry["axes"]), entry.get("shape")
    steps = shape.get("step") or () if isinstance(shape, Mapping) else ()
    spatial = [int(n) for letter, n in zip(axes, steps, strict=False) if letter in "zyx"]
    return TensorFacts(
        name=str(entry.get("name") or ""),
        axes=axes,
        channels=tuple(f"channel{n}" for n in range(_old_channels(axes.find("c"), shape))),
        step_px=max([1, *spatial]),
        halo_px=max([0, *map(int, entry.get("halo") or ())]),
        pixel_size_um=None,
        dtype=str(entry.get("data_type") or "float32"),
        steps=_steps(entry),
        test_file=_source(test),
    )


def _old_channels(place: int, shape: Any) -> int:
    """How many channels there are; 0 if that is not told."""
    if place < 0:
        return 0
    if not isinstance(shape, Mapping):
        return int(shape[place])
    if "min" in shape:
        return int(shape["min"][place])
    # As many as another tensor has, times a scale, and twice an offset.
    return 0 if shape["scale"][place] else int(2 * shape["offset"][place])


def _steps(entry: Mapping[str, Any]) -> tuple[ProcessingStep, ...]:
    found = [*(entry.get("preprocessing") or ()), *(entry.get("postprocessing") or ())]
    return tuple(
        ProcessingStep(str(step.get("id") or step["name"]), step.get("kwargs") or {})
        for step in found
    )


def is_unnamed(channels: Sequence[str]) -> bool:
    """Whether names of channels tell nothing."""
    return all(
        re.fullmatch(r"(channel|output|out|pred|prediction|class|c)?[ _-]?\d*", name.lower())
        for name in channels
    )
