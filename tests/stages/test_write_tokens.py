"""write.tokens and write.encoded against obvious twins: lists of tokens, one at a time; write.text."""

from __future__ import annotations

import itertools
import json

import datasets
import numpy as np
import pyarrow as pa
import pytest
from exchange import documents, written

from curate.errors import InputError, RecipeError
from curate.load import TokenDataset
from curate.run.exchange import sort_rows
from curate.stages.base import KEY, WEIGHT, Context
from curate.stages.encode_tokens import EncodeTokens
from curate.stages.tokenizer import lists, load
from curate.stages.train_tokenizer import TrainTokenizer
from curate.stages.write_encoded import WriteEncoded
from curate.stages.write_text import WriteText
from curate.stages.write_tokens import WriteTokens
from curate.store.tables import canonical_batch
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash

TEXTS = [f"def f{i}(x):\n    return x + {i}  # {'long ' * (i * 7 % 61)}\n" for i in range(300)] + [
    "a",
    "",
    "\u2581 <|endoftext|>",
]
SOURCES = ["web" if i % 3 else "code" for i in range(len(TEXTS))]
ALL = {"position_ids": True, "loss_mask": True, "segments": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small tokenizer."""
    out = tmp_path_factory.mktemp("tokenizer")
    rows = documents(TEXTS).combine_chunks().to_batches()[0]
    TrainTokenizer(vocab_size=400).train([Batch(rows)], out, Context("tokenizer", 1))
    return out


@pytest.fixture(scope="module")
def ctx(folder):
    """Of a writer."""
    return Context("dataset", 7, {"tokens": folder})


@pytest.fixture(scope="module")
def docs(folder):
    """Encoded documents of two sources; of two of them just the second half is trained on."""
    rows = documents(TEXTS, source=SOURCES)
    signals = EncodeTokens(tokenizer="t").measure(
        Batch(rows.combine_chunks().to_batches()[0]), Context("tokens", None, {"tokenizer": folder})
    )
    count = signals["count"].to_pylist()
    runs = [[n // 2, n - n // 2] if i in (5, 6) else None for i, n in enumerate(count)]
    for name, values in (signals | {"trained": pa.array(runs, pa.list_(pa.int32()))}).items():
        rows = rows.append_column(f"t.{name}", values)
    return rows


@pytest.fixture(scope="module")
def ids_of(docs, folder):
    """The tokens of each document with end-of-text, by hex id."""
    tokenizer = load(folder)
    encoded = [
        [*row.tolist(), tokenizer.end_of_text] for row in lists(tokenizer.encode(docs.column("text").combine_chunks()))
    ]
    return {i.hex(): ids for i, ids in zip(docs.column("id").to_pylist(), encoded, strict=True)}


def stage_of(**settings):
    """write.tokens of small sequences."""
    return WriteTokens(**{"tokens": "t", "sequence": 32, "sequences_per_shard": 70, "window": 50, **settings})


WAYS = [{"parts": 1, "batch_rows": 1000}, {"parts": 3, "partitions": 4, "seed": 5, "batch_rows": 17}]


@pytest.mark.parametrize(
    "settings", [{}, {"tail": "pad"}, {"pack": "best-fit"}, {"sequence": 256, "pack": "best-fit", "window": 7}]
)
def test_every_token_where_the_table_beside_says(docs, ctx, ids_of, tmp_path, settings):
    """The pieces tile every sequence but for padding at its end, hold the tokens they name, and name each token of each
    document once, but for those that are counted as dropped; whatever the batches, parts and partitions."""
    stage, padding = stage_of(**settings, **ALL), load(ctx.assets["tokens"]).padding
    every = [written(stage, docs, tmp_path / str(i), ctx, **way) for i, way in enumerate(WAYS)]
    assert every[0].bytes() == every[1].bytes()
    assert every[0].files == every[1].files
    out = every[0]
    rows, pieces = out.rows().to_pylist(), out.pieces()
    left = {name: len(ids) for name, ids in ids_of.items()}
    by_sequence = {n: list(some) for n, some in itertools.groupby(pieces, key=lambda p: p["sequence"])}
    assert list(by_sequence) == list(range(len(rows)))
    for number, row in enumerate(rows):
        at, expected, places, targets = 0, [], [], []
        for piece in by_sequence[number]:
            ids = ids_of[piece["document"]]
            assert piece["at"] == at and piece["cut"] == (piece["length"] < len(ids))
            mine = ids[piece["start"] : piece["start"] + piece["length"]]
            expected += mine
            places += range(len(mine))
            targets += [0] + [1] * (len(mine) - 1)
            left[piece["document"]] -= len(mine)
            at += piece["length"]
        gap = stage.sequence - at
        assert row["input_ids"] == expected + [padding] * gap
        assert row["position_ids"] == places + list(range(gap))
        assert row["segments"] == [p["length"] for p in by_sequence[number]] + [gap] * bool(gap)
        assert all(not made or wanted for made, wanted in zip(row["loss_mask"], targets + [0] * gap, strict=True))
    sources = out.report["sources"]
    assert sum(left.values()) == sum(s["dropped"] for s in sources.values())
    assert all(n >= 0 for n in left.values())
    if stage.pack == "best-fit":
        assert not any(left.values())
        assert not any(p["cut"] for p in pieces if len(ids_of[p["document"]]) <= stage.sequence)


def test_chat_is_trained_on_where_it_says(docs, ctx, ids_of, tmp_path):
    """Of two documents half is no target; of all others everything but first tokens of pieces is."""
    out = written(stage_of(**ALL), docs, tmp_path, ctx)
    half = {docs.column("id")[i].as_py().hex() for i in (5, 6)}
    rows = out.rows().to_pylist()
    for piece in out.pieces():
        made = rows[piece["sequence"]]["loss_mask"][piece["at"] : piece["at"] + piece["length"]]
        first = (len(ids_of[piece["document"]]) - 1) // 2 if piece["document"] in half else 0
        wanted = [int(piece["start"] + i >= first and i > 0) for i in range(piece["length"])]
        assert made == wanted


def test_the_accounts_reconcile(docs, ctx, ids_of, tmp_path):
    """In = written + dropped by component; shards.json says what the files are."""
    mix = {"components": {"web": {"epochs": 2.5}, "code": {"tokens": 3000}}, "max_epochs": None}
    out = written(stage_of(mix=mix, sequence=100, tail="drop"), docs, tmp_path, ctx, parts=2, partitions=3)
    sources, pieces = out.report["sources"], out.pieces()
    told = json.loads(out.files["shards.json"])
    for name, account in sources.items():
        mine = [i for i, s in zip(docs.column("id").to_pylist(), SOURCES, strict=True) if s == name]
        assert account["documents"] == len(mine)
        assert account["tokens_in"] == sum(len(ids_of[i.hex()]) for i in mine)
        assert account["tokens_taken"] == account["tokens"] + account["dropped"]
        assert account["tokens"] == sum(p["length"] for p in pieces if p["component"] == name)
    longest = max(len(ids) for ids in ids_of.values())
    assert 3000 <= sources["code"]["tokens_taken"] < 3000 + longest
    assert 0 <= sources["web"]["tokens_taken"] - 2.5 * sources["web"]["tokens_in"] < longest
    assert told["tokens"] == sum(s["tokens"] for s in told["shards"]) == sum(a["tokens"] for a in sources.values())
    assert told["rows"] * 100 == told["tokens"] + told["padding_tokens"]
    assert (told["format"], told["dtype"], told["sequence"]) == ("curate.tokens/1", "uint16", 100)


def test_copies_fall_in_different_passes(docs, ctx, tmp_path):
    """A document of three epochs is there three times, a third of the stream apart from itself."""
    mix = {"components": {"web": {"epochs": 3}, "code": {"epochs": 3}}}
    out = written(WriteEncoded(tokens="t", mix=mix, tokens_per_shard=5000), docs, tmp_path, ctx)
    rows = out.rows()
    seen: dict[str, list[tuple[int, int]]] = {}
    for at, (name, epoch) in enumerate(
        zip(rows.column("id").to_pylist(), rows.column("epoch").to_pylist(), strict=True)
    ):
        seen.setdefault(name, []).append((epoch, at * 3 // rows.num_rows))
    assert all([epoch for epoch, _ in places] == [0, 1, 2] for places in seen.values())
    assert sum(third == epoch for places in seen.values() for epoch, third in places) > 0.95 * rows.num_rows
    assert len(seen) == len(TEXTS)


CURRICULUM = {
    "components": {"web": 0.7, "code": 0.3},
    "phases": [{"tokens": 9000, "name": "both"}, {"tokens": 6000, "weights": {"code": 1}}],
}


def test_the_order_is_that_of_a_slow_twin(docs, ctx, ids_of, tmp_path):
    """Tapes written out as lists, cut by budgets, each copy put to its place with Python's integers: one list of copies."""
    out = written(WriteEncoded(tokens="t", mix=CURRICULUM), docs, tmp_path, ctx, parts=3, partitions=2, batch_rows=29)
    ids = docs.column("id").combine_chunks()
    hashes = dict(zip(ids.to_pylist(), keyed_hash(ids, ctx.key("tape")).tolist(), strict=True))
    tapes = {
        name: sorted((i for i, s in zip(hashes, SOURCES, strict=True) if s == name), key=hashes.get)
        for name in ("web", "code")
    }
    budgets = {"web": [(0, 0, 6300)], "code": [(0, 0, 2700), (1, 2700, 8700)]}
    opens = [0, 9000, 15000]
    copies = []
    for name, tape in tapes.items():
        size = sum(len(ids_of[i.hex()]) for i in tape)
        for phase, start, stop in budgets[name]:
            place = 0
            for epoch in range(stop // size + 1):
                low, high = max(start, epoch * size), min(stop, (epoch + 1) * size)
                length, scale = opens[phase + 1] - opens[phase], opens[2] * (stop - start)
                first, last = (
                    (opens[phase] * (stop - start) + length * (at - start)) * 2**64 // scale for at in (low, high)
                )
                placed = dict(zip(ids.to_pylist(), keyed_hash(ids, ctx.key("place", epoch)).tolist(), strict=True))
                for one in tape:
                    if start <= place < stop:
                        copies.append((first + placed[one] * (last - first) // 2**64, one.hex(), epoch))
                    place += len(ids_of[one.hex()])
    rows = out.rows()
    found = list(zip(rows.column("id").to_pylist(), rows.column("epoch").to_pylist(), strict=True))
    assert found == [copy[1:] for copy in sorted(copies)]
    assert max(epoch for _, epoch in found) == 1
    phases = out.report["mixture"]["phases"]
    assert [p["planned_tokens"] for p in phases] == [9000, 6000]
    assert sum(p["taken_tokens"] for p in phases) == sum(len(ids_of[i]) for i, _ in found)


@pytest.mark.parametrize(
    "mix",
    [
        CURRICULUM,
        {"components": {"web": {"epochs": 2}, "code": {"epochs": 3.5}}},
        {"tokens": 90_000, "max_epochs": None},
    ],
)
def test_shuffled_sequences_keep_phases_and_passes_in_order(docs, ctx, tmp_path, mix):
    """Sequences of a later pass over a component, and of a later phase, come later; within a pass they are shuffled."""
    out = written(stage_of(mix=mix), docs, tmp_path, ctx, parts=2, partitions=3, batch_rows=50)
    by_component: dict[str, dict[int, list[int]]] = {}
    for piece in out.pieces():
        by_component.setdefault(piece["component"], {}).setdefault(piece["sequence"], []).append(piece["epoch"])
    for epochs in by_component.values():
        assert all(max(epochs[a]) <= min(epochs[b]) for a, b in itertools.pairwise(sorted(epochs)))
    if mix is CURRICULUM:
        last_web = max(by_component["web"])
        alone = [n for n in by_component["code"] if n > last_web]
        assert len(alone) == pytest.approx(6000 / 32, rel=0.15)
    order = [piece["start"] for piece in out.pieces() if piece["cut"] and piece["component"] == "web"]
    assert order != sorted(order)


def test_encoded_documents_are_whole(docs, ctx, ids_of, folder, tmp_path):
    """In one order whatever the work's division; decoded they are the texts."""
    stage, tokenizer = WriteEncoded(tokens="t", tokens_per_shard=3000), load(folder)
    every = [written(stage, docs, tmp_path / str(i), ctx, **way) for i, way in enumerate(WAYS)]
    assert every[0].bytes() == every[1].bytes() and len(every[0].shards) > 2
    rows = every[0].rows()
    assert dict(zip(rows.column("id").to_pylist(), rows.column("input_ids").to_pylist(), strict=True)) == ids_of
    texts = [tokenizer.decode(ids[:-1]) for ids in rows.column("input_ids").to_pylist()]
    assert sorted(texts) == sorted(TEXTS)
    assert sum(trained is not None for trained in rows.column("trained").to_pylist()) == 2
    assert rows.column("id").to_pylist() != sorted(rows.column("id").to_pylist())


def test_what_no_component_names_is_left_out(docs, ctx, tmp_path):
    """It is in no sequence, and counted."""
    out = written(stage_of(mix={"code": 1.0}, tail="pad"), docs, tmp_path, ctx)
    assert {p["source"] for p in out.pieces()} == {"code"}
    assert out.report["mixture"]["left_out"]["documents"] == SOURCES.count("web")


def test_too_little_for_one_sequence(docs, ctx, tmp_path):
    """Fewer tokens than one sequence: an error with a cure, not an empty dataset."""
    with pytest.raises(RecipeError, match="do not fill one sequence"):
        written(stage_of(sequence=1 << 20), docs, tmp_path, ctx)


def test_documents_that_another_step_encoded_stop_it(docs, ctx, tmp_path):
    """Of two branches one has no tokens of the step that is named."""
    at = docs.schema.get_field_index("t.count")
    count = pa.array([None if i == 7 else n for i, n in enumerate(docs.column("t.count").to_pylist())], pa.int64())
    with pytest.raises(InputError, match="documents without tokens of step 't'"):
        written(stage_of(), docs.set_column(at, "t.count", count), tmp_path, ctx)


def test_a_document_that_comes_twice_stops_it(docs, ctx, tmp_path):
    """Two branches that share documents were joined."""
    with pytest.raises(InputError, match="comes twice"):
        written(stage_of(), pa.concat_tables([docs, docs.slice(3, 1)]), tmp_path, ctx)


@pytest.mark.parametrize("stage", [stage_of(**ALL), WriteEncoded(tokens="t"), WriteText(documents_per_shard=99)])
def test_datasets_opens_it(stage, docs, ctx, tmp_path):
    """load_from_disk maps the files, with the types that they have, said or not."""
    out = written(stage, docs, tmp_path, ctx)
    for name, data in out.files.items():
        (tmp_path / name).write_bytes(data)
    data = datasets.load_from_disk(str(tmp_path))
    schema = out.rows().schema
    assert data.features == datasets.Features.from_arrow_schema(schema)
    said = json.loads(out.files["dataset_info.json"]).get("features")
    assert said is None or said == datasets.Features.from_arrow_schema(schema).to_dict()
    if "input_ids" in schema.names:
        assert data.features["input_ids"].feature.dtype == "uint16"
        assert said is not None
    assert data[0].keys() == set(schema.names)


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


@pytest.mark.parametrize("stage", [stage_of(**ALL, pack="best-fit"), WriteEncoded(tokens="t", tokens_per_shard=900)])
def test_the_loader_reads_what_is_written(stage, docs, ctx, tmp_path):
    """Row by row what Arrow reads, with what its tokens mean; text columns apart, and null is empty."""
    out = written(stage, docs, tmp_path, ctx)
    for name, data in out.files.items():
        (tmp_path / name).write_bytes(data)
    found, rows = TokenDataset(tmp_path), out.rows().to_pylist()
    assert len(out.shards) > 1 and len(found) == len(rows)
    tokenizer = load(ctx.assets["tokens"])
    assert (found.vocab_size, found.end_of_text, found.padding, found.curriculum) == (
        *(tokenizer.vocab_size, tokenizer.end_of_text, tokenizer.padding),
        False,
    )
    for i, row in enumerate(rows):
        wanted = {name: [] if row[name] is None else row[name] for name in found.columns}
        assert {name: values.tolist() for name, values in found[i].items()} == wanted
