"""write.tokens against an obvious twin: one list of tokens, cut by slicing."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pytest
from exchange import documents

from curate.errors import RecipeError
from curate.run.exchange import sort_rows
from curate.stages.base import KEY, WEIGHT, Context
from curate.stages.hf_dataset import dataset_files
from curate.stages.tokenizer import load
from curate.stages.train_tokenizer import TrainTokenizer
from curate.stages.write_text import WriteText
from curate.stages.write_tokens import WriteTokens
from curate.store.tables import canonical_batch
from curate.text.batch import Batch

TEXTS = [f"def f{i}(x):\n    return x + {i}  # {'long ' * (i * 7 % 61)}\n" for i in range(300)] + [
    "a",
    "\u2581 <|endoftext|>",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small tokenizer."""
    out = tmp_path_factory.mktemp("tokenizer")
    rows = documents(TEXTS).combine_chunks().to_batches()[0]
    TrainTokenizer(vocab_size=400).train([Batch(rows)], out, Context("tokenizer", 1))
    return out


def shards_of(stage, folder, tmp_path, batch_rows):
    """Every shard, written from batches of some size, and what the twin expects."""
    context = Context("dataset", 7, {"tokenizer": folder})
    rows = sort_rows(stage.map(Batch(documents(TEXTS).combine_chunks().to_batches()[0]), context), stage.sort_by())
    total = sum(rows.column(WEIGHT).to_pylist())
    cuts = stage.layout(total)
    written = []
    for cut in cuts:
        before, pairs = 0, []
        for batch in rows.combine_chunks().to_batches(max_chunksize=batch_rows):
            weight = sum(batch.column(WEIGHT).to_pylist())
            if before < cut.stop and before + weight > cut.start:
                pairs.append((before, batch))
            before += weight
        path = tmp_path / stage.file_name(cut, len(cuts))
        facts = stage.write(cut, iter(pairs), path, None, context)
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        assert facts["rows"] == table.num_rows
        written.append(table)
    return written, rows, cuts


def twin(rows, length, padding, tail):
    """Sequences, positions and documents, one token at a time."""
    tokens, positions, owners = [], [], []
    for id_, ids in zip(rows.column("id").to_pylist(), rows.column("tokens").to_pylist(), strict=True):
        tokens += ids
        positions += range(len(ids))
        owners += [id_.hex()] * len(ids)
    sequences = []
    for start in range(0, len(tokens), length):
        ids, place, who = (
            tokens[start : start + length],
            positions[start : start + length],
            owners[start : start + length],
        )
        if len(ids) < length and tail == "drop":
            break
        fill = length - len(ids)
        mask = [1] * len(ids) + [0] * fill
        sequences.append((ids + [padding] * fill, place + [0] * fill, mask, list(dict.fromkeys(who))))
    return sequences


@pytest.mark.parametrize("tail", ["drop", "pad"])
@pytest.mark.parametrize("length", [2, 33, 2048])
def test_sequences_are_slices_of_one_stream(folder, tmp_path, length, tail):
    """Whatever the batches and shards, the sequences are those of the twin."""
    padding = load(folder).padding
    stage = WriteTokens(
        tokenizer="t",
        sequence=length,
        sequences_per_shard=70,
        tail=tail,
        position_ids=True,
        loss_mask=True,
        doc_ids=True,
    )
    bytes_seen = set()
    for batch_rows in (1, 17, 1000):
        written, rows, _ = shards_of(stage, folder, tmp_path, batch_rows)
        table = pa.concat_tables(written)
        expected = twin(rows, length, padding, tail)
        assert table.column("input_ids").to_pylist() == [s[0] for s in expected]
        assert table.column("position_ids").to_pylist() == [s[1] for s in expected]
        assert table.column("loss_mask").to_pylist() == [s[2] for s in expected]
        assert table.column("doc_ids").to_pylist() == [s[3] for s in expected]
        bytes_seen.add(b"".join(p.read_bytes() for p in sorted(tmp_path.glob("*.arrow"))))
    assert len(bytes_seen) == 1


def test_decoding_the_stream_gives_the_documents(folder, tmp_path):
    """Cut at the end-of-text token, the stream is the documents again, in the order of their keys."""
    tokenizer = load(folder)
    written, rows, _ = shards_of(WriteTokens(tokenizer="t", sequence=16, tail="pad"), folder, tmp_path, 50)
    stream = np.concatenate([np.array(s) for t in written for s in t.column("input_ids").to_pylist()])
    ends = np.flatnonzero(stream == tokenizer.end_of_text)
    texts = [tokenizer.decode(part[part != tokenizer.end_of_text]) for part in np.split(stream, ends)[:-1]]
    assert sorted(texts) == sorted(TEXTS)
    assert sorted(rows.column(KEY).to_pylist()) == rows.column(KEY).to_pylist()


