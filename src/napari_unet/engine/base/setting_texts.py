"""What each setting does, in its docstring's words, and its option: for form and terminal."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any


def setting_texts(settings_class: type[Any]) -> dict[str, str]:
    """Return what the "Parameters" section of a class's docstring says about each field.

    Parameters
    ----------
    settings_class : settings dataclass

    Returns
    -------
    dict of str to str
        One text of whole sentences for each field.
    """
    lines = inspect.cleandoc(settings_class.__doc__ or "").splitlines()
    explained: dict[str, str] = {}
    names: Sequence[str] = ()
    begin = lines.index("Parameters") + 2 if "Parameters" in lines else len(lines)
    for line in lines[begin:]:
        if re.fullmatch(r"[A-Z][a-z]+", line):
            break
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
            explained |= dict.fromkeys(names, "")
        else:
            text = line.strip().replace("`", "")
            explained |= {name: f"{explained[name]} {text}".strip() for name in names}
    return explained


def option_name(field_name: str) -> str:
    """Option of the command line for a field; the unit stands in its explanation."""
    return "--" + field_name.removesuffix("_px").removesuffix("_um").replace("_", "-")
