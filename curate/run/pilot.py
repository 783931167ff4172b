"""A pilot: the first requests of each step that asks a model are sent, and tell what all of them would cost.

They go through the journal of the run's store and under its budget, as the run's own do: the run finds their answers
there and pays for none of them again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from curate.fingerprint import fingerprint
from curate.llm.ask import Asker, Round
from curate.llm.journal import Reserve, attempts_of, request_key, reserve_of
from curate.llm.model import Budget, Model
from curate.llm.request import Answer, Request
from curate.recipe.plan import PlannedStep
from curate.run import accept
from curate.run.engine import Engine
from curate.run.foresight import Foreseen, foresee
from curate.run.journal_copies import JournalCopies
from curate.run.published import Published
from curate.stages.generator import Generator, Rejected, not_asked
from curate.stages.written import Written

__all__ = ["Estimate", "Pilot", "Range", "estimated", "run_pilot"]

# 97.5 % points of Student's t for 1, 2, ... degrees of freedom; beyond them that of 30.
_STUDENT: Final = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
    2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04,
)  # fmt: skip


@dataclass(frozen=True)
class Range:
    """A total that was estimated, and between which two it lies with 95 % confidence."""

    low: float
    middle: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.middle + other.middle, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Each times a factor."""
        return Range(self.low * factor, self.middle * factor, self.high * factor)


@dataclass(frozen=True)
class Estimate:
    """What the pilot of one step says.

    Attributes:
        planned, left: requests of the plan, and those of them that have no answer yet.
        sent: requests of the pilot that are settled; ``answered`` of them with an answer, ``accepted`` with a document.
        tokens_each, dollars_each: means of an answer: (prompt, completion) tokens and US dollars.
        prompt_tokens, completion_tokens, dollars: of all that is left, with the tries that the settings allow.
        notes: what it does not know, and what is not asked about.
    """

    step: str
    model: str
    planned: int
    left: int
    sent: int
    answered: int
    accepted: int
    tokens_each: tuple[float, float]
    dollars_each: float
    prompt_tokens: Range
    completion_tokens: Range
    dollars: Range
    notes: tuple[str, ...] = ()


@dataclass
class Pilot:
    """What a pilot came to.

    Attributes:
        estimates: one for each step that was asked for.
        unknown: by step, why nothing is known of it.
        spent: what the run is charged so far, with the pilot.
        stopped: whether the cap ended the pilot.
    """

    estimates: list[Estimate] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    spent: Reserve = field(default_factory=lambda: Reserve(0, 0, 0.0))
    stopped: bool = False

    def against(self, budget: Budget) -> list[str]:
        """For each cap whether it will stop the run, as far as the estimates reach."""
        lines = []
        for name, cap in budget.model_dump().items():
            if cap is None:
                continue
            left = sum((getattr(one, name) for one in self.estimates), Range(0.0, 0.0, 0.0))
            spent = getattr(self.spent, name)
            low, middle, high = (spent + value for value in (left.low, left.middle, left.high))
            said = "will not stop it" if high <= cap else "may stop it" if middle <= cap else "will probably stop it"
            said = "will stop it" if low > cap else said
            lines.append(f"{name.replace('_', ' ')}: {amount(middle)} of {amount(cap)}: the cap {said}")
        return lines

    def plain(self, budget: Budget) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "budget": self.against(budget)}


