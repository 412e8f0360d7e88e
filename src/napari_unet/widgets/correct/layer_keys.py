"""Keys of one layer that press buttons of a form while it is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Labels


class LayerKeys:
    """Takes keys of a layer, and gives them back as they were."""

    def __init__(self) -> None:
        self._layer: Labels | None = None
        self._replaced: dict[str, Callable[..., Any] | None] = {}

    def bind(self, layer: Labels | None, keys: Mapping[str, Callable[[Labels], None]]) -> None:
        """Have keys of this layer call these, and of no other one.

        napari asks for the name of what it calls, which a partial has not.
        """
        if self._layer is not None:
            for key, before in self._replaced.items():
                self._layer.bind_key(key, before, overwrite=True)
        self._layer, self._replaced = layer, {}
        if layer is not None:
            for key, press in keys.items():
                self._replaced[key] = layer.bind_key(key, press, overwrite=True)
