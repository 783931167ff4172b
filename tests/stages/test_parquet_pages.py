"""Values that are too long are taken out of Parquet's pages before Arrow decodes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading_cases import everything, texts

from curate.errors import InputError
from curate.stages.parquet_pages import _Compact, _page, _Source, shortened
from curate.stages.read_parquet import ReadParquet

MOST = 1000
LONG = {30: 1001, 31: 20_000, 32: 20_000, 171: 1001, 280: 5000, 299: 5000}
"""Rows with long values, and their bytes."""
DICTIONARY = pa.dictionary(pa.int32(), pa.string())
KINDS = (pa.string(), pa.large_binary(), pa.string_view(), DICTIONARY)


def values() -> list[bytes | None]:
    """Short and long ones, nulls, one of MOST bytes; one that is short and two that are long are no UTF-8."""
    rng = np.random.default_rng(7)
    found = [bytes(rng.integers(97, 123, LONG.get(n, n % 60), np.uint8)) for n in range(300)]
    found[40], found[41] = b"m" * MOST, found[31]
    return [None if n % 17 == 0 else (b"\xff" + v[1:] if n in (5, 32, 299) else v) for n, v in enumerate(found)]


def written(path: Path, column: pa.Array, **how: object) -> None:
    """A file of three row groups."""
    schema = pa.schema([pa.field("text", column.type, nullable=column.null_count > 0), ("n", pa.int64())])
    table = pa.table([column, pa.array(range(len(column)))], schema=schema)
    pq.write_table(table, path, row_group_size=130, write_page_checksum=True, write_page_index=True, **how)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_whatever_the_pages_the_rows_are_the_same(tmp_path: Path, codec: str) -> None:
    """All kinds of columns, pages and versions: what is read and set aside is what the values say, and none of it is decoded."""
    path, n = tmp_path / "a.parquet", 0
    for kind in KINDS:
        wanted = [v for v in values() if kind == pa.large_binary() or v is None or not v.startswith(b"\xff")]
        for given in (wanted, [v for v in wanted if v is not None]):
            column = pa.array(given, pa.large_binary())
            if kind != pa.large_binary():
                column = column.cast(pa.string())
                column = column.dictionary_encode() if kind == DICTIONARY else column.cast(kind)
            expected = [v.decode() for v in given if v and len(v) <= MOST and not v.startswith(b"\xff")]
            too_large = [i for i, v in enumerate(given) if v and len(v) > MOST and not v.startswith(b"\xff")]
            for dictionary in (True, False):
                n += 1
                pages = {"data_page_version": ("1.0", "2.0")[n % 2], "data_page_size": (200, 1 << 20)[n // 2 % 2]}
                written(path, column, compression=codec, use_dictionary=dictionary, **pages)
                rows, asides = everything(ReadParquet(paths=["a.parquet"], max_document_bytes=MOST), tmp_path)
                assert texts(rows) == expected, (kind, pages)
                assert [int(re.sub(r".*@", "", a.origin)) for a in asides if a.reason == "too_large"] == too_large
                invalid = sum(a.reason == "invalid_utf8" for a in asides)
                assert invalid == sum(v is not None and v.startswith(b"\xff") for v in given)
                longest = [max(lengths(path, group)) for group in range(3)]
                assert max(longest) < MOST + 10 and min(longest) > MOST, (kind, pages)


def lengths(path: Path, group: int) -> list[int]:
    """Bytes of the values that Arrow decodes of a row group."""
    parquet = pq.ParquetFile(path)
    optional = parquet.schema.column(0).max_definition_level > 0
    chunk = parquet.metadata.row_group(group).column(0)
    with path.open("rb") as file:
        held = [shortened(file, chunk, optional=optional, most=MOST, hold=hold) for hold in (False, True)]
        tables = [
            pq.ParquetFile(pa.PythonFile(laid), metadata=parquet.metadata, buffer_size=4096).read_row_group(group)
            for laid in held
            if laid is not None
        ]
    assert len(tables) == 2 and tables[0].equals(tables[1])
    column = tables[0].column("text").combine_chunks()
    column = column.dictionary if pa.types.is_dictionary(column.type) else column
    return [len(v) for v in column.cast(pa.large_binary()).to_pylist() if v is not None]


def test_what_is_left_to_arrow(tmp_path: Path) -> None:
    """Chunks without a long value, pages of deltas, bytes that are no page: there is no other file, and the rows are Arrow's."""
    path = tmp_path / "a.parquet"
    long = [v.decode() if v and not v.startswith(b"\xff") else "x" for v in values()]
    for column, how in (
        (pa.array(["word " * 100] * 300), {}),
        (pa.array(long), {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}),
        (pa.array(long), {"use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}}),
    ):
        written(path, column, **how)
        chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
        with path.open("rb") as file:
            assert shortened(file, chunk, optional=False, most=MOST, hold=False) is None
            held = shortened(file, chunk, optional=False, most=MOST, hold=True)
        assert held is not None
        rows, asides = everything(ReadParquet(paths=["a.parquet"], max_document_bytes=MOST), tmp_path)
        assert texts(rows) == [t for t in column.to_pylist() if len(t) <= MOST]
        assert [a.reason for a in asides] == ["too_large"] * (300 - len(rows))
    data = bytearray(path.read_bytes())
    for junk in (b"\xff" * 64, b"\x15\x00\x15\xfe\xff\xff\xff\x0f" * 8, b"\x18\xff\xff\xff\x7f" * 12):
        data[chunk.data_page_offset : chunk.data_page_offset + len(junk)] = junk
        path.write_bytes(data)
        with path.open("rb") as file:
            assert shortened(file, chunk, optional=False, most=MOST, hold=False) is None


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_a_page_that_is_shorter_than_it_says(tmp_path: Path, codec: str) -> None:
    """What a decompressor leaves of its room is what was in memory before: that becomes no text, Arrow says what is wrong."""
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(3)
    column = pa.array([bytes(rng.integers(0, 256, size, np.uint8)) for size in (5000, 900)], pa.binary())
    written(path, column, compression=codec, use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        assert shortened(file, chunk, optional=False, most=MOST, hold=False) is not None
        source = _Source(file, chunk, hold=False)
        page = _page(source, source.start)
        stored = bytes(source.read(page.body, page.stop))
    packed = None if codec == "none" else pa.Codec("lz4_raw" if codec == "lz4" else codec)
    body = stored if packed is None else packed.decompress(stored, page.size, asbytes=True)
    less = body[:-800] if packed is None else packed.compress(body[:-800], asbytes=True)
    new = page.resized(page.size, len(less)) + less
    data[page.begin : page.begin + len(new)] = new
    path.write_bytes(data)
    with path.open("rb") as file:
        assert shortened(file, chunk, optional=False, most=MOST, hold=False) is None
    with pytest.raises(InputError, match="damaged Parquet file"):
        everything(ReadParquet(paths=["a.parquet"], max_document_bytes=MOST), tmp_path)


def test_a_header_of_very_many_fields() -> None:
    """It is none: 16 MB of them would be gigabytes of Python's objects."""
    with pytest.raises(ValueError, match="too many fields"):
        _Compact(b"\x11" * 300).struct()
    with pytest.raises(ValueError, match="too many fields"):
        _Compact(b"\x1c\x00" * 300).struct()


@pytest.mark.parametrize(("start", "size"), [(-4, 100), (4, -1), (4, 1 << 50), (1 << 40, 8)])
def test_a_chunk_that_does_not_lie_in_its_file(tmp_path: Path, start: int, size: int) -> None:
    """Nothing is read of it, nor room made for it."""

    class Chunk:
        data_page_offset, total_compressed_size, num_values = start, size, 1
        dictionary_page_offset, has_dictionary_page, compression = None, False, "SNAPPY"

    (tmp_path / "a").write_bytes(b"PAR1" + bytes(200))
    with (tmp_path / "a").open("rb") as file:
        for hold in (False, True):
            assert shortened(file, Chunk(), optional=False, most=MOST, hold=hold) is None
