"""Segment cells with a U-Net, see where neighbours must come apart, and retrain it.

Importing this package loads neither torch nor Qt; each name below loads what
it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from napari_unet.engine.checkpoint import bundled_models, load_checkpoint, save_checkpoint
    from napari_unet.engine.comparison import change_image, compare_cells
    from napari_unet.engine.doubt import rank_doubt
    from napari_unet.engine.errors import UNetError
    from napari_unet.engine.evaluation import evaluate
    from napari_unet.engine.export import export_formats, export_model
    from napari_unet.engine.export_settings import ExportSettings
    from napari_unet.engine.hold_out import hold_out
    from napari_unet.engine.preflight import preflight, preflight_all, repair
    from napari_unet.engine.segmentation import segment
    from napari_unet.engine.settings import InstanceSettings, SegmentationSettings
    from napari_unet.engine.training import train
    from napari_unet.engine.training_pairs import TrainingPair, annotated_pair
    from napari_unet.engine.training_settings import TrainingSettings
    from napari_unet.engine.weight_map import boundary_weight_map
    from napari_unet.engine.weight_map_settings import WeightMapSettings
    from napari_unet.engine.weight_map_tracker import WeightMapTracker

_HOMES = {
    "ExportSettings": "export_settings",
    "InstanceSettings": "settings",
    "SegmentationSettings": "settings",
    "TrainingPair": "training_pairs",
    "TrainingSettings": "training_settings",
    "UNetError": "errors",
    "WeightMapSettings": "weight_map_settings",
    "WeightMapTracker": "weight_map_tracker",
    "annotated_pair": "training_pairs",
    "boundary_weight_map": "weight_map",
    "bundled_models": "checkpoint",
    "change_image": "comparison",
    "compare_cells": "comparison",
    "evaluate": "evaluation",
    "export_formats": "export",
    "export_model": "export",
    "hold_out": "hold_out",
    "load_checkpoint": "checkpoint",
    "preflight": "preflight",
    "preflight_all": "preflight",
    "rank_doubt": "doubt",
    "repair": "preflight",
    "save_checkpoint": "checkpoint",
    "segment": "segmentation",
    "train": "training",
}

__all__ = [
    "ExportSettings",
    "InstanceSettings",
    "SegmentationSettings",
    "TrainingPair",
    "TrainingSettings",
    "UNetError",
    "WeightMapSettings",
    "WeightMapTracker",
    "__version__",
    "annotated_pair",
    "boundary_weight_map",
    "bundled_models",
    "change_image",
    "compare_cells",
    "evaluate",
    "export_formats",
    "export_model",
    "hold_out",
    "load_checkpoint",
    "preflight",
    "preflight_all",
    "rank_doubt",
    "repair",
    "save_checkpoint",
    "segment",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"napari_unet.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
