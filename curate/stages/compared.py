"""Answers to one query beside each other. No stage, used by those that compare what several models said.

Of each answer (see ``answered.py``) a row of about 100 bytes goes to where its query's are: who answered, how it was
scored, what it cost; no text.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import ID_TYPE
from curate.stages.answered import QUERY
from curate.stages.base import KEY, PART, ROW
from curate.stages.keep_order import LAST, numbers
from curate.stages.strata import META, NONE, fields_of, strata
from curate.text.batch import Batch

__all__ = ["ANSWERS", "BY", "ORDER", "SCORED", "answers_of", "numbers_of"]

BY: Final = "meta.model"
"""What tells who answered, unless a setting names another column."""
SCORED: Final = "meta.score"
"""How good an answer is, unless a setting names another column."""
ORDER: Final = ("query", *LAST)
"""Order of answers behind KEY: query by query, and within one by content."""
ANSWERS: Final = pa.schema(
    [
        (KEY, pa.uint64()),
        ("query", ID_TYPE),
        ("by", pa.string()),
        ("score", pa.float64()),
        ("tokens", pa.float64()),
        ("dollars", pa.float64()),
        *((name, ID_TYPE) for name in LAST),
        (PART, pa.uint32()),
        (ROW, pa.uint32()),
    ]
)
"""An answer: the hash of its query (null: it names none), who answered, its score, tokens of the answer and what it cost
(null where nobody says), and its address."""
_TOKENS: Final = f"{META}completion_tokens"
_DOLLARS: Final = f"{META}dollars"
_TRUE: Final = {"true": 1.0, "false": 0.0}


def answers_of(docs: Batch, score: str, by: str = BY) -> pa.Table:
    """ANSWERS of a batch of documents with PART and ROW.

    Args:
        docs: documents.
        score: a column of numbers, or ``meta.FIELD``.
        by: a column of strings that tells who answered, or ``meta.FIELD``.

    Raises RecipeError for columns of other types.
    """
    from curate.text.arrow import fixed
    from curate.text.hashing import hash128

    asked = [QUERY, *(n.removeprefix(META) for n in (by, score, _TOKENS, _DOLLARS) if n.startswith(META))]
    meta = dict(zip(asked, fields_of(docs.column("meta"), asked), strict=True))  # parsed once
    query = meta[QUERY]
    hashes = pc.if_else(query.is_valid(), hash128(pc.fill_null(query, "").cast(pa.large_string())), None)
    # An answer without a query is alone: its own id spreads such rows.
    spread = pc.coalesce(hashes, docs.column("id").cast(ID_TYPE))
    key = np.ascontiguousarray(fixed(spread)).view(np.uint64)[:, 0]

    def read(name: str) -> pa.Array:
        return _finite(_numbers(meta[name.removeprefix(META)]) if name.startswith(META) else numbers(docs, name))

    columns = {
        KEY: pa.array(key, pa.uint64()),
        "query": hashes,
        "by": pc.fill_null(meta[by.removeprefix(META)], NONE) if by.startswith(META) else strata(docs, by),
        "score": read(score),
        "tokens": read(_TOKENS),
        "dollars": read(_DOLLARS),
        **{name: docs.column(name) for name in (*LAST, PART, ROW)},
    }
    return pa.table(columns, ANSWERS)


def numbers_of(docs: Batch, name: str) -> pa.Array:
    """float64[n]: a column of numbers, or ``meta.FIELD``: a number, true and false as 1 and 0; null for what is neither
    (NaN and infinity, too: no score is so good).

    Raises RecipeError for a column that holds no numbers.
    """
    if not name.startswith(META):
        return _finite(numbers(docs, name))
    return _finite(_numbers(fields_of(docs.column("meta"), (name.removeprefix(META),))[0]))


def _finite(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _numbers(said: pa.StringArray) -> pa.Array:
    coded = said.dictionary_encode()
    return pa.array([_number(each.strip().lower()) for each in coded.dictionary.to_pylist()], pa.float64()).take(
        coded.indices
    )


def _number(said: str) -> float | None:
    try:
        return _TRUE[said] if said in _TRUE else float(said)
    except ValueError:
        return None
