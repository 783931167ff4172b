"""Where what a step cut out of a document stands: which other document keeps it, at which place, and both beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate import schema
from curate.report import side_by_side
from curate.report.edits import Texts, texts_of
from curate.report.read_back import read_back
from curate.report.run_folder import Row, RunFolder
from curate.report.step import Step
from curate.stages.cuts_spans import CutsSpans, Spans
from curate.text.batch import Batch

MOST: Final = 4
"""Spans of a document that are told of one by one: the longest ones."""
_FOLLOWED: Final = 16
"""Documents that are asked for one span: where it was cut there, too, another one has it."""
_AROUND: Final = 160
"""Bytes on both sides of a span that are shown."""
_SHOWN: Final = 4000
"""Bytes of a long span that are shown: its first half and its last one."""


@dataclass(frozen=True)
class Copy:
    """A span that was cut, and where the same stands.

    Attributes:
        start, stop: bytes of the text that the step was given.
        id, source, origin: the document in which it stays; or in which it was last found, as ``note`` says.
        at: byte of that document's text, as the step was given it, where it begins; None where that text can't be had.
        bytes: of it that stand there; None as ``at``.
        note: what there is to say about that.
        rows: both places beside each other, this document on the left; see side_by_side.
    """

    start: int
    stop: int
    id: str
    source: str = ""
    origin: str = ""
    at: int | None = None
    bytes: int | None = None
    note: str = ""
    rows: list[side_by_side.Row] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """A stretch of a document, as the step counts: bytes, or words."""

    start: int
    size: int


def copies_of(run: RunFolder, step: Step, row: Row, text: str | None, width: int) -> list[Copy]:
    """Where the longest spans stand that a step cut out of a row; none for a step that cuts none, or leaves none.

    Args:
        text: what the step was given of the row.
        width: of each of two columns.
    """
    stage, said = step.made, row.signals.get(step.id, {})
    if not isinstance(stage, CutsSpans) or not any(said.get(schema.COPIES) or ()):
        return []
    spans = sorted(_spans(said), key=lambda span: span[0] - span[1])[:MOST]
    # Each look for rows goes through the run's files: once for all spans, where that is enough.
    known = run.rows({other for _, _, other, _, _ in spans})
    return [_copy(run, step, stage, row, text, span, width, known) for span in spans]


def _spans(said: Mapping[str, Any]) -> Iterator[tuple[int, int, bytes, _Place, _Place]]:
    """(start, stop) in bytes of each span that stands in another place, whose id, and where it begins here and there."""
    ends, places = said[schema.SPANS], said[schema.PLACES]
    for n, other in enumerate(said[schema.COPIES]):
        if other is not None:
            here, there, size = places[3 * n : 3 * n + 3]
            yield ends[2 * n], ends[2 * n + 1], other, _Place(here, size), _Place(there, size)


def _copy(
    run: RunFolder,
    step: Step,
    stage: CutsSpans,
    row: Row,
    text: str | None,
    span: tuple[int, int, bytes, _Place, _Place],
    width: int,
    known: dict[bytes, Row],
) -> Copy:
    start, stop, other, here, there = span
    kept, there, note = _followed(run, step, known, other, there)
    found = Copy(start, stop, kept.id.hex(), kept.source, kept.origin, note=note)
    if kept.id == row.id:
        found = replace(found, note=note or "this document has it before that, and keeps it there")
    read_back(run, [kept], originals=True)
    had = given_to(step, kept, texts_of(run, kept))
    if had is None:
        return replace(found, note=note or "the text that has it can't be had")
    begin, end = _bytes(stage, had, there)
    found = replace(found, at=begin, bytes=end - begin)
    if text is None or kept.id == row.id:
        return found
    mine, theirs = _excerpt(text, *_bytes(stage, text, here)), _excerpt(had, begin, end)
    said, rows = side_by_side.side_by_side(mine, theirs, width)
    return replace(found, rows=rows, note=found.note or said)


def _followed(
    run: RunFolder, step: Step, known: dict[bytes, Row], other: bytes, place: _Place
) -> tuple[Row, _Place, str]:
    """The document that keeps what stands in a place of another one, which may have been cut there, too; rows that are looked
    for are put into ``known``."""
    for _ in range(_FOLLOWED):
        if other not in known:
            known |= run.rows([other])
        row = known[other]
        said = row.signals.get(step.id, {})
        cut = [(here, there, whose) for _, _, whose, here, there in _spans(said)] if said.get(schema.COPIES) else []
        inside = [
            (there.start + place.start - here.start, whose)
            for here, there, whose in cut
            if here.start <= place.start and place.start + place.size <= here.start + here.size
        ]
        if not inside:
            touched = any(
                here.start < place.start + place.size and place.start < here.start + here.size for here, _, _ in cut
            )
            return row, place, "some of it was cut there, too, since others have that" if touched else ""
        start, other = inside[0]
        place = replace(place, start=start)
    return row, place, f"it was cut there, too, as in {_FOLLOWED} others before"


def given_to(step: Step, row: Row, texts: Texts) -> str | None:
    """The text of a row that a step was given; None where it can't be had."""
    if step.id in texts.before:
        return texts.before[step.id]
    # What went for what was left of it was written down as it was.
    return row.text if step.id in row.dropped and not texts.hidden else None


def _bytes(stage: CutsSpans, text: str, place: _Place) -> tuple[int, int]:
    docs = Batch(pa.RecordBatch.from_pydict({"text": pa.array([text], pa.large_string())}))
    ends = np.array([place.start], np.int64), np.array([place.start + place.size], np.int64)
    _, starts, stops = stage.bytes_of(docs, Spans(np.zeros(1, np.int64), *ends))
    return int(starts[0]), int(stops[0])


def _excerpt(text: str, start: int, stop: int) -> str:
    """A stretch of a text and what stands around it."""
    raw = text.encode()
    begin, end = max(0, start - _AROUND), min(len(raw), stop + _AROUND)
    inside = raw[begin:end]
    if stop - start > _SHOWN:
        half = _AROUND + _SHOWN // 2
        inside = inside[:half] + b"\n...\n" + inside[-half:]
    marks = ("... " if begin else ""), (" ..." if end < len(raw) else "")
    return inside.decode(errors="ignore").join(marks)
