"""One measured signal: how it is distributed, what its thresholds cut off, and documents at a chosen place."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RecipeError
from curate.report.plain import one_line
from curate.report.read_back import read_back
from curate.report.run_folder import REASON, RunFolder
from curate.report.step import Step
from curate.stages.bounds import Threshold, beyond
from curate.text.hashing import keyed_hash

QUANTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_MOST_VALUES: Final = 1_000_000
"""Values that are looked at; of more rows a sample by hash of the id."""
_FEW: Final = 16
"""So many different values are shown one by one."""
_SPREAD: Final = 100
"""A 99th percentile that is so many times the 1st asks for a logarithmic axis."""
_SPIKE: Final = 0.1
"""A share of zeros from which they have a bar of their own."""
_KEY: Final = 0x7369676E616C
_TEXT_CHARS: Final = 400
_BACK_BYTES: Final = 256 << 20

Floats = npt.NDArray[np.float64]
Axis = Literal["linear", "log", "values"]


@dataclass(frozen=True)
class Bin:
    """Rows whose value is at least ``low`` and below ``high`` (both the same: exactly that value).

    The first and the last bin also hold what lies beyond the 1st and the 99th percentile.
    """

    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Mark:
    """A threshold on the signal.

    Attributes:
        reason, op, setting, value: rows with ``signal op value`` go for ``reason``; the setting holds the value.
        rows: how many of the rows looked at lie beyond it, whatever an earlier rule said of them.
    """

    reason: str
    op: str
    setting: str
    value: float
    rows: int


@dataclass(frozen=True)
class Example:
    """A document: its value, what the step did with it (None: it stayed), and its text's beginning, printable."""

    id: str
    value: float
    source: str
    origin: str
    reason: str | None
    text: str


@dataclass(frozen=True)
class Signal:
    """What there is to say about a signal.

    Attributes:
        step, use, name, type: which one; ``type`` as Arrow writes it.
        rows: rows with a value that were looked at; ``missing`` had none (null, NaN, infinite).
        sampled: whether these are a sample of the step's rows.
        quantiles: by per cent, those of QUANTILES.
        axis: how ``bins`` divide the values: evenly, evenly in the logarithm, or one by one.
        at: what examples were asked for: ``value``, and the ``quantile`` at which it lies (share of rows below it).
    """

    step: str
    use: str
    name: str
    type: str
    rows: int
    missing: int
    sampled: bool
    quantiles: dict[str, float]
    axis: Axis
    bins: list[Bin]
    marks: list[Mark]
    at: dict[str, float] | None = None
    examples: list[Example] = field(default_factory=list)


def signal(run: RunFolder, wanted: str, at: str | None = None, examples: int = 10) -> Signal:
    """Look at ``STEP.SIGNAL`` of a run (or at SIGNAL, where one step alone measures it).

    ``at`` is a quantile (``0.95``, ``95%``), a value (``=0.3``, or a number above 1) or a setting of the step whose
    threshold is meant; the documents nearest to it are the examples, ties by hash of their ids.

    Raises RecipeError for a name that the run does not have, with those that it has.
    """
    step, name = find_signal(run, wanted)
    table, sampled = _table(run, step, name)
    column = table.column(name).combine_chunks()
    kind = column.type
    values = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False)
    there = np.isfinite(values)
    known = values[there]
    if not len(known):
        raise RecipeError(f"no row has a value of '{wanted}'", place=str(run.store))
    axis, bins = histogram(known, whole=not pa.types.is_floating(kind))
    found = Signal(
        step=step.id,
        use=step.use,
        name=name,
        type=str(kind),
        rows=len(known),
        missing=len(values) - len(known),
        sampled=sampled,
        quantiles=dict(zip(map(str, QUANTILES), np.percentile(known, QUANTILES).tolist(), strict=True)),
        axis=axis,
        bins=bins,
        marks=[_mark(t, column) for t in (step.filter.thresholds() if step.filter else ()) if t.signal == name],
    )
    if at is None:
        return found
    value = _target(at, known, found)
    place = {"value": value, "quantile": float((known < value).mean())}
    return Signal(**{**vars(found), "at": place, "examples": _nearest(run, table, values, value, examples)})


