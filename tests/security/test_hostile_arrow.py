"""Arrow files whose buffers lie: one line, and never a read outside of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.reading_checked import check_batch

LIST = pa.list_(pa.string())


def lying(kind: pa.DataType, offsets: list[int], data: bytes = b"", children: list[pa.Array] | None = None) -> pa.Array:
    """An array with these offsets, whatever they point at."""
    wide = kind in (pa.large_string(), pa.large_binary())
    buffer = pa.py_buffer(np.array(offsets, np.int64 if wide else np.int32).tobytes())
    buffers = [None, buffer] if children else [None, buffer, pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers, children=children)


def batch(column: pa.Array) -> pa.RecordBatch:
    """One column beside a good one."""
    return pa.RecordBatch.from_arrays([column, pa.array(["t"] * len(column), pa.large_string())], names=["x", "text"])


LATIN = lying(pa.string(), [0, 1, 3], b"a\xff\xfe")
"""Two texts, one of which is no UTF-8: Arrow's check goes no further."""
OUTSIDE = lying(pa.string(), [0, 10**8, 2], b"ab")
BAD = {
    "a gap": lying(pa.large_string(), [0, 10**9, 3], b"abc"),
    "backwards": lying(pa.large_string(), [0, 2, 1, 3], b"\xff\xff\xff"),
    "bytes": lying(pa.large_binary(), [0, 10**9, 3], b"abc"),
    "a list": lying(LIST, [0, 10**8, 2], children=[pa.array(["a", "b"])]),
    "a list of what is no UTF-8": lying(LIST, [0, 10**8, 2], children=[LATIN]),
    "inside of a list": lying(LIST, [0, 1, 2], children=[OUTSIDE]),
    "beside what is no UTF-8": pa.StructArray.from_arrays([LATIN, OUTSIDE], names=["a", "b"]),
    "a dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 77], pa.int32()), pa.array(["a", "b"]), safe=False),
    "a dictionary of what is no UTF-8": pa.DictionaryArray.from_arrays(
        pa.array([0, -7], pa.int32()), LATIN, safe=False
    ),
}
GOOD = {
    "no UTF-8": LATIN,
    "in a list": lying(LIST, [0, 1, 2], children=[LATIN]),
    "in a struct": pa.StructArray.from_arrays([LATIN, pa.array([1, None])], names=["a", "b"]),
    "in a dictionary": pa.DictionaryArray.from_arrays(pa.array([1, None], pa.int32()), LATIN),
    "in a map": pa.MapArray.from_arrays(pa.array([0, 1, 2], pa.int32()), LATIN, pa.array([1, 2])),
    "a view": pa.array(["short", "longer than twelve bytes"], pa.string_view()),
    "nothing": pa.nulls(2),
}


@pytest.mark.parametrize("name", BAD)
def test_what_points_outside_is_refused(name: str) -> None:
    """Wherever the lie stands, also behind text at which Arrow's own check stops; the message names the column."""
    with pytest.raises(pa.ArrowInvalid, match="column 'x'"):
        check_batch(batch(BAD[name]))


@pytest.mark.parametrize("name", GOOD)
def test_what_is_no_utf8_is_not(name: str) -> None:
    """Rows with such text are set aside one by one, later."""
    check_batch(batch(GOOD[name]))


@given(st.lists(st.integers(-3, 12), min_size=2, max_size=6), st.binary(min_size=9, max_size=9))
def test_offsets_are_good_exactly_when_they_rise_within_the_data(offsets: list[int], data: bytes) -> None:
    """Against the rule itself, whatever the bytes."""
    good = offsets[0] >= 0 and offsets == sorted(offsets) and offsets[-1] <= 9
    try:
        check_batch(pa.RecordBatch.from_arrays([lying(pa.string(), offsets, data)], names=["x"]))
        said = True
    except pa.ArrowInvalid:
        said = False
    assert said == good


def write_ipc(path: Path, table: pa.RecordBatch) -> None:
    """An Arrow file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_batch(table)


def test_a_file_that_lies_is_one_line(tmp_path: Path) -> None:
    """read.arrow on a written file whose middle offset was changed."""
    text = "first text", "second text", "third text"
    write_ipc(tmp_path / "a.arrow", pa.RecordBatch.from_arrays([pa.array(text, pa.large_string())], names=["text"]))
    data = (tmp_path / "a.arrow").read_bytes()
    offsets = np.array([0, 10, 21, 31], np.int64).tobytes()
    assert data.count(offsets) == 1
    (tmp_path / "a.arrow").write_bytes(data.replace(offsets, np.array([0, 10**12, 21, 31], np.int64).tobytes()))
    stage = ReadArrow(paths=["a.arrow"])
    [split] = stage.splits(tmp_path, Catalog(), 1 << 20)
    with pytest.raises(InputError, match=r"column 'text': .*offset"):
        list(stage.read(split, "s"))


FUZZ = """
import sys, random
from pathlib import Path
import pyarrow as pa
from curate.errors import InputError
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.read_chats import ReadChats
from curate.stages.read_parquet import ReadParquet
folder = Path(sys.argv[1])
draw = random.Random(20)
refused = read = 0
kinds = [("a.arrow", ReadArrow), ("b.arrow", ReadArrow), ("a.parquet", ReadParquet)]
kinds.append(("a.parquet", lambda paths: ReadParquet(paths=paths, max_document_bytes=23)))  # opens pages by itself
kinds.append(("c.parquet", ReadChats))
for name, kind in kinds:
    good = (folder / name).read_bytes()
    path = folder / f"m-{name}"
    for _ in range(int(sys.argv[2])):
        data = bytearray(good)
        for _ in range(draw.choice((1, 1, 2, 8))):
            at = draw.randrange(len(data))
            data[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        if draw.random() < 0.1:
            del data[draw.randrange(len(data)):]
        path.write_bytes(data)
        stage = kind(paths=[path.name])
        try:
            for split in stage.splits(folder, Catalog(), 1 << 20):
                for found in stage.read(split, "s"):
                    if isinstance(found, pa.RecordBatch):
                        found.validate(full=True)
            read += 1
        except InputError as error:
            assert "\\n" not in str(error)
            refused += 1
print(refused, read)
"""


def test_damage_anywhere_is_one_line_or_nothing(tmp_path: Path) -> None:
    """Seeded mutations of files: every one is read as valid rows, or refused with an InputError; the process lives."""
    words = [f"text number {n} of a file" for n in range(50)]
    table = pa.table(
        {
            "text": pa.array(words, pa.large_string()),
            "id": pa.array([f"i{n}" for n in range(50)]),
            "tags": pa.array([["a", str(n)] for n in range(50)]),
            "kind": pa.array(["x", "y"] * 25).dictionary_encode(),
        }
    )
    write_ipc(tmp_path / "a.arrow", table.to_batches()[0])
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema, options=options) as out,
    ):
        out.write_table(table)
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "a.parquet")
    said = [[{"role": role, "content": word} for role in ("user", "assistant")] for word in words]
    pq.write_table(pa.table({"conversation": said, "model": ["m"] * 50}), tmp_path / "c.parquet")
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path), "150"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr[-2000:]}"
    refused, read = map(int, done.stdout.split())
    assert refused > 50 and read > 50
