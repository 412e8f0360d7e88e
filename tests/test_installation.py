from pathlib import Path

import pytest

from napari_unet.installation import InstallationError, check_installation


def _install_distribution(folder: Path, name: str) -> None:
    information = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")


def test_our_distribution_alone_is_accepted() -> None:
    check_installation()


def test_distribution_with_the_same_import_name_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_distribution(tmp_path, "napari-unet")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InstallationError) as error:
        check_installation()

    assert "'napari-unet' 1.2 is installed beside 'napari-unet-cells'" in str(error.value)
    assert "pip uninstall napari-unet" in str(error.value)


def test_distribution_with_another_import_name_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_distribution(tmp_path, "napari-unet-assistant")
    monkeypatch.syspath_prepend(tmp_path)

    check_installation()
