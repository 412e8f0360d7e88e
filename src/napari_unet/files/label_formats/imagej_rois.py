"""Cells as ImageJ and Fiji have them: a ZIP file of ROIs, as the ROI Manager saves and opens it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile
from napari_unet.files.label_formats.drawn import DrawnFormat, drawn_labels, plane_of
from napari_unet.files.label_formats.label_format import Measurements, stated
from napari_unet.files.label_formats.polygons import Outline, Polygon, Ring

_ENDING = ".roi"
_LABEL = "label: "
"""Begins the line of a ROI's properties, which Fiji keeps, with the number of its cell."""

_LONGEST_COMMENT = 65535
"""Bytes that a ZIP file takes as its comment, where we say what ROIs have no place for."""

_LARGEST_ROI_BYTES = 1 << 28
_LAST_WHOLE = 60535
"""Corners beyond it are written as real numbers: ImageJ has 16 bits for whole ones."""

_AREAS = (ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
_OVAL_CORNERS = 720
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
"""Commands of Java's paths."""


class ImageJRois(DrawnFormat):
    """ZIP files of ROIs: polygons, with holes and in parts where cells are so."""

    name = "imagej-rois"
    ending = "_rois.zip"
    suffix = ".zip"
    suffixes = ("_rois.zip", "roiset.zip")

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return start.startswith(b"PK") and holds_rois(path)

    @override
    def read_labels(self, path: Path, *, image: ImageFile | None) -> ImageFile:
        with zipfile.ZipFile(path) as archive:
            told = _told_in(archive)
            rois = list(_rois(path, archive))
        cells = [cell for roi in rois if (cell := _cell(roi, image)) is not None]
        return drawn_labels(path, cells, told, image=image, among=(len(rois), "ROIs"), kind="areas")

    @override
    def write_cells(
        self,
        stream: IO[bytes],
        labels: ImageFile,
        cells: Iterable[Outline],
        measurements: Measurements | None,
    ) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for cell in cells:
                at = plane_of(labels, cell)
                name = " ".join(
                    [str(cell.number), *(f"{axis.lower()}{at[axis] + 1}" for axis in at)]
                )
                roi = _roi(cell, name, labels.types.get(cell.number or 0, ""))
                if at:
                    # For images with channels, and for those without.
                    roi.c_position, roi.z_position = 1, at.get("Z", 0) + 1
                    roi.t_position = at.get("T", 0) + 1
                    counts = labels.array.shape[:-2]
                    roi.position = int(np.ravel_multi_index(cell.plane or (), counts)) + 1
                archive.writestr(f"{name}{_ENDING}", roi.tobytes())
            told = stated(labels)
            comment = json.dumps(told, default=str).encode()
            if len(comment) > _LONGEST_COMMENT:
                comment = json.dumps({**told, "notes": {}}, default=str).encode()
            archive.comment = comment


def holds_rois(path: Path) -> bool:
    """Whether a file is a ZIP file of nothing but ROIs, or of none that we wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            return all(map(_is_roi, names)) if names else bool(_told_in(archive))
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _is_roi(name: str) -> bool:
    # macOS adds files of its own to what it packs.
    return name.lower().endswith(_ENDING) or name.startswith("__MACOSX/")


def _told_in(archive: zipfile.ZipFile) -> Any:
    try:
        return json.loads(archive.comment or b"null")
    except ValueError:
        return None


def _roi(cell: Outline, name: str, kind: str) -> ImagejRoi:
    rings = [np.asarray(ring, np.int32) for polygon in cell.polygons for ring in polygon]
    corners = np.concatenate(rings)
    roi = ImagejRoi(
        roitype=ROI_TYPE.TRACED,
        name=name,
        props=f"{_LABEL}{cell.number}\n" + (f"type: {kind}\n" if kind else ""),
    )
    roi.left, roi.top = corners.min(axis=0).tolist()
    roi.right, roi.bottom = corners.max(axis=0).tolist()
    if len(rings) > 1:
        # One of several rings is what ImageJ makes of a selection with holes: a composite.
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = _path(rings)
        roi.shape_roi_size = roi.multi_coordinates.size
        return roi
    roi.n_coordinates = len(corners)
    if corners.max() > _LAST_WHOLE:
        roi.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.subpixel_coordinates = corners.astype(np.float32)
    roi.integer_coordinates = corners - np.array([roi.left, roi.top], np.int32)
    return roi


def _path(rings: Sequence[Ring]) -> NDArray[np.float32]:
    steps: list[float] = []
    for ring in rings:
        for index, (x, y) in enumerate(ring.tolist()):
            steps += [_LINE if index else _MOVE, x, y]
        steps.append(_CLOSE)
    return np.array(steps, np.float32)


def _rois(path: Path, archive: zipfile.ZipFile) -> Iterator[ImagejRoi]:
    for member in archive.infolist():
        if member.is_dir() or not member.filename.lower().endswith(_ENDING):
            continue
        if member.filename.startswith("__MACOSX/"):
            continue
        if member.file_size > _LARGEST_ROI_BYTES:
            raise FileError(f"'{path}' has a ROI of {member.file_size} bytes; export it again.")
        yield ImagejRoi.frombytes(archive.read(member))


def _cell(roi: ImagejRoi, image: ImageFile | None) -> Outline | None:
    """What a ROI encloses; None for lines, points and texts."""
    polygons = _polygons(roi)
    if not polygons:
        return None
    lines = dict(line.partition(": ")[::2] for line in roi.props.splitlines())
    number = lines.get("label", "").strip()
    is_number = number.isdigit() and 0 < int(number) < 1 << 32
    plane = _plane(roi, image)
    return Outline(int(number) if is_number else None, plane, polygons, lines.get("type", ""))


def _polygons(roi: ImagejRoi) -> list[Polygon]:
    is_text = roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE)
    if roi.roitype not in _AREAS or is_text:
        return []
    rings = [_oval(roi)] if roi.roitype == ROI_TYPE.OVAL else list(roi.coordinates(multi=True))
    polygon = [np.asarray(ring, np.float64) for ring in rings if len(ring) >= 3]
    return [polygon] if polygon else []


def _oval(roi: ImagejRoi) -> Ring:
    angles = np.arange(_OVAL_CORNERS) * 2 * np.pi / _OVAL_CORNERS
    radii = np.array([roi.right - roi.left, roi.bottom - roi.top]) / 2
    centre = np.array([roi.right + roi.left, roi.bottom + roi.top]) / 2
    around: Ring = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return centre + radii * around


def _plane(roi: ImagejRoi, image: ImageFile | None) -> tuple[int, int] | None:
    """Indices along T and Z; None for a ROI that shows in every plane."""
    if roi.z_position > 0 or roi.t_position > 0:
        return max(0, roi.t_position - 1), max(0, roi.z_position - 1)
    if roi.position <= 0:
        return None
    if image is None or "T" not in image.axes:
        return 0, roi.position - 1
    slices = image.array.shape[image.axes.index("Z")] if "Z" in image.axes else 1
    return divmod(roi.position - 1, slices)
