"""What the Segment form says, as settings with which many images are segmented."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.batch.images.part import WantedPart
from napari_unet.batch.settings import BatchSettings, ModelFile
from napari_unet.engine.base.errors import UNetError
from napari_unet.session import Session
from napari_unet.widgets.segment.form import SegmentForm

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network


def batch_settings(
    session: Session, form: SegmentForm
) -> tuple[BatchSettings, tuple[Network, ...]]:
    """Return with what settings many images are segmented as a form says, and the networks.

    Of stacks every slice is segmented, and cells are what the form makes of them.

    Raises
    ------
    UNetError
        If there is no model, it has no file, or a field says what makes no sense.
    """
    model, second = session.model, form.better.second
    if model is None:
        raise UNetError("No model is loaded; choose one in Segment cells.")
    if form.better.is_loading:
        raise UNetError("The second model is still being loaded; try again in a moment.")
    models = (model,) if second is None else (model, second)
    if not all(each.source for each in models):
        raise UNetError(
            "The model has no file, so that nobody could go on with it later; keep it as a "
            "version in Train, and choose that."
        )
    unit, size = form.size_choice.entered
    diameter = {unit: size}
    channel, axis = form.channel_choice.channel, form.channel_choice.channel_axis
    batch = BatchSettings(
        tuple(ModelFile(each.source, each.file_hash) for each in models),
        replace(
            form.linking_settings,
            diameter_px=diameter.get("px"),
            averaging=form.better.averaging,
        ),
        form.instances(),
        WantedPart(None if channel is None else channel + 1, axis),
        session.guesses,
        diameter_um=diameter.get("µm"),
        every_stack=True,
        checks="tell",
    )
    return batch, tuple(each.network for each in models)
