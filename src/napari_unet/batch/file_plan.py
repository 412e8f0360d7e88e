"""Which file goes where: outputs named and checked before any work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unet.engine.base.errors import FileError, UNetError
from napari_unet.engine.base.whole_file import system_reason
from napari_unet.engine.base.words import count, listing
from napari_unet.files.finding import find_images, stores_beside_images
from napari_unet.files.image_file import SeriesInfo, chosen_series, existing, image_stem
from napari_unet.files.images import IMAGE_SUFFIXES, STORE_SUFFIXES, image_series
from napari_unet.files.stores.ngff import is_zarr_group
from napari_unet.files.tiff.tiff import Tiff

_REMEDY = "choose another output, or allow replacing with --overwrite"

_LONGEST_NAME = 255
"""Bytes of a file's name that the usual file systems take."""


def _tell_nobody(_sentence: str) -> None:
    """Say nothing: of files that are one image each there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """Where the results of one image go.

    Parameters
    ----------
    source : Path
    output : Path
    extras : mapping of str to Path
        Further results, by kind: "scores", "overlay".
    series : int, optional
        Number of the image in a file that holds several.
    series_name : str
        What the file calls it, if it does.
    problem : UNetError, optional
        Why there will be none; for its turn among the others.
    """

    source: Path
    output: Path
    extras: Mapping[str, Path]
    series: int | None = None
    series_name: str = ""
    problem: UNetError | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All of its results."""
        return (self.output, *self.extras.values())

    @property
    def title(self) -> str:
        """The image's name for people: "a.lif, series 2 'Scene A'"."""
        if self.series is None:
            return self.source.name
        name = f" '{self.series_name}'" if self.series_name else ""
        return f"{self.source.name}, series {self.series}{name}"


@dataclass(frozen=True, slots=True)
class _Image:
    """One image of a file, before its outputs have names."""

    source: Path
    series: SeriesInfo | None = None
    problem: UNetError | None = None

    @property
    def stem(self) -> str:
        stem = image_stem(self.source)
        return stem if self.series is None else f"{stem}_{self.series.label}"


def named_images(paths: Sequence[str], *, tell: Callable[[str], object]) -> list[Path]:
    """List the images among files and folders; of several, what is none is left out.

    Parameters
    ----------
    paths : sequence of str
    tell : callable
        Given a sentence that names what is left out.

    Raises
    ------
    FileError
        As `find_images`, or if no image is among them.
    """
    left_out = [path for path in paths if len(paths) > 1 and _holds_no_image(Path(path))]
    if left_out and len(left_out) < len(paths):
        tell(
            f"left out, because there is no image in {'it' if len(left_out) == 1 else 'them'}: "
            f"{listing(left_out)}."
        )
        paths = [path for path in paths if path not in left_out]
    found = find_images(paths)
    stores = [store for path in paths for store in stores_beside_images(Path(path))]
    if beside := [str(store) for store in stores if store not in found]:
        they = "it" if len(beside) == 1 else "they"
        tell(
            f"left out, because beside pictures {they} may be labels: {listing(beside)}. "
            "Images among them are segmented if you name them."
        )
    return found


def _holds_no_image(path: Path) -> bool:
    try:
        if is_zarr_group(path):
            return False
        if path.is_dir():
            return not any(_has_image_name(each) for each in path.iterdir())
        return path.is_file() and not _has_image_name(path)
    except OSError:
        return False  # said where it is looked for


def _has_image_name(path: Path) -> bool:
    # macOS leaves "._cells.tif" beside "cells.tif" on disks of others.
    is_image = path.suffix.lower() in (*IMAGE_SUFFIXES, *STORE_SUFFIXES)
    return is_image and not path.name.startswith("._")


