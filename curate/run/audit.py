"""An audit: on a sample, every rule of every row-local filter is tried on every document, whatever the others say.

A run stops at the first rule that a document breaks, so its counts say nothing about the rules behind. An audit
measures all documents with all filters and counts what each rule does in all, what it alone does, and where rules
overlap. It keeps its receipts in a folder of its own and leaves nothing in a run's store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from curate.errors import InputError, RecipeError
from curate.fingerprint import fingerprint
from curate.recipe.plan import Plan, PlannedStep
from curate.run.audit_task import AuditCounts, AuditTask
from curate.run.cluster import Runner
from curate.run.row_step import RowStep
from curate.stages.base import Context, Filter, Global
from curate.stages.catalog import Unhashed
from curate.stages.generator import Generator
from curate.stages.source import SPLIT_BYTES, Source, Split
from curate.store.files import Store

AIM_BYTES: Final = 64 << 20
"""Bytes of input, as it lies on the disk, whose documents are measured unless a sample is asked for."""


@dataclass(frozen=True)
class RuleCount:
    """One rule, counted in documents.

    Attributes:
        broken: documents that break it, whatever else they break.
        only: documents that break this rule and no other of the audit: they would stay without it.
        first: documents that it drops in a run, where rules are tried in order and what is dropped is not seen again.
    """

    step: str
    reason: str
    broken: int
    only: int
    first: int


@dataclass(frozen=True)
class StepCount:
    """One filter.

    Attributes:
        documents: documents it was tried on: all of its sources.
        broken: those that break any of its rules.
        arrived: those that reach it in a run, because no earlier step drops them.
        dropped: those of them that it drops.
        bytes_in, bytes_out: of text before and after its edits; equal where it edits nothing.
    """

    step: str
    use: str
    documents: int = 0
    broken: int = 0
    arrived: int = 0
    dropped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True)
class Pair:
    """Two rules, each as (step, reason), and how many documents break both; ``either`` those that break one or both."""

    one: tuple[str, str]
    other: tuple[str, str]
    both: int
    either: int


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        documents: documents that were measured; ``set_aside`` records became none.
        broken: documents that break any rule.
        sample, limit: how they were chosen, see recipe.plan.Options.
        steps, rules: in the recipe's order.
        pairs: of rules that some document breaks together, the most alike first (both / either).
        left_out: why a step was not audited, by id; steps that can drop nothing are not named.
    """

    recipe: str
    documents: int
    set_aside: int
    broken: int
    sample: float
    limit: int | None
    steps: list[StepCount]
    rules: list[RuleCount]
    pairs: list[Pair]
    left_out: dict[str, str] = field(default_factory=dict)


# -- what is audited -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tree:
    """A source and the filters below it, in order; each but the source reads one step of the tree."""

    source: PlannedStep
    filters: list[tuple[PlannedStep, str]]


def _trees(plan: Plan) -> tuple[list[_Tree], dict[str, str]]:
    """Row-local filters by the source whose documents they see, and why other steps are left out."""
    trees = {s.id: _Tree(s, []) for s in plan.steps.values() if isinstance(s.stage, Source)}
    sources = {name: {name} for name in trees}
    why: dict[str, str] = {}
    for step in plan.steps.values():
        said = _left_out(step, sources)
        if said:
            why[step.id] = said
        elif isinstance(step.stage, Filter):
            sources[step.id] = set()
            for name in step.inputs:
                for source in sources[name]:
                    trees[source].filters.append((step, name))
                sources[step.id] |= sources[name]
    return list(trees.values()), why


def _left_out(step: PlannedStep, sources: dict[str, set[str]]) -> str:
    if isinstance(step.stage, Global):
        return "compares documents with each other"
    if isinstance(step.stage, Generator):
        return "asks a model"
    if not isinstance(step.stage, Filter):
        return ""
    if step.uses:
        return f"uses what step '{next(iter(step.uses.values()))}' trains"
    lost = [name for name in step.inputs if name not in sources]
    if lost:
        return f"comes after '{lost[0]}'"
    seen: set[str] = set()
    for name in step.inputs:
        if seen & sources[name]:
            return "reads several branches of the same documents"
        seen |= sources[name]
    return ""


def _alone(tree: _Tree, only: str) -> _Tree:
    """The tree as far as one step needs it: the steps above that edit text or add columns."""
    parents = {step.id: parent for step, parent in tree.filters}
    by_id = {step.id: step for step, _ in tree.filters}
    way = [only]
    while parents[way[0]] in by_id:
        way.insert(0, parents[way[0]])
    needed = [n for n in way if n == only or by_id[n].stage.adds() or _edits(by_id[n])]
    return _Tree(
        tree.source, [(by_id[n], before) for n, before in zip(needed, [tree.source.id, *needed], strict=False)]
    )


def _edits(step: PlannedStep) -> bool:
    return isinstance(step.stage, Filter) and step.stage.edits()


# -- the whole -----------------------------------------------------------------------------------------------


