"""The versions of a model: kept after a training, listed, and what is said of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_unet.session import LoadedModel, read_model
from napari_unet.versions.autosave import InterruptedTraining
from napari_unet.versions.history import ModelHistory
from napari_unet.widgets.train.review.comparison import (
    AP_AFTER,
    AP_BEFORE,
    CELLS,
    FOUND_AFTER,
    FOUND_BEFORE,
    Compared,
)

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.knowledge.bank import Bank
    from napari_unet.versions.history import Version
    from napari_unet.widgets.train.reports import Trained


_HELD_OUT = "held-out cells"
"""Under which name a kept model says how good it is on them."""


def keep_trained(
    history: ModelHistory,
    trained: Trained,
    compared: Compared | None,
    parent: str | None,
    images_of: Callable[[Trained], Bank] | None = None,
) -> LoadedModel:
    """Keep what came of a training, and how it differs from the version with the id `parent`.

    Parameters
    ----------
    images_of : callable, optional
        The images that are kept beside it.

    Raises
    ------
    CheckpointError, FileError
        If it cannot be written.
    """
    from napari_unet.engine.models.scores import measured
    from napari_unet.engine.networks.network import Network

    metrics = {"steps": trained.steps} | (compared.metrics if compared else {})
    sentence = compared.sentence if compared else ""
    network = trained.network
    if compared is not None and compared.verdict is not None:
        network = compared.verdict.proposed
    if compared is not None and compared.after is not None:
        own = {_HELD_OUT: measured(compared.after)}
        network = Network(network.unet, replace(network.description, metrics=own))
    bank = None if images_of is None else images_of(trained)
    return _kept(history, network, metrics, sentence, parent, bank)


def keep_interrupted(history: ModelHistory, interrupted: InterruptedTraining) -> LoadedModel:
    """Keep what a training had learned that ended with an earlier napari.

    Raises
    ------
    CheckpointError
        If its state is gone or damaged, or the version cannot be written.
    """
    from napari_unet.engine.training.state import load_interrupted

    sentence = f"Interrupted after step {interrupted.step}."
    metrics = {"steps": interrupted.step}
    return _kept(history, load_interrupted(interrupted.state), metrics, sentence)


def _kept(
    history: ModelHistory,
    network: Network,
    metrics: Mapping[str, Any],
    sentence: str,
    parent: str | None = None,
    bank: Bank | None = None,
) -> LoadedModel:
    # Never the name of what it started from; "nuclei 2", then "nuclei 3".
    stem = re.sub(r" \d+$", "", network.description.name)
    version = history.keep(
        network,
        metrics=metrics,
        parent=parent,
        sentence=sentence,
        name=f"{stem} 2",
        bank=bank,
    )
    return read_model(str(version.path))


_LOWEST_PX = 110
_NAME, _AP, _DATE = 0, 1, 2
_TOOLTIP = (
    "<qt>Every version of the model that was kept, the newest first. Held out: how many of so many "
    "held-out cells it found, before and after its training; of 20 or more AP at an overlap of "
    "0.5, from 0 to 1. Scores of different cells do not compare.</qt>"
)


class VersionList(QTreeWidget):
    """One row for each version; its name can be edited in place.

    Attributes
    ----------
    versions : tuple of Version
        What is listed.
    current : str, optional
        Id of the version in use, which is shown in bold from the next `fill` on.
    """

    renamed = Signal(object, str)
    """Carries a `Version` and the name that was typed."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: tuple[Version, ...] = ()
        self.current: str | None = None
        self.setHeaderLabels(["Version", "Held out", "Kept"])
        self.setRootIsDecorated(False)
        self.setMinimumHeight(_LOWEST_PX)
        self.setToolTip(_TOOLTIP)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        header = self.header()
        assert header is not None  # noqa: S101 - a tree has one
        header.setStretchLastSection(False)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column in (_AP, _DATE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.itemChanged.connect(self._on_item_changed)

    @property
    def selected(self) -> Version | None:
        """The version whose row is selected."""
        items = self.selectedItems()
        return self.versions[self.indexOfTopLevelItem(items[0])] if items else None

    def fill(self, versions: Sequence[Version]) -> None:
        """List versions; what is selected stays."""
        selected = self.selected
        self.versions = tuple(versions)
        was_blocked = self.blockSignals(True)
        self.clear()
        for version in self.versions:
            item = QTreeWidgetItem([version.name, on_held_out(version), version.local_date])
            if not version.is_bundled:
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setToolTip(_NAME, f"<qt>{escape(details(version, self.versions))}</qt>")
            font = item.font(_NAME)
            font.setBold(version.id == self.current)
            item.setFont(_NAME, font)
            self.addTopLevelItem(item)
            if selected is not None and version.id == selected.id:
                self.setCurrentItem(item)
        self.blockSignals(was_blocked)
        self.itemSelectionChanged.emit()

    def edit_name(self) -> None:
        """Let the name of the selected version be typed."""
        item = self.currentItem()
        if item is not None:
            self.editItem(item, _NAME)

    def _on_item_changed(self, item: QTreeWidgetItem, column: int) -> None:
        version = self.versions[self.indexOfTopLevelItem(item)]
        if column != _NAME:
            self.fill(self.versions)
        elif item.text(_NAME) != version.name:
            self.renamed.emit(version, item.text(_NAME))


def on_held_out(version: Version) -> str:
    """Return AP before and after with the number of cells; of few cells how many were found."""
    cells = version.metrics.get(CELLS)
    scores = [version.metrics.get(name) for name in (AP_BEFORE, AP_AFTER)]
    told = " → ".join(f"{value:.2f}" for value in scores if isinstance(value, int | float))
    if told:
        return f"{told} of {'?' if cells is None else cells}"
    found = [version.metrics.get(name) for name in (FOUND_BEFORE, FOUND_AFTER)]
    return "" if cells is None or None in found else f"{found[0]} → {found[1]} of {cells}"


def details(version: Version, versions: Sequence[Version]) -> str:
    """Return its name, which of the others it was trained from, and what is new in it."""
    origin = ""
    if version.parent is not None:
        parents = [each.name for each in versions if each.id == version.parent]
        origin = f" from '{parents[0]}'" if parents else " from a model that is not here"
    return f"'{version.name}'{origin}. {version.sentence}".rstrip()
