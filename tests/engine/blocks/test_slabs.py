"""Volumes from slices in three directions, in blocks: those of the whole volume."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet import segment, segment_blocks
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.blocks import slabs
from napari_unet.engine.networks.network import NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.predictor import PlanePredictor

ROLES = ("background", "cell", "border")


def network(seed=0, size_px=10.0):
    """One that has learned nothing."""
    config = UNetConfig(2, 1, 3, base_width=2, depth=1)
    made = new_network(NetworkDescription("n", config, ROLES, object_diameter_px=size_px), seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in made.unet.parameters():
            values += 0.15 * torch.randn(values.shape, generator=random)
    return made


def noise(*shape, seed=1):
    return (np.random.default_rng(seed).random(shape) * 200).astype(np.uint8)


def compared(image, model, block, **options):
    """Count the cells of the whole volume, once they are found to be those of its blocks."""
    options |= {"volume": "three_planes"}
    background, cell, _ = segment(image, model, **options).scores
    options["instances"] = InstanceSettings(
        foreground_threshold=float(1 - np.quantile(background, 0.2)),
        seed_threshold=float(np.quantile(cell, 0.9)),
        min_size_px=3,
        min_seed_px=2,
    )
    whole = segment(image, model, **options)
    out = np.zeros(image.shape, np.int32)
    *_, last = segment_blocks(image, model, out, block=block, **options)
    np.testing.assert_array_equal(out, whole.labels)
    assert last.cell_count == whole.cell_count
    return whole.cell_count


@pytest.mark.parametrize(
    "options",
    [{}, {"anisotropy": 2.2, "diameter_px": 14.0}, {"averaging": "flips", "diameter_px": 8.0}],
)
def test_volumes_from_slices_in_three_directions(options):
    assert compared(noise(9, 21, 18), network(), (5, 9, 13), tile_px=16, **options) > 1


def test_several_volumes_by_several_networks(monkeypatch):
    monkeypatch.setattr(slabs, "_BYTES", 10_000)
    models = [network(), network(seed=3, size_px=16.0)]
    assert compared(noise(2, 7, 15, 18), models, (4, 10, 18), tile_px=24) > 3


@settings(max_examples=8, deadline=None)
@given(
    # A last axis of 3 or 4 would be colours.
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(5, 12)),
    st.tuples(*(st.integers(1, 14),) * 3),
    st.integers(1, 20_000),
    st.sampled_from([1.0, 1.4, 0.6]),
)
def test_scores_are_those_of_the_whole_volume_whatever_its_blocks(shape, block, size, anisotropy):
    image = noise(*shape)
    options = {"volume": "three_planes", "anisotropy": anisotropy, "tile_px": 8}
    whole = segment(image, network(), **options)
    with pytest.MonkeyPatch.context() as context:
        context.setattr(slabs, "_BYTES", size)
        out = np.zeros(shape, np.int32)
        scores = np.zeros((2, *shape), np.float32)
        gather = slabs.gather_block

        def gathered(plan, roles, key):
            gather(plan, roles, key)
            with plan.scratch.opened("scores", key) as found:
                for channel, name in enumerate(ROLES[:2]):
                    scores[(channel, *plan.grid.box(key))] = found[name]

        context.setattr("napari_unet.engine.blocks.segmentation.gather_block", gathered)
        list(segment_blocks(image, network(), out, block=block, **options))
    np.testing.assert_array_equal(scores, whole.scores[:2])
    np.testing.assert_array_equal(out, whole.labels)


@pytest.mark.parametrize("stop", [("slices", 3), ("scores", 3)])
def test_a_run_that_was_stopped_goes_on_and_computes_no_slab_twice(stop, tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "_BYTES", 10_000)
    image, model, out = noise(8, 16, 12), network(), np.zeros((8, 16, 12), np.int32)
    options = {"volume": "three_planes", "block": (4, 8, 12), "tile_px": 16}
    slices = []
    predict_into = PlanePredictor.predict_into

    def noted(*given, **more):
        slices.append(1)
        return predict_into(*given, **more)

    monkeypatch.setattr(PlanePredictor, "predict_into", noted)
    for report in segment_blocks(image, model, out, work=tmp_path / "work", **options):
        if (report.stage, report.done) == stop:
            break
    begun = len(slices)
    list(segment_blocks(image, model, out, work=tmp_path / "work", **options))
    # The slices of a slab that was begun only, at most.
    thickest = max(each.stop - each.start for each in _slabs(image.shape, options["block"]))
    assert sum(image.shape) <= len(slices) < sum(image.shape) + thickest
    assert begun < sum(image.shape) or stop[0] == "scores"
    whole = segment(image, model, volume="three_planes", tile_px=16)
    np.testing.assert_array_equal(out, whole.labels)
    assert not (tmp_path / "work").exists()


def _slabs(shape, block):
    from napari_unet.engine.blocks.grid import Grid

    return slabs.all_slabs(Grid((), shape, block), 3)


def test_what_is_no_volume_is_refused():
    with pytest.raises(SettingsError, match="has no slices, but volume='three_planes'"):
        list(
            segment_blocks(
                noise(9, 9), network(), np.zeros((9, 9), np.int32), volume="three_planes"
            )
        )
