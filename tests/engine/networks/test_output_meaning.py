"""How the numbers that a network gives out become scores of classes, worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.engine.base.errors import SettingsError
from napari_unet.engine.networks.output_meaning import OutputMeaning


def scores(meaning, *channels):
    """Scores of the one pixel that these channels describe."""
    output = torch.tensor(channels, dtype=torch.float64).view(1, -1, 1, 1)
    return torch.softmax(meaning.class_logits(output), dim=1)[0, :, 0, 0].tolist()


def logit(p):
    return math.log(p / (1 - p))


def test_softmax_is_softmax():
    meaning = OutputMeaning("softmax", ("background", "cell"))
    assert meaning.class_roles == ("background", "cell")
    assert scores(meaning, 0.0, math.log(3)) == pytest.approx([0.25, 0.75])


def test_one_sigmoid_channel_leaves_the_rest_to_the_background():
    meaning = OutputMeaning("sigmoid", ("cell",))
    assert meaning.class_roles == ("background", "cell")
    assert scores(meaning, logit(0.8)) == pytest.approx([0.2, 0.8])


def test_a_probability_is_one_already():
    assert scores(OutputMeaning("probability", ("cell",)), 0.8) == pytest.approx([0.2, 0.8])


def test_probabilities_of_all_classes_are_their_scores():
    meaning = OutputMeaning("probability", ("background", "cell"))
    assert scores(meaning, 0.2, 0.6) == pytest.approx([0.25, 0.75])


def test_border_is_asked_first_and_then_the_cell():
    # Border 0.5; of the rest 0.8 is cell: 0.4; what is left, 0.1, is background.
    meaning = OutputMeaning("sigmoid", ("cell", "border"))
    assert meaning.class_roles == ("background", "cell", "border")
    assert scores(meaning, logit(0.8), logit(0.5)) == pytest.approx([0.1, 0.4, 0.5])


def test_unused_channels_play_no_part():
    meaning = OutputMeaning("probability", ("unused", "cell", "unused"))
    assert meaning.class_roles == ("background", "cell")
    assert scores(meaning, 17.0, 0.9, -3.0) == pytest.approx([0.1, 0.9])


def test_certain_probabilities_stay_finite():
    assert scores(OutputMeaning("probability", ("cell",)), 1.0) == pytest.approx([0, 1], abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    final=st.sampled_from(("softmax", "sigmoid", "probability")),
    roles=st.lists(
        st.sampled_from(("background", "cell", "border", "debris", "unused")),
        min_size=1,
        max_size=5,
    ),
    seed=st.integers(0, 99),
)
def test_scores_sum_to_one_for_each_pixel(final, roles, seed):
    used = [role for role in roles if role != "unused"]
    if not used or len(set(used)) < len(used):
        with pytest.raises(SettingsError):
            OutputMeaning(final, tuple(roles))
        return
    meaning = OutputMeaning(final, tuple(roles))
    output = torch.from_numpy(np.random.default_rng(seed).random((2, len(roles), 3, 3)))
    found = torch.softmax(meaning.class_logits(output), dim=1)
    assert found.shape == (2, len(meaning.class_roles), 3, 3)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 3, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("final", "channels", "message"),
    [
        ("argmax", ("cell",), "read by 'argmax'; use"),
        ("softmax", ("unused",), "No output channel has a role"),
        ("softmax", ("cell", "cell"), "use each name once"),
    ],
)
def test_nonsense_is_refused(final, channels, message):
    with pytest.raises(SettingsError, match=message):
        OutputMeaning(final, channels)
