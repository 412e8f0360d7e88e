"""Which file goes where: outputs named and checked before any work, and files paired by name."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unet.cli.console import count, listing
from napari_unet.engine.errors import FileError
from napari_unet.image_files import PICTURE_SUFFIXES, TIFF_SUFFIXES, find_images, image_stem

_LABEL_ENDINGS = re.compile(r"[-_ ](cp_masks|masks?|labels?|truth|gt)$", re.IGNORECASE)


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
    if out.suffix.lower() in TIFF_SUFFIXES and not out.is_dir():
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
    if out.suffix.lower() in PICTURE_SUFFIXES:
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
        reason = (error.strerror or str(error)).lower()
        raise FileError(
            f"Cannot write to the folder '{folder}' ({reason}); choose another one."
        ) from error


@dataclass(frozen=True, slots=True)
class PairedFiles:
    """Files of two kinds that belong together.

    Parameters
    ----------
    pairs : list of (first, second)
    only_first, only_second : list of str
        Names without a partner.
    """

    pairs: list[tuple[Path, Path]]
    only_first: list[str]
    only_second: list[str]


def pair_files(first: Path, second: Path) -> PairedFiles:
    """Pair the files of two folders by their names without endings.

    The second file may also end in "_labels", "_mask" or the like: `cells.png`
    goes with `cells_masks.tif`. Two single files are a pair under any names.

    Raises
    ------
    FileError
        If there is no pair, or a name stands for two files.
    """
    firsts, seconds = find_images([first]), find_images([second])
    if first.is_file() and second.is_file():
        return PairedFiles([(first, second)], [], [])
    _refuse_ambiguous(firsts)
    _refuse_ambiguous(seconds)
    by_stem = {image_stem(path): path for path in seconds}
    shortened = {_LABEL_ENDINGS.sub("", stem): path for stem, path in by_stem.items()}
    partners = {
        path: by_stem.get(image_stem(path)) or shortened.get(image_stem(path)) for path in firsts
    }
    pairs = [(path, partner) for path, partner in partners.items() if partner is not None]
    if not pairs:
        raise FileError(
            f"No file in '{first}' has the name of one in '{second}' (for example "
            f"'{firsts[0].name}' and '{seconds[0].name}'); files belong together by their "
            "names without endings."
        )
    paired = {partner for _, partner in pairs}
    return PairedFiles(
        pairs,
        [path.name for path, partner in partners.items() if partner is None],
        [path.name for path in seconds if path not in paired],
    )


def _refuse_ambiguous(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(image_stem(path), path)
        if other is not path:
            raise FileError(
                f"'{other}' and '{path}' have the same name up to their endings; "
                "it is not clear which one to pair. Remove or rename one."
            )
