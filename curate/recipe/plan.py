"""From a recipe to steps in order: inputs, assets, columns and segments, all checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from curate import assets, schema
from curate.errors import CurateError, RecipeError
from curate.fingerprint import fingerprint, tree_digest
from curate.recipe.recipe import Recipe, Step
from curate.recipe.sides import check_sides
from curate.stages.base import Filter, Global, Stage, Trainer
from curate.stages.cuts_spans import CutsSpans, edits
from curate.stages.generator import Generator
from curate.stages.indexed import Indexed
from curate.stages.removals import Removals, read_removals
from curate.stages.source import Source
from curate.stages.writer import Writer
from curate.store.index import Index, open_index

Indexes = TypeVar("Indexes")


@dataclass(frozen=True)
class Options:
    """What the command line may ask of any recipe's sources; part of their identity.

    Attributes:
        sample: share of documents to read, by keyed hash of the id: a smaller sample lies in a larger one.
        limit: read at most this many documents of each source, the first ones in input order.
    """

    sample: float = 1.0
    limit: int | None = None


@dataclass(frozen=True)
class PlannedStep:
    """One step with everything resolved that does not depend on data.

    Attributes:
        inputs: steps whose rows it reads.
        uses: by setting, the trained step it needs.
        assets: by setting, the file or folder it needs; of a setting that lists several each as ``setting/number``.
        earlier: the indexes of earlier data that it is compared with.
        columns: names of the columns its rows have (empty when it gives no rows).
        consumers: how many later steps read its rows.
    """

    id: str
    stage: Stage
    inputs: tuple[str, ...]
    uses: dict[str, str]
    assets: dict[str, Path]
    earlier: tuple[Index, ...]
    columns: frozenset[str]
    consumers: int
    step: Step = field(repr=False)

    @cached_property
    def static(self) -> str:
        """Identity of settings and assets, without what comes from other steps.

        The step's own id is in it: rows carry it, in their ids and in the names of the columns it adds.
        """
        return fingerprint(self.id, self.placeless.fingerprint(), self.digests)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digest of the content of each asset."""
        digests = {
            setting: open_index(path).content
            if self.stage.asset_settings[setting.partition("/")[0]] == "indexes"
            else tree_digest(path)
            for setting, path in self.assets.items()
        }
        return digests | {f"{self._listed}/{i}": index.content for i, index in enumerate(self.earlier)}

    @property
    def _listed(self) -> str:
        """The setting that lists indexes of earlier data."""
        return next(name for name, kind in self.stage.asset_settings.items() if kind == "earlier")

    @cached_property
    def places(self) -> dict[str, Any]:
        """Settings that say where something is, by name, each as nowhere: what is there is known by its digest."""
        found: dict[str, Any] = {name.partition("/")[0]: [] if "/" in name else "" for name in self.assets}
        if self.earlier:
            found[self._listed] = []
        return found | dict.fromkeys(self.stage.place_settings, "")

    @cached_property
    def placeless(self) -> Stage:
        """The stage without the places of its assets."""
        return self.stage.model_copy(update=self.places)


