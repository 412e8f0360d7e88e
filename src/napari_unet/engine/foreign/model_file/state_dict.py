"""The network among all that a training saved: its weights, their names and what stands beside."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.pickled_values import Foreign, Name, NumpyArray
from napari_unet.engine.foreign.model_file.stored_tensor import StoredTensor, shown, unreadable
from napari_unet.engine.foreign.model_file.torch_file import SAVE_ALONE

_NAMES = (
    *("model_state_dict", "state_dict", "model_state", "network_weights", "model", "net"),
    *("network", "unet", "generator", "module", "weights", "params"),
)
"""Under which trainings keep the weights of a network, the plainest first."""

_OTHER_NETWORK = re.compile(
    r"(^|_)ema(_|$)|averag|teacher|discrim|critic|loss|criterion|metric|lpips|vgg|percept"
)
"""Averages of the network's weights, and what only helps in its training."""

_NO_NETWORK = re.compile(r"optim|sched|scaler|rng|random_state|amp$|callbacks|loops|logging")

_WRAPPERS = (
    *("module", "_orig_mod", "_forward_module"),  # of torch and Lightning
    *("model", "net", "network", "unet", "generator"),  # where a LightningModule keeps its network
)

_DEEPEST = 5
_MOST_NUMBERS = 1000
"""Of a tensor or an array that counts as a fact: means, deviations, weights of classes."""

_MOST_FACTS = 20_000
_DEEPEST_FACT = 12
_LONGEST_TEXT = 100_000
_LEFT_OUT = object()


@dataclass(frozen=True, slots=True)
class StateDict:
    """The weights of a network among all that a file holds."""

    tensors: dict[str, StoredTensor]
    """By their names in the network."""
    found_under: str
    """Keys on the way to it, with dots; "" if the file holds nothing else."""
    prefix: str
    """What was taken off in front of each name."""
    content: dict[Any, Any]
    """The dict it is, as it was found."""


def find_state_dict(root: object, networks: Sequence[str] = ()) -> StateDict:
    """Find the weights of the network in what a file holds.

    Parameters
    ----------
    root : object
        Dicts with `StoredTensor` in them.
    networks : sequence of str
        Classes of whole networks in it, which are not looked into.

    Raises
    ------
    CheckpointError
        If there are none.
    """
    if not isinstance(root, dict):
        single = isinstance(root, StoredTensor)
        kind = "one tensor" if single else f"a value of type {type(root).__name__}"
        raise CheckpointError(
            f"holds {kind}; expected the weights of a network by name. Save them with "
            "'torch.save(model.state_dict(), ...)'."
        )
    found = list(_state_dicts(root))
    path, content = min(found, key=_rank) if found else ((), {})
    named = {
        str(key): unreadable(value.name) if isinstance(value, Foreign) else value
        for key, value in content.items()
        if isinstance(value, StoredTensor) or _is_unknown_weight(key, value)
    }
    # A loss or the weights of the classes may be tensors too.
    least = 3 if networks else 2
    if not any(len(tensor.shape) >= least or tensor.layout for tensor in named.values()):
        raise CheckpointError(_nothing_found(root, networks))
    tensors, prefix = _without_prefix(named)
    return StateDict(tensors, ".".join(path), prefix, content)


def _is_unknown_weight(key: Any, value: Any) -> bool:
    """Whether a tensor of a class that is not known stands among weights: it must not be missed."""
    is_weight = isinstance(value, Foreign) and isinstance(key, str) and "." in key
    return is_weight and not key.endswith("_extra_state")


def _state_dicts(root: dict[Any, Any]) -> Iterator[tuple[tuple[str, ...], dict[Any, Any]]]:
    waiting: list[tuple[tuple[str, ...], dict[Any, Any]]] = [((), root)]
    seen = {id(root)}
    for path, content in waiting:  # which grows meanwhile: breadth first
        if isinstance(content, Foreign) and content.is_network:
            continue
        if any(isinstance(k, str) and isinstance(v, StoredTensor) for k, v in content.items()):
            yield path, content
        for key, value in content.items():
            inside = isinstance(value, dict) and isinstance(key, str) and len(path) < _DEEPEST
            if not inside or _NO_NETWORK.search(key.lower()) or _is_of_optimizer(value):
                continue
            if id(value) not in seen:
                seen.add(id(value))
                waiting.append(((*path, key), value))


def _is_of_optimizer(content: dict[Any, Any]) -> bool:
    return {"state", "param_groups"} <= content.keys()


def _rank(found: tuple[tuple[str, ...], dict[Any, Any]]) -> tuple[bool, bool, int, int, int]:
    """Rank state dicts: the best comes first."""
    path, content = found
    name = path[-1].lower() if path else ""
    place = _NAMES.index(name) if name in _NAMES else len(_NAMES)
    kernels = sum(map(_is_kernel, content.values()))
    tensors = sum(isinstance(value, StoredTensor) for value in content.values())
    other = bool(_OTHER_NETWORK.search(name))
    return not kernels, other, place if path else -1, -kernels, -tensors


def _is_kernel(value: object) -> bool:
    return isinstance(value, StoredTensor) and (len(value.shape) >= 3 or bool(value.layout))


