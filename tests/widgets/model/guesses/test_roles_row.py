"""What the output channels of a network mean, said by the user."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.engine.networks.network import Guess
from napari_unet.widgets.model.guesses.row import RolesRow
from napari_unet.widgets.model.guesses.words import roles_text, roles_with

THREE = ("background", "cell", "border")


def guess(value: str = "background, cell, border", *options: str) -> Guess:
    return Guess("roles", "Output channels", value, (value, *options), "The most usual order.")


@pytest.fixture
def row(shown: Callable[..., Any]) -> RolesRow:
    return shown(RolesRow(guess()))


def choose(row: RolesRow, role: str, channel: int) -> list[str]:
    chosen: list[str] = []
    row.value_chosen.connect(lambda _about, value: chosen.append(value))
    box = row.boxes[role]
    box.setCurrentIndex(box.findData(channel))
    box.activated.emit(box.currentIndex())
    return chosen


def test_each_role_has_its_channel(row: RolesRow) -> None:
    assert {role: box.currentText() for role, box in row.boxes.items()} == {
        "cell": "channel 2",
        "background": "channel 1",
        "border": "channel 3",
    }
    assert row.reason.message == "The most usual order."


def test_a_role_that_moves_changes_places_with_the_other(row: RolesRow) -> None:
    assert choose(row, "cell", 2) == ["background, border, cell"]


def test_a_role_can_be_taken_from_all_channels(row: RolesRow) -> None:
    assert choose(row, "border", -1) == ["background, cell, class 3"]


def test_the_same_channel_again_changes_nothing(row: RolesRow) -> None:
    assert choose(row, "cell", 1) == []


def test_a_channel_with_a_name_of_its_own_is_listed_with_it(row: RolesRow) -> None:
    row.show_guess(guess("background, membrane, class 3"))

    box = row.boxes["cell"]
    assert box.currentText() == "no channel"
    assert [box.itemText(n) for n in range(box.count())][1:] == [
        "channel 1",
        "channel 2 (membrane)",
        "channel 3 (class 3)",
    ]
    assert choose(row, "cell", 1) == ["background, cell, class 3"]


def test_each_channel_is_tried_as_the_cells(row: RolesRow) -> None:
    assert row.tried_values() == (
        "background, cell, border",
        "cell, background, border",
        "background, border, cell",
    )
    row.show_guess(guess("background, cell, border", "border, cell, background"))
    assert len(row.tried_values()) == 3
    row.show_guess(guess(", ".join(f"class {n}" for n in range(40))))
    assert len(row.tried_values()) == 9


def test_short_words_say_which_channel_is_the_cells() -> None:
    assert roles_text("background, cell, border") == "cells: 2"
    assert roles_text("a, b") == "no cells"


ROLES = st.sampled_from(["background", "cell", "border"])


@given(st.permutations([*THREE, "class 4", "class 5"]), ROLES, st.integers(-1, 4))
def test_no_name_is_ever_given_twice(before: list[str], role: str, channel: int) -> None:
    after = roles_with(before, role, None if channel < 0 else channel)

    assert len(set(after)) == len(before)
    assert (role in after) == (channel >= 0)
    if channel >= 0:
        assert after[channel] == role
