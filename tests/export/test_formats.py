"""Each format, byte by byte, read back by a slow reader of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import readers
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from written import Document, Made, documents, rows_of, texts, trained_on, write_documents, write_texts, write_tokens

from curate.errors import DamagedError, RecipeError
from curate.export.export import FORMATS, Exported, export
from curate.export.nanotron import metric
from curate.export.ragged import cut_by_size
from curate.store.dataset import open_dataset
from curate.store.files import Store


def exported(made: Made, to: str, out: Path, size: int | None = 3000, columns: list[str] | None = None) -> Exported:
    """A dataset in another format."""
    return export(open_dataset(Store(made.folder)), to, out, columns, size)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Packed sequences."""
    return write_tokens(tmp_path_factory.mktemp("t") / "dataset", documents(80, masked=True))


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Encoded documents, some of them not trained on in full; one is longer than any shard."""
    docs = [*documents(60, masked=True), Document("f" * 32, "notes", [7] * 5000 + [0], None, 0, "notes")]
    return write_documents(tmp_path_factory.mktemp("d") / "documents", docs, shards=3)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Encoded documents with ids of 32 bits."""
    docs = documents(30, vocab=100_000)
    return write_documents(tmp_path_factory.mktemp("w") / "documents", docs, dtype="uint32", vocab=100_000)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Texts with other columns and nulls."""
    return write_texts(tmp_path_factory.mktemp("x") / "pages", *texts(40))


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a format without nulls and truth values gives it back."""
    empty: dict[str, Any] = {"meta": "", "value.score": float("nan")}
    return {k: empty.get(k) if v is None else int(v) if isinstance(v, bool) else v for k, v in row.items()}


def test_megatron_has_every_document_whole_and_in_order(encoded: Made, tmp_path: Path) -> None:
    """Several .bin files, cut between documents; the one that is larger than a file has one of its own."""
    with pytest.raises(RecipeError, match="no place for what is not trained on"):
        exported(encoded, "megatron", tmp_path / "refused")
    found = exported(encoded, "megatron", tmp_path / "out", columns=["input_ids"])
    assert readers.megatron(tmp_path / "out") == [d.ids for d in encoded.documents]
    assert found.rows == len(encoded.documents) and found.tokens == sum(len(d.ids) for d in encoded.documents)
    sizes = [(tmp_path / "out" / f["name"]).stat().st_size for f in found.files]
    assert len(sizes) > 2 and [s for s in sizes if s > 3000] == [5001 * 2]


def test_columns_that_a_format_of_ids_has_no_place_for_are_refused(encoded: Made, tmp_path: Path) -> None:
    """Not left out without a word."""
    for to in ("megatron", "nanotron", "litdata"):
        with pytest.raises(RecipeError, match=f"{to} has no place for column 'id'"):
            exported(encoded, to, tmp_path / to, columns=["input_ids", "id"])
        assert not (tmp_path / to).exists()


def test_ids_of_a_large_vocabulary_are_int32_in_megatron_and_uint32_elsewhere(wide: Made, tmp_path: Path) -> None:
    """Megatron has no uint32; the others do."""
    exported(wide, "megatron", tmp_path / "m")
    assert readers.megatron(tmp_path / "m") == [d.ids for d in wide.documents]
    assert next((tmp_path / "m").glob("*.idx")).read_bytes()[17] == 4
    exported(wide, "nanotron", tmp_path / "n")
    assert [ids for ids, _ in readers.nanotron(tmp_path / "n")] == [d.ids for d in wide.documents]
    exported(wide, "litdata", tmp_path / "l")
    assert readers.litdata(tmp_path / "l") == [d.ids for d in wide.documents]


def test_nanotron_says_where_documents_end_and_what_is_not_trained_on(encoded: Made, tmp_path: Path) -> None:
    """A byte for each token in .loss, next to .index and .metadata."""
    exported(encoded, "nanotron", tmp_path / "out")
    assert readers.nanotron(tmp_path / "out") == [(d.ids, list(map(int, trained_on(d)))) for d in encoded.documents]
    exported(encoded, "nanotron", tmp_path / "bare", columns=["input_ids"])
    assert readers.nanotron(tmp_path / "bare") == [(d.ids, None) for d in encoded.documents]


def test_litdata_and_mds_have_every_column_of_packed_sequences(tokens: Made, tmp_path: Path) -> None:
    """Ids, positions, masks, segments of each sequence; or just the columns that were asked for."""
    rows = rows_of(tokens.folder)
    for to, read in (("litdata", readers.litdata), ("mds", readers.mds)):
        found = exported(tokens, to, tmp_path / to)
        assert read(tmp_path / to) == rows and len(found.files) > 3
        exported(tokens, to, tmp_path / f"{to}-ids", columns=["input_ids"])
        assert read(tmp_path / f"{to}-ids") == [{"input_ids": row["input_ids"]} for row in rows]


