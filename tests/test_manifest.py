"""The manifest that napari reads: it is valid and every name in it can be imported."""

import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

from napari_unet.viewer.commands import PLUGIN, WIDGETS
from napari_unet.viewer.model_reader import MODEL_PATTERNS


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-unet-cells")


def test_manifest_is_valid_with_every_import(manifest: PluginManifest) -> None:
    manifest.validate_imports()


def test_every_command_names_something_to_call(manifest: PluginManifest) -> None:
    commands = manifest.contributions.commands
    assert commands

    for command in commands:
        assert callable(import_python_name(command.python_name)), command.id


def test_plugin_is_shown_as_unet_with_the_segment_widget(manifest: PluginManifest) -> None:
    assert manifest.display_name == "U-Net"
    assert "Segment cells" in [widget.display_name for widget in manifest.contributions.widgets]


def test_the_widgets_that_one_command_opens_are_those_of_the_manifest(
    manifest: PluginManifest,
) -> None:
    names = [widget.display_name for widget in manifest.contributions.widgets]

    assert list(WIDGETS) == names


def test_the_layers_menu_segments_and_every_entry_is_a_command(manifest: PluginManifest) -> None:
    commands = {command.id for command in manifest.contributions.commands}
    entries = {
        menu: [item.command for item in items]
        for menu, items in manifest.contributions.menus.items()
    }

    assert f"{PLUGIN}.segment" in entries["napari/layers/segment"]
    assert f"{PLUGIN}.segment_view" in entries["napari/layers/segment"]
    assert {command for items in entries.values() for command in items} <= commands


def test_napari_offers_the_files_that_the_dialog_offers(manifest: PluginManifest) -> None:
    reader = manifest.contributions.readers[0]

    assert sorted(reader.filename_patterns) == sorted(sum(MODEL_PATTERNS.values(), ()))


def test_every_title_tells_what_the_command_does_in_words(manifest: PluginManifest) -> None:
    titles = [command.title for command in manifest.contributions.commands]

    assert len(set(titles)) == len(titles)
    assert all(title[0].isupper() and not title.endswith(".") for title in titles)


def test_distribution_asks_for_no_qt_binding_unless_told() -> None:
    always = [line for line in distribution("napari-unet-cells").requires if "extra" not in line]

    bindings = ("pyqt5", "pyqt6", "pyside", "napari[")
    assert not [line for line in always if line.lower().startswith(bindings)]


@pytest.mark.skipif(sys.platform == "win32", reason="git writes no symlinks there by default")
def test_manifest_at_the_root_is_the_packaged_one() -> None:
    root = Path(__file__).parents[1]

    assert (root / "napari.yaml").resolve() == root / "src" / "napari_unet" / "napari.yaml"
