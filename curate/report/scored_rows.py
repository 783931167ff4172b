"""Scores with what a threshold is judged by: source, length, tokens, label. From a run's step, or from files scored now.

Only numbers are held, some 100 bytes a row; the text of the few documents that are shown is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, RecipeError
from curate.quality import classifier
from curate.quality.folder import FOLDS_FILE
from curate.quality.label_columns import GOOD_FROM
from curate.quality.routing import COLUMNS, Answers
from curate.report.inspect import end_of_segment
from curate.report.plain import one_line
from curate.report.read_back import read_back
from curate.report.routed_rows import answers_of_run
from curate.report.run_folder import RunFolder
from curate.report.signal import find_signal
from curate.report.step import Step
from curate.stages.label_rows import Key, Keys, keys_of, read_labels
from curate.stages.source import SetAside, Source, Split
from curate.stages.strata import META, fields_of, strata
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash

UNKNOWN: Final = "(unknown)"
_KEY: Final = 0x63616C6962
_TEXT_CHARS: Final = 300
_BACK_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class Shown:
    """A document to look at: its score, where it comes from, and the printable beginning of its text."""

    score: float
    source: str
    origin: str
    text: str


@dataclass
class ScoredRows:
    """Rows in one order, an array each.

    Attributes:
        column: what a recipe calls the score.
        score: float64, NaN where there is none. size: int64, bytes of text. tie: uint64, hash of the id.
        source: int32, index into ``sources``.
        tokens: int64, or None where they are estimated.
        label: int8, 1 good, 0 bad, -1 none; or None where none were asked for.
        answers: what a small and a large model's answers to these queries are worth, or None where nobody asked.
        show: the documents with these row numbers, in their order.
        set_aside: by reason, what was no document.
        notes: what a reader must know about the rows.
    """

    column: str
    score: npt.NDArray[np.float64]
    size: npt.NDArray[np.int64]
    tie: npt.NDArray[np.uint64]
    source: npt.NDArray[np.int32]
    sources: list[str]
    show: Callable[[Sequence[int]], list[Shown]]
    tokens: npt.NDArray[np.int64] | None = None
    label: npt.NDArray[np.int8] | None = None
    answers: Answers | None = None
    set_aside: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LabelsWanted:
    """Where labels come from, and what is good.

    Attributes:
        place: a file, a column of the run (``labels.label``), or ``meta.FIELD`` of the files that are scored.
        key: by which of a document's columns a file names it.
        good_from: the lowest label that is good; None: 1 where labels are 0 and 1, 3 on a scale up to 5.
    """

    place: str
    key: Key = "origin"
    good_from: float | None = None

    def good(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
        """Labels as 1, 0, -1; NaN is none. Raises InputError where there is none, or one class alone."""
        known = values[~np.isnan(values)]
        if not len(known):
            raise InputError(
                "none of the scored documents has a label", place=self.place, cure="check --key and --label"
            )
        least = self.good_from if self.good_from is not None else 1.0 if known.max() <= 1 else GOOD_FROM
        found = np.where(np.isnan(values), -1, values >= least).astype(np.int8)
        for mark, name in ((1, "good"), (0, "bad")):
            if not (found == mark).any():
                raise InputError(
                    f"all {len(known):,} labelled documents are {'bad' if mark else 'good'}: none is {name} (from {least:g})",
                    place=self.place,
                    cure="precision and recall need both; see --good-from",
                )
        return found


# -- a run's step ----------------------------------------------------------------------------------------------


def rows_of_step(
    run: RunFolder,
    wanted: str,
    labels: LabelsWanted | None = None,
    tokens_column: str | None = None,
    route: str | None = None,
) -> ScoredRows:
    """All rows that a step gave a score, also those that a later step dropped.

    ``wanted`` is ``STEP`` or ``STEP.COLUMN``; ``route`` a step that adds routing.COLUMNS. Raises RecipeError for a step or column
    that the run does not have.
    """
    step, name = _column(run, wanted)
    by_file = labels is not None and Path(labels.place).is_file()
    origins = by_file and labels is not None and labels.key == "origin"
    ids, hashes, scores = _signals(run, step, name)
    distinct, at = np.unique(ids, return_inverse=True)
    facts = _Facts(len(distinct), origins=origins)
    last, between = end_of_segment(run, step)
    for part in last.record.parts:
        for batch in run.visible(part, ["id", "source", "origin", "text"]):
            facts.add(distinct, batch, pc.binary_length(batch.column("text")))
    for batch in _dropped(run, [step.id, *between]):
        size = batch.column("bytes") if "bytes" in batch.schema.names else pa.nulls(batch.num_rows, pa.int64())
        facts.add(distinct, batch, size)
    rows = ScoredRows(
        f"{step.id}.{name}",
        scores,
        facts.size[at],
        _ties(ids),
        facts.source[at],
        facts.sources,
        lambda which: _from_run(run, ids, scores, which),
    )
    unknown = int((rows.size < 0).sum())
    if unknown:
        rows.notes.append(f"the length of {unknown:,} dropped documents is not on record, and counts as 0")
        rows.size = np.maximum(rows.size, 0)
    if labels is not None:
        keys = {"id": ids, "content_hash": hashes, "origin": facts.origin[at] if origins else hashes}
        if by_file:
            given = read_labels(Path(labels.place), labels.key, "label", labels.key, {})
            found = _floats(given.of(keys[labels.key]))
        else:
            found = _of_run(run, labels.place, hashes)
        rows.label = labels.good(found)
        rows.notes += _trained_on(run, step, labels.place)
    if tokens_column is not None:
        counts = _of_run(run, tokens_column, hashes)
        rows.tokens = np.where(np.isnan(counts), 0, counts).astype(np.int64)
    if route is not None:
        rows.answers = answers_of_run(run, route, distinct, at)
        rows.notes += _trained_on(run, step, route)
    return rows


def _column(run: RunFolder, wanted: str) -> tuple[Step, str]:
    if wanted in run.steps:
        added = run.steps[wanted].added()
        if "score" in added or len(added) == 1:
            wanted = f"{wanted}.{'score' if 'score' in added else added[0]}"
    return find_signal(run, wanted)


def _signals(run: RunFolder, step: Step, name: str) -> tuple[Keys, Keys, npt.NDArray[np.float64]]:
    ids, hashes, scores = [np.zeros(0, "S16")], [np.zeros(0, "S16")], [np.zeros(0)]
    for key in step.record.signals:
        for batch in run.batches(key, ["id", "content_hash", name]):
            ids.append(_s16(batch.column("id")))
            hashes.append(_s16(batch.column("content_hash")))
            scores.append(_floats(batch.column(name)))
    return np.concatenate(ids), np.concatenate(hashes), np.concatenate(scores)


class _Facts:
    """By distinct id what is known of a row; size -1 and source UNKNOWN where nothing is."""

    def __init__(self, rows: int, *, origins: bool) -> None:
        self.size = np.full(rows, -1, np.int64)
        self.source = np.zeros(rows, np.int32)
        self.origin = np.zeros(rows if origins else 0, "S16")
        self.sources = [UNKNOWN]
        self._codes = {UNKNOWN: 0}

    def add(self, distinct: Keys, batch: pa.RecordBatch, size: pa.Array) -> None:
        ids = _s16(batch.column("id"))
        at = np.minimum(np.searchsorted(distinct, ids), max(len(distinct) - 1, 0))
        known = np.flatnonzero(distinct[at] == ids) if len(distinct) else np.zeros(0, np.int64)
        self.size[at[known]] = pc.fill_null(size, -1).to_numpy(zero_copy_only=False)[known]
        self.source[at[known]] = self.codes(batch.column("source"))[known]
        if len(self.origin):
            self.origin[at[known]] = keys_of(batch.column("origin"), "origin")[known]

    def codes(self, sources: pa.Array) -> npt.NDArray[np.int32]:
        """Indices into ``sources``, which grows."""
        found = sources.dictionary_encode()
        codes = []
        for name in found.dictionary.to_pylist():
            if name not in self._codes:
                self._codes[name] = len(self.sources)
                self.sources.append(name)
            codes.append(self._codes[name])
        return np.array(codes, np.int32)[found.indices.to_numpy()] if codes else np.zeros(0, np.int32)


def _dropped(run: RunFolder, steps: list[str]) -> Iterator[pa.RecordBatch]:
    wanted = pa.array(steps, pa.string())
    for key in (key for step in run.steps.values() for key in step.record.dropped) if steps else ():
        for batch in run.batches(key, ["id", "source", "origin", "step", "bytes"]):
            yield batch.filter(pc.is_in(batch.column("step"), value_set=wanted))


def _of_run(run: RunFolder, column: str, hashes: Keys) -> npt.NDArray[np.float64]:
    """A column that some step of the run measured or added, for these texts; a text with two values has none."""
    name, _, short = column.partition(".")
    if name not in run.steps:
        raise RecipeError(
            f"the run has no column '{column}'",
            place=str(run.store),
            cure="give STEP.COLUMN of the run, or a file of labels",
        )
    keys, values = [np.zeros(0, "S16")], [np.zeros(0)]
    for batch in _measured(run, run.steps[name], short):
        keys.append(_s16(batch.column("content_hash")))
        values.append(_floats(batch.column(batch.schema.names[-1])))
    found, every = np.concatenate(keys), np.concatenate(values)
    found, every = found[~np.isnan(every)], every[~np.isnan(every)]
    order = np.lexsort((every, found))
    found, every = found[order], every[order]
    first = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1]))) if len(found) else np.zeros(0, np.int64)
    last = np.append(first[1:] - 1, len(found) - 1) if len(first) else first
    one = every[first] == every[last]
    found, every = found[first][one], every[first][one]
    if not len(found):
        return np.full(len(hashes), np.nan)
    at = np.minimum(np.searchsorted(found, hashes), len(found) - 1)
    return np.where(found[at] == hashes, every[at], np.nan)


def _measured(run: RunFolder, step: Step, short: str) -> Iterator[pa.RecordBatch]:
    """Batches whose last column is what a step measured under a name, with ``content_hash`` before it."""
    wanted = ["content_hash", short]
    found = False
    for key in step.record.signals:
        for batch in run.batches(key, wanted):
            if set(wanted) <= set(batch.schema.names):
                found = True
                yield batch.select(wanted)
    if found:
        return
    full = f"{step.id}.{short}"
    for part in end_of_segment(run, step)[0].record.parts:
        for batch in run.visible(part, ["content_hash", full]):
            if full not in batch.schema.names:
                raise RecipeError(
                    f"step '{step.id}' has no column '{short}'",
                    place=str(run.store),
                    cure=f"it has: {', '.join(step.added()) or 'none'}",
                )
            yield batch.select(["content_hash", full])


def _trained_on(run: RunFolder, step: Step, column: str) -> list[str]:
    """What to say where the scores are of a model that was trained on these very labels."""
    notes = []
    for used in (run.steps[name] for name in step.uses.values() if name in run.steps):
        if not any(
            column == v or (isinstance(v, list) and column in map(_column_of, v)) for v in used.settings.values()
        ):
            continue
        if used.record.folder and run.store.exists(f"{used.record.folder}/{FOLDS_FILE}"):
            notes.append(
                f"'{used.id}' learned from these labels; their documents have the score of a fold that did not"
            )
        else:
            notes.append(f"'{used.id}' learned from these labels: precision and recall flatter it")
    return notes


def _column_of(label: Any) -> Any:
    """The column that an entry of ``labels`` names."""
    return label.get("column") if isinstance(label, dict) else label


def _from_run(run: RunFolder, ids: Keys, scores: npt.NDArray[np.float64], which: Sequence[int]) -> list[Shown]:
    wanted = [ids[i].ljust(16, b"\0") for i in which]
    rows = run.rows(wanted)
    why = read_back(run, rows.values(), _BACK_BYTES)
    shown = []
    for i, key in zip(which, wanted, strict=True):
        row: Any = rows[key]
        text = (
            one_line(row.text[:_TEXT_CHARS], _TEXT_CHARS) if row.text is not None else f"({why.get(key) or 'no text'})"
        )
        shown.append(Shown(float(scores[i]), row.source, row.origin, text))
    return shown


# -- files scored now ------------------------------------------------------------------------------------------


def rows_of_files(
    folder: Path,
    stage: Source,
    splits: Sequence[Split],
    labels: LabelsWanted | None = None,
    done: Callable[[Split], None] = lambda _: None,
    *,
    route: bool = False,
) -> ScoredRows:
    """Score every document of some files. ``done`` is called when a split is finished; ``route``: their ``meta`` says what a small
    and a large model's answers are worth (routing.COLUMNS)."""
    model = classifier.load(folder)
    facts = _Facts(0, origins=False)
    scores, sizes, ties = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    sources, marks, ends = [np.zeros(0, np.int32)], [np.zeros(0)], [0]
    answered: dict[str, list[npt.NDArray[np.float64]]] = {name: [np.zeros(0)] for name in COLUMNS if route}
    asides: dict[str, int] = {}
    given = None
    if labels is not None and not labels.place.startswith(META):
        given = read_labels(Path(labels.place), labels.key, "label", labels.key, {})
    for split in splits:
        rows = 0
        for item in stage.read(split, "file"):
            if isinstance(item, SetAside):
                asides[item.reason] = asides.get(item.reason, 0) + 1
                continue
            docs = Batch(item)
            rows += len(docs)
            scores.append(model.score(docs).astype(np.float64))
            sizes.append(np.asarray(pc.binary_length(docs.text)).astype(np.int64))
            ties.append(keyed_hash(docs.column("id"), _KEY))
            sources.append(facts.codes(docs.column("source")))
            if labels is not None and given is not None:
                marks.append(_floats(given.of(keys_of(docs.column(labels.key), labels.key))))
            elif labels is not None:
                marks.append(_numbers(strata(docs, labels.place)))
            for name, column in zip(
                answered, fields_of(docs.column("meta"), [*answered]) if route else (), strict=True
            ):
                answered[name].append(_numbers(pc.fill_null(column, "")))
        ends.append(ends[-1] + rows)
        done(split)
    score = np.concatenate(scores)
    found = ScoredRows(
        "value.score",
        score,
        np.concatenate(sizes),
        np.concatenate(ties),
        np.concatenate(sources),
        facts.sources,
        lambda which: _from_files(stage, splits, ends, score, which),
        set_aside=dict(sorted(asides.items())),
    )
    if labels is not None and len(score):
        found.label = labels.good(np.concatenate(marks))
    if route:
        found.answers = Answers.of({name: np.concatenate(each) for name, each in answered.items()})
    return found


