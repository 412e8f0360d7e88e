"""What the Segment form does, as lines of Python and as a command line, to copy and run again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.image import PlaneIndex
from napari_unet.engine.networks.bundled import DEFAULT_MODEL
from napari_unet.files.image_file import image_stem
from napari_unet.files.tiff.tiff import Tiff
from napari_unet.script.words import (
    arguments,
    as_path,
    call,
    check_model,
    command,
    differences,
    file_stem,
    guess_words,
    loading,
    option_words,
    plain,
)

_RGB_ALPHA = 4
_READ_ELSEWHERE = frozenset({"pixel_size_um", "channel_axis"})


@dataclass(frozen=True, slots=True)
class SegmentRecipe:
    """Everything that decides which labels a run of the form gives.

    Parameters
    ----------
    image_name : str
        The layer's.
    shape : tuple of int
        Of the layer's array, channels and colours included.
    image_file : str, optional
        The file that holds exactly this array (see `file_holds`); without it the image is taken
        from the viewer.
    model : str
        Bundled name or file; empty for a model that is in memory alone.
    second_model : str
        The same of a model whose scores are averaged with its own; empty for none.
    guesses : mapping of str to str
        What a person said about things that the model's file does not tell.
    device : str
    plane : tuple of int or slice, optional
        The slice that is segmented, in the axes of the labels; None if there are no slices, or
        for every one of them.
    channel : int, optional
        The only channel or colour that is read, counted from 1.
    is_rgb : bool
        The last axis of the array holds colours.
    is_multiscale : bool
        The layer holds the image at several sizes.
    settings : SegmentationSettings
        Its `channel_axis` counts the axes of the array; None for colours.
    instances, model_instances : InstanceSettings
        As the form has them, and the model's own.
    model_pixel_size_um : float, optional
        Where the model learned; with it, an image's own pixel size decides how it is resized.
    second_pixel_size_um : float, optional
        Where the second model learned.
    intensity_from_stack : bool
        A single slice is normalised as its whole stack.
    show_scores : bool
    output : str
        File for the labels, ending in .tif; named after the image if left out.
    """

    image_name: str
    shape: tuple[int, ...]
    image_file: str | None = None
    model: str = DEFAULT_MODEL
    second_model: str = ""
    guesses: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    plane: PlaneIndex | None = None
    channel: int | None = None
    is_rgb: bool = False
    is_multiscale: bool = False
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    instances: InstanceSettings = field(default_factory=InstanceSettings)
    model_instances: InstanceSettings = field(default_factory=InstanceSettings)
    model_pixel_size_um: float | None = None
    second_pixel_size_um: float | None = None
    intensity_from_stack: bool = True
    show_scores: bool = False
    output: str = ""

    @property
    def channel_axis(self) -> int | None:
        """Axis of the array that holds channels or colours."""
        return len(self.shape) - 1 if self.is_rgb else self.settings.channel_axis

    @property
    def labels_file(self) -> str:
        """File for the labels: `output`, or beside the image and named after it."""
        if self.output:
            return self.output
        if self.image_file is None:
            return f"{file_stem(self.image_name)}_labels.tif"
        image = Path(self.image_file)
        return str(image.with_name(f"{image_stem(image)}_labels.tif"))

    @property
    def scores_file(self) -> str:
        """File for the scores, beside that of the labels."""
        labels = PurePath(self.labels_file)
        return str(labels.with_name(f"{labels.stem}_scores.tif"))

    @property
    def layer_file(self) -> str:
        """Name under which a layer that came from no file can be saved."""
        return f"{file_stem(self.image_name)}.tif"

    @property
    def effective_pixel_size_um(self) -> float | None:
        """Pixel size that decides how the image is resized; None where it does not."""
        learned_um = (self.model_pixel_size_um, self.second_pixel_size_um)
        if self.settings.diameter_px is not None or not any(learned_um):
            return None
        # The model's own stands for an image that is to be taken as it is.
        return self.settings.pixel_size_um or self.model_pixel_size_um


def python_lines(recipe: SegmentRecipe) -> str:
    """Return a script that gives the same labels as the form.

    Parameters
    ----------
    recipe : SegmentRecipe

    Returns
    -------
    str
        Lines to run with Python; for a layer that came from no file, in napari's console.

    Raises
    ------
    CheckpointError
        If the model is in no file that a script could load.
    """
    check_model(recipe.model)
    changed = arguments(differences(recipe.instances, recipe.model_instances))
    body = [*_reading_lines(recipe)]
    body.append(f"network = {loading(recipe.model, recipe.guesses)}")
    if changed:
        own = "network.description.instances"
        if recipe.settings.volume == "three_planes":
            own += ".for_three_planes()"
        body.append(call("instances = replace", [own, *changed]))
    networks = "network"
    if recipe.second_model:
        body.append(f"second = {loading(recipe.second_model, {})}")
        networks = "[network, second]"
    options = [
        *(["instances=instances"] if changed else []),
        *_segment_options(recipe),
        *([f"device={recipe.device!r}"] if recipe.device != "auto" else []),
    ]
    body.append(call("result = segment", ["image", networks, *options]))
    body += _writing_lines(recipe)
    return "\n".join([*_import_lines(recipe, uses_replace=bool(changed)), "", *body, ""])


def command_line(recipe: SegmentRecipe, *, for_windows: bool = os.name == "nt") -> str:
    """Return a command line that gives the same labels as the form.

    Parameters
    ----------
    recipe : SegmentRecipe
    for_windows : bool
        Quote words for Windows' shells; for those of other systems otherwise.

    Returns
    -------
    str
        One line; before it a remark for a layer that is to be saved first.

    Raises
    ------
    CheckpointError
        If the model is in no file that could be loaded.
    """
    check_model(recipe.model)
    image = recipe.image_file or recipe.layer_file
    words = ["napari-unet", "segment", as_path(image), "-o", as_path(recipe.labels_file)]
    if recipe.model != DEFAULT_MODEL or recipe.second_model:
        words += ["--model", recipe.model]
    if recipe.second_model:
        words += ["--model", recipe.second_model]
    words += guess_words(recipe.guesses)
    if recipe.device != "auto":
        words += ["--device", recipe.device]
    words += [*_part_words(recipe), *_setting_words(recipe)]
    if recipe.show_scores:
        words.append("--scores")
    line = command(words, for_windows=for_windows)
    if recipe.image_file is not None:
        return line
    name = " ".join(recipe.image_name.split())
    how = f"# First save layer '{name}' as {recipe.layer_file} (File > Save Selected Layers)."
    return f"{how}\n{line}"


def _reading_differences(recipe: SegmentRecipe) -> dict[str, Any]:
    """Settings that both scripts state in the same way."""
    changes = differences(recipe.settings, SegmentationSettings())
    if recipe.settings.volume != "slices":
        del changes["every_slice"]  # which it implies
    return {name: value for name, value in changes.items() if name not in _READ_ELSEWHERE}


# -- Python ----------------------------------------------------------------------------------------


def _import_lines(recipe: SegmentRecipe, *, uses_replace: bool) -> list[str]:
    reads = ["read_image"] if recipe.image_file is not None else []
    writes = ["write_labels", *(["write_scores"] if recipe.show_scores else [])]
    return [
        *(["from dataclasses import replace"] if uses_replace else []),
        "from pathlib import Path",
        "",
        "from napari_unet import load_checkpoint, segment",
        f"from napari_unet.files.images import {', '.join([*reads, *writes])}",
    ]


def _reading_lines(recipe: SegmentRecipe) -> list[str]:
    if recipe.image_file is None:
        data = ".data[0]" if recipe.is_multiscale else ".data"
        source = f"viewer.layers[{recipe.image_name!r}]{data}"
        lines = ["# In napari's console, where `viewer` is the window."]
    else:
        source = "file.array"
        lines = [f"file = read_image({recipe.image_file!r})"]
    channel, plane = _channel_index(recipe), _plane_index(recipe)
    taken = f"{source}{channel}"
    if recipe.is_rgb and channel and _may_be_read_as_grey(recipe):
        taken = f"{taken} if {source}.ndim == {len(recipe.shape)} else {source}"
    if not plane:
        return [*lines, f"image = {taken}"]
    if not recipe.intensity_from_stack:
        return [*lines, f"image = {taken}{plane}"]
    return [*lines, f"stack = {taken}", f"image = stack{plane}"]


def _may_be_read_as_grey(recipe: SegmentRecipe) -> bool:
    """Whether `read_image` makes one channel of a picture whose colours are all the same."""
    path = recipe.image_file
    return path is not None and PurePath(path).suffix.lower() not in Tiff.suffixes


def _positions(recipe: SegmentRecipe) -> dict[int, int]:
    """Which position along which axis of the array the slice has."""
    kept = [axis for axis in range(len(recipe.shape)) if axis != recipe.channel_axis]
    numbers = zip(kept, recipe.plane or (), strict=False)
    return {axis: int(part) for axis, part in numbers if not isinstance(part, slice)}


def _channel_index(recipe: SegmentRecipe) -> str:
    if recipe.channel is None or recipe.channel_axis is None:
        return ""
    return _index({recipe.channel_axis: recipe.channel - 1}, len(recipe.shape))


def _plane_index(recipe: SegmentRecipe) -> str:
    """Index of the slice in what is left after the channel was taken."""
    gone = recipe.channel_axis if recipe.channel is not None else None
    left = {
        axis - (gone is not None and axis > gone): number
        for axis, number in _positions(recipe).items()
    }
    return _index(left, len(recipe.shape) - (gone is not None))


def _index(positions: dict[int, int], ndim: int) -> str:
    """Write `[2, :, 5]`; what is whole at the end needs no mention."""
    if not positions:
        return ""
    if list(positions) == [ndim - 1]:
        return f"[..., {positions[ndim - 1]}]"
    parts = [str(positions.get(axis, ":")) for axis in range(max(positions) + 1)]
    return f"[{', '.join(parts)}]"


def _segment_options(recipe: SegmentRecipe) -> list[str]:
    options = arguments(_reading_differences(recipe))
    if recipe.settings.pixel_size_um is not None and recipe.effective_pixel_size_um is not None:
        options.append(f"pixel_size_um={plain(recipe.settings.pixel_size_um)!r}")
    axis = recipe.settings.channel_axis
    if axis is not None and recipe.channel is None and not recipe.is_rgb:
        options.append(f"channel_axis={axis - sum(at < axis for at in _positions(recipe))}")
    if _plane_index(recipe) and recipe.intensity_from_stack:
        options.append(f"intensity_reference=stack{_channels_in_front(recipe)}")
    return options


def _channels_in_front(recipe: SegmentRecipe) -> str:
    """What brings the channels of the stack to the front, without transparency."""
    axis = recipe.channel_axis
    if axis is None or recipe.channel is not None:
        return ""
    moved = f".swapaxes(0, {axis})" if axis else ""
    return moved + ("[:3]" if recipe.shape[axis] == _RGB_ALPHA else "")


def _writing_lines(recipe: SegmentRecipe) -> list[str]:
    scale = []
    if recipe.image_file is not None:
        scale = ["axes=file.label_axes", "pixel_size_um=file.pixel_size_um"]
    elif recipe.settings.pixel_size_um is not None:
        size = plain(recipe.settings.pixel_size_um)
        scale = [f"pixel_size_um=({size!r}, {size!r})"]
    lines = [call("write_labels", [f"Path({recipe.labels_file!r})", "result.labels", *scale])]
    if recipe.show_scores:
        scores = [f"Path({recipe.scores_file!r})", "result.scores", "result.class_roles"]
        lines.append(call("write_scores", [*scores, *scale]))
    return lines


# -- the command line ------------------------------------------------------------------------------


def _part_words(recipe: SegmentRecipe) -> list[str]:
    words = _channel_axis_words(recipe)
    if recipe.channel is not None:
        words += ["--channel", str(recipe.channel)]
    if _positions(recipe):
        numbers = [":" if isinstance(part, slice) else str(part + 1) for part in recipe.plane or ()]
        while numbers[-1] == ":":
            numbers.pop()
        words += ["--slice", ",".join(numbers)]
        words += [] if recipe.intensity_from_stack else ["--intensities", "slice"]
    return words


def _channel_axis_words(recipe: SegmentRecipe) -> list[str]:
    """Say where the channels are, unless the file is sure to say the same."""
    axis = recipe.channel_axis
    if recipe.is_rgb:
        takes_part = recipe.channel is not None or bool(_positions(recipe))
        needed = takes_part and not _may_be_read_as_grey(recipe)
        return ["--channel-axis", str(axis)] if needed else []
    if axis is not None:
        return ["--channel-axis", str(axis)]
    # With one axis of slices there is no room for channels, whatever the file calls it.
    has_room = recipe.settings.every_slice and len(recipe.shape) > 3
    return ["--channel-axis", "none"] if has_room else []


def _setting_words(recipe: SegmentRecipe) -> list[str]:
    changes = _reading_differences(recipe)
    if recipe.effective_pixel_size_um is not None:
        changes["pixel_size_um"] = plain(recipe.effective_pixel_size_um)
    changes |= differences(recipe.instances, recipe.model_instances)
    return option_words(changes)
