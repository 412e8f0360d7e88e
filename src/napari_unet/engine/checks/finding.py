"""What was found in an image or in labels that may spoil the work, and the way out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

from napari_unet.engine.base.regions import Region

Severity: TypeAlias = Literal["error", "warning", "note"]
Case = TypeVar("Case")

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first."""

IN_MODEL_WIDGET: Mapping[str, Any] = {"widget": "Model"}
"""Change of a remedy that leads to the Model widget, where the user decides."""


RUN: Mapping[str, Any] = {"run": True}
"""Change of a remedy after which the form is to run."""

IN_TRAIN_WIDGET: Mapping[str, Any] = {"widget": "Train"}
"""Change of a remedy that leads to the Train widget, with the image and its labels chosen."""

IN_LARGE_WIDGET: Mapping[str, Any] = {"widget": "Large images"}
"""Change of a remedy that leads to the Large images widget, with the image chosen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing before a network segments an image or learns from labels.

    Parameters
    ----------
    severity : {"error", "warning", "note"}
        With an error the work cannot start; a warning is likely to spoil it.
    text : str
        What was found, with the numbers, what it means and what to do, in one
        or two plain sentences.
    remedy : str
        Caption of the button that puts it right; empty if no click can.
    changes : mapping of str to value
        Fields of the form that the button sets. Empty where it is `repair`
        that puts labels right.
    other_remedies : mapping of str to mapping
        Captions of further buttons, and what each of them sets.
    ids : tuple of int
        Cells concerned.
    box : tuple of slices, optional
        What of the labels is concerned; a repair changes nothing outside of it.
    is_senseless : bool
        Going on gives nothing of use. A form, in front of which somebody sits,
        goes on all the same; the command line does so only when told.
    code : str
        What was found, for programs: "mask", "disconnected", "specks" and so on.
    name : str
        Which image or labels, where there are several.
    parts : tuple of Finding
        Of a finding about a stack, what was found in each slice.
    """

    severity: Severity
    text: str
    remedy: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    other_remedies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ids: tuple[int, ...] = ()
    box: Region | None = None
    is_senseless: bool = False
    code: str = ""
    name: str = ""
    parts: tuple[Finding, ...] = ()

    def without_remedy(self, changes: Mapping[str, Any]) -> Finding:
        """Leave the button out where it would only lead to where the user is."""
        return replace(self, remedy="", changes={}) if self.changes == changes else self


Rule: TypeAlias = Callable[[Case], Iterator[Finding]]
"""Yields what it finds; its docstring tells why that matters, its name is the usual code."""

error, warning, note = (partial(Finding, severity) for severity in SEVERITIES)


def found_by(rules: Iterable[Rule[Case]], case: Case, *, name: str = "") -> list[Finding]:
    """Ask every rule."""
    return [
        replace(found, code=found.code or rule.__name__.replace("_", "-"), name=name)
        for rule in rules
        for found in rule(case)
    ]


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by severity; those that are alike stay in their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
