"""Files that belong together by their names: images with their labels, results with the truth."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_unet.engine.base.errors import FileError, ImageShapeError, TrainingError
from napari_unet.engine.labels.checksums import are_as_written
from napari_unet.engine.labels.look_over import SEEN, seen_area
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile, image_stem
from napari_unet.files.images import IMAGE_SUFFIXES, read_image, read_labels
from napari_unet.files.label_notes import LOOKED_OVER, noted_marks

if TYPE_CHECKING:
    from napari_unet.engine.images.image import LabelImage
    from napari_unet.engine.networks.class_roles import Types
    from napari_unet.engine.training.pairs import TrainingPair

# Habits of Cellpose (`x_cp_masks`, `x_img`), StarDist, BBBC, QuPath (`x-labels`), ISBI
# (`train-volume`, `train-labels`) and the Cell Tracking Challenge (`t001`, `man_seg001`).
_LABEL_WORDS = (
    "masks?|labels?|lbl|truth|ground[-_ ]?truth|gt|annotations?|inst|instances?|seg|segmentations?|"
    "pred|predictions?"
)
_LABEL_WORD = rf"[-_ .]+(cp[-_ ]+)?({_LABEL_WORDS})"
_LABEL_ENDING = re.compile(rf"{_LABEL_WORD}$")
_LABEL_ENDINGS = re.compile(rf"({_LABEL_WORD})+$")
_LABEL_START = re.compile(rf"^(man_seg|man_track|{_LABEL_WORDS})([-_ .]+(?!free)|(?=\d))")
_IMAGE_ENDING = re.compile(r"[-_ .](images?|img|raw|volume)$")
_IMAGE_START = re.compile(r"^(images?|img|im|raw|t)([-_ .]+|(?=\d))")
_NNUNET_CHANNEL = re.compile(r"_\d{4}$")
"""nnU-Net numbers the channels of an image, not its labels: `x_0000.tif` goes with `x.tif`."""

ChannelAxis: TypeAlias = int | Literal["none"] | None
"""Where channels are; "none" if what the file calls channels are slices; None as the file says."""


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
    """Pair the files of two folders, or of one that holds both, by the habits of the field.

    Names are the same without endings and in any case, or differ by words that
    say which is the label image: `cells.png` goes with `cells_masks.tif`,
    `Cells-label.png` or `cells_cp_masks.png`, `img_7.tif` with `mask_7.tif`,
    and nnU-Net's `cells_0000.tif` with `cells.tif`. In one folder that is given
    for both, files with such a word are the second ones, the others the first.
    Labels of other programs (ROIs, GeoJSON, `cells_seg.npy`, OME-Zarr) are
    taken where there is no label image.
    Two single files are a pair under any names.

    Raises
    ------
    FileError
        If there is no pair, or a file goes with two others or with itself.
    """
    firsts, seconds = _files_in(first), _files_in(second)
    if first.exists() and second.exists() and first.samefile(second):
        if first.is_file():
            raise FileError(f"'{first}' is given twice; a file goes with another one.")
        firsts = [path for path in firsts if not says_labels(path)]
        seconds = [path for path in seconds if says_labels(path)]
    elif any(not _is_of_another_program(path) for path in firsts):
        # What Cellpose saves beside its images is no image.
        firsts = [path for path in firsts if not _is_of_another_program(path)]
    if (firsts, seconds) == ([first], [second]):
        return PairedFiles([(first, second)], [], [])
    pictures = [path for path in seconds if not _is_of_another_program(path)]
    others = [path for path in seconds if _is_of_another_program(path)]
    partners = _partners(firsts, pictures)
    # Cellpose saves labels in two ways: the picture of them counts.
    partners |= _partners([path for path in firsts if path not in partners], others)
    if not partners:
        raise FileError(_no_pair(first, second, firsts, seconds))
    taken = set(partners.values())
    return PairedFiles(
        [(path, partners[path]) for path in firsts if path in partners],
        [path.name for path in firsts if path not in partners],
        [path.name for path in pictures or others if path not in taken],
    )


def _files_in(path: Path) -> list[Path]:
    """Images, and labels of other programs."""
    return find_images([path], labels=True)


def _is_of_another_program(path: Path) -> bool:
    return path.suffix.lower() not in IMAGE_SUFFIXES


def partners_of(labels: Sequence[Path], images: Path) -> dict[Path, Path]:
    """Find the image of each of several label images by its name, as `pair_files` does.

    Parameters
    ----------
    labels : sequence of Path
        Files. A single one goes with a single file under any name.
    images : Path
        A file, or a folder. Where label images are among these files, those
        are labels whose names say so.

    Returns
    -------
    dict of Path to Path
        For each label image that has one its image.

    Raises
    ------
    FileError
        If there is no image, or a file goes with two others.
    """
    found = find_images([images])
    given = {path.resolve() for path in labels}
    if any(path.resolve() in given for path in found):
        found = [path for path in found if not says_labels(path)]
        labels = [path for path in labels if says_labels(path)]
    if len(labels) == 1 and images.is_file() and found:
        return {labels[0]: images}
    return {second: first for first, second in _partners(found, labels).items()}


def _same(name: str) -> str:
    # macOS writes "ä" as two characters, other systems as one.
    return unicodedata.normalize("NFC", name.casefold())


def _without_label_word(name: str) -> str:
    return _LABEL_ENDING.sub("", _same(name))


def _bare(name: str) -> str:
    """Name without the words that say what is in the file."""
    bare = _LABEL_START.sub("", _LABEL_ENDINGS.sub("", _same(name)))
    return _IMAGE_START.sub("", _IMAGE_ENDING.sub("", bare))


def says_labels(path: Path) -> bool:
    """Whether the name of a file says that it holds labels, by words or by its ending."""
    name = _same(image_stem(path))
    return _is_of_another_program(path) or bool(
        _LABEL_ENDING.search(name) or _LABEL_START.search(name)
    )


_Key: TypeAlias = Callable[[str], str]
_RULES: tuple[tuple[_Key, tuple[_Key, ...]], ...] = (
    (_same, (_same, _without_label_word)),
    (_bare, (_bare,)),
    (lambda name: _NNUNET_CHANNEL.sub("", _bare(name)), (_bare,)),
)
"""What a first and a second name have in common; each rule looks at what those before have left."""


def names_go_together(first: str, second: str) -> bool:
    """Whether names without endings are those of an image and its labels, as in `pair_files`."""
    return any(key(first) and key(first) in {of(second) for of in keys} for key, keys in _RULES)


def _partners(firsts: Sequence[Path], seconds: Sequence[Path]) -> dict[Path, Path]:
    """For each first file that has one its second file, in the order of the first."""
    partners: dict[Path, Path] = {}
    for key, keys in _RULES:
        taken = set(partners.values())
        by_key: dict[str, list[Path]] = {}
        for path in seconds:
            for name in {of(image_stem(path)) for of in keys} if path not in taken else ():
                by_key.setdefault(name, []).append(path)
        left = [path for path in firsts if path not in partners]
        found = {path: by_key.get(key(image_stem(path)), []) for path in left}
        found = {path: _others(path, there) for path, there in found.items()}
        partners |= _unambiguous(_with_namesakes_first(found))
    return {path: partners[path] for path in firsts if path in partners}


def _others(path: Path, candidates: Sequence[Path]) -> list[Path]:
    """Leave out the file itself, under whichever name."""
    return [other for other in candidates if not other.samefile(path)]


def _with_namesakes_first(found: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Leave `x_img` to the image `x_img` where `x` has a namesake of its own."""
    stems = {image_stem(path) for path in found}
    chosen = {}
    for path, candidates in found.items():
        stem = image_stem(path)
        has_namesake = any(image_stem(other) == stem for other in candidates)
        chosen[path] = [
            other
            for other in candidates
            if not has_namesake or image_stem(other) == stem or image_stem(other) not in stems
        ]
    return chosen


