"""Choose the bank of `cells`: python recipes/cells/bank.py DATA.

Phase contrast is from Usiigaci (MIT), DIC from BBBC030 (CC BY 3.0); see the model's card.
"""

from __future__ import annotations

import sys
from pathlib import Path

from train import CELLS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bank_choice import choose

LEARN = {"phase contrast": 24, "DIC": 12}
JUDGE = {"phase contrast": 9, "DIC": 4}

if __name__ == "__main__":
    choose(CELLS, LEARN, JUDGE, __doc__)
