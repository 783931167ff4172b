"""Every kind of damage to a written dataset is found, named with its file and row, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import EOT, PAD, Made, documents, resealed, texts, write_documents, write_texts, write_tokens

from curate.report.checks import Checks
from curate.report.verify_dataset import verify
from curate.store.dataset import open_dataset
from curate.store.files import Store

SIZE = 32


def checked(folder: Path) -> Checks:
    """All checks of a dataset that lies alone."""
    return verify(open_dataset(Store(folder)), None, lambda _: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Packed sequences in three shards, all documents trained on in full."""
    return write_tokens(tmp_path_factory.mktemp("v") / "dataset", documents(90), SIZE, shards=3)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Encoded documents."""
    return write_documents(tmp_path_factory.mktemp("v") / "documents", documents(40, masked=True))


@pytest.fixture
def copied(whole: Made, tmp_path: Path) -> Path:
    """A copy of the packed sequences, to damage, which says of itself that it is no chat."""
    for end in ("", ".sequences"):
        shutil.copytree(f"{whole.folder}{end}", tmp_path / f"dataset{end}")
    return not_chat(tmp_path / "dataset")


def not_chat(folder: Path) -> Path:
    """The folder, with an encoder in its provenance that trains on everything."""
    steps = [{"id": "tokens", "use": "encode.tokens", "settings": {}, "shards": []}]
    (folder / "provenance.json").write_text(json.dumps({"manifest": 1, "dataset": "dataset", "steps": steps}))
    return folder


def shard(folder: Path, number: int) -> Path:
    """A shard's path."""
    return sorted(folder.glob("*.arrow"))[number]


def change(path: Path, column: str, how: Callable[[np.ndarray], None]) -> None:
    """Change the values of a column of lists in a shard, and let shards.json say what the file now is."""
    with pa.ipc.open_stream(path.read_bytes()) as reader:
        table = reader.read_all().combine_chunks()
    rows = table.column(column).chunk(0)
    values = rows.flatten().to_numpy(zero_copy_only=False).copy()
    how(values.reshape(len(rows), -1) if pa.types.is_fixed_size_list(rows.type) else values)
    if pa.types.is_fixed_size_list(rows.type):
        changed = pa.FixedSizeListArray.from_arrays(pa.array(values), rows.type.list_size)
    else:
        changed = pa.ListArray.from_arrays(rows.offsets, pa.array(values))
    table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), changed)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table, max_chunksize=64)
    resealed(path.parent)


