import numpy as np
import pytest
from known_networks import unet_of_brightness

from napari_unet import segment, segment_blocks
from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings
from napari_unet.engine.images.normalization import Percentiles
from napari_unet.engine.labels.cell_list import list_cells
from napari_unet.engine.labels.linking.slices import link_slices
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNetConfig
from napari_unet.engine.segmentation.planes import sizes_of_balls
from napari_unet.engine.segmentation.segmentation import iterate_segmentation

ALL = InstanceSettings(min_size_px=1, min_seed_px=1, fill_holes=False)


def network_of_bright_cells(ndim: int = 2, roles: tuple[str, ...] = ("background", "cell")):
    """Gives "cell" where a pixel is above one half, and looks at nothing else."""
    config = UNetConfig(ndim=ndim, base_width=1, depth=1, batch_norm=False, classes=2)
    unet = unet_of_brightness(config, [-20.0, 20.0], [10.0, -10.0])
    description = NetworkDescription(
        "bright", config, roles, normalization=Percentiles(0, 100), instances=ALL
    )
    return Network(unet, description)


def three_balls(shape=(16, 40, 40), anisotropy: float = 1.0) -> np.ndarray:
    """Two above each other, with two empty slices between, and one beside them."""
    z, y, x = np.indices(shape)
    image = np.zeros(shape, np.float32)
    for centre in ((3, 10, 10), (12, 10, 10), (8, 28, 28)):
        inside = sum(
            ((axis - at) * step) ** 2
            for axis, at, step in zip((z, y, x), centre, (anisotropy, 1, 1), strict=True)
        )
        image[inside <= 3.4**2] = 1
    return image


def test_linked_cells_are_those_of_the_slices_linked():
    image = three_balls()
    network = network_of_bright_cells()

    discs = segment(image, network, device="cpu", every_slice=True)
    linked = segment(image, network, device="cpu", volume="linked")

    assert (discs.cell_count, discs.linked_count) == (21, 3)
    assert (linked.cell_count, linked.linked_count) == (3, None)
    np.testing.assert_array_equal(linked.labels, link_slices(discs.labels))


def test_what_is_known_of_linked_cells_belongs_to_the_labels_as_they_are():
    result = segment(three_balls(), network_of_bright_cells(), device="cpu", volume="linked")

    known = result.cell_scores.known_of(list_cells(result.labels))

    assert known.scores.size == 3
    assert np.isfinite(known.scores).all()


def test_slices_of_a_linked_stack_come_in_their_order_and_stay_as_they_are():
    image = three_balls()
    image[8] = 0  # a gap in the ball in the middle
    network = network_of_bright_cells()
    planes = []
    for report in iterate_segmentation(
        image, network, settings=SegmentationSettings(volume="linked"), device="cpu"
    ):
        if report.labels is not None:
            assert report.slice_index == len(planes)
            planes.append(report.labels)

    np.testing.assert_array_equal(np.stack(planes), report.result.labels)
    # The gap is filled with what both of its neighbours share.
    assert planes[8].any()


def test_frames_of_a_movie_are_not_linked():
    image = np.stack([three_balls(), three_balls()])
    network = network_of_bright_cells()

    for volume in ("linked", "three_planes"):
        result = segment(image, network, device="cpu", volume=volume)
        assert result.labels.shape == image.shape
        assert result.cell_count == 6
        assert np.unique(result.labels[1]).tolist() == [0, 4, 5, 6]


def test_linked_cells_of_a_region_are_those_of_the_whole():
    image = three_balls()
    network = network_of_bright_cells()

    part = segment(image, network, device="cpu", volume="linked", region=(0, 20, 0, 20))
    whole = segment(image, network, device="cpu", volume="linked")

    assert part.cell_count == 2
    np.testing.assert_array_equal(
        part.labels > 0,
        (whole.labels > 0) & (image.cumsum(1) > 0) & (np.indices(image.shape)[1] < 20),
    )


