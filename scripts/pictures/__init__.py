"""Pictures of napari with settings of their own, set before anything of napari is imported."""

import os
import tempfile
from pathlib import Path

ELSEWHERE = tempfile.TemporaryDirectory(prefix="napari-unet-screenshots-")
os.environ["NAPARI_CONFIG"] = str(Path(ELSEWHERE.name, "napari.yaml"))
os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_DATA_HOME"] = ELSEWHERE.name
