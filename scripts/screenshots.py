"""Take the pictures of the documentation and of the README in a real napari.

    scripts/with_display.sh python scripts/screenshots.py             # all of them
    scripts/with_display.sh python scripts/screenshots.py demo model  # only these

Each function in `pictures/` that is marked as a picture makes docs/images/<its name>.png. The
windows are sized for the virtual display of `with_display.sh`; on a real one they open and close by
themselves. Neither the settings of napari nor those of the plugin are touched.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

# Each module marks its pictures when it is imported.
from pictures import ELSEWHERE, cells, model, segment, train, weight_map  # noqa: F401
from pictures.window import PICTURES
from PIL import Image
from qtpy.QtCore import QSettings

IMAGES = Path(__file__).parents[1] / "docs" / "images"
_COLOURS = 255


def save(taken: Image.Image, name: str) -> Path:
    """Write a small PNG."""
    file = IMAGES / f"{name}.png"
    IMAGES.mkdir(parents=True, exist_ok=True)
    # Without k-means the colours of small swatches go over to larger ones.
    options = {"method": Image.Quantize.MEDIANCUT, "dither": Image.Dither.NONE, "kmeans": 4}
    small = taken.quantize(_COLOURS, **options)
    small.save(file, optimize=True)
    return file


def main() -> int:
    """Take the pictures that are asked for; one that fails does not keep the others away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(PICTURES)}; all if left out"
    )
    names = parser.parse_args().names or list(PICTURES)
    if unknown := set(names) - PICTURES.keys():
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, ELSEWHERE.name)
    failed = []
    for name in names:
        try:
            file = save(PICTURES[name](), name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        else:
            print(f"{file} ({file.stat().st_size / 1000:.0f} kB)", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
