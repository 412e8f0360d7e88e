"""The versions of a model, each kept in a file of its own.

Nothing here is ever overwritten: two programs that keep versions in one folder at once cannot
harm each other, as each version has its own two files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.engine.base.errors import CheckpointError, UNetError
from napari_unet.engine.networks.bundled import EARLIER_MODELS, bank_file
from napari_unet.versions.notes import (
    NOTE,
    data_folder,
    explained,
    files_in,
    new_id,
    plain,
    read_json,
    write_json,
)

if TYPE_CHECKING:
    from napari_unet.engine.networks.network import Network
    from napari_unet.engine.training.knowledge.bank import Bank

_KEPT = "versions"
_MODEL = ".safetensors"
_VERSION = "version"
_LAST_NUMBER = re.compile(r" \d{1,2}$")
_HANDFUL = 5
_OTHERS = "and the other versions are as before"


@dataclass(frozen=True, slots=True)
class Version:
    """A model as it was at some moment.

    Parameters
    ----------
    id : str
        Name of its files, which never changes.
    name : str
        For people; no two versions in a folder have the same.
    date : str
        When it was kept, in ISO 8601 and UTC.
    path : Path
        Its model file, which `load_checkpoint` reads.
    parent : str, optional
        Id of the version that its training started from.
    sentence : str
        What is new in it.
    metrics : mapping of str to value
        How good it is.
    is_bundled : bool
        It came with the installation: it can be used, and neither renamed nor deleted.
    """

    id: str
    name: str
    date: str
    path: Path
    parent: str | None = None
    sentence: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    is_bundled: bool = False

    @property
    def source(self) -> str:
        """What a session loads it by: a bundled model's name, or the file."""
        return self.name if self.is_bundled else str(self.path)

    @property
    def local_date(self) -> str:
        """The day and the time here; the text itself if it is no date."""
        try:
            return f"{datetime.fromisoformat(self.date).astimezone():%Y-%m-%d %H:%M}"
        except ValueError:
            return self.date


class ModelHistory:
    """The versions of models in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first version is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(
        self,
        network: Network,
        *,
        metrics: Mapping[str, Any] | None = None,
        parent: Version | str | None = None,
        sentence: str = "",
        name: str | None = None,
        bank: Bank | None = None,
    ) -> Version:
        """Write a network as a new version.

        Parameters
        ----------
        metrics : mapping of str to value, optional
            Numbers and texts that JSON can hold.
        parent : Version or str, optional
            The version, or its id, that the training started from.
        sentence : str
            What is new in it.
        name : str, optional
            That of the network by default; a number is added if it is taken.
        bank : Bank, optional
            Images that it learned from, to be kept beside it.

        Raises
        ------
        CheckpointError, FileError
            If it cannot be written; then nothing has changed.
        """
        from napari_unet.engine.models.checkpoint import save_checkpoint
        from napari_unet.engine.training.knowledge.bank import write_bank

        number = new_id()
        version = Version(
            number,
            _free_name(name or network.description.name, {each.name for each in self.versions()}),
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            self.folder / f"{number}{_MODEL}",
            parent.id if isinstance(parent, Version) else parent,
            sentence,
            dict(metrics or {}),
        )
        with explained(self.folder, f"the new version was not kept {_OTHERS}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(_described(network, version), version.path)
            try:
                if bank is not None:
                    write_bank(bank, bank_file(version.path))
                write_json(version.path.with_suffix(NOTE), _facts(version))
            except UNetError:
                with suppress(OSError):
                    version.path.unlink()
                    bank_file(version.path).unlink(missing_ok=True)
                raise
        return version

    def versions(self) -> tuple[Version, ...]:
        """List the versions, the newest first.

        What is told of a version beside its model file is read from that file
        where it is missing or torn. A file that is no model is left out.
        """
        found: dict[str, Version] = {}
        names: set[str] = set()
        for path in files_in(self.folder, _MODEL):
            version = _read_version(path)
            if version is not None:
                # Two programs may have chosen the same name at once.
                version = replace(version, name=_free_name(version.name, names))
                names.add(version.name)
                found[version.id] = version
        return tuple(sorted(found.values(), key=lambda each: (each.date, each.id), reverse=True))

    def version(self, number: str) -> Version:
        """Return the version with an id.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        for version in self.versions():
            if version.id == number:
                return version
        raise CheckpointError(
            f"There is no version '{number}' in '{self.folder}'; it may have been deleted, so "
            "choose another one."
        )

    def rename(self, version: Version, name: str) -> Version:
        """Give a version another name.

        Raises
        ------
        CheckpointError
            If the name is empty or taken, or cannot be written.
        """
        name = " ".join(name.split())
        others = {each.name for each in self.versions() if each.id != version.id}
        others |= {each.name for each in bundled_versions()}
        if not name or name in others:
            raise CheckpointError(
                f"There is a version '{name}' already; choose another name."
                if name
                else "The name is empty; give the version a name."
            )
        renamed = replace(self.version(version.id), name=name)
        with explained(self.folder, f"'{version.name}' keeps its name {_OTHERS}"):
            write_json(version.path.with_suffix(NOTE), _facts(renamed))
        return renamed

    def delete(self, version: Version) -> None:
        """Delete a version for good; those that came from it stay.

        Raises
        ------
        CheckpointError
            If its file cannot be deleted.
        """
        with explained(self.folder, f"'{version.name}' was not deleted {_OTHERS}"):
            version.path.unlink(missing_ok=True)
            bank_file(version.path).unlink(missing_ok=True)
            version.path.with_suffix(NOTE).unlink(missing_ok=True)

    def id_of(self, source: str) -> str | None:
        """Id of the version that a model's file is, or of a bundled model; None for others."""
        path = Path(source)
        if path.parent == self.folder:
            return path.stem
        bundled = bundled_versions() if source else ()
        return next((each.id for each in bundled if each.name == source), None)


