"""A network as a bioimage.io package: ONNX with all that another program must know to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.export.example import Example, axis_names, cover_of, halo_px, least_size_px
from napari_unet.engine.export.onnx import OPSET
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.models.checkpoint import SUFFIX, save_checkpoint
from napari_unet.engine.models.facts import model_facts, output_gives_scores
from napari_unet.engine.networks.architecture import Architecture
from napari_unet.engine.networks.class_roles import is_cell
from napari_unet.engine.networks.network import Network, NetworkDescription

if TYPE_CHECKING:
    from bioimageio.spec import ValidationSummary
    from onnx import ModelProto

_WEIGHTS, _README, _COVER = "weights.onnx", "README.md", "cover.png"
_IMAGE, _SCORES = "test_input.npy", "test_output.npy"
_ATTACHED = (
    "The attached `.safetensors` file is the same model for napari (napari-unet-cells), with all "
    "that is known of it, to segment with and to train further."
)
_MOST_SUMMARY, _MOST_REASON = 512, 300

_UNET_PAPERS = {
    2: ("Ronneberger et al. (2015): U-Net", "10.1007/978-3-319-24574-4_28"),
    3: ("Cicek et al. (2016): 3D U-Net", "10.1007/978-3-319-46723-8_49"),
}


def licence_id(description: NetworkDescription, settings: ExportSettings) -> str:
    """Return the SPDX identifier of the licence that was chosen, or of the model's own.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    from bioimageio.spec.generic.v0_3 import LicenseId
    from pydantic import TypeAdapter

    text = settings.licence or description.licence
    # "BSD-3-Clause; trained on CC0 images": what follows is no part of the name.
    name = "-".join(re.split(r"[;,(]", text)[0].strip(" .").split())
    with suppress(ValueError):
        return str(TypeAdapter(LicenseId).validate_python(name))
    says = f"The licence is '{text}', which is no SPDX identifier" if text else ""
    says = says or f"'{description.name}' does not say under which licence it may be used"
    raise CheckpointError(
        f"{says}; a bioimage.io package needs one: give it, as in licence='CC-BY-4.0' or "
        "licence='MIT'."
    )


def write_package(
    network: Network,
    model: ModelProto,
    example: Example,
    folder: Path,
    settings: ExportSettings,
) -> Path:
    """Put a package together in an empty folder.

    Parameters
    ----------
    model : onnx.ModelProto
        The same network, from `onnx_model`.

    Returns
    -------
    Path
        The zip file in `folder`.

    Raises
    ------
    CheckpointError
        If the format refuses what is known of the model.
    """
    from bioimageio.spec import (
        InvalidDescr,
        ValidationContext,
        build_description,
        save_bioimageio_package,
    )

    description = network.description
    np.save(folder / _IMAGE, example.image)
    np.save(folder / _SCORES, example.scores)
    cover_of(example).save(folder / _COVER)
    (folder / _WEIGHTS).write_bytes(model.SerializeToString())
    (folder / _README).write_text(_readme(description), "utf-8")
    attachment = save_checkpoint(network, folder / f"{_file_name(description.name)}{SUFFIX}")
    content = {
        **_general_entries(network, settings, attachment.name),
        "inputs": [_input_entry(description, example)],
        "outputs": [_output_entry(description)],
        "weights": {"onnx": {"source": _WEIGHTS, "opset_version": OPSET}},
    }
    with ValidationContext(root=folder, file_name="bioimageio.yaml", log_warnings=False):
        described = build_description(content)
        if isinstance(described, InvalidDescr):
            raise CheckpointError(_refusal(description, _reason(described.validation_summary)))
        try:
            return Path(save_bioimageio_package(described, output_path=folder / "package.zip"))
        except ValueError as error:
            raise CheckpointError(_refusal(description, str(error))) from error


def check_package(package: Path, description: NetworkDescription) -> None:
    """Let bioimageio.core test a package: the same scores from its files alone, at all sizes.

    Raises
    ------
    CheckpointError
        If the test fails; the message has its words.
    """
    from bioimageio.core import test_model
    from bioimageio.spec import ValidationContext

    with ValidationContext(log_warnings=False):
        summary = test_model(package, weight_format="onnx", stop_early=True)
    if summary.status != "passed":
        raise CheckpointError(_refusal(description, _reason(summary)))


# -- entries of bioimageio.yaml --------------------------------------------------------------------