def test_mds_takes_documents_with_their_ids_and_sources(encoded: Made, tmp_path: Path) -> None:
    """Lists of any length, and of documents without runs an empty one."""
    exported(encoded, "mds", tmp_path / "out")
    expected = [{**row, "trained": row["trained"] or []} for row in rows_of(encoded.folder)]
    assert readers.mds(tmp_path / "out") == expected


def test_texts_come_back_from_every_format_that_takes_them(pages: Made, tmp_path: Path) -> None:
    """With all columns; a null is one where the format has nulls, else empty or NaN."""
    rows = rows_of(pages.folder)
    for to in ("mds", "litdata"):
        exported(pages, to, tmp_path / to)
        found = getattr(readers, to)(tmp_path / to)
        if to == "litdata":
            found = [{**row, "tags": json.loads(row["tags"])} for row in found]
        for row, wanted in zip(found, rows, strict=True):
            assert all(readers.same(row[k], v) for k, v in plain(wanted).items()), row
    exported(pages, "jsonl", tmp_path / "jsonl")
    lines = b"".join(
        zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()
        for path in sorted((tmp_path / "jsonl").glob("*.jsonl.zst"))
    )
    again = [json.loads(line) for line in lines.splitlines()]
    assert [{**r, "value.score": None} for r in again] == [{**r, "value.score": None} for r in rows]


def test_parquet_has_the_same_table_in_files_that_the_hub_knows(tokens: Made, pages: Made, tmp_path: Path) -> None:
    """Names with how many there are; types of Arrow kept; ``datasets`` reads it."""
    import datasets

    for made in (tokens, pages):
        out = tmp_path / made.folder.name
        found = exported(made, "parquet", out)
        names = [f["name"] for f in found.files]
        assert names == sorted(p.name for p in out.glob("*.parquet"))
        assert names[1] == f"train-00001-of-{len(names):05d}.parquet"
        table = pa.concat_tables(pq.read_table(out / name) for name in names)
        assert table.to_pylist() == rows_of(made.folder)
        assert table.schema == open_dataset(Store(made.folder)).schema()
    loaded = datasets.Dataset.from_parquet(
        [str(p) for p in sorted((tmp_path / "dataset").glob("*.parquet"))], cache_dir=str(tmp_path / "cache")
    )
    assert loaded.to_list() == rows_of(tokens.folder)


def test_a_format_refuses_rows_that_it_can_not_hold(tokens: Made, pages: Made, encoded: Made, tmp_path: Path) -> None:
    """One line with a cure; nothing is left behind."""
    for made, to, cure in (
        (tokens, "megatron", "write.encoded"),
        (tokens, "nanotron", "write.encoded"),
        (pages, "megatron", "write.encoded"),
        (tokens, "jsonl", "write.text"),
    ):
        with pytest.raises(RecipeError, match=cure):
            exported(made, to, tmp_path / "out")
    with pytest.raises(RecipeError, match="did you mean 'megatron'"):
        exported(encoded, "megatro", tmp_path / "out")
    with pytest.raises(RecipeError, match="no column 'inputs'"):
        exported(tokens, "mds", tmp_path / "out", columns=["inputs"])
    (tmp_path / "there").mkdir()
    with pytest.raises(RecipeError, match="there already"):
        exported(tokens, "mds", tmp_path / "there")
    schema = pa.schema([("text", pa.string()), ("n", pa.int64())])
    nulls = write_texts(tmp_path / "nulls", [{"text": "a", "n": None}, {"text": "b", "n": 1}], schema)
    with pytest.raises(RecipeError, match="--columns"):
        exported(nulls, "mds", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nulls", "there"]


def test_an_export_says_what_it_is_and_brings_tokenizer_and_origin(encoded: Made, tmp_path: Path) -> None:
    """Digests of all files in export.json; the tokenizer in a folder of its own."""
    import shutil

    folder = tmp_path / "documents"
    shutil.copytree(encoded.folder, folder)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "provenance.json").write_text('{"manifest": 1, "dataset": "d", "steps": []}')
    exported(Made(folder, []), "nanotron", tmp_path / "out")
    said = json.loads((tmp_path / "out/export.json").read_text())
    assert said["to"] == "nanotron" and said["vocab_size"] == 500 and said["end_of_text"] == 0
    names = {f["name"] for f in said["files"]}
    assert {"tokenizer/tokenizer.json", "provenance.json", "00000_shuffled.ds"} <= names
    for file in said["files"]:
        raw = (tmp_path / "out" / file["name"]).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == file["sha256"] and len(raw) == file["size"]
    assert not (tmp_path / "out/tokenizer/shards.json").exists()


