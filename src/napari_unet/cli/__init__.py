"""The command `napari-unet`: what the plugin does, without a screen."""

from napari_unet.cli.program import main

__all__ = ["main"]