def _general_entries(network: Network, settings: ExportSettings, attachment: str) -> dict[str, Any]:
    from bioimageio.spec.model.v0_5 import ModelDescr

    description = network.description
    config = description.architecture
    papers = [_UNET_PAPERS[2], *([_UNET_PAPERS[3]] if config.ndim == 3 else [])]
    papers += [(doi, doi) for doi in settings.citations]
    dims = f"{config.ndim}d"
    tags = [dims, f"unet{dims}", "unet", "segmentation", "pytorch", "napari-unet-cells"]
    return {
        "type": "model",
        "format_version": ModelDescr.implemented_format_version,
        "name": _package_name(description.name),
        "description": (description.summary or config.sentence)[:_MOST_SUMMARY],
        "authors": [{"name": name} for name in settings.authors],
        "license": licence_id(description, settings),
        "cite": [{"text": text, "doi": doi} for text, doi in papers],
        "tags": tags + (["cells"] if any(map(is_cell, description.class_roles)) else []),
        "documentation": {"source": _README},
        "covers": [{"source": _COVER}],
        "attachments": [{"source": attachment}],
        "config": {
            "bioimageio": {
                "architecture_type": f"{config.ndim}D U-Net",
                "model_parameter_count": network.parameter_count,
            },
            "napari_unet": {
                "model": attachment,
                "class_roles": list(description.class_roles),
                "instances": asdict(description.instances),
                "object_diameter_px": description.object_diameter_px,
                "pixel_size_um": description.pixel_size_um,
                "anisotropy": description.anisotropy,
                "history": list(description.history),
            },
        },
    }


def _input_entry(description: NetworkDescription, example: Example) -> dict[str, Any]:
    config = description.architecture
    sizes = [
        {"min": least_size_px(config, axis), "step": config.along(axis).size_multiple}
        for axis in range(config.ndim)
    ]
    channels = [f"channel_{number}" for number in range(1, config.in_channels + 1)]
    channels = ["image"] if config.in_channels == 1 else channels
    return {
        "id": "image",
        "description": "Image as it comes from the microscope",
        "axes": [
            _batch_axis(config),
            {"type": "channel", "id": "channel", "channel_names": channels},
            *(
                {"type": "space", "id": name, "size": size}
                for name, size in zip(axis_names(config), sizes, strict=True)
            ),
        ],
        "data": {"type": "float32"},
        "preprocessing": example.preprocessing,
        "test_tensor": {"source": _IMAGE},
    }


def _output_entry(description: NetworkDescription) -> dict[str, Any]:
    config, roles = description.architecture, description.class_roles
    gives_scores = output_gives_scores(config)
    axes = [
        {
            "type": "space",
            "id": name,
            "size": {
                "tensor_id": "image",
                "axis_id": name,
                "offset": -config.along(axis).size_loss_px,
            },
            **({"halo": halo_px(config, axis)} if halo_px(config, axis) else {}),
        }
        for axis, name in enumerate(axis_names(config))
    ]
    # The format takes only what could be a name in Python.
    names = [role if role.isidentifier() else f"class_{n}" for n, role in enumerate(roles)]
    return {
        "id": "scores" if gives_scores else "values",
        "description": f"{'Probabilities of' if gives_scores else ''} {', '.join(roles)}"[:128],
        "axes": [
            _batch_axis(config),
            {"type": "channel", "id": "channel", "channel_names": names},
            *axes,
        ],
        "data": {"type": "float32", **({"range": [0.0, 1.0]} if gives_scores else {})},
        "test_tensor": {"source": _SCORES},
    }


def _batch_axis(config: Architecture) -> dict[str, Any]:
    # A batch of volumes would fill a workstation's memory when the package is tested.
    return {"type": "batch"} if config.ndim == 2 else {"type": "batch", "size": 1}


def _package_name(name: str) -> str:
    """Return the name with only the characters, and at least the length, that the format takes."""
    plain = re.sub(r"[^A-Za-z0-9_+\- ()]+", "-", name).strip("- ") or "model"
    return f"{plain[:100]} (U-Net)" if len(plain) < 5 else plain[:128]


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:100] or "model"


def _readme(description: NetworkDescription) -> str:
    facts = model_facts(description)
    name = facts.pop("name")
    lines = [f"# {name}", "", facts.pop("summary", ""), ""]
    lines += [f"- **{heading.capitalize()}**: {text}" for heading, text in facts.items()]
    lines += [
        "",
        _ATTACHED,
        "",
        "## Validation",
        "",
        *(_metric_lines(description.metrics) or ["It was not measured on test images."]),
    ]
    return "\n".join(lines) + "\n"


def _metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    return [
        f"- {name}: "
        + (
            ", ".join(f"{key} {_short(each)}" for key, each in value.items())
            if isinstance(value, Mapping)
            else _short(value)
        )
        for name, value in metrics.items()
    ]


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _reason(summary: ValidationSummary) -> str:
    """Return the first thing that the library does not like."""
    errors = [entry for detail in summary.details for entry in detail.errors]
    if not errors:
        return str(summary.status)
    where = ".".join(map(str, errors[0].loc))
    return f"{where}: {errors[0].msg}" if where else str(errors[0].msg)


def _refusal(description: NetworkDescription, reason: str) -> str:
    return (
        f"bioimageio.core does not take the package of '{description.name}' "
        f"({' '.join(reason.split())[:_MOST_REASON]}), so nothing was written; export it as ONNX "
        "or .safetensors."
    )
