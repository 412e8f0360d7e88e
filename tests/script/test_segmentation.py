"""Scripts copied from the form, run: their labels are those of the form, pixel by pixel."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
import torch
from napari.components import ViewerModel
from napari.layers import Image
from PIL import Image as Picture

from napari_unet.cli import main
from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.base.settings import (
    LEARNED_SETTINGS,
    InstanceSettings,
    SegmentationSettings,
)
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.networks.network import Network
from napari_unet.files.images import file_holds, read_image, read_labels
from napari_unet.files.samples import load_sample
from napari_unet.script import SegmentRecipe, command_line, python_lines
from napari_unet.viewer.layers import Extent, LayerImage, read_layer

ALL = slice(None)


@cache
def nuclei() -> Network:
    return load_checkpoint("nuclei")


def grey() -> np.ndarray:
    return load_sample("crowded").image[60:156, 60:188].copy()


def colours() -> np.ndarray:
    return load_sample("histology").image[:96, :128].copy()


def slices() -> np.ndarray:
    """Three slices that fade: each by itself would be normalised in another way."""
    return np.stack([grey() // 2, grey() // 5, grey()])


def channels() -> np.ndarray:
    """Three channels, of which the second shows the cells."""
    return np.stack([grey()[::-1] // 3, grey(), grey()[:, ::-1] // 2])


@dataclass
class Form:
    """What is chosen in the form, for a layer of an image file."""

    layer: Image
    network: Network
    model: str = "nuclei"
    path: Path | None = None
    extent: Extent = "slice"
    channel_axis: int | None = None
    channel: int | None = None
    point: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    settings: SegmentationSettings = SegmentationSettings()  # noqa: RUF009 - frozen
    instances: InstanceSettings | None = None

    def chosen(self) -> InstanceSettings:
        """With what the model has learned, which nobody sets by hand."""
        own = self.network.description.instances
        learned = {name: getattr(own, name) for name in LEARNED_SETTINGS}
        return own if self.instances is None else replace(self.instances, **learned)

    def image(self) -> LayerImage:
        viewer = ViewerModel()
        viewer.add_layer(self.layer)
        for axis, step in enumerate(self.point):
            viewer.dims.set_current_step(axis, step)
        if self.order:
            viewer.dims.order = self.order
        return read_layer(
            self.layer,
            viewer.dims,
            network_ndim=self.network.description.architecture.ndim,
            extent=self.extent,
            channel_axis=self.channel_axis,
            channel=None if self.channel is None else self.channel - 1,
        )

    def labels(self) -> np.ndarray:
        """Segment in the way in which the form does it."""
        image = self.image()
        pixels, axis = image.pixels()
        settings = replace(
            self.settings,
            pixel_size_um=image.pixel_size_um,
            every_slice=image.extent == "stack" and image.has_slices,
            channel_axis=axis,
        )
        result = segment(
            pixels,
            self.network,
            settings=settings,
            instances=self.chosen(),
            intensity_reference=image.intensity_reference(),
            keep_scores=False,
        )
        assert result.cell_count > 1
        return result.labels

    def recipe(self, **more: Any) -> SegmentRecipe:
        image = self.image()
        is_slice = image.has_slices and image.extent != "stack"
        settings = replace(
            self.settings,
            pixel_size_um=image.pixel_size_um,
            every_slice=image.extent == "stack" and image.has_slices,
            channel_axis=None if self.layer.rgb else image.channel_axis,
        )
        description = self.network.description
        return SegmentRecipe(
            image_name=image.name,
            shape=tuple(image.array.shape),
            image_file=None if self.path is None else str(self.path),
            model=self.model,
            plane=image.plane if is_slice else None,
            channel=self.channel,
            is_rgb=bool(self.layer.rgb),
            is_multiscale=bool(self.layer.multiscale),
            settings=settings,
            instances=self.chosen(),
            model_instances=description.instances,
            model_pixel_size_um=description.pixel_size_um,
            intensity_from_stack=not image.is_lazy,
            **more,
        )


def picture(folder: Path, array: np.ndarray, **choices: Any) -> Form:
    path = folder / "a.png"
    Picture.fromarray(array).save(path)
    return Form(Image(array, rgb=array.ndim == 3), nuclei(), path=path, **choices)


def tiff(folder: Path, array: np.ndarray, axes: str, *, lazy: bool = False, **choices: Any) -> Form:
    path = folder / "a.tif"
    rgb = axes.endswith("S")
    kind = "rgb" if rgb else "minisblack"
    tifffile.imwrite(path, array, imagej=not rgb, metadata={"axes": axes}, photometric=kind)
    data = dask.array.from_array(array, chunks=(1, *array.shape[1:])) if lazy else array
    return Form(Image(data, rgb=rgb), nuclei(), path=path, **choices)


EVERYTHING = SegmentationSettings(
    diameter_px=26.5, region=(10, 60, 20, 90), tile_px=64, averaging="flips"
)
OTHER_INSTANCES = InstanceSettings(
    foreground_threshold=0.3,
    seed_threshold=0.55,
    min_size_px=20,
    min_score=0.0,
    fill_holes=False,
    drop_border_cells=True,
)

FORMS: dict[str, Callable[[Path], Form]] = {
    "grey": lambda at: picture(at, grey()),
    "other settings": lambda at: picture(
        at, grey(), settings=EVERYTHING, instances=OTHER_INSTANCES
    ),
    "cells not separated": lambda at: picture(
        at, grey(), instances=InstanceSettings(separate_touching=False)
    ),
    "colours": lambda at: picture(at, colours()),
    "one colour": lambda at: picture(at, colours(), channel=3),
    "one colour of a TIFF": lambda at: tiff(at, colours(), "YXS", channel=1),
    "slice": lambda at: tiff(at, slices(), "ZYX", point=(1,)),
    "slice of a lazy stack": lambda at: tiff(at, slices(), "ZYX", point=(1,), lazy=True),
    "slice along another axis": lambda at: tiff(
        at, np.repeat(slices(), 16, axis=0), "ZYX", point=(0, 40), order=(1, 0, 2)
    ),
    "every slice": lambda at: tiff(at, slices(), "TYX", extent="stack"),
    "slice of what the file calls channels": lambda at: tiff(at, slices(), "CYX", point=(1,)),
    "every slice of what the file calls channels": lambda at: tiff(
        at, slices(), "CYX", extent="stack"
    ),
    "channels": lambda at: tiff(at, channels(), "CYX", channel_axis=0),
    "one channel of what the file calls slices": lambda at: tiff(
        at, channels(), "ZYX", channel_axis=0, channel=2
    ),
    "channels of a slice": lambda at: tiff(
        at, np.stack([channels(), channels() // 2]), "ZCYX", channel_axis=1, point=(1,)
    ),
    "channel of a slice": lambda at: tiff(
        at, np.stack([channels(), channels() // 2]), "ZCYX", channel_axis=1, channel=2, point=(1,)
    ),
    "channel of every slice": lambda at: tiff(
        at,
        np.stack([channels(), channels() // 2]),
        "ZCYX",
        channel_axis=1,
        channel=2,
        extent="stack",
    ),
    "plane of a deep stack": lambda at: tiff(
        at, np.stack([slices(), slices() // 4]), "TZYX", point=(1, 2)
    ),
    "plane of a stack of channels": lambda at: tiff(
        at, np.stack([channels(), channels() // 2]), "ZCYX", point=(1, 1)
    ),
    "every plane of a stack of channels": lambda at: tiff(
        at, np.stack([channels(), channels() // 2]), "ZCYX", extent="stack"
    ),
    "slice of a stack of colours with alpha": lambda at: tiff(
        at, np.stack([with_alpha(colours()), with_alpha(colours() // 2)]), "ZYXS", point=(1,)
    ),
    "colour of a slice": lambda at: tiff(
        at,
        np.stack([colours(), colours() // 2]),
        "ZYXS",
        point=(1,),
        channel=1,
        instances=InstanceSettings(),
    ),
}


def with_alpha(picture: np.ndarray) -> np.ndarray:
    alpha = np.full((*picture.shape[:-1], 1), 255, np.uint8)
    return np.concatenate([picture, alpha], axis=-1)


def run_python(recipe: SegmentRecipe, **names: Any) -> np.ndarray:
    exec(compile(python_lines(recipe), "copied script", "exec"), dict(names))  # noqa: S102 - our own
    return read_labels(recipe.labels_file).array


def run_command(recipe: SegmentRecipe) -> np.ndarray:
    words = shlex.split(command_line(recipe, for_windows=False), comments=True)
    assert words[0] == "napari-unet"
    assert main(words[1:]) == 0
    return read_labels(recipe.labels_file).array


@pytest.mark.parametrize("case", FORMS)
def test_python_lines_give_the_labels_of_the_form(tmp_path: Path, case: str) -> None:
    form = FORMS[case](tmp_path)

    np.testing.assert_array_equal(run_python(form.recipe()), form.labels())


@pytest.mark.parametrize("case", FORMS)
def test_command_line_gives_the_labels_of_the_form(tmp_path: Path, case: str) -> None:
    form = FORMS[case](tmp_path)

    np.testing.assert_array_equal(run_command(form.recipe()), form.labels())


def test_picture_whose_colours_are_all_grey_is_read_as_one_channel(tmp_path: Path) -> None:
    form = picture(tmp_path, np.stack([grey()] * 3, axis=-1))
    one = replace(form, channel=2)

    # Percentiles of three copies lie between the pixels in another way: a few of them turn over.
    same = [run_python(form.recipe()) == form.labels()]
    (tmp_path / "a_labels.tif").unlink()
    same.append(run_command(form.recipe()) == form.labels())
    (tmp_path / "a_labels.tif").unlink()
    same.append(run_python(one.recipe()) == one.labels())

    assert min(each.mean() for each in same) > 0.999


@pytest.mark.parametrize("units", [True, False])
def test_pixel_size_counts_as_in_the_form_whatever_the_file_says(
    tmp_path: Path, units: bool
) -> None:
    description = replace(nuclei().description, name="sized", pixel_size_um=0.5)
    sized = Network(nuclei().unet, description)
    file = str(save_checkpoint(sized, tmp_path / "my model's file"))
    path = tmp_path / "a b.tif"
    resolution = {"resolution": (5, 5), "metadata": {"unit": "um"}}
    tifffile.imwrite(path, grey(), imagej=True, **resolution)  # type: ignore[arg-type]
    layer = Image(grey(), **({"scale": (0.7, 0.7), "units": ("um", "um")} if units else {}))
    form = Form(layer, sized, model=file, path=path)
    recipe = form.recipe(output=str(tmp_path / "1.tif"))

    assert read_image(path).pixel_size_um == pytest.approx((0.2, 0.2))
    np.testing.assert_array_equal(
        run_command(replace(recipe, output=str(tmp_path / "2.tif"))), form.labels()
    )
    np.testing.assert_array_equal(run_python(recipe), form.labels())


@pytest.mark.parametrize("name", ["cells", 'it\'s "4" x 1\\2'])
def test_layer_without_a_file_is_read_from_the_viewer(tmp_path: Path, name: str) -> None:
    form = Form(Image(slices(), name=name), nuclei(), point=(1,))
    viewer = SimpleNamespace(layers={name: form.layer})
    recipe = form.recipe(output=str(tmp_path / "out.tif"))

    np.testing.assert_array_equal(run_python(recipe, viewer=viewer), form.labels())


def test_multiscale_layer_is_read_at_full_resolution(tmp_path: Path) -> None:
    layer = Image([grey(), grey()[::2, ::2]], name="m", multiscale=True)
    form = Form(layer, nuclei())
    viewer = SimpleNamespace(layers={"m": layer})
    recipe = form.recipe(output=str(tmp_path / "out.tif"))

    np.testing.assert_array_equal(run_python(recipe, viewer=viewer), form.labels())


def test_command_line_for_a_layer_without_a_file_says_to_save_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = Form(Image(slices(), name="my cells/\n1"), nuclei(), point=(1,))

    remark, line = command_line(form.recipe(), for_windows=False).splitlines()

    assert remark == (
        "# First save layer 'my cells/ 1' as my_cells_1.tif (File > Save Selected Layers)."
    )
    assert line == "napari-unet segment my_cells_1.tif -o my_cells_1_labels.tif --slice 2"
    tifffile.imwrite(tmp_path / "my_cells_1.tif", slices(), photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(run_command(form.recipe()), form.labels())


def test_scores_are_written_by_both_beside_the_labels(tmp_path: Path) -> None:
    form = picture(tmp_path, grey())
    recipe = form.recipe(show_scores=True)

    run_python(recipe)
    from_python = read_image(tmp_path / "a_labels_scores.tif")
    for name in ("a_labels.tif", "a_labels_scores.tif"):
        (tmp_path / name).unlink()
    run_command(recipe)

    from_command = read_image(tmp_path / "a_labels_scores.tif")
    assert from_python.axes == from_command.axes == "CYX"
    np.testing.assert_array_equal(from_python.array, from_command.array)


# -- how they look ---------------------------------------------------------------------------------


def test_defaults_make_a_short_script() -> None:
    recipe = SegmentRecipe("a", (96, 128), "images/a.png")

    assert python_lines(recipe) == (
        "from pathlib import Path\n"
        "\n"
        "from napari_unet import load_checkpoint, segment\n"
        "from napari_unet.files.images import read_image, write_labels\n"
        "\n"
        "file = read_image('images/a.png')\n"
        "image = file.array\n"
        "network = load_checkpoint('nuclei')\n"
        "result = segment(image, network)\n"
        "write_labels(\n"
        "    Path('images/a_labels.tif'),\n"
        "    result.labels,\n"
        "    axes=file.label_axes,\n"
        "    pixel_size_um=file.pixel_size_um,\n"
        ")\n"
    )
    assert command_line(recipe) == ("napari-unet segment images/a.png -o images/a_labels.tif")


def test_what_was_said_about_a_model_is_said_again() -> None:
    guesses = {"activation": "leaky ReLU (0.1)", "roles": "background, cell"}
    recipe = SegmentRecipe("a", (9, 9), "a.png", model="m.pth", guesses=guesses)

    _, _, after = python_lines(recipe).partition("network = ")
    loading, _, _ = after.partition("\nresult = ")
    load = {"load_checkpoint": lambda *given, **said: (given, said)}
    namespace = {"network": eval(loading, load)}  # noqa: S307 - our own lines
    assert namespace["network"] == (("m.pth",), {"guesses": guesses})
    assert command_line(recipe, for_windows=False).endswith(
        """--model m.pth --guess "activation=leaky ReLU (0.1)" --guess "roles=background, cell\""""
    )