def _nothing_found(root: dict[Any, Any], networks: Sequence[str]) -> str:
    if networks:
        return (
            f"holds a whole network as Python objects (class {shown(networks[-1])}), which only "
            f"its own code can rebuild; none of it was run. Expected weights: {SAVE_ALONE}."
        )
    keys = [key for key in root if isinstance(key, str)]
    if _is_of_optimizer(root) or any(_NO_NETWORK.search(key.lower()) for key in keys):
        return (
            "holds only the numbers of an optimizer, no network; give the file with the weights "
            "that was saved beside it."
        )
    names = f" (it has {', '.join(map(shown, keys[:5]))})" if keys else ""
    return (
        f"holds no weights{names}; expected those of a network by name. Save them with "
        "'torch.save(model.state_dict(), ...)'."
    )


def _without_prefix(tensors: dict[str, StoredTensor]) -> tuple[dict[str, StoredTensor], str]:
    """Take off what wrappers put in front of names, and leave out what is beside the network."""
    prefix = ""
    for _ in range(_DEEPEST):
        part = _wrapping_part(tensors)
        if not part:
            break
        start = f"{part}."
        tensors = {
            name.removeprefix(start): tensor
            for name, tensor in tensors.items()
            if name.startswith(start)
        }
        prefix += start
    return tensors, prefix


def _wrapping_part(tensors: dict[str, StoredTensor]) -> str:
    """Give the first part of the names that wraps the network, if there is one."""
    parts = {name.partition(".")[0] for name in tensors}
    holding = {name.partition(".")[0] for name, tensor in tensors.items() if _is_kernel(tensor)}
    network = {part for part in holding or parts if not _OTHER_NETWORK.search(part.lower())}
    if len(network) != 1:
        return ""
    (part,) = network
    rest = [name.partition(".")[2] for name in tensors if name.partition(".")[0] == part]
    beside = [other for other in parts - {part} if not _OTHER_NETWORK.search(other.lower())]
    if not all(rest) or (part not in _WRAPPERS and beside):
        return ""
    # "conv.weight", "conv.bias" are one layer, not a wrapped network.
    return part if part in _WRAPPERS or any("." in name for name in rest) else ""


def plain_facts(
    root: dict[Any, Any], found: StateDict, numbers: Callable[[StoredTensor], Any]
) -> dict[str, Any]:
    """Collect what stands beside the weights, as far as JSON can say it.

    Parameters
    ----------
    root : dict
        All that the file holds.
    found : StateDict
        The network in it, which is left out; so are optimizers and other networks.
    numbers : callable
        Reads a small tensor as nested lists.
    """
    values = _PlainValues(found.content, numbers)
    facts: dict[str, Any] = {}
    for key, value in root.items():
        name = str(key)
        of_training = isinstance(value, dict | list) and _NO_NETWORK.search(name.lower())
        weight = root is found.content and isinstance(value, StoredTensor)
        fact = _LEFT_OUT if of_training or weight else values.plain(value, 0)
        if fact is not _LEFT_OUT:
            facts[_encodable(name)] = fact
    return facts


class _PlainValues:
    """Makes JSON's values of what a file holds, as many as a file has any reason to hold.

    Lists may contain each other many times over, or themselves.
    """

    def __init__(self, network: dict[Any, Any], numbers: Callable[[StoredTensor], Any]) -> None:
        self._numbers = numbers
        self._left = _MOST_FACTS
        self._within = {id(network)}

    def plain(self, value: Any, depth: int) -> Any:
        """Give a value, or `_LEFT_OUT`."""
        self._left -= 1 + (len(value) if isinstance(value, list | tuple | dict) else 0)
        if self._left < 0 or depth > _DEEPEST_FACT or id(value) in self._within:
            return _LEFT_OUT
        if isinstance(value, dict | list | tuple):
            self._within.add(id(value))
            make = self._items if isinstance(value, dict) else self._list
            found = make(value, depth + 1)  # type: ignore[arg-type]
            self._within.discard(id(value))
            return found
        if isinstance(value, StoredTensor):
            return self.plain(self._small(value), depth + 1)
        if isinstance(value, NumpyArray):
            array = value.decoded()
            if array is None or array.size > _MOST_NUMBERS:
                return _LEFT_OUT
            return self.plain(array.tolist(), depth + 1)
        return _plain_scalar(value)

    def _list(self, content: Sequence[Any], depth: int) -> Any:
        items = []
        for item in content:
            items.append(self.plain(item, depth))
            if items[-1] is _LEFT_OUT:
                return _LEFT_OUT  # rather than a list of which nobody sees that it is a part
        return items

    def _items(self, content: dict[Any, Any], depth: int) -> Any:
        if isinstance(content, Foreign):
            if content.name.startswith("omegaconf."):
                # Its values lie in nodes, beside flags and the way back to the node above.
                return self.plain(content.get("_content", content.get("_val")), depth)
            if content.is_network or not content:
                return _LEFT_OUT
        tensors = [value for value in content.values() if isinstance(value, StoredTensor)]
        if _is_of_optimizer(content) or any(map(_is_kernel, tensors)):
            return _LEFT_OUT
        items = {_encodable(str(key)): self.plain(v, depth) for key, v in content.items()}
        return {key: value for key, value in items.items() if value is not _LEFT_OUT}

    def _small(self, tensor: StoredTensor) -> Any:
        if type(tensor.storage.numel) is not int or tensor.storage.numel > _MOST_NUMBERS:
            return _LEFT_OUT
        try:
            return self._numbers(tensor)
        except CheckpointError:
            return _LEFT_OUT


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, Name | str):
        text = value.text if isinstance(value, Name) else value
        # A pickle may hold halves of surrogate pairs, which no file can.
        return _encodable(text) if len(text) <= _LONGEST_TEXT else _LEFT_OUT
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return _LEFT_OUT


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
