"""What a run would find: each step's state and the reason for it, without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curate.errors import CurateError, DamagedError
from curate.recipe.lacking import missing_inputs
from curate.recipe.plan import Plan, PlannedStep
from curate.run.cluster import Runner
from curate.run.engine import Engine
from curate.run.progress import Silent
from curate.run.source import known_first
from curate.stages.source import Source
from curate.store.files import Store


@dataclass(frozen=True)
class Foreseen:
    """One step as a run would find it.

    Attributes:
        state: ``done``, ``half done`` (some tasks are committed), ``stale`` (done under other settings or inputs),
            ``to do``, ``later`` (depends on what a step before it will give), or ``missing`` (its input is not there).
        why: the reason for the state, in a few words.
    """

    step: str
    use: str
    inputs: tuple[str, ...]
    state: str
    why: str


def foresee(plan: Plan, store: Store, engine: Engine | None = None) -> list[Foreseen]:
    """State of every step, in the recipe's order; raises what a run would raise for inputs that can't be read.

    A source that says what is to be put where nothing is (``about:``) is ``missing``.

    An ``engine`` that is given has the records of all steps that are done afterwards.
    """
    if engine is None:
        with Runner(0) as runner:
            looking = Engine(plan, store, runner, Silent())
            looking.digests.only_looks = True
            return foresee(plan, store, looking)
    found: dict[str, Foreseen] = {}
    missing = missing_inputs(plan.recipe)
    for segment in plan.segments:
        key: str | None = None
        for number, name in enumerate(segment):
            step = plan.steps[name]
            needs = [*step.inputs, *step.uses.values()]
            waits = [n for n in needs if found[n].state != "done"]
            if name in missing:
                found[name] = Foreseen(name, step.stage.name, step.inputs, "missing", missing[name])
                continue
            if waits:
                found[name] = Foreseen(name, step.stage.name, step.inputs, *_later(engine, step, waits))
                continue
            if number == 0:
                key = _key(engine, [plan.steps[name] for name in segment])
            assert key is not None
            found[name] = Foreseen(name, step.stage.name, step.inputs, *_state(engine, step, key))
    return [found[name] for name in plan.steps]


_UNREAD: Final = "unread"
"""Instead of what a source reads where that is not known before it has been read: no record has this key."""


def _key(engine: Engine, segment: list[PlannedStep]) -> str:
    step, limit = segment[0], engine.plan.options.limit
    if isinstance(step.stage, Source):
        if limit is not None:
            return _first_key(engine, segment, limit)
        return engine.reading_key(engine.splits(step))
    return engine.input_key(step)


def _first_key(engine: Engine, segment: list[PlannedStep], limit: int) -> str:
    """With --limit a source reads what its tasks say that is enough."""
    if not all(name in engine.records for step in segment for name in step.uses.values()):
        return _UNREAD
    identities: dict[str, str] = {}
    for step in segment:
        identities[step.id] = engine.fingerprint(step, identities)
    splits = known_first(engine, engine.reading(segment, identities), limit)
    return _UNREAD if splits is None else engine.reading_key(splits)


def _state(engine: Engine, step: PlannedStep, key: str) -> tuple[str, str]:
    identity = engine.fingerprint(step)
    try:
        record = engine.known(step, identity, key)
    except DamagedError as error:
        return "stale", f"{Path(error.place).name} {error.cause}"
    if record is not None:
        engine.records[step.id] = record
        return "done", f"{record.counts.rows_out:,} of {record.counts.rows_in:,} rows"
    folder = engine.folder(step.id, identity)
    for entry in engine.store.list(folder):
        # In a listing records of the step come before receipts of its tasks.
        name = entry.key.removeprefix(f"{folder}/")
        if name.startswith("done-"):
            return "stale", "its input changed"
        if name.startswith("receipts/"):
            return "half done", "some tasks are committed"
    return _changed(engine, step)


def _changed(engine: Engine, step: PlannedStep) -> tuple[str, str]:
    """Compare the settings with those of the newest earlier record of the step."""
    known = engine.store.read_json("steps.json") or {}
    where = known.get(step.id)
    if where is None:
        return "to do", "never run"
    earlier: dict[str, Any] = engine.store.read_json(f"{where.rsplit('/', 1)[0]}/step.json") or {}
    now = step.stage.model_dump(mode="json")
    old = earlier.get("settings", {})
    if earlier.get("use") != step.stage.name:
        return "stale", f"was {earlier.get('use')}"
    fields = [f"{k}: {old.get(k)} -> {now.get(k)}" for k in sorted({*old, *now}) if old.get(k) != now.get(k)]
    besides = (
        "--sample, --limit or the takedown list"
        if isinstance(step.stage, Source)
        else "an asset, the seed or a step above it"
    )
    return "stale", "; ".join(fields) or f"{besides} changed"


def _later(engine: Engine, step: PlannedStep, waits: list[str]) -> tuple[str, str]:
    try:
        state, why = _changed(engine, step)
    except CurateError:
        state, why = "to do", ""
    after = f"after {', '.join(waits)}"
    return ("stale", f"{why}; {after}") if state == "stale" and "->" in why else ("later", after)