def test_only_what_differs_is_said() -> None:
    model = InstanceSettings(foreground_threshold=0.45, min_score=0.7)
    recipe = SegmentRecipe(
        "a",
        (3, 96, 128),
        "a.ome.tif",
        device="cuda:1",
        plane=(2, ALL, ALL),
        settings=SegmentationSettings(
            diameter_px=np.float64(30.0), pixel_size_um=0.3, averaging="flips+rotations"
        ),
        instances=replace(model, min_score=0.25, fill_holes=False),
        model_instances=model,
    )

    assert python_lines(recipe).splitlines()[6:12] == [
        "file = read_image('a.ome.tif')",
        "stack = file.array",
        "image = stack[2]",
        "network = load_checkpoint('nuclei')",
        "instances = replace(network.description.instances, min_score=0.25, fill_holes=False)",
        "result = segment(",
    ]
    assert python_lines(recipe).splitlines()[12:20] == [
        "    image,",
        "    network,",
        "    instances=instances,",
        "    diameter_px=30.0,",
        "    averaging='flips+rotations',",
        "    intensity_reference=stack,",
        "    device='cuda:1',",
        ")",
    ]
    assert command_line(recipe) == (
        "napari-unet segment a.ome.tif -o a_labels.tif --device cuda:1 --slice 3 --diameter 30 "
        "--averaging flips+rotations --min-score 0.25 --no-fill-holes"
    )


