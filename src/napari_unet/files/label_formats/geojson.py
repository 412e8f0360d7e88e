"""Cells as QuPath has them: GeoJSON, one feature for each cell in each plane."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import ImageFile
from napari_unet.files.label_formats.drawn import DrawnFormat, drawn_labels, plane_of
from napari_unet.files.label_formats.label_format import (
    Measurements,
    stated,
)
from napari_unet.files.label_formats.polygons import Outline

_OURS = "napari_unet"
"""Member of the collection with what GeoJSON has no place for; QuPath passes over it."""

_AREAS = ("Polygon", "MultiPolygon")
_FOUND = ("detection", "cell")
"""Kinds of objects beside which annotations are regions of the image, and no cells."""


class GeoJson(DrawnFormat):
    """Features with polygons in pixels, as QuPath exports and imports them."""

    name = "geojson"
    ending = ".geojson"
    suffix = ".geojson"
    suffixes = (".geojson",)

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        is_json = start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
        return is_json and path.suffix.lower() in (".geojson", ".json")

    @override
    def read_labels(self, path: Path, *, image: ImageFile | None) -> ImageFile:
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise FileError(f"'{path}' is no whole JSON file; export it again.") from error
        told = content.get(_OURS) if isinstance(content, dict) else None
        features = _features(content)
        if features is None:
            raise FileError(
                f"'{path}' is JSON without the features of GeoJSON; in QuPath use File > Export "
                "objects as GeoJSON."
            )
        areas = [feature for feature in features if _is_area(feature)]
        found = [feature for feature in areas if _kind(feature) in _FOUND]
        return drawn_labels(
            path,
            [_cell(path, feature) for feature in found or areas],
            told,
            image=image,
            among=(len(features), "objects"),
            kind="detections" if found else "areas",
        )

    @override
    def write_cells(
        self,
        stream: IO[bytes],
        labels: ImageFile,
        cells: Iterable[Outline],
        measurements: Measurements | None,
    ) -> None:
        rows = _rows(measurements)
        head = {"type": "FeatureCollection", _OURS: stated(labels)}
        stream.write(_text(head)[:-1].encode() + b', "features": [')
        for index, cell in enumerate(cells):
            feature = _feature(cell, labels, rows.get(cell.number or 0, {}))
            stream.write((",\n" if index else "\n").encode() + _text(feature).encode())
        stream.write(b"\n]}\n")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _rows(measurements: Measurements | None) -> dict[int, dict[str, float | str]]:
    """For each label its measurements; what is no number is written as QuPath does."""
    if measurements is None:
        return {}
    columns = {name: np.asarray(column) for name, column in measurements.items()}
    numbers = columns.pop("label")
    columns = {name: column for name, column in columns.items() if column.dtype.kind in "biuf"}
    return {
        int(number): {
            name: float(column[row]) if math.isfinite(column[row]) else "NaN"
            for name, column in columns.items()
        }
        for row, number in enumerate(numbers)
    }


def _feature(
    cell: Outline, labels: ImageFile, measured: Mapping[str, float | str]
) -> dict[str, Any]:
    rings = [
        [np.concatenate([ring, ring[:1]]).tolist() for ring in polygon] for polygon in cell.polygons
    ]
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": rings[0]}
    if len(rings) > 1:
        geometry = {"type": "MultiPolygon", "coordinates": rings}
    if cell.plane:
        at = plane_of(labels, cell)
        geometry["plane"] = {"c": -1, "z": at.get("Z", 0), "t": at.get("T", 0)}
    properties: dict[str, Any] = {"objectType": "detection", "name": str(cell.number)}
    kind = labels.types.get(cell.number or 0)
    if kind:
        properties["classification"] = {"name": kind}
    if measured:
        properties["measurements"] = dict(measured)
    # The name is for people, who may change it; QuPath keeps this.
    properties["metadata"] = {"label": str(cell.number)}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _features(content: Any) -> list[Any] | None:
    """Features of a collection, of a list of them, or the only one, with those within others."""
    if isinstance(content, dict):
        content = content.get("features", [content] if content.get("type") == "Feature" else None)
    return list(_with_children(content)) if isinstance(content, list) else None


def _with_children(features: Sequence[Any]) -> Iterator[Any]:
    waiting = list(reversed(features))
    while waiting:
        feature = waiting.pop()
        yield feature
        properties = feature.get("properties") if isinstance(feature, dict) else None
        children = properties.get("childObjects") if isinstance(properties, dict) else None
        waiting += reversed(children) if isinstance(children, list) else ()


def _is_area(feature: Any) -> bool:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    return isinstance(geometry, dict) and geometry.get("type") in _AREAS


def _kind(feature: Mapping[str, Any]) -> Any:
    properties = feature.get("properties")
    return properties.get("objectType") if isinstance(properties, dict) else None


def _cell(path: Path, feature: Mapping[str, Any]) -> Outline:
    geometry = feature["geometry"]
    coordinates = geometry.get("coordinates")
    try:
        polygons = [coordinates] if geometry["type"] == "Polygon" else list(coordinates or ())
        found = [[_ring(ring) for ring in polygon] for polygon in polygons]
        if not found or not all(found):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise FileError(
            f"'{path}' has a polygon whose corners are no points; export it again."
        ) from error
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    at = geometry.get("plane")
    at = at if isinstance(at, dict) else {}
    # T and Z, of which the labels may have none.
    plane = tuple(max(0, _whole(at.get(axis)) or 0) for axis in "tz")
    metadata = properties.get("metadata")
    number = _whole(metadata.get("label")) if isinstance(metadata, dict) else None
    return Outline(number if number and number > 0 else None, plane, found, _type_in(properties))


def _ring(points: Any) -> NDArray[np.float64]:
    ring = np.array([point[:2] for point in points], np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError
    return ring


def _whole(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number < 1 << 32 else None


def _type_in(properties: Mapping[str, Any]) -> str:
    """Name of the class; of a class within classes all of them, as QuPath shows them."""
    given = properties.get("classification")
    if not isinstance(given, dict):
        return ""
    names = given.get("names", [given.get("name")])
    return ": ".join(str(name) for name in names if name) if isinstance(names, list) else ""
