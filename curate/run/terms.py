"""What a writer may write: the terms of its rows against the use that the recipe declares.

No part of any identity: rows do not change by what they are for. So it is asked before a writer's record is looked for,
too, and a dataset that was written before under another use is refused as a new one would be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, RecipeError
from curate.fingerprint import fingerprint
from curate.recipe.plan import Plan, PlannedStep
from curate.run.task import Task
from curate.stages.stated import row_terms
from curate.stages.terms import conflicts
from curate.stages.writer import Writer
from curate.stages.written import Written
from curate.store.parts import read_part
from curate.store.records import Part

if TYPE_CHECKING:
    from curate.run.engine import Engine

_MOST_TOLD = 4


@dataclass(frozen=True)
class TermsTask(Task):
    """Counts the rows of a part by their terms.

    Attributes:
        columns: whether the writer writes columns, and so other texts that lie beside a row's own.
    """

    part: Part
    columns: bool

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "reduce"

    @property
    def cost(self) -> int:
        """Bytes of input."""
        return self.part.bytes

    def work(self) -> dict[str, int]:
        """Rows by terms; those that state none are UNSTATED."""
        found: Counter[str] = Counter()
        for visible in read_part(self.store, self.part):
            found += terms_of(visible.rows if self.columns else visible.rows.select(["meta"]))
        return dict(sorted(found.items()))


def terms_of(rows: pa.RecordBatch) -> Counter[str]:
    """How many of some rows stand under which terms, see row_terms."""
    counts = pc.value_counts(row_terms(rows))
    return Counter(dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)))


def check_teachers(plan: Plan) -> None:
    """Raise RecipeError when a writer would get texts of a model whose terms conflict with the declared use: before
    anything is paid for that can't be used."""
    recipe = plan.recipe
    if recipe.use is None:
        return
    written = _written(plan)
    for step in plan.steps.values():
        # A judge's or an embedder's rows are the documents that it was shown.
        for name in step.stage.models() if isinstance(step.stage, Written) and step.id in written else ():
            licence = recipe.models[name].licence
            if asked := conflicts(licence, recipe.use, recipe.allow_terms):
                raise RecipeError(
                    f"what model '{name}' writes is under {_told(licence, asked)}, which conflicts with use: {recipe.use}",
                    place=step.step.place,
                    cure=f"state its 'licence:', ask another model, or say allow_terms: ['{licence}']",
                )


def _written(plan: Plan) -> set[str]:
    """The steps whose rows come to a writer."""
    found: set[str] = set()
    for name in reversed(plan.steps):
        step = plan.steps[name]
        if name in found or isinstance(step.stage, Writer):
            found.update(step.inputs)
    return found


def check_terms(engine: Engine, step: PlannedStep, folder: str, parts: list[Part]) -> None:
    """Raise InputError when rows that a writer would write stand under terms that conflict with the declared use, or
    under unknown ones; those that the recipe allows are told in a note."""
    recipe = engine.plan.recipe
    if recipe.use is None:
        return
    assert isinstance(step.stage, Writer)
    columns = step.stage.writes_columns
    tasks = [TermsTask(engine.store, folder, fingerprint("terms", part.key, columns), part, columns) for part in parts]
    receipts: Mapping[str, Mapping[str, int]] = engine.tasks((step.id,), "checking terms", tasks)
    found: Counter[str] = Counter()
    for receipt in receipts.values():
        found.update(receipt)
    refused = {terms: asked for terms in found if (asked := conflicts(terms, recipe.use, recipe.allow_terms))}
    if refused:
        raise InputError(
            f"terms of what would be written conflict with use: {recipe.use}: {_listed(found, refused)}",
            place=f"{step.step.place}: step {step.id}",
            cure=f"leave them out above, or say aloud allow_terms: {sorted(refused)[:_MOST_TOLD]} in the recipe",
        )
    passed = {terms: asked for terms in found if (asked := conflicts(terms, recipe.use))}
    if passed:
        engine.reporter.note(
            f"{step.id}: in spite of use: {recipe.use}, by allow_terms, are written {_listed(found, passed)}"
        )


def _listed(found: Counter[str], some: Mapping[str, frozenset[str]]) -> str:
    ordered = sorted(some, key=lambda terms: (-found[terms], terms))
    said = [f"{found[terms]:,} rows under {_told(terms, some[terms])}" for terms in ordered[:_MOST_TOLD]]
    return ", ".join(said) + (f", {len(ordered) - _MOST_TOLD} more terms" if len(ordered) > _MOST_TOLD else "")


def _told(terms: str, asked: frozenset[str]) -> str:
    return f"'{terms}' ({', '.join(sorted(asked))})"