def test_a_damaged_shard_is_not_exported(encoded: Made, tmp_path: Path) -> None:
    """The digest is checked before anything is read, and the folder does not appear."""
    import shutil

    folder = tmp_path / "documents"
    shutil.copytree(encoded.folder, folder)
    shard = sorted(folder.glob("*.arrow"))[1]
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(DamagedError, match="SHA-256"):
        exported(Made(folder, []), "mds", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["documents"]


def test_a_killed_export_never_looks_finished(encoded: Made, tmp_path: Path) -> None:
    """Until the last file is on the disk there is only a hidden folder beside the place; the same command goes through."""
    code = (
        "import os, sys; from curate.export import export as e; from curate.store import disk; from curate.store.dataset import open_dataset;"
        "from curate.store.files import Store; disk.sync_folder = lambda _: os.kill(os.getpid(), 9);"
        "from pathlib import Path; e.export(open_dataset(Store(Path(sys.argv[1]))), 'mds', Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(encoded.folder), str(tmp_path / "out")]
    done = subprocess.run(command, check=False)
    assert done.returncode == -9
    assert [p.name.startswith(".out-") for p in tmp_path.iterdir()] == [True]
    exported(encoded, "mds", tmp_path / "out")
    assert readers.mds(tmp_path / "out")


GOLDEN = {
    "tokens-parquet": "",
    "tokens-litdata": "f241ab0ab818c8b8",
    "tokens-mds": "d3c3eeccb627a187",
    "documents-megatron": "19350d1190e6ddab",
    "documents-nanotron": "7f0bd17afa0c70a3",
    "documents-litdata": "ec08214615ccb5e1",
    "pages-mds": "40318ccc9ab93399",
    "pages-litdata": "ea01c3d1cd766d1d",
    "pages-jsonl": "",
}


def test_the_same_dataset_gives_the_same_bytes(tokens: Made, encoded: Made, pages: Made, tmp_path: Path) -> None:
    """Known digests of all files of each format, so that a change of bytes is noticed. Parquet's and zstd's depend on their
    libraries' versions and are compared with a second export only."""
    for name, digest in GOLDEN.items():
        of, _, to = name.partition("-")
        made = {"tokens": tokens, "documents": encoded, "pages": pages}[of]
        found = []
        for again in ("a", "b"):
            columns = ["input_ids"] if of == "documents" and to != "nanotron" else None
            exported(made, to, tmp_path / f"{name}-{again}", columns=columns)
            files = sorted(p for p in (tmp_path / f"{name}-{again}").rglob("*") if p.is_file())
            found.append(hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()[:16])
        assert found[0] == found[1]
        if to not in ("parquet", "jsonl"):
            assert found[0] == digest, name


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 100), st.integers(1, 7))
def test_cuts_by_size_do_not_depend_on_batches(sizes: list[int], most: int, per: int) -> None:
    """A shard takes rows as long as they fit: as a loop over rows does it, in whatever batches they come."""
    import numpy as np

    shards: list[list[int]] = []
    for size in sizes:
        if not shards or (sum(shards[-1]) and sum(shards[-1]) + size > most):
            shards.append([])
        shards[-1].append(size)
    found: list[list[int]] = []
    for start in range(0, len(sizes), per):
        batch = np.array(sizes[start : start + per], np.int64)
        for part, fresh in cut_by_size(batch, sum(found[-1]) if found else 0, most):
            if fresh or not found:
                found.append([])
            found[-1] += batch[part].tolist()
    assert found == shards


def test_numbers_of_tokens_are_shown_as_datatrove_shows_them() -> None:
    """Three digits and a prefix; rounded before the prefix is chosen."""
    shown = {0: "0.00 T", 7: "7.00 T", 999: "999 T", 1000: "1.00 kT", 12_345: "12.3 kT", 999_999: "1.00 MT"}
    shown |= {1_234_567_890: "1.23 GT", 50_000_000_000: "50.0 GT"}
    assert {n: metric(n) for n in shown} == shown
    assert set(FORMATS) == {
        "parquet",
        "jsonl",
        "chat",
        "chat-last",
        "dpo",
        "dpo-strings",
        "megatron",
        "nanotron",
        "litdata",
        "mds",
    }