def test_a_tokenizer_trained_anew_in_its_folder_is_read_anew(folder, tmp_path):
    """A worker that lives on reads what is there now; a model's file alone will do."""
    rows = Batch(documents(TEXTS).combine_chunks().to_batches()[0])
    stage = WriteTokens(tokenizer="t")
    counts = []
    for size in (300, 600):
        TrainTokenizer(vocab_size=size).train([rows], tmp_path / "t", Context("tokenizer", 1))
        counts.append(sum(stage.map(rows, Context("d", 7, {"tokenizer": tmp_path / "t"})).column(WEIGHT).to_pylist()))
    assert counts[1] < counts[0]
    files = stage.finish([], {}, Context("d", 7, {"tokenizer": folder / "tokenizer.model"}))
    assert files["tokenizer.model"] == (folder / "tokenizer.model").read_bytes()


def test_too_little_for_one_sequence(folder, tmp_path):
    """Fewer tokens than one sequence: an error with a cure, not an empty dataset."""
    with pytest.raises(RecipeError, match="do not fill one sequence"):
        shards_of(WriteTokens(tokenizer="t", sequence=1 << 20), folder, tmp_path, 50)


def test_datasets_opens_it_as_a_fixed_size_list(folder, tmp_path):
    """load_from_disk maps the files and sees lists of one length."""
    stage = WriteTokens(tokenizer="t", sequence=32)
    _, _, cuts = shards_of(stage, folder, tmp_path, 50)
    shards = [{"name": stage.file_name(c, len(cuts)), "sha256": str(c.index)} for c in cuts]
    for name, data in dataset_files(shards).items():
        (tmp_path / name).write_bytes(data)
    data = datasets.load_from_disk(str(tmp_path))
    assert data.features["input_ids"].length == 32
    assert len(data[0]["input_ids"]) == 32


def test_canonical_batches_have_equal_bytes():
    """Equal values from slices, from nulls over other values, from with and without bitmaps: equal bytes."""
    plain = pa.table({"n": pa.array([1, None, 3], pa.int32()), "s": pa.array(["a", "", "ccc"])})
    masked = pa.table(
        {
            "n": pa.array(np.array([9, 1, 77, 3], np.int32), mask=np.array([False, False, True, False])),
            "s": pa.concat_arrays([pa.array(["zz"]), pa.array(["a", ""]), pa.array([None, "ccc"]).slice(1)]),
        }
    ).slice(1)
    assert plain.equals(masked)
    sinks = []
    for table in (plain, masked):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as out:
            out.write_batch(canonical_batch(table))
        sinks.append(sink.getvalue().to_pybytes())
    assert sinks[0] == sinks[1]


def test_write_text_writes_just_the_columns_it_was_told(tmp_path):
    """Without `text` among them too; the batches of a shard do not depend on those that came in."""
    docs = documents(TEXTS * 4).combine_chunks().to_batches()[0]
    for name in ("_part", "_row"):
        docs = docs.append_column(name, pa.array(np.zeros(docs.num_rows, np.uint32)))
    stage, context, written = WriteText(columns=["id", "source"]), Context("out", 7), set()
    rows = sort_rows(stage.map(Batch(docs), context), stage.sort_by()).combine_chunks()
    (cut,) = stage.layout(rows.num_rows)
    for size in (7, 5000):
        batches = rows.to_batches(max_chunksize=size)
        facts = stage.write(
            cut, zip(range(0, rows.num_rows, size), batches, strict=True), tmp_path / "a", None, context
        )
        assert facts == {"rows": len(TEXTS) * 4, "bytes": 4 * sum(len(t.encode()) for t in TEXTS)}
        table = pa.ipc.open_stream(pa.memory_map(str(tmp_path / "a"))).read_all()
        assert table.column_names == ["id", "source"]
        assert table.column("id").to_pylist() == [i.hex() for i in rows.column("id").to_pylist()]
        written.add((tmp_path / "a").read_bytes())
    assert len(written) == 1


def test_write_text_shows_ids_as_hex(tmp_path):
    """Ids are readable, internal columns are gone, and each document is written once."""
    stage = WriteText(documents_per_shard=100)
    docs = documents(TEXTS).combine_chunks().to_batches()[0]
    for name in ("_part", "_row"):
        if name not in docs.schema.names:
            docs = docs.append_column(name, pa.array(np.zeros(docs.num_rows, np.uint32)))
    context = Context("out", 7)
    rows = sort_rows(stage.map(Batch(docs), context), stage.sort_by()).combine_chunks()
    cuts = stage.layout(rows.num_rows)
    seen = []
    for cut in cuts:
        path = tmp_path / stage.file_name(cut, len(cuts))
        stage.write(cut, iter([(0, rows.to_batches()[0])]), path, None, context)
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        assert {KEY, WEIGHT, "_part", "_row"}.isdisjoint(table.schema.names)
        seen += table.column("id").to_pylist()
    assert sorted(seen) == sorted(i.hex() for i in docs.column("id").to_pylist())