def plan_outputs(
    sources: Sequence[Path],
    out: Path,
    *,
    ending: str = ".tif",
    file_endings: Sequence[str] = (),
    extras: Mapping[str, str] | None = None,
    overwrite: bool = False,
    known: Collection[Path] = (),
    remedy: str = _REMEDY,
    series: Sequence[str] | None = None,
    are_labels: bool = False,
    tell: Callable[[str], object] = _tell_nobody,
) -> list[PlannedFile]:
    """Name the outputs of every source and see that all of them can be written.

    Parameters
    ----------
    sources : sequence of Path
    out : Path
        A TIFF file for a single image, or one that ends in `ending`; otherwise
        a folder. There, images of one name from several folders go into
        subfolders named as these.
    ending : str
        Of the names of the outputs.
    file_endings : sequence of str
        By which `out` is a file; `ending` alone by default, and each of TIFF.
    extras : mapping of str to str
        Ending of each further kind of result, as in {"overlay": ".png"}. They
        stand beside an output file, or in a subfolder of an output folder.
    overwrite : bool
    known : collection of Path
        Outputs that may exist.
    remedy : str
        What to do about others that exist.
    series : sequence of str, optional
        Which images of files with several, by number or name; empty for all.
        None where each file is one image.
    are_labels : bool
        Whether the sources are labels.
    tell : callable
        Given a sentence about the files of a set, of which `series` makes one image.

    Raises
    ------
    FileError
        If names collide or are too long, outputs exist, or a folder cannot be
        written to.
    """
    kinds = extras or {}
    images = [_Image(source) for source in sources]
    if series is not None:
        images = _images_of(sources, series, tell, are_labels=are_labels)
    _refuse_long_names([out])
    endings = file_endings or (Tiff.suffixes if ending == ".tif" else (ending,))
    if out.name.lower().endswith(tuple(endings)) and not _is_folder(out):
        _refuse_several(images, sources, out)
        beside = {kind: out.with_name(f"{out.stem}_{kind}{end}") for kind, end in kinds.items()}
        plan = [_planned(images[0], out, beside)]
    else:
        _check_folder_name(out, ending)
        folders = _subfolders(images, ending)
        plan = [
            _planned(
                image,
                out / folder / f"{image.stem}{ending}",
                {kind: out / kind / folder / f"{image.stem}{end}" for kind, end in kinds.items()},
            )
            for image, folder in zip(images, folders, strict=True)
        ]
    outputs = [path for planned in plan for path in planned.outputs]
    _refuse_long_names(outputs)
    _refuse_inputs(plan, outputs)
    if not overwrite:
        _refuse_overwriting([path for path in outputs if path not in known], remedy)
    for folder in dict.fromkeys(path.parent for path in outputs):
        check_writable(folder)
    return plan


def _is_folder(path: Path) -> bool:
    """Whether files go into it; a folder of Zarr is one file to the user."""
    return path.is_dir() and not is_zarr_group(path)


def _planned(image: _Image, output: Path, extras: Mapping[str, Path]) -> PlannedFile:
    number, name = (image.series.number, image.series.name) if image.series else (None, "")
    return PlannedFile(image.source, output, extras, number, name, image.problem)


def _images_of(
    sources: Sequence[Path],
    wanted: Sequence[str],
    tell: Callable[[str], object],
    *,
    are_labels: bool,
) -> list[_Image]:
    """The images of the files; those of a set of files once, with the first of them."""
    images: list[_Image] = []
    firsts: dict[Path, Path] = {}
    again: dict[Path, list[str]] = {}
    for source in sources:
        first = firsts.get(source.resolve())
        if first is not None:
            again.setdefault(first, []).append(source.name)
            continue
        try:
            found = image_series(source, images_only=not are_labels)
        except UNetError as error:  # told at its turn
            images.append(_Image(source, problem=error))
            continue
        firsts.update((file, source) for each in found for file in each.files)
        images += _chosen_images(source, found, wanted)
    for first, others in again.items():
        tell(
            f"{first}: the files of this set are segmented together, under this name, and not "
            f"again for {listing(others)}."
        )
    return images


def _chosen_images(
    source: Path, found: Sequence[SeriesInfo], wanted: Sequence[str]
) -> list[_Image]:
    """The wanted images of one file; that it has no such one is told at its turn."""
    try:
        chosen = [chosen_series(source, found, each) for each in wanted] or list(found)
    except UNetError as error:
        return [_Image(source, problem=error)]
    if len(found) == 1:
        return [_Image(source)]
    return [_Image(source, each) for each in {each.number: each for each in chosen}.values()]


