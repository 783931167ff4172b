"""What every registered stage keeps, whatever it does: a new stage is tested before its author writes a line."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from editing import DropMarked
from exchange import verdicts, written
from pydantic import BaseModel, TypeAdapter, ValidationError

from curate import assets, schema
from curate.stages import load_all
from curate.stages.base import Context, Filter, Global, Stage, Trainer
from curate.stages.generator import Generator
from curate.stages.registry import registered, stage_class
from curate.stages.source import Source
from curate.stages.writer import Writer
from curate.text.batch import Batch
from curate.text.hashing import content_hash, hash128

load_all()
KINDS = (Source, Filter, Global, Trainer, Generator, Writer)

SETTINGS: dict[str, dict[str, Any]] = {
    "decontaminate": {"against": ["humaneval"]},
    "dedup.lines": {"least": 2},
    "dedup.paragraphs": {"least": 2},
    "dedup.semantic": {"column": "number.vector"},
    "judge.rephrased": {"against": ["humaneval"]},
    "label.contrast": {"positive": ["test"], "negative": ["other"]},
    "label.file": {"labels": "tiny"},
    "pair.answers": {"score": "number.value", "tiers": {"easy": 0.5, "hard": 0}},
    "route.answers": {"small": "mini", "large": "maxi"},
    "score.classifier": {"classifier": "tiny"},
    "score.ensemble": {"columns": ["number.value", "number.other"], "how": "mean"},
    "select.tasks": {"rows": 3},
    "select.where": {"column": "number.value", "at_least": 0.5},
    "train.classifier": {"label": "number.value"},
    "train.ranks": {"columns": ["number.value"]},
    "encode.tokens": {"tokenizer": "tiny"},
    "write.encoded": {"tokens": "tiny"},
    "write.tokens": {"tokens": "tiny"},
    "read.arrow": {"paths": ["in"]},
    "read.chats": {"paths": ["in"]},
    "read.code": {"paths": ["in"]},
    "read.dataset": {"path": "in"},
    "read.jsonl": {"paths": ["in"]},
    "read.packages": {"paths": ["in"]},
    "read.parquet": {"paths": ["in"]},
}
"""Required settings. A new stage that needs some is named by test_settings_are_known."""

NEED_OTHERS = {"pair.answers", "route.answers"}
"""Globals that keep what they find put together, so that a row alone goes."""

WEIRD = [
    "",
    " ",
    "\n\n\n",
    "\t \u00a0\u2003\u3000",
    "a",
    "def f(x):\n    return x\n",
    "The cat that sat with the dog and the bird have been to the house of the man.\n" * 4,
    "#" * 300,
    "...\n" * 40,
    "- item\n" * 30,
    "0123456789 " * 60,
    "ABC DEF GHI.\n" * 30,
    "\ufeffbyte order mark",
    "e\u0301 and \u00e9, \ufb01 and fi, \u212b and \u00c5",
    "\u0130\u0131 \u1e9e \u03a3\u03c3\u03c2 \u01c5",
    "\U0001f469\u200d\U0001f4bb family \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\u4f60\u597d\u4e16\u754c\u3002" * 50,
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35" * 20,
    "\x00\x01\x02\x7f\x85\u2028\u2029",
    "\r\nline\r\nline\rline",
    "\U0010ffff\ufffe\uffff\ufffd",
    "a\u0301\u0302\u0303\u0304\u0305" * 50,
    "x" * 5000,
    "iVBORw0KGgo" * 300,
    "`" * 100 + "\n```python\nprint(1)\n```",
    "__label__good hello\n__label__bad",
    "</s><s>[INST] <|endoftext|> <unk> \u2581",
    "\\x41\\u0042 %s {} {{}} $(rm) ' \" ; --",
]
HUGE = "All work and no play makes Jack a dull boy, said the page. " * 36_000


def stages(*kinds: type[Stage]) -> list[str]:
    """Names of the registered stages of some kinds."""
    return [name for name, stage in registered().items() if issubclass(stage, kinds)]


def make(name: str) -> Stage:
    """A stage with defaults and what it requires."""
    return stage_class(name).model_validate(SETTINGS.get(name, {}))


def documents(texts: list[str], stage: Stage) -> pa.RecordBatch:
    """Rows with the document's columns and those that the stage reads; the latter hold nulls."""
    text = pa.array(texts, pa.large_string())
    names = [str(i) for i in range(len(texts))]
    columns = {
        "id": hash128(pa.array(names, pa.large_string()), 3),
        "text": text,
        "source": pa.array(["test" if i % 3 else "other" for i in range(len(texts))], pa.string()),
        "origin": pa.array([f"f#{n}" for n in names], pa.string()),
        "meta": pa.array([answered(i, t, stage) for i, t in enumerate(texts)], pa.string()),
        "content_hash": content_hash(text),
    }
    rows = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema.DOCUMENT)
    for column in sorted(stage.reads() - set(schema.DOCUMENT.names)):
        values = pa.array([None if i % 4 == 3 else float(i % 5) / 4 for i in range(len(texts))], pa.float64())
        if column.endswith(".vector"):
            values = pa.array(
                [None if v is None else [v, 1.0, -1.0] for v in values.to_pylist()], pa.list_(pa.float32())
            )
        rows = rows.append_column(column, values)
    return rows


