"""What the Train form says, as a training of a queue: what is in layers alone is written out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.batch.settings import ModelFile
from napari_unet.batch.training.entry import TRAININGS
from napari_unet.batch.training.labelled_files import LabelledFiles, LabelMeaning
from napari_unet.batch.training.plan import NewModel, TrainingPlan
from napari_unet.engine.base.errors import UNetError
from napari_unet.script.words import file_stem
from napari_unet.versions.notes import new_id
from napari_unet.widgets.train.plan import Plan, check_folder_meaning, labelled_planes

if TYPE_CHECKING:
    from napari_unet.batch.training.labelled_files import FilePair

_SHARE = 0.2
"""Held out, as by the form itself."""


@dataclass(frozen=True, slots=True, eq=False)
class QueuedTraining:
    """A training of the form that is to wait in a queue.

    Parameters
    ----------
    plan : Plan
    file_hash : str
        First digits of the SHA-256 of the model that it begins with.

    Raises
    ------
    UNetError
        If nobody could go on with it later.
    """

    plan: Plan
    file_hash: str = ""

    def __post_init__(self) -> None:
        if self.plan.network is not None and not self.plan.recipe.model:
            raise UNetError(
                "The model has no file, so that nobody could go on with it later; keep it as a "
                "version, and choose that."
            )
        if self.plan.recipe.folders:
            check_folder_meaning(self.plan.recipe.meaning)

    @property
    def name(self) -> str:
        """Of the model that it makes, as long as there is no other of this name."""
        if self.plan.network is None:
            return "new"
        stem = re.sub(r" \d+$", "", self.plan.network.description.name)
        return f"{file_stem(stem)}_trained"

    def written(self, folder: Path) -> TrainingPlan:
        """Write the labelled layers into the folder of a queue, for a worker's thread.

        Raises
        ------
        UNetError
            If there is nothing to learn from, or they cannot be written.
        """
        from napari_unet.batch.training.written_pairs import SUFFIX, write_pairs

        plan, recipe = self.plan, self.plan.recipe
        files: tuple[FilePair, ...] = self._files()
        pairs = [pair for source in plan.sources for pair in labelled_planes(source, plan)]
        name = f"{new_id()}{SUFFIX}" if pairs else ""
        if not pairs and not files:
            raise UNetError("No layer has labels to learn from; paint some cells first.")
        if pairs:
            (folder / TRAININGS).mkdir(parents=True, exist_ok=True)
            write_pairs(folder / TRAININGS / name, pairs)
        names = recipe.class_names if plan.label_kind == "classes" else None
        return TrainingPlan(
            LabelledFiles(
                files,
                meaning=LabelMeaning(
                    plan.label_kind,
                    "ignore" if recipe.meaning == "painted" else "reviewed",
                    recipe.background_label,
                    only_seen=recipe.meaning == "seen",
                    slices="painted" if recipe.meaning == "slices" else None,
                    ndim=recipe.ndim,
                ),
                share=_SHARE if recipe.holds_out else 0.0,
                written=name,
            ),
            recipe.settings,
            None if plan.network is None else ModelFile(recipe.model, self.file_hash),
            dict(recipe.guesses),
            NewModel(recipe.ndim, class_names=names),
        )

    def _files(self) -> tuple[FilePair, ...]:
        from napari_unet.files.pairs import pair_files

        folders = self.plan.recipe.folders
        return tuple(
            both
            for images, labels in folders
            for both in pair_files(Path(images), Path(labels)).pairs
        )
