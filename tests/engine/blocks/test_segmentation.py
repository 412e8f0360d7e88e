"""`segment_blocks` beside `segment`: the same labels, from whatever it reads, and after kills."""

import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from napari_unet import segment, segment_blocks
from napari_unet.engine.base.border_test import BorderTest
from napari_unet.engine.base.errors import FileError, ImageShapeError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.blocks import scoring
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig

ROLES = ("background", "cell", "border")


def network(ndim=2, seed=0, channels=1, size_px=None, config=None):
    """One that has learned nothing."""
    config = config or UNetConfig(ndim, channels, 3, base_width=4, depth=1)
    made = new_network(NetworkDescription("n", config, ROLES, object_diameter_px=size_px), seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in made.unet.parameters():
            values += 0.15 * torch.randn(values.shape, generator=random)
    return made


def fitted(scores, *, judging=True):
    """Settings by which the noise in scores is many cells that touch."""
    background, cell = (np.moveaxis(scores, -scores.ndim, 0)[n] for n in (0, 1))
    return InstanceSettings(
        foreground_threshold=float(1 - np.quantile(background, 0.5)),
        seed_threshold=float(np.quantile(cell, 0.8)),
        min_size_px=3,
        min_seed_px=2,
        min_score=float(1 - np.quantile(background, 0.4)),
        border_test=BorderTest.joining_none() if judging else None,
    )


def compared(image, model, block, **options):
    """Count the cells of the whole image, once they are found to be those of its blocks."""
    scores = segment(image, model, **options).scores
    options["instances"] = fitted(scores)
    whole = segment(image, model, **options)
    found, last = labels_of(image, model, whole.labels.shape, block=block, **options)
    np.testing.assert_array_equal(found, whole.labels)
    assert last.cell_count == whole.cell_count
    return whole.cell_count


def own(image, model, *, judging=True):
    """The same network with settings that fit an image."""
    instances = fitted(segment(image, model).scores, judging=judging)
    return Network(model.unet, replace(model.description, instances=instances))


def noise(*shape, seed=1):
    return (np.random.default_rng(seed).random(shape) * 200).astype(np.uint8)


def labels_of(image, model, shape=None, **options):
    out = np.zeros(image.shape if shape is None else shape, np.int32)
    *_, last = segment_blocks(image, model, out, **options)
    return out, last


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("block", [(64, 64), (37, 50), (16, 130)])
def test_labels_are_those_of_the_whole_image(block, precision):
    assert compared(noise(110, 130), network(), block, tile_px=32, precision=precision) > 20


@pytest.mark.parametrize(
    "options",
    [
        {"averaging": "flips"},
        {"averaging": "flips+rotations"},
        {"diameter_px": 14.0},
        {"diameter_px": 7.0},
    ],
)
def test_whatever_is_done_to_the_image_is_done_in_blocks_too(options):
    model = network(size_px=10.0)
    assert compared(noise(61, 75), model, (29, 40), tile_px=24, **options) > 5


def test_networks_that_read_at_other_scales_are_averaged():
    models = [network(size_px=10.0), network(seed=3, size_px=16.0)]
    assert compared(noise(61, 75), models, (29, 40), tile_px=24) > 5


def test_volumes_and_each_slice_of_a_stack():
    assert compared(noise(20, 33, 30), network(ndim=3), (9, 16, 30), tile_px=16) > 5
    assert compared(noise(3, 33, 30), network(), (20, 20), tile_px=16, every_slice=True) > 10


def test_slices_that_are_interpolated_and_that_are_never_pooled():
    config = UNetConfig(3, 1, 3, base_width=4, depth=1, flat_levels=1)
    flat = network(ndim=3, config=config)
    flat.description = replace(flat.description, anisotropy=2.0)
    assert compared(noise(10, 33, 30), flat, (9, 16, 30), tile_px=16, anisotropy=4.0) > 5


def test_zarr_and_memory_maps_are_read_and_written(tmp_path):
    image, model = noise(2, 50, 60), network(channels=2)
    scores = segment(image, model, channel_axis=0, tile_px=32).scores
    options = {"channel_axis": 0, "tile_px": 32, "instances": fitted(scores)}
    whole = segment(image, model, **options)
    stored = zarr.create_array(
        tmp_path / "i.zarr", shape=image.shape, chunks=(1, 20, 30), dtype="u1"
    )
    stored[...] = image
    labels = zarr.create_array(tmp_path / "l.zarr", shape=(50, 60), chunks=(32, 32), dtype="i4")
    reports = segment_blocks(stored, model, labels, block=(32, 32), **options)
    assert list(reports)[-1].cell_count == whole.cell_count > 3
    np.testing.assert_array_equal(labels[...], whole.labels)
    # The whole image is read from zarr, too.
    lazy = segment(stored, model, **options)
    np.testing.assert_array_equal(lazy.labels, whole.labels)

    mapped = np.memmap(tmp_path / "l.raw", np.uint32, "w+", shape=(50, 60))
    list(segment_blocks(stored, model, mapped, block=(20, 50), **options))
    np.testing.assert_array_equal(mapped, whole.labels)


def test_tiles_and_blocks_are_chosen_where_nobody_does():
    image = noise(70, 50)
    model = own(image, network())
    found, last = labels_of(image, model)
    np.testing.assert_array_equal(found, segment(image, model, tile_px=last.tile_px).labels)


def test_an_image_without_contrast_has_no_cells():
    found, last = labels_of(np.full((40, 30), 7, np.uint8), network(), block=(16, 16))
    assert last.cell_count == 0
    assert not found.any()


def test_a_run_that_was_stopped_goes_on_and_computes_no_block_twice(tmp_path, monkeypatch):
    image, work = noise(60, 60), tmp_path / "work"
    model = own(image, network())
    out = np.zeros(image.shape, np.int32)
    for report in segment_blocks(image, model, out, block=(32, 32), work=work, tile_px=32):
        if report.stage == "cells" and report.done == 2:
            break
    calls = []
    predict_into = scoring.PlanePredictor.predict_into
    monkeypatch.setattr(
        scoring.PlanePredictor,
        "predict_into",
        lambda *given, **options: calls.append(1) or predict_into(*given, **options),
    )
    *_, last = segment_blocks(image, model, out, block=(32, 32), work=work)
    assert (calls, last.tile_px) == ([], 32)
    np.testing.assert_array_equal(out, segment(image, model, tile_px=32).labels)
    assert not work.exists()


def test_what_was_written_to_another_array_is_written_again(tmp_path):
    image, work = noise(60, 60), tmp_path / "work"
    model = own(image, network())
    options = {"block": (32, 32), "work": work, "tile_px": 32}
    for report in segment_blocks(image, model, np.zeros(image.shape, np.int32), **options):
        if report.stage == "written" and report.done == 3:
            break
    out = np.zeros(image.shape, np.int32)
    list(segment_blocks(image, model, out, **options))
    np.testing.assert_array_equal(out, segment(image, model, tile_px=32).labels)


RUN = """
import sys
import numpy as np, zarr
from napari_unet import segment_blocks
folder = sys.argv[1]
out = zarr.open_array(folder + "/labels.zarr", mode="r+")
image = np.load(folder + "/image.npy")
for report in segment_blocks(image, folder + "/n.safetensors", out, block=(16, 16), tile_px=16,
                             device="cpu", work=folder + "/work"):
    print(report.stage, report.done, flush=True)
print("all done", flush=True)
"""


def test_labels_are_the_same_after_kills(tmp_path):
    image = noise(50, 60)
    model = own(image, network(), judging=False)
    np.save(tmp_path / "image.npy", image)
    save_checkpoint(model, tmp_path / "n.safetensors")
    labels = zarr.create_array(
        tmp_path / "labels.zarr", shape=(50, 60), chunks=(16, 16), dtype="i4"
    )
    lines = []
    # Killed in the middle of a stage of the network, of the flood and of writing; then left alone.
    for stage in ("scores 5", "flood 3", "written 7", None):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            lines.append(line.strip())
            if line.strip() == stage:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == (0 if stage is None else -signal.SIGKILL)
    assert lines[-1] == "all done"
    np.testing.assert_array_equal(
        labels[...], segment(image, model, tile_px=16, device="cpu").labels
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": (0, 5)}, "The block is 0 x 5 pixels; give 2 numbers of 1 or more"),
        ({"block": (5,)}, "The block is 5 pixels; give 2 numbers"),
        ({"region": (0, 5, 0, 5)}, "in blocks the whole image is segmented; leave the region out"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        labels_of(noise(20, 20), network(), **options)


def test_outputs_that_do_not_fit_are_refused():
    image, model = noise(60, 60), network()
    with pytest.raises(
        ImageShapeError, match=r"array of shape \(60, 61\), the image has \(60, 60\)"
    ):
        list(segment_blocks(image, model, np.zeros((60, 61), int)))
    with pytest.raises(SettingsError, match="array of float64; give one of whole numbers"):
        list(segment_blocks(image, model, np.zeros((60, 60))))


def test_more_cells_than_labels_are_refused_before_any_is_written():
    image, model = noise(110, 130), network()
    every = replace(fitted(segment(image, model).scores, judging=False), min_size_px=0, min_score=0)
    out = np.zeros(image.shape, np.int8)
    with pytest.raises(SettingsError, match=r"cells, and labels of int8 end at 127; give .* int32"):
        list(segment_blocks(image, model, out, block=(64, 64), instances=every))
    assert not out.any()


def test_a_network_of_classes_is_refused():
    config = UNetConfig(2, 1, 2, base_width=2, depth=1)
    model = new_network(NetworkDescription("tissue", config, ("gland", "fat")), 0)
    with pytest.raises(SettingsError, match="Model 'tissue' tells classes and no cells"):
        labels_of(noise(20, 20), model)


def test_a_folder_with_other_work_or_other_files_is_refused(tmp_path):
    image, model, work = noise(40, 40), network(), tmp_path / "work"
    next(segment_blocks(image, model, np.zeros((40, 40), int), work=work, block=(16, 16)))
    for other, name in (
        ({"instances": replace(model.description.instances, min_size_px=9)}, "instances"),
        ({"block": (16, 20)}, "block"),
        ({"averaging": "flips"}, "settings"),
    ):
        options = {"work": work, "block": (16, 16), **other}
        with pytest.raises(FileError, match=f"holds unfinished work with another {name}; go on"):
            labels_of(image, model, **options)
    with pytest.raises(FileError, match="with another model;"):
        list(
            segment_blocks(
                image,
                network(seed=2),
                np.zeros((40, 40), int),
                work=work,
                instances=model.description.instances,
            )
        )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(FileError, match="holds files that are no unfinished work"):
        list(segment_blocks(image, model, np.zeros((40, 40), int), work=tmp_path / "mine"))
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_torn_file_is_named(tmp_path):
    image, model, work = noise(40, 40), network(), tmp_path / "work"
    options = {"work": work, "block": (16, 16)}
    for report in segment_blocks(image, model, np.zeros((40, 40), int), **options):
        if report.stage == "pieces":
            break
    torn = work / "scores" / "0_1.npz"
    torn.write_bytes(torn.read_bytes()[:100])
    with pytest.raises(FileError, match=r"0_1\.npz' cannot be read .*; delete that file"):
        labels_of(image, model, **options)
    torn.unlink()
    found, last = labels_of(image, model, **options)
    np.testing.assert_array_equal(found, segment(image, model, tile_px=last.tile_px).labels)


def test_a_network_whose_tiles_are_not_exact_says_so(monkeypatch):
    monkeypatch.setattr(UNetConfig, "inexact_because", "it is measured")
    image, model = noise(60, 60), network()
    whole = segment(image, model, tile_px=16)
    _, last = labels_of(image, model, tile_px=16, block=(16, 16))
    assert last.notes == whole.notes
    assert "cells at their borders may differ a little" in last.notes[0]
