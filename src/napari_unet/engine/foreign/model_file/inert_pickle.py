"""What a pickle holds, found out without running any of it.

A pickle is a program for a small machine with a stack; the one here has no way to import or call
what a pickle names. What is to be built becomes plain dicts, lists and numbers, or `StoredTensor`
for what torch stores beside the pickle. A name that is not known is remembered, never looked up.
`torch.load(weights_only=True)` builds real tensors on the way and so takes whatever memory a file
asks for; here time and memory are bounded by the length of the pickle.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.model_file.stored_tensor import Storage, StoredTensor

LARGEST_PICKLE = 16_000_000
"""Bytes; that of a network with a thousand layers and its optimizer has about one million."""

_STEPS = 250_000
_BYTES_PER_FURTHER_STEP = 64
"""Steps take time and up to some hundred bytes each. A network with an optimizer takes some ten
thousand, but nnU-Net also keeps each class's score of each epoch: a million, in a large file.
"""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that a pickle names, for example "torch.float32"."""

    text: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object of a class that is not known here; its content is not kept."""

    name: str


class Options(dict[Any, Any]):
    """What an object that only holds settings holds, for example an `argparse.Namespace`."""


@dataclass(slots=True)
class NumpyType:
    """A NumPy dtype: `code` as in "f8". Object dtypes are never made from it."""

    code: str
    byte_order: str = "<"


@dataclass(slots=True)
class NumpyArray:
    """A NumPy array or number, not decoded yet."""

    dtype: NumpyType | None = None
    shape: tuple[int, ...] = ()
    content: bytes = b""

    def decoded(self) -> np.ndarray[Any, np.dtype[Any]] | None:
        """Decode numbers; None for all else, objects above all."""
        try:
            if self.dtype is None or not re.fullmatch(r"b1|[iu][1248]|f[248]", self.dtype.code):
                return None
            dtype = np.dtype((">" if self.dtype.byte_order == ">" else "<") + self.dtype.code)
            return np.frombuffer(self.content, dtype).reshape(self.shape)
        except (AttributeError, ArithmeticError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class InertPickle:
    """What a pickle holds.

    Attributes
    ----------
    root : Any
        Plain Python values, and the records of this module.
    foreign : tuple of str
        Globals it wants that are not known to be harmless.
    modules : tuple of str
        Classes of whole networks among them, the outermost last.
    storages : dict of Storage
        The numbers it refers to, by key.
    """

    root: Any
    foreign: tuple[str, ...]
    modules: tuple[str, ...]
    storages: dict[str, Storage]


def read_inert(stream: BinaryIO, file_size: int) -> InertPickle:
    """Read one pickle from a stream that is already in memory, and leave the stream behind it.

    Parameters
    ----------
    stream : binary stream
    file_size : int
        Bytes of the file that the pickle is from: a large one may take longer.

    Returns
    -------
    InertPickle

    Raises
    ------
    CheckpointError
        If it is damaged or takes too many steps. The message is a predicate: the caller puts the
        file's name in front.
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
    return InertPickle(root, tuple(machine.foreign), tuple(machine.modules), machine.storages)


