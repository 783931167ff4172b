"""Speed of what cuts text that documents share: dedup.lines, dedup.paragraphs, dedup.substring."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curate.stages.base import KEY, Span
from tests.bench.measure import Row, Run, batch, case, corpus, on_batch
from tests.exchange import CONTEXT


def spans() -> Iterator[Row]:
    """The map of each (hashes of lines, anchors), what lines are counted with, all of dedup.substring, and the cutting."""
    from curate.run.exchange import tables_of
    from curate.stages.dedup_lines import DedupLines
    from curate.stages.dedup_paragraphs import DedupParagraphs
    from curate.stages.dedup_substring import DedupSubstring
    from curate.text.cuts import without
    from curate.text.units import units
    from tests.peers.substring import cuts

    texts, lines = corpus(8), DedupLines().phases()[0]
    order = [(name, "ascending") for name in (KEY, *lines.sort_by)]

    def counted(some: list[str]) -> Run:
        rows = pa.concat_tables(tables_of(lines.reads[0].map(batch(some), CONTEXT)))
        return lambda: list(lines.reduce(iter([rows.sort_by(order)]), Span(0, rows.num_rows), CONTEXT))

    def whole(stage: DedupSubstring, some: list[str]) -> Run:
        docs = pa.Table.from_batches([batch(some).rows])
        return lambda: cuts(stage, docs)

    def every_other_line(some: list[str]) -> Run:
        text = batch(some).text
        found = units(text, 1, paragraphs=False)
        return lambda: without(text, found.rows[::2], found.starts[::2], found.stops[::2])

    yield case("dedup.lines map", texts, on_batch(lambda b: lines.reads[0].map(b, CONTEXT)))
    yield case("dedup.lines counts (sorted)", texts, counted)
    yield case(
        "dedup.paragraphs map", texts, on_batch(lambda b: DedupParagraphs().phases()[0].reads[0].map(b, CONTEXT))
    )
    for name, stage in (("bytes", DedupSubstring()), ("words", DedupSubstring(least_tokens=50))):
        first = stage.phases()[0].reads[0].map
        yield case(f"dedup.substring map, {name}", texts, on_batch(lambda b, first=first: first(b, CONTEXT)))
        yield case(f"dedup.substring all phases, {name}", texts, lambda some, stage=stage: whole(stage, some))
    yield case("cutting every other line", texts, every_other_line)