def change_side(folder: Path, number: int, how: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change rows of the side table."""
    path = sorted(Path(f"{folder}.sequences").glob("*.parquet"))[number]
    table = pq.read_table(path)
    rows = table.to_pylist()
    how(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def said(folder: Path, how: Callable[[dict[str, Any]], None]) -> None:
    """Change shards.json."""
    value = json.loads((folder / "shards.json").read_text())
    how(value)
    (folder / "shards.json").write_text(json.dumps(value))


def found(folder: Path) -> list[tuple[str, str, int]]:
    """Check, file and row of every problem."""
    return [(p.check, Path(p.file).name, p.row) for p in checked(folder).problems]


def test_sound_datasets_have_nothing_wrong(whole: Made, encoded: Made, tmp_path: Path) -> None:
    """All kinds, of both widths, with and without chats, with a tail that is padded or dropped."""
    assert checked(whole.folder).problems == []
    assert checked(encoded.folder).problems == []
    for name, tail, masked, dtype in (
        ("a", "drop", True, "uint16"),
        ("b", "drop", False, "uint32"),
        ("c", "pad", True, "uint16"),
    ):
        vocab = 500 if dtype == "uint16" else 70_000
        docs = documents(50, 3, vocab=vocab, masked=masked)
        made = write_tokens(tmp_path / name, docs, 40, 2, dtype, vocab, tail=tail)
        assert checked(made.folder).problems == []
    pages = write_texts(tmp_path / "pages", *texts(20))
    assert checked(pages.folder).problems == [] and "digests" in checked(pages.folder).notes[0]
    looked = checked(whole.folder).looked
    tokens = sum(len(pieces) for pieces in whole.sequences)
    assert looked["side table"] == (tokens, "pieces") and looked["ids"] == (len(whole.sequences) * SIZE, "tokens")


def test_files_that_are_gone_changed_or_too_many(copied: Path) -> None:
    """By size and digest; a stranger's shard would be read, too."""
    raw = bytearray(shard(copied, 1).read_bytes())
    raw[-30] ^= 4
    shard(copied, 1).write_bytes(raw)
    assert found(copied)[0] == ("files", "data-00001-of-00003.arrow", -1)
    shutil.copy(shard(copied, 0), copied / "data-00003-of-00003.arrow")
    assert ("files", "data-00003-of-00003.arrow", -1) in found(copied)
    shard(copied, 1).write_bytes(raw[:1000])
    causes = [str(p) for p in checked(copied).problems]
    assert any("has 1,000 bytes instead of" in c for c in causes)
    shard(copied, 0).unlink()
    assert ("files", "data-00000-of-00003.arrow", -1) in found(copied)


def test_a_shard_that_is_no_arrow(copied: Path) -> None:
    """It is named, and the others are looked at."""
    shard(copied, 2).write_bytes(b"nothing")
    resealed(copied)
    assert ("files", "data-00002-of-00003.arrow", -1) in found(copied)
    assert checked(copied).looked["counts"][0] > 0


def test_what_datasets_reads_must_agree(copied: Path) -> None:
    """state.json names the shards in order and their content; dataset_info.json their columns."""
    state = json.loads((copied / "state.json").read_text())
    state["_data_files"].reverse()
    (copied / "state.json").write_text(json.dumps(state))
    assert found(copied) == [("state.json", "state.json", -1)]
    state["_fingerprint"] = "0" * 16
    (copied / "state.json").write_text(json.dumps(state))
    assert len(found(copied)) == 2
    (copied / "state.json").unlink()
    (copied / "dataset_info.json").write_text("[")
    assert found(copied) == [("state.json", "state.json", -1), ("dataset_info.json", "dataset_info.json", -1)]
    info = {"features": {"input_ids": {"dtype": "int64", "_type": "Value"}}}
    (copied / "dataset_info.json").write_text(json.dumps(info))
    assert found(copied)[1] == ("dataset_info.json", "dataset_info.json", -1)


def test_columns_and_types(copied: Path, encoded: Made, tmp_path: Path) -> None:
    """Ids of another width, a length that differs, columns that shards.json does not name."""
    said(copied, lambda value: value.update(sequence=16))
    assert {name for name, _, _ in found(copied)} == {"schema"}
    said(copied, lambda value: value.update(sequence=SIZE, dtype="uint32"))
    assert "uint32" in str(checked(copied).problems[0])
    said(copied, lambda value: value.update(dtype="uint16", vocab_size=70_000))
    assert "vocabulary is 70,000" in str(checked(copied).problems[0])
    shutil.copytree(encoded.folder, tmp_path / "d")
    said(tmp_path / "d", lambda value: value["columns"].pop("epoch"))
    assert found(tmp_path / "d") == [("schema", "data-00000-of-00002.arrow", -1)]


def test_ids_outside_the_vocabulary(copied: Path, encoded: Made, tmp_path: Path) -> None:
    """With the row of the dataset, in either kind; of a row with many just the first."""
    first = json.loads((copied / "shards.json").read_text())["shards"][0]["rows"]

    def spoil(ids: np.ndarray) -> None:
        ids[3, 5:9] = 60_000

    change(shard(copied, 1), "input_ids", spoil)
    problems = checked(copied).problems
    assert [(p.check, p.row) for p in problems if p.check == "ids"] == [("ids", first + 3)]
    assert "token 5 has id 60,000, and the vocabulary is 500" in str(problems[0])
    shutil.copytree(encoded.folder, tmp_path / "d")
    longest = max(range(24), key=lambda i: len(encoded.documents[i].ids))
    at = sum(len(d.ids) for d in encoded.documents[:longest])
    change(shard(tmp_path / "d", 0), "input_ids", lambda ids: ids.__setitem__(at, 501))
    assert found(tmp_path / "d") == [("ids", "data-00000-of-00002.arrow", longest)]


def test_counts_of_rows_and_tokens(copied: Path, encoded: Made, tmp_path: Path) -> None:
    """Of each shard, and of the whole."""
    said(copied, lambda value: value["shards"][1].update(tokens=7))
    assert set(found(copied)) == {("counts", "data-00001-of-00003.arrow", -1), ("counts", "shards.json", -1)}
    said(copied, lambda value: value["shards"][1].update(rows=7))
    assert ("counts", "data-00001-of-00003.arrow", -1) in found(copied)
    shutil.copytree(encoded.folder, tmp_path / "d")
    said(tmp_path / "d", lambda value: value["shards"][0].update(tokens=7))
    assert ("counts", "data-00000-of-00002.arrow", -1) in found(tmp_path / "d")


def test_ends_of_documents_and_padding(copied: Path, whole: Made, encoded: Made, tmp_path: Path) -> None:
    """An end inside a document, a document without one, padding with something in it."""
    row, pieces = next((i, p) for i, p in enumerate(whole.sequences[:9]) if any(q.stop - q.start > 4 for q in p))
    piece = next(q for q in pieces if q.stop - q.start > 4)
    change(shard(copied, 0), "input_ids", lambda ids: ids.__setitem__((row, piece.at + 1), EOT))
    assert found(copied) == [("ends of documents", "data-00000-of-00003.arrow", row)]
    shutil.copy(shard(whole.folder, 0), shard(copied, 0))
    resealed(copied)
    last = len(whole.sequences) - 1
    change(shard(copied, 2), "input_ids", lambda ids: ids.__setitem__((-1, SIZE - 1), 9))
    assert found(copied) == [("padding", "data-00002-of-00003.arrow", last)]
    shutil.copy(shard(whole.folder, 2), shard(copied, 2))
    resealed(copied)
    row, end = next(
        (i, q.at + q.stop - q.start - 1)
        for i, p in enumerate(whole.sequences[:9])
        for q in p
        if q.document.ids[q.stop - 1] == EOT
    )
    change(shard(copied, 0), "input_ids", lambda ids: ids.__setitem__((row, end), 9))
    assert found(copied)[0][0] in ("ends of documents", "pieces meet") and found(copied)[0][2] == row
    shutil.copytree(encoded.folder, tmp_path / "d")
    change(shard(tmp_path / "d", 1), "input_ids", lambda ids: ids.__setitem__(-1, 9))
    assert found(tmp_path / "d") == [("ends of documents", "data-00001-of-00002.arrow", len(encoded.documents) - 1)]


def test_the_side_table_must_tile_every_sequence(copied: Path, whole: Made) -> None:
    """No gap, no overlap, no piece of another sequence, no sequence without any."""
    for how, row in (
        (lambda rows: rows[1].update(at=rows[1]["at"] + 1), None),
        (lambda rows: rows[0].update(length=0), 0),
        (lambda rows: rows[-1].update(length=SIZE + 1), None),
        (lambda rows: rows.pop(0), 0),
        (lambda rows: rows.reverse(), -1),
        (lambda rows: rows.append({**rows[-1], "sequence": 999}), -1),
    ):
        change_side(copied, 0, how)
        problems = [p for p in found(copied) if p[0] == "side table"]
        assert problems and (row is None or row in [p[2] for p in problems])
        source = min(Path(f"{whole.folder}.sequences").glob("*.parquet"))
        shutil.copy(source, Path(f"{copied}.sequences") / source.name)
    (Path(f"{copied}.sequences") / source.name).write_bytes(b"PAR1")
    assert ("side table", source.name, -1) in found(copied)
    shutil.rmtree(f"{copied}.sequences")
    assert found(copied) == [("side table", "dataset.sequences", -1)]


def test_pieces_of_a_document_must_meet(copied: Path, whole: Made) -> None:
    """A piece that is there twice, one that begins elsewhere, one whose rest is nowhere: the document is named."""
    sequence, piece = next((i, q) for i, p in enumerate(whole.sequences[:9]) for q in p if q.start > 0)

    def shift(rows: list[dict[str, Any]]) -> None:
        row = next(r for r in rows if r["sequence"] == sequence and r["at"] == piece.at)
        row["start"] += 1

    change_side(copied, 0, shift)
    problems = checked(copied).problems
    assert [(p.check, p.row) for p in problems] == [("pieces meet", sequence)]
    assert piece.document.id[:12] in problems[0].cause and f"its token {piece.start + 1:,}" in problems[0].cause

    def other(rows: list[dict[str, Any]]) -> None:
        row = next(r for r in rows if r["sequence"] == sequence and r["at"] == piece.at)
        row.update(start=piece.start, document="ab" * 16)

    change_side(copied, 0, other)
    assert {p.check for p in checked(copied).problems} == {"pieces meet"}


def test_positions_masks_and_segments(copied: Path, whole: Made) -> None:
    """Each must be what the pieces say: the first wrong token of a row is told."""
    for column, value in (("position_ids", 3000), ("loss_mask", 2)):
        change(shard(copied, 1), column, lambda rows, value=value: rows.__setitem__((2, 7), value))
    first = json.loads((copied / "shards.json").read_text())["shards"][0]["rows"]
    names = ["position_ids", "loss_mask"]
    assert found(copied) == [(n, "data-00001-of-00003.arrow", first + 2) for n in names]
    shutil.copy(shard(whole.folder, 1), shard(copied, 1))
    pieces = whole.sequences[first + 4]
    last = pieces[-1]
    change(shard(copied, 1), "loss_mask", lambda rows: rows.__setitem__((4, last.at), 1))
    problem = checked(copied).problems[0]
    assert "is the first of its document's piece" in problem.cause and problem.row == first + 4
    shutil.copy(shard(whole.folder, 1), shard(copied, 1))
    resealed(copied)
    long = next(i for i, p in enumerate(whole.sequences[first:]) if p[0].stop - p[0].start > 2)
    change(shard(copied, 1), "loss_mask", lambda rows: rows.__setitem__((long, 1), 0))
    assert "is no target" in checked(copied).problems[0].cause
    (copied / "provenance.json").unlink()
    assert found(copied) == []  # a chat may have it so
    change(shard(copied, 1), "segments", lambda values: values.__setitem__(0, values[0] + 1))
    assert found(copied) == [("segments", "data-00001-of-00003.arrow", first)]


def test_every_token_of_every_source_is_accounted_for(copied: Path, encoded: Made, tmp_path: Path) -> None:
    """In = out + dropped, by component, to the last token; padding, too."""

    def one_less(value: dict[str, Any]) -> None:
        value["sources"]["notes"]["tokens"] -= 1

    said(copied, one_less)
    problems = checked(copied).problems
    assert [p.check for p in problems] == ["reconciliation"] * 2 and "notes" in problems[0].cause
    said(copied, lambda value: value["sources"].pop("notes"))
    assert any("which is no component" in p.cause for p in checked(copied).problems)
    shutil.copytree(encoded.folder, tmp_path / "d")
    said(tmp_path / "d", lambda value: value["sources"]["lessons"].update(copies=3))
    assert found(tmp_path / "d") == [("reconciliation", "shards.json", -1)]
    change_side(copied, 1, lambda rows: [r.update(component="else") for r in rows[:1]])
    assert any("'else'" in p.cause for p in checked(copied).problems)


def test_runs_that_are_trained_on(encoded: Made, tmp_path: Path) -> None:
    """Runs longer than their document."""
    shutil.copytree(encoded.folder, tmp_path / "d")
    change(shard(tmp_path / "d", 0), "trained", lambda runs: runs.__setitem__(0, 10_000))
    assert [p[0] for p in found(tmp_path / "d")] == ["trained"]


def test_an_object_store_is_read_as_a_disk_is(whole: Made) -> None:
    """Shards and side table by ranges; damage is found there, too."""
    import fsspec

    files = fsspec.filesystem("memory")
    for end in ("", ".sequences"):
        for path in Path(f"{whole.folder}{end}").iterdir():
            files.pipe(f"/bucket/run/dataset{end}/{path.name}", path.read_bytes())
    dataset = open_dataset(Store("memory://bucket/run/dataset"))
    found = verify(dataset, None, lambda _: None)
    assert found.problems == [] and found.looked == checked(whole.folder).looked
    place = f"/bucket/run/dataset/{shard(whole.folder, 1).name}"
    files.pipe(place, files.cat(place)[:-9] + b"damaged!\n")
    assert {p.check for p in verify(dataset, None, lambda _: None).problems} == {"files"}


def test_of_many_problems_the_first_are_told(copied: Path) -> None:
    """And how many more there are."""
    change(shard(copied, 0), "input_ids", lambda ids: ids.__setitem__((slice(None), 0), 999))
    checks = checked(copied)
    assert len([p for p in checks.problems if p.check == "ids"]) == 5
    assert checks.untold() >= checks.of("ids") - 5 > 0
    assert PAD == 1