class _Machine:
    def __init__(self, steps: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.foreign: dict[str, None] = {}  # in the order in which they are named
        self.modules: list[str] = []
        self.storages: dict[str, Storage] = {}
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
        # Subclasses of list are not known here, so what goes into them is not kept.
        if not isinstance(self.stack[-1], Foreign):
            self.stack[-1].extend(items)

    def update(self, items: Sequence[Any]) -> None:
        if not isinstance(self.stack[-1], Foreign):
            _set_items(self.stack[-1], items)

    def name(self, module: object, attribute: object) -> Name:
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise TypeError("the name of a global is a text")
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        name = f"{module}.{attribute}"
        if name not in _MAKERS and name not in _HARMLESS:
            self.foreign[name] = None
        return Name(name)

    def make(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        """Note down what would be built; `called` itself is never called."""
        name = called.text if isinstance(called, Name) else type(called).__name__
        if name not in _MAKERS:
            self.foreign[name] = None
            return Foreign(name)
        # Makers copy at most their arguments, and a text is cheaper to copy than a list.
        self.spend(len(arguments))
        for argument in arguments:
            if isinstance(argument, (list, tuple, dict)):
                self.spend(len(argument))
            elif isinstance(argument, (str, bytes)):
                self.spend(len(argument) // 64)
        return _MAKERS[name](*arguments)

    def make_of(self, called: Any, *arguments: Any) -> Any:
        return self.make(called, arguments)

    def stored(self, identifier: tuple[Any, ...]) -> Any:
        if identifier[0] == "module":  # a legacy file's note of the source of a network's class
            return identifier[1]
        storage = _storage(identifier)
        self.storages.setdefault(storage.key, storage)
        return storage

    def set_state(self, state: Any) -> None:
        top = self.stack[-1]
        if isinstance(top, Options) and isinstance(state, dict):
            self.spend(len(state))
            top.update(state)
        elif isinstance(top, NumpyType):
            top.byte_order = state[1]
        elif isinstance(top, NumpyArray):
            _, top.shape, top.dtype, _, top.content = state
        elif isinstance(top, Foreign) and isinstance(state, dict) and "_modules" in state:
            self.modules.append(top.name)
        # An OrderedDict's state is torch's note of versions of layers, which weights do not need.


def _set_items(target: dict[Any, Any], items: Sequence[Any]) -> None:
    if not isinstance(target, dict):
        raise TypeError("only a dict has items")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Nested tuples can take for ever to hash, and large numbers can be made to share a hash.
        if isinstance(key, str) or key is None or (isinstance(key, int) and abs(key) < 2**60):
            target[key] = value


def _dict(items: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set_items(made, items)
    return made


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    return _dict([part for key, value in pairs for part in (key, value)])


def _same(value: Any = None, *_: Any) -> Any:
    return value


def _nothing(*_: Any) -> None:
    """Stand for what is harmless and of no use here."""


def _path(*parts: str) -> str:
    return "/".join(parts).replace("//", "/")


def _device(kind: object, index: object = None) -> str:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise TypeError("a device has a text and a number")
    return kind if index is None else f"{kind}:{index}"


def _latin1(text: str, _encoding: str) -> bytes:
    return text.encode("latin-1")


_DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}

_STORAGES = {
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.QInt8Storage": torch.qint8,
    "torch.QInt32Storage": torch.qint32,
    "torch.QUInt8Storage": torch.quint8,
}


def _storage(identifier: tuple[Any, ...]) -> Storage:
    """Read the note that stands in a pickle for numbers stored beside it."""
    kind, storage_type, key, _device, numel = identifier[:5]
    if kind != "storage" or not isinstance(key, str | int):
        raise ValueError("not a storage")
    view = identifier[5] if len(identifier) > 5 else None
    first = 0
    if view is not None:
        _view_key, first, numel = view
    return Storage(str(key), _STORAGES[storage_type.text], numel, first)


def _tensor(
    storage: Any,
    offset: int,
    shape: Any,
    stride: Any,
    _requires_grad: object = None,
    _hooks: object = None,
    metadata: object = None,
) -> StoredTensor:
    # What the shape holds is looked at later, once there is a name to put into the sentence.
    tuples = isinstance(shape, tuple) and isinstance(stride, tuple)
    if not isinstance(storage, Storage) or not tuples:
        raise TypeError("not a tensor")
    layout = "lazily conjugated or negated" if metadata else ""
    return StoredTensor(storage, storage.dtype, offset, shape, stride, layout)


def _tensor_of_dtype(
    storage: Storage,
    offset: int,
    shape: Any,
    stride: Any,
    grad: object,
    hooks: object,
    dtype: Name,
    metadata: object = None,
) -> StoredTensor:
    # Its storage is untyped, so its offset and length count in numbers of the tensor's dtype.
    kind = _DTYPES[dtype.text]
    row = Storage(storage.key, kind, storage.numel // kind.itemsize, storage.first)
    return _tensor(row, offset, shape, stride, grad, hooks, metadata)


def _unreadable(layout: str) -> Callable[..., StoredTensor]:
    nowhere = Storage("", torch.float32, 0)
    return lambda *_: StoredTensor(nowhere, torch.float32, 0, (), (), layout)


def _tensor_with_attributes(rebuild: Name, _type: Name, arguments: Any, _state: Any) -> Any:
    if not rebuild.text.startswith("torch._utils._rebuild"):
        raise ValueError("not a tensor")
    return _MAKERS[rebuild.text](*arguments)


def _options(*_: Any) -> Options:
    return Options()


# What pickles of weights name, and what is made instead; nothing here copies more than it is given
# or reaches beyond plain values. In particular NumPy's own constructors, which would also make
# arrays of objects, are not among them.
_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda _factory=None, *_: {},
    "collections.Counter": _same,
    "collections.deque": lambda items=(), *_: list(items),
    "builtins.set": _same,
    "builtins.frozenset": _same,
    "builtins.bytearray": _same,
    "builtins.complex": _nothing,
    "builtins.slice": _nothing,
    "datetime.datetime": _nothing,
    "datetime.timedelta": _nothing,
    "copyreg._reconstructor": _options,
    "_codecs.encode": _latin1,
    **dict.fromkeys(
        (
            "argparse.Namespace",
            "types.SimpleNamespace",
            "easydict.EasyDict",
            "yacs.config.CfgNode",
            "pytorch_lightning.utilities.parsing.AttributeDict",
            "lightning.pytorch.utilities.parsing.AttributeDict",
            "lightning.fabric.utilities.data.AttributeDict",
            "lightning_fabric.utilities.data.AttributeDict",
        ),
        _options,
    ),
    **{
        f"{module}.{system}Path": _path
        for module in ("pathlib", "pathlib._local")
        for system in ("", "Posix", "Windows", "Pure", "PurePosix", "PureWindows")
    },
    "numpy.dtype": lambda code, *_: NumpyType(code),
    **{
        f"numpy.{core}.{name}": maker
        for core in ("core", "_core")
        for name, maker in (
            ("multiarray.scalar", lambda dtype, content=b"": NumpyArray(dtype, (), content)),
            ("multiarray._reconstruct", lambda *_: NumpyArray()),
            (
                "numeric._frombuffer",
                lambda content, dtype, shape, _order: NumpyArray(dtype, shape, content),
            ),
        )
    },
    "torch.Size": _same,
    "torch.device": _device,
    "torch.serialization._get_layout": _same,
    "torch.nn.parameter.Parameter": _same,
    "torch._utils._rebuild_parameter": _same,
    "torch._utils._rebuild_parameter_with_state": _same,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _same,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_sparse_tensor": _unreadable("sparse"),
    "torch._utils._rebuild_sparse_csr_tensor": _unreadable("sparse"),
    "torch._utils._rebuild_nested_tensor": _unreadable("nested"),
    "torch._utils._rebuild_qtensor": _unreadable("quantised"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unreadable("meta (empty)"),
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
}

# Named only; whatever calls them is foreign.
_HARMLESS = {
    *_DTYPES,
    *_STORAGES,
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "object", "str")),
    *("numpy.ndarray", "torch.Tensor", "torch.contiguous_format", "torch.preserve_format"),
    *(f"numpy.{name}" for name in ("bool_", "float32", "float64", "int32", "int64", "uint8")),
    *("torch.per_tensor_affine", "torch.per_tensor_symmetric", "torch.per_channel_affine"),
    *("torch.per_channel_symmetric", "torch.per_channel_affine_float_qparams"),
}

_CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
    "NONE",  # whose argument is None
)

# No entry means damaged: what is missing asks for objects from outside of the file.
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(_CONSTANTS, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
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
    "DICT": lambda machine, _: machine.push(_dict(machine.pop_since_mark())),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    **dict.fromkeys(
        ("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_since_mark())
    ),
    "SETITEM": lambda machine, _: machine.update(machine.pop_tuple(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_since_mark()),
    "GLOBAL": lambda machine, text: machine.push(machine.name(*text.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push(machine.name(*machine.pop_tuple(2))),
    **dict.fromkeys(
        ("REDUCE", "NEWOBJ"), lambda machine, _: machine.push(machine.make(*machine.pop_tuple(2)))
    ),
    "NEWOBJ_EX": lambda machine, _: machine.push(machine.make(*machine.pop_tuple(3)[:2])),
    "OBJ": lambda machine, _: machine.push(machine.make_of(*machine.pop_since_mark())),
    "INST": lambda machine, text: machine.push(
        machine.make(machine.name(*text.split(" ", 1)), tuple(machine.pop_since_mark()))
    ),
    "BUILD": lambda machine, _: machine.set_state(machine.pop()),
    "BINPERSID": lambda machine, _: machine.push(machine.stored(machine.pop())),
}
