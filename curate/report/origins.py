"""The final rows by source: how many, how long, under which terms, whether a model wrote them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.report.explain import json_object
from curate.report.run_folder import RunFolder
from curate.report.step import Step
from curate.stages.generator import Generator
from curate.stages.stated import TERMS, row_terms
from curate.stages.strata import string_fields
from curate.stages.terms import UNSTATED as UNSTATED_TERMS
from curate.stages.writer import Writer
from curate.stages.written import Written
from curate.store.tables import BYTES

__all__ = ["UNSTATED", "Origin", "count_origins"]

UNSTATED: Final = "not stated"
_LANGUAGES: Final = ("lang", "language")
"""Fields of ``meta``."""
_AT_ONCE: Final = 4096
"""Rows that are counted together: parts may be of one row each."""


@dataclass
class Origin:
    """What the final rows of one source are: how many, of how many bytes, under which licences, made by a model or not."""

    rows: int = 0
    bytes: int = 0
    generated: bool = False
    licences: Counter[str] = field(default_factory=Counter)
    languages: set[str] = field(default_factory=set)


def count_origins(run: RunFolder, writer: Step | None = None) -> dict[str, Origin]:
    """The final rows by source, or those that one writer read; one pass over their ``source`` and ``meta`` columns and
    their texts' lengths."""
    found: dict[str, Origin] = {}
    held: dict[bool, list[pa.Table]] = {False: [], True: []}
    rows, makers = 0, run.makers()
    ends = run.ends() if writer is None else [run.steps[name] for name in writer.inputs if name in run.steps]
    parts = {part.key: part for step in ends for part in step.record.parts}
    beside = _beside(run, writer)
    for part in parts.values():
        maker = makers.get(part.data)
        generated = maker is not None and _writes(run.steps[maker])
        for batch in run.visible(part, ["source", "meta", BYTES, *beside]):
            fields = {"source": batch.column("source"), "size": batch.column(BYTES), "terms": row_terms(batch)}
            held[generated].append(pa.table({**fields, "meta": batch.column("meta")}))
            rows += batch.num_rows
        if rows >= _AT_ONCE:
            _count(held, found)
            rows = 0
    _count(held, found)
    return found


def _beside(run: RunFolder, writer: Step | None) -> list[str]:
    """The columns that say under which terms a text stands that a step put beside a row's own: where it is written, too."""
    writers = [s for s in run.steps.values() if s.is_a(Writer)] if writer is None else [writer]
    if writers and not any(
        s.stage is not None and issubclass(s.stage, Writer) and s.stage.writes_columns for s in writers
    ):
        return []
    return [f"{step.id}.{TERMS}" for step in run.steps.values() if TERMS in step.added()]


def _count(held: dict[bool, list[pa.Table]], found: dict[str, Origin]) -> None:
    """Add what is held to what was found, and hold it no longer."""
    for generated, tables in held.items():
        for row in _counted(pa.concat_tables(tables).combine_chunks()).to_pylist() if tables else ():
            origin = found.setdefault(row["source"], Origin())
            origin.rows += row["size_count"]
            origin.bytes += row["size_sum"] or 0
            origin.generated |= generated
            origin.licences[row["licence"]] += row["size_count"]
            if row["language"] is not None:
                origin.languages.add(row["language"])
        tables.clear()


def _counted(rows: pa.Table) -> pa.Table:
    """Rows and bytes by source, licence and language."""
    metas = rows.column("meta").combine_chunks()
    fields = string_fields(metas, _LANGUAGES)
    if fields is None:
        objects = [json_object(meta) for meta in metas.to_pylist()]
        said = [[o.get(name) for o in objects] for name in _LANGUAGES]
        fields = [pa.array([v if isinstance(v, str) else None for v in values], pa.string()) for values in said]
    short, long = (pc.if_else(pc.equal(f, ""), pa.scalar(None, pa.string()), f) for f in fields)
    terms = rows.column("terms")
    columns = {
        "source": rows.column("source"),
        "licence": pc.if_else(pc.equal(terms, UNSTATED_TERMS), UNSTATED, terms),
        "language": pc.utf8_lower(pc.coalesce(short, long)),
        "size": rows.column("size"),
    }
    groups = pa.table(columns).group_by(["source", "licence", "language"], use_threads=False)
    return groups.aggregate([("size", "sum"), ("size", "count")])


def _writes(step: Step) -> bool:
    """Whether the texts of a step are a model's own: one that is shown documents (a judge, an embedder) gives theirs."""
    if step.stage is None or not issubclass(step.stage, Generator):
        return False
    return issubclass(step.stage, Written) or not step.stage.reads_documents
