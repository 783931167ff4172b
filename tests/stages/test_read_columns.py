"""read.parquet and read.arrow: columns become documents, row groups and record batches become splits."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading_cases import everything, texts

from curate.errors import InputError
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.read_parquet import ReadParquet
from curate.stages.source import SetAside


def write(path, table, form, rows=1000):
    if form == "parquet":
        pq.write_table(table, path, row_group_size=rows)
        return
    make = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    options = pa.ipc.IpcWriteOptions(compression="zstd" if form == "file" else None)
    with make(str(path), table.schema, options=options) as out:
        out.write_table(table, max_chunksize=rows)


def stage_of(form, name, **settings):
    return (ReadParquet if form == "parquet" else ReadArrow)(paths=[name], **settings)


def name_of(form):
    return "a.parquet" if form == "parquet" else "a.arrow"


FORMS = pytest.mark.parametrize("form", ["parquet", "file", "stream"])


@FORMS
@pytest.mark.parametrize("split_bytes", [1, 3000, 1 << 30])
def test_any_grouping_gives_the_same_rows(tmp_path, form, split_bytes):
    """Splits of any size give the same rows; positions are ordinals in the file."""
    table = pa.table({"text": [f"row {n} " + "x" * (n % 90) for n in range(500)], "n": range(500)})
    write(tmp_path / name_of(form), table, form, rows=37)
    stage = stage_of(form, name_of(form))
    rows, asides = everything(stage, tmp_path, split_bytes)
    assert texts(rows) == table.column("text").to_pylist() and not asides
    assert [r["origin"] for r in rows] == [f"{name_of(form)}#@{n}" for n in range(500)]
    assert [json.loads(r["meta"])["n"] for r in rows] == list(range(500))
    splits = stage.splits(tmp_path, Catalog(), 1)
    assert len(splits) == (1 if form == "stream" else 14) and len({s.digest for s in splits}) == len(splits)


@FORMS
@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_every_kind_of_text_column(tmp_path, form, kind):
    """Texts may be strings or bytes of any width, and dictionary-encoded; ids too."""
    values = ["a", "bb", None, "a", "Grüße"]
    plain = pa.array(values, pa.string())
    column = plain.dictionary_encode() if pa.types.is_dictionary(kind) else plain.cast(kind)
    table = pa.table({"text": column, "id": pa.array(list("vwxyz")).cast(pa.large_string()), "source": column})
    write(tmp_path / name_of(form), table, form)
    rows, asides = everything(stage_of(form, name_of(form)), tmp_path)
    assert texts(rows) == ["a", "bb", "a", "Grüße"] and [r["source"] for r in rows] == texts(rows)
    assert [(a.origin, a.reason) for a in asides] == [(f"{name_of(form)}#x", "no_text")]


@FORMS
def test_bad_rows_are_set_aside(tmp_path, form):
    """Bytes that are no UTF-8, in any column that is used, blank, large and repeated rows are set aside alone."""
    bad = b"\xff\xfe"
    table = pa.table(
        {
            "text": pa.array([b"good", bad, b"id", b"source", b"meta", b"  ", b"x" * 50, b"again"], pa.binary()),
            "id": pa.array([b"1", b"2", bad, b"4", b"5", b"6", b"7", b"1"], pa.binary()).view(pa.string()),
            "source": pa.array([b"s", b"s", b"s", bad, b"s", b"s", b"s", b"s"], pa.binary()).view(pa.string()),
            "m": pa.array([b"m", b"m", b"m", b"m", bad, b"m", b"m", b"m"], pa.binary()).view(pa.string()),
        }
    )
    write(tmp_path / name_of(form), table, form)
    rows, asides = everything(stage_of(form, name_of(form), max_document_bytes=49), tmp_path)
    assert texts(rows) == ["good", "again"]
    expected = ["invalid_utf8"] * 4 + ["no_text", "too_large"]
    assert [a.reason for a in asides] == expected
    assert [a.detail.rsplit("(")[-1] for a in asides] == [f"row {n})" for n in range(1, 7)]
    rows, asides = everything(stage_of(form, name_of(form), keep=[]), tmp_path)
    assert texts(rows) == ["good", "meta", "x" * 50, "again"] and rows[0]["meta"] == "{}"


@FORMS
def test_meta_of_every_type(tmp_path, form):
    """What JSON lacks is written in its documented form."""
    row = {
        "text": "x",
        "id": 1.5,
        "nan": float("nan"),
        "bytes": b"\xff",
        "utf8": b"abc",
        "huge": Decimal(10**29 + 1),
        "when": dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "day": dt.date(2024, 1, 2),
        "long": dt.timedelta(seconds=90),
        "nested": {"b": [{"z": 1, "a": b"q"}, None], "a": True},
    }
    write(tmp_path / name_of(form), pa.Table.from_pylist([row]), form)
    (found,), _ = everything(stage_of(form, name_of(form)), tmp_path)
    assert found["origin"].endswith("#@0")
    meta = json.loads(found["meta"])
    assert list(meta) == sorted(meta)
    assert meta == {
        "id": 1.5,
        "nan": None,
        "bytes": "base64:/w==",
        "utf8": "abc",
        "huge": "100000000000000000000000000001",
        "when": "2024-01-02T03:04:05+00:00",
        "day": "2024-01-02",
        "long": 90.0,
        "nested": {"a": True, "b": [{"a": "q", "z": 1}, None]},
    }


@FORMS
def test_columns_are_checked_before_anything_is_read(tmp_path, form):
    """A missing column names the nearest; a column of numbers is no text; ids and kept fields are checked too."""
    write(tmp_path / name_of(form), pa.table({"texts": ["a"], "n": [1]}), form)
    for settings, says in (
        ({}, "no column 'text'.*did you mean 'texts'"),
        ({"text": "n"}, "'n' holds int64, not text; columns of text: texts"),
        ({"text": "texts", "id": "key"}, "no column 'key' .setting id."),
        ({"text": "texts", "keep": ["m"]}, "no column 'm' .setting keep."),
    ):
        with pytest.raises(InputError, match=says) as caught:
            stage_of(form, name_of(form), **settings).splits(tmp_path, Catalog(), 100)
        assert name_of(form) in caught.value.place
    assert len(everything(stage_of(form, name_of(form), text="texts"), tmp_path)[0]) == 1


@FORMS
def test_files_that_are_not_what_they_say(tmp_path, form):
    """Empty, foreign, cut short and damaged files are errors with a place and a cure."""
    name = name_of(form)
    path = tmp_path / name
    stage = stage_of(form, name)
    write(path, pa.table({"text": ["some text"] * 2000}), form)
    good = path.read_bytes()
    for content, says in (
        (b"", "the file is empty"),
        (b"PK\x03\x04" + good, "the content is zip"),
        (b'{"text": 1}', "the content is not"),
        (good[: len(good) // 2], "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=says) as caught:
            everything(stage, tmp_path)
        assert name in caught.value.place and caught.value.cure


@FORMS
def test_no_rows_is_no_error(tmp_path, form):
    """A file with a schema and no rows gives no documents."""
    write(tmp_path / name_of(form), pa.table({"text": pa.array([], pa.string())}), form)
    assert everything(stage_of(form, name_of(form)), tmp_path) == ([], [])


@FORMS
def test_batches_stay_small(tmp_path, form):
    """Batches have at most 4,096 rows and about 8 MB of text, also where rows differ in size."""
    table = pa.table({"text": ["x"] * 9000 + ["y" * 3_000_000] * 7})
    write(tmp_path / name_of(form), table, form, rows=20_000)
    stage = stage_of(form, name_of(form))
    sizes = [
        (b.num_rows, b.column("text").nbytes)
        for split in stage.splits(tmp_path, Catalog(), 1 << 30)
        for b in stage.read(split, "s")
        if not isinstance(b, SetAside)
    ]
    assert sum(n for n, _ in sizes) == 9007 and max(n for n, _ in sizes) <= 4096
    assert max(size for _, size in sizes) < 12_000_000


def test_columns_that_are_not_needed_are_not_read(tmp_path):
    """With ``keep`` a column whose pages are damaged does no harm when it is not kept."""
    table = pa.table({"text": ["a" * 50] * 50, "junk": ["b" * 50] * 50})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    raw = bytearray(path.read_bytes())
    raw[chunk.data_page_offset : chunk.data_page_offset + 16] = b"\xff" * 16
    path.write_bytes(raw)
    rows, _ = everything(ReadParquet(paths=["a.parquet"], keep=[]), tmp_path)
    assert len(rows) == 50
    with pytest.raises(InputError, match="damaged Parquet"):
        everything(ReadParquet(paths=["a.parquet"]), tmp_path)


@FORMS
def test_documents_that_were_written_keep_what_their_meta_says(tmp_path, form):
    """What write.text wrote is read with the terms and makers of each document, its old id and source beside them; other tables
    with a column `meta` keep it as a field."""
    metas = ['{"license":"MIT"}', '{"made_from":["aa"],"terms":"CC-BY-4.0"}', '{"document":"of a judge"}', "no JSON"]
    columns = {
        "id": ["01", "02", "03", "04"],
        "text": ["one", "two", "three", "four"],
        "source": ["a"] * 4,
        "origin": ["x#1"] * 4,
        "meta": metas,
        "content_hash": ["ff"] * 4,
        "scored.score": [0.5] * 4,
    }
    write(tmp_path / name_of(form), pa.table(columns), form)
    rows, _ = everything(stage_of(form, name_of(form), source="earlier"), tmp_path)
    found = [json.loads(row["meta"]) for row in rows]
    more = {"scored.score": 0.5, "source": "a"}
    assert found[0] == {"license": "MIT", "document": "01", **more}
    assert found[1] == {"made_from": ["aa"], "terms": "CC-BY-4.0", "document": "02", **more}
    assert found[2] == {"document": "of a judge", **more}
    assert found[3] == {"meta": "no JSON", **more}
    assert rows[0]["origin"].endswith("#01") and rows[0]["source"] == "earlier"
    beside = {"pair.rejected": ["no"] * 4, "pair.terms": ["OpenAI terms", None, "CC0-1.0", ""]}
    write(tmp_path / name_of(form), pa.table({**columns, **beside}), form)
    rows, _ = everything(stage_of(form, name_of(form)), tmp_path)
    # A pair's rejected answer lies in meta now: its terms hold, too.
    terms = [json.loads(row["meta"]).get("terms") for row in rows[:3]]
    assert terms == ["MIT AND OpenAI terms", "CC-BY-4.0", "CC0-1.0 AND unstated"]
    write(tmp_path / name_of(form), pa.table({k: v for k, v in columns.items() if k != "origin"}), form)
    rows, _ = everything(stage_of(form, name_of(form)), tmp_path)
    assert json.loads(rows[0]["meta"])["meta"] == metas[0]


@FORMS
def test_terms_of_records_that_state_none(tmp_path, form):
    """One for all, or those that a field names, a list's together; what a record states stays, and no terms are none."""
    table = pa.table(
        {
            "text": ["a", "b", "c", "d"],
            "licence": ["MIT", None, None, None],
            "all": [["X"], ["Apache-2.0", "MIT", "MIT"], [], ["ISC"]],
        }
    )
    write(tmp_path / name_of(form), table, form)

    def terms(license):  # noqa: A002 - the setting is called so
        rows, _ = everything(stage_of(form, name_of(form), license=license), tmp_path)
        metas = [json.loads(row["meta"]) for row in rows]
        assert metas[0]["licence"] == "MIT" and "license" not in metas[0]
        return [meta.get("license") for meta in metas[1:]]

    assert terms("CC0-1.0") == ["CC0-1.0"] * 3
    assert terms("meta.all") == ["Apache-2.0 AND MIT", None, "ISC"]
    assert terms("meta.nothing") == terms(None) == [None] * 3