# -- finding -------------------------------------------------------------------------------------------------


def find_signal(run: RunFolder, wanted: str) -> tuple[Step, str]:
    """The step and the name of a signal; raises RecipeError with the names that there are."""
    step_name, dot, name = wanted.partition(".")
    measured = {s.id: _names(run, s) for s in run.steps.values()}
    measured = {s: names for s, names in measured.items() if names}
    place = str(run.store)
    if not dot:
        owners = [s for s, names in measured.items() if wanted in names]
        if len(owners) == 1:
            return run.steps[owners[0]], wanted
        if owners:
            raise RecipeError(
                f"several steps measure '{wanted}'", place=place, cure=f"give one: {_all(owners, wanted)}"
            )
        step_name, name = wanted, ""
    if step_name not in measured:
        if not dot and step_name not in run.steps:
            raise RecipeError(f"no step measures '{wanted}'", place=place, cure=_cure(wanted, measured))
        cure = f"these do: {', '.join(measured)}" if measured else "filters and signals.text do"
        what = "measures no numbers" if step_name in run.steps else "is not in the run"
        raise RecipeError(f"step '{step_name}' {what}", place=place, cure=cure)
    if name not in measured[step_name]:
        said = (
            f"step '{step_name}' measures no '{name}'" if name else f"which of the signals of '{step_name}' is not said"
        )
        raise RecipeError(said, place=place, cure=_cure(name, {step_name: measured[step_name]}))
    return run.steps[step_name], name


def _cure(name: str, measured: dict[str, list[str]]) -> str:
    near = difflib.get_close_matches(name, [n for names in measured.values() for n in names], n=1)
    if near:
        owner = next(s for s, names in measured.items() if near[0] in names)
        return f"did you mean '{owner}.{near[0]}'?"
    if len(measured) > 1:
        return f"give STEP.SIGNAL; these steps measure something: {', '.join(measured)}"
    return "there are: " + ", ".join(f"{s}.{n}" for s, names in measured.items() for n in names)


def _all(steps: list[str], name: str) -> str:
    return ", ".join(f"{s}.{name}" for s in steps)


def _names(run: RunFolder, step: Step) -> list[str]:
    """The numbers and flags among a step's signals."""
    from curate.store.tables import open_table

    for key in step.record.signals:
        with open_table(run.store.data(key)) as reader:
            return [f.name for f in reader.schema if f.name != REASON and _is_number(f.type)]
    return []


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _table(run: RunFolder, step: Step, name: str) -> tuple[pa.Table, bool]:
    """Columns id, the signal and the step's reason, of all rows or of a sample; and whether it is one."""
    share = min(1.0, _MOST_VALUES / max(step.record.counts.rows_in, 1))
    return pa.Table.from_batches(list(_batches(run, step, name, share))), share < 1


def _batches(run: RunFolder, step: Step, name: str, share: float) -> Iterator[pa.RecordBatch]:
    for key in step.record.signals:
        for batch in run.batches(key, ["id", name, REASON]):
            if share < 1:
                batch = batch.filter(pa.array(keyed_hash(batch.column("id"), _KEY) < np.uint64(int(share * 2.0**64))))
            yield batch


def _mark(threshold: Threshold, column: pa.Array) -> Mark:
    rows = pc.sum(beyond(column, threshold.op, threshold.value)).as_py() or 0
    return Mark(threshold.reason, threshold.op, threshold.setting, float(threshold.value), int(rows))


# -- histogram -----------------------------------------------------------------------------------------------


