"""Draw the rooms of the code into CONTRIBUTING.md, from the contracts that hold them.

The floors are those of import-linter's contracts in `pyproject.toml`, what a room is for is the
first sentence of its own docstring. `--check` changes nothing and fails where the picture is old.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- house: made by scripts/house.py -->", "<!-- /house -->"


def main() -> int:
    """Write the picture, or say that it is stale."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        print(f"CONTRIBUTING.md lacks the lines '{BEGIN}' and '{END}'; put them back.")
        return 1
    drawn = f"{before}{BEGIN}\n\n```\n{picture()}\n```\n\n{END}{after}"
    if "--check" not in sys.argv:
        PAGE.write_text(drawn, encoding="utf-8")
    elif drawn != page:
        print("The picture of the house in CONTRIBUTING.md is stale: run scripts/house.py.")
        return 1
    return 0


def picture() -> str:
    """Floors of the package, and under each room that has floors of its own, those."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    floors = {c["containers"][0]: c["layers"] for c in contracts if c["type"] == "layers"}
    return "\n".join(_drawn("napari_unet", floors, indent=0))


def _drawn(container: str, floors: dict[str, list[Any]], *, indent: int) -> list[str]:
    lines = []
    for layer in floors[container]:
        for place, room in enumerate(str(layer).split("|")):
            name = f"{container}.{room.strip()}"
            is_package = _file(name).name == "__init__.py"
            # Rooms on one floor stand behind one mark: they do not know each other.
            mark = "- " if place == 0 else "  "
            title = f"{'':{indent}}{mark}{room.strip()}{'/' if is_package else ''}"
            lines.append(f"{title:26} {_first_sentence(name)}")
            if name in floors:
                lines += _drawn(name, floors, indent=indent + 4)
    return lines


def _first_sentence(module: str) -> str:
    text = ast.get_docstring(ast.parse(_file(module).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")


def _file(module: str) -> Path:
    path = ROOT.joinpath("src", *module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


if __name__ == "__main__":
    sys.exit(main())
