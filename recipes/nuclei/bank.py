"""Choose the bank of `nuclei`: python recipes/nuclei/bank.py DATA.

Much of what is learned again is stained tissue, on which corrections have done most harm. Tissue
DAPI is from BitDepth_NucSeg (Apache-2.0), the rest is CC0.
"""

from __future__ import annotations

import sys
from pathlib import Path

from train import NUCLEI

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bank_choice import choose

LEARN = {"fluorescence": 40, "histology": 44, "brightfield": 3, "U2OS": 6, "tissue DAPI": 24}
JUDGE = {
    "fluorescence": 48,
    "histology": 16,
    "brightfield": 1,
    "other stain": 3,
    "U2OS": 4,
    "tissue DAPI": 6,
}

if __name__ == "__main__":
    choose(NUCLEI, LEARN, JUDGE, __doc__)