def answered(number: int, text: str, stage: Stage) -> str:
    """A document's ``meta``; for stages that put answers together one of three models' to the query that it shares with others."""
    if stage.name not in NEED_OTHERS:
        return "{}"
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]
    return json.dumps({"query": f"q{number % 7}", "model": f"m{number % 3}", "messages": messages})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The smallest models, trained with the trainers of the registry."""
    from corpus import prose

    classifier, tokenizer = make_trainer("train.classifier"), make_trainer("train.tokenizer")
    rows = labelled(prose(60, 600))
    made = {}
    for name, stage in (("classifier", classifier), ("tokenizer", tokenizer)):
        made[name] = tmp_path_factory.mktemp(name)
        stage.train([Batch(rows)], made[name], Context("tiny", 1))
    made["tokens"] = made["tokenizer"]
    made["labels"] = tmp_path_factory.mktemp("labels") / "labels.csv"
    made["labels"].write_text("origin,label\nf#1,1\nf#2,0\n")
    return made


def labelled(texts: list[str]) -> pa.RecordBatch:
    """Documents for trainers, every other one with label 1."""
    rows = documents(texts, make("dedup.exact"))
    return rows.append_column("number.value", pa.array([i % 2 for i in range(len(texts))], pa.int8()))


def installed(name: str) -> bool:
    """Whether a stage has what it runs on."""
    return name != "embed.static" or importlib.util.find_spec("wordllama") is not None


def make_trainer(name: str) -> Trainer:
    """With settings for a handful of documents."""
    small = {
        "train.classifier": {
            "label": "number.value",
            "min_per_class": 2,
            "fasttext": {"dim": 2, "epoch": 1, "bucket": 64},
        },
        "train.ranks": {"columns": ["number.value"], "max_rows": 1_000},
        "train.tokenizer": {"vocab_size": 400},
    }
    stage = stage_class(name).model_validate(small[name])
    assert isinstance(stage, Trainer)
    return stage


def context(stage: Stage, tiny: dict[str, Path]) -> Context:
    """With the stage's assets: a tiny model, or what is shipped under the setting's default.

    Skips the test of a stage whose optional extra is not installed.
    """
    if not installed(stage.name):
        pytest.skip("its extra is not installed")
    found = {}
    for setting, kind in stage.asset_settings.items():
        value = getattr(stage, setting)
        if value is not None and kind not in ("indexes", "earlier"):
            found[setting] = tiny[setting] if value == "tiny" else assets.find(kind, value)
    return Context("step", 7 if stage.seeded else None, found)


# -- what a user reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registered())
def test_documented(name: str) -> None:
    """A docstring of its own, a description for every setting, a sentence for every reason."""
    stage = stage_class(name)
    assert "__doc__" in vars(stage)
    assert len(inspect.cleandoc(stage.__doc__ or "").split("\n\n")[0]) > 20
    undescribed(stage, name)
    for reason, why in stage.reasons.items():
        assert reason.isidentifier(), reason
        assert reason == reason.lower()
        assert len(why) > 10, reason
    assert stage.revision >= 1
    assert sum(issubclass(stage, kind) for kind in KINDS) == 1


def undescribed(model: type[BaseModel], where: str) -> None:
    for setting, field in model.model_fields.items():
        assert field.description, f"{where}.{setting}"
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                undescribed(inner, f"{where}.{setting}")


@pytest.mark.parametrize("name", registered())
def test_named_after_its_module(name: str) -> None:
    """``read.jsonl`` is in ``read_jsonl.py``: so it can be found."""
    assert stage_class(name).__module__ == f"curate.stages.{name.replace('.', '_')}"


@pytest.mark.parametrize("name", registered())
def test_settings_are_known(name: str) -> None:
    """It can be made of its defaults and SETTINGS above; it is frozen; what it does not know it refuses."""
    stage = make(name)
    with pytest.raises(ValidationError):
        stage_class(name).model_validate({**SETTINGS.get(name, {}), "no_such_setting": 1})
    for setting in type(stage).model_fields:
        with pytest.raises(ValidationError):
            setattr(stage, setting, getattr(stage, setting))
    for setting in stage.asset_settings:
        assert setting in type(stage).model_fields
    if isinstance(stage, Filter):
        assert stage.decide_settings <= set(type(stage).model_fields)


@pytest.mark.parametrize("name", stages(Filter))
def test_bounds_name_what_is_there(name: str) -> None:
    """Each line of a table of rules: a documented reason, a measured number (or flag), a setting that has a value or none."""
    stage = make(name)
    assert isinstance(stage, Filter)
    for bound in stage.bounds:
        assert bound.reason in stage.reasons, bound
        assert (bound.setting in stage.decide_settings) != (bound.setting in stage.measure_settings), bound
        kind, value = stage.signals[bound.signal], getattr(stage, bound.setting)
        if bound.op == "is":
            assert pa.types.is_boolean(kind) and isinstance(value, bool | None), bound
        else:
            assert bound.op in ("<", "<=", ">", ">="), bound
            assert pa.types.is_integer(kind) or pa.types.is_floating(kind), bound
            assert isinstance(value, int | float | None) and not isinstance(value, bool), bound


# -- identity -------------------------------------------------------------------------------------------------

_OTHER_PROCESS = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import test_stages
print(json.dumps(test_stages.digests()))
"""


