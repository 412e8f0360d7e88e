"""Networks that come as a finished program: TorchScript, torch.export and ONNX."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.engine.base.errors import CheckpointError, CodeInFileError
from napari_unet.engine.base.host_memory import free_host_bytes
from napari_unet.engine.foreign.model_file.contents import ModelFileKind, identify

_USUAL_CHANNELS = (1, 3, 2, 4)
_ONNX_DTYPES = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}


@dataclass(frozen=True, slots=True)
class ProgramInput:
    """What a program says of the images that it reads."""

    ndim: int
    """Spatial axes."""
    channels: tuple[int, ...]
    """What may be their number, likely ones first; one if it tells."""
    sizes: tuple[int | None, ...]
    """Pixels along each spatial axis, where they cannot be chosen."""
    batch: int = 1
    """Images that it reads at once."""


class Program(nn.Module):
    """A network whose layers are not known, only what it computes."""

    input: ProgramInput
    carries_code = True
    """Whether opening its file lets somebody else's program run."""
    lives_in: object = None
    """What its file needs in order to be there, kept for as long."""
    description: str = ""
    """What the file says of the network in this project's own words; empty for a file of
    another program."""

    def forward(self, x: Tensor) -> Tensor:
        """Output (1, C', *S') of one image (1, C, *S), both float32."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Program:  # noqa: ARG002, FBT001, FBT002
        """Stay as it is: a program was fixed for inference when it was written."""
        return self

    def on(self, device: torch.device) -> Program:
        """Return it, or a copy, for a device; `ONNX` takes and gives numbers on the CPU."""
        if device.type == "cpu":
            return self
        with warnings.catch_warnings():
            # torch's own copying of exported programs uses what torch will drop.
            warnings.simplefilter("ignore", FutureWarning)
            return copy.deepcopy(self).to(device)


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    lines = str(error).strip().splitlines()
    return CheckpointError(
        f"'{path.name}' cannot be opened ({lines[0] if lines else type(error).__name__}); it may "
        "be torn, or need another version of torch. Copy or export it again."
    )


class _ScriptProgram(Program):
    """A TorchScript file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # torch advises its users to write other formats; this is about reading.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            except (RuntimeError, ValueError) as error:
                raise _unreadable(path, error) from error
        self.module = module.eval()
        weights, constants = _kernels(self.module.parameters()), _kernels(_constants(self.module))
        if not weights and not constants:
            raise _not_an_image_network(path)
        ndim = (weights or constants)[0].ndim - 2
        # The first kernel most often reads the image; constants come in any order.
        first = [int(kernel.shape[1]) for kernel in weights[:1]]
        others = sorted({int(kernel.shape[1]) for kernel in constants})
        channels = tuple(dict.fromkeys((*first, *_USUAL_CHANNELS, *others)))
        self.input = ProgramInput(ndim, channels, (None,) * ndim)

    def forward(self, x: Tensor) -> Tensor:
        return _first_tensor(self.module(x)).float()


def _kernels(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor.ndim in (4, 5)]


def _constants(module: Any) -> list[Tensor]:
    """Tensors in the text of a TorchScript program, where freezing puts all weights."""
    graph = module.inlined_graph
    return [
        node.t("value")
        for node in graph.findAllNodes("prim::Constant")
        if node.hasAttribute("value") and node.kindOf("value") == "t"
    ]


