"""One document's story: where it came from, what each step measured, why it stayed or went, and where it is now."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import schema
from curate.report import side_by_side
from curate.report.copies import Copy, copies_of, given_to
from curate.report.edits import Texts, editing, texts_of, way_of
from curate.report.plain import lines, number, one_line
from curate.report.read_back import answer_of, read_back
from curate.report.run_folder import Row, RunFolder
from curate.report.step import Step
from curate.stages.base import Filter, Trainer
from curate.stages.generator import Generator
from curate.stages.source import Source
from curate.stages.writer import Writer
from curate.store.tables import open_data

_DIFF_LINES: Final = 1500
"""Lines of each text that are compared at most: difflib takes quadratic time on texts without a common line."""
_DIFF_WORDS: Final = 5000
_MOST_RUNS: Final = 12
"""Places of a long document that are listed."""
_SHOWN_DIFF: Final = 40
_OTHERS: Final = frozenset({"kept", "chosen"})
"""In a row's detail: the document that was kept in its place, or chosen over it."""
EARLIER: Final = ', "index": "'
"""In the detail of one that went in favour of earlier data: an id there may be that of another document here."""


@dataclass(frozen=True)
class Event:
    """What one step did with the document.

    Attributes:
        step, use: which one.
        state: ``read``, ``made``, ``kept``, ``dropped``, ``trained on``, ``written`` or ``never reached``.
        reason, sentence: why it went, and what that means.
        detail: what it was compared with.
        signals: what was measured.
        settings: those of the step's settings that the reason is about.
        removed: characters that it took from the text; None for a step that edits none, or where that can't be told.
        diff: unified, of the text before and after it; printable lines.
        copies: where the longest spans stand that it cut.
    """

    step: str
    use: str
    state: str
    reason: str | None = None
    sentence: str = ""
    detail: Any = None
    signals: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    removed: int | None = None
    diff: list[str] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)


@dataclass(frozen=True)
class Twin:
    """The document that was kept in place of this one, or chosen over it.

    Attributes:
        id, source, origin: which one.
        similarity: as the step measured it.
        titles: what this document is called beside the other one, and the other.
        fate: what became of it afterwards.
        text: of it; None where it can't be had.
        note: how the two differ, where a sentence says all.
        rows: both beside each other where they differ: this document on the left; see side_by_side.
    """

    id: str
    source: str
    origin: str
    similarity: float | None
    fate: str
    text: str | None
    note: str
    rows: list[side_by_side.Row]
    titles: tuple[str, str] = ("dropped", "kept in its place")


@dataclass(frozen=True)
class Story:
    """All of it; plain values.

    Attributes:
        content_hash: of ``text``.
        text: as it is in the result, or was when the document went: after the edits of the steps that it passed.
        text_from: ``store``, ``input`` or ``answer``; None where there is no text, and ``no_text`` says why.
        original: as it was read, where a step edited it and it could be had; else ``note`` says why not.
        generated: model, family, topic and tokens of a document that a model wrote.
        stands_for: how many duplicates went in its favour.
        dataset: where in the final dataset it is, a line for each place.
    """

    id: str
    source: str
    origin: str
    meta: dict[str, Any]
    content_hash: str | None
    text: str | None
    text_from: str | None
    no_text: str
    events: list[Event]
    twin: Twin | None
    generated: dict[str, Any] | None
    stands_for: int
    dataset: list[str]
    original: str | None = None
    note: str = ""


def explain(run: RunFolder, prefix: str, width: int = 100) -> Story:
    """The story of the document whose id begins with ``prefix``; raises RecipeError if there is not exactly one.

    ``width`` is that of a page: two columns of column_width, or a difference that is indented by eight.
    """
    wanted = run.find(prefix)
    row = run.rows([wanted])[wanted]
    text_from = "store" if row.text is not None else None
    why = read_back(run, [row], originals=True)
    if text_from is None and row.text is not None:
        text_from = "input" if row.maker and run.steps[row.maker].is_a(Source) else "answer"
    texts = texts_of(run, row)
    events = [_with_copies(run, row, _with_edit(e, texts, width - 8), texts, width) for e in _events(run, row)]
    edited = texts.original is not None and texts.original != row.text
    note = row.note or texts.why
    if not note and texts.hidden:
        note = f"what it was before {texts.hidden} is not shown: that step hides what it takes"
    if (
        not note
        and row.text is not None
        and texts.original is None
        and any(s in editing(run) for s in way_of(run, row))
    ):
        note = f"what it was before its edits can't be read: {why.get(row.id, 'it is not known')}"
    return Story(
        id=row.id.hex(),
        source=row.source,
        origin=row.origin,
        meta=json_object(row.meta),
        content_hash=row.content_hash.hex() if row.content_hash else None,
        text=row.text,
        text_from=text_from,
        no_text=why.get(row.id, ""),
        events=events,
        twin=_twin(run, row, events, width),
        generated=_generated(run, row),
        stands_for=_stands_for(run, row.id),
        dataset=[line for e in events if e.state == "written" for line in _places(run, run.steps[e.step], row.id)],
        original=texts.original if edited else None,
        note=note,
    )


