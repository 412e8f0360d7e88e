"""The fields of the Segment widget: what is common in sight, the rest folded away."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget

from napari_unet.engine.base.settings import (
    InstanceSettings,
    SegmentationSettings,
    in_present_names,
    scale_settings,
)
from napari_unet.session import Session
from napari_unet.viewer.layers import (
    counts_time,
    pixel_size_um,
    slice_axis,
    spacing_of,
    spatial_ndim,
    voxel_words,
)
from napari_unet.widgets.segment.better_slower import BetterSlower
from napari_unet.widgets.segment.object_size import ObjectSizeChoice
from napari_unet.widgets.segment.reading_choices import ChannelChoice, ExtentChoice, VolumeChoice
from napari_unet.widgets.shared.choices import LayerChoice
from napari_unet.widgets.shared.device_choice import DeviceChoice
from napari_unet.widgets.shared.findings_panel import FindingsPanel
from napari_unet.widgets.shared.model_choice import ModelChoice
from napari_unet.widgets.shared.parts import (
    Fold,
    action_button,
    in_column,
    narrow_form,
    while_alive,
)
from napari_unet.widgets.shared.remembered import Remembered, setting_of
from napari_unet.widgets.shared.run_panel import RunPanel
from napari_unet.widgets.shared.settings_form import SettingsForm
from napari_unet.widgets.shared.texts import FaintLabel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.network import NetworkDescription

_COMMON = ("foreground_threshold", "seed_threshold", "min_size_px", "separate_touching")
_LINKING = ("link_overlap", "link_gaps")
_RARE = ("judge_borders", "min_score", "min_seed_px", "fill_holes", "drop_border_cells")


class SegmentForm(QWidget):
    """Builds the fields and says what they hold; it runs nothing.

    Attributes
    ----------
    foot : QVBoxLayout
        Room below all fields.
    """

    input_changed = Signal()
    """Another image, or another way to read it."""
    instances_changed = Signal()
    """How cells are told apart, or linked, was changed."""
    volume_changed = Signal()
    """Something else becomes of the cells of a stack."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        super().__init__()
        self._own = self._model_own = InstanceSettings()
        self._session = session
        self._build_input(viewer, session)
        self._build_settings(session)
        self.panel = RunPanel("Run", "Segment the chosen image layer into a Labels layer.")
        self.concerns = FindingsPanel()
        self.concerns.remedy_chosen.connect(self.apply_changes)
        self.foot = in_column()
        above = (self._input_layout, self.panel, self.concerns, self.linking, self.common)
        in_column(*above, self.better_fold, self.more, self.foot, within=self).addStretch()

    def _build_input(self, viewer: ViewerModel, session: Session) -> None:
        self.layer_choice = LayerChoice(viewer, Image)
        self.layer_choice.setToolTip("Image layer to segment; follows the layer you select.")
        self.model_choice = ModelChoice(session)
        self.extent_choice = ExtentChoice()
        self.volume_choice = VolumeChoice()
        self.channel_choice = ChannelChoice()
        self.size_choice = ObjectSizeChoice(viewer)
        self._input_layout = narrow_form()
        self._channel_label = QLabel("Channel")
        self._input_layout.addRow("Image", self.layer_choice)
        self._input_layout.addRow(self._channel_label, self.channel_choice)
        self._input_layout.addRow("Model", self.model_choice)
        self._input_layout.addRow("Segment", self.extent_choice)
        self._volume_label = QLabel("Cells are")
        self._input_layout.addRow(self._volume_label, self.volume_choice)
        self._input_layout.addRow("Cell size", self.size_choice)
        self._voxels_label, self.voxels = QLabel("Voxels"), FaintLabel()
        self._input_layout.addRow(self._voxels_label, self.voxels)
        for choice in (self.layer_choice, self.channel_choice, self.extent_choice):
            choice.currentIndexChanged.connect(self.input_changed)
        self.volume_choice.currentIndexChanged.connect(self._on_volume_changed)
        self.size_choice.changed.connect(self.input_changed)

    def _build_settings(self, session: Session) -> None:
        self.common = SettingsForm(self._own, _COMMON)
        self.rare = SettingsForm(self._own, _RARE)
        self.linking = SettingsForm(SegmentationSettings(), _LINKING, {"link_overlap": (0.01, 1.0)})
        self.linking.hide()
        self.better = BetterSlower(session, self.model_choice)
        self.better_fold = Fold("Better, slower", self.better)
        self.better.changed.connect(self._on_better_changed)
        self.device_choice = DeviceChoice(session)
        self.model_choice.devices_found.connect(self.device_choice.choose_remembered)
        self.scores_box = QCheckBox("Show scores")
        self.scores_box.setToolTip(
            "<qt>Show a layer for each class of the network under the cells, with its probability "
            "at every pixel: where the network is in doubt shows there. Untick to take them "
            "away.</qt>"
        )
        self.reset_button = action_button(
            "Model's own settings",
            "Take the thresholds back to those tuned for this model.",
            self._on_reset,
        )
        # Thresholds are the model's own, and a size in pixels is that of one image.
        self.remembered = Remembered(
            "Segment cells",
            {
                "averaging": self.better.averaging_setting(),
                "show_scores": setting_of(self.scores_box),
                "diameter_um": self.size_choice.setting_um,
            },
            self,
            present_names=in_present_names,
        )
        self.remembered.was_reset.connect(self._on_reset)
        self.remembered.was_reset.connect(partial(self.better.choose_second, ""))
        inside = QWidget()
        device = narrow_form()
        device.addRow("Device", self.device_choice)
        above = (self.rare, self.scores_box)
        below = (self.reset_button, self.remembered.reset_button())
        in_column(*above, device, *below, within=inside)
        self.more = Fold("More settings", inside)
        self.common.changed.connect(self.instances_changed)
        self.rare.changed.connect(self.instances_changed)
        self.linking.changed.connect(self.instances_changed)

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        return self.layer_choice.layer

    def instances(self) -> InstanceSettings:
        """How cells are told apart.

        Raises
        ------
        SettingsError
            If a value is outside of what makes sense.
        """
        changed: InstanceSettings = replace(self._own, **self.common.values(), **self.rare.values())
        return changed

    def settings(self) -> SegmentationSettings:
        """How the image is read, as far as the form says it.

        Raises
        ------
        SettingsError
            If a value is outside of what makes sense.
        """
        layer = self.layer
        size = self.size_choice.diameter_px(None if layer is None else pixel_size_um(layer))
        is_volume = self.volume_choice.volume == "three_planes"
        voxel = spacing_of(layer, range(layer.ndim)) if layer is not None and is_volume else None
        return replace(
            self.linking_settings,
            diameter_px=size,
            averaging=self.better.averaging,
            anisotropy=None if voxel is None else scale_settings(voxel)["anisotropy"],
        )

    @property
    def linking_settings(self) -> SegmentationSettings:
        """What becomes of the cells of a stack; nothing else."""
        volume = self.volume_choice.volume
        linking = self.linking.values() if volume == "linked" else {}
        return SegmentationSettings(volume=volume, **linking)

    def show_model(self, description: NetworkDescription | None) -> None:
        """Take over what a model was tuned to and trained on."""
        if description is not None:
            self._model_own = description.instances
            self._own = self._own_now
            self.rare.fields["judge_borders"].setEnabled(self._own.border_test is not None)
            self._on_reset()
            # Classes are made of scores without any of this.
            for settings in (self.common, self.rare):
                settings.setVisible(not description.gives_classes)
        self.size_choice.show_trained(description.object_diameter_px if description else None)

    def show_image(self, network_ndim: int) -> None:
        """Offer what the chosen layer allows."""
        layer = self.layer
        self.channel_choice.show_for(layer, network_ndim=network_ndim)
        # A row as a whole can be hidden only since Qt 6.4.
        for widget in (self._channel_label, self.channel_choice):
            widget.setVisible(self.channel_choice.has_choice)
        axes = 0 if layer is None else spatial_ndim(layer, self.channel_choice.channel_axis)
        self.extent_choice.show_for(has_slices=axes > network_ndim)
        self.show_volume(network_ndim)
        self.size_choice.show_image(layer)
        if layer is not None:
            for event in (layer.events.scale, layer.events.units):
                event.connect(self._on_scale_changed)
        self._show_voxels(layer)

    @while_alive
    def _on_scale_changed(self, _event: Any = None) -> None:
        self.input_changed.emit()

    def _show_voxels(self, layer: Image | None) -> None:
        network = self._session.network
        asks = layer is not None and network is not None and network.description.spacing is not None
        for widget in (self._voxels_label, self.voxels):
            widget.setVisible(asks)
        if asks and layer is not None and network is not None:
            words = voxel_words(layer, self.channel_choice.channel_axis)
            learned = network.description.anisotropy
            self.voxels.show_text(f"{words} (the model learned on {learned:.3g})")

    def show_volume(self, network_ndim: int) -> None:
        """Offer whole cells where every slice of a stack is segmented by a model of planes."""
        model = self._session.network
        has_cells = model is not None and not model.description.gives_classes
        is_stack = self.extent_choice.extent == "stack" and network_ndim == 2
        self.volume_choice.show_for(has_depth=is_stack and has_cells and not self.is_movie)
        for widget in (self._volume_label, self.volume_choice):
            widget.setVisible(self.volume_choice.has_choice)
        self.linking.setVisible(self.volume_choice.volume == "linked")

    @property
    def is_movie(self) -> bool:
        """Whether the slices of the chosen image are frames over time, as far as it says."""
        layer, axis = self.layer, self.channel_choice.channel_axis
        if layer is None or spatial_ndim(layer, axis) < 3:
            return False
        return counts_time(layer, slice_axis(layer, axis))

    def apply_changes(self, changes: dict[str, Any]) -> None:
        """Set fields by name: those of the form, and those of both settings classes."""
        if "layer" in changes:
            self.layer_choice.choose(changes["layer"])
        if "model" in changes:
            self.model_choice.load(changes["model"])
        if "second_model" in changes:
            self.better.choose_second(changes["second_model"])
        if "device" in changes:
            self._session.choose_device(changes["device"])
        if "channel" in changes or "channel_axis" in changes:
            channel = changes.get("channel")
            axis = changes.get("channel_axis", self.channel_choice.channel_axis)
            self.channel_choice.choose(axis, None if channel is None else channel - 1)
        if "extent" in changes:
            self.extent_choice.choose(changes["extent"])
        if "volume" in changes:
            self.volume_choice.choose(changes["volume"])
        if "diameter_px" in changes:
            self.size_choice.set_diameter_px(changes["diameter_px"])
        names = {each.name for each in fields(InstanceSettings)} & changes.keys()
        if names:
            wanted = replace(self.instances(), **{name: changes[name] for name in names})
            self.common.show_values(wanted)
            self.rare.show_values(wanted)
        if "averaging" in changes:
            self.better.choose_averaging(changes["averaging"])

    def _on_volume_changed(self) -> None:
        self.linking.setVisible(self.volume_choice.volume == "linked")
        self._show_own()
        self.input_changed.emit()
        self.volume_changed.emit()

    def _show_own(self) -> None:
        """Show the model's own thresholds, where others suit what is asked for now."""
        if self._own_now != self._own:
            self._own = self._own_now
            self._on_reset()

    @property
    def _own_now(self) -> InstanceSettings:
        is_volume = self.volume_choice.volume == "three_planes"
        return self._model_own.for_three_planes() if is_volume else self._model_own

    def _on_better_changed(self) -> None:
        # Folded away, it still says that a run takes longer.
        slower = self.better.times_slower
        self.better_fold.setText("Better, slower" + (f" ({slower} times)" if slower > 1 else ""))

    def _on_reset(self) -> None:
        self.common.show_values(self._own)
        self.rare.show_values(self._own)
