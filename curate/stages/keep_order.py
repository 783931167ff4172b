"""Which of several like documents stays: a total order on content, never on position. No stage, used by those that keep the first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from curate.errors import RecipeError
from curate.stages.base import Global
from curate.stages.strata import META, columns_of, strata
from curate.text.batch import Batch

U64 = npt.NDArray[np.uint64]
Criterion = str | dict[str, str | list[str]]

LONGEST: Final = "longest"
LAST: Final = ("content_hash", "id")
"""Columns that decide where no criterion does: 16 bytes each; ``id`` makes the order total."""
_NONE: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_FORMS: Final = (
    "a criterion is the name of a numeric column, `longest`, `lowest: COLUMN`, `newest: COLUMN`, `newest: meta.FIELD` or "
    "`sources: [NAME, ...]`"
)
_YEAR: Final = re.compile(r"\d{4}")
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_COUNT: Final = re.compile(r"\d{9,}(\.\d*)?")
"""A number that is too long for a date: seconds or milliseconds, which ISO 8601's short forms would find a time of day in."""


class KeepsFirst(Global):
    """A stage that keeps the first of some documents, in an order that its setting ``keep`` says."""

    keep: list[Criterion] = Field(
        [],
        description="who stays: criteria, the first that tells two documents apart decides. A numeric column (the highest "
        "stays), `longest`, `lowest: COLUMN`, `newest: COLUMN` or `newest: meta.FIELD` (a date or a number), "
        "`sources: [most wanted, ...]`; no value comes last. Then the lower content_hash, then the lower id",
    )

    @model_validator(mode="before")
    @classmethod
    def _says_what_became_of(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for old, new in (("prefer", "keep: [{}]"), ("sources", "keep: [{{sources: {}}}]")):
                if old in values:
                    given = str(values[old]).replace("'", "")
                    raise ValueError(f"'{old}' is a criterion of keep now: write {new.format(given)}")
        return values

    @field_validator("keep")
    @classmethod
    def _are_criteria(cls, keep: list[Criterion]) -> list[Criterion]:
        for criterion in keep:
            if isinstance(criterion, str):
                good = bool(criterion) and not criterion.startswith(META)
            else:
                good = len(criterion) == 1 and all(
                    isinstance(value, list) == (name == "sources") and bool(value) for name, value in criterion.items()
                )
                good = good and criterion.keys() <= {"lowest", "newest", "sources"}
            if not good:
                raise ValueError(f"{criterion!r} is none: {_FORMS}")
        if len({repr(c) for c in keep}) < len(keep):
            raise ValueError("a criterion stands here twice")
        return keep

    def reads(self) -> frozenset[str]:
        """The columns of the criteria."""
        found: set[str] = set()
        for criterion in self.keep:
            kind, of = _parts(criterion)
            if kind in ("highest", "lowest", "newest"):
                found |= columns_of(str(of))
        return frozenset(found)

    @property
    def rank_names(self) -> tuple[str, ...]:
        """Columns of ``ranks``: rows sorted by them, ascending, are in keep order."""
        return (*(f"rank_{i}" for i in range(len(self.keep))), *LAST)

    def ranks(self, docs: Batch) -> dict[str, pa.Array]:
        """The columns of ``rank_names`` for a batch of documents: uint64 for each criterion, then LAST."""
        found: dict[str, pa.Array] = {}
        for name, criterion in zip(self.rank_names, self.keep, strict=False):
            found[name] = pa.array(_rank(docs, *_parts(criterion)), pa.uint64())
        return {**found, **{name: docs.column(name) for name in LAST}}


def _parts(criterion: Criterion) -> tuple[str, str | list[str]]:
    """A criterion's kind, and the column or the sources that it is about."""
    if isinstance(criterion, str):
        return (LONGEST, "text") if criterion == LONGEST else ("highest", criterion)
    return next(iter(criterion.items()))


def _rank(docs: Batch, kind: str, of: str | list[str]) -> U64:
    if kind == "sources":
        place = pc.index_in(docs.column("source"), pa.array(list(of), pa.string()))
        return np.asarray(pc.fill_null(place, len(of)).cast(pa.uint64()))
    if kind == LONGEST:
        return ~np.asarray(pc.fill_null(pc.binary_length(docs.text), 0).cast(pa.uint64()))
    column = str(of)
    if kind == "newest":
        return descending(pa.array(_moments(docs, column), pa.float64()))
    values = numbers(docs, column)
    return descending(values if kind == "highest" else pc.negate(values))


def numbers(docs: Batch, column: str) -> pa.Array:
    """A column as float64; raises RecipeError where it holds no numbers (a plan knows names, not types)."""
    values = docs.column(column)
    try:
        return values.cast(pa.float64(), safe=False)  # whole numbers above 2^53 are rounded
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RecipeError(
            f"column '{column}' holds {values.type}, not numbers", cure="name a column of numbers"
        ) from None


def descending(values: pa.Array) -> U64:
    """uint64 keys that sort a numeric column from high to low; null and NaN come last, as the largest uint64."""
    floats = pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False) + 0.0
    bits = np.ascontiguousarray(floats).view(np.uint64)
    sign = np.uint64(1 << 63)
    ascending = np.where(bits & sign, ~bits, bits | sign)
    return np.where(np.isnan(floats), _NONE, ~ascending)