def _with_edit(event: Event, texts: Texts, width: int) -> Event:
    before, after = texts.before.get(event.step), texts.after.get(event.step)
    if event.state != "kept" or before is None or after is None:
        return event
    diff = _unified(before, after, width) if before != after else []
    return replace(event, removed=len(before) - len(after), diff=diff)


def _with_copies(run: RunFolder, row: Row, event: Event, texts: Texts, width: int) -> Event:
    step = run.steps[event.step]
    return replace(event, copies=copies_of(run, step, row, given_to(step, row, texts), column_width(width)))


def json_object(text: str | None) -> dict[str, Any]:
    """A JSON object, or an empty one for what is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _events(run: RunFolder, row: Row) -> list[Event]:
    there: dict[str, bool] = {}
    events = []
    for step in run.steps.values():
        event = _event(step, row, reached=any(there.get(name) for name in step.inputs))
        there[step.id] = event.state in ("read", "made", "kept")
        # Steps of other branches say nothing about this document.
        if event.state != "never reached" or _below_drop(run, step, row):
            events.append(event)
    return events


def _event(step: Step, row: Row, *, reached: bool) -> Event:
    signals = {
        k: v for k, v in row.signals.get(step.id, {}).items() if k not in (schema.SPANS, schema.COPIES, schema.PLACES)
    }
    for name in step.added():
        if f"{step.id}.{name}" in row.columns:
            signals.setdefault(name, row.columns[f"{step.id}.{name}"])
    # Token ids as bytes say nothing to a reader, and no JSON holds them.
    signals = {name: f"{len(v):,} bytes" if isinstance(v, bytes) else v for name, v in signals.items()}
    if step.id in row.dropped:
        reason, detail = row.dropped[step.id]
        return Event(
            step.id,
            step.use,
            "dropped",
            reason,
            step.sentence(reason),
            _plain(detail),
            signals,
            step.deciding_settings(reason),
        )
    if step.id == row.maker:
        return Event(step.id, step.use, "read" if step.is_a(Source) else "made", signals=signals)
    if not reached or step.is_a(Source):
        return Event(step.id, step.use, "never reached")
    if step.is_a(Writer):
        return Event(step.id, step.use, "written")
    if step.is_a(Trainer):
        return Event(step.id, step.use, "trained on", sentence="or held out, or left out by its sampling")
    if step.is_a(Generator):
        return Event(step.id, step.use, "shown", sentence="a model may have been shown it; what it wrote has own ids")
    return Event(step.id, step.use, "kept", signals=signals)


def _below_drop(run: RunFolder, step: Step, row: Row) -> bool:
    """Whether a step comes after one that dropped the row."""
    above, seen = list(step.inputs), set()
    while above:
        name = above.pop()
        if name in row.dropped:
            return True
        if name not in seen and name in run.steps:
            seen.add(name)
            above += run.steps[name].inputs
    return False


def _plain(detail: str | None) -> Any:
    if detail and detail.startswith("{"):
        try:
            return json.loads(detail)
        except ValueError:
            return detail
    return detail


# -- duplicates ----------------------------------------------------------------------------------------------


def _twin(run: RunFolder, row: Row, events: list[Event], width: int) -> Twin | None:
    event = next((e for e in events if isinstance(e.detail, dict) and _OTHERS & e.detail.keys()), None)
    if event is None:
        return None
    detail = event.detail
    if "index" in detail:
        return _earlier(run.steps[event.step], detail)
    named = next(str(detail[name]) for name in _OTHERS if name in detail)
    other = bytes.fromhex(named)
    kept = run.rows([other])[other]
    read_back(run, [kept])
    note, rows = "a text of them can't be had", list[side_by_side.Row]()
    if row.text is not None and kept.text is not None:
        note, rows = side_by_side.side_by_side(row.text, kept.text, column_width(width))
    similarity, fate = detail.get("similarity"), _fate(run, kept)
    titles = ("rejected", f"chosen, {_gap(detail)}") if "chosen" in detail else Twin.titles
    return Twin(named, kept.source, kept.origin, similarity, fate, kept.text, note, rows, titles)


def _gap(detail: Mapping[str, Any]) -> str:
    return f"gap {number(detail['gap'])}, tier {one_line(detail.get('tier'), 40)}"


def _earlier(step: Step, detail: Mapping[str, Any]) -> Twin:
    """The document of an earlier run, of which the index says no more than its id."""
    given = ", ".join(step.settings.get("against", []))
    source, fate = f"earlier data, index {detail['index']}", f"kept by the run that left an index as {given}"
    note = "the index has no text of it: 'curate explain' there has"
    return Twin(detail["kept"], source, "", detail.get("similarity"), fate, None, note, [])


def column_width(page: int) -> int:
    """Of each of two columns on a page, with a mark between them."""
    return (page - 3) // 2


def _fate(run: RunFolder, row: Row) -> str:
    for step in run.way():
        if step in row.dropped:
            return f"itself dropped later, by {step}: {row.dropped[step][0]}"
    return "in the result"


def _unified(before: str, after: str, width: int) -> list[str]:
    """What an edit changed as a unified diff of printable lines; by words where lines have little in common."""
    if before.split() == after.split():
        return ["(they differ in white space only)"]
    a, b = lines(before, width, _DIFF_LINES), lines(after, width, _DIFF_LINES)
    found = list(difflib.unified_diff(a, b, n=1, lineterm=""))[2:]
    if sum(line.startswith("-") for line in found) > len(a) / 2:
        # Hardly a line in common: the same words under other line breaks, say. Then words tell more than lines.
        found = _changed_words(before, after, width)
    more = len(found) - _SHOWN_DIFF
    return found if more <= 0 else [*found[:_SHOWN_DIFF], f"... and {more:,} more lines of the diff"]


def _changed_words(before: str, after: str, width: int) -> list[str]:
    a, b = before.split()[:_DIFF_WORDS], after.split()[:_DIFF_WORDS]
    found = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=len(a) > 2000).get_opcodes():
        if kind == "equal":
            continue
        found.append(f"@ word {i + 1:,}, after: {one_line(' '.join(a[max(0, i - 6) : i]), width - 20)}")
        for sign, words in (("-", a[i:j]), ("+", b[k:m])):
            found += [sign + line for line in lines(" ".join(words), width, 4)] if words else []
    return found


def _stands_for(run: RunFolder, wanted: bytes) -> int:
    count = 0
    needle = f'"kept": "{wanted.hex()}"'
    for step in run.steps.values():
        if step.is_a(Filter, Source, Generator) or not any("duplicate" in r for r in step.record.counts.reasons):
            continue
        for key in step.record.dropped:
            for batch in run.batches(key, ["detail"]):
                detail = batch.column("detail")
                here = pc.and_not(pc.match_substring(detail, needle), pc.match_substring(detail, EARLIER))
                count += int(pc.sum(here).as_py() or 0)
    return count


# -- generated -----------------------------------------------------------------------------------------------


def _generated(run: RunFolder, row: Row) -> dict[str, Any] | None:
    if row.maker is None or not run.steps[row.maker].is_a(Generator):
        return None
    said: dict[str, Any] = {"family": row.origin.partition("/")[2].rpartition("#")[0] or None}
    said.update(
        {k: v for k, v in json_object(row.meta).items() if k in ("model", "licence", "topic", "family", "audience")}
    )
    answer = answer_of(run, row)
    if answer is not None:
        for name in ("model", "licence", "prompt_tokens", "completion_tokens", "finish_reason"):
            said.setdefault(name, answer.get(name))
    return {k: v for k, v in said.items() if v is not None}


# -- the final dataset ---------------------------------------------------------------------------------------


def _places(run: RunFolder, step: Step, wanted: bytes) -> list[str]:
    if step.record.folder is None:
        return []
    if step.record.beside is not None:
        return _sequences(run, step, wanted.hex())
    found: list[str] = []
    for shard in step.record.shards:
        key = f"{step.record.folder}/{shard['name']}"
        if not run.store.exists(key):
            return [f"in {step.id} (its files are not here)"]
        with open_data(run.store.data(key)) as source, pa.ipc.open_stream(source) as reader:
            if "id" not in reader.schema.names:
                return [f"in {step.id}; which rows hold it was not recorded"]
            found += [f"{step.id}/{shard['name']} {rows}" for rows in _runs("row", _rows_with(reader, wanted.hex()))]
    return found or [f"not in {step.id}"]


def _sequences(run: RunFolder, step: Step, wanted: str) -> list[str]:
    """Which sequences of the whole dataset hold any of it, as the tables beside its shards say."""
    found: list[int] = []
    for shard in step.record.shards:
        key = f"{step.record.beside}/{shard['side']['name']}"
        if not run.store.exists(key):
            return [f"in {step.id} (its files are not here)"]
        with open_data(run.store.data(key)) as source:
            rows = pq.read_table(source, columns=["sequence", "document"], filters=pc.field("document") == wanted)
            found += rows.column("sequence").to_pylist()
    runs = _runs("sequence", found)
    at = [f"{step.id} {rows}" for rows in runs[:_MOST_RUNS]]
    if len(runs) > _MOST_RUNS:
        at.append(f"... and more: {len(set(found)):,} sequences in all")
    return at or [f"not in {step.id}: its mixture leaves it out, or it lies in what was cut off at the end"]


def _runs(what: str, rows: list[int]) -> list[str]:
    """Numbers as runs: ``row 3``, ``rows 7-9``."""
    runs: list[list[int]] = []
    for row in sorted(set(rows)):
        if runs and row == runs[-1][1] + 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    return [f"{what} {a:,}" if a == b else f"{what}s {a:,}-{b:,}" for a, b in runs]


def _rows_with(reader: pa.ipc.RecordBatchStreamReader, wanted: str) -> list[int]:
    found, start = [], 0
    for batch in reader:
        at = pc.indices_nonzero(pc.equal(batch.column("id"), wanted))
        found += [start + i for i in at.to_pylist()]
        start += batch.num_rows
    return found