@dataclass(frozen=True)
class Plan:
    """Steps in the recipe's order, the segments they are fused into, and the documents that must not be used."""

    recipe: Recipe
    options: Options
    steps: dict[str, PlannedStep]
    segments: tuple[tuple[str, ...], ...]
    removals: Removals | None = None

    def reading(self, step_id: str) -> dict[str, Any]:
        """What bears on which documents a source gives, beside its settings and inputs; part of its identity."""
        if not isinstance(self.steps[step_id].stage, Source):
            return {}
        return {**vars(self.options), **({"takedown": self.removals.digest} if self.removals is not None else {})}

    def column_types(self, step_id: str) -> tuple[tuple[str, pa.DataType], ...]:
        """Names and types of the columns of earlier steps that a step reads."""
        split = [(c, *c.split(".", 1)) for c in sorted(self.steps[step_id].stage.reads()) if "." in c]
        return tuple((c, self.steps[owner].stage.adds()[short]) for c, owner, short in split if owner in self.steps)

    def makers(self, step_id: str) -> list[str]:
        """What made each of the columns that a step compares documents by with earlier ones: a stage, and its settings."""
        stage = self.steps[step_id].stage
        return [self._maker(column) for column in stage.compared_by()] if isinstance(stage, Indexed) else []

    def _maker(self, column: str) -> str:
        owner = self.steps.get(column.split(".", 1)[0])
        if owner is None or isinstance(owner.stage, Source):
            return "the data"
        stage = owner.placeless
        said = dict(stage.column_settings())
        if isinstance(stage, Generator) and "model" in said:
            # A recipe's name for a model says nothing to another recipe.
            said["model"] = self.recipe.models[stage.model].model
        shown = ", ".join(f"{name} {value}" for name, value in said.items() if value not in (None, ""))
        digests = f", assets {fingerprint(owner.digests)[:12]}" if owner.digests else ""
        return f"{stage.name} (revision {stage.revision}, {shown}{digests})"

    def measure_identity(self, step_id: str, identities: dict[str, str]) -> str:
        """Identity of what a filter measures: its settings without thresholds, its assets, the columns it reads.

        ``identities`` gives, by step, the identity of trained steps it uses, and of global steps that edit or add columns.
        """
        step = self.steps[step_id]
        stage = step.placeless
        if isinstance(stage, Global) and step_id in identities:
            # A column that a global step adds to one document depends on all others.
            return fingerprint(step.static, identities[step_id])
        if not isinstance(stage, Filter):
            return step.static
        used = {setting: identities[name] for setting, name in step.uses.items()}
        made_by = {
            column: [self.measure_identity(owner, identities), *self._edits_above(owner, identities)]
            for column in sorted(stage.reads())
            if (owner := column.split(".", 1)[0]) in self.steps
            and owner != step_id
            and column not in schema.DOCUMENT.names
        }
        # What is measured is filed by the text that it was measured on: what became of the meta beside it is not seen there.
        metas = self._meta_above(step_id, identities, {})
        return fingerprint(stage.measure_fingerprint(), step.digests, used, made_by, *([metas] if metas else []))

    def _meta_above(self, step_id: str, identities: dict[str, str], known: dict[str, str]) -> str:
        """Identity of what edits made of ``meta`` on its way to a step; empty where it is as its source gave it."""
        if step_id not in known:
            found = set()
            for name in self.steps[step_id].inputs:
                above, before = self.steps[name], self._meta_above(name, identities, known)
                if isinstance(above.stage, Filter) and above.stage.edits_meta():
                    used = {setting: identities[model] for setting, model in above.uses.items()}
                    seed = self.recipe.seed if above.stage.seeded else None
                    before = fingerprint(above.static, used, seed, before, self._edits_above(name, identities))
                found.add(before)
            found.discard("")
            known[step_id] = fingerprint(*sorted(found)) if found else ""
        return known[step_id]

    def _edits_above(self, step_id: str, identities: dict[str, str]) -> list[str]:
        """Identities of the steps that edited the text on its way to a step.

        What is measured is filed by the text it was measured on; a column that it reads was made of an earlier text.
        """
        found: dict[str, str] = {}
        waiting = list(self.steps[step_id].inputs)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            above = self.steps[name]
            waiting += above.inputs
            edited = edits(above.stage)
            used = {setting: identities[model] for setting, model in above.uses.items()} if edited else {}
            # What a global step cuts out of one document depends on all others.
            rest = [identities[name]] if isinstance(above.stage, CutsSpans) and name in identities else []
            found[name] = fingerprint(above.static, used, *rest) if edited else ""
        return sorted(filter(None, found.values()))


