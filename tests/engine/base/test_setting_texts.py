"""What the form and the terminal say about each setting comes from the class's docstring."""

from dataclasses import dataclass, fields
from typing import Any

import pytest

from napari_unet.engine.base.setting_texts import setting_texts
from napari_unet.engine.base.settings import InstanceSettings, SegmentationSettings


@dataclass
class Oven:
    """Settings of an oven.

    It bakes.

    Parameters
    ----------
    heat : float
        How hot, in `degrees`.
        Higher is darker.
    top, bottom : bool
        Which coils glow.

    Notes
    -----
    left_out : int
        Not a setting.
    """

    heat: float = 1.0
    top: bool = True
    bottom: bool = True


def test_each_field_has_its_lines_as_one_text_without_marks() -> None:
    assert setting_texts(Oven) == {
        "heat": "How hot, in degrees. Higher is darker.",
        "top": "Which coils glow.",
        "bottom": "Which coils glow.",
    }


def test_a_class_that_explains_nothing_has_no_texts() -> None:
    class Plain:
        """Nothing about its fields."""

    class Silent:
        pass

    assert setting_texts(Plain) == setting_texts(Silent) == {}


@pytest.mark.parametrize("settings_class", [SegmentationSettings, InstanceSettings])
def test_every_setting_is_explained_in_whole_sentences(settings_class: type[Any]) -> None:
    texts = setting_texts(settings_class)

    assert list(texts) == [field.name for field in fields(settings_class)]
    for name, text in texts.items():
        assert text.endswith("."), name
        assert text[0].isupper() or text[0].isdigit(), name
