"""Seals: any change of a stored file is noticed before its content is used, and costs nearly nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import DamagedError
from curate.store.files import Store, encode_json
from curate.store.sealed import open_json, seal_json
from curate.store.tables import open_table, read_batches, read_table, table_writer

SCHEMA = pa.schema({"text": pa.string(), "n": pa.int64()})
BATCHES = [
    pa.RecordBatch.from_pydict({"text": [f"word {i} " * (i % 7) for i in range(n)], "n": list(range(n))}, schema=SCHEMA)
    for n in (1, 300, 0, 40)
]


def write(path: Path, batches: list[pa.RecordBatch] = BATCHES) -> Path:
    """A sealed table."""
    with table_writer(path, batches[0].schema) as out:
        for batch in batches:
            out.write(batch)
    return path


def damaged(path: Path, batches: list[pa.RecordBatch] = BATCHES) -> bool:
    """Whether reading everything says that the file is damaged, mapped or not; fails when it gives other rows."""
    said = {_damaged(path, batches, mapped) for mapped in (True, False)}
    assert len(said) == 1
    return said.pop()


def _damaged(path: Path, batches: list[pa.RecordBatch], mapped: bool) -> bool:
    try:
        with open_table(path, mapped=mapped) as table:
            table.check()
            found = [table.get_batch(number) for number in range(table.num_record_batches)]
    except DamagedError as error:
        assert error.place == str(path)
        return True
    assert [b.to_pydict() for b in found] == [b.to_pydict() for b in batches]
    return False


def test_any_bit(tmp_path: Path) -> None:
    """Any bit of a small table, flipped, is noticed: of batches, footer, seal and its magic; some of each byte."""
    small = [batch[:9] for batch in BATCHES]
    path = write(tmp_path / "t.arrow", small)
    whole = path.read_bytes()
    assert not damaged(path, small)
    with path.open("r+b") as file:
        for bit in range(0, len(whole) * 8, 3):
            # In place: a file that is truncated and written anew is flushed by some file systems when it is closed.
            os.pwrite(file.fileno(), bytes([whole[bit // 8] ^ 1 << bit % 8]), bit // 8)
            assert damaged(path, small), f"bit {bit} of {len(whole) * 8}"
            os.pwrite(file.fileno(), whole[bit // 8 : bit // 8 + 1], bit // 8)
    assert not damaged(path, small)


@given(st.integers(0, 1 << 30), st.integers(1, 2000), st.sampled_from(["zeros", "cut", "gone", "more"]))
def test_any_stretch(tmp_path_factory: pytest.TempPathFactory, at: int, size: int, how: str) -> None:
    """A stretch of zeros, a truncation, a stretch that is missing or added: noticed, or without any effect."""
    path = write(tmp_path_factory.mktemp("s") / "t.arrow")
    whole = path.read_bytes()
    at %= len(whole)
    after = whole[at + size :]
    broken = {
        "zeros": whole[:at] + bytes(len(whole[at : at + size])) + after,
        "cut": whole[:at],
        "gone": whole[:at] + after,
        "more": whole[:at] + bytes(size) + whole[at:],
    }[how]
    path.write_bytes(broken)
    assert damaged(path) == (broken != whole)


def test_swapped(tmp_path: Path) -> None:
    """A sound file in the place of another one is noticed."""
    one, two = write(tmp_path / "one.arrow"), write(tmp_path / "two.arrow")
    one.replace(tmp_path / "x")
    two.replace(one)
    (tmp_path / "x").replace(two)
    for path in (one, two):
        with pytest.raises(DamagedError, match=r"it holds what was written as (one|two)\.arrow"):
            read_table(path)


def test_batches_are_checked_one_by_one(tmp_path: Path) -> None:
    """A reader that wants one batch reads no other: what is damaged there does not bear on it."""
    path = write(tmp_path / "t.arrow")
    with open_table(path) as table:
        begins = [0, *table._seal.ends]  # type: ignore[union-attr]
    broken = bytearray(path.read_bytes())
    broken[begins[1] + 100] ^= 4
    path.write_bytes(broken)
    with open_table(path) as table:
        assert table.num_record_batches == 4
        assert table.get_batch(0).equals(BATCHES[0])
        assert table.get_batch(3).equals(BATCHES[3])
        with pytest.raises(DamagedError, match=r"t\.arrow: batch 1 can't be read \(its checksum differs\)"):
            table.get_batch(1)
    with pytest.raises(DamagedError):
        read_table(path)


def test_columns_alone(tmp_path: Path) -> None:
    """Reports read single columns, and those that a table lacks are left out."""
    path = write(tmp_path / "t.arrow")
    for mapped in (True, False):
        with open_table(path, ["n", "none"], mapped=mapped) as table:
            assert table.schema.names == ["n"]
            assert table.get_batch(1).to_pydict() == {"n": list(range(300))}


def test_shapes(tmp_path: Path) -> None:
    """No batch at all, a column of dictionaries, a very wide table: all come back as they were written."""
    empty = tmp_path / "empty.arrow"
    with table_writer(empty, BATCHES[0].schema):
        pass
    assert list(read_batches(empty)) == []
    assert read_table(empty).schema == BATCHES[0].schema
    codes = [pa.RecordBatch.from_pydict({"d": pa.DictionaryArray.from_arrays(v, ["a", "b"])}) for v in ([0, 1], [1, 0])]
    coded = write(tmp_path / "codes.arrow", codes)
    assert read_table(coded).column("d").to_pylist() == ["a", "b", "b", "a"]
    wide = [pa.RecordBatch.from_pydict({f"column-{i}": [i] for i in range(3000)})] * 2
    assert list(read_batches(write(tmp_path / "wide.arrow", wide))) == wide


def test_files_without_seal(tmp_path: Path) -> None:
    """A sound Arrow file that no store has written is none of a store's."""
    path = tmp_path / "other.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, BATCHES[0].schema) as out:
        for batch in BATCHES:
            out.write_batch(batch)
    assert damaged(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda k: k not in ("checksum", "value")), inner),
)


