"""Exports opened by their own readers, and bytes compared with what their own writers write; ``make exports`` has these."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_formats import exported
from written import Made, documents, rows_of, texts, trained_on, write_documents, write_texts, write_tokens

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / "runs/peers/exports"
pytestmark = pytest.mark.skipif(
    not (PEER / "ready").exists(), reason="the readers' own packages (torch among them) are not here: make exports"
)


def peer(act: str, to: str, folder: Path, *more: object, rows: Any = None) -> Any:
    """What the peer's environment says."""
    command = [PEER / "bin/python", ROOT / "tests/peers/export_peer.py", act, to, folder, *map(str, more)]
    done = subprocess.run(command, input=json.dumps(rows), capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout[done.stdout.index("[") :]) if act == "read" else None


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Encoded documents, some masked."""
    return write_documents(tmp_path_factory.mktemp("d") / "documents", documents(60, masked=True))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Packed sequences."""
    return write_tokens(tmp_path_factory.mktemp("t") / "dataset", documents(60))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Ids of 32 bits."""
    docs = documents(30, vocab=100_000)
    return write_documents(tmp_path_factory.mktemp("w") / "documents", docs, dtype="uint32", vocab=100_000)


def same_files(ours: Path, theirs: Path) -> None:
    """Every file of theirs is ours, byte for byte."""
    names = sorted(p.name for p in theirs.iterdir())
    assert names and [(ours / n).read_bytes() == (theirs / n).read_bytes() for n in names] == [True] * len(names), names


def test_megatron_core_reads_every_document(encoded: Made, wide: Made, tmp_path: Path) -> None:
    """IndexedDataset gives all documents, of both widths; IndexedDatasetBuilder writes the same bytes."""
    for made, dtype in ((encoded, "uint16"), (wide, "int32")):
        out = tmp_path / dtype
        exported(made, "megatron", out, 1000, ["input_ids"])
        assert peer("read", "megatron", out) == [d.ids for d in made.documents]
        exported(made, "megatron", tmp_path / f"{dtype}-one", None, ["input_ids"])
        said = {"dtype": dtype, "rows": [d.ids for d in made.documents]}
        peer("write", "megatron", tmp_path / f"{dtype}-theirs", rows=said)
        same_files(tmp_path / f"{dtype}-one", tmp_path / f"{dtype}-theirs")


def test_datatrove_reads_windows_and_positions(encoded: Made, wide: Made, tmp_path: Path) -> None:
    """DatatroveFolderDataset, which nanotron trains from; TokenizedFile writes the same bytes, the mask too."""
    length = 24
    for made, size in ((encoded, 2), (wide, 4)):
        out = tmp_path / str(size)
        exported(made, "nanotron", out, None)
        stream = [i for d in made.documents for i in d.ids]
        places = [p for d in made.documents for p in range(len(d.ids))]
        windows = range(0, len(stream) - length, length + 1)
        found = peer("read", "nanotron", out, length)
        assert [ids for ids, _ in found] == [stream[w : w + length + 1] for w in windows]
        for (_, positions), w in zip(found, windows, strict=True):
            # A window's first document counts from the window's beginning.
            wanted = places[w : w + length + 1]
            first = next((i for i, p in enumerate(wanted) if p == 0 and i), len(wanted))
            assert positions == [*range(first), *wanted[first:]]
        if made is encoded:
            rows = [[d.ids, list(map(int, trained_on(d)))] for d in made.documents]
            peer("write", "nanotron", tmp_path / "theirs", rows={"token_size": size, "rows": rows})
            same_files(out, tmp_path / "theirs")


def test_litdata_reads_items_and_blocks_of_tokens(encoded: Made, wide: Made, tokens: Made, tmp_path: Path) -> None:
    """StreamingDataset; of documents with TokensLoader blocks across them, cut at the end of each chunk."""
    rows = rows_of(tokens.folder)
    exported(tokens, "litdata", tmp_path / "items", 2000)
    assert peer("read", "litdata", tmp_path / "items") == rows
    for made in (encoded, wide):
        out = tmp_path / made.folder.parent.name
        found = exported(made, "litdata", out, 1500, ["input_ids"])
        stream = [i for d in made.documents for i in d.ids]
        blocks, start = [], 0
        for file in found.files:
            blocks += [stream[start + b : start + b + 16] for b in range(0, file["tokens"] - 15, 16)]
            start += file["tokens"]
        assert len(found.files) > 1 and peer("read", "litdata", out, 16) == blocks
    exported(tokens, "litdata", tmp_path / "one", None)
    dtypes = {"input_ids": "uint16", "position_ids": "int32", "loss_mask": "uint8", "segments": "int32"}
    peer("write", "litdata", tmp_path / "theirs", rows={"chunk_bytes": 1 << 26, "dtypes": dtypes, "rows": rows})
    ours, theirs = (json.loads((tmp_path / w / "index.json").read_text()) for w in ("one", "theirs"))
    assert {**theirs, "updated_at": "0"} == ours
    (tmp_path / "theirs/index.json").unlink()
    same_files(tmp_path / "one", tmp_path / "theirs")


def test_litdata_reads_texts(tmp_path: Path) -> None:
    """Text, numbers and arrays of each row."""
    made = write_texts(tmp_path / "pages", *texts(20))
    exported(made, "litdata", tmp_path / "out", columns=["id", "text", "rules.words", "sketch"])
    wanted = [{k: row[k] for k in ("id", "text", "rules.words", "sketch")} for row in rows_of(made.folder)]
    assert peer("read", "litdata", tmp_path / "out") == wanted


def test_mosaicml_streaming_reads_samples(tokens: Made, encoded: Made, tmp_path: Path) -> None:
    """StreamingDataset, which checks the digests; MDSWriter writes the same bytes, cut at the same places."""
    rows = rows_of(tokens.folder)
    exported(tokens, "mds", tmp_path / "tokens", 3000)
    assert peer("read", "mds", tmp_path / "tokens") == rows
    columns = {"input_ids": "ndarray:uint16:32", "position_ids": "ndarray:int32:32", "loss_mask": "ndarray:uint8:32"}
    columns["segments"] = "ndarray:int32"
    peer("write", "mds", tmp_path / "theirs", rows={"columns": columns, "size_limit": 3000, "rows": rows})
    same_files(tmp_path / "tokens", tmp_path / "theirs")
    exported(encoded, "mds", tmp_path / "documents", columns=["id", "input_ids", "epoch"])
    wanted = [{k: row[k] for k in ("id", "input_ids", "epoch")} for row in rows_of(encoded.folder)]
    assert peer("read", "mds", tmp_path / "documents") == wanted
    made = write_texts(tmp_path / "pages", *texts(20))
    exported(made, "mds", tmp_path / "texts", columns=["text", "labels.sure", "sketch", "tags"])
    wanted = [{k: row[k] for k in ("text", "labels.sure", "sketch", "tags")} for row in rows_of(made.folder)]
    assert peer("read", "mds", tmp_path / "texts") == wanted