def _unambiguous(found: dict[Path, list[Path]]) -> dict[Path, Path]:
    """Return the one partner of each file that has any.

    Raises
    ------
    FileError
        If a file has two, or two have the same.
    """
    partners: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for path, candidates in found.items():
        if len(candidates) > 1:
            raise _ambiguous(candidates[0], candidates[1], path)
        for partner in candidates:
            if partner in owners:
                raise _ambiguous(owners[partner], path, partner)
            owners[partner], partners[path] = path, partner
    return partners


def _ambiguous(one: Path, other: Path, partner: Path) -> FileError:
    return FileError(
        f"'{one}' and '{other}' both go with '{partner}' by their names; it is not clear which one "
        "to pair. Remove or rename one."
    )


def _no_pair(first: Path, second: Path, firsts: Sequence[Path], seconds: Sequence[Path]) -> str:
    if not firsts or not seconds:
        which = "all of its files are label images" if not firsts else "none is a label image"
        return (
            f"'{first}' is given for both, and by their names {which}, as 'x_masks.tif' is beside "
            "'x.tif'; rename them, or give two folders."
        )
    return (
        f"No file in '{first}' has the name of one in '{second}' (for example '{firsts[0].name}' "
        f"and '{seconds[0].name}'); files belong together by their names without endings."
    )


