"""All of a written dataset: its files, what is said of them, and what is in them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import CurateError, DamagedError
from curate.report.checks import Checks
from curate.report.run_folder import RunFolder
from curate.report.spot_checks import SPOTS, Spots, check_texts
from curate.report.verify_tokens import AGAIN, check_sums, check_tokens
from curate.store.dataset import SHARDS, Dataset, facts, side_table
from curate.store.provenance import provenance

__all__ = ["verify"]

_TYPES: Final = {"loss_mask": pa.uint8(), "position_ids": pa.int32()}
_OF_DOCUMENTS: Final = (("id", pa.string()), ("source", pa.string()), ("component", pa.string()), ("epoch", pa.int32()))
_DIGITS: Final = "^[0-9a-f]{32}$"


def verify(dataset: Dataset, run: RunFolder | None, done: Callable[[int], None]) -> Checks:
    """Check a dataset against all that is said of it, and with its run against the documents.

    Args:
        run: that it was made by; None: texts are not compared.
        done: told the bytes of each shard, twice: when its digest is right, and when its rows are.
    """
    checks = Checks()
    made_of = provenance(dataset.folder)
    readable = _files(dataset, checks, made_of, done)
    _beside(dataset, checks)
    schema = _schema(dataset, checks) if readable else None
    spots = Spots(SPOTS if run is not None and dataset.kind != "text" else 0)
    chat = _chat(made_of)
    if schema is not None:
        try:
            if dataset.kind == "tokens":
                check_tokens(dataset, checks, schema, spots, done, chat=chat)
            elif dataset.kind == "documents":
                _documents(dataset, checks, schema, spots, done)
            else:
                _texts(dataset, checks, schema, done)
        except CurateError as error:
            checks.wrong("files", error.place, error.cause, error.cure)
    if dataset.kind != "text":
        _totals(dataset, checks)
    if run is not None and spots.spots and not checks.problems:
        check_texts(dataset, run, spots, checks, chat=chat)
    return checks


def _chat(made_of: dict[str, Any]) -> bool:
    """Whether an encoder above says that some tokens are not trained on; a dataset that says nothing of itself may have it."""
    encoders = [step for step in made_of.get("steps", []) if step["use"] == "encode.tokens"]
    return not encoders or any(step["settings"].get("chat") for step in encoders)


def _files(dataset: Dataset, checks: Checks, made_of: dict[str, Any], done: Callable[[int], None]) -> bool:
    """Whether all shards are there; and that they, and the files beside them, have their size and SHA-256."""
    there = {entry.key for entry in dataset.folder.list() if "/" not in entry.key and entry.key.endswith(".arrow")}
    complete = bool(dataset.shards)
    for shard in dataset.shards:
        try:
            dataset.check(shard)
        except DamagedError as error:
            checks.wrong("files", error.place, error.cause, AGAIN)
            complete &= shard.name in there
        checks.saw("files", 1, "files")
        done(max(0, shard.size))
    for name in sorted(there - {shard.name for shard in dataset.shards}):
        checks.wrong(
            "files", dataset.folder.name(name), f"is no shard of {SHARDS}", "remove it: readers would take it for one"
        )
    if dataset.kind == "tokens":
        _side_files(dataset, checks, made_of)
    if not any(shard.sha256 for shard in dataset.shards):
        checks.notes.append("nothing says what the shards were, so their digests were not compared")
    return complete


def _side_files(dataset: Dataset, checks: Checks, made_of: dict[str, Any]) -> None:
    """The files of the side table against what the run said of them."""
    table, steps = side_table(dataset.folder), made_of.get("steps", [])
    told = [s["side"] for step in steps if step["id"] == made_of.get("dataset") for s in step["shards"] if "side" in s]
    for said in told:
        place = table.name(said["name"])
        if not table.exists(said["name"]):
            checks.wrong("files", place, "is missing", "copy the folder of the side table from the run")
            continue
        size, digest = facts(table.data(said["name"]))
        checks.saw("files", 1, "files")
        if (size, digest) != (said["size"], said["sha256"]):
            checks.wrong("files", place, "differs from its size or SHA-256 in provenance.json", AGAIN)


def _beside(dataset: Dataset, checks: Checks) -> None:
    """state.json and dataset_info.json, by which ``datasets`` opens the folder."""
    names = [shard.name for shard in dataset.shards]
    state, info = (_json(dataset, checks, name) for name in ("state.json", "dataset_info.json"))
    if state is not None:
        listed = [str(file.get("filename")) for file in state.get("_data_files", [])]
        place = dataset.folder.name("state.json")
        if listed != names:
            checks.wrong(
                "state.json", place, f"lists {len(listed):,} shards, and not those of the dataset in order", AGAIN
            )
        digests = "\n".join(shard.sha256 for shard in dataset.shards)
        if digests.strip() and state.get("_fingerprint") != hashlib.sha256(digests.encode()).hexdigest()[:16]:
            checks.wrong("state.json", place, "its fingerprint is of other shards", AGAIN)
    if info is not None and (features := info.get("features")) is not None:
        wanted = _features(dataset)
        if wanted is not None and features != wanted:
            differ = sorted(n for n in {*features, *wanted} if features.get(n) != wanted.get(n))
            cause = (
                f"its features are not those of the shards: {', '.join(differ)}"
                if differ
                else "its features are in another order"
            )
            checks.wrong("dataset_info.json", dataset.folder.name("dataset_info.json"), cause, AGAIN)


def _json(dataset: Dataset, checks: Checks, name: str) -> dict[str, Any] | None:
    raw = dataset.folder.read(name)
    checks.saw(name, 1, "file")
    try:
        value = json.loads(raw or b"")
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    cause = "is missing" if raw is None else "is no JSON object"
    checks.wrong(name, dataset.folder.name(name), f"{cause}, so datasets.load_from_disk can't open the folder", AGAIN)
    return None


def _features(dataset: Dataset) -> dict[str, Any] | None:
    """The features that ``datasets`` has for the shards' columns; None where they can't be read."""
    from curate.stages.hf_dataset import dataset_files

    try:
        schema = dataset.schema()
    except CurateError:
        return None
    found = json.loads(dataset_files([], schema)["dataset_info.json"])["features"]
    return dict(found)


def _schema(dataset: Dataset, checks: Checks) -> pa.Schema | None:
    """The columns of all shards, when they are what they should be."""
    place = dataset.folder.name(dataset.shards[0].name)
    try:
        schema = dataset.schema()
    except CurateError as error:
        checks.wrong("schema", error.place, error.cause, error.cure)
        return None
    checks.saw("schema", len(schema), "columns")
    said = {field.name: str(field.type) for field in schema}
    if dataset.kind != "text" and dict(dataset.said.get("columns", said)) != said:
        checks.wrong("schema", place, f"its columns are not those that {SHARDS} says", AGAIN)
    for name, kind in _wanted(dataset, schema).items():
        if name not in schema.names or schema.field(name).type != kind:
            found = schema.field(name).type if name in schema.names else "nothing"
            checks.wrong("schema", place, f"column '{name}' is {found} instead of {kind}", AGAIN)
    return None if checks.of("schema") else schema


def _wanted(dataset: Dataset, schema: pa.Schema) -> dict[str, pa.DataType]:
    if dataset.kind == "text":
        return {}
    ids = pa.from_numpy_dtype(dataset.dtype)
    if dataset.kind == "documents":
        trained = {"trained": pa.list_(pa.int32())} if "trained" in schema.names else {}
        return {**dict(_OF_DOCUMENTS), "input_ids": pa.list_(ids), **trained}
    more = {name: pa.list_(kind, dataset.sequence) for name, kind in _TYPES.items() if name in schema.names}
    more |= {"segments": pa.list_(pa.int32())} if "segments" in schema.names else {}
    return {"input_ids": pa.list_(ids, dataset.sequence), **more}


def _totals(dataset: Dataset, checks: Checks) -> None:
    """What shards.json says of the whole against what it says of shards and of components."""
    place = dataset.folder.name(SHARDS)
    for name in ("rows", "tokens"):
        total = sum(getattr(shard, name) for shard in dataset.shards)
        if int(dataset.said.get(name, total)) != total:
            checks.wrong(
                "counts", place, f"its {name} are {dataset.said[name]:,}, and those of its shards {total:,}", AGAIN
            )
    wide = dataset.vocab_size >= 1 << 16
    if wide != (dataset.dtype.itemsize == 4):
        checks.wrong("schema", place, f"ids are {dataset.dtype}, and the vocabulary is {dataset.vocab_size:,}", AGAIN)
    for name in ("end_of_text", "padding"):
        if getattr(dataset, name) >= dataset.vocab_size:
            checks.wrong("ids", place, f"{name} is outside of the vocabulary", AGAIN)


# -- encoded documents, texts --------------------------------------------------------------------------------


def _documents(dataset: Dataset, checks: Checks, schema: pa.Schema, spots: Spots, done: Callable[[int], None]) -> None:
    sums, copies, first = Counter[str](), 0, 0
    for shard in dataset.shards:
        place, rows, tokens = dataset.folder.name(shard.name), 0, 0
        for batch in dataset.batches(shard):
            if batch.schema != schema:
                raise DamagedError("has other columns than the first shard", place=place, cure=AGAIN)
            lists = batch.column("input_ids")
            lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            _document_ids(dataset, checks, place, first + rows, lists.flatten().to_numpy(zero_copy_only=False), lengths)
            _document_rows(checks, place, first + rows, batch, lengths)
            spots.add_documents(batch.column("id"), lists, first + rows)
            table = pa.table({"component": batch.column("component"), "n": lengths})
            groups = table.group_by("component", use_threads=False).aggregate([("n", "sum")]).to_pydict()
            sums.update(dict(zip(groups["component"], groups["n_sum"], strict=True)))
            rows, tokens = rows + batch.num_rows, tokens + int(lengths.sum())
        checks.saw("counts", rows, "rows")
        for what, found, said in (("rows", rows, shard.rows), ("tokens", tokens, shard.tokens)):
            if found != said:
                checks.wrong("counts", place, f"has {found:,} {what}, and {SHARDS} says {said:,}", AGAIN)
        first, copies = first + rows, copies + rows
        done(max(0, shard.size))
    check_sums(dataset, checks, sums, copies)


def _document_ids(dataset: Dataset, checks: Checks, place: str, row: int, ids: np.ndarray, lengths: np.ndarray) -> None:
    checks.saw("ids", len(ids), "tokens")
    ends = np.cumsum(lengths)
    if len(bad := np.flatnonzero(ids >= dataset.vocab_size)):
        where = row + int(np.searchsorted(ends, bad[0], side="right"))
        checks.wrong(
            "ids", place, f"has id {ids[bad[0]]:,}, and the vocabulary is {dataset.vocab_size:,}", AGAIN, where
        )
    checks.saw("ends of documents", len(lengths), "documents")
    last = np.zeros(len(ids), bool)
    last[ends[lengths > 0] - 1] = True
    wrong = np.flatnonzero((ids == dataset.end_of_text) != last)
    empty = np.flatnonzero(lengths == 0)
    if len(wrong) or len(empty):
        where = int(np.searchsorted(ends, wrong[0], side="right")) if len(wrong) else int(empty[0])
        cause = "does not end with end-of-text, or has one inside"
        checks.wrong("ends of documents", place, cause, AGAIN, row + where)


def _document_rows(checks: Checks, place: str, row: int, batch: pa.RecordBatch, lengths: np.ndarray) -> None:
    good = pc.fill_null(pc.match_substring_regex(batch.column("id"), _DIGITS), False)
    if not pc.all(good).as_py():
        checks.wrong("schema", place, "its id is not 32 hex digits", AGAIN, row + pc.index(good, False).as_py())
    if "trained" not in batch.schema.names:
        return
    runs = batch.column("trained")
    checks.saw("trained", len(runs) - runs.null_count, "documents")
    counts = runs.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values = np.concatenate([[0], np.cumsum(runs.flatten().to_numpy(zero_copy_only=False))])
    ends = np.cumsum(counts)
    bad = np.flatnonzero(values[ends] - values[ends - counts] > lengths)
    if len(bad):
        checks.wrong("trained", place, "its runs are longer than the document", AGAIN, row + int(bad[0]))


def _texts(dataset: Dataset, checks: Checks, schema: pa.Schema, done: Callable[[int], None]) -> None:
    for shard in dataset.shards:
        rows, place = 0, dataset.folder.name(shard.name)
        for batch in dataset.batches(shard):
            if batch.schema != schema:
                raise DamagedError("has other columns than the first shard", place=place, cure=AGAIN)
            batch.validate(full=True)
            rows += batch.num_rows
        checks.saw("counts", rows, "rows")
        if shard.rows not in (-1, rows):
            checks.wrong("counts", place, f"has {rows:,} rows instead of {shard.rows:,}", AGAIN)
        done(max(0, shard.size))
