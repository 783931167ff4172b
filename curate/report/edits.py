"""What steps that edit text made of one document's text: only the last one is kept, the rest is edited again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from curate import assets, schema
from curate.errors import CurateError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.report.run_folder import Row, RunFolder, recipe_path
from curate.report.step import Step
from curate.stages.base import Context, Stage
from curate.stages.benchmarked import Benchmarked
from curate.text.batch import Batch
from curate.text.hashing import content_hash

B = TypeVar("B", bound=Benchmarked)


@dataclass
class Texts:
    """One document's text on its way.

    Attributes:
        now: as it is in the result, or was when the document went; None where that can't be told.
        meta: the document's ``meta`` beside that text; None where no text of it was had.
        original: as it was read or made; None where it was not had.
        before, after: by editing step that the document passed.
        why: what keeps an edit from being made again; empty when nothing does.
        hidden: the last step that it passed of those that hide what they take: neither ``original`` nor what was before it is
            given; empty: none.
    """

    now: str | None
    original: str | None
    before: dict[str, str]
    after: dict[str, str]
    why: str = ""
    meta: str | None = None
    hidden: str = ""


def editing(run: RunFolder) -> list[str]:
    """The steps of a run that edit text."""
    return [step.id for step in run.steps.values() if step.edits]


def way_of(run: RunFolder, row: Row) -> dict[str, tuple[str | None, bool]]:
    """The steps that a row came to, in order: from which step, and whether it stayed."""
    found: dict[str, tuple[str | None, bool]] = {}
    for step in run.steps.values():
        before = next((name for name in step.inputs if name in found and found[name][1]), None)
        if step.id == row.maker or before is not None:
            found[step.id] = (None if step.id == row.maker else before, step.id not in row.dropped)
    return found


def texts_of(run: RunFolder, row: Row) -> Texts:
    """Follow a row's text from ``row.texts`` (as some steps left it) through the steps that edited it."""
    edits, result = set(editing(run)), Texts(None, None, {}, {})
    left: dict[str, _Left] = {}
    way, passed = way_of(run, row), False
    for name, (before, stayed) in way.items():
        kept = (row.texts[name], row.metas.get(name)) if name in row.texts else None
        had = left.get(before) if before is not None else kept
        if name in edits and stayed:
            passed = True
            if had is not None:
                result.before[name] = had[0]
            if kept is None and had is not None:
                try:
                    kept = _again(run, run.steps[name], row, *had)
                except (CurateError, OSError, ValueError, KeyError, TypeError) as error:
                    result.why = f"what step {name} made of it can't be made again: {error}"
            had = kept
            if had is not None:
                result.after[name] = had[0]
        elif stayed and kept is not None:
            if had is not None and had[0] != kept[0]:
                result.why = "this version edits otherwise than the one that made the run"
            had = kept
        if had is not None:
            left[name] = had
            result.original = had[0] if not passed and result.original is None else result.original
    main = [name for name in run.way() if name in way] or list(way)
    if main:
        result.now, result.meta = left.get(main[-1], (None, None))
    elif row.texts:
        last = list(row.texts)[-1]
        result.now, result.meta = row.texts[last], row.metas.get(last)
    return _hidden(run, result, [name for name, (_, stayed) in way.items() if stayed])


_Left = tuple[str, str | None]
"""A text as a step left it, and the meta beside it, where that is known."""


def _hidden(run: RunFolder, texts: Texts, passed: list[str]) -> Texts:
    """The same without what steps that a document passed hide."""
    hiding = [n for n, name in enumerate(passed) if (stage := run.steps[name].filter) is not None and stage.hides]
    if hiding:
        texts.hidden, texts.original = passed[hiding[-1]], None
        for name in passed[: hiding[-1] + 1]:
            texts.before.pop(name, None)
            texts.after.pop(name, None)
    return texts


def _again(run: RunFolder, step: Step, row: Row, text: str, meta: str | None) -> _Left:
    """What a step's edit makes of one text, and of its meta. What a global step cut is on record, since it hung on other texts."""
    stage = step.filter
    if stage is None:
        return _cut(text, row.signals.get(step.id, {}).get(schema.SPANS) or []), meta
    value = pa.array([text], pa.large_string())
    columns: dict[str, pa.Array] = {
        "id": pa.array([row.id], schema.ID_TYPE),
        "text": value,
        "source": pa.array([row.source], pa.string()),
        "origin": pa.array([row.origin], pa.string()),
        "meta": pa.array([meta or row.meta or "{}"], pa.string()),
        "content_hash": content_hash(value),
    }
    for column in sorted(stage.reads() - set(schema.DOCUMENT.names)):
        owner, _, short = column.partition(".")
        maker = run.steps[owner].filter
        kind = maker.adds()[short] if maker is not None else None
        known = row.signals.get(owner, {}).get(short, row.columns.get(column))
        columns[column] = pa.array([known], kind)
    docs, ctx = Batch(pa.RecordBatch.from_pydict(columns)), _context(run, step, stage)
    if stage.edits_meta():
        meta = str(stage.edit_meta(docs, ctx).to_pylist()[0])
    return str(stage.edit(docs, ctx).to_pylist()[0]), meta


def _cut(text: str, spans: list[int]) -> str:
    """A text without spans of its bytes, start and stop in turn."""
    raw, ends = text.encode(), [0, *spans, len(text.encode())]
    return b"".join(raw[a:b] for a, b in zip(ends[::2], ends[1::2], strict=True)).decode()


def as_asked(run: RunFolder, step: Step, stage: B) -> B:
    """The stage with its benchmarks as the recipe names them, where that is still there: a manifest has no paths."""
    path = recipe_path(run.store)
    with suppress(CurateError):
        planned = make_plan(load_recipe(path, plugins=False)).steps.get(step.id) if path is not None else None
        if planned is not None and isinstance(planned.stage, Benchmarked):
            return stage.model_copy(update={"against": planned.stage.against, "registry": planned.stage.registry})
    return stage


def _context(run: RunFolder, step: Step, stage: Stage) -> Context:
    found: dict[str, Path] = {}
    recipe = recipe_path(run.store)
    for setting, kind in stage.asset_settings.items():
        value = getattr(stage, setting)
        if isinstance(stage, Benchmarked) and setting == "against":
            folders = as_asked(run, step, stage).folders(recipe.parent if recipe is not None else None)
            found |= {f"{setting}/{number}": folder for number, folder in enumerate(folders)}
        elif setting in step.uses:
            found[setting] = run.store.local(str(run.steps[step.uses[setting]].record.folder))
        elif value is not None:
            local = assets.locate(str(value), recipe.parent) if recipe is not None else Path(str(value))
            file = ("/" in str(value) and local.exists()) or ("." in str(value) and local.is_file())
            found[setting] = local if file else assets.find(kind, str(value))
    seed = run.manifest.get("seed") if stage.seeded else None
    return Context(step.id, seed, found)
