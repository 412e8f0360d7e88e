"""What a model file did not tell, so that it was guessed, with the reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guess:
    """One thing that was guessed.

    Parameters
    ----------
    about : str
        What it is, for programs: "activation", "skip_order", ...
    title : str
        What it is, for people: "Activation".
    value : str
        What is taken.
    options : tuple of str
        What it could be; `value` is one of them.
    reason : str
        Why this is taken, in one sentence.
    """

    about: str
    title: str
    value: str
    options: tuple[str, ...]
    reason: str
