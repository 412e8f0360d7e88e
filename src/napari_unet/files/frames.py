"""Labels of a time series: one file with all frames, or a folder with a file for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unet.engine.base.errors import FileError
from napari_unet.files.finding import find_images
from napari_unet.files.image_file import ImageFile
from napari_unet.files.images import label_format_of, read_labels


def read_frames(path: str | Path) -> ImageFile:
    """Read labels whose first axis is time.

    Parameters
    ----------
    path : str or Path
        A file that holds a stack, or a folder with a file for each frame, in
        natural order of their names ("2" before "10").

    Returns
    -------
    ImageFile
        Of a folder with T as the first axis; of a file as it says.

    Raises
    ------
    FileError
        As `read_labels`, if the folder holds no labels, or frames of several shapes.
    LabelsError
        As `read_labels`.
    """
    path = Path(path)
    if not path.is_dir() or label_format_of(path) is not None:
        return read_labels(path)
    frames = [read_labels(each) for each in find_images([path])]
    first = frames[0]
    for frame in frames:
        if frame.array.shape != first.array.shape:
            raise FileError(
                f"'{frame.path}' has shape {frame.array.shape}, and '{first.path.name}' "
                f"{first.array.shape}; all files of a folder should be frames of one series."
            )
    stack = np.stack([frame.array for frame in frames])
    return replace(first, path=path, array=stack, axes=f"T{first.axes}")