def _refuse_several(images: Sequence[_Image], sources: Sequence[Path], out: Path) -> None:
    if len(images) == 1:
        return
    hint = "" if len(sources) > 1 else ", or choose one of the series in it with --series"
    raise FileError(
        f"{len(images)} images cannot go into the one file '{out}'; name a folder instead{hint}."
    )


def _check_folder_name(out: Path, ending: str) -> None:
    if out.suffix.lower() in (*IMAGE_SUFFIXES, *STORE_SUFFIXES) and not out.is_dir():
        raise FileError(f"'{out}' is a picture's name; end it in {ending}, or name a folder.")
    if out.exists() and not out.is_dir():
        raise FileError(f"'{out}' is a file; name a folder, or a file that ends in {ending}.")


def _subfolders(images: Sequence[_Image], ending: str) -> list[str]:
    """For each image the folder below the output folder: none, if no names collide."""
    other = _same_name(images, [""] * len(images))
    if other is None:
        return [""] * len(images)
    folders = [image.source.resolve().parent.name for image in images]
    collision = _same_name(images, folders)
    if collision is not None:
        one, two = collision
        raise FileError(
            f"'{one.source}' and '{two.source}' would both be written as "
            f"'{two.stem}{ending}'; rename one, or use two output folders."
        )
    return folders


def _same_name(images: Sequence[_Image], folders: Sequence[str]) -> tuple[_Image, _Image] | None:
    seen: dict[tuple[str, str], _Image] = {}
    for image, folder in zip(images, folders, strict=True):
        # Windows and macOS do not tell "A.tif" from "a.tif".
        other = seen.setdefault((folder.casefold(), image.stem.casefold()), image)
        if other is not image:
            return other, image
    return None


def _refuse_long_names(outputs: Sequence[Path]) -> None:
    for path in outputs:
        for name in path.parts:
            length = len(os.fsencode(name))
            if length > _LONGEST_NAME:
                raise FileError(
                    f"The output's name '{name[:40]}...{name[-12:]}' takes {length} bytes; file "
                    f"systems allow {_LONGEST_NAME}. Rename the image, or choose another output."
                )


def _refuse_inputs(plan: Sequence[PlannedFile], outputs: Sequence[Path]) -> None:
    sources = {planned.source.resolve() for planned in plan}
    for path in outputs:
        if path.resolve() in sources:
            raise FileError(f"The output '{path}' would replace an input; choose another folder.")
        if _is_folder(path):
            raise FileError(f"The output '{path}' is a folder; remove it or choose another output.")


def _refuse_overwriting(outputs: Sequence[Path], remedy: str) -> None:
    there = [str(path) for path in outputs if path.exists()]
    if there:
        verb = "exists" if len(there) == 1 else "exist"
        raise FileError(
            f"{count(len(there), 'output file')} already {verb} ({listing(there)}); {remedy}."
        )


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Make the folder of a file that is to be written if need be; raise unless it can be.

    Raises
    ------
    FileError
        If it exists and `overwrite` is off, is a folder, or cannot be written.
    """
    if path.is_dir():
        raise FileError(f"'{path}' is a folder; name a file to write.")
    if path.exists() and not overwrite:
        raise existing(path)
    check_writable(path.parent)


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


def kept_elsewhere(path: Path, subject: str, write: Callable[[Path], object]) -> str:
    """Write what cannot go to `path` to a folder for temporary files; a sentence says where it is.

    Parameters
    ----------
    path : Path
        Its name is kept.
    subject : str
        With the verb: "The labels are".
    write : callable
        Is given another path.

    Returns
    -------
    str
        With a space in front; empty if it cannot be written there either.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="napari-unet-"))
    except OSError:
        return ""
    try:
        write(folder / path.name)
    except Exception:  # whatever is wrong, the first error is what the user is told
        folder.rmdir()
        return ""
    return f" {subject} kept in '{folder / path.name}'."
