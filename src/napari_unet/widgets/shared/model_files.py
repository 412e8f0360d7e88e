"""The model files that a dialog offers, whoever wrote them."""

from __future__ import annotations

MODEL_SUFFIXES = (
    ".safetensors",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".t7",
    ".pt2",
    ".onnx",
    ".zip",
)
"""Of files that may hold a network; what one holds is told from its content."""

_KINDS = (
    ("Models", (*(f"*{suffix}" for suffix in MODEL_SUFFIXES), "*rdf.yaml", "*bioimageio.yaml")),
    ("napari-unet-cells, safetensors", ("*.safetensors",)),
    ("PyTorch, TorchScript", ("*.pt", "*.pth", "*.ckpt", "*.bin", "*.t7")),
    ("torch.export", ("*.pt2",)),
    ("ONNX", ("*.onnx",)),
    ("bioimage.io packages", ("*.zip", "*rdf.yaml", "*bioimageio.yaml")),
    ("All files", ("*",)),
)

OPEN_FILTER = ";;".join(f"{title} ({' '.join(patterns)})" for title, patterns in _KINDS)
"""What a dialog that opens a model lists."""
