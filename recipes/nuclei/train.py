"""Train the bundled model `nuclei` from nothing: python recipes/nuclei/train.py DATA OUT.

DATA holds the sets that `training_images.py` names; `../recipe.py` says what OUT gets.
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

NUCLEI = Recipe(
    description=NetworkDescription(
        "nuclei",
        UNetConfig(in_channels=3, classes=3, base_width=32, depth=4, max_width=160),
        class_roles=("background", "cell", "border"),
        # From step 31,000 on. Before, touching cells had a gap on one side, which a network
        # cannot foretell: the quality was .4424 at 30,000 and, with even borders, .4543 at
        # 32,000; without them, from the same state, .4516.
        border_kind="even",
        # For the validations only; they are tuned when the training has ended.
        instances=InstanceSettings(foreground_threshold=0.45, seed_threshold=0.5, min_score=0.6),
        summary="Nuclei in fluorescence, histology and brightfield images, grey or RGB.",
        training_data=(
            "2018 Data Science Bowl, stage 1 (BBBC038, CC0), U2OS nuclei (BBBC039, CC0) and DAPI "
            "in mouse tissue (BitDepth_NucSeg, Apache-2.0); parts of each held out."
        ),
        licence="BSD-3-Clause; trained on CC0 and Apache-2.0 images",
    ),
    settings=TrainingSettings(
        steps=40_000,
        patience=0,
        batch_size=4,
        # Most images have 256 pixels: of patches as large, turned and zoomed, 72 % of the pixels
        # count, of these 80 %, and a step takes 56 % of the time.
        patch_size_px=192,
        learning_rate=1e-3,
        warmup_steps=200,
        decay=0.6,
        average=0.999,
        crowded_share=0.4,
        validation_interval=0,
        augmentation=AugmentationSettings(
            scale=2.0,
            gamma=1.6,
            noise=0.12,
            blur_px=2.0,
            fewest_levels=8,
            stain=0.35,
            hue_degrees=120.0,
            saturation=2.0,
            channel_mixing=0.15,
            grey_share=0.2,
            inverted_share=0.1,
        ),
    ),
    split=split,
    training_pairs=training_pairs,
    measured_pairs=measured_pairs,
    first_validation=1000,
    validations_every=2000,
)

if __name__ == "__main__":
    sys.exit(follow(NUCLEI, __doc__))
