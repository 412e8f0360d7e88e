"""Segment cells with a U-Net, see where neighbours must come apart, and retrain it.

Importing this package loads neither torch nor Qt; each name below loads what
it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from napari_unet.engine.base.errors import UNetError
    from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
    from napari_unet.engine.blocks.segmentation import segment_blocks
    from napari_unet.engine.checks.preflight import preflight, preflight_all, repair
    from napari_unet.engine.export.export import export_formats, export_model
    from napari_unet.engine.export.settings import ExportSettings
    from napari_unet.engine.labels.cell_types import evaluate_types
    from napari_unet.engine.labels.comparison import change_image, compare_cells
    from napari_unet.engine.labels.evaluation import evaluate
    from napari_unet.engine.labels.measurements import PixelSize, measure_cells
    from napari_unet.engine.labels.tracking.settings import TrackingSettings
    from napari_unet.engine.labels.tracking.tracking import track_cells
    from napari_unet.engine.labels.truth.cell_errors import find_errors
    from napari_unet.engine.labels.uncertainty import rank_doubt, rank_uncertainty
    from napari_unet.engine.models.checkpoint import (
        bundled_models,
        load_checkpoint,
        save_checkpoint,
    )
    from napari_unet.engine.models.one_call import segment
    from napari_unet.engine.models.suggestion import suggest_model
    from napari_unet.engine.training.hold_out import hold_out
    from napari_unet.engine.training.pairs import TrainingPair, annotated_pair, new_description
    from napari_unet.engine.training.settings import AugmentationSettings, TrainingSettings
    from napari_unet.engine.training.training import train
    from napari_unet.engine.weight_map.settings import WeightMapSettings
    from napari_unet.engine.weight_map.tracker import WeightMapTracker
    from napari_unet.engine.weight_map.weight_map import boundary_weight_map

_HOMES = {
    "AugmentationSettings": "training.settings",
    "ExportSettings": "export.settings",
    "InstanceSettings": "base.settings",
    "PixelSize": "labels.measurements",
    "SegmentationSettings": "base.settings",
    "TrackingSettings": "labels.tracking.settings",
    "TrainingPair": "training.pairs",
    "TrainingSettings": "training.settings",
    "UNetError": "base.errors",
    "WeightMapSettings": "weight_map.settings",
    "WeightMapTracker": "weight_map.tracker",
    "annotated_pair": "training.pairs",
    "boundary_weight_map": "weight_map.weight_map",
    "bundled_models": "models.checkpoint",
    "change_image": "labels.comparison",
    "compare_cells": "labels.comparison",
    "evaluate": "labels.evaluation",
    "evaluate_types": "labels.cell_types",
    "export_formats": "export.export",
    "export_model": "export.export",
    "find_errors": "labels.truth.cell_errors",
    "hold_out": "training.hold_out",
    "load_checkpoint": "models.checkpoint",
    "measure_cells": "labels.measurements",
    "new_description": "training.pairs",
    "preflight": "checks.preflight",
    "preflight_all": "checks.preflight",
    "rank_doubt": "labels.uncertainty",
    "rank_uncertainty": "labels.uncertainty",
    "repair": "checks.preflight",
    "save_checkpoint": "models.checkpoint",
    "segment": "models.one_call",
    "segment_blocks": "blocks.segmentation",
    "suggest_model": "models.suggestion",
    "track_cells": "labels.tracking.tracking",
    "train": "training.training",
}

__all__ = [
    "AugmentationSettings",
    "ExportSettings",
    "InstanceSettings",
    "PixelSize",
    "SegmentationSettings",
    "TrackingSettings",
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
    "evaluate_types",
    "export_formats",
    "export_model",
    "find_errors",
    "hold_out",
    "load_checkpoint",
    "measure_cells",
    "new_description",
    "preflight",
    "preflight_all",
    "rank_doubt",
    "rank_uncertainty",
    "repair",
    "save_checkpoint",
    "segment",
    "segment_blocks",
    "suggest_model",
    "track_cells",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"napari_unet.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
