"""What the forms do, as lines of Python and as a command line, to copy and run again."""

from napari_unet.script.segmentation import SegmentRecipe, command_line, python_lines
from napari_unet.script.training import TrainRecipe, training_command, training_python

__all__ = [
    "SegmentRecipe",
    "TrainRecipe",
    "command_line",
    "python_lines",
    "training_command",
    "training_python",
]
