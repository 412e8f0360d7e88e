"""Each guess about a network tried out on a small part of an image."""

import dataclasses

import numpy as np
import pytest
import torch
from known_networks import unet_of_brightness

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.foreign import dry_run
from napari_unet.engine.foreign.dry_run import DryRun, dry_runs, role_colours
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.networks.network import Guess, Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig

ORANGE, BLUE = (230, 159, 0), (86, 180, 233)


def network(
    ndim: int = 2, in_channels: int = 1, roles: tuple[str, ...] = ("background", "cell")
) -> Network:
    """Answers with the second role where the first channel is above one half."""
    config = UNetConfig(ndim, in_channels, len(roles), base_width=1, depth=1, batch_norm=False)
    slopes, offsets = [0.0, 40.0, 0.0], [0.0, -20.0, -100.0]
    unet = unet_of_brightness(config, slopes[: len(roles)], offsets[: len(roles)])
    guess = Guess("shade", "Shade", "bright", ("bright", "dark", "none"), "")
    description = NetworkDescription(
        "m",
        config,
        roles,
        normalization=Percentiles(0, 100),
        instances=InstanceSettings(seed_threshold=0.5, min_size_px=0, min_seed_px=0),
        guesses=(guess,),
    )
    return Network(unet, description)


@pytest.fixture(autouse=True)
def _inverts(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "dark" finds cells where it is dark; "none" cannot be."""

    def with_guess(network: Network, about: str, value: str) -> Network:
        if value == "none":
            raise SettingsError("That cannot be.")
        other = UNet(network.unet.config)  # type: ignore[arg-type]
        other.load_state_dict(network.unet.state_dict())
        with torch.no_grad():
            other.head.weight.neg_()
            other.head.bias.neg_()
        return Network(other.eval(), dataclasses.replace(network.description))

    monkeypatch.setattr(dry_run, "with_guess", with_guess)


def two_squares() -> np.ndarray:
    image = np.zeros((40, 60), np.uint8)
    image[5:15, 5:15] = image[20:30, 40:50] = 200
    return image


def runs(image: np.ndarray, region: tuple[int, ...], **options: object) -> list[DryRun]:
    found = network(**options.pop("network", {}))  # type: ignore[arg-type, call-overload]
    values = ("bright", "dark", "none")
    return list(dry_runs(image, found, "shade", values, region=region, **options))  # type: ignore[arg-type]


def test_cells_are_counted_and_painted_over_the_part_that_was_asked_for() -> None:
    bright, dark, none = runs(two_squares(), (0, 20, 0, 30))

    assert (bright.value, bright.cells) == ("bright", 1)
    assert bright.picture is not None
    assert bright.picture.shape == (20, 30, 3)
    # Orange over white, and black ground.
    assert bright.picture[10, 10].tolist() == [round(0.65 * c + 0.35 * 255) for c in ORANGE]
    assert bright.picture[18, 28].max() < 3
    assert dark.picture is not None
    assert dark.picture[18, 28].tolist() == [round(0.65 * c) for c in ORANGE]
    assert none.picture is None
    assert (none.value, none.cells, none.sentence) == ("none", None, "That cannot be.")


def test_intensities_are_those_of_the_whole_image() -> None:
    image = two_squares()
    image[0, 0] = 255

    assert runs(image, (20, 40, 30, 60))[0].cells == 1
    # Alone, the dim noise of an empty part would be stretched to full contrast.
    image[16:18, 5:30] = 1
    assert runs(image, (16, 20, 0, 30))[0].cells == 0


def test_a_network_without_cells_has_a_picture_and_says_so() -> None:
    run = runs(two_squares(), (0, 20, 0, 30), network={"roles": ("background", "border", "x")})[0]

    assert run.cells is None
    assert "it needs" in run.sentence
    assert run.picture is not None
    assert run.picture[10, 10].tolist() == [round(0.65 * c + 0.35 * 255) for c in BLUE]


def test_of_a_stack_the_middle_plane_is_shown() -> None:
    stack = np.zeros((8, 24, 24), np.uint8)
    stack[3:6, 5:15, 5:15] = 200

    run = runs(stack, (0, 8, 0, 24, 0, 24), network={"ndim": 3})[0]

    assert run.cells == 1
    assert run.picture is not None
    assert run.picture.shape == (24, 24, 3)
    assert run.picture[10, 10, 0] > 200


@pytest.mark.parametrize("axis", [0, 2])
def test_colours_are_shown_in_grey(axis: int) -> None:
    image = np.stack([two_squares()] * 3, axis=axis)

    run = runs(image, (0, 20, 0, 30), channel_axis=axis, network={"in_channels": 3})[0]

    assert run.cells == 1
    assert run.picture is not None
    assert run.picture.shape == (20, 30, 3)


def test_a_cell_has_the_same_colour_whatever_else_there_is() -> None:
    assert role_colours(("background", "cell")) == {"cell": ORANGE}
    assert role_colours(("border", "cell", "background")) == {"cell": ORANGE, "border": BLUE}
    several = role_colours(("a", "b", "cell"))
    assert several["cell"] == ORANGE
    assert len(set(several.values())) == 3
