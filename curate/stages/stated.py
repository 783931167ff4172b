"""Under which terms rows stand: as their ``meta`` says, and where another text was put beside theirs, as a column says. No stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.strata import fields_of
from curate.stages.terms import UNKNOWN, UNSTATED, demands, strictest

__all__ = ["TERMS", "TERMS_FIELDS", "is_terms", "row_terms", "stated_terms", "strictest_of", "terms_of"]

TERMS_FIELDS: Final = ("terms", "license", "licence")
"""Fields of ``meta`` that say under which terms a text stands; where several do, it stands under all of them. ``terms`` is the
strictest of its teacher's and its seeds', where a model wrote it."""
TERMS: Final = "terms"
"""Short name of the column that a step adds which puts another row's text into a row: as strict as the terms of both."""


def is_terms(column: str) -> bool:
    """Whether a column, ``STEP.terms``, says under which terms what a step put beside a row's text stands."""
    return column.endswith(f".{TERMS}")


def terms_of(meta: Mapping[str, Any]) -> str:
    """Terms that one ``meta`` states, as ``stated_terms``; empty for none."""
    return _all_of([str(meta[name]) for name in TERMS_FIELDS if meta.get(name)])


def stated_terms(metas: pa.Array) -> pa.StringArray:
    """Terms that ``meta`` states: by the first of its fields that says something, as it is spelled, and where others ask for more,
    as strict as all together. Null: none says anything."""
    said = _by_row(fields_of(metas, TERMS_FIELDS), _all_of)
    return pc.if_else(pc.equal(said, ""), pa.scalar(None, pa.string()), said)


def _all_of(said: Sequence[str]) -> str:
    if not said:
        return ""
    asked = demands(said[0])
    more = [one for one in said[1:] if one != said[0] and (UNKNOWN in demands(one) or not demands(one) <= asked)]
    return strictest(said) if more else said[0]


def row_terms(rows: pa.RecordBatch) -> pa.StringArray:
    """Terms of each row, with all that lies in it: those of its ``meta``, and of columns that are ``is_terms``. UNSTATED where
    nobody says."""
    own = pc.fill_null(stated_terms(rows.column("meta")), UNSTATED)
    beside = [rows.column(name) for name in rows.schema.names if is_terms(name)]
    return strictest_of([own, *beside]) if beside else own


def strictest_of(columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.StringArray:
    """As strict as all columns of a row together, nulls left out."""
    return _by_row(columns, strictest)


def _by_row(columns: Sequence[pa.Array | pa.ChunkedArray], of: Callable[[list[str]], str]) -> pa.StringArray:
    """What it makes of the strings of a row that are not empty; each combination is asked about once."""
    # Not null_handling="skip": of chunked columns pyarrow 26 leaves out rows that are null in all of them.
    said = pc.binary_join_element_wise(*(pc.fill_null(column, "") for column in columns), _BETWEEN)
    said = (said.combine_chunks() if isinstance(said, pa.ChunkedArray) else said).dictionary_encode()
    joined = [of([part for part in one.split(_BETWEEN) if part]) for one in said.dictionary.to_pylist()]
    return pa.array(joined, pa.string()).take(said.indices)


_BETWEEN: Final = "\x1f"
