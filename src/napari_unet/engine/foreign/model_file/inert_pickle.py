"""What a pickle of torch holds, found out without running any of it: the one reader of them.

A pickle is a program for a small machine with a stack; the one here has no way to import or call
what a pickle names. What is to be built becomes plain dicts, lists and numbers, `StoredTensor` for
what torch stores beside the pickle, or `Foreign` for an object of any class that is not known.

`torch.load(weights_only=True)` does not do (torch 2.13; tests/engine/foreign/test_model_file.py):

- It refuses a whole file for one object beside the weights: an `argparse.Namespace`, OmegaConf's
  settings, a number of NumPy, a path, a class of the user; and pickles of the protocols 4 and 5.
- Told to map a file that was packed again (`mmap=True`), it gives noise instead of weights. It
  refuses one without its "version" entry, or in a further folder.
- A few bytes end the program (a deeply nested key of a dict), or keep it busy for hours and fill
  the memory (keys that collide). Here time and memory are bounded by the length of the pickle.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.pickled_values import (
    MAKERS,
    Foreign,
    Name,
    NumpyArray,
    NumpyType,
    acts,
    dict_of,
    name_of,
    set_items,
    storage_of,
)
from napari_unet.engine.foreign.model_file.stored_tensor import Storage

LARGEST_PICKLE = 16_000_000
"""Bytes; that of a network with a thousand layers and its optimizer has about one million."""

_STEPS = 250_000
_BYTES_PER_FURTHER_STEP = 64
"""Steps take time and up to some hundred bytes each. A network with an optimizer takes some ten
thousand, but nnU-Net also keeps each class's score of each epoch: a million, in a large file.
"""


OWN_NOTE = "napari_unet_cells"
"""Under which a state dict that this project wrote holds the model's description, as JSON."""


@dataclass(frozen=True, slots=True)
class InertPickle:
    """What a pickle holds."""

    root: Any
    """Plain Python values, and the records of this module."""
    actions: tuple[str, ...]
    """What it would call that acts on the computer: it was made to do harm."""
    networks: tuple[str, ...]
    """Classes of whole networks in it, the outermost last."""
    storages: dict[str, Storage]
    """The numbers it refers to, by key."""
    metadata: dict[str, str]
    """What an export of this project tells of the model, under `OWN_NOTE`."""


def read_inert(stream: BinaryIO, file_size: int) -> InertPickle:
    """Read one pickle from a stream that is already in memory, and leave the stream behind it.

    Parameters
    ----------
    file_size : int
        Bytes of the file that the pickle is from: a large one may take longer.

    Raises
    ------
    CheckpointError
        If it is damaged or takes too many steps.
    """
    machine = _Machine(_STEPS + file_size // _BYTES_PER_FURTHER_STEP)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.spend(1)
            _INSTRUCTIONS[opcode.name](machine, argument)
        root = machine.stack.pop()
    # All that crooked input can make the parser and the steps raise; the warning (of a bad
    # escape in a text) is an error only where warnings are.
    except (
        *(ArithmeticError, AttributeError, DeprecationWarning, LookupError, RecursionError),
        *(TypeError, ValueError),
    ) as error:
        raise CheckpointError("is torn or damaged; copy or download it again.") from error
    return InertPickle(
        root, tuple(machine.actions), tuple(machine.networks), machine.storages, machine.metadata
    )


class _Machine:
    def __init__(self, steps: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.actions: dict[str, None] = {}  # in the order in which they are called
        self.networks: list[str] = []
        self.storages: dict[str, Storage] = {}
        self.metadata: dict[str, str] = {}
        self.steps_left = steps

    def spend(self, steps: int) -> None:
        self.steps_left -= steps
        if self.steps_left < 0:
            raise CheckpointError(
                "holds a pickle that takes far longer than a network needs; "
                "save the weights alone with 'torch.save(model.state_dict(), ...)'."
            )

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_tuple(self, size: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-size:])
        del self.stack[-size:]
        return items

    def pop_since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def remember(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        # What goes into a subclass of list that is not known here is not kept.
        if not isinstance(self.stack[-1], Foreign):
            self.stack[-1].extend(items)

    def update(self, items: Sequence[Any]) -> None:
        set_items(self.stack[-1], items)

    def make(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        """Note down what would be built; `called` itself is never called."""
        name = called.text if isinstance(called, Name) else type(called).__name__
        maker = MAKERS.get(name)
        if maker is None:
            if acts(name):
                self.actions[name] = None
            return Foreign(name)
        # Makers copy at most their arguments, and a text is cheaper to copy than a list.
        self.spend(len(arguments))
        for argument in arguments:
            if isinstance(argument, (list, tuple, dict)):
                self.spend(len(argument))
            elif isinstance(argument, (str, bytes)):
                self.spend(len(argument) // 64)
        return maker(*arguments)

    def make_of(self, called: Any, *arguments: Any) -> Any:
        return self.make(called, arguments)

    def stored(self, identifier: tuple[Any, ...]) -> Any:
        if identifier[0] == "module":  # a legacy file's note of the source of a network's class
            return identifier[1]
        storage = storage_of(identifier)
        self.storages.setdefault(storage.key, storage)
        return storage

    def set_state(self, state: Any) -> None:
        top = self.stack[-1]
        if isinstance(top, Foreign):
            # Attributes; those of a class with slots are the second of two.
            for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
                if isinstance(part, dict):
                    self.spend(len(part))
                    top.update(part)
            if top.is_network:
                self.networks.append(top.name)
        elif isinstance(top, NumpyType):
            top.byte_order = state[1]
        elif isinstance(top, NumpyArray):
            _, top.shape, top.dtype, _, top.content = state
        elif isinstance(top, dict) and isinstance(state, dict):
            # An OrderedDict's state is torch's note of versions of layers, which weights do not
            # need, and in it what an export of this project tells.
            layers = state.get("_metadata")
            whole = layers.get("") if isinstance(layers, dict) else None
            note = whole.get(OWN_NOTE) if isinstance(whole, dict) else None
            if isinstance(note, str):
                self.metadata[OWN_NOTE] = note


_CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
    "NONE",  # whose argument is None
)

# No entry means damaged: what is missing asks for objects from outside of the file.
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(_CONSTANTS, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _: None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine, _: machine.push([])),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_since_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, key: machine.push(machine.memo[key])
    ),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_since_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_tuple(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_tuple(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_tuple(3)),
    **dict.fromkeys(
        ("LIST", "FROZENSET"), lambda machine, _: machine.push(machine.pop_since_mark())
    ),
    "DICT": lambda machine, _: machine.push(dict_of(machine.pop_since_mark())),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    **dict.fromkeys(
        ("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_since_mark())
    ),
    "SETITEM": lambda machine, _: machine.update(machine.pop_tuple(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_since_mark()),
    "GLOBAL": lambda machine, text: machine.push(name_of(*text.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push(name_of(*machine.pop_tuple(2))),
    **dict.fromkeys(
        ("REDUCE", "NEWOBJ"), lambda machine, _: machine.push(machine.make(*machine.pop_tuple(2)))
    ),
    "NEWOBJ_EX": lambda machine, _: machine.push(machine.make(*machine.pop_tuple(3)[:2])),
    "OBJ": lambda machine, _: machine.push(machine.make_of(*machine.pop_since_mark())),
    "INST": lambda machine, text: machine.push(
        machine.make(name_of(*text.split(" ", 1)), tuple(machine.pop_since_mark()))
    ),
    "BUILD": lambda machine, _: machine.set_state(machine.pop()),
    "BINPERSID": lambda machine, _: machine.push(machine.stored(machine.pop())),
}
