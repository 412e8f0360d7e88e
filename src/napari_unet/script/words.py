"""How values, calls and words are written in scripts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.base.setting_texts import option_name

_WIDEST = 88
_PLAIN_WORD = r"[\w./:=+-]+"
_PLAIN_WINDOWS_WORD = r"[\w./:=+\\-]+"
"""Mean the same to every shell without quotes; a comma already makes a list in PowerShell."""


def differences(settings: Any, usual: Any) -> dict[str, Any]:
    """Fields in which settings are not the usual ones."""
    pairs = {each.name: getattr(settings, each.name) for each in fields(settings)}
    return {name: plain(value) for name, value in pairs.items() if value != getattr(usual, name)}


def plain(value: Any) -> Any:
    """Turn NumPy's numbers into Python's, whose text is the number alone."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value.item() if hasattr(value, "item") else value


def arguments(values: dict[str, Any]) -> list[str]:
    """Write `name=value` for each."""
    return [f"{name}={value!r}" for name, value in values.items()]


def call(name: str, arguments: Sequence[str]) -> str:
    """Write a call on one line, or an argument on each where it is long."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= _WIDEST:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), ")"])


def check_model(model: str) -> None:
    """Raise if a script could not load the model.

    Raises
    ------
    CheckpointError
        If it is in memory alone.
    """
    if not model:
        raise CheckpointError(
            "The model is in memory alone, where no script can load it; save it to a file, choose "
            "that file as the model, and copy again."
        )


def loading(model: str, guesses: Mapping[str, str]) -> str:
    """Write the call that loads a model."""
    said = [f"guesses={dict(guesses)!r}"] if guesses else []
    return call("load_checkpoint", [repr(model), *said])


def guess_words(guesses: Mapping[str, str]) -> list[str]:
    """Write what was said about a model as options of a command."""
    return [word for about, value in guesses.items() for word in ("--guess", f"{about}={value}")]


def _text(value: Any) -> str:
    """Write a value as short as it can be read again."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def as_path(path: str) -> str:
    """Keep a name that begins with a dash from being taken for an option."""
    return f"./{path}" if path.startswith("-") else path


def file_stem(layer: str) -> str:
    """Name without an ending under which a layer can be saved."""
    return re.sub(r"[^\w-]+", "_", layer).strip("_") or "image"


def command(words: Sequence[str], *, for_windows: bool) -> str:
    """Join words to a command line, each quoted where the shells of a system need it."""
    return " ".join(_quoted(word, for_windows=for_windows) for word in words)


def _quoted(word: str, *, for_windows: bool) -> str:
    if re.fullmatch(_PLAIN_WINDOWS_WORD if for_windows else _PLAIN_WORD, word, re.ASCII):
        return word
    # Double quotes mean the same to every shell but for what these leave alone in them.
    if for_windows or not re.search(r'[$`"!\\]', word):
        return f'"{word}"'
    return shlex.quote(word)


def option_words(changes: Mapping[str, Any]) -> list[str]:
    """Options of the command line for settings by name."""
    words: list[str] = []
    for name, value in changes.items():
        option = option_name(name)
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            words += [option, *map(_text, value)]
        else:
            words += [option, _text(value)]
    return words
