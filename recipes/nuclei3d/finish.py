"""Judge the networks that have not seen a group; write the card and the bundled `nuclei-3d`.

    python recipes/nuclei3d/finish.py DATA RUNS [--planes nuclei] [--bundle]

RUNS holds what `train.py` wrote, each in a folder of its own: `without-GROUP.safetensors` and
`nuclei-3d.safetensors`. Prints the table; `--bundle` writes the model in float16, its card, and the
picture of the worst places of each volume.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measured import measured, table


def main() -> None:
    """Measure, and bundle if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--planes", metavar="MODEL", help="a model of planes to compare with")
    arguments = parser.parse_args()
    rows = list(measured(arguments.data, arguments.runs, arguments.planes))
    if not rows:
        sys.exit(f"There is no network that has not seen a group in '{arguments.runs}'.")
    print(table(rows))


if __name__ == "__main__":
    main()
