"""What the OME-XML of a file says of its images, and which further files belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import tifffile

from napari_unet.engine.base.errors import FileError


@dataclass(frozen=True, slots=True)
class OmeImage:
    """An Image element.

    Parameters
    ----------
    pixels : mapping
        Attributes and children of its Pixels element.
    own_uuid : str
        Of the file that the XML comes from.
    description : str
    """

    pixels: Mapping[str, Any]
    own_uuid: str
    description: str = ""

    def absent_files(self, folder: Path) -> list[str]:
        """Names of the files with its planes that are not in `folder`."""
        uuids = [each["UUID"] for each in _elements(self.pixels.get("TiffData")) if "UUID" in each]
        names = {
            str(uuid["FileName"])
            for uuid in uuids
            if isinstance(uuid, dict) and "FileName" in uuid and uuid.get("value") != self.own_uuid
        }
        return sorted(name for name in names if not (folder / name).exists())


def ome_images(xml: str) -> list[OmeImage]:
    """List the images that have pixels in a TIFF, in the order of the XML."""
    root = _root(xml)
    return [
        OmeImage(pixels, str(root.get("UUID", "")), str(image.get("Description", "")))
        for image in _elements(root.get("Image"))
        for pixels in _elements(image.get("Pixels"))
        if "TiffData" in pixels
    ]


def companion_xml(path: Path, xml: str | None) -> str | None:
    """Read the file that describes a set of which this is a member without a description.

    Returns
    -------
    str, optional
        Its OME-XML; None if the file describes itself, or is no OME-TIFF.

    Raises
    ------
    FileError
        If it is not there.
    """
    if xml is None or "BinaryOnly" not in xml:
        return None
    named = _elements(_root(xml).get("BinaryOnly"))
    if not named:
        return None
    companion = path.parent / str(named[0].get("MetadataFile", ""))
    if not companion.is_file():
        raise FileError(
            f"'{path}' is one file of a set that '{companion.name}' describes, and that file is "
            "missing; put all files of the set into one folder under the names that they had."
        )
    if companion.suffix.lower() in (".tif", ".tiff", ".btf"):
        with tifffile.TiffFile(companion) as tiff:
            return tiff.ome_metadata
    return companion.read_text(encoding="utf-8")


def incomplete_set(path: Path, absent: Sequence[str]) -> FileError:
    """Name the files that are missing of a set."""
    names = ", ".join(f"'{name}'" for name in absent[:4])
    more = f" and {len(absent) - 4} more" if len(absent) > 4 else ""
    verb = "is" if len(absent) == 1 else "are"
    return FileError(
        f"'{path}' is one file of a set, of which {names}{more} {verb} missing; put all files of "
        "the set into one folder under the names that they had."
    )


def _root(xml: str) -> Mapping[str, Any]:
    try:
        # Without a separator: a name such as "1,2" is no pair of numbers.
        root = tifffile.xml2dict(xml, sep="").get("OME")
    except ParseError:
        return {}
    return root if isinstance(root, dict) else {}


def _elements(value: Any) -> list[dict[str, Any]]:
    """Give the elements of one name: a list, one alone, or none; without content they are None."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [each for each in values if isinstance(each, dict)]