def amount(value: float) -> str:
    """A count or a sum of money for people."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def estimated(values: Sequence[float], weights: Sequence[float], total: float, most: float) -> Range:
    """The sum over all of what was measured of some, in proportion to a weight that is known of all.

    ``total``: the sum of all weights; ``most``: what it can't exceed. One value alone tells of no range, and none tell
    nothing: then it lies between nothing and the most.
    """
    n, known = len(values), sum(weights)
    if n == 0 or known == 0:
        return Range(0.0, most, most)
    rate = sum(values) / known
    middle = min(rate * total, most)
    if n == 1:
        return Range(0.0, middle, most)
    spread = math.sqrt(sum((v - rate * w) ** 2 for v, w in zip(values, weights, strict=True)) / (n - 1))
    half = _STUDENT[min(n - 1, len(_STUDENT)) - 1] * total * spread / (math.sqrt(n) * known / n)
    return Range(max(0.0, middle - half), middle, min(most, middle + half))


def run_pilot(engine: Engine, number: int, tell: Callable[[str], None]) -> tuple[list[Foreseen], Pilot]:
    """Send the first ``number`` requests of each generator that has something to ask, after those whose input is there.

    Needs the store's lease. Raises what asking raises (EndpointError, ...).
    """
    states = foresee(engine.plan, engine.store, engine)
    pilot = Pilot()
    for state in states:
        step = engine.plan.steps[state.step]
        if not isinstance(step.stage, Generator) or state.state == "done":
            continue
        if state.state == "later" or any(name not in engine.records for name in (*step.inputs, *step.uses.values())):
            pilot.unknown[step.id] = f"its input does not exist yet ({state.why})"
        elif pilot.stopped:
            pilot.unknown[step.id] = "the cap ended the pilot before it"
        else:
            tell(f"{step.id}: asking for the first {number} answers")
            _one(engine, step, step.stage, number, pilot)
    return states, pilot


def _one(engine: Engine, step: PlannedStep, stage: Generator, number: int, pilot: Pilot) -> None:
    identity = engine.fingerprint(step)
    folder, parts = engine.folder(step.id, identity), tuple(engine.input_parts(step))
    ctx, key = engine.context(step), fingerprint(identity, [p.key for p in parts])
    chosen = accept.RequestsTask(engine.store, folder, key, stage, ctx, parts)
    plan = accept.RoundsOfPlan(engine.store, **engine.tasks((step.id,), "choosing what to ask", [chosen])[key])
    first = list(itertools.islice(itertools.chain.from_iterable(plan), number))
    model = engine.plan.recipe.models[stage.model]
    answers = list(_ask(engine, step, stage, first, pilot))
    settled = [(request, answer) for request, answer in zip(first, answers, strict=False) if answer is not None]
    accepted = sum(not isinstance(stage.accept(request, answer, ctx), Rejected) for request, answer in settled)
    left, most, size = _left(engine, plan, model)
    prompt = estimated(
        [answer.prompt_tokens for _, answer in settled], [_bytes(r) for r, _ in settled], size, most.prompt_tokens
    )
    completion = estimated(
        [answer.completion_tokens for _, answer in settled], [1.0] * len(settled), left, most.completion_tokens
    )
    factor, notes = _tries(stage, accepted, len(settled))
    notes += (not_asked(plan.passed_over),) if plan.passed_over else ()
    prompt, completion = prompt.times(factor), completion.times(factor)
    n = max(1, len(settled))
    each = (sum(a.prompt_tokens for _, a in settled) / n, sum(a.completion_tokens for _, a in settled) / n)
    dollars = prompt.times(model.prompt_price / 1e6) + completion.times(model.completion_price / 1e6)
    pilot.estimates.append(
        Estimate(
            step.id,
            model.model,
            plan.requests,
            left,
            len(answers),
            len(settled),
            accepted,
            each,
            sum(a.dollars for _, a in settled) / n,
            prompt,
            completion,
            dollars,
            notes,
        )
    )


def _ask(
    engine: Engine, step: PlannedStep, stage: Generator, first: list[Request], pilot: Pilot
) -> Iterator[Answer | None]:
    """The answers, as far as the budget reaches; each request is a round of its own."""
    recipe = engine.plan.recipe
    with JournalCopies(engine.store) as journal:
        with Asker(
            {stage.model: recipe.models[stage.model]},
            budget=recipe.budget,
            journal=journal.path,
            published=lambda: Published(engine.store, step.id),
            local_log=engine.store.state("local-model.log"),
        ) as asker:
            for request in first:
                asker.put(Round(stage.model, (request,)))
            while (closed := asker.take()) is not None:
                yield closed.answers[0]
        pilot.stopped = asker.stopped == "budget"
        totals = asker.accounts
        pilot.spent = Reserve(totals["prompt_tokens"], totals["completion_tokens"], totals["dollars"])


def _left(engine: Engine, plan: accept.RoundsOfPlan, model: Model) -> tuple[int, Reserve, int]:
    """Of the requests without an answer: how many, what they may cost at most, and the bytes of their messages."""
    path = JournalCopies(engine.store).path
    answered = {attempt.key for attempt in attempts_of(path) if attempt.state == "answered"}
    left = size = prompt = completion = 0
    for request in itertools.chain.from_iterable(plan):
        if request_key(request, model.model) not in answered:
            reserve = reserve_of(request, request.max_tokens, (0.0, 0.0))
            left, size = left + 1, size + _bytes(request)
            prompt, completion = prompt + reserve.prompt_tokens, completion + reserve.completion_tokens
    return left, Reserve(prompt, completion, 0.0), size


def _bytes(request: Request) -> int:
    return sum(len(message["content"].encode("utf-8", "replace")) for message in request.messages)


def _tries(stage: Generator, accepted: int, answered: int) -> tuple[float, tuple[str, ...]]:
    """How many requests come of one that is planned, with the tries that the settings allow; and what is left out."""
    if not isinstance(stage, Written):
        return 1.0, ()
    notes: tuple[str, ...] = ()
    if stage.then is not None:
        notes = (f"what '{stage.then}' is asked where the first model failed is not in it",)
    failing = 1 - accepted / answered if answered else 0.0
    gated = [name for name in stage.models() if name not in (stage.model, stage.then)]
    notes += tuple(f"what goes to '{name}' at once is counted as if '{stage.model}' answered it" for name in gated)
    factor = sum(failing**attempt for attempt in range(stage.tries))
    if factor > 1:
        notes = (f"with {factor:.2f} tries of a request, as {failing:.0%} were rejected", *notes)
    return factor, notes
