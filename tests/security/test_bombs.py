"""Small files that claim to be large: memory stays bounded, what is too large is set aside or refused with one line."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.errors import InputError
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.read_jsonl import ReadJsonl
from curate.stages.source import SetAside

MIB = 1 << 20
READ = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.read_jsonl import ReadJsonl
from curate.stages.read_parquet import ReadParquet
kinds = {"arrow": ReadArrow, "parquet": ReadParquet}
for name in ("small.jsonl", "small.arrow", "small.parquet", *sys.argv[2:]):
    kind = kinds.get(name.partition(".")[2], ReadJsonl)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stage = kind(paths=[name], max_document_bytes=1 << 20)
    rows, reasons = 0, {}
    for split in stage.splits(Path(sys.argv[1]), Catalog(), 64 << 20):
        for found in stage.read(split, "s"):
            if isinstance(found, pa.RecordBatch):
                rows += found.num_rows
            else:
                reasons[found.reason] = reasons.get(found.reason, 0) + 1
    print(name, rows, reasons, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, sep="|")
"""


def write_arrow(path: Path, text: pa.Array) -> None:
    """An Arrow file of one compressed batch."""
    table = pa.table({"text": text})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as out:
        out.write_table(table)


def test_what_unpacks_to_much_is_never_held(tmp_path: Path) -> None:
    """200 MB of zeros in gz and zst, 60 rows of one text of 4 MB in a kilobyte of Arrow, and of Parquet, where also 400 rows have
    one that is kept: read in less than 120 MB more."""
    (tmp_path / "small.jsonl").write_text('{"text": "a"}\n')
    write_arrow(tmp_path / "small.arrow", pa.array(["a"], pa.large_string()))
    good = b'{"text": "kept"}\n'
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = [packer.compress(good), *(packer.compress(bytes(MIB)) for _ in range(200))]
    (tmp_path / "zeros.jsonl.gz").write_bytes(b"".join([*packed, packer.compress(b"\n" + good), packer.flush()]))
    squeezer = zstandard.ZstdCompressor().compressobj()
    packed = [squeezer.compress(good), *(squeezer.compress(bytes(MIB)) for _ in range(200))]
    (tmp_path / "zeros.jsonl.zst").write_bytes(b"".join([*packed, squeezer.compress(b"\n" + good), squeezer.flush()]))
    entries = pa.array(["x" * 4 * MIB, "kept"], pa.large_string())
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 60 + [1], pa.int32()), entries)
    write_arrow(tmp_path / "entries.arrow", rows)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "small.parquet")
    # Without the schema of Arrow it is read as plain strings, each row with its own copy.
    how = {"compression": "zstd", "store_schema": False}
    pq.write_table(pa.table({"text": rows}), tmp_path / "entries.parquet", **how)
    half = pa.array(["x" * (MIB // 2)], pa.large_string())
    many = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), half)
    pq.write_table(pa.table({"text": many}), tmp_path / "many.parquet", **how)
    names = ("zeros.jsonl.gz", "zeros.jsonl.zst", "entries.arrow", "entries.parquet", "many.parquet")
    assert all((tmp_path / name).stat().st_size < 400_000 for name in names)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), *names], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    found = {name: rest for name, *rest in (line.split("|") for line in done.stdout.splitlines())}
    assert found["zeros.jsonl.gz"][:2] == found["zeros.jsonl.zst"][:2] == ["2", "{'too_large': 1}"]
    assert found["entries.arrow"][:2] == found["entries.parquet"][:2] == ["1", "{'too_large': 60}"]
    assert found["many.parquet"][:2] == ["400", "{}"]
    assert {name: int(found[name][2]) for name in names if int(found[name][2]) > 120} == {}


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"text": "t", "a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"text": "t", "a": ' + "[" * 300 + "]" * 300 + "}",
        '{"text": "t", "a": ' + "9" * 100_000 + "}",
    ],
)
def test_json_that_is_nested_without_end_is_malformed(tmp_path: Path, line: str) -> None:
    """That row alone: no recursion ends the process, no number takes its time."""
    (tmp_path / "in.jsonl").write_text(f'{{"text": "before"}}\n{line}\n{{"text": "after"}}\n')
    stage = ReadJsonl(paths=["in.jsonl"])
    [split] = stage.splits(tmp_path, Catalog(), MIB)
    asides, texts = [], []
    for found in stage.read(split, "s"):
        if isinstance(found, SetAside):
            asides.append(found.reason)
        else:
            texts += found.column("text").to_pylist()
    assert [t for t in texts if t != "t"] == ["before", "after"]
    assert asides in (["malformed"], ["no_text"], [])
    assert len(asides) + texts.count("t") == 1


def test_a_buffer_that_claims_the_memory_of_the_machine(tmp_path: Path) -> None:
    """A compressed buffer says how long it becomes: 2^50 bytes are one line, not an allocation."""
    write_arrow(tmp_path / "in.arrow", pa.array(["some text " * 500] * 3, pa.large_string()))
    data = (tmp_path / "in.arrow").read_bytes()
    claimed = (15_000).to_bytes(8, "little")
    assert data.count(claimed) >= 1
    (tmp_path / "in.arrow").write_bytes(data.replace(claimed, (1 << 50).to_bytes(8, "little")))
    stage = ReadArrow(paths=["in.arrow"])
    with pytest.raises(InputError) as caught:
        for split in stage.splits(tmp_path, Catalog(), MIB):
            list(stage.read(split, "s"))
    assert "\n" not in str(caught.value)
