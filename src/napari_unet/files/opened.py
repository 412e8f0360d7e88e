"""Image files opened so that pixels are read only where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import asked


@contextmanager
def opened_image(path: str | Path, *, series: int | str | None = None) -> Iterator[ImageFile]:
    """Open an image, and read its pixels in parts if its format allows that.

    OME-Zarr, Zarr, HDF5, `.npy` and large TIFF files are read in parts; other
    files, and TIFF files below 256 MB, as a whole.

    Parameters
    ----------
    path, series
        As `read_image` takes them.

    Yields
    ------
    ImageFile
        Its `array` has `shape`, `dtype`, and gives a NumPy array of what was
        indexed by `numpy.asarray`, until the block ends.

    Raises
    ------
    FileError
        As `read_image`.
    """
    with ExitStack() as closing:
        yield asked(
            Path(path),
            lambda format_, it: format_.opened(it, series=series, closing=closing),
            has_labels=False,
        )
