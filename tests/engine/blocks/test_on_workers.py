"""Blocks on real workers, of which one is killed, and then the scheduler: the same labels."""

import os
import re
import signal
from contextlib import ExitStack

import numpy as np
import pytest
import zarr

pytest.importorskip("distributed")

from napari_unet import segment, segment_blocks
from napari_unet.engine.base.errors import ClusterError, FileError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.cluster import crew as crews
from napari_unet.engine.cluster.clusters import crew_at, local_crew
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import NetworkDescription, new_network
from napari_unet.engine.networks.unet import UNetConfig

OPTIONS = {"tile_px": 16, "device": "cpu"}
SHAPE, BLOCK = (60, 64), (32, 16)


@pytest.fixture(scope="module")
def model():
    config = UNetConfig(2, 1, 2, base_width=4, depth=1)
    return new_network(NetworkDescription("n", config), 0)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    array = zarr.create_array(
        tmp_path_factory.mktemp("image") / "i.zarr", shape=SHAPE, chunks=(16, 16), dtype="u1"
    )
    array[...] = np.random.default_rng(1).integers(0, 200, SHAPE)
    return array


@pytest.fixture(scope="module")
def options(image, model):
    """Settings by which the noise in scores is many cells that touch."""
    background, cell = segment(image[...], model, **OPTIONS).scores
    instances = InstanceSettings(
        foreground_threshold=float(1 - np.quantile(background, 0.5)),
        seed_threshold=float(np.quantile(cell, 0.8)),
        min_size_px=3,
        min_seed_px=2,
    )
    return {**OPTIONS, "instances": instances}


@pytest.fixture(scope="module")
def expected(image, model, options):
    found = segment(image[...], model, **options).labels
    assert found.max() > 10
    return found


def new_labels(folder):
    return zarr.create_array(folder / "l.zarr", shape=SHAPE, chunks=(16, 16), dtype="i4")


def ids(folder):
    return {path.name: path.stat().st_ino for path in folder.glob("*.npz")}


def until(reports, stage, done):
    while (report := next(reports)) and (report.stage, report.done) != (stage, done):
        pass


def test_labels_are_the_same_after_a_worker_was_killed_and_the_scheduler_lost(
    tmp_path, image, model, options, expected, monkeypatch
):
    monkeypatch.setattr(crews, "_ANSWER_S", 3.0)
    work, out = tmp_path / "work", new_labels(tmp_path)
    options = {**options, "work": work, "block": BLOCK}
    file = save_checkpoint(model, tmp_path / "n")
    with ExitStack() as closing:
        crew = closing.enter_context(local_crew(2, device="cpu"))
        reports = segment_blocks(image, file, out, client=crew, **options)
        until(reports, "scores", 2)
        before = ids(work / "scores")
        # As the kernel does where memory runs out.
        os.kill(next(iter(crew.ask(os.getpid).values())), signal.SIGKILL)
        until(reports, "pieces", 3)
        closing.close()
        with pytest.raises(ClusterError, match="does not answer any more; what is finished is"):
            list(reports)
    after = ids(work / "scores")
    # What was finished was not computed again.
    assert len(after) == 8
    assert before.items() <= after.items()
    # This process goes on alone.
    *_, last = segment_blocks(image, file, out, **options)
    np.testing.assert_array_equal(out[...], expected)
    assert last.cell_count == expected.max()
    assert not work.exists()


def test_a_client_of_any_scheduler_does_and_what_fails_is_named(
    tmp_path, image, model, options, expected
):
    from distributed import Client

    work, out = tmp_path / "work", new_labels(tmp_path)
    options = {**options, "work": work, "block": BLOCK}
    with local_crew(1, device="cpu") as crew, Client(crew.address) as client:
        chunk = next(iter((image.store.root / image.path / "c" / "1").iterdir()))
        whole = chunk.read_bytes()
        reports = segment_blocks(image, model, out, client=client, **options)
        next(reports)
        chunk.write_bytes(b"torn")
        with pytest.raises(FileError, match=r"Worker tcp://\S+: Part .*i\.zarr' cannot be read"):
            list(reports)
        chunk.write_bytes(whole)
        with crew_at(crew.address) as same:
            list(segment_blocks(image, model, out, client=same, **options))
    np.testing.assert_array_equal(out[...], expected)


def test_what_workers_cannot_open_is_refused_before_any_is_asked(tmp_path, image, model):
    out, nobody = new_labels(tmp_path), object()
    for given, target, work, message in (
        (image[...], out, "w", "The image is an array in memory, which workers"),
        (image, np.zeros(SHAPE, int), "w", "The labels are to be written to an array in memory"),
        (image, out, None, "With a client, 'work' must be given"),
    ):
        folder = None if work is None else tmp_path / work
        with pytest.raises(SettingsError, match=re.escape(message)):
            list(segment_blocks(given, model, target, client=nobody, work=folder))


def test_planes_in_one_chunk_are_refused_where_several_write():
    from napari_unet.engine.blocks.cells import check_planes
    from napari_unet.engine.blocks.grid import Grid
    from napari_unet.engine.blocks.plan import Plan

    plan = Plan(None, Grid((4,), (64, 64), (32, 32)), InstanceSettings(), (64, 64))
    array = zarr.create_array({}, shape=(4, 64, 64), chunks=(2, 32, 32), dtype="i4")
    with pytest.raises(SettingsError, match="chunks of 2 x 32 x 32 pixels, and workers cannot"):
        check_planes(plan, array)
    check_planes(plan, zarr.create_array({}, shape=(4, 64, 64), chunks=(1, 32, 32), dtype="i4"))


def test_workers_do_volumes_from_slices_in_three_directions(tmp_path, model):
    shape = (10, 30, 32)
    image, out = (
        zarr.create_array(tmp_path / name, shape=shape, chunks=(8, 16, 16), dtype=dtype)
        for name, dtype in (("volume.zarr", "u1"), ("labels.zarr", "i4"))
    )
    image[...] = np.random.default_rng(2).integers(0, 200, shape)
    options = {**OPTIONS, "volume": "three_planes", "anisotropy": 1.5}
    background, cell = segment(image[...], model, **options).scores
    options["instances"] = InstanceSettings(
        foreground_threshold=float(1 - np.quantile(background, 0.2)),
        seed_threshold=float(np.quantile(cell, 0.9)),
        min_seed_px=1,
        min_size_px=1,
    )
    expected = segment(image[...], model, **options).labels
    assert expected.max() > 3
    options |= {"work": tmp_path / "work", "block": (8, 16, 16)}
    with local_crew(1, device="cpu") as crew:
        list(segment_blocks(image, model, out, client=crew, **options))
    np.testing.assert_array_equal(out[...], expected)
