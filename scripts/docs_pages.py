"""What mkdocs puts into the documentation's pages from the code and from files outside of docs/.

A page names what it wants in a comment of its own line:

    <!-- setting: min_size_px -->    what the setting does, its default, its option
    <!-- command: segment -->        the reference of a command of `napari-unet`

mkdocs.yml lists this file under `hooks`. A setting or a command that no page explains is a
warning, and so is anything that a reader's browser would fetch from elsewhere; `--strict` makes
them errors.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_unet.cli.program import COMMANDS, OneLineParser
from napari_unet.engine.base.setting_texts import option_name, setting_texts
from napari_unet.engine.base.settings import (
    LEARNED_SETTINGS,
    InstanceSettings,
    SegmentationSettings,
)
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, EARLIER_MODELS

ROOT = Path(__file__).parents[1]
PAGES_FROM_ELSEWHERE = {
    **{
        row.card.name: f"src/napari_unet/bundled/{row.card.name}"
        for row in (*BUNDLED_MODELS, *EARLIER_MODELS)
    },
    "samples.md": "src/napari_unet/bundled/samples/SAMPLES.md",
    "changelog.md": "CHANGELOG.md",
}
SETTINGS_PAGE = "segment-form.md"
COMMANDS_PAGE = "command-line.md"
SETTINGS = (InstanceSettings, SegmentationSettings)

_SETTING = re.compile(r"^<!-- setting: (\w+) -->$", re.MULTILINE)
_COMMAND = re.compile(r"^<!-- command: ([\w-]+) -->$", re.MULTILINE)
_FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//"
)
_NESTED_ENTRY = re.compile(r"^( +)(?=[-*] )", re.MULTILINE)
_USAGE_WIDTH = 79

_log = logging.getLogger("mkdocs.hooks.docs_pages")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages whose text lies outside of docs/."""
    from mkdocs.structure.files import File

    for page, source in PAGES_FROM_ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what comes from the code, and say what is missing."""
    name = page.file.src_uri
    missing = {
        SETTINGS_PAGE: all_settings() - set(_SETTING.findall(markdown)),
        COMMANDS_PAGE: COMMANDS.keys() - set(_COMMAND.findall(markdown)),
    }
    for subject in sorted(missing.get(name, ())):
        _log.warning("%s explains every setting or command but '%s'", name, subject)
    return filled(links_within_docs(markdown))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn of what a browser would fetch from elsewhere."""
    if match := _FETCHED.search(output):
        _log.warning("%s fetches from elsewhere: %s", page.file.src_uri, match.group())
    return output


def all_settings() -> set[str]:
    """Every field of the settings classes that somebody can set."""
    return set(_owners()) - set(LEARNED_SETTINGS)


def _owners() -> dict[str, type]:
    return {field.name: each for each in SETTINGS for field in dataclasses.fields(each)}


def filled(markdown: str) -> str:
    """Put the texts that come from the code in the place of their comments."""
    # On GitHub two spaces nest a list, here it takes four.
    markdown = _NESTED_ENTRY.sub(r"\1\1", markdown)
    markdown = _SETTING.sub(lambda match: setting_text(match.group(1)), markdown)
    return _COMMAND.sub(lambda match: command_text(match.group(1)), markdown)


def links_within_docs(markdown: str) -> str:
    """Let links into and out of docs/, which are right on GitHub, lead to the pages here."""
    for page, source in PAGES_FROM_ELSEWHERE.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return markdown.replace("](../../../docs/", "](")


def setting_text(name: str) -> str:
    """Return what a setting does, how Python and the command line call it, and its default.

    Raises
    ------
    KeyError
        If there is no such setting.
    """
    settings_class = _owners()[name]
    value = getattr(settings_class(), name)
    default = "not set by default" if value is None else f"default `{value}`"
    if settings_class is InstanceSettings:
        default += " unless the model brings its own"
    called = f"In Python `{name}`, on the command line `{option_name(name)}`; {default}."
    return f"{setting_texts(settings_class)[name]}\n\n{called}\n{{ .setting }}"


def command_text(name: str) -> str:
    """Return the reference of a command in Markdown.

    Raises
    ------
    KeyError
        If there is no such command.
    """
    command = COMMANDS[name].load()
    parser = OneLineParser(
        prog=f"napari-unet {name}",
        description=command.__doc__,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=_USAGE_WIDTH),
        add_help=False,
    )
    command.add_options(parser)
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    return "\n\n".join(
        [html.escape(parser.description or ""), f"```text\n{usage}\n```", *_groups(parser)]
    )


def _groups(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in parser._action_groups:  # argparse has no public way to list them
        entries = [_entry(action, parser.prog) for action in group._group_actions]
        if entries:
            title = group.title or ""
            yield f"**{title[:1].upper()}{title[1:]}**"
            yield "\n\n".join(entries)


def _entry(action: argparse.Action, prog: str) -> str:
    names = [*action.option_strings]
    if not names:
        names = [_placeholder(action)]
    elif action.nargs != 0:
        names[-1] += f" {_placeholder(action)}"
    text = (action.help or "") % {**vars(action), "prog": prog}
    return f"`{', '.join(names)}`\n:   {html.escape(text)}"


def _placeholder(action: argparse.Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
