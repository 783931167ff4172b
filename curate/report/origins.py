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
from curate.stages.base import Generator
from curate.stages.strata import string_fields
from curate.stages.written import Written

__all__ = ["UNSTATED", "Origin", "count_origins"]

UNSTATED: Final = "not stated"
_STATED: Final = ("terms", "license", "licence", "lang", "language")
"""Fields of ``meta``."""


@dataclass
class Origin:
    """What the final rows of one source are: how many, of how many bytes, under which licences, made by a model or not."""

    rows: int = 0
    bytes: int = 0
    generated: bool = False
    licences: Counter[str] = field(default_factory=Counter)
    languages: set[str] = field(default_factory=set)


def count_origins(run: RunFolder) -> dict[str, Origin]:
    """The final rows by source; one pass over their ``source``, ``meta`` and ``text`` columns."""
    found: dict[str, Origin] = {}
    makers = run.makers()
    parts = {part.key: part for step in run.ends() for part in step.record.parts}
    for part in parts.values():
        maker = makers.get(part.data)
        generated = maker is not None and _writes(run.steps[maker])
        for batch in run.visible(part, ["source", "meta", "text"]):
            for row in _counted(batch).to_pylist():
                origin = found.setdefault(row["source"], Origin())
                origin.rows += row["size_count"]
                origin.bytes += row["size_sum"] or 0
                origin.generated |= generated
                origin.licences[row["licence"]] += row["size_count"]
                if row["language"] is not None:
                    origin.languages.add(row["language"])
    return found


def _counted(batch: pa.RecordBatch) -> pa.Table:
    """Rows and bytes of a batch by source, licence and language."""
    metas = batch.column("meta")
    fields = string_fields(metas, _STATED)
    if fields is None:
        objects = [json_object(meta) for meta in metas.to_pylist()]
        said = [[o.get(name) for o in objects] for name in _STATED]
        fields = [pa.array([v if isinstance(v, str) else None for v in values], pa.string()) for values in said]
    terms, american, british, short, long = (
        pc.if_else(pc.equal(f, ""), pa.scalar(None, pa.string()), f) for f in fields
    )
    columns = {
        "source": batch.column("source"),
        "licence": pc.fill_null(pc.coalesce(terms, american, british), UNSTATED),
        "language": pc.utf8_lower(pc.coalesce(short, long)),
        "size": pc.binary_length(batch.column("text")),
    }
    return pa.table(columns).group_by(["source", "licence", "language"]).aggregate([("size", "sum"), ("size", "count")])


def _writes(step: Step) -> bool:
    """Whether the texts of a step are a model's own: one that is shown documents (a judge, an embedder) gives theirs."""
    if step.stage is None or not issubclass(step.stage, Generator):
        return False
    return issubclass(step.stage, Written) or not step.stage.reads_documents
