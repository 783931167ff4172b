"""A look at a run: what went where and why, how scores are distributed, and a few rows, chosen by hash of their ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.benchmarks.hits import decisive
from curate.errors import RecipeError
from curate.report.explain import json_object
from curate.report.plain import number, one_line
from curate.report.read_back import read_back
from curate.report.run_folder import REASON, Row, RunFolder
from curate.report.step import Step
from curate.stages.base import Filter, Global
from curate.text.hashing import keyed_hash

BINS: Final = 24
_MOST_VALUES: Final = 1_000_000
"""Values a distribution is computed from; of more rows a sample by hash of the id."""
_MOST_COLUMNS: Final = 8
"""A step that adds more (``signals.text``) is only shown where it is asked for."""
_TEXT_CHARS: Final = 400
_BACK_BYTES: Final = 256 << 20
"""Input read again at most to show the text of rows that were dropped while reading."""
_KEY: Final = 0x696E7370656374


@dataclass(frozen=True)
class Wanted:
    """Which rows to look at.

    Attributes:
        step: rows that this step dropped, or with ``kept`` (or when it drops none) those that it let through.
        reason: rows dropped for this reason.
        dropped, kept: only the ones or the others; neither or both: all.
        source: rows of this source.
        rows: how many.
        seed: another seed, other rows.
    """

    step: str | None = None
    reason: str | None = None
    dropped: bool = False
    kept: bool = False
    source: str | None = None
    rows: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Seen:
    """One row to show.

    Attributes:
        step, reason: where it went and why; the reason is None for a row in the result, the step where it is then.
        about: the few values that matter most: scores, or what it was compared with.
        text: its beginning, printable, or why there is none.
    """

    id: str
    source: str
    origin: str
    step: str
    reason: str | None
    about: dict[str, Any]
    text: str


@dataclass(frozen=True)
class Distribution:
    """How one measurement is distributed over the rows that a step saw.

    Attributes:
        quantiles: by per cent: 0, 5, 25, 50, 75, 95, 100.
        bins: counts of BINS equal bins between ``low`` and ``high``: the 1st and the 99th percentile, for values
            outside [0, 1].
        sampled: whether it was computed from a sample of the rows.
    """

    step: str
    name: str
    rows: int
    quantiles: dict[str, float]
    low: float
    high: float
    bins: list[int]
    sampled: bool


@dataclass(frozen=True)
class Overview:
    """What ``inspect`` shows.

    Attributes:
        steps: by step: use, rows in and out, rows by reason, rows edited and bytes removed, ``kept_by`` and ``fields`` (see
            Counts), and what a global step reports, what a generator says of its prompt families.
        matching: how many rows ``Wanted`` matches, of which some are shown.
        crowded: by step, how many columns it adds, where they are too many to be among ``distributions``.
    """

    steps: list[dict[str, Any]]
    distributions: list[Distribution]
    matching: int
    rows: list[Seen] = field(default_factory=list)
    crowded: dict[str, int] = field(default_factory=dict)


def inspect(run: RunFolder, wanted: Wanted) -> Overview:
    """Look at a run; raises RecipeError for a step or reason that it does not have."""
    _check(run, wanted)
    chosen, matching = _choose(run, wanted)
    rows = run.rows(chosen)
    # Rows that never had their text in the store are read again, at a bounded cost.
    why = read_back(run, rows.values(), _BACK_BYTES)
    return Overview(
        [_step(s) for s in run.steps.values()],
        list(_distributions(run, wanted.step)),
        matching,
        [_seen(run, rows[i], wanted, why.get(i, "")) for i in chosen],
        {s: len(run.steps[s].added()) for s in _crowded(run)} if wanted.step is None else {},
    )


def _crowded(run: RunFolder) -> list[str]:
    return [s.id for s in run.steps.values() if len(s.added()) > _MOST_COLUMNS]


def _check(run: RunFolder, wanted: Wanted) -> None:
    place = str(run.store)
    if wanted.step is not None and wanted.step not in run.steps:
        raise RecipeError(f"the run has no step '{wanted.step}'", place=place, cure=f"it has: {', '.join(run.steps)}")
    if wanted.reason is not None:
        steps = [run.steps[wanted.step]] if wanted.step else list(run.steps.values())
        there = sorted({r for s in steps for r in s.record.counts.reasons})
        if wanted.reason not in there:
            raise RecipeError(
                f"no row went for the reason '{wanted.reason}'",
                place=place,
                cure=f"there are: {', '.join(there) or 'none'}",
            )
        if wanted.kept:
            raise RecipeError("a row that was kept has no reason", cure="give --reason or --kept, not both")


def _step(step: Step) -> dict[str, Any]:
    counts = step.record.counts
    reasons = dict(sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0])))
    report = step.record.report
    return {
        "step": step.id,
        "use": step.use,
        "in": counts.rows_in,
        "out": counts.rows_out,
        "reasons": reasons,
        "edited": counts.edited,
        "removed": counts.removed,
        "kept_by": counts.kept_by,
        "fields": counts.fields,
        "report": report if step.is_a(Global) else {name: report[name] for name in ("not_asked",) if name in report},
        "families": report.get("families", {}),
    }


# -- rows ----------------------------------------------------------------------------------------------------


def _choose(run: RunFolder, wanted: Wanted) -> tuple[list[bytes], int]:
    """The ids with the smallest keyed hashes among all that match, and how many match."""
    seen, hashes, ids = 0, np.zeros(0, np.uint64), np.zeros((0, 16), np.uint8)
    for found in _matching(run, wanted):
        from curate.text.arrow import fixed

        seen += len(found)
        hashes = np.concatenate([hashes, keyed_hash(found, _KEY ^ wanted.seed)])
        ids = np.concatenate([ids, fixed(found)])
        first = np.argsort(hashes, kind="stable")[: max(wanted.rows * 2, 64)]
        hashes, ids = hashes[first], ids[first]
    order = np.argsort(hashes, kind="stable")
    distinct = list(dict.fromkeys(ids[i].tobytes() for i in order))
    return distinct[: wanted.rows], seen


def _matching(run: RunFolder, wanted: Wanted) -> Iterator[pa.Array]:
    """Ids of all rows that match, batch by batch."""
    both = wanted.dropped == wanted.kept
    dropped, kept = both or wanted.dropped, (both or wanted.kept) and wanted.reason is None
    if both and wanted.step is not None:
        # A step that drops nothing is looked at for what it lets through.
        dropped = bool(run.steps[wanted.step].record.counts.reasons)
        kept = not dropped
    steps = [run.steps[wanted.step]] if wanted.step is not None else run.ends()
    if dropped:
        # Without a step or reason a row counts once: by what became of it on the way into the result.
        anywhere = list(run.steps) if wanted.reason is not None else run.way()
        yield from _went(run, wanted, anywhere if wanted.step is None else [wanted.step])
    seen: set[str] = set()
    for step in steps if kept else ():
        last, between = end_of_segment(run, step)
        if between:
            yield from _went(run, wanted, between)
        for part in last.record.parts:
            if part.key not in seen:
                seen.add(part.key)
                for batch in run.visible(part, ["id", "source"]):
                    yield _filtered(batch, wanted)


def _went(run: RunFolder, wanted: Wanted, steps: list[str]) -> Iterator[pa.Array]:
    for key in (key for step in run.steps.values() for key in step.record.dropped):
        for batch in run.batches(key, ["id", "source", "step", "reason"]):
            batch = batch.filter(pc.is_in(batch.column("step"), value_set=pa.array(steps, pa.string())))
            if wanted.reason is not None:
                batch = batch.filter(pc.equal(batch.column("reason"), wanted.reason))
            yield _filtered(batch, wanted)


def end_of_segment(run: RunFolder, step: Step) -> tuple[Step, list[str]]:
    """The step with whose parts a step's rows lie, and the ids of the steps in between, itself not counted.

    What a step inside a segment gave is what the segment's last step gives and what those in between dropped.
    """
    between: list[str] = []
    while not step.record.parts:
        after = next((s for s in run.steps.values() if s.inputs == (step.id,) and s.is_a(Filter)), None)
        if after is None:
            break
        between.append(after.id)
        step = after
    return step, between


def _filtered(batch: pa.RecordBatch, wanted: Wanted) -> pa.Array:
    if wanted.source is not None:
        batch = batch.filter(pc.equal(batch.column("source"), wanted.source))
    return batch.column("id")


def _seen(run: RunFolder, row: Row, wanted: Wanted, why: str) -> Seen:
    there = [wanted.step] if wanted.step else list(run.steps) if wanted.reason else run.way()
    gone = next((s for s in there if s in row.dropped and wanted.reason in (None, row.dropped[s][0])), None)
    if wanted.kept and not wanted.dropped:
        gone = None
    reason = row.dropped[gone][0] if gone else None
    text = one_line(row.text[:_TEXT_CHARS], _TEXT_CHARS) if row.text is not None else f"({why or 'no text'})"
    text = f"({row.note}) {text}" if row.note else text
    step = gone or wanted.step or (run.ends()[0].id if run.ends() else "")
    return Seen(row.id.hex(), row.source, row.origin, step, reason, _about(run, row, gone), text)


def _about(run: RunFolder, row: Row, gone: str | None) -> dict[str, Any]:
    crowded = _crowded(run)
    about: dict[str, Any] = {
        name: value
        for name, value in row.columns.items()
        if isinstance(value, int | float) and name.partition(".")[0] not in crowded
    }
    for step in (s for s in run.steps.values() if s.id not in crowded):
        for name in step.added():
            value = row.signals.get(step.id, {}).get(name)
            if isinstance(value, int | float):
                about.setdefault(f"{step.id}.{name}", value)
    if gone is None:
        return about
    signals = row.signals.get(gone, {})
    if held := decisive(row.dropped[gone][0], signals):
        about = {"item": signals[held[0]], held[1]: signals[held[1]]}
    detail = row.dropped[gone][1]
    compared = json_object(detail)
    if "chosen" in compared:
        about = {"detail": f"beside {compared['chosen'][:8]}, gap {number(compared['gap'])}, {compared['tier']}"}
    elif "kept" in compared:
        of = {"index": compared["index"]} if "index" in compared else {}
        about = {"kept": compared["kept"][:8], "similarity": compared.get("similarity", 1.0), **of}
    elif detail or isinstance(signals.get("detail"), str):
        about = {"detail": detail or signals["detail"]}
    elif not held:
        about = {**deciding(run.steps[gone], row.dropped[gone][0], signals), **about}
    return about


def deciding(step: Step, reason: str, signals: dict[str, Any]) -> dict[str, Any]:
    """The one or two signals that a reason is about: those of its bounds; without a table those of its name or of a
    setting named in its sentence, else those that the sentence mentions."""
    bounded = {b.signal for b in step.bounds(reason)}
    words = set(step.sentence(reason).replace(",", " ").replace("`", " ").replace(";", " ").split())
    bounds = {w.removeprefix("max_").removeprefix("min_") for w in words if w.startswith(("max_", "min_"))}
    for near in (lambda n: n in bounded, lambda n: n in bounds or n in reason, lambda n: n in words):
        found = {name: value for name, value in signals.items() if value is not None and near(name)}
        if found:
            return dict(list(found.items())[:2])
    return {}


# -- distributions -------------------------------------------------------------------------------------------


def _distributions(run: RunFolder, only: str | None) -> Iterator[Distribution]:
    """Of the columns that steps add; for one step of everything it measured."""
    crowded = _crowded(run) if only is None else []
    for step in run.steps.values():
        if step.id in crowded or only not in (None, step.id):
            continue
        added = step.added()
        values: dict[str, list[pa.Array]] = {}
        sample = min(1.0, _MOST_VALUES / max(step.record.counts.rows_in, 1))
        for key in step.record.signals:
            for batch in run.batches(key):
                if sample < 1:
                    bound = np.uint64(int(sample * 2.0**64))
                    batch = batch.filter(pa.array(keyed_hash(batch.column("id"), _KEY) < bound))
                for name in batch.schema.names:
                    kind = batch.schema.field(name).type
                    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
                    if number and name not in ("id", REASON) and (only is not None or name in added):
                        values.setdefault(name, []).append(batch.column(name).cast(pa.float64()))
        for name, arrays in values.items():
            made = distribution(step.id, name, pa.chunked_array(arrays).drop_null().to_numpy(), sampled=sample < 1)
            if made is not None:
                yield made


def distribution(
    step: str, name: str, values: np.ndarray, *, sampled: bool = False, ends: tuple[float, float] | None = None
) -> Distribution | None:
    """Quantiles and a histogram of some values, between ``ends`` or their own; None when there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    points = (0, 5, 25, 50, 75, 95, 100)
    quantiles = {str(p): float(q) for p, q in zip(points, np.percentile(values, points), strict=True)}
    low, high = 0.0, 1.0
    if quantiles["0"] < 0 or quantiles["100"] > 1:
        low, high = (float(q) for q in np.percentile(values, (1, 99)))
    if ends is not None:
        low, high = ends
    if high <= low:
        high = low + 1.0
    bins = np.histogram(np.clip(values, low, high), BINS, (low, high))[0]
    return Distribution(step, name, len(values), quantiles, low, high, bins.tolist(), sampled)