def _moments(docs: Batch, column: str) -> npt.NDArray[np.float64]:
    """When each document is of, float64[n]: seconds since 1970 in UTC of dates and times, other numbers as they are; NaN
    where nothing is said, or what is said is no date.

    Dates are those of ISO 8601, also just a year or a month; a number of four digits is a year.
    """
    values = pc.cast(strata(docs, column), pa.string()) if column.startswith(META) else docs.column(column)
    if pa.types.is_temporal(values.type):
        if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
            raise RecipeError(
                f"column '{column}' holds {values.type}, not dates", cure="name a column of dates or numbers"
            )
        kind = pa.timestamp("us", "UTC") if getattr(values.type, "tz", None) else pa.timestamp("us")
        values = values.cast(kind, safe=False)  # nanoseconds are rounded
        return pc.fill_null(values.cast(pa.int64()).cast(pa.float64()), float("nan")).to_numpy() / 1e6
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        found = pc.fill_null(numbers(docs, column), float("nan")).to_numpy(zero_copy_only=False)
        distinct, at = np.unique(found, return_inverse=True)
        return np.array([_moment(f"{v:.0f}") if 1000 <= v <= 9999 else v for v in distinct.tolist()])[at.reshape(-1)]
    coded = values.dictionary_encode()
    known = np.array([*(_moment(said) for said in coded.dictionary.to_pylist()), np.nan])
    return known[pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)]


def _moment(said: str) -> float:
    """Of one date, or number; NaN for neither."""
    said = said.strip()
    whole = f"{said}-01-01" if _YEAR.fullmatch(said) else f"{said}-01" if _MONTH.fullmatch(said) else said
    try:
        when = datetime.fromisoformat("" if _COUNT.fullmatch(said) else whole)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return float(said)
    except ValueError:
        return float("nan")


def details(
    kept: pa.Array,
    similarity: npt.NDArray[np.float64],
    indexes: Sequence[str] = (),
    ages: npt.NDArray[np.uint32] | None = None,
) -> pa.Array:
    """JSON strings ``{"kept": "<hex id>", "similarity": s}``; s has four decimals (binary16 ids in ``kept``).

    Where the one that is kept comes from one of ``indexes`` (its number in ``ages``), ``"index": "<its name>"`` follows.
    """
    from curate.text.hashing import hex_ids

    # At most 10,001 distinct values for each index.
    values, where = np.unique(np.round(similarity, 4), return_inverse=True)
    of = np.minimum(ages, len(indexes)).astype(np.int64) if ages is not None else np.full(len(kept), len(indexes))
    distinct, at = np.unique(where.reshape(-1) * (len(indexes) + 1) + of, return_inverse=True)
    named = [*(f', "index": "{name}"' for name in indexes), ""]
    tails = [f'", "similarity": {values[code // len(named)]}{named[code % len(named)]}}}' for code in distinct.tolist()]
    tail = pa.array(tails, pa.string()).take(pa.array(at.reshape(-1), pa.int64()))
    return pc.binary_join_element_wise(pa.scalar('{"kept": "'), hex_ids(kept), tail, pa.scalar(""))
