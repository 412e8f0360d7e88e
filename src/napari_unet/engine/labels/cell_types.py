"""Which type each cell is, and how many types are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.base.errors import ImageShapeError
from napari_unet.engine.base.exact_sums import ONE, sums_by
from napari_unet.engine.base.words import count
from napari_unet.engine.images.image import LabelImage, Scores
from napari_unet.engine.labels.runs import CommonRuns, ious_of
from napari_unet.engine.networks.class_roles import Types, types_of


@dataclass(frozen=True, slots=True, eq=False)
class CellTypes:
    """The type of each cell.

    Parameters
    ----------
    labels : (N,) int64 array
        Numbers of the cells, ascending.
    names : tuple of str
        The K types that there are.
    shares : (N, K) float64 array
        Mean score of each type in each cell, divided by the mean score of
        being a cell of any type: rows sum to 1.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    shares: NDArray[np.float64]

    @property
    def types(self) -> tuple[str, ...]:
        """Likeliest type of each cell."""
        return tuple(self.names[index] for index in self.shares.argmax(axis=1).tolist())

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N,) share of that type, 1 / K to 1."""
        best: NDArray[np.float64] = self.shares.max(axis=1, initial=0)
        return best

    @property
    def by_label(self) -> dict[int, str]:
        """Likeliest type of each cell, by its number; what `TrainingPair` takes."""
        return dict(zip(self.labels.tolist(), self.types, strict=True))

    @property
    def probability_by_label(self) -> dict[int, float]:
        """Share of that type, by the number of the cell."""
        return dict(zip(self.labels.tolist(), self.probabilities.tolist(), strict=True))

    @property
    def counts(self) -> dict[str, int]:
        """Cells of each type; 0 of some perhaps."""
        found = Counter(self.types)
        return {name: found[name] for name in self.names}


def cell_types(scores: Scores, class_roles: Sequence[str], labels: LabelImage) -> CellTypes | None:
    """Tell the type of each cell from the scores in it.

    Parameters
    ----------
    scores : (C, *S) float array
    class_roles : sequence of str
    labels : (*S) integer array

    Returns
    -------
    CellTypes or None
        None if the classes tell no types apart.
    """
    names = types_of(class_roles)
    if not names:
        return None
    inside = labels > 0
    numbers, cells = np.unique(labels[inside], return_inverse=True)
    first = next(index for index, role in enumerate(class_roles) if types_of([role]))
    each = (scores[first + index][inside] for index in range(len(names)))
    sums = np.stack([sums_by(cells, values, numbers.size) for values in each], axis=1)
    return types_of_sums(numbers.astype(np.int64), names, sums)


def types_of_sums(
    labels: NDArray[np.int64], names: tuple[str, ...], sums: NDArray[np.int64]
) -> CellTypes:
    """Tell the type of each cell from sums of scores.

    Parameters
    ----------
    labels : (N,) int64 array
        Numbers of the cells, ascending.
    names : tuple of str
        The K types that there are.
    sums : (N, K) int64 array
        Of the scores of each type in each cell, as `sums_by` has them: the same in any order.
    """
    # A hole that was filled has scores of other classes; a cell of nothing else is of any type.
    shares = np.maximum(sums / ONE, np.finfo(np.float32).tiny)
    return CellTypes(labels, names, shares / shares.sum(axis=1, keepdims=True))


def joined_types(parts: Sequence[CellTypes]) -> CellTypes | None:
    """Cells of several planes together; of a number that is there twice the first. None of none."""
    if not parts:
        return None
    labels, first = np.unique(np.concatenate([part.labels for part in parts]), return_index=True)
    return CellTypes(labels, parts[0].names, np.concatenate([part.shares for part in parts])[first])


@dataclass(frozen=True, slots=True)
class TypeEvaluation:
    """How many cells that were found have the right type.

    Parameters
    ----------
    counts : mapping of (str, str) to int
        Matched cells by their true and their predicted type.
    """

    counts: Mapping[tuple[str, str], int]

    @property
    def matched(self) -> int:
        """True cells with a type that were found."""
        return sum(self.counts.values())

    @property
    def right(self) -> int:
        """How many of these have the right type."""
        return sum(number for (true, found), number in self.counts.items() if true == found)

    @property
    def share_right(self) -> float:
        """Share of these that have the right type; 1 where there are none."""
        return self.right / self.matched if self.matched else 1.0

    @property
    def mean_share_right(self) -> float:
        """The same, of each true type by itself, averaged: rare types count as much as others."""
        shares = []
        for name in {true for true, _ in self.counts}:
            total = sum(number for (true, _), number in self.counts.items() if true == name)
            shares.append(self.counts.get((name, name), 0) / total)
        return float(np.mean(shares)) if shares else 1.0


def evaluate_types(
    truth: LabelImage | Sequence[LabelImage],
    true_types: Types | Sequence[Types],
    prediction: LabelImage | Sequence[LabelImage],
    predicted_types: Types | Sequence[Types],
) -> TypeEvaluation:
    """Compare the types of predicted cells with those of the true ones that they match.

    Parameters
    ----------
    truth, prediction : integer array, or equally long sequences of them
        As `evaluate` takes them.
    true_types, predicted_types : mapping of int to str, or sequences of them
        Type of cells by their number; true cells without one do not count.

    Returns
    -------
    TypeEvaluation
        Of cells whose IoU is above 0.5. What is missed or extra is told by
        `evaluate`.

    Raises
    ------
    ImageShapeError
        If shapes or numbers of images differ.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_unet import evaluate_types
    >>> labels = np.array([[1, 1, 0, 2, 2]])
    >>> evaluate_types(labels, {1: "a", 2: "b"}, labels, {1: "a", 2: "a"}).share_right
    0.5
    """
    truths = [truth] if isinstance(truth, np.ndarray) else list(truth)
    predictions = [prediction] if isinstance(prediction, np.ndarray) else list(prediction)
    given = [true_types] if isinstance(true_types, Mapping) else list(true_types)
    found = [predicted_types] if isinstance(predicted_types, Mapping) else list(predicted_types)
    if len({len(truths), len(predictions), len(given), len(found)}) > 1:
        raise ImageShapeError(
            f"There are {len(truths)} true and {len(predictions)} predicted label images, with "
            f"{len(given)} and {len(found)} tables of types; give as many of each."
        )
    counts: Counter[tuple[str, str]] = Counter()
    for true, types, predicted, own in zip(truths, given, predictions, found, strict=True):
        if np.shape(true) != np.shape(predicted):
            raise ImageShapeError(
                f"The true labels have shape {np.shape(true)}, the predicted ones "
                f"{np.shape(predicted)}; they must be labels of the same image."
            )
        runs = CommonRuns.of(np.asarray(true), np.asarray(predicted))
        cells, others = runs.cells(0), runs.cells(1)
        overlap = runs.shared(cells, others)
        rows, columns = overlap.coords
        matched = ious_of(cells, others, overlap) > 0.5
        pairs = np.stack([cells.ids[rows[matched]], others.ids[columns[matched]]], axis=1)
        named = [(types.get(one), own.get(other)) for one, other in pairs.tolist()]
        counts.update((one, other) for one, other in named if one is not None and other is not None)
    return TypeEvaluation(dict(counts))


def cells_in_words(number: int, types: CellTypes | None) -> str:
    """So many cells, and how many of them are of each type if that is known."""
    found = count(number, "cell")
    if types is None or not number:
        return found
    return f"{found} ({', '.join(f'{n} {name}' for name, n in types.counts.items())})"