def histogram(values: Floats, *, whole: bool) -> tuple[Axis, list[Bin]]:
    """Bins of finite values (float64, at least one) on the axis that fits, between the 1st and 99th percentile.

    ``whole`` says that all of them are whole numbers. Edges are round numbers. Zeros have a bin of their own where
    there are many of them, or on a logarithmic axis.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW:
        return "values", [Bin(v, v, n) for v, n in zip(distinct.tolist(), counts.tolist(), strict=True)]
    zeros = int((values == 0).sum())
    positive = values[values > 0]
    if len(positive) + zeros == len(values) and len(positive):
        low, high = np.percentile(positive, (1, 99)).tolist()
        if high >= low * _SPREAD:
            return "log", [
                *([Bin(0, 0, zeros)] if zeros else []),
                *_counted(positive, _log_edges(low, high, whole=whole)),
            ]
    apart = zeros >= _SPIKE * len(values) and values.min() >= 0 and len(positive) > 0
    kept = positive if apart else values
    low, high = np.percentile(kept, (1, 99)).tolist()
    return "linear", [*([Bin(0, 0, zeros)] if apart else []), *_counted(kept, _linear_edges(low, high, whole=whole))]


def _counted(values: Floats, edges: list[float]) -> list[Bin]:
    """Counts between edges; what lies outside is counted in the first and the last bin."""
    at = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    rows = np.bincount(at, minlength=len(edges) - 1).tolist()
    return [Bin(a, b, n) for a, b, n in zip(edges[:-1], edges[1:], rows, strict=True)]


def _linear_edges(low: float, high: float, *, whole: bool) -> list[float]:
    if high <= low:
        # One value has nearly all rows: a bin around it.
        high = low + (1.0 if whole else max(abs(low), 1e-6) * 0.1)
    rough = (high - low) / 14
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    # Rounded to the step's own digits: 0.30000000000000004 is no round number.
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(first, last + 1)]


def _log_edges(low: float, high: float, *, whole: bool) -> list[float]:
    decades = math.log10(high / low)
    series = (1, 1.5, 2, 3, 5, 7) if decades <= 2.5 else (1, 2, 5) if decades <= 6 else (1, 3) if decades <= 9 else (1,)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 2)
    edges = [float(f"{s}e{p}") for p in powers for s in series]
    if whole:
        edges = [e for e in edges if e >= 1 and e.is_integer()]
    first = max((i for i, e in enumerate(edges) if e <= low), default=0)
    last = next((i for i, e in enumerate(edges) if e > high), len(edges) - 1)
    return edges[first : last + 1]


# -- examples ------------------------------------------------------------------------------------------------


def _target(at: str, known: Floats, found: Signal) -> float:
    mark = next((m for m in found.marks if m.setting == at), None)
    if mark is not None:
        return mark.value
    try:
        number = float(at[1:] if at.startswith("=") else at.removesuffix("%"))
    except ValueError:
        number = math.nan
    quantile = not at.startswith("=") and (at.endswith("%") or 0 <= number <= 1)
    share = number / 100 if at.endswith("%") else number
    if not math.isfinite(number) or (quantile and not 0 <= share <= 1):
        settings = "".join(f", or its threshold {m.setting}" for m in found.marks)
        raise RecipeError(
            f"--at '{at}' is no place on '{found.step}.{found.name}'",
            cure=f"give a quantile (0.95 or 95%), a value (=0.3){settings}",
        )
    # A value that some row has, not a mean of two.
    return float(np.quantile(known, share, method="inverted_cdf")) if quantile else number


def _nearest(run: RunFolder, table: pa.Table, values: Floats, target: float, count: int) -> list[Example]:
    ids = table.column("id").combine_chunks()
    distance = np.where(np.isfinite(values), np.abs(values - target), np.inf)
    order = np.lexsort((keyed_hash(ids, _KEY), distance))
    order = order[np.isfinite(distance[order])]
    # A source may give one id twice.
    chosen: dict[bytes, int] = {}
    for i in order:
        if len(chosen) == count:
            break
        chosen.setdefault(ids[int(i)].as_py(), int(i))
    rows = run.rows(chosen)
    why = read_back(run, rows.values(), _BACK_BYTES)
    reasons = table.column(REASON)
    shown = []
    for key, i in sorted(chosen.items(), key=lambda item: values[item[1]]):
        row: Any = rows[key]
        text = (
            one_line(row.text[:_TEXT_CHARS], _TEXT_CHARS) if row.text is not None else f"({why.get(key) or 'no text'})"
        )
        shown.append(Example(key.hex(), float(values[i]), row.source, row.origin, reasons[i].as_py(), text))
    return shown
