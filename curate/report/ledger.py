"""What became of every request to a model that a run sent, and what it cost: the lines sum up to what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from curate.llm.journal import JOURNAL, Attempt, attempts_of
from curate.llm.request import Answer
from curate.report.run_folder import RunFolder
from curate.report.step import Step
from curate.stages.generator import LEDGER, NO_ANSWER, Generator
from curate.stages.removals import REASON as TAKEDOWN
from curate.store.records import rounds_of

__all__ = ["UNUSED", "Cascade", "Line", "cascades", "ledger"]

UNUSED: Final = "unused"
"""Answers that are paid and in no round that counts: those that came in after the last complete round at the cap, and
those that were cut and asked again with a higher limit."""
_LATER: Final = {
    "verify.": "failed_execution",
    "dedup.": "duplicate",
    "decontaminate": "contaminated",
    "judge.rephrased": "contaminated",
}
"""What a step after the generator drops, by its stage; any other is a score, or a rule, that was not met."""
_OTHER: Final = "low_score"


@dataclass
class Line:
    """One prompt family of one step.

    Attributes:
        sent: attempts that left; None where the journal is not on this machine.
        counts: of them, by what became of them: LEDGER and UNUSED. Without a journal requests are counted, and those that
            were lost are not known.
        prompt_tokens, completion_tokens, dollars: charged, reserves of lost attempts included.
        accepted_tokens: completion tokens of the requests that were accepted.
        answers: how many of each model there are in rounds, and what they cost, US dollars.
    """

    step: str
    family: str
    sent: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    accepted_tokens: int = 0
    answers: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether the counts sum up to what was sent."""
        return self.sent is None or self.counts.total() == self.sent

    @property
    def dollars_per_1k(self) -> float | None:
        """US dollars for 1,000 accepted completion tokens; None where none was accepted."""
        return self.dollars / self.accepted_tokens * 1000 if self.accepted_tokens else None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        counts = {name: self.counts[name] for name in (*LEDGER, UNUSED)}
        return {**asdict(self), "counts": counts, "dollars_per_1k": self.dollars_per_1k}


def ledger(run: RunFolder) -> list[Line]:
    """A line for each prompt family of each generator step, in the recipe's order."""
    lines: dict[tuple[str, str], Line] = {}
    keys: dict[str, Line] = {}
    for step in run.steps.values():
        if not step.is_a(Generator):
            continue
        fates = _fates(run, step)
        for family, number, answer in _answers(run, step, fates):
            line = lines.setdefault((step.id, family), Line(step.id, family))
            fate = fates[number]
            if answer is None:
                line.counts[fate] += 1
            elif answer.key not in keys:
                keys[answer.key] = line
                line.counts[fate] += 1
                _charge(line, answer, accepted=fate == "accepted")
                many, dollars = line.answers.get(answer.model, (0, 0.0))
                line.answers[answer.model] = (many + 1, dollars + answer.dollars)
    _of_journal(run, lines, keys)
    return list(lines.values())


@dataclass(frozen=True)
class Cascade:
    """What another model, asked only for what the first failed and what a gate sends to it, cost: US dollars.

    Attributes:
        first, then: declared ids.
        asked: requests that each answered, other tries included.
        gated: requests of the plan that a gate sent to it.
        spent: by both.
        alone: what the second would have cost for every request of the plan, at its mean cost here.
    """

    step: str
    first: str
    then: str
    asked: tuple[int, int]
    spent: float
    alone: float
    gated: int = 0


def cascades(run: RunFolder, lines: list[Line]) -> list[Cascade]:
    """One for each other model that a step asked."""
    declared = run.manifest.get("models", {})
    found = []
    for step in run.steps.values():
        gate = (step.settings.get("gate") or {}).get("model")
        first = step.settings.get("model")
        for other in dict.fromkeys(name for name in (gate, step.settings.get("then")) if name):
            found += _cascade(step, declared[first]["model"], declared[other]["model"], lines, gated=other == gate)
    return found


def _cascade(step: Step, first: str, then: str, lines: list[Line], *, gated: bool) -> list[Cascade]:
    own = [line.answers for line in lines if line.step == step.id]
    many = [sum(one[name][0] for one in own if name in one) for name in (first, then)]
    cost = [sum(one[name][1] for one in own if name in one) for name in (first, then)]
    if not many[1]:
        return []
    told = step.record.report["families"].values()
    began = sum(one["asked"] - one["again"] - one["then"] for one in told)
    sent = sum(one.get("gated", 0) for one in told) if gated else 0
    return [Cascade(step.id, first, then, (many[0], many[1]), sum(cost), cost[1] / many[1] * began, sent)]


