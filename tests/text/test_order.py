"""Numbers in ascending order by a kernel, and rows by it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.run import exchange
from curate.stages.base import KEY, PART, ROW
from curate.text.order import nearly_sorted

NUMBERS = st.one_of(st.integers(0, 5), st.integers(2**63, 2**63 + 2**40), st.integers(0, 2**64 - 1))


def places(keys: npt.NDArray[np.uint64]) -> None:
    """What is not marked lies where a sort would put it, what is marked among those that it may not be told from."""
    order, tied = nearly_sorted(keys)
    right = np.argsort(keys, kind="stable")
    assert (keys[order][~tied] == keys[right][~tied]).all()
    assert (np.sort(order) == np.arange(len(keys))).all()
    order[tied] = np.sort(order[tied])[np.argsort(keys[np.sort(order[tied])], kind="stable")]
    assert order.tolist() == right.tolist()


@given(st.lists(NUMBERS, max_size=60))
@settings(max_examples=60)
def test_nearly_sorted(numbers: list[int]) -> None:
    """Any numbers."""
    places(np.array(numbers, np.uint64))


@pytest.mark.parametrize("most", [0, 1, 1000, 2**33, 2**64 - 1])
def test_many(most: int) -> None:
    """Many numbers, in every range."""
    places(np.random.default_rng(2).integers(0, most, 20_000, dtype=np.uint64, endpoint=True))


@pytest.mark.parametrize("most", [3, 9000, 2**64 - 1])
@pytest.mark.parametrize("by", [(), ("rank",), ("name", "rank")])
def test_sort_rows(most: int, by: tuple[str, ...]) -> None:
    """Rows are in the order of all columns that say it, and rows alike in them as they came."""
    rng, n = np.random.default_rng(3), exchange.MANY + 7
    names = pa.array(rng.choice(["a", "b", ""], n), mask=rng.random(n) < 0.1)
    columns = {
        "number": np.arange(n),
        "name": names,
        "rank": rng.integers(0, 3, n),
        KEY: rng.integers(0, most, n, np.uint64),
    }
    for more in ({}, {PART: rng.integers(0, 2, n).astype(np.uint32), ROW: rng.integers(0, 2, n).astype(np.uint32)}):
        rows = pa.table({**columns, **more})
        rows = pa.concat_tables([rows.slice(0, 1000), rows.slice(1000)])
        keys = [(name, "ascending") for name in (KEY, *by, *more)]
        assert exchange.sort_rows(rows, by).equals(rows.take(pc.sort_indices(rows, sort_keys=keys)))


@pytest.mark.parametrize("most", [0, 3, 300, 2**64 - 1])
@pytest.mark.parametrize("length", [1, 400])
def test_sorted_slices(most: int, length: int) -> None:
    """The same rows in the same order, about so many bytes at a time; none parts the rows of a KEY or keeps memory of others."""
    rng, n = np.random.default_rng(4), 5000
    text = pa.array(["x" * int(size) for size in rng.integers(0, 2 * length, n)], pa.large_string())
    rows = pa.table({"text": text, "rank": rng.permutation(n), KEY: rng.integers(0, most, n, np.uint64, endpoint=True)})
    rows = pa.concat_tables([rows.slice(0, 1000), rows.slice(1000)])
    size = rows.nbytes // 7
    slices = list(exchange.sorted_slices(rows, ("rank",), size))
    assert pa.concat_tables(slices).equals(exchange.sort_rows(rows, ("rank",)))
    firsts = [s.column(KEY)[0].as_py() for s in slices]
    assert all(s.column(KEY)[-1].as_py() < first for s, first in zip(slices, firsts[1:], strict=False))
    assert len(slices) in ({0: (1,), 3: (4,)}.get(most, (7, 8)))
    if most > 3:
        assert all(s.get_total_buffer_size() < 2 * size for s in slices)
