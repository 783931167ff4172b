"""Steps that ask a model: choose requests, ask in rounds through the journal, publish closed rounds, accept answers.

A closed round is published to the store as a file that is never changed. From then on it is what the step is made
of: later runs read it there and ask nobody, whatever became of the journal. Where what comes next depends on what came
(``Written``), each closed round is judged, and a conductor says which is asked next.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from curate.fingerprint import fingerprint
from curate.llm.ask import Asker, Progress, Round
from curate.llm.model import Model
from curate.llm.request import Answer
from curate.recipe.plan import Plan, PlannedStep
from curate.recipe.recipe import Recipe
from curate.run import accept
from curate.run.journal_copies import JournalCopies
from curate.run.published import Published
from curate.stages.base import Context, Stage
from curate.stages.conductor import Asked, Conductor
from curate.stages.generator import NO_ANSWER, Generator
from curate.stages.written import Written
from curate.store.files import crash_point
from curate.store.records import Counts, Part, StepRecord, rounds_of, total

if TYPE_CHECKING:
    from curate.run.engine import Engine

_NOTE_SECONDS = 10.0
"""How often a download says how far it is."""
_PART_BYTES = 64 << 20
"""Characters of answers that a part of documents is made of."""
_PART_ANSWERS = 50_000
"""Answers, at most: short ones may be about long documents, whose texts are in memory together."""
_MOST_UNDER_WAY = 10_000
"""Requests that wait in memory to be sent: who sends more at once does not exist."""


def identity(stage: Generator, recipe: Recipe) -> str:
    """What of the models bears on results: their declared ids and the terms of their outputs, never where they run."""
    return fingerprint(*((recipe.models[name].model, recipe.models[name].licence) for name in stage.models()))


def limits(stage: Stage, plan: Plan) -> Any:
    """What decides how many rounds are asked, and which documents come of them: raising the budget lets a step that it
    stopped go on, and what a removal list names is looked for among answers, too."""
    if not isinstance(stage, Generator):
        return None
    taken = {"takedown": plan.removals.digest} if plan.removals is not None else {}
    return {**plan.recipe.budget.model_dump(mode="json"), **taken}


class _Rounds(Protocol):
    """What says which round comes next, and what is told of all in the end."""

    def next(self) -> Asked | None:
        """The next round, if one can be told by now."""

    def closed(self, number: int, asked: Asked, answers: list[Answer | None]) -> None:
        """A round has its answers."""

    def expected(self) -> int:
        """How many requests it will come to, as far as is known."""

    def end(self) -> None:
        """There will be no more."""

    def accepting(self, start: int, stop: int) -> dict[str, Any]:
        """What an AcceptTask needs to know about rounds from one number up to another."""

    def report(self) -> dict[str, Any]:
        """Plain values for the manifest."""


class _Planned:
    """The rounds of the plan, one after the other."""

    def __init__(self, stage: Generator, plan: accept.RoundsOfPlan) -> None:
        self._model, self._plan, self._rounds = stage.model, plan, iter(plan)

    def next(self) -> Asked | None:
        requests = tuple(next(self._rounds, ()))
        return Asked(self._model, requests, requests) if requests else None

    def closed(self, number: int, asked: Asked, answers: list[Answer | None]) -> None:
        pass

    def expected(self) -> int:
        return self._plan.requests

    def end(self) -> None:
        pass

    def accepting(self, start: int, stop: int) -> dict[str, Any]:
        return {"plan": self._plan}

    def report(self) -> dict[str, Any]:
        return {}


class _Conducted:
    """Rounds that depend on what became of those before: each is judged as it closes."""

    def __init__(
        self, engine: Engine, folder: str, key: str, stage: Written, ctx: Context, plan: accept.RoundsOfPlan
    ) -> None:
        self._engine, self._folder, self._key, self._stage, self._ctx = engine, folder, key, stage, ctx
        self._planned, self._conductor = plan.requests, Conductor(stage, plan, ctx)
        self._judged: list[str] = []

    def next(self) -> Asked | None:
        return self._conductor.next()

    def closed(self, number: int, asked: Asked, answers: list[Answer | None]) -> None:
        what = fingerprint(self._key, number, [asdict(r) for r in asked.requests], _plain(answers))
        task = accept.JudgeTask(
            self._engine.store, self._folder, what, self._stage, self._ctx, number, asked.requests, answers
        )
        label = f"{self._ctx.step}:judging"
        for _, receipt, works in self._engine.runner.run([task], label=label):
            for work in works:
                self._engine.reporter.worked((self._ctx.step,), work, {})
            self._conductor.judged(accept.load_judged(receipt))
        self._judged.append(task.receipt)

    def expected(self) -> int:
        return self._conductor.expected(self._planned)

    def end(self) -> None:
        self._conductor.end()

    def accepting(self, start: int, stop: int) -> dict[str, Any]:
        return {
            "judged": tuple(self._judged[start:stop]),
            "repeats": tuple(self._conductor.repeats[start:stop]),
        }

    def report(self) -> dict[str, Any]:
        return {"families": self._conductor.report()}


def _plain(answers: list[Answer | None]) -> list[dict[str, Any] | None]:
    return [asdict(answer) if answer else None for answer in answers]


def run_generator(
    engine: Engine, step: PlannedStep, stage: Generator, identity_: str, folder: str, parts: list[Part]
) -> StepRecord:
    """Run a Generator step; returns its record."""
    ctx = engine.context(step)
    key = fingerprint(identity_, [p.key for p in parts])
    chosen = accept.RequestsTask(engine.store, folder, key, stage, ctx, tuple(parts))
    plan = accept.RoundsOfPlan(engine.store, **engine.tasks((step.id,), "choosing what to ask", [chosen])[key])
    rounds: _Rounds = (
        _Conducted(engine, folder, key, stage, ctx, plan) if isinstance(stage, Written) else _Planned(stage, plan)
    )
    files = rounds_of(step.id, identity_, parts)
    asking = _Asking(engine, step.id, stage, files, rounds)
    asking.run()
    rounds.end()
    made = fingerprint(identity_, asking.digests)
    tasks = [
        accept.AcceptTask(
            engine.store, folder, fingerprint(made, a), stage, ctx, tuple(parts), files, a, b, **rounds.accepting(a, b)
        )
        for a, b in itertools.pairwise(asking.cuts())
    ]
    receipts, made = _accepted(engine, step.id, tasks, made)
    counts = total(Counts.load(receipt["counts"]) for receipt in receipts)
    record = StepRecord(step.id, stage.name, identity_, made, counts)
    record.parts = [Part.load(receipt["part"]) for receipt in receipts]
    record.dropped = [receipt["dropped"] for receipt in receipts if receipt["dropped"]]
    noted = [one for receipt in receipts for one in receipt["noted"]]
    report = accept.ReportTask(
        engine.store, folder, fingerprint(made, "report"), stage, ctx, tuple(record.parts), noted
    )
    record.report = {
        **engine.tasks((step.id,), "telling of it", [report])[report.key],
        "model": engine.plan.recipe.models[stage.model].model,
        "rounds": {"planned": plan.rounds, "closed": len(asking.digests)},
        **({"not_asked": dict(plan.passed_over)} if plan.passed_over else {}),
        **rounds.report(),
        "prompt_tokens": asking.prompt_tokens,
        "completion_tokens": asking.completion_tokens,
    }
    for name, told in record.report.get("families", {}).items():
        if told["skipped"]:
            engine.reporter.note(
                f"{step.id}: {name} repeats itself ({told['stopped']}): {told['skipped']:,} requests of it were not sent"
            )
    if asking.stopped:
        record.report["stopped"] = asking.stopped
        engine.reporter.note(
            f"{step.id}: stopped by the {asking.stopped} after {len(asking.digests)} of {plan.rounds} rounds"
        )
    return record


def _accepted(engine: Engine, step: str, tasks: list[accept.AcceptTask], made: str) -> tuple[list[dict[str, Any]], str]:
    """Receipts, and the identity of what they are: without the documents that a removal list names."""
    what = "accepting answers"
    found = engine.tasks((step,), what, tasks)
    receipts = [found[task.key] for task in tasks]
    taken = [accept.taken_down(engine.store, receipt, engine.plan.removals) for receipt in receipts]
    if any(taken):
        made = fingerprint(made, sorted(one for some in taken for one in some))
        tasks = [
            dataclasses.replace(task, key=fingerprint(task.key, sorted(some)), taken=some) if some else task
            for task, some in zip(tasks, taken, strict=True)
        ]
        found = engine.tasks((step,), what, tasks)
        receipts = [found[task.key] for task in tasks]
    return receipts, made


class _Asking:
    """The rounds of a step, closed one after the other: those that were published before, then those that are asked now.

    Attributes:
        digests: of the answers of each closed round.
        prompt_tokens, completion_tokens: of all of them.
        stopped: ``budget`` where the cap ended it.
    """

    def __init__(self, engine: Engine, step: str, stage: Generator, files: str, rounds: _Rounds) -> None:
        self._engine, self._step, self._stage = engine, step, stage
        self._files, self._rounds = files, rounds
        self._next: Asked | None = None
        self._published = self._requests = 0
        self._sizes: list[tuple[int, int]] = []
        self.digests: list[str] = []
        self.prompt_tokens = self.completion_tokens = 0
        self.stopped = ""

    def run(self) -> None:
        """Close all rounds that can be."""
        self._read_published()
        if self._next is not None:
            self._ask()

    def cuts(self) -> list[int]:
        """Numbers of the rounds with which parts begin, and of the one after the last; one part at least."""
        cuts, size, count = [0], 0, 0
        for number, (each, answers) in enumerate(self._sizes):
            if count and (size + each > _PART_BYTES or count + answers > _PART_ANSWERS):
                cuts.append(number)
                size = count = 0
            size, count = size + each, count + answers
        return [*cuts, len(self._sizes)]

    def _read_published(self) -> None:
        """Go through the rounds that are closed already; ``_next`` is the first that is not."""
        while (asked := self._rounds.next()) is not None:
            value = self._engine.store.read_json(self._place(self._published))
            if value is None:
                self._next = asked
                return
            self._close(asked, [Answer(**a) if a else None for a in value])

    def _place(self, number: int) -> str:
        return f"{self._files}{number:06d}.json"

    def _close(self, asked: Asked, answers: list[Answer | None]) -> None:
        number = self._published
        self._published += 1
        self._rounds.closed(number, asked, answers)
        self._requests += len(answers)
        self._sizes.append((sum(len(a.text) for a in answers if a is not None), len(answers)))
        self.digests.append(fingerprint(_plain(answers)))
        self.prompt_tokens += sum(a.prompt_tokens for a in answers if a is not None)
        self.completion_tokens += sum(a.completion_tokens for a in answers if a is not None)

    def _ask(self) -> None:
        engine, recipe = self._engine, self._engine.plan.recipe
        models = {name: recipe.models[name] for name in self._stage.models()}
        names = ", ".join(model.model for model in models.values())
        engine.reporter.step((self._step,), f"asking {names}", 0, self._rounds.expected(), self._requests)
        with JournalCopies(engine.store) as journal:
            if engine.store.remote:
                engine.reporter.note(f"{self._step}: what is asked and answered is written to {journal.path}")
            with Asker(
                models,
                budget=recipe.budget,
                journal=journal.path,
                published=lambda: Published(engine.store, self._step),
                progress=_progress(engine, self._step),
                local_log=engine.store.state("local-model.log"),
                leave=lambda: engine.runner.stop.asked,
            ) as asker:
                with engine.runner.stop.finishing(lambda: self._publish_rest(asker)):
                    self._ask_rounds(asker, journal)
        self.stopped = asker.stopped
        _state_rate(engine, self._step, asker, models)
        if engine.runner.stop.asked and self._next is not None and not self.stopped:
            engine.runner.stop.leave()

    def _ask_rounds(self, asker: Asker, journal: JournalCopies) -> None:
        """Put rounds while there are any and few enough wait; publish and judge each as it closes.

        When the run is to stop, what closes is still published, but no more is judged (the runner leaves instead): the
        next run does that.
        """
        under_way: list[Asked] = []
        asked, self._next = self._next, None
        while True:
            while asked is not None and sum(len(one.requests) for one in under_way) < _MOST_UNDER_WAY:
                asker.put(Round(asked.model, asked.requests))
                under_way.append(asked)
                asked = self._rounds.next()
                self._engine.reporter.expect(self._rounds.expected())
            closed = asker.take() if under_way else None
            if closed is None:
                self._next = under_way[0] if under_way else asked
                return
            answers = self._publish(closed.answers)
            journal.closed()
            self._tell(under_way[0], answers)
            self._close(under_way.pop(0), answers)
            asked = asked or self._rounds.next()

    def _tell(self, asked: Asked, answers: list[Answer | None]) -> None:
        """For the record: a round was closed."""
        there = [answer for answer in answers if answer is not None]
        self._engine.reporter.event(
            "round",
            step=self._step,
            model=self._engine.plan.recipe.models[asked.model].model,
            family=asked.requests[0].family,
            requests=len(answers),
            failed=len(answers) - len(there),
            prompt_tokens=sum(answer.prompt_tokens for answer in there),
            completion_tokens=sum(answer.completion_tokens for answer in there),
            dollars=sum(answer.dollars or 0.0 for answer in there),
        )

    def _publish_rest(self, asker: Asker) -> None:
        """Publish what still closes."""
        while (closed := asker.take()) is not None:
            self._publish(closed.answers)
            self._published += 1

    def _publish(self, answers: list[Answer | None]) -> list[Answer | None]:
        crash_point("round.before-publish")
        value: list[Mapping[str, Any] | None] = self._engine.store.put_if_absent(
            self._place(self._published), _plain(answers)
        )
        crash_point("round.after-publish")
        return [Answer(**a) if a else None for a in value]


def _state_rate(engine: Engine, step: str, asker: Asker, models: Mapping[str, Model]) -> None:
    """How fast the endpoints were, and what the whole run has cost so far. A note: times are no part of any result."""
    if not asker.bought:
        return
    rate = asker.bought / max(asker.seconds, 1e-3)
    speed = f"{rate:,.1f}" if rate >= 10 else f"{rate:.2g}"
    priced = any(model.prompt_price or model.completion_price for model in models.values())
    cost = f", ${asker.accounts['dollars']:.4f} spent by the run so far" if priced else ""
    names = ", ".join(model.model for model in models.values())
    engine.reporter.note(
        f"{step}: {asker.bought:,} answers of {names} in {asker.seconds:.1f} s, {speed} a second{cost}"
    )


def _progress(engine: Engine, step: str) -> Callable[[Progress], None]:
    before, failed, noted = 0, 0, -_NOTE_SECONDS

    def tell(now: Progress) -> None:
        nonlocal before, failed, noted
        if now.note and time.monotonic() - noted >= _NOTE_SECONDS:
            noted = time.monotonic()
            engine.reporter.note(f"{step}: {now.note}")
        for said in now.notes:
            engine.reporter.note(f"{step}: {said}")
        lost = {NO_ANSWER: now.failed - failed} if now.failed > failed else {}
        engine.reporter.advance(0, {step: Counts(rows_in=now.done - before, reasons=lost)})
        engine.reporter.charged(now.prompt_tokens, now.completion_tokens, now.dollars, now.in_flight)
        before, failed = now.done, now.failed

    return tell
