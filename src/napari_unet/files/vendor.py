"""Files of microscope vendors (CZI, ND2, LIF and others), read through bioio if it is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from typing_extensions import override

from napari_unet.engine.base.errors import FileError
from napari_unet.files.image_file import (
    ImageFile,
    ImageFormat,
    SeriesInfo,
    chosen_series,
    microscope_scale,
    numbered_series,
)

_STARTS = {
    ".czi": (b"ZISRAWFILE",),
    # Until 2010 an ND2 was a JPEG 2000.
    ".nd2": (b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  "),
    ".lif": (b"\x70\0\0\0",),
}
"""First bytes of the files whose readers the extra brings; what else bears the name is none."""

_OTHERS = (".dv", ".r3d", ".ims", ".lof", ".oib", ".oif", ".sldy", ".vsi", ".xlif", ".zvi")
"""What further readers of bioio are for, by the name alone."""

_EXTRA = "pip install 'napari-unet-cells[bioio]'"


class Vendor(ImageFormat):
    """What bioio reads with the readers that are installed."""

    suffixes = (*_STARTS, *_OTHERS)

    @override
    def holds(self, path: Path, start: bytes) -> bool:
        suffix = path.suffix.lower()
        return suffix in _OTHERS or start.startswith(_STARTS.get(suffix, ()))

    @override
    def series(self, path: Path) -> tuple[SeriesInfo, ...]:
        with _opened(path) as image:
            return _scenes(path, image)

    @override
    def read(self, path: Path, *, series: int | str | None, as_labels: bool) -> ImageFile:
        with _opened(path) as image:
            found = _scenes(path, image)
            info = chosen_series(path, found, series)
            image.set_scene(info.number - 1)
            # bioio gives T, C, Z, Y, X (and S, samples) even where there is only one of them.
            array = image.data.reshape(info.shape)
            sizes, step = image.physical_pixel_sizes, image.time_interval
        seconds = step.total_seconds() if isinstance(step, timedelta) else step
        return ImageFile(
            path,
            array,
            info.axes,
            microscope_scale([getattr(sizes, axis) for axis in "ZYX" if axis in info.axes]),
            float(seconds) if seconds and "T" in info.axes else None,
            info if len(found) > 1 else None,
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file with the reader for its ending."""
    suffix = path.suffix.lower()
    try:
        from bioio import BioImage
        from bioio.plugins import get_plugins
    except ImportError as error:
        raise FileError(
            f"'{path}' is a microscope's own file, read through the package bioio; run "
            f'"{_EXTRA}", or save the image as TIFF.'
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        readers = get_plugins(use_cache=True).get(suffix)
        if not readers:
            raise FileError(
                f"'{path}' needs a reader of the package bioio that is not installed; run "
                f'"{_EXTRA}" for CZI, ND2 and LIF, look for bioio\'s reader of {suffix} '
                "files, or save the image as TIFF."
            )
        yield BioImage(path, reader=readers[0].metadata.get_reader())


def _scenes(path: Path, image: Any) -> tuple[SeriesInfo, ...]:
    """List the scenes; an axis that bioio would drop is refused."""
    layouts = []
    for scene in image.scenes:
        image.set_scene(scene)
        for axis, size in zip(image.reader.dims.order, image.reader.dims.shape, strict=True):
            if axis not in "TCZYXSM" and size > 1:
                raise FileError(
                    f"'{path}' has an axis {axis} with {size} positions, which is not read here; "
                    "save the image as TIFF, for example with Fiji."
                )
        axes = [
            (axis, size)
            for axis, size in zip(image.dims.order, image.dims.shape, strict=True)
            if size > 1 or axis in "YX"
        ]
        names = "".join(axis for axis, _ in axes)
        names = names.replace("C", "Z").replace("S", "C") if "S" in names else names
        # Some readers make the names of scenes of the file's name and a number.
        name = str(scene).removeprefix(path.stem).strip("-_: ")
        layouts.append((name, tuple(size for _, size in axes), names))
    return numbered_series(layouts)
