"""Searches for garbage that leave out what is old."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from napari_unet.viewer.garbage import ShortSearches


class Cycle:
    """Garbage that only a search finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def searches() -> Iterator[ShortSearches]:
    searches = ShortSearches()
    yield searches
    searches.end()
    assert gc.get_freeze_count() == 0


def dropped() -> "weakref.ref[Cycle]":
    return weakref.ref(Cycle())


def test_what_is_younger_is_found_and_what_is_older_waits_for_the_end(
    searches: ShortSearches,
) -> None:
    older = dropped()
    searches.begin()
    younger = dropped()
    gc.collect()
    assert younger() is None
    assert older() is not None
    searches.end()
    gc.collect()
    assert older() is None


def test_to_begin_again_leaves_out_what_has_come_since(searches: ShortSearches) -> None:
    searches.begin()
    kept = dropped()
    searches.begin()
    gc.collect()
    assert kept() is not None