def make_plan(recipe: Recipe, options: Options | None = None) -> Plan:
    """Resolve and check a recipe; raises RecipeError naming the line of what does not fit."""
    options = options or Options()
    planned: dict[str, PlannedStep] = {}
    order = [step.id for step in recipe.steps]
    reads: dict[str, tuple[str, ...]] = {}
    for index, step in enumerate(recipe.steps):
        reads[step.id] = _inputs(step, order[:index], planned)
        uses, files = _assets(step, recipe, planned)
        columns = _columns(step, reads[step.id], planned)
        wanted = step.stage.models() if isinstance(step.stage, Generator) else ()
        if unknown := next((name for name in wanted if name not in recipe.models), None):
            raise RecipeError(
                f"there is no model '{unknown}'",
                place=step.place,
                cure=f"declare it under 'models:'; there are: {', '.join(recipe.models) or 'none'}",
            )
        planned[step.id] = PlannedStep(
            step.id, step.stage, reads[step.id], uses, files, _earlier(step, recipe), columns, 0, step
        )
    for name in order:
        consumers = sum(name in inputs for inputs in reads.values())
        old = planned[name]
        planned[name] = replace(old, consumers=consumers)
    check_sides(planned)
    plan = Plan(recipe, options, planned, _segments(planned), _removals(recipe))
    for planned_step in planned.values():
        if isinstance(planned_step.stage, Indexed) and planned_step.earlier:
            with _at(planned_step.step):
                planned_step.stage.check_makers(planned_step.earlier, plan.makers(planned_step.id))
    return plan


def _removals(recipe: Recipe) -> Removals | None:
    if not recipe.takedown:
        return None
    found = read_removals(assets.locate(path, recipe.path.parent).absolute() for path in recipe.takedown)
    # A list without an entry is none: nothing is made anew for its sake.
    return found if found.entries() else None


def _inputs(step: Step, earlier: list[str], planned: dict[str, PlannedStep]) -> tuple[str, ...]:
    starts = isinstance(step.stage, Source) or (isinstance(step.stage, Generator) and not step.stage.reads_documents)
    may_read = isinstance(step.stage, Generator) and step.stage.may_read
    if starts and not (may_read and step.inputs):
        if step.inputs:
            raise RecipeError(f"{step.stage.name} reads no earlier step", place=step.place, cure="remove 'from'")
        return ()
    inputs = step.inputs if step.inputs is not None else tuple(earlier[-1:])
    if not inputs:
        raise RecipeError(f"{step.stage.name} has nothing to read", place=step.place, cure="begin with a read.* step")
    for name in inputs:
        if not planned[name].columns:
            raise RecipeError(
                f"step '{name}' ({planned[name].stage.name}) gives no documents",
                place=step.place,
                cure="name the step to read with 'from:'",
            )
    if len(set(inputs)) < len(inputs):
        raise RecipeError("'from' names a step twice", place=step.place, cure="a document may come only once")
    return inputs


def _assets(step: Step, recipe: Recipe, planned: dict[str, PlannedStep]) -> tuple[dict[str, str], dict[str, Path]]:
    uses: dict[str, str] = {}
    files: dict[str, Path] = {}
    for setting, kind in step.stage.asset_settings.items():
        value = getattr(step.stage, setting)
        if value is None:
            continue
        if kind == "indexes":
            files |= {f"{setting}/{i}": at for i, at in enumerate(_indexes(step, recipe, step.stage.folders))}
        if kind in ("indexes", "earlier"):
            continue
        if isinstance(value, list | tuple):
            files |= {f"{setting}/{i}": _file(step, setting, kind, one, recipe, planned) for i, one in enumerate(value)}
        elif value in planned and isinstance(planned[value].stage, Trainer):
            uses[setting] = value
        elif value in planned and _lends(planned[value].stage, kind):
            lender, lent = planned[value], planned[value].stage.lends
            if lent in lender.uses:
                uses[setting] = lender.uses[lent]
            else:
                files[setting] = lender.assets[lent]
        else:
            files[setting] = _file(step, setting, kind, str(value), recipe, planned)
    return uses, files


def _lends(stage: Stage, kind: assets.Kind) -> bool:
    """Whether a step's own asset is one of a kind that a later step can be given."""
    return bool(stage.lends) and stage.asset_settings[stage.lends] == kind


