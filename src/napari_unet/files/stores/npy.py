"""NumPy's own files, mapped into memory."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.stores.ngff import Multiscale
from napari_unet.files.stores.store_image import StoreFormat, plain_image


class Npy(StoreFormat):
    """An array of numbers; nothing in the file is run."""

    suffixes = (".npy",)

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        return start.startswith(npy.MAGIC_PREFIX)

    @override
    def images(self, path: Path, closing: ExitStack) -> dict[str, tuple[Any, Multiscale]]:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "Python objects" not in str(error) and "allow_pickle" not in str(error):
                raise
            raise FileError(
                f"'{path}' holds objects of Python and no array of numbers, so no image."
            ) from error
        return {"": (array, plain_image(path, array))}
