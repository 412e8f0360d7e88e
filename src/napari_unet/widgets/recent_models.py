"""The model files that were opened last, kept between starts of napari."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings

_MOST = 8
_FILES, _FOLDER = "models/recent", "models/folder"


class RecentModels:
    """Reads and writes the user's settings; every widget sees the same list."""

    def __init__(self) -> None:
        # A file on every system, so that it can be looked at, copied and deleted.
        self._settings = QSettings(
            QSettings.Format.IniFormat,
            QSettings.Scope.UserScope,
            "napari-unet-cells",
            "napari-unet-cells",
        )

    @property
    def files(self) -> list[str]:
        """Model files, the last one first; they may be gone."""
        value = self._settings.value(_FILES)
        # A list of one comes back from the file as text.
        return [value] if isinstance(value, str) else [str(file) for file in value or ()]

    @property
    def folder(self) -> str:
        """Where the last file was; empty before the first."""
        return str(self._settings.value(_FOLDER) or "")

    def add(self, file: str) -> None:
        """Put a file at the top and remember its folder."""
        others = [other for other in self.files if other != file]
        self._settings.setValue(_FILES, [file, *others][:_MOST])
        self._settings.setValue(_FOLDER, str(Path(file).parent))

    def remove(self, file: str) -> None:
        """Forget a file."""
        self._settings.setValue(_FILES, [other for other in self.files if other != file])

    def clear(self) -> None:
        """Forget every file."""
        self._settings.remove(_FILES)
