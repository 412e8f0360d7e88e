"""What napari hands to the Model widget, and what it leaves to other readers."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_unet.viewer import model_reader
from napari_unet.viewer.model_reader import get_reader, looks_like_model

DESCRIPTION = "format_version: 0.5.3\nname: mine\nweights:\n  onnx: {source: w.onnx}\n"


def archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, text in files.items():
            file.writestr(name.replace("__", "."), text)
    return path


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth", "ckpt", "t7", "pt2", "onnx", "PTH"])
def test_what_only_models_are_called_is_taken_whatever_is_in_it(
    tmp_path: Path, suffix: str
) -> None:
    # What is wrong with it is said best in the Model widget.
    path = tmp_path / f"m.{suffix}"
    path.write_text("<html>Not found</html>")

    assert looks_like_model(path)


def test_a_package_is_a_model_and_another_archive_is_none(tmp_path: Path) -> None:
    assert looks_like_model(archive(tmp_path / "a.zip", rdf__yaml=DESCRIPTION))
    assert looks_like_model(archive(tmp_path / "b.zip", bioimageio__yaml=DESCRIPTION))
    assert not looks_like_model(archive(tmp_path / "c.zip", image__tif="", notes__txt=""))


def test_a_torn_archive_is_none(tmp_path: Path) -> None:
    torn = tmp_path / "d.zip"
    torn.write_bytes(archive(tmp_path / "a.zip", rdf__yaml=DESCRIPTION).read_bytes()[:40])

    assert not looks_like_model(torn)


def test_a_description_of_a_model_is_told_from_any_other_text(tmp_path: Path) -> None:
    model, other = tmp_path / "rdf.yaml", tmp_path / "other.rdf.yaml"
    model.write_text(DESCRIPTION)
    other.write_text("format_version: 0.2.0\ntype: dataset\n")

    assert looks_like_model(model)
    assert not looks_like_model(other)


def test_a_binary_file_must_hold_weights(tmp_path: Path) -> None:
    weights, pixels = tmp_path / "pytorch_model.bin", tmp_path / "camera.bin"
    torch.save({"w": torch.zeros(2)}, weights)
    old = tmp_path / "old.bin"
    torch.save({"w": torch.zeros(2)}, old, _use_new_zipfile_serialization=False)
    pixels.write_bytes(bytes(1000))

    assert looks_like_model(weights)
    assert looks_like_model(old)
    assert not looks_like_model(pixels)
    assert not looks_like_model(tmp_path / "missing.bin")


def test_without_a_window_and_for_several_files_it_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "m.pth")
    assert get_reader(file) is None

    viewer: Any = object()
    monkeypatch.setattr(model_reader, "current_viewer", lambda: viewer)
    assert get_reader(file) is model_reader.open_model
    assert get_reader([file, file]) is None
    assert get_reader(str(tmp_path / "image.tif")) is None
