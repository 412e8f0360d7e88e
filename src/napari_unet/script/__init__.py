"""What the forms do, as lines of Python and as a command line, to copy and run again."""

from napari_unet.script.blocks import BlocksRecipe, blocks_command
from napari_unet.script.evaluation import (
    EvaluationRecipe,
    evaluation_command,
    evaluation_python,
)
from napari_unet.script.segmentation import SegmentRecipe, command_line, python_lines
from napari_unet.script.training import TrainRecipe, training_command, training_python

__all__ = [
    "BlocksRecipe",
    "EvaluationRecipe",
    "SegmentRecipe",
    "TrainRecipe",
    "blocks_command",
    "command_line",
    "evaluation_command",
    "evaluation_python",
    "python_lines",
    "training_command",
    "training_python",
]
