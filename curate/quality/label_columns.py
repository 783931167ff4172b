"""Labels of documents: columns in order of trust, each with its scale, and what counts when they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate.errors import InputError
from curate.quality import evaluate
from curate.text.batch import Batch

NONE: Final = -1
"""No label."""
GRADES: Final = 6
"""Grades 0 to 5, as FineWeb-Edu's judge gives them."""
SHARES: Final = 100
"""A soft label, a share from 0 to 1, is kept as so many hundredths."""
GOOD_FROM: Final = 3
"""A judge's score from which a document counts as good: FineWeb-Edu's threshold (arXiv 2406.17557)."""

_VOTES: Final = 1 << 16
"""Votes that are held, at least, before those that say the same become one."""

Marks = npt.NDArray[np.int8]
"""int8[n]: labels on their scale, NONE where there is none."""
Hashes = npt.NDArray[np.uint64]


Scale = Literal["0-1", "0-5", "share"]
_TOPS: Final[dict[str, int]] = {"0-1": 1, "0-5": GRADES - 1, "share": SHARES}


class LabelColumn(BaseModel):
    """A column with labels, and what its values mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(description="such as 'judge.score' or 'labels.label'; null where a document has none")
    scale: Scale = Field(
        "0-1",
        description="1 is good and 0 is not; grades of which 5 is the best; or 'share': soft labels, any number from 0 to 1 "
        "(kept to a hundredth), good from a half on",
    )
    good_from: int = Field(GOOD_FROM, ge=1, le=5, description="on the scale 0-5: grade from which a document is good")
    licence: str = Field("", description="terms under which these labels may be used")

    @property
    def top(self) -> int:
        """The largest label, as it is kept."""
        return _TOPS[self.scale]

    @property
    def least_good(self) -> int:
        """The lowest label that is good, as it is kept."""
        return self.good_from if self.scale == "0-5" else (self.top + 1) // 2

    def read(self, docs: Batch, step: str) -> Marks:
        """The labels of a batch, NONE where null; raises InputError for what is no label on this scale."""
        values = docs.column(self.column)
        if pa.types.is_null(values.type):
            return np.full(len(docs), NONE, np.int8)
        if not (
            pa.types.is_boolean(values.type) or pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
        ):
            raise InputError(
                f"step '{step}': column '{self.column}' holds {values.type}, not labels",
                cure=f"labels are numbers on the scale {self.scale}",
            )
        known = np.asarray(pc.is_valid(values))
        numbers = values.cast(pa.int8() if pa.types.is_boolean(values.type) else values.type).cast(pa.float64())
        marks = np.asarray(pc.fill_null(numbers, NONE))
        if self.scale == "share":
            fits = ((marks >= 0) & (marks <= 1)) | ~known
            marks = np.where(known & fits, np.rint(marks * SHARES), NONE)
        else:
            fits = np.isin(marks, np.arange(self.top + 1)) | ~known
        if not fits.all():
            row = int(np.argmin(fits))
            raise InputError(
                f"step '{step}': {values[row]} in column '{self.column}' is no label on the scale {self.scale}",
                place=f"document {docs.column('id')[row].as_py().hex()}",
                cure="set 'scale', or mend the labels",
            )
        return marks.astype(np.int8)

    def good(self, marks: Marks) -> Marks:
        """1 for good, 0 for not, NONE for no label."""
        return np.where(marks == NONE, NONE, marks >= self.least_good).astype(np.int8)


@dataclass(frozen=True)
class Labels:
    """What n distinct contents are labelled, int8[n] each; NONE throughout for a content without a label that counts.

    Attributes:
        mark: on the scale of the column that counts.
        good: 1 or 0.
        column: number of the column that counts, the most trusted one that has a label.
        contradictory: bool[n]; the column that counts says one thing in one row and another in the next.
        overruled: bool[n]; a less trusted column says the opposite of what counts.
    """

    mark: Marks
    good: Marks
    column: Marks
    contradictory: npt.NDArray[np.bool_]
    overruled: npt.NDArray[np.bool_]


class Votes:
    """Labels that rows give to contents, gathered batch by batch: (number of the content, column, label)."""

    def __init__(self, columns: Sequence[LabelColumn]) -> None:
        self.columns = tuple(columns)
        self._parts: list[npt.NDArray[np.int64]] = []
        self._held, self._most = 0, _VOTES

    def add(self, contents: npt.NDArray[np.int64], marks: Sequence[Marks]) -> None:
        """Labels of rows, column by column, for the contents (numbered from 0) of those rows."""
        for place, column in enumerate(marks):
            have = column != NONE
            part = np.stack([contents[have], np.full(int(have.sum()), place), column[have].astype(np.int64)], axis=1)
            if len(part):
                self._parts.append(np.unique(part, axis=0))
                self._held += len(self._parts[-1])
        if self._held > self._most:
            # A content that is in every batch votes once for each: what is held must not grow with the corpus.
            self._held = len(self.table())
            self._most = 2 * self._held + _VOTES

    def table(self) -> npt.NDArray[np.int64]:
        """int64[m, 3]: distinct (content, column, label), sorted."""
        if not self._parts:
            return np.zeros((0, 3), np.int64)
        self._parts = [np.unique(np.concatenate(self._parts), axis=0)]
        return self._parts[0]

    def resolve(self, contents: int, *, trusted: int, exact: bool) -> Labels:
        """What counts for each of so many contents, by the first ``trusted`` columns.

        The first column that labels a content counts. If rows with that content have two labels in it, the content is
        contradictory and has none: two grades if ``exact``, else only good beside bad (then the lower grade stands).
        """
        votes = self.table()
        mark, kind, column = (np.full(contents, NONE, np.int8) for _ in range(3))
        contradictory, overruled = (np.zeros(contents, np.bool_) for _ in range(2))
        for place in range(trusted):
            here = votes[votes[:, 1] == place]
            who, what = here[:, 0], here[:, 2].astype(np.int8)
            sort = self.columns[place].good(what)
            known = column[who] != NONE
            overruled[who[known & (kind[who] != sort)]] = True
            who, what, sort = who[~known], what[~known], sort[~known]
            first = np.unique(who, return_index=True)[1]
            mark[who[first]], kind[who[first]], column[who[first]] = what[first], sort[first], place
            differs = (what != mark[who]) if exact else (sort != kind[who])
            contradictory[who[differs]] = True
        mark[contradictory], kind[contradictory], column[contradictory] = NONE, NONE, NONE
        return Labels(mark, kind, column, contradictory, overruled & ~contradictory)

    def of(self, place: int, contents: int) -> Marks:
        """int8[contents]: the (lowest) label that a column gives to each content."""
        votes = self.table()
        votes = votes[votes[:, 1] == place][::-1]
        result = np.full(contents, NONE, np.int8)
        result[votes[:, 0]] = votes[:, 2]  # of repeated indices numpy keeps the last: the lowest label
        return result

    def agreements(self, contents: int) -> dict[str, dict[str, Any]]:
        """For each two columns: on how many contents both have a label, and how often both say good or both do not."""
        goods = [column.good(self.of(place, contents)) for place, column in enumerate(self.columns)]
        result = {}
        for a, b in combinations(range(len(goods)), 2):
            both = (goods[a] != NONE) & (goods[b] != NONE)
            result[f"{self.columns[a].column}, {self.columns[b].column}"] = pair(goods[a][both], goods[b][both])
        return result


def as_classes(
    shares: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Soft labels for a learner of two classes: each row is good by its share and bad by the rest of it.

    Returns row numbers, ascending, the class and the weight of each of the one or two copies of a row; hard labels (0 and 1)
    are the rows themselves with weight 1.
    """
    values = np.asarray(shares, dtype=np.float64)
    weight = np.stack([1 - values, values], axis=1).ravel()
    some = np.flatnonzero(weight > 0)
    return some // 2, some % 2 == 1, weight[some]


def pair(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> dict[str, Any]:
    """How far two label sets agree."""
    return {"rows": len(a), "agreement": evaluate.agreement(a, b), "cohen_kappa": evaluate.cohen_kappa(a, b)}