def test_a_second_model_is_loaded_and_averaged(tmp_path: Path) -> None:
    network = load_checkpoint("nuclei")
    with torch.no_grad():
        for weight in network.unet.head.parameters():
            weight.mul_(0.5)
    other = str(save_checkpoint(network, tmp_path / "other"))
    form = picture(tmp_path, grey(), settings=SegmentationSettings(averaging="flips"))
    recipe = replace(form.recipe(), second_model=other)
    expected = segment(
        grey(), ["nuclei", other], averaging="flips", instances=recipe.instances
    ).labels

    np.testing.assert_array_equal(run_python(recipe), expected)
    by_command = replace(recipe, output=str(tmp_path / "b.tif"))
    np.testing.assert_array_equal(run_command(by_command), expected)


def test_the_pixel_size_is_told_where_only_the_second_model_knows_its_own() -> None:
    settings = SegmentationSettings(pixel_size_um=0.25)
    recipe = SegmentRecipe(
        "a", (9, 9), "a.png", second_model="b", second_pixel_size_um=0.5, settings=settings
    )

    assert "[network, second], pixel_size_um=0.25)" in python_lines(recipe)
    assert command_line(recipe).endswith("--model nuclei --model b --pixel-size 0.25")


def test_numbers_are_written_so_that_they_are_read_again_exactly() -> None:
    recipe = SegmentRecipe("a", (9, 9), "a.png", settings=SegmentationSettings(diameter_px=100 / 3))

    assert "--diameter 33.333333333333336" in command_line(recipe)