def _file(
    step: Step, setting: str, kind: assets.Kind, value: str, recipe: Recipe, planned: dict[str, PlannedStep]
) -> Path:
    """The file or folder that a setting names."""
    local = assets.locate(value, recipe.path.parent)
    if ("/" in value and local.exists()) or ("." in value and local.is_file()):
        # A worker of a running cluster has another working folder.
        return local.absolute()
    try:
        if kind == "tokenizers":
            from curate.stages import tokenizer_named  # what reads archives takes a while to import

            return tokenizer_named.folder(value)
        return assets.find(kind, value)
    except RecipeError as error:
        trained = [name for name, p in planned.items() if isinstance(p.stage, Trainer)]
        more = f"; trained steps: {', '.join(trained)}" if trained else ""
        lenders = [name for name, p in planned.items() if _lends(p.stage, kind)]
        more += f"; steps that have one: {', '.join(lenders)}" if lenders else ""
        raise RecipeError(f"{setting}: {error.cause}", place=step.place, cure=error.cure + more) from None


def _earlier(step: Step, recipe: Recipe) -> tuple[Index, ...]:
    """The indexes of earlier data that it lists."""
    listed = "earlier" in step.stage.asset_settings.values()
    return tuple(_indexes(step, recipe, step.stage.earlier_indexes)) if listed else ()


def _indexes(step: Step, recipe: Recipe, listed: Callable[[Path], list[Indexes]]) -> list[Indexes]:
    """What a stage says of the indexes that a setting lists."""
    with _at(step):
        return listed(recipe.path.parent)


@contextmanager
def _at(step: Step) -> Iterator[None]:
    """Errors say which step they are about."""
    try:
        yield
    except CurateError as error:
        place = f"{step.place}: {error.place}" if error.place else step.place
        raise type(error)(error.cause, place=place, cure=error.cure) from None


def _columns(step: Step, inputs: tuple[str, ...], planned: dict[str, PlannedStep]) -> frozenset[str]:
    there = frozenset(schema.DOCUMENT.names).union(*(planned[name].columns for name in inputs))
    for column in sorted(step.stage.reads() - there):
        near = difflib.get_close_matches(column, there, n=1)
        cure = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(there))}"
        raise RecipeError(
            f"{step.stage.name} reads a column '{column}' that no step before it makes", place=step.place, cure=cure
        )
    added = frozenset(f"{step.id}.{name}" for name in step.stage.adds())
    if isinstance(step.stage, Trainer | Writer):
        return frozenset()
    if isinstance(step.stage, Generator | Source):
        return frozenset(schema.DOCUMENT.names) | added
    return there | added


def _segments(planned: dict[str, PlannedStep]) -> tuple[tuple[str, ...], ...]:
    segments: list[list[str]] = []
    ends: dict[str, list[str]] = {}
    for name, step in planned.items():
        before = step.inputs[0] if len(step.inputs) == 1 else None
        # A filter goes on in the task of the step before it when it is that step's only reader.
        if isinstance(step.stage, Filter) and before in ends and planned[before].consumers == 1:
            ends[before].append(name)
            ends[name] = ends.pop(before)
            continue
        segment = [name]
        segments.append(segment)
        if isinstance(step.stage, Source | Filter):
            ends[name] = segment
    return tuple(_in_order(segments, planned))


def _in_order(segments: list[list[str]], planned: dict[str, PlannedStep]) -> list[tuple[str, ...]]:
    """Segments so that each comes after those whose rows or models it needs.

    A filter fused into an early segment may use a model that a later segment trains; such a segment is cut there.
    """
    result: list[tuple[str, ...]] = []
    done: set[str] = set()
    waiting = [list(s) for s in segments]
    while waiting:
        for segment in waiting:
            ready = 0
            for name in segment:
                needs = {*planned[name].inputs, *planned[name].uses.values()} - set(segment[:ready])
                if not needs <= done:
                    break
                ready += 1
            if ready:
                result.append(tuple(segment[:ready]))
                done.update(segment[:ready])
                del segment[:ready]
                break
        else:
            raise RecipeError(f"steps wait for each other: {', '.join(name for s in waiting for name in s)}")
        waiting = [s for s in waiting if s]
    return result
