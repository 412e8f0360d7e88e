"""What the names in a pickle of torch stand for: plain values, and records of what is not."""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_unet.engine.foreign.model_file.stored_tensor import Storage, StoredTensor, unreadable


@dataclass(frozen=True, slots=True)
class Name:
    """A global that a pickle names, for example "torch.float32"."""

    text: str


class Foreign(dict[Any, Any]):
    """An object of a class that is not known here: its attributes, or its items if it has any.

    Attributes
    ----------
    name : str
        Of its class, with the module.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @property
    def is_network(self) -> bool:
        """Whether it is a whole `torch.nn.Module`."""
        return "_modules" in self


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


def name_of(module: object, attribute: object) -> Name:
    """Give the global that a pickle names; up to protocol 2 they bear the names of Python 2."""
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise TypeError("the name of a global is a text")
    return Name(f"{IMPORT_MAPPING.get(module, module)}.{attribute}")


def set_items(target: dict[Any, Any], items: Sequence[Any]) -> None:
    """Put keys and values, one after the other, into a dict; keys of an odd kind are left out."""
    if not isinstance(target, dict):
        raise TypeError("only a dict has items")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Nested tuples can take for ever to hash, and large numbers can be made to share a hash.
        if isinstance(key, str) or key is None or (isinstance(key, int) and abs(key) < 2**60):
            target[key] = value


def dict_of(items: Sequence[Any]) -> dict[Any, Any]:
    """Make a dict of keys and values, one after the other."""
    made: dict[Any, Any] = {}
    set_items(made, items)
    return made


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    return dict_of([part for key, value in pairs for part in (key, value)])


def _same(value: Any = None, *_: Any) -> Any:
    return value


def _path(*parts: str) -> str:
    return "/".join(parts).replace("//", "/")


def _device(kind: object, index: object = None) -> str:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise TypeError("a device has a text and a number")
    return kind if index is None else f"{kind}:{index}"


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


def storage_of(identifier: tuple[Any, ...]) -> Storage:
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
    _grad: Any = None,
    _hooks: Any = None,
    *more: Any,
) -> StoredTensor:
    # What the shape holds is looked at later, once there is a name to put into the sentence.
    tuples = isinstance(shape, tuple) and isinstance(stride, tuple)
    if not isinstance(storage, Storage) or not tuples:
        raise TypeError("not a tensor")
    layout = "lazily conjugated or negated" if more and more[0] else ""
    return StoredTensor(storage, offset, shape, stride, layout)


def _tensor_of_dtype(
    storage: Storage,
    offset: int,
    shape: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: Name,
    *more: Any,
) -> StoredTensor:
    # Its storage is untyped, so its offset and length count in numbers of the tensor's dtype.
    kind = _DTYPES[dtype.text]
    row = Storage(storage.key, kind, storage.numel // kind.itemsize, storage.first)
    return _tensor(row, offset, shape, stride, grad, hooks, *more)


def _unreadable(layout: str) -> Callable[..., StoredTensor]:
    return lambda *_: unreadable(layout)


def _tensor_with_attributes(rebuild: Name, _type: Name, arguments: Any, _state: Any) -> Any:
    if not rebuild.text.startswith("torch._utils._rebuild"):
        raise ValueError("not a tensor")
    return MAKERS[rebuild.text](*arguments)


# What pickles of weights name, and what is made instead; nothing here copies more than it is given
# or reaches beyond plain values. In particular NumPy's own constructors, which would also make
# arrays of objects, are not among them.
MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda _factory=None, *_: {},
    "collections.Counter": _same,
    "collections.deque": lambda items=(), *_: list(items),
    "builtins.set": _same,
    "builtins.frozenset": _same,
    "builtins.bytearray": _same,
    **dict.fromkeys(
        ("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__"),
        lambda called, *_: Foreign(called.text),
    ),
    "_codecs.encode": lambda text, _encoding: text.encode("latin-1"),
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

_ACTING = re.compile(
    r"(os|posix|nt|subprocess|popen2|pty|shutil|sys|socket|ctypes|importlib|imp|runpy|code"
    r"|codeop|marshal|_?pickle|dill|cloudpickle|webbrowser|multiprocessing|urllib|http|ftplib"
    r"|smtplib|pip|timeit|cProfile|pdb|bdb)\..+"
    r"|builtins\.(eval|exec|execfile|compile|open|file|__import__|input)"
)


def acts(name: str) -> bool:
    """Whether a global, if it were called, would act on the computer.

    None is ever called; but a file that asks for it was made to do harm, which its user must know.
    """
    return _ACTING.fullmatch(name) is not None