def test_names_are_quoted_as_every_shell_takes_them() -> None:
    recipe = SegmentRecipe("a", (2, 3, 9, 9), "my cells/a.tif", plane=(0, 1, ALL, ALL))

    line = command_line(recipe, for_windows=False)

    assert line == ('napari-unet segment "my cells/a.tif" -o "my cells/a_labels.tif" --slice "1,2"')
    assert line == command_line(recipe, for_windows=True)


@pytest.mark.skipif(os.name == "nt", reason="asks the shell of other systems")
@pytest.mark.parametrize(
    "name",
    ["a b.tif", "it's.tif", "5$ off!.tif", "-x.tif", 'a"b.tif', "a`b.tif", "50%.tif", "ä.tif"],
)
def test_any_name_reaches_the_program_through_a_shell(name: str) -> None:
    recipe = SegmentRecipe("a", (9, 9), name, output="out.tif")
    echo = "import sys; print(sys.argv[1:])"
    line = command_line(recipe, for_windows=False)
    line = line.replace("napari-unet", f"{shlex.quote(sys.executable)} -c {shlex.quote(echo)}", 1)

    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)  # noqa: S602

    path = f"./{name}" if name.startswith("-") else name
    assert done.stdout.strip() == str(["segment", path, "-o", "out.tif"])


