"""The files of a bioimage.io package, unpacked one by one as they are asked for."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Sequence
from pathlib import Path

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.contents import PACKAGE_DESCRIPTION
from napari_unet.engine.foreign.model_file.zip_directory import ZipDirectory


class Folder:
    """A temporary folder that is there for as long as this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="napari-unet-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class PackageFiles:
    """The files of a package, wherever it lies.

    Parameters
    ----------
    path : Path
        A zip file, a folder, or the description in one.
    """

    def __init__(self, path: Path) -> None:
        self.origin = path
        self.folder: Folder | None = None
        self._archive: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                found = [
                    p for p in sorted(path.iterdir()) if re.fullmatch(PACKAGE_DESCRIPTION, p.name)
                ]
                self.description_name = _first([p.name for p in found])
                self._folder = path.resolve()
            elif path.suffix == ".yaml":
                self.description_name = path.name
                self._folder = path.parent.resolve()
            else:
                self._open_archive(path)
        except OSError as error:
            raise CheckpointError(f"cannot be read ({error.strerror or error}).") from error

    def _open_archive(self, path: Path) -> None:
        with path.open("rb") as file:
            names = ZipDirectory(file, path.stat().st_size).names
        found = [name for name in names if re.fullmatch(PACKAGE_DESCRIPTION, name)]
        # The outermost one: a package may hold another as an example.
        name = _first(sorted(found, key=lambda name: (name.count("/"), name)))
        self.description_name = Path(name).name
        self._prefix = name.removesuffix(self.description_name)
        self._archive = zipfile.ZipFile(path)
        self.folder = Folder()
        self._folder = (self.folder.path / self._prefix).resolve()

    def __enter__(self) -> PackageFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.folder = None
        if self._archive is not None:
            self._archive.close()

    def path(self, name: str, *, sha256: str = "") -> Path:
        """Return where a file of the package lies, unpacked if need be.

        Raises
        ------
        CheckpointError
            If it is not there, not in the package, or not the one described.
        """
        if re.match(r"[a-z]+://", name, re.IGNORECASE):
            raise CheckpointError(
                f"keeps '{name}' on the internet, from where nothing is downloaded here; download "
                "the whole package as one zip file and open that."
            )
        place = (self._folder / name).resolve()
        if not place.is_relative_to(self._folder):
            raise CheckpointError(f"asks for '{name}', outside of the package; do not trust it.")
        if self._archive is not None and self.folder is not None and not place.is_file():
            try:
                self._archive.extract(self._prefix + name, self.folder.path)
            except (KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
                raise CheckpointError(
                    f"holds no '{name}' that can be read ({error}); download it again."
                ) from error
        if not place.is_file():
            raise CheckpointError(f"lacks its file '{name}'; download the whole package again.")
        if sha256:
            with place.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise CheckpointError(
                    f"holds another '{name}' than it describes (its SHA-256 differs); download it "
                    "again."
                )
        return place


def _first(names: Sequence[str]) -> str:
    if not names:
        raise CheckpointError(
            "is no bioimage.io package: it holds no 'rdf.yaml' or 'bioimageio.yaml'."
        )
    return names[0]
