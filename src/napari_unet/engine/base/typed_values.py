"""Values from a file made settings, each of the type that it must have."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from napari_unet.engine.base.errors import SettingsError

_T = TypeVar("_T")


def typed(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Make a dataclass of values that came from JSON.

    Parameters
    ----------
    kind : dataclass, or TypedDict
    values : mapping of str to value
        One for each field that has no default; no others.

    Raises
    ------
    SettingsError
        If a value is missing, unknown, or of another type.
    """
    try:
        # In JSON, not in Python: it has lists where a dataclass has tuples, and nothing else.
        made: _T = _adapter(cast("Hashable", kind)).validate_json(
            json.dumps(dict(values)), strict=True
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or kind.__name__
        raise SettingsError(f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error
    return made


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(
        with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(cast("type[Any]", kind))
    )
