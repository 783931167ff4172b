"""Steps that ask a model: choose requests, ask in rounds through the journal, publish closed rounds, accept answers.

A closed round is published to the store as a file that is never changed. From then on it is what the step is made
of: later runs read it there and ask nobody, whatever became of the journal.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from curate.fingerprint import fingerprint
from curate.llm.ask import Asker, Closed, Progress, Round
from curate.llm.model import Model
from curate.llm.request import Answer
from curate.recipe.plan import Plan, PlannedStep
from curate.recipe.recipe import Recipe
from curate.run import learn
from curate.run.journal_copies import JournalCopies
from curate.stages.base import Generator, Stage
from curate.store.files import crash_point
from curate.store.records import Counts, Part, StepRecord

if TYPE_CHECKING:
    from curate.run.engine import Engine

_NOTE_SECONDS = 10.0
"""How often a download says how far it is."""


def identity(stage: Generator, recipe: Recipe) -> str:
    """What of the model bears on results: its declared id and the terms of its outputs, never where it runs."""
    model = recipe.models[stage.model]
    return fingerprint(model.model, model.licence)


def limits(stage: Stage, plan: Plan) -> Any:
    """What decides how many rounds are asked, and which documents come of them: raising the budget lets a step that it
    stopped go on, and what a removal list names is looked for among answers, too."""
    if not isinstance(stage, Generator):
        return None
    taken = {"takedown": plan.removals.digest} if plan.removals is not None else {}
    return {**plan.recipe.budget.model_dump(mode="json"), **taken}


def run_generator(
    engine: Engine, step: PlannedStep, stage: Generator, identity_: str, folder: str, parts: list[Part]
) -> StepRecord:
    """Run a Generator step; returns its record."""
    ctx = engine.context(step)
    key = fingerprint(identity_, [p.key for p in parts])
    read = tuple(parts)  # none where the step starts from an asset
    chosen = learn.RequestsTask(engine.store, folder, key, stage, ctx, read)
    rounds = learn.load_requests(engine.tasks((step.id,), "choosing what to ask", [chosen])[key])
    answers = _published(engine, folder, key, len(rounds))
    stopped = ""
    if len(answers) < len(rounds):
        model = engine.plan.recipe.models[stage.model]
        engine.reporter.step(
            (step.id,), f"asking {model.model}", 0, sum(len(r) for r in rounds), sum(len(r) for r in answers)
        )
        with JournalCopies(engine.store, [len(r) for r in rounds[len(answers) :]]) as journal:
            if engine.store.remote:
                engine.reporter.note(f"{step.id}: what is asked and answered is written to {journal.path}")
            asker = Asker(
                engine.plan.recipe.models,
                budget=engine.plan.recipe.budget,
                journal=journal.path,
                published=lambda: _all_published(engine, step.id),
                progress=_progress(engine, step.id, journal),
                local_log=engine.store.state("local-model.log"),
                leave=lambda: engine.runner.stop.asked,
            )
            closed = _ask(asker, [Round(stage.model, tuple(requests)) for requests in rounds[len(answers) :]])
        stopped = asker.stopped
        _state_rate(engine, step.id, asker, model)
        for round_ in closed:
            answers.append(_publish(engine, folder, key, len(answers), round_.answers))
        if engine.runner.stop.asked and len(answers) < len(rounds) and not stopped:
            engine.runner.stop.leave()
    digest = fingerprint([[asdict(a) if a else None for a in round_] for round_ in answers])
    accept = learn.AcceptTask(
        engine.store, folder, fingerprint(identity_, digest), stage, ctx, read, rounds[: len(answers)], answers
    )
    receipt = engine.tasks((step.id,), "accepting answers", [accept])[accept.key]
    made = fingerprint(identity_, digest)
    if taken := learn.taken_down(engine.store, receipt, engine.plan.removals):
        made = fingerprint(made, sorted(taken))
        accept = dataclasses.replace(accept, key=made, taken=taken)
        receipt = engine.tasks((step.id,), "accepting answers", [accept])[accept.key]
    record = StepRecord(step.id, stage.name, identity_, made, Counts.load(receipt["counts"]))
    record.parts = [Part.load(receipt["part"])]
    record.dropped = [receipt["dropped"]] if receipt["dropped"] else []
    flat = [a for round_ in answers for a in round_ if a is not None]
    record.report = {
        **receipt["report"],
        "model": engine.plan.recipe.models[stage.model].model,
        "rounds": {"planned": len(rounds), "closed": len(answers)},
        "prompt_tokens": sum(a.prompt_tokens for a in flat),
        "completion_tokens": sum(a.completion_tokens for a in flat),
    }
    if stopped:
        record.report["stopped"] = stopped
        engine.reporter.note(f"{step.id}: stopped by the {stopped} after {len(answers)} of {len(rounds)} rounds")
    return record


def _ask(asker: Asker, rounds: list[Round]) -> list[Closed]:
    closed = []
    with asker:
        for round_ in rounds:
            asker.put(round_)
        while (taken := asker.take()) is not None:
            closed.append(taken)
    return closed


def _published(engine: Engine, folder: str, key: str, rounds: int) -> list[list[Answer | None]]:
    found: list[list[Answer | None]] = []
    for number in range(rounds):
        value = engine.store.read_json(f"{folder}/rounds/{key[:16]}-{number:06d}.json")
        if value is None:
            break
        found.append([Answer(**a) if a else None for a in value])
    return found


def _all_published(engine: Engine, step: str) -> dict[str, Answer]:
    """Answers of all rounds that a step ever closed, under whatever settings and inputs, by their keys."""
    found: dict[str, Answer] = {}
    for entry in engine.store.list(f"steps/{step}"):
        for answer in (engine.store.read_json(entry.key) if "/rounds/" in entry.key else None) or ():
            if answer:
                found[answer["key"]] = Answer(**answer)
    return found


def _publish(engine: Engine, folder: str, key: str, number: int, round_: list[Answer | None]) -> list[Answer | None]:
    crash_point("round.before-publish")
    value: list[Mapping[str, Any] | None] = engine.store.put_if_absent(
        f"{folder}/rounds/{key[:16]}-{number:06d}.json", [asdict(a) if a else None for a in round_]
    )
    crash_point("round.after-publish")
    return [Answer(**a) if a else None for a in value]


def _state_rate(engine: Engine, step: str, asked: Asker, model: Model) -> None:
    """How fast the endpoint was, and what the whole run has cost so far. A note: times are no part of any result."""
    if not asked.bought:
        return
    rate = asked.bought / max(asked.seconds, 1e-3)
    speed = f"{rate:,.1f}" if rate >= 10 else f"{rate:.2g}"
    cost = (
        f", ${asked.accounts['dollars']:.4f} spent by the run so far"
        if model.prompt_price or model.completion_price
        else ""
    )
    engine.reporter.note(
        f"{step}: {asked.bought:,} answers of {model.model} in {asked.seconds:.1f} s, {speed} a second{cost}"
    )


def _progress(engine: Engine, step: str, journal: JournalCopies) -> Any:
    before, failed, noted = 0, 0, -_NOTE_SECONDS

    def tell(now: Progress) -> None:
        nonlocal before, failed, noted
        if now.note and time.monotonic() - noted >= _NOTE_SECONDS:
            noted = time.monotonic()
            engine.reporter.note(f"{step}: {now.note}")
        journal.answered(now.done)
        lost = {"no_answer": now.failed - failed} if now.failed > failed else {}
        engine.reporter.advance(0, {step: Counts(rows_in=now.done - before, reasons=lost)})
        before, failed = now.done, now.failed

    return tell
