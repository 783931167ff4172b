"""Rows in another order, by a kernel, as Arrow takes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import gathered as module
from curate.text.gathered import gathered

TEXTS = st.one_of(st.none(), st.text(max_size=5), st.text(min_size=60, max_size=300))
NUMBERS = st.one_of(st.none(), st.lists(st.integers(0, 2**64 - 1), max_size=40))
ROWS = st.lists(st.tuples(TEXTS, NUMBERS), min_size=1, max_size=20)


@given(st.lists(ROWS, min_size=1, max_size=4), st.data(), st.booleans())
@settings(max_examples=150)
def test_gathered_is_take(chunks: list[list[tuple]], data: st.DataObject, nulls: bool) -> None:
    """Any rows of any chunks, sliced or not, with nulls and without, any number of times."""
    tables = []
    for rows in chunks:
        texts, numbers = zip(*rows, strict=True)
        columns = {
            "text": pa.array([t if nulls else t or "" for t in texts], pa.large_string()),
            "bytes": pa.array([t if nulls else t or "" for t in texts], pa.large_string()).cast(pa.large_binary()),
            "numbers": pa.array([n if nulls else n or [] for n in numbers], pa.large_list(pa.uint64())),
            "small": pa.array([[i & 255 for i in n or []] for n in numbers], pa.large_list(pa.uint8())),
            "short": pa.array(texts, pa.string()),
            "whole": pa.array([b"x" * 16] * len(rows), pa.binary(16)),
        }
        tables.append(pa.table(columns).slice(data.draw(st.integers(0, len(rows) - 1))))
    table = pa.concat_tables(tables)
    some = st.lists(st.integers(0, table.num_rows - 1), max_size=50)
    at = np.array(data.draw(some), np.int64)
    for least in (0, module._LONG):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_LONG", least)
            found = gathered(table, at)
        found.validate(full=True)
        assert found.equals(table.take(pa.array(at)))


def test_lists_with_nulls_inside() -> None:
    """What the kernel does not know is left to Arrow."""
    table = pa.table({"numbers": pa.array([[1, None] * 50, [2] * 100], pa.large_list(pa.int64()))})
    assert gathered(table, np.array([1, 0, 1])).equals(table.take([1, 0, 1]))