@pytest.mark.parametrize("anisotropy", [1.0, 2.0])
def test_three_planes_find_whole_cells_on_the_grid_of_the_volume(anisotropy):
    image = three_balls(anisotropy=anisotropy)
    network = network_of_bright_cells()

    result = segment(
        image,
        network,
        device="cpu",
        instances=ALL,
        volume="three_planes",
        anisotropy=anisotropy,
    )

    assert result.cell_count == 3
    if anisotropy == 1:
        np.testing.assert_array_equal(result.labels > 0, image > 0)
    assert result.scores.shape == (2, *image.shape)


def test_scores_of_three_planes_are_the_mean_of_the_directions():
    image = np.random.default_rng(0).random((8, 9, 10)).astype(np.float32)
    network = network_of_bright_cells()

    found = segment(image, network, device="cpu", volume="three_planes").scores

    expected = np.zeros_like(found)
    for axis in range(3):
        turned = np.moveaxis(image, axis, 0)
        scores = segment(turned, network, device="cpu", every_slice=True).scores
        expected += np.moveaxis(scores, 1, axis + 1) / 3
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sizes_of_discs_become_those_of_balls():
    # A disc of 50 pixels is 7.98 across, and a ball that wide has 266 cubic pixels.
    settings = InstanceSettings(min_size_px=50, min_seed_px=0)

    assert sizes_of_balls(settings, 1.0).min_size_px == 266
    assert sizes_of_balls(settings, 2.0).min_size_px == 133
    assert sizes_of_balls(settings, 2.0).min_seed_px == 0


def test_without_other_settings_three_planes_have_their_own_thresholds():
    network = network_of_bright_cells()

    result = segment(three_balls(), network, device="cpu", volume="three_planes")

    assert result.instances == ALL.for_three_planes()
    assert segment(three_balls(), network, device="cpu", volume="linked").instances == ALL


def test_volume_implies_every_slice():
    assert SegmentationSettings(volume="linked").every_slice
    assert not SegmentationSettings().every_slice


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"volume": "stack"}, "volume is 'stack'; use one of slices, linked, three_planes"),
        ({"link_overlap": 1.5}, "link_overlap is 1.5; use a number above 0 and at most 1"),
        ({"anisotropy": 0}, "anisotropy is 0; use a positive number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        SegmentationSettings(**given)


def test_a_model_of_volumes_needs_no_linking():
    with pytest.raises(SettingsError, match="reads volumes and makes whole cells itself"):
        segment(three_balls(), network_of_bright_cells(3), device="cpu", volume="linked")


def test_classes_are_not_linked():
    network = network_of_bright_cells(roles=("dark", "bright"))

    with pytest.raises(SettingsError, match="tells classes and no cells"):
        segment(three_balls(), network, device="cpu", volume="linked")


@pytest.mark.parametrize("apart", [0.01, 1e5])
def test_three_planes_refuse_a_distance_of_slices_beyond_reason(apart):
    with pytest.raises(SettingsError, match=r"pixels between slices would resize the image"):
        segment(three_balls(), network_of_bright_cells(), volume="three_planes", anisotropy=apart)


def test_three_planes_need_slices_and_no_region():
    network = network_of_bright_cells()

    with pytest.raises(SettingsError, match="The image has no slices"):
        segment(three_balls()[3], network, device="cpu", volume="three_planes")
    with pytest.raises(SettingsError, match="A region was given"):
        segment(three_balls(), network, device="cpu", volume="three_planes", region=(0, 9, 0, 9))


def test_blocks_refuse_linking():
    image, labels = three_balls(), np.zeros((16, 40, 40), np.int32)
    settings = SegmentationSettings(volume="linked")

    with pytest.raises(SettingsError, match=r"in blocks discs are not linked .* ends in \.tif"):
        list(
            segment_blocks(
                image, network_of_bright_cells(), labels, settings=settings, device="cpu"
            )
        )
