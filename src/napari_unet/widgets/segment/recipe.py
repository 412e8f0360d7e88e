"""What decides about the labels of a run: read from the form, for a worker and for a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_unet.engine.base.errors import UNetError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.files.images import file_holds
from napari_unet.files.samples import sample_files
from napari_unet.script import SegmentRecipe
from napari_unet.script.words import file_stem
from napari_unet.session import LoadedModel, Session
from napari_unet.viewer.commands import PLUGIN
from napari_unet.viewer.layers import LayerImage, read_layer
from napari_unet.viewer.results import provenance
from napari_unet.widgets.segment.form import SegmentForm

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.engine.networks.network import Network


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a run needs to know beside the image.

    Parameters
    ----------
    network : Network
        The session's, whose thresholds hold.
    source, file_hash : str
        Where it came from.
    shows_scores : bool
        Whether layers of scores are wanted.
    guesses : mapping of str to str
        What a person said about things that the model's file does not tell.
    second : LoadedModel, optional
        Whose scores are averaged with those of the network.
    """

    network: Network
    source: str
    file_hash: str
    settings: SegmentationSettings
    instances: InstanceSettings
    device: str = "auto"
    shows_scores: bool = False
    guesses: Mapping[str, str] = field(default_factory=dict)
    second: LoadedModel | None = None

    @property
    def linking(self) -> SegmentationSettings:
        """What becomes of the cells of a stack; nothing else."""
        names = ("volume", "link_overlap", "link_gaps")
        return SegmentationSettings(**{name: getattr(self.settings, name) for name in names})

    @property
    def networks(self) -> tuple[Network, ...]:
        """All whose scores are averaged."""
        return (self.network,) if self.second is None else (self.network, self.second.network)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where they came from."""
        return (self.source,) if self.second is None else (self.source, self.second.source)

    @property
    def model(self) -> str:
        """Name of the network, or of both."""
        from napari_unet.engine.segmentation.ensemble import ensemble_name

        return ensemble_name([each.description.name for each in self.networks])

    def settings_for(self, image: LayerImage, channel_axis: int | None) -> SegmentationSettings:
        """How the engine reads this image, whose channels lie on an axis of what it is given."""
        return replace(
            self.settings,
            pixel_size_um=image.pixel_size_um,
            anisotropy=image.anisotropy if self._asks_for_slices else self.settings.anisotropy,
            every_slice=image.extent == "stack" and image.has_slices,
            channel_axis=channel_axis,
            region=image.region,
        )

    @property
    def _asks_for_slices(self) -> bool:
        """Whether it counts how far slices are apart: a network knows of its own."""
        return any(each.description.spacing is not None for each in self.networks)

    def provenance(
        self,
        image: LayerImage,
        settings: SegmentationSettings,
        *,
        cells: int,
        checksums: dict[str, list[int]],
    ) -> dict[str, Any]:
        """How a layer of labels came about, for its metadata."""
        second = self.second
        others = second and {
            "model": second.network.description.name,
            "model_source": second.source,
            "model_sha256": second.file_hash,
        }
        return provenance(
            image,
            self.model,
            source=self.source,
            file_hash=self.file_hash,
            guesses=self.guesses,
            cells=cells,
            settings=settings,
            instances=self.instances,
            checksums=checksums,
            averaged_with=[others] if others else [],
        )


def chosen_layer(viewer: ViewerModel, form: SegmentForm) -> Image:
    """Return the layer that is to be segmented.

    Raises
    ------
    UNetError
        If there is none.
    """
    if form.layer is None:
        others = [str(each.name) for each in viewer.layers]
        found = f" ('{others[-1]}' is none)" if others else ""
        raise UNetError(
            f"There is no image layer{found}; open an image, or one of File > Open Sample."
        )
    return form.layer


def read_form(
    viewer: ViewerModel, session: Session, form: SegmentForm
) -> tuple[Image, LayerImage, Recipe]:
    """Return the layer that is to be segmented, what is read of it, and how.

    Raises
    ------
    UNetError
        If there is no image or no model, a model is still on its way, or a field says what makes
        no sense.
    """
    layer, network = chosen_layer(viewer, form), session.network
    if network is None:
        raise UNetError("No model is loaded; choose one, or a model file with '…'.")
    if form.better.is_loading:
        raise UNetError("The second model is still being loaded; try again in a moment.")
    settings, ndim = form.settings(), network.description.architecture.ndim
    image = read_layer(
        layer,
        viewer.dims,
        network_ndim=3 if settings.volume == "three_planes" else ndim,
        extent=form.extent_choice.extent,
        channel_axis=form.channel_choice.channel_axis,
        channel=form.channel_choice.channel,
    )
    recipe = Recipe(
        network,
        session.source,
        session.file_hash,
        settings,
        form.instances(),
        device=session.device,
        shows_scores=form.scores_box.isChecked(),
        guesses=session.guesses,
        second=form.better.second,
    )
    return layer, image, recipe


def segment_recipe(layer: Image, image: LayerImage, recipe: Recipe) -> SegmentRecipe:
    """Collect what decides about the labels of a run.

    Parameters
    ----------
    image : LayerImage
        What is read of it.
    """
    from napari_unet.engine.segmentation.volumes.ways import own_instances

    description = recipe.network.description
    second = recipe.second and recipe.second.network.description
    shape = tuple(int(n) for n in image.array.shape)
    return SegmentRecipe(
        image_name=image.name,
        shape=shape,
        image_file=_own_file(layer, shape),
        # A sample lies in the installation, where nothing is to be written.
        output=f"{file_stem(image.name)}_labels.tif" if _sample(layer) else "",
        model=recipe.source,
        second_model=recipe.second.source if recipe.second else "",
        guesses=recipe.guesses,
        device=recipe.device,
        plane=image.plane if image.has_slices and image.extent != "stack" else None,
        channel=None if image.channel is None else image.channel + 1,
        is_rgb=bool(layer.rgb),
        is_multiscale=bool(layer.multiscale),
        settings=recipe.settings_for(image, None if layer.rgb else image.channel_axis),
        instances=recipe.instances,
        model_instances=own_instances(description.instances, recipe.settings),
        model_pixel_size_um=description.pixel_size_um,
        second_pixel_size_um=second.pixel_size_um if second else None,
        intensity_from_stack=not image.is_lazy,
        show_scores=recipe.shows_scores,
    )


def _sample(layer: Image) -> str | None:
    """Name of our sample that the layer is."""
    sample = layer.source.sample
    return str(sample[1]) if sample is not None and sample[0] == PLUGIN else None


def _own_file(layer: Image, shape: tuple[int, ...]) -> str | None:
    """Return the file that holds what the layer shows, as our own commands read it."""
    source, sample = layer.source, _sample(layer)
    if sample is not None:
        return str(sample_files(sample)[0])
    if source.path and source.reader_plugin == "napari" and file_holds(source.path, shape):
        return str(source.path)
    return None
