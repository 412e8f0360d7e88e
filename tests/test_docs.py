"""The documentation: what is filled in from the code, and the examples that it tells to type."""

import importlib.util
import logging
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

# The source distribution has the tests, but neither docs/ nor scripts/.
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="there is no docs/ here")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "scripts/docs_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _page(name: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=name))


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_every_setting_and_every_command_is_explained_on_its_page(
    pages: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (pages.SETTINGS_PAGE, pages.COMMANDS_PAGE):
        text = (DOCS / name).read_text("utf-8")

        filled = pages.on_page_markdown(text, page=_page(name))

        assert "<!-- setting" not in filled
        assert "<!-- command" not in filled
    assert _warnings(caplog) == []


def test_page_without_a_setting_is_warned_about(
    pages: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    text = "\n".join(f"<!-- setting: {name} -->" for name in pages.all_settings() - {"min_size_px"})

    pages.on_page_markdown(text, page=_page(pages.SETTINGS_PAGE))

    (warning,) = _warnings(caplog)
    assert "min_size_px" in warning


def test_setting_is_told_with_its_docstring_names_and_default(pages: ModuleType) -> None:
    text = pages.setting_text("min_size_px")

    assert text.startswith("Smaller cells are dropped")
    assert "`min_size_px`" in text
    assert "`--min-size`" in text
    assert "`16` unless the model brings its own" in text


def test_setting_that_does_not_exist_is_refused(pages: ModuleType) -> None:
    with pytest.raises(KeyError):
        pages.setting_text("min_sise_px")


def test_command_is_told_with_its_usage_and_every_option(pages: ModuleType) -> None:
    text = pages.command_text("weight-map")

    assert text.startswith("Draw the weights by which training stresses the gaps")
    assert "napari-unet weight-map LABELS... -o OUT [options]" in text
    assert re.search(r"^`-o, --out OUT`\n:   folder for the results", text, re.MULTILINE)
    assert "`--overwrite`" in text


def test_picture_from_elsewhere_is_warned_about(
    pages: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    pages.on_post_page('<a href="https://napari.org">napari</a>', page=_page("a.md"))
    assert _warnings(caplog) == []

    pages.on_post_page('<img alt="" src="https://napari.org/logo.png">', page=_page("a.md"))

    assert len(_warnings(caplog)) == 1


def test_links_to_files_outside_of_docs_lead_to_files_that_are_there(pages: ModuleType) -> None:
    for page in DOCS.glob("*.md"):
        text = page.read_text("utf-8")
        for target in re.findall(r"\]\(\.\./([^)#]+)", text):
            assert (ROOT / target).exists(), f"{page.name}: {target}"
        assert "](../" not in pages.links_within_docs(text), page.name


def test_examples_of_the_python_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "python.md").read_text("utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)

    names: dict[str, Any] = {}
    for example in examples:
        exec(example, names)  # noqa: S102

    assert names["slices"].labels.shape == (2, 200, 200)
    assert names["score"].pooled(0.5).average_precision > 0.9
    assert (tmp_path / "cells.tif").stat().st_size > 0
    assert (tmp_path / "mine.safetensors").stat().st_size > 0
    assert "0.7" in capsys.readouterr().out


def test_pictures_are_small_and_each_is_shown() -> None:
    texts = "".join(page.read_text("utf-8") for page in [*DOCS.glob("*.md"), ROOT / "README.md"])
    for picture in DOCS.rglob("*.png"):
        assert picture.stat().st_size < 200_000, picture
        assert picture.relative_to(DOCS).as_posix() in texts, f"{picture} is on no page"
