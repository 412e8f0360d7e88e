"""Which file goes where: outputs named and checked before any work, and files paired by name."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unet.cli.console import count, listing
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import system_reason
from napari_unet.files.image_file import image_stem
from napari_unet.files.picture import Picture
from napari_unet.files.tiff import Tiff


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """Where the results of one image go.

    Parameters
    ----------
    source : Path
    output : Path
    extras : mapping of str to Path
        Further results, by kind: "scores", "overlay".
    """

    source: Path
    output: Path
    extras: Mapping[str, Path]


def plan_outputs(
    sources: Sequence[Path],
    out: Path,
    *,
    extras: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> list[PlannedFile]:
    """Name the outputs of every source and see that all of them can be written.

    Parameters
    ----------
    sources : sequence of Path
    out : Path
        A TIFF file for a single source; otherwise a folder.
    extras : mapping of str to str
        Ending of each further kind of result, as in {"overlay": ".png"}. They
        stand beside an output file, or in a subfolder of an output folder.
    overwrite : bool

    Raises
    ------
    FileError
        If names collide, outputs exist, or the folder cannot be written to.
    """
    kinds = extras or {}
    if out.suffix.lower() in Tiff.suffixes and not out.is_dir():
        if len(sources) > 1:
            raise FileError(
                f"{len(sources)} images cannot go into the one file '{out}'; name a folder instead."
            )
        beside = {kind: out.with_name(f"{out.stem}_{kind}{end}") for kind, end in kinds.items()}
        plan = [PlannedFile(sources[0], out, beside)]
    else:
        _check_folder_name(out)
        _refuse_equal_stems(sources)
        plan = [
            PlannedFile(
                source,
                out / f"{image_stem(source)}.tif",
                {kind: out / kind / f"{image_stem(source)}{end}" for kind, end in kinds.items()},
            )
            for source in sources
        ]
    _refuse_overwriting(plan, overwrite=overwrite)
    check_writable(plan[0].output.parent)
    return plan


def _check_folder_name(out: Path) -> None:
    if out.suffix.lower() in Picture.suffixes:
        raise FileError(f"'{out}' is a picture's name; end it in .tif, or name a folder.")
    if out.exists() and not out.is_dir():
        raise FileError(f"'{out}' is a file; name a folder, or a file that ends in .tif.")


def _refuse_equal_stems(sources: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        # Windows and macOS do not tell "A.tif" from "a.tif".
        other = seen.setdefault(image_stem(source).casefold(), source)
        if other is not source:
            raise FileError(
                f"'{other}' and '{source}' would both be written as "
                f"'{image_stem(source)}.tif'; rename one, or use two output folders."
            )


def _refuse_overwriting(plan: Sequence[PlannedFile], *, overwrite: bool) -> None:
    sources = {planned.source.resolve() for planned in plan}
    outputs = [path for planned in plan for path in (planned.output, *planned.extras.values())]
    for path in outputs:
        if path.resolve() in sources:
            raise FileError(f"The output '{path}' would replace an input; choose another folder.")
    existing = [str(path) for path in outputs if path.exists()]
    if existing and not overwrite:
        verb = "exists" if len(existing) == 1 else "exist"
        raise FileError(
            f"{count(len(existing), 'output file')} already {verb} ({listing(existing)}); "
            "choose another output, or allow replacing with --overwrite."
        )


def check_writable(folder: Path) -> None:
    """Make `folder` if need be; raise unless files can be written to it.

    Raises
    ------
    FileError
        If not; the message says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(
            f"Cannot write to the folder '{folder}' ({system_reason(error)}); choose another one."
        ) from error
