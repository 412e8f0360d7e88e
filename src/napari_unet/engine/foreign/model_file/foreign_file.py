"""What a file is that is no model: each kind has a sentence that says what to do instead."""

from __future__ import annotations

import re

EXPECTED = (
    "expected a network as .safetensors, PyTorch weights, TorchScript, torch.export, ONNX or a "
    "bioimage.io package"
)
_KERAS = (
    "Keras and TensorFlow models are not read. Export it to ONNX (python -m tf2onnx.convert) "
    "and give the .onnx file."
)

_IMAGE = "image, not a model; open it as a layer (File > Open)."
_PACKED = "; unpack it first and give the model file that is in it."

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", f"is a PNG {_IMAGE}"),
    (0, b"\xff\xd8\xff", f"is a JPEG {_IMAGE}"),
    (0, b"GIF8", f"is a GIF {_IMAGE}"),
    *((0, magic, f"is a TIFF {_IMAGE}") for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (0, b"ZISRAWFILE", f"is a CZI {_IMAGE}"),
    (0, b"\x93NUMPY", "is a NumPy array (.npy), not a model; open it as a layer (File > Open)."),
    (0, b"%PDF", f"is a PDF document, not a model; {EXPECTED}."),
    (0, b"\x1f\x8b", f"is packed with gzip{_PACKED}"),
    (0, b"BZh", f"is packed with bzip2{_PACKED}"),
    (0, b"\xfd7zXZ", f"is packed with xz{_PACKED}"),
    (0, b"\x28\xb5\x2f\xfd", f"is packed with zstd{_PACKED}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"is packed with 7-Zip{_PACKED}"),
    (0, b"Rar!", f"is packed as RAR{_PACKED}"),
    (257, b"ustar", f"is a tar archive{_PACKED}"),
    (0, b"\x7fELF", f"is a program, not a model; {EXPECTED}."),
    (0, b"MZ", f"is a program, not a model; {EXPECTED}."),
    (0, b"GGUF", f"is a GGUF language model; {EXPECTED}."),
    (4, b"TFL3", f"is a TensorFlow Lite model; {_KERAS}"),
    (0, b"MATLAB 5.0", "is a MATLAB file; export its network to ONNX with exportONNXNetwork."),
)

_HDF5 = b"\x89HDF\r\n\x1a\n"
_FIJI = (b"unet_param", b"conv_d0a-b", b"caffe")

_ANSWERED = (
    ", not a model; if it was downloaded, the server answered with a message instead of the file: "
    "open it in a text editor to read it."
)
_TEXTS: tuple[tuple[str, str], ...] = (
    (
        r"version https://git-lfs\.github\.com/spec",
        (
            "is a Git LFS pointer, not the model itself; run 'git lfs pull' where it is, or "
            "download the file from its page."
        ),
    ),
    (
        r"(\.\.?/)*\.?/?annex/objects/|/annex/objects/",
        "is a git-annex pointer, not the model itself; run 'git annex get' on it.",
    ),
    (
        r"(?i)(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body|script)\b",
        (
            "is a web page, not a model; the download link probably needs a login or a click in a "
            "browser: download the file there."
        ),
    ),
    (r"<\?xml|<[A-Za-z]\w*[\s>]", f"is an XML text{_ANSWERED}"),
    (r"[{\[]", f"is a JSON text{_ANSWERED}"),
)


def foreign_sentence(head: bytes) -> str:
    """Say what a file is that holds no model, and what to do.

    Parameters
    ----------
    head : bytes
        How it begins; some kilobytes.
    """
    for place, magic, sentence in _MAGIC:
        if head.startswith(magic, place):
            return sentence
    if head.startswith(_HDF5):
        if any(mark in head for mark in _FIJI):
            return (
                "is a Caffe model of Fiji's U-Net plugin (HDF5), which is not read; "
                "train a network here, or give one as PyTorch weights or ONNX."
            )
        return f"is an HDF5 file (.h5), as Keras writes its models; {_KERAS}"
    if b"tensorflow" in head or b"Placeholder" in head or b"serving_default" in head:
        return f"is a TensorFlow graph; {_KERAS}"
    text = readable_text(head)
    if text is None:
        return (
            f"is of a kind that is not known here (it begins with {head[:8].hex(' ')}); {EXPECTED}."
        )
    for pattern, sentence in _TEXTS:
        if re.match(pattern, text):
            return sentence
    return f"is a text, not a model; {EXPECTED}."


def readable_text(head: bytes) -> str | None:
    """Decode the beginning of a text; None if it is none."""
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()
    # A character may be cut at the end of what was read.
    if not text or "\ufffd" in text[:-1] or re.search(r"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]", text):
        return None
    return text
