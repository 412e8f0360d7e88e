"""Command-line options made from the fields of settings dataclasses, and back."""

from __future__ import annotations

import argparse
import dataclasses
import math
import types
from collections.abc import Collection
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_unet.batch.images.part import NO_CHANNELS, PlaneNumbers
from napari_unet.engine.base.setting_texts import option_name, setting_texts

Settings = TypeVar("Settings")


def add_setting_options(
    parser: argparse.ArgumentParser,
    start: object,
    *,
    title: str,
    leave_out: Collection[str] = (),
    default_text: str | None = None,
) -> None:
    """Give the parser one option for each field.

    Parameters
    ----------
    parser : ArgumentParser
    start : settings dataclass
        Its fields name the options ("min_size_px" becomes "--min-size"), its
        class's docstring explains them, its values are the defaults.
    title : str
        Heading in the help.
    leave_out : collection of str
        Fields that get no option.
    default_text : str, optional
        What the help says about defaults, where they are not those of `start`.
    """
    group = parser.add_argument_group(title)
    settings_class = type(start)
    hints = get_type_hints(settings_class)
    explained = setting_texts(settings_class)
    for field in dataclasses.fields(settings_class):  # type: ignore[arg-type]
        if field.name in leave_out:
            continue
        value = getattr(start, field.name)
        if dataclasses.is_dataclass(value):
            add_setting_options(parser, value, title=field.name, default_text=default_text)
            continue
        default = default_text or _in_words(value)
        text = explained.get(field.name, "")
        group.add_argument(
            option_name(field.name),
            dest=_destination(settings_class, field.name),
            default=None,
            help=f"{text} (default: {default})".strip().replace("%", "%%"),
            **_value_options(_without_none(hints[field.name])),
        )


def read_settings(
    arguments: argparse.Namespace, start: Settings, *, leave_out: Collection[str] = ()
) -> Settings:
    """Return `start`, a settings object, with what was given on the command line.

    Raises
    ------
    SettingsError
        If a value is outside of what makes sense.
    """
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(start):  # type: ignore[arg-type]
        if field.name in leave_out:
            continue
        before = getattr(start, field.name)
        if dataclasses.is_dataclass(before):
            changes[field.name] = read_settings(arguments, before)
            continue
        value = getattr(arguments, _destination(type(start), field.name), None)
        if value is not None:
            changes[field.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(start, **changes)  # type: ignore[type-var]


def is_given(arguments: argparse.Namespace, settings_class: type[Any], field_name: str) -> bool:
    """Whether the option of a field stands on the command line."""
    return getattr(arguments, _destination(settings_class, field_name), None) is not None


def _destination(settings_class: type[Any], field_name: str) -> str:
    return f"{settings_class.__name__}.{field_name}"


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind


def _in_words(default: object) -> str:
    if default is None:
        return "automatic"
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default)


def _value_options(kind: Any) -> dict[str, Any]:
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is Literal:
        names = get_args(kind)
        return {"choices": names, "metavar": "|".join(map(str, names))}
    if get_origin(kind) is tuple:
        item: Any = get_args(kind)[0]
        return {**_value_options(item), "nargs": "+"}
    if kind is int:
        return {"type": whole_number, "metavar": "N"}
    if kind is float:
        return {"type": real_number, "metavar": "X"}
    return {"type": str, "metavar": "TEXT"}


def whole_number(text: str) -> int:
    """Read an integer, or refuse it in plain words."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def real_number(text: str) -> float:
    """Read a number, or refuse it in plain words."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def add_voxel_size_option(parser: argparse.ArgumentParser, of_what: str) -> None:
    """Let the user say how large voxels are."""
    parser.add_argument(
        "--voxel-size",
        type=_read_voxel_size,
        metavar="Z,Y,X",
        help=f"size of the voxels {of_what}, in micrometres (default: as the file says)",
    )


def _read_voxel_size(text: str) -> tuple[float, float, float]:
    """Read "2,0.5,0.5", or refuse it in plain words."""
    try:
        depth, height, width = map(float, text.split(","))
    except ValueError:
        depth = height = width = math.nan
    if not all(0 < each < math.inf for each in (depth, height, width)):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no size of a voxel; give micrometres along Z, Y and X, as in 2,0.5,0.5"
        )
    return depth, height, width


def read_plane_numbers(text: str) -> PlaneNumbers:
    """Read "3", "2,7" or ":,5", or refuse it in plain words."""
    try:
        return tuple(None if part.strip() == ":" else int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no slice; give its number, such as 3, or one for each axis, such as 2,7"
        ) from None


def read_channel_axis(text: str) -> int | Literal["none"]:
    """Read a whole number or "none", or refuse it in plain words."""
    if text == NO_CHANNELS:
        return NO_CHANNELS
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a whole number nor none") from None
