"""`napari-unet segment IMAGE -o OUT.ome.zarr --workers N`: by whom blocks are done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

pytest.importorskip("distributed")

from napari_unet.cli import main
from napari_unet.engine.cluster import clusters


@pytest.fixture
def image(tmp_path: Path) -> str:
    values = np.random.default_rng(0).random((70, 60))
    for _ in range(3):
        values += np.roll(values, 1, 0) + np.roll(values, 1, 1)
    array = zarr.create_array(tmp_path / "i.zarr", shape=(70, 60), chunks=(32, 32), dtype="u1")
    array[...] = (values / values.max() * 255).astype(np.uint8)
    return str(tmp_path / "i.zarr")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--workers", "0"], "--workers is 0; use 1 or more."),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "leave out --workers and --slurm."),
        (["--slurm"], "--slurm needs the number of jobs; add --workers N."),
        (["--workers", "2", "--slurm-queue", "q"], "--slurm-queue goes with --slurm; add that"),
        (["--scheduler", "tcp://127.0.0.1:9"], "No scheduler answers at 'tcp://127.0.0.1:9'"),
    ],
)
def test_options_that_make_no_sense_are_told(
    image: str,
    tmp_path: Path,
    output: Any,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    complaint: str,
) -> None:
    monkeypatch.setattr(clusters, "_ANSWER_S", 0.3)
    out = tmp_path / "o.ome.zarr"
    assert main(["segment", image, "-o", str(out), "--device", "cpu", *options]) == 1
    assert complaint in output.complaint()
    assert [path.name for path in tmp_path.iterdir()] == ["i.zarr"]


def test_workers_go_with_blocks_alone(image: str, tmp_path: Path, output: Any) -> None:
    assert main(["segment", image, "-o", str(tmp_path / "o"), "--workers", "2"]) == 1
    assert "--workers goes with an OUT that ends in .ome.zarr" in output.complaint()


def test_labels_by_a_worker_are_those_of_this_process(
    image: str, tmp_path: Path, model: str, output: Any
) -> None:
    found = []
    for options in ([], ["--workers", "1"]):
        out = str(tmp_path / f"o{len(options)}.ome.zarr")
        command = ["segment", image, "-o", out, "--tile", "32", "--block", "32,32", "--no-checks"]
        assert main([*command, "--device", "cpu", "--model", model, *options]) == 0
        found.append(zarr.open_array(f"{out}/0", mode="r")[...])
    assert found[0].max() > 5
    np.testing.assert_array_equal(*found)
    assert "What the workers do is shown at http://" in output.read()[1]
