"""Write a model for other programs, and check that they compute with it what is computed here.

bioimageio: a package for Fiji (deepImageJ 3), other programs of bioimage.io and its BioImage Model
Zoo. onnx: one file that runs in any language, without PyTorch. state-dict: the bare weights for
PyTorch, and what is known of the model in a .json file beside them. safetensors: this plugin's own
file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_unet.batch.file_plan import check_writable
from napari_unet.cli.console import progress_bar, report, say
from napari_unet.cli.model_options import add_loading_options, load_model, model_help
from napari_unet.cli.setting_options import add_setting_options, read_settings
from napari_unet.engine.export.export import Export, export_format, export_formats, iterate_export
from napari_unet.engine.export.settings import ExportSettings
from napari_unet.engine.networks.bundled import model_name
from napari_unet.files.images import read_image


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.usage = "%(prog)s MODEL [--to FORMAT] [-o OUT] [options]"
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=model_help(),
    )
    names = [each.name for each in export_formats()]
    parser.add_argument(
        "--to",
        choices=names,
        metavar="|".join(names),
        help=f"what to write (default: what OUT ends in, or else {names[0]})",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help="the file to write, or a folder for it (default: the model's name, in this folder)",
    )
    parser.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="a typical image, with which a bioimage.io package is tested and illustrated "
        "(default: a bundled one of its kind)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--progress", action="store_true", help="show the progress bar even if not on a terminal"
    )
    add_setting_options(parser, ExportSettings(), title="whose model it is", default_text="none")
    add_loading_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the file and say what was found right."""
    settings = read_settings(arguments, ExportSettings())
    kind = export_format(arguments.to or _format_named_by(arguments.out))
    network = load_model(arguments.model, arguments)
    out = arguments.out or Path(model_name(arguments.model))
    if out.is_dir():
        out /= model_name(arguments.model)
    image = None if arguments.image is None else read_image(arguments.image).array
    check_writable(out.parent)
    result = None
    with progress_bar(0, "", forced=arguments.progress) as bar:
        for step in iterate_export(
            network,
            out,
            format=kind.name,
            settings=settings,
            image=image,
            overwrite=arguments.overwrite,
        ):
            bar.total, bar.n = step.steps, step.step
            bar.set_description(step.stage)
            result = step.result
    assert result is not None  # noqa: S101 - the last report carries the result
    _report(result)
    if kind.name == "bioimageio" and not settings.authors:
        say("the package names no authors; the BioImage Model Zoo asks for them (--authors).")
    return 0


def _format_named_by(out: Path | None) -> str:
    """Name of the format whose ending a file has; the usual one's for any other."""
    ending = "" if out is None else out.suffix.lower()
    named = (each.name for each in export_formats() if each.suffix == ending)
    return next(named, export_formats()[0].name)


def _report(result: Export) -> None:
    for path in (result.path, *result.beside):
        report(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    for check in result.checks:
        report(check)