def _charge(line: Line, what: Answer | Attempt, *, accepted: bool = False) -> None:
    line.prompt_tokens += what.prompt_tokens
    line.completion_tokens += what.completion_tokens
    line.dollars += what.dollars
    line.accepted_tokens += what.completion_tokens if accepted else 0


# -- by round ------------------------------------------------------------------------------------------------


def _answers(run: RunFolder, step: Step, fates: Mapping[str, str]) -> Iterator[tuple[str, str, Answer | None]]:
    """Family, place (``family#round.number``) and answer of every request of the rounds that count."""
    families = _by_round(fates)
    read = [part for name in step.inputs for part in run.steps[name].record.parts if part.rows]
    files = rounds_of(step.id, step.record.fingerprint, read)
    for number in range(step.record.report.get("rounds", {}).get("closed", 0)):
        for n, value in enumerate(run.store.read_json(f"{files}{number:06d}.json") or ()):
            place = f"{number}.{n}"
            yield families[place], f"{families[place]}#{place}", Answer(**value) if value else None


def _by_round(fates: Mapping[str, str]) -> dict[str, str]:
    """The family of each request by its round and number."""
    return {place: family for family, _, place in (one.rpartition("#") for one in fates)}


def _fates(run: RunFolder, step: Step) -> dict[str, str]:
    """What became of each request, as LEDGER says it, by ``family#round.number``."""
    fates: dict[str, str] = {}
    reasons = getattr(step.stage, "ledger", {})
    for key in step.record.dropped:
        for batch in run.batches(key, ["origin", "reason"]):
            for origin, reason in zip(*(batch.column(n).to_pylist() for n in ("origin", "reason")), strict=True):
                fates.setdefault(_request(origin), _category(reasons, reason))
    documents: dict[bytes, str] = {}
    for part in step.record.parts:
        for batch in run.batches(part.data, ["id", "origin"]):
            documents |= dict(zip(*(batch.column(n).to_pylist() for n in ("id", "origin")), strict=True))
    gone = _gone_later(run, step, documents)
    # One document that stays is enough: a request whose answer became several is accepted for it.
    for one, origin in documents.items():
        fates[_request(origin)] = gone.get(one, "accepted")
    for one, origin in documents.items():
        if one not in gone:
            fates[_request(origin)] = "accepted"
    return fates


def _request(origin: str) -> str:
    """``family#round.number`` of ``step/family#round.number`` or of ``...number.i``."""
    family, _, place = origin.partition("/")[2].rpartition("#")
    return f"{family}#{'.'.join(place.split('.')[:2])}"


def _category(reasons: Mapping[str, str], reason: str) -> str:
    return "error" if reason == NO_ANSWER else _OTHER if reason == TAKEDOWN else reasons.get(reason, "wrong_format")


def _gone_later(run: RunFolder, step: Step, documents: Mapping[bytes, str]) -> dict[bytes, str]:
    """Documents that later steps drop, and what that counts as."""
    gone: dict[bytes, str] = {}
    for later in run.steps.values():
        if later.id == step.id:
            continue
        counts_as = next((what for name, what in _LATER.items() if later.use.startswith(name)), _OTHER)
        for key in later.record.dropped:
            for batch in run.batches(key, ["id"]):
                gone |= {one: counts_as for one in batch.column("id").to_pylist() if one in documents}
    return gone


# -- by attempt ----------------------------------------------------------------------------------------------


def _of_journal(run: RunFolder, lines: Mapping[tuple[str, str], Line], keys: Mapping[str, Line]) -> None:
    """Add what only the journal knows: attempts that failed or were lost, and answers that are in no round."""
    by_family = {line.family: line for line in lines.values()}
    counted: set[str] = set()
    for attempt in attempts_of(run.store.state(JOURNAL)):
        line = keys.get(attempt.key) or by_family.get(attempt.family)
        if line is None:
            continue
        if line.sent is None:
            line.sent = 0
            # Attempts are counted from here on: a request that was given up is so many attempts that failed.
            line.counts["error"] = 0
        line.sent += 1
        if attempt.state == "answered" and attempt.key in keys and attempt.key not in counted:
            counted.add(attempt.key)
        else:
            line.counts[{"answered": UNUSED, "lost": "lost"}.get(attempt.state, "error")] += 1
            _charge(line, attempt)
