"""Train the bundled model `cells`: python recipes/cells/train.py DATA OUT --from-model NUCLEI.

DATA holds the sets that `training_images.py` names; `../recipe.py` says what OUT gets. NUCLEI is
the finished model, or `recipes/nuclei/state.safetensors`: what it knows of outlines and of cells
that touch saves most of the steps.
"""

from __future__ import annotations

import sys
from pathlib import Path

from training_images import measured_pairs, split, training_pairs

from napari_unet import InstanceSettings, TrainingSettings
from napari_unet.engine.networks.network import NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.training.settings import AugmentationSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from recipe import Recipe, follow

CELLS = Recipe(
    description=NetworkDescription(
        "cells",
        UNetConfig(in_channels=3, classes=3, base_width=32, depth=4, max_width=160),
        class_roles=("background", "cell", "border"),
        # For the validations only; they are tuned when the training has ended. Its outlines lie a
        # little inside of those that were drawn, and ends of thin cells are no cells of their own.
        instances=InstanceSettings(
            foreground_threshold=0.35,
            seed_threshold=0.6,
            min_size_px=60,
            min_seed_px=30,
            min_score=0.6,
        ),
        summary="Whole cells without stain, in phase contrast and DIC images.",
        training_data=(
            "Phase contrast of T98G cells (Usiigaci, Tsai et al. 2019, MIT) and DIC of CHO cells "
            "(BBBC030, Koos et al. 2016, CC BY 3.0); parts of each held out."
        ),
        licence="BSD-3-Clause; trained on MIT and CC BY 3.0 images",
    ),
    settings=TrainingSettings(
        steps=2000,
        patience=0,
        batch_size=4,
        patch_size_px=192,
        learning_rate=1e-3,
        warmup_steps=50,
        decay=0.6,
        average=0.99,
        crowded_share=0.4,
        validation_interval=0,
        augmentation=AugmentationSettings(
            scale=2.0,
            contrast=1.6,
            gamma=1.6,
            noise=0.12,
            blur_px=2.0,
            fewest_levels=8,
            negative_share=0.1,
        ),
    ),
    split=split,
    training_pairs=training_pairs,
    measured_pairs=measured_pairs,
    first_validation=100,
    validations_every=250,
    lines_every=50,
    starts_from="nuclei",
)

if __name__ == "__main__":
    sys.exit(follow(CELLS, __doc__))