def _from_files(
    stage: Source, splits: Sequence[Split], ends: list[int], scores: npt.NDArray[np.float64], which: Sequence[int]
) -> list[Shown]:
    """Only splits with a wanted row are read again."""
    found: dict[int, Shown] = {}
    wanted = np.unique(np.asarray(which, np.int64))
    for split, start, end in zip(splits, ends[:-1], ends[1:], strict=True):
        here = wanted[(wanted >= start) & (wanted < end)]
        at = start
        for item in stage.read(split, "file") if len(here) else ():
            if isinstance(item, SetAside):
                continue
            for row in here[(here >= at) & (here < at + item.num_rows)].tolist():
                source, origin, text = (item.column(n)[row - at].as_py() for n in ("source", "origin", "text"))
                found[row] = Shown(float(scores[row]), source, origin, one_line(text[:_TEXT_CHARS], _TEXT_CHARS))
            at += item.num_rows
    return [found[i] for i in which if i in found]


# -- arrays ----------------------------------------------------------------------------------------------------


def _s16(column: pa.Array) -> Keys:
    return keys_of(column, "id")


def _ties(ids: Keys) -> npt.NDArray[np.uint64]:
    return keyed_hash(pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)]), _KEY)


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    found = pc.fill_null(values.cast(pa.float64(), safe=False), float("nan"))
    return cast("npt.NDArray[np.float64]", found.to_numpy(zero_copy_only=False))


def _numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    """Words as numbers, ``true`` as 1; NaN where there is none."""
    distinct = values.dictionary_encode()
    numbers = [_number(v) for v in distinct.dictionary.to_pylist()]
    return np.array(numbers, np.float64)[distinct.indices.to_numpy()] if numbers else np.zeros(0)


def _number(said: str) -> float:
    try:
        return float({"true": "1", "false": "0"}.get(said, said))
    except ValueError:
        return float("nan")