class Auditor:
    """An audit that is ready to run.

    Args:
        plan: the recipe's; its options are not looked at.
        only: audit the rules of this step alone, as if it stood alone.
        sample: share of documents, by hash of id as for ``curate run --sample``; None: as much as makes AIM_BYTES.
        limit: at most so many documents of each source, the first ones.

    Raises RecipeError when there is nothing to audit, InputError for a source's missing files.

    Attributes:
        tasks: how many pieces of work there are, and ``bytes`` of input in them.
    """

    def __init__(
        self, plan: Plan, only: str | None = None, sample: float | None = None, limit: int | None = None
    ) -> None:
        self._plan, self._only, self._limit = plan, only, limit
        trees, self._why = _trees(plan)
        there = {step.id for tree in trees for step, _ in tree.filters}
        audited = [name for name in plan.steps if name in there]
        if only is not None:
            self._check(only, audited)
            trees = [_alone(t, only) for t in trees if any(step.id == only for step, _ in t.filters)]
        self._trees = [t for t in trees if t.filters]
        if not self._trees:
            raise RecipeError(
                "no filter comes straight after a source", place=str(plan.recipe.path), cure="there is nothing to audit"
            )
        self._splits = {tree.source.id: self._read(tree.source) for tree in self._trees}
        every = [s for splits in self._splits.values() for s in splits]
        self.tasks, self.bytes = len(every), sum(s.bytes for s in every)
        whole = sample is not None or limit is not None
        self.sample = sample or (1.0 if whole else min(1.0, AIM_BYTES / max(self.bytes, 1)))

    def _check(self, only: str, audited: list[str]) -> None:
        if only in audited:
            return
        place = str(self._plan.recipe.path)
        if only not in self._plan.steps:
            raise RecipeError(
                f"the recipe has no step '{only}'", place=place, cure=f"it has: {', '.join(self._plan.steps)}"
            )
        why = self._why.get(only) or "is no filter"
        cure = f"these can be audited: {', '.join(audited) or 'none'}"
        raise RecipeError(f"step '{only}' can't be audited: it {why}", place=place, cure=cure)

    def _read(self, step: PlannedStep) -> list[Split]:
        assert isinstance(step.stage, Source)
        try:
            return step.stage.splits(self._plan.recipe.path.parent, Unhashed(), SPLIT_BYTES)
        except InputError as error:
            place = f"{step.step.place}: {error.place}" if error.place else step.step.place
            raise InputError(error.cause, place=place, cure=error.cure) from None

    def run(self, runner: Runner, advance: Callable[[int], None] | None = None) -> Audit:
        """Do it; ``advance`` is told the bytes of each piece that is done."""
        counts, told = AuditCounts(), advance or (lambda _: None)
        with tempfile.TemporaryDirectory(prefix="curate-audit-") as folder:
            for tree in self._trees:
                if self._limit is None:
                    tasks = [self._task(Store(Path(folder)), tree, s, None) for s in self._splits[tree.source.id]]
                    for task, receipt, _ in runner.run(tasks, label="audit"):
                        counts.merge(receipt)
                        told(task.size)
                    continue
                left = self._limit
                for split in self._splits[tree.source.id]:
                    task = self._task(Store(Path(folder)), tree, split, left)
                    for _, receipt, _ in runner.run([task], label="audit"):
                        counts.merge(receipt)
                        left -= receipt["documents"]
                    told(task.size)
                    if left <= 0:
                        break
        return self._found(counts)

    def _task(self, store: Store, tree: _Tree, split: Split, limit: int | None) -> AuditTask:
        stage = tree.source.stage
        assert isinstance(stage, Source)
        steps = []
        for step, before in tree.filters:
            assert isinstance(step.stage, Filter)
            seed = self._plan.recipe.seed if step.stage.seeded else None
            ctx = Context(step.id, seed, dict(step.assets))
            steps.append(
                (
                    RowStep(
                        step.id,
                        step.stage,
                        ctx,
                        self._plan.measure_identity(step.id, {}),
                        self._plan.column_types(step.id),
                    ),
                    before,
                )
            )
        key = fingerprint(tree.source.id, {**vars(split), "stamps": split.stamps.hex()})
        return AuditTask(
            store,
            "audit",
            key,
            stage,
            split,
            tree.source.id,
            tuple(steps),
            self._only,
            self.sample,
            limit,
            self._plan.removals,
        )

    def _found(self, counts: AuditCounts) -> Audit:
        steps = [
            StepCount(s.id, s.stage.name, **counts.steps[s.id])
            for s in self._plan.steps.values()
            if s.id in counts.steps
        ]
        order = {
            (s.step, reason): (i, j)
            for i, s in enumerate(steps)
            for j, reason in enumerate(self._plan.steps[s.step].stage.reasons)
        }
        names = sorted(counts.rules, key=lambda name: order[name])
        rules = [RuleCount(name[0], name[1], **counts.rules[name]) for name in names]
        broken = {(r.step, r.reason): r.broken for r in rules}
        pairs = [Pair(a, b, both, broken[a] + broken[b] - both) for (a, b), both in counts.pairs.items()]
        pairs.sort(key=lambda p: (-p.both / p.either, -p.both, p.one, p.other))
        why = {} if self._only else self._why
        return Audit(
            self._plan.recipe.name,
            counts.documents,
            counts.set_aside,
            counts.broken,
            self.sample,
            self._limit,
            steps,
            rules,
            pairs,
            why,
        )