def digests() -> dict[str, list[str]]:
    """By stage: its fingerprint, and for filters that need no asset of a fixture a digest of what they measure."""
    found = {}
    for name in registered():
        stage = make(name)
        found[name] = [stage.fingerprint()]
        if isinstance(stage, Filter):
            found[name].append(stage.measure_fingerprint())
            if installed(name) and "tiny" not in SETTINGS.get(name, {}).values():
                signals = dict(stage.measure(Batch(documents(WEIRD[:12], stage)), context(stage, {})))
                signals["reason"] = stage.decide(signals)
                found[name].append(repr({k: v.to_pylist() for k, v in signals.items()}))
    return found


def test_equal_in_another_process() -> None:
    """Fingerprints and measurements are the same in a process with another hash seed."""
    here = json.dumps([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    env = {**os.environ, "PYTHONHASHSEED": "0" if os.environ.get("PYTHONHASHSEED") == "77" else "77"}
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS, here], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == digests()


@pytest.mark.parametrize("name", registered())
def test_fingerprint_knows_every_setting(name: str) -> None:
    """Two stages with different settings are different stages, unless it is where a source's files lie, or what
    becomes of damaged ones: those that were read are known."""
    stage = make(name)
    for setting, other in changes(stage).items():
        changed = stage.model_copy(update={setting: other})
        if isinstance(stage, Source) and setting in ("path", "paths", "on_damage"):
            assert changed.fingerprint() == stage.fingerprint()
        else:
            assert changed.fingerprint() != stage.fingerprint(), setting
        if isinstance(stage, Filter):
            same = changed.measure_fingerprint() == stage.measure_fingerprint()
            assert same == (setting in stage.decide_settings), setting
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert pickle.loads(pickle.dumps(stage)).fingerprint() == stage.fingerprint()


def changes(stage: Stage) -> dict[str, Any]:
    """Another value for each setting."""
    found: dict[str, Any] = {}
    for setting in type(stage).model_fields:
        value = getattr(stage, setting)
        if isinstance(value, bool):
            found[setting] = not value
        elif isinstance(value, int | float):
            found[setting] = value + 1
        elif isinstance(value, str):
            found[setting] = value + "x"
        elif isinstance(value, list | tuple):
            found[setting] = [*value, value[-1] + 1 if value and isinstance(value[-1], int) else "x"]
        elif value is None:
            kind = type(stage).model_fields[setting].annotation
            tried = ("x", ["x"], 0.5, 1, {}, {"by": "x", "values": ["x"]}, {"column": "x", "at_least": 0.5})
            value = next(v for v in tried if fits(v, kind))
            found[setting] = TypeAdapter(kind).validate_python(value)
    return found


def fits(value: Any, annotation: Any) -> bool:
    """Whether a setting of that type may have the value."""
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True


# -- filters --------------------------------------------------------------------------------------------------


def results(stage: Filter, rows: pa.RecordBatch, ctx: Context) -> dict[str, list[Any]]:
    """Signals and reasons as lists; checks that they are row-aligned and that reasons are documented ones."""
    signals = stage.measure(Batch(rows), ctx)
    for signal, values in signals.items():
        assert isinstance(values, pa.Array), signal
        assert len(values) == rows.num_rows, signal
        values.validate(full=True)
    assert {name: values.type for name, values in signals.items()} == dict(stage.signals)
    reasons = stage.decide(signals)
    assert reasons.type == pa.string()
    assert [reason for reason, _ in stage.rules(signals)] == [
        r for r in stage.reasons if r in dict(stage.rules(signals))
    ]
    assert len(reasons) == rows.num_rows
    assert set(reasons.drop_null().to_pylist()) <= set(stage.reasons)
    for added, kind in stage.adds().items():
        assert signals[added].type == kind
    # What was measured may come back from a file: deciding on it again is the same.
    table = pa.Table.from_pydict(dict(signals))
    again = {column: table.column(column).combine_chunks() for column in table.column_names}
    assert stage.decide(again).to_pylist() == reasons.to_pylist()
    return {**{k: v.to_pylist() for k, v in signals.items()}, "reason": reasons.to_pylist()}


@cache
def heavy(name: str) -> bool:
    """Whether it starts processes for each row: such stages get fewer rows."""
    return name == "verify.execute"


@pytest.mark.parametrize("name", stages(Filter))
def test_filter_on_odd_batches(name: str, tiny: dict[str, Path]) -> None:
    """No rows, one row, weird Unicode, a row of 2 MB: no crash, aligned, and each row's result is its own."""
    stage = make(name)
    assert isinstance(stage, Filter)
    ctx = context(stage, tiny)
    texts = WEIRD[:10] if heavy(name) else [*WEIRD, HUGE, *WEIRD[::-1]]
    rows = documents(texts, stage)
    before = rows.to_pylist()
    whole = results(stage, rows, ctx)
    assert rows.to_pylist() == before, "a batch is not changed"
    nothing = results(stage, rows.slice(0, 0), ctx)
    assert all(values == [] for values in nothing.values())
    types = {k: v.type for k, v in stage.measure(Batch(rows), ctx).items()}
    assert {k: v.type for k, v in stage.measure(Batch(rows.slice(0, 0)), ctx).items()} == types
    for cut in (1, len(texts) // 2, len(texts) - 1):
        halves = [results(stage, rows.slice(0, cut), ctx), results(stage, rows.slice(cut), ctx)]
        assert {k: halves[0][k] + halves[1][k] for k in whole} == whole, f"cut at {cut}"
    if not heavy(name):
        one = [results(stage, rows.slice(i, 1), ctx) for i in range(len(texts))]
        assert {k: [r[k][0] for r in one] for k in whole} == whole
    copy = pickle.loads(pickle.dumps(stage))
    assert results(copy, rows, pickle.loads(pickle.dumps(ctx))) == whole


@pytest.mark.parametrize("name", stages(Filter))
def test_filter_on_only_empty_rows(name: str, tiny: dict[str, Path]) -> None:
    """A batch whose texts are all empty, and whose other columns are all null."""
    stage = make(name)
    assert isinstance(stage, Filter)
    rows = documents([""] * 4, stage)
    for column in stage.reads() - set(schema.DOCUMENT.names):
        rows = rows.set_column(rows.schema.get_field_index(column), column, pa.nulls(4, pa.float64()))
    found = results(stage, rows, context(stage, tiny))
    if name != "label.contrast":
        assert len(set(found["reason"])) == 1


def edits(stage: Filter, rows: pa.RecordBatch, ctx: Context) -> list[str]:
    """The texts that an edit gives: one valid large_string for each row."""
    text = stage.edit(Batch(rows), ctx)
    if stage.edits_meta():
        assert stage.edits(), "who edits meta says that it edits"
        meta = stage.edit_meta(Batch(rows), ctx)
        assert meta.type == pa.string() and len(meta) == rows.num_rows and not meta.null_count
        assert all(isinstance(json.loads(one), dict) for one in meta.to_pylist())
    assert isinstance(text, pa.Array)
    assert text.type == pa.large_string()
    assert len(text) == rows.num_rows
    assert text.null_count == 0
    text.validate(full=True)
    return text.to_pylist()


def editing() -> list[Filter]:
    """Every registered filter that edits text, and one of the tests, which shows that what is below can be kept."""
    return [*(s for n in stages(Filter) if isinstance(s := make(n), Filter) and s.edits()), DropMarked()]


@pytest.mark.parametrize("stage", editing(), ids=lambda stage: stage.name)
def test_edit_is_of_each_row_alone(stage: Filter, tiny: dict[str, Path]) -> None:
    """Whatever batch a row comes in it gets the same text; no rows give none; nothing that was given is changed."""
    ctx = context(stage, tiny)
    texts = [*WEIRD, HUGE, "a %% b\nc", "%%", *WEIRD[::-1]]
    rows = documents(texts, stage)
    before = rows.to_pylist()
    whole = edits(stage, rows, ctx)
    assert rows.to_pylist() == before, "a batch is not changed"
    assert edits(stage, rows.slice(0, 0), ctx) == []
    for cut in (1, len(texts) // 2, len(texts) - 1):
        assert edits(stage, rows.slice(0, cut), ctx) + edits(stage, rows.slice(cut), ctx) == whole, f"cut at {cut}"
    assert [edits(stage, rows.slice(i, 1), ctx)[0] for i in range(len(texts))] == whole
    assert edits(pickle.loads(pickle.dumps(stage)), rows, ctx) == whole
    # What was found while measuring goes with the rows that stay.
    docs, keep = Batch(rows), [i % 3 != 0 for i in range(len(texts))]
    stage.measure(docs, ctx)
    assert stage.edit(docs.filter(pa.array(keep)), ctx).to_pylist() == [
        t for t, k in zip(whole, keep, strict=True) if k
    ]


@pytest.mark.parametrize("name", stages(Filter))
def test_only_filters_that_say_so_edit(name: str, tiny: dict[str, Path]) -> None:
    """The engine asks ``edits`` before anything is run: a filter that has an ``edit`` says whether it is used."""
    stage = make(name)
    assert isinstance(stage, Filter)
    assert stage.edits() is False or type(stage).edit is not Filter.edit


# -- global stages --------------------------------------------------------------------------------------------


RANKED: list[dict[str, Any]] = [
    {"column": "number.value", "top": "50%"},
    {"column": "number.value", "tokens": "1K"},
    {"column": "number.value", "top": 0.5, "within": "source"},
    {"column": "number.value", "tokens": 500, "within": "source", "bytes_per_token": 3.3},
    {"column": "number.value", "tokens": 600_000, "within": "source", "floor": 0.1},
]
"""Ways in which select.where looks at all rows."""


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((n, SETTINGS.get(n, {})) for n in stages(Global)), *(("select.where", s) for s in RANKED)],
    ids=lambda v: v if isinstance(v, str) else "-".join(v),
)
def test_global_is_a_function_of_the_set(name: str, settings: dict[str, Any], tiny: dict[str, Path]) -> None:
    """One partition or five, one part or four, in any order: the same verdicts, with documented reasons."""
    stage = stage_class(name).model_validate(settings).concrete()
    assert isinstance(stage, Global)
    texts = [*WEIRD, HUGE, *WEIRD[:12], *(w + " and a little more" for w in WEIRD[20:]), HUGE + "x"]
    docs = pa.Table.from_batches([documents(texts, stage)])
    ctx = context(stage, tiny)
    once = verdicts(stage, docs, ctx=ctx)
    if stage.adds():
        assert once.num_rows == docs.num_rows
        assert all(0 < len(once.column(name).unique()) < docs.num_rows for name in stage.adds())
    else:
        assert 0 < once.num_rows < docs.num_rows
    assert set(once.column("reason").drop_null().to_pylist()) <= set(stage.reasons)
    assert once.column("id").to_pylist() == sorted(set(once.column("id").to_pylist())), "one verdict a row"
    for parts, partitions, seed, size in ((1, 5, 1, 64), (4, 1, 2, 7), (3, 5, 3, 1)):
        found = verdicts(stage, docs, parts=parts, partitions=partitions, seed=seed, batch_rows=size, ctx=ctx)
        assert found.equals(once), (parts, partitions)
    copy = pickle.loads(pickle.dumps(stage))
    assert verdicts(copy, docs, ctx=ctx).equals(once)
    # The rows in another order are the same set.
    shuffled = docs.take(pc.sort_indices(docs.column("content_hash").combine_chunks().cast(pa.binary())))
    assert verdicts(stage, shuffled, parts=2, partitions=2, ctx=ctx).equals(once)


@pytest.mark.parametrize("name", stages(Global))
def test_global_on_nothing(name: str, tiny: dict[str, Path]) -> None:
    """No rows, one row."""
    stage = make(name)
    assert isinstance(stage, Global)
    for texts in ([], ["one"], [""]):
        docs = pa.Table.from_batches([documents(texts, stage)])
        found = verdicts(stage, docs, ctx=context(stage, tiny))
        assert found.num_rows == (docs.num_rows if stage.adds() else 0)
        alone = [] if name in NEED_OTHERS else found.column("reason").to_pylist()
        assert alone == [None] * len(alone)


# -- trainers and writers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", stages(Trainer))
def test_trainer_is_deterministic(name: str, tmp_path: Path) -> None:
    """The same rows, in batches of any size, give the same files; the report is plain values."""
    from corpus import prose

    from curate.fingerprint import tree_digest

    stage = make_trainer(name)
    rows = labelled(prose(60, 600))
    found = []
    for size in (60, 7):
        out = tmp_path / str(size)
        out.mkdir()
        batches = [Batch(rows.slice(i, size)) for i in range(0, 60, size)]
        report = stage.train(batches, out, Context("step", 7))
        json.dumps(report)
        found.append((tree_digest(out), json.dumps(report, sort_keys=True)))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", stages(Writer))
def test_writer_covers_everything_once(name: str, tiny: dict[str, Path], tmp_path: Path) -> None:
    """Shards lie side by side; batches of any size give the same bytes."""
    stage = make(name)
    small = {"documents_per_shard": 7, "sequence": 16, "sequences_per_shard": 50, "tokens_per_shard": 6_000}
    stage = stage.model_copy(update={n: v for n, v in small.items() if n in type(stage).model_fields})
    assert isinstance(stage, Writer)
    ctx = context(stage, tiny)
    docs = documents(WEIRD, stage)
    if "tokens" in stage.asset_settings:
        docs = encoded(docs, tiny)
    ways = ((1, 1, 100), (3, 1, 5), (2, 4, 1))
    every = [
        written(stage, pa.Table.from_batches([docs]), tmp_path / str(i), ctx, parts=p, partitions=q, batch_rows=n)
        for i, (p, q, n) in enumerate(ways)
    ]
    assert every[0].bytes() == every[1].bytes() == every[2].bytes()
    assert every[0].files == every[1].files == every[2].files
    assert len(every[0].shards) > 1 and all(facts["rows"] > 0 for facts in every[0].facts)
    names = [path.name for path in every[0].shards]
    assert sorted(set(names)) == names
    cuts = stage.layout(1000)
    assert [c.start for c in cuts] == [0, *(c.stop for c in cuts[:-1])]
    assert stage.layout(0) == []


def encoded(docs: pa.RecordBatch, tiny: dict[str, Path]) -> pa.RecordBatch:
    """Documents with the columns of an encode.tokens step that is called as their tokenizer is: tiny."""
    stage = make("encode.tokens")
    signals = stage.measure(Batch(docs), context(stage, tiny))
    for column, values in signals.items():
        at = docs.schema.get_field_index(f"tiny.{column}")
        docs = docs.remove_column(at) if at >= 0 else docs
        docs = docs.append_column(f"tiny.{column}", values)
    return docs