def read_pairs(
    image_path: Path,
    labels_path: Path,
    *,
    ndim: int,
    make_pair: Callable[..., TrainingPair],
    channel_axis: ChannelAxis = None,
    spacing: Sequence[float] | None = None,
    types_of: Callable[[LabelImage], Types] | None = None,
    only_seen: bool = False,
) -> list[TrainingPair]:
    """Read an image and its labels; for a 2-D model each slice of a stack is a pair.

    In labels that we wrote and that are as a model has found them nothing is
    `corrected`; of others nobody knows.

    Parameters
    ----------
    image_path, labels_path : Path
    ndim : int
        Axes that the network reads at once.
    make_pair : callable
        Is given an image, channels last, its labels, and a name for messages;
        and by its name the `spacing` of a volume whose voxel size is known.
    channel_axis : int or "none", optional
        Of the image; as its file says without it.
    spacing : sequence of float, optional
        Size of a voxel along Z, Y and X; as the files say without it.
    types_of : callable, optional
        Is given the labels, and returns the types of their cells.
    only_seen : bool
        Only what was looked over is `reviewed`: `seen_area` of the marks in the file of labels.

    Raises
    ------
    UNetError
        If a file cannot be read, the two do not belong together, or nothing was looked over
        and that is asked for.
    """
    image = read_image(image_path)
    file = read_labels(labels_path, image=image)
    labels = file.array
    if image.array.ndim - labels.ndim not in (0, 1):
        raise TrainingError(
            f"'{image_path}' has shape {image.array.shape} and its labels {labels.shape}; an image "
            "has the axes of its labels, and one more if it has channels."
        )
    array = channels_last(image, labels.shape, channel_axis)
    is_as_found = file.notes is not None and are_as_written(labels, file.notes.get("checksums"))

    types = None if types_of is None else types_of(labels)
    marks = noted_marks((file.notes or {}).get(LOOKED_OVER))
    if only_seen and not SEEN & set(marks.values()):
        raise TrainingError(
            f"No cell of '{labels_path}' was marked right or corrected; look cells over in the "
            "Correct widget of napari and save the labels as .ome.tif, or learn from all of them."
        )

    told = (spacing, image.pixel_size_um, file.pixel_size_um)
    voxels = next((size for size in told if size is not None and len(size) == 3), None)
    known = {"spacing": voxels} if voxels is not None and ndim == labels.ndim == 3 else {}

    def pair(image: Any, labels: Any, name: str) -> TrainingPair:
        made = make_pair(image, labels, name, **known)
        if types:
            made = replace(made, types=types)
        if only_seen:
            made = replace(made, reviewed=seen_area(labels, marks))
        # Who has given cells a type has looked at them.
        is_new = is_as_found and not types and not only_seen
        return replace(made, corrected=np.zeros(labels.shape, bool)) if is_new else made

    if labels.ndim == ndim:
        return [pair(array, labels, image_path.name)]
    if labels.ndim != ndim + 1 or array.shape[0] != labels.shape[0]:
        raise TrainingError(
            f"'{labels_path}' has shape {labels.shape} and '{image_path}' {image.array.shape}; "
            f"a {ndim}-D model learns from {ndim}-D images or stacks of them."
        )
    return [
        pair(plane, plane_labels, f"{image_path.name}, slice {index + 1}")
        for index, (plane, plane_labels) in enumerate(zip(array, labels, strict=True))
    ]


def channels_last(image: ImageFile, labels: tuple[int, ...], axis: ChannelAxis = None) -> Any:
    """Give the pixels of an image on the grid of its labels, with channels, if any, behind it.

    Parameters
    ----------
    labels : tuple of int
        Shape of the labels.
    axis : ChannelAxis
        As the file says by default.

    Raises
    ------
    ImageShapeError
        If the file does not say which axis it is, or has no such one.
    """
    array = image.array
    if array.ndim == len(labels):
        return array  # planes named channels are slices there, and a grey image has none
    if axis is None:
        axis = image.channel_axis
    if axis is None:
        axes = range(array.ndim)
        fits = [each for each in axes if array.shape[:each] + array.shape[each + 1 :] == labels]
        if fits and fits[-1] < array.ndim - 1:
            raise ImageShapeError(
                f"'{image.path}' has shape {array.shape} and its labels {labels}; if its axis "
                f"{fits[-1]} counts channels, say so (channel_axis={fits[-1]})."
            )
    if axis is None or axis == "none":
        return array
    if not -array.ndim <= axis < array.ndim:
        raise ImageShapeError(
            f"'{image.path}' has shape {array.shape} and no axis {axis}; choose a channel axis "
            f"from 0 to {array.ndim - 1}."
        )
    return np.moveaxis(array, axis, -1)