class _ExportedProgram(Program):
    """A file of torch.export.

    `torch.export.load` reads pickles without restriction where a weight is not plain, and evaluates
    the formulas of its sizes as Python text: so its files carry code as well.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            program = torch.export.load(path)
            inputs = program.graph_signature.user_inputs
            shapes = [
                node.meta["val"].shape
                for node in program.graph.nodes
                if node.op == "placeholder" and node.name in inputs
            ]
            self.module = program.module()
        except Exception as error:  # a torn file breaks anywhere in torch's own code
            raise _unreadable(path, error) from error
        self.input = _program_input(path, [[_fixed(n) for n in shape] for shape in shapes])

    def forward(self, x: Tensor) -> Tensor:
        batch = self.input.batch
        return _first_tensor(self.module(x.expand(batch, *x.shape[1:])))[:1].float()


class _OnnxProgram(Program):
    """An ONNX file."""

    carries_code = False  # it is data, and no code of others is loaded for it

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise CheckpointError(
                f"'{path.name}' is an ONNX network; install what computes it with: "
                "pip install napari-unet-cells[onnx]"
            ) from error
        self._session = self._open("CPUExecutionProvider")
        known = self._session.get_modelmeta().custom_metadata_map
        self.description = str(known.get("description", ""))
        inputs = self._session.get_inputs()
        self._name = inputs[0].name if inputs else ""
        self.input = _program_input(path, [[_fixed(n) for n in each.shape] for each in inputs])
        dtype = _ONNX_DTYPES.get(inputs[0].type)
        if dtype is None:
            raise CheckpointError(
                f"'{path.name}' reads {inputs[0].type}; expected numbers with a fraction, such "
                "as float32. Export it for float images."
            )
        self._dtype = dtype

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        # A session cannot be copied, and nothing changes it.
        return self

    def forward(self, x: Tensor) -> Tensor:
        batch = self.input.batch
        image = np.ascontiguousarray(x.detach().cpu().numpy(), self._dtype)
        image = np.broadcast_to(image, (batch, *image.shape[1:]))
        try:
            output = self._session.run(None, {self._name: np.ascontiguousarray(image)})[0]
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own errors derive from nothing narrower
            raise RuntimeError(str(error)) from error
        return torch.from_numpy(np.asarray(output, np.float32)[:1])

    def on(self, device: torch.device) -> Program:
        import onnxruntime

        wanted = "CUDAExecutionProvider"
        if device.type != "cuda" or wanted not in onnxruntime.get_available_providers():
            return self
        found = copy.copy(self)
        found._session = self._open((wanted, {"device_id": device.index or 0}))
        return found

    def _open(self, provider: Any) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # it writes to the terminal what is raised anyway
        # Named, so that none is chosen that sends images elsewhere; the CPU takes the rest.
        providers = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
        try:
            return onnxruntime.InferenceSession(str(self._path), options, providers=providers)
        except Exception as error:  # onnxruntime's own errors derive from nothing narrower
            raise _unreadable(self._path, error) from error


def _fixed(length: Any) -> int | None:
    """A length that is a number, not a name or a formula."""
    return length if isinstance(length, int) and length > 0 else None


def _program_input(path: Path, shapes: Sequence[Sequence[int | None]]) -> ProgramInput:
    if len(shapes) != 1:
        raise CheckpointError(
            f"'{path.name}' reads {len(shapes)} inputs at once; expected one image. Export the "
            "network without what goes around it."
        )
    batch, channels, *sizes = (*shapes[0], None, None)[: max(2, len(shapes[0]))]
    if len(sizes) not in (2, 3):
        raise _not_an_image_network(path)
    candidates = (channels,) if channels else _USUAL_CHANNELS
    return ProgramInput(len(sizes), candidates, tuple(sizes), batch or 1)


def _not_an_image_network(path: Path) -> CheckpointError:
    return CheckpointError(
        f"'{path.name}' does not read images (N, C, H, W) or (N, C, Z, H, W); it is no U-Net that "
        "can be used here."
    )


def _first_tensor(output: Any) -> Tensor:
    """What a network gives out, or the first of several."""
    if isinstance(output, Tensor):
        return output
    found: Iterable[Any] = output.values() if isinstance(output, dict) else output
    for each in found:
        return _first_tensor(each)
    raise RuntimeError("the network gives out nothing")


PROGRAMS: dict[ModelFileKind, type[_ScriptProgram | _ExportedProgram | _OnnxProgram]] = {
    ModelFileKind.TORCHSCRIPT: _ScriptProgram,
    ModelFileKind.TORCH_EXPORT: _ExportedProgram,
    ModelFileKind.ONNX: _OnnxProgram,
}
"""What opens the files that hold a network as a program."""


def open_program(path: Path, *, kind: ModelFileKind, allow_code: bool) -> Program:
    """Open a file that holds a network as a program.

    Parameters
    ----------
    kind : ModelFileKind
        One of `PROGRAMS`.
    allow_code : bool
        Whether the user said yes to running what is in the file.

    Raises
    ------
    CodeInFileError
        If the file carries code and nobody said yes.
    CheckpointError
        If it cannot be opened.
    """
    # Tells torn files and zip bombs, and ONNX weights outside of the model's own folder.
    found = identify(path)
    if found is not kind:
        raise CheckpointError(f"'{path.name}' is no {kind} file, it is {found}; open it so.")
    size = path.stat().st_size
    if size > free_host_bytes() // 2:
        raise CheckpointError(
            f"'{path.name}' has {size / 2**30:.1f} GiB, more than half of the memory that is free; "
            "close other programs or use a smaller model."
        )
    program = PROGRAMS[kind]
    if program.carries_code and not allow_code:
        raise CodeInFileError(
            f"'{path.name}' is a {kind} file: it holds a program as well as weights, and "
            "opening it lets that program do what you may do on this computer. Say yes "
            "(allow_code=True) only if you trust whoever made it; a file with weights alone, or "
            "ONNX, needs no yes."
        )
    return program(path)