def test_paths_of_windows_stay_whole() -> None:
    recipe = SegmentRecipe("a", (9, 9), "C:\\a.tif", output="C:\\my cells\\out.tif")

    assert command_line(recipe, for_windows=True) == (
        'napari-unet segment C:\\a.tif -o "C:\\my cells\\out.tif"'
    )


def test_model_in_memory_alone_is_refused_with_the_way_out() -> None:
    recipe = SegmentRecipe("a", (9, 9), "a.png", model="")

    for write in (python_lines, command_line):
        with pytest.raises(CheckpointError) as raised:
            write(recipe)
        assert str(raised.value) == (
            "The model is in memory alone, where no script can load it; save it to a file, choose "
            "that file as the model, and copy again."
        )


def test_file_counts_only_for_a_layer_of_all_its_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", channels(), photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "pages.tif") as pages:
        for plane in channels():
            pages.write(plane)
    Picture.fromarray(colours()).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")

    assert file_holds(tmp_path / "a.tif", (3, 96, 128))
    assert not file_holds(tmp_path / "a.tif", (96, 128))
    assert not file_holds(tmp_path / "a.tif", (2, 3, 96, 128))
    assert not file_holds(tmp_path / "pages.tif", (96, 128))
    assert file_holds(str(tmp_path / "a.png"), (96, 128, 3))
    assert not file_holds(tmp_path / "a.png", (5, 96, 128))
    for name in ("b.png", "gone.tif", "."):
        assert not file_holds(tmp_path / name, (96, 128))