def kept_versions() -> ModelHistory:
    """Return the versions that this user has kept."""
    return ModelHistory(data_folder() / _KEPT)


def bundled_versions() -> tuple[Version, ...]:
    """Return the models that came with the installation, as versions that one can go back to."""
    from napari_unet.engine.models.checkpoint import bundled_models

    return tuple(
        Version(name, name, "", path, sentence="It came with the plugin.", is_bundled=True)
        for name, path in bundled_models().items()
    )


def other_models(sources: Collection[str]) -> tuple[Version, ...]:
    """List models that may do better than those that a session loads by these names.

    Returns
    -------
    tuple of Version
        A handful: the bundled ones, then what was kept last.
    """
    earlier = {row.name for row in EARLIER_MODELS}
    bundled = (each for each in bundled_versions() if each.name not in earlier)
    every = (*bundled, *kept_versions().versions())
    return tuple(each for each in every if each.source not in sources)[:_HANDFUL]


def version_name(path: Path) -> str | None:
    """Name of the version that a model file is, without opening the model; None if it is none."""
    if not path.is_absolute():
        return None  # a bundled model
    facts = read_json(path.with_suffix(NOTE)) or {}
    name = facts.get("name")
    return name if facts.get("id") == path.stem and isinstance(name, str) else None


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, or the same with the next number if it is taken."""
    wanted = " ".join(wanted.split()) or "model"
    if wanted not in taken:
        return wanted
    stem, number = _LAST_NUMBER.sub("", wanted), 2
    while f"{stem} {number}" in taken:
        number += 1
    return f"{stem} {number}"


def _facts(version: Version) -> dict[str, Any]:
    facts = asdict(version)
    del facts["path"], facts["is_bundled"]
    return facts


def _described(network: Network, version: Version) -> Network:
    """Return the network with what is known of the version in its own description, too."""
    from napari_unet.engine.networks.network import Network

    before = network.description
    *earlier, last = before.history or ({"date": version.date},)
    # Plain values, as they come back from the file.
    facts = json.loads(json.dumps(_facts(version), default=plain))
    history = (*earlier, {**last, _VERSION: facts})
    return Network(network.unet, replace(before, name=version.name, history=history))


def _read_version(path: Path) -> Version | None:
    facts = read_json(path.with_suffix(NOTE))
    version = _as_version(path, facts)
    return version or _version_in_model(path)


def _version_in_model(path: Path) -> Version | None:
    from napari_unet.engine.models.checkpoint import read_description

    try:
        description = read_description(path)
        written = path.stat().st_mtime
    except (CheckpointError, OSError):
        return None
    last = description.history[-1] if description.history else {}
    version = _as_version(path, last.get(_VERSION))
    if version is not None:
        return version
    date = datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
    return Version(path.stem, description.name, date, path)


def _as_version(path: Path, facts: Any) -> Version | None:
    """Return what was noted of this file; None if it is of another or does not fit."""
    if not isinstance(facts, dict) or facts.get("id") != path.stem:
        return None
    texts = [facts.get(key) for key in ("name", "date", "sentence")]
    parent, metrics = facts.get("parent"), facts.get("metrics")
    if not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(metrics, dict) or not isinstance(parent, str | None):
        return None
    name, date, sentence = map(str, texts)
    return Version(path.stem, name, date, path, parent, sentence, metrics)