@given(JSON, st.integers(0, 1 << 30), st.integers(1, 255))
def test_json(value: object, at: int, change: int) -> None:
    """A sealed JSON file is JSON, gives its value for its key, and for no other key or byte."""
    data = seal_json("a/b.json", encode_json(value))
    assert len(json.loads(data)["checksum"]) == 16
    assert open_json("a/b.json", data) == value
    with pytest.raises(ValueError, match="checksum differs"):
        open_json("a/b.json", encode_json(value))
    with pytest.raises(ValueError, match="checksum differs"):
        open_json("a/c.json", data)
    broken = bytearray(data)
    broken[at % len(data)] ^= change
    with pytest.raises(ValueError, match=r".*"):
        assert open_json("a/b.json", bytes(broken)) is NotImplemented, "another value was believed"


def test_swapped_receipts(tmp_path: Path) -> None:
    """A receipt that lies where another one belongs is damaged, however sound it is."""
    store = Store(tmp_path)
    store.put_if_absent("r/1.json", {"rows": 1})
    store.put_if_absent("r/2.json", [{"rows": 2}])
    assert store.read_json("r/2.json") == [{"rows": 2}]
    store.path("r/2.json").replace(store.path("r/1.json"))
    with pytest.raises(DamagedError, match=r"1\.json: is not what was written"):
        store.read_json("r/1.json")
    # So is one that was never a receipt, as the card of a model is.
    store.path("r/1.json").write_text('{"rows": 1}')
    with pytest.raises(DamagedError, match=r"1\.json: is not what was written"):
        store.read_json("r/1.json")


def test_values_survive(tmp_path: Path) -> None:
    """Extremes of every type that stages add."""
    batch = pa.RecordBatch.from_pydict(
        {
            "f": pa.array([np.nan, np.inf, None, -0.0], pa.float64()),
            "b": pa.array([True, None, False, True]),
            "s": pa.array(["", None, "\0", "é" * 1000], pa.large_string()),
            "id": pa.array([bytes(16), None, b"\xff" * 16, bytes(16)], pa.binary(16)),
            "l": pa.array([[1], [], None, [2, None]], pa.list_(pa.int8())),
        }
    )
    (back,) = read_batches(write(tmp_path / "v.arrow", [batch]))
    assert str(back.to_pydict()) == str(batch.to_pydict())
