"""What an exported model says of itself beyond what the network knows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from napari_unet.engine.base.errors import SettingsError

_DOI = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """Whose model it is and what others may do with it.

    Parameters
    ----------
    licence : str, optional
        Under which licence the model may be used, as an SPDX identifier such
        as CC-BY-4.0 or BSD-3-Clause; the model's own if left out. A
        bioimage.io package needs one.
    authors : tuple of str
        Names of those who made the model, for a bioimage.io package. The
        collection asks for at least one.
    citations : tuple of str
        DOIs of what is to be cited besides the U-Net's own papers, for a
        bioimage.io package.
    """

    licence: str | None = None
    authors: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.authors:
            if not name.strip() or "/" in name:
                raise SettingsError(f"The author is {name!r}; give a name, without a slash.")
        for doi in self.citations:
            if not _DOI.fullmatch(doi):
                raise SettingsError(
                    f"The citation is {doi!r}; give a DOI, such as 10.1007/978-3-319-24574-4_28."
                )
