"""The fields of the Train widget: what is common in sight, the rest folded away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from napari_unet.engine.base.errors import TrainingError, UNetError
from napari_unet.engine.labels.look_over import SEEN
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.script import TrainRecipe
from napari_unet.session import Session
from napari_unet.viewer.cells.marks import marks_of_layer
from napari_unet.viewer.layers import voxel_words
from napari_unet.widgets.shared.findings_panel import FindingsPanel
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.parts import in_column, narrow_form, while_alive
from napari_unet.widgets.shared.remembered import Remembered
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.train.augmented_patches import patches_button
from napari_unet.widgets.train.curves.curves import TrainingCurves
from napari_unet.widgets.train.input.new_network_choice import NewNetworkChoice
from napari_unet.widgets.train.input.pairs_list import PairsList
from napari_unet.widgets.train.input.reading import read_pairs
from napari_unet.widgets.train.input.unlabelled_choice import UnlabelledChoice
from napari_unet.widgets.train.length_choice import LengthChoice
from napari_unet.widgets.train.more_settings import MoreSettings, strength_slider
from napari_unet.widgets.train.plan import PairSource, Plan

if TYPE_CHECKING:
    from napari.components import ViewerModel


class TrainForm(QWidget):
    """Builds the fields and says what they hold; it runs nothing.

    Attributes
    ----------
    results, foot : QVBoxLayout
        Below the curves, and below all fields, for widgets of others.
    """

    input_changed = Signal()
    """Other pairs, another meaning of their labels, or another start."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.pairs = PairsList(viewer)
        self.unlabelled = UnlabelledChoice(viewer)
        self.pairs.changed.connect(self.input_changed)
        self.unlabelled.changed.connect(self.input_changed)
        self._build_start()
        self.panel = RunPanel(
            "Train",
            "<qt>Teach the model what is labelled above. What comes out is a version of its own, "
            "which you keep or discard at the end.</qt>",
        )
        self.findings = FindingsPanel()
        self.curves = TrainingCurves()
        self.curves.hide()
        self.augmented_button = patches_button(viewer, self.read_plan)
        self.more = MoreSettings(session, self.augmented_button)
        self.model_choice.devices_found.connect(self.more.device_choice.choose_remembered)
        # What labels mean, and a start with nothing, are questions of each training.
        self.remembered = Remembered(
            "Train",
            {
                **self.more.settings_fields,
                **self.length.controls,
                "strength": self.strength_slider,
                "hold_out": self.hold_out_box,
            },
            self,
        )
        self.results, self.foot = QVBoxLayout(), QVBoxLayout()
        for changed in (self.length.changed, self.more.rare.changed, self.anew_box.toggled):
            changed.connect(self.show_time)
        self.show_time()
        self.foot.addWidget(self.remembered.reset_button())
        self._lay_out()

    def _lay_out(self) -> None:
        start = QWidget()
        fields = narrow_form()
        start.setLayout(fields)
        fields.addRow("Start from", self.model_choice)
        fields.addRow(self.new_network)
        fields.addRow("Train", self.length)
        fields.addRow("Strength", self.strength_slider)
        fields.addRow(self.hold_out_box)
        heading = QLabel("Images, and their labels")
        above = (heading, self.pairs, self.unlabelled, start, self.panel, self.findings)
        layout = in_column(*above, self.curves, self.results, self.more, self.foot, within=self)
        layout.addStretch()

    def _build_start(self) -> None:
        self.model_choice = ModelChoice(self._session)
        self.new_network = NewNetworkChoice()
        self.anew_box = self.new_network.anew_box
        self.anew_box.toggled.connect(self.model_choice.setDisabled)
        self.new_network.changed.connect(self.input_changed)
        self.new_network.changed.connect(self.show_slices)
        self._session.network_loaded.connect(self.show_slices)
        self.new_network.kind_choice.currentIndexChanged.connect(self._on_label_kind_chosen)
        self.pairs.changed.connect(self._on_pairs_changed)
        self._on_pairs_changed()
        self.length = LengthChoice()
        self.strength_slider = strength_slider()
        self.hold_out_box = QCheckBox("Hold some cells out to check")
        self.hold_out_box.setChecked(True)
        self.hold_out_box.setToolTip(
            "<qt>Learn nothing from some images, or from one end of an image, and measure there "
            "how good the network gets. The best state is kept. Where there are too few cells for "
            "that, nothing is held out, and the message says so.</qt>"
        )

    @property
    def begins_anew(self) -> bool:
        """Whether a new network is to be made."""
        return self.new_network.begins_anew

    @property
    def network_ndim(self) -> int:
        """Axes that the network to be trained reads at once."""
        network = self._session.network
        if self.begins_anew or network is None:
            return self.new_network.ndim
        return network.description.architecture.ndim

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names that the classes of a new network are given; None if it finds cells."""
        learns_classes = self.begins_anew and self.new_network.label_kind == "classes"
        return self.new_network.class_names if learns_classes else None

    def _on_label_kind_chosen(self) -> None:
        # Scribbles are no review of the rest.
        if self.new_network.label_kind == "classes":
            self.unlabelled.choose("painted")

    @while_alive
    def _on_pairs_changed(self, _event: Any = None) -> None:
        # Of files nobody knows before they are read.
        are_there = bool(self.pairs.folders) or any(
            labels.ndim > 2 for _, labels in self.pairs.pairs
        )
        self._has_stacks = are_there
        volumes = [image for image, labels in self.pairs.pairs if labels.ndim > 2]
        voxels = next(map(voxel_words, volumes), "")
        for image in volumes[:1]:
            for event in (image.events.scale, image.events.units):
                event.connect(self._on_pairs_changed)
        self.new_network.show_stacks(are_there=are_there, voxels=voxels)
        self.show_slices()
        self.show_marks()

    @while_alive
    def show_slices(self, _value: object = None) -> None:
        """Offer to learn from single slices where a network reads volumes."""
        self.unlabelled.offer("slices", is_there=self._has_stacks and self.network_ndim == 3)

    def show_marks(self) -> None:
        """Offer what was looked over; of files nobody knows before they are read."""
        marked = (set(marks_of_layer(labels).values()) for _, labels in self.pairs.pairs)
        is_there = any(SEEN & marks for marks in marked) or bool(self.pairs.folders)
        self.unlabelled.offer("seen", is_there=is_there)

    def settings(self) -> TrainingSettings:
        """How the network is trained.

        Raises
        ------
        SettingsError
            If a value is outside of what makes sense.
        """
        usual = _usual(begins_anew=self.begins_anew)
        ndim = self.network_ndim
        settings = usual(ndim=ndim, strength=self.strength_slider.value(), **self.length.end)
        # Of nothing there is nothing to keep, and nothing that was measured before.
        anew = (
            {"bank_share": 0.0, "keep_knowledge": 0.0, "adapt_norms": True}
            if self.begins_anew
            else {}
        )
        return self.more.settings(settings, ndim=ndim, **anew)

    def with_chosen_end(self, recipe: TrainRecipe) -> TrainRecipe:
        """Return what a training was begun with, to end as is chosen now."""
        chosen = _usual(begins_anew=recipe.begins_anew)(**self.length.end)
        end = {name: getattr(chosen, name) for name in ("steps", "seconds", "patience", "decay")}
        return replace(recipe, settings=replace(recipe.settings, **end))

    def show_time(self) -> None:
        """Say how long a training with these settings takes on this machine."""
        with suppress(UNetError):  # a setting makes no sense yet, which the start will tell
            self.length.show_time(self.settings())

    def read_sources(self) -> tuple[PairSource, ...]:
        """Return the pairs of layers; none where only folders are learned from.

        Raises
        ------
        UNetError
            If there is nothing to learn from, or layers do not lie on each other.
        """
        pairs = self.pairs.pairs
        if self.pairs.question:
            raise TrainingError(self.pairs.question)
        if not pairs and not self.pairs.folders:
            raise TrainingError(
                "There is no image with labels; open an image, run Segment cells or add a Labels "
                "layer, and paint."
            )
        regions = self.unlabelled.regions_layer
        return read_pairs(pairs, self._viewer.dims, network_ndim=self.network_ndim, regions=regions)

    def read_plan(self) -> Plan:
        """Return everything that the form says.

        Raises
        ------
        UNetError
            If it is not complete.
        """
        network = None if self.begins_anew else self._session.network
        if network is None and not self.begins_anew:
            raise UNetError("No model is loaded; choose one, or tick 'Begin with nothing'.")
        if network is not None and network.description.not_trainable_because:
            raise TrainingError(network.description.not_trainable_because)
        sources = self.read_sources()
        recipe = TrainRecipe(
            tuple((str(image.name), str(labels.name)) for image, labels in self.pairs.pairs),
            self._session.source,
            self.begins_anew,
            self.unlabelled.meaning,
            self.unlabelled.background_label,
            self.settings(),
            self.hold_out_box.isChecked(),
            self._session.device,
            tuple((str(images), str(labels)) for images, labels in self.pairs.folders),
            self._session.guesses,
            label_kind="cells" if self.class_names is None else "classes",
            ndim=self.network_ndim,
            class_names=self.class_names or (),
        )
        plan = Plan(recipe, sources, network)
        typed: tuple[str, ...] = ()
        if plan.label_kind == "cells":
            both = zip(self.pairs.pairs, sources, strict=True)
            typed = tuple(str(labels.name) for (_, labels), source in both if source.types)
        return replace(plan, recipe=replace(recipe, label_kind=plan.label_kind, typed=typed))


def _usual(*, begins_anew: bool) -> Callable[..., TrainingSettings]:
    return TrainingSettings.from_nothing if begins_anew else TrainingSettings.fine_tuning
