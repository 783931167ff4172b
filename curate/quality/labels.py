"""What of a model's probabilities is the score: that of one label, or the expected value of labels that are numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_SHOWN: Final = 20


@dataclass(frozen=True)
class Choice:
    """One label's column, or for each label what it is worth."""

    column: int | None
    worth: tuple[float, ...]

    def __call__(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """float64[n] of float64[n, labels]. An expected value is over probabilities that add up to 1."""
        if self.column is not None:
            return probabilities[:, self.column]
        whole = probabilities.sum(axis=1)
        worth = (probabilities * np.array(self.worth)).sum(axis=1)
        # One-vs-all may give nothing to any label: then all are as likely as each other.
        return np.where(
            whole > 0, worth / np.where(whole > 0, whole, 1), np.where(whole == 0, np.mean(self.worth), np.nan)
        )


def choice(labels: Sequence[str], wanted: str | None, default: str | None, place: str) -> Choice:
    """How ``wanted`` is read off; without it the expected value if all labels are numbers, else ``default``'s.

    Raises InputError where that is not there, or there is no default and one must be named.
    """
    if wanted is None and all(_NUMBER.fullmatch(label) for label in labels):
        return Choice(None, tuple(float(label) for label in labels))
    name = default if wanted is None else wanted.removeprefix("__label__")
    if name in labels:
        return Choice(labels.index(name), ())
    shown = ", ".join(labels[:_SHOWN]) + (f", ... ({len(labels)} in all)" if len(labels) > _SHOWN else "")
    if name is None:
        raise InputError("the model has several labels, none of them said to be the good one", place=place,
                         cure=f"name one of its labels: {shown}")  # fmt: skip
    near = difflib.get_close_matches(name, labels, n=1)
    cure = f"did you mean '{near[0]}'? its labels: {shown}" if near else f"its labels: {shown}"
    raise InputError(f"the model has no label '{name}'", place=place, cure=cure)
