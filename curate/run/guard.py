"""Guards: a run stops, with the reasons, when a step drops more or less than its recipe expects."""

from __future__ import annotations

from curate.errors import GuardError, InputError
from curate.recipe.recipe import Step
from curate.stages.base import Filter
from curate.store.records import Counts


def check_guard(step: Step, counts: Counts) -> None:
    """Raise GuardError when a finished step's counts lie outside its guard; a step that saw no rows passes.

    The step's record is written before: with a wider guard, or other thresholds, a run goes on from it. A filter that
    keeps nothing at all stops the run where it says why that is a mistake (InputError).
    """
    if isinstance(step.stage, Filter) and step.stage.nothing_left and counts.rows_in and not counts.rows_out:
        cause, cure = step.stage.nothing_left
        raise InputError(f"{cause} ({counts.rows_in:,} rows)", place=f"{step.place}: step {step.id}", cure=cure)
    guard = step.guard
    if guard is None or counts.rows_in == 0:
        return
    rows = sum(counts.reasons.values())
    gone = f"of {counts.rows_in:,} rows"
    _check(step, "drop", rows / counts.rows_in, gone, counts, guard.max_drop, guard.min_drop)
    if counts.bytes_in:
        text = 1 - counts.bytes_out / counts.bytes_in
        gone = f"of {_size(counts.bytes_in)} of text"
        _check(step, "drop_text", text, gone, counts, guard.max_drop_text, guard.min_drop_text)


def _check(
    step: Step, setting: str, share: float, of: str, counts: Counts, most: float | None, least: float | None
) -> None:
    place = f"{step.place}: step {step.id}"
    said = f"dropped {_share(share)} {of}"
    if most is not None and share > most:
        raise GuardError(
            f"{said}, more than its guard's max_{setting} {most:.4g} ({_reasons(counts)})",
            place=place,
            cure=f"look at them with 'curate inspect --plain', then loosen a rule or raise max_{setting}",
        )
    if least is not None and share < least:
        raise GuardError(
            f"{said}, less than its guard's min_{setting} {least:.4g} ({_reasons(counts)})",
            place=place,
            cure=f"check that its rules still see what they were made for, or lower min_{setting}",
        )


def _reasons(counts: Counts, most: int = 5) -> str:
    """The most frequent reasons with rows and shares of all rows."""
    ordered = sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{reason} {rows:,} = {_share(rows / counts.rows_in)}" for reason, rows in ordered[:most]]
    rest = sum(rows for _, rows in ordered[most:])
    if rest:
        said.append(f"{len(ordered) - most} other reasons {rest:,} = {_share(rest / counts.rows_in)}")
    return ", ".join(said) or "no row went"


def _share(value: float) -> str:
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size:,} bytes"
