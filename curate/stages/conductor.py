"""Which round of a generator comes next: a pure function of what became of the rounds before, in their order.

The plan has rounds of each prompt family. Between them come rounds of what is asked again, with what was wrong shown, and
of what another model is asked because the first failed. A family that repeats itself comes less often, and ends.

Round n is decided by rounds 0 to n - 1 - ``ahead``, however many are closed by then: so ``ahead`` + 1 rounds can be under
way, and neither the order of arrival nor a kill changes what is asked.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.llm.request import Request
from curate.stages.base import Context
from curate.stages.family import Family, Seen
from curate.stages.generator import Accepted
from curate.stages.written import DUPLICATE, MENDABLE, Written

__all__ = ["Asked", "Conductor", "Judged"]


@dataclass(frozen=True)
class Asked:
    """A round: requests of one family to one model, each put to it as often.

    Attributes:
        began: what each request was before anything was shown to be wrong; equal to ``requests`` at the first try.
        tries: how often the model has been asked, this time included.
    """

    model: str
    requests: tuple[Request, ...]
    began: tuple[Request, ...]
    tries: int = 1

    @property
    def family(self) -> str:
        """Of all its requests."""
        return self.requests[0].family


@dataclass(frozen=True)
class Judged:
    """What became of a round.

    Attributes:
        reasons: why each request gave no document; empty where it did.
        again: another try of each that was rejected, where one may help.
        accepted: the documents of each request.
        seen: of all of them, in order: by this is told what nearly repeats what.
    """

    reasons: list[str]
    again: list[Request | None]
    accepted: list[list[Accepted]]
    seen: Seen


@dataclass
class Told:
    """What is told of a family, beside its curve.

    Attributes:
        asked: requests, other tries included; ``again`` other tries of the model that was asked first; ``then`` those of the second
            model, whichever try; ``gated`` those of the plan that another model than the stage's was asked first.
        reasons: requests by what became of them.
        skipped: requests of the plan that were never sent, because the family repeats itself.
        stopped: why it ended, or comes less often.
        rounds: asked of it.
    """

    asked: int = 0
    again: int = 0
    then: int = 0
    gated: int = 0
    skipped: int = 0
    rounds: int = 0
    stopped: str = ""
    reasons: Counter[str] = field(default_factory=Counter)


class Conductor:
    """State over the rounds of one step.

    Args:
        stage: whose rounds they are.
        plan: all rounds that may be asked, each of one family.

    Attributes:
        repeats: for each judged round, by the number of a document in it, the place (``family#round.number``) of the one it
            nearly repeats; empty for one that the stage turns down for what it has already.
    """

    def __init__(self, stage: Written, plan: Iterable[Sequence[Request]], ctx: Context) -> None:
        self._stage = stage
        self._plan: Iterator[Sequence[Request]] = iter(plan)
        self._waiting: dict[tuple[str, str, int], deque[tuple[Request, Request]]] = {}
        self._asked: list[Asked] = []
        self._judged: deque[Judged] = deque()
        self._absorbed = self._gone = 0
        self._families: dict[str, Family] = {}
        self._places: dict[str, list[str]] = {}
        self._credit: dict[str, float] = {}
        self._grown = stage.grown(ctx)
        self.told: dict[str, Told] = {}
        self.repeats: list[dict[int, str]] = []

    # -- what comes next ---------------------------------------------------------------------------------------

    def next(self) -> Asked | None:
        """The next round; None when there is none, or none before another one is judged."""
        while self._absorbed < len(self._asked) - self._stage.ahead:
            if not self._absorb():
                return None
        while (round_ := self._choose()) is None:
            if not self._absorb():
                return None
        self._asked.append(round_)
        told = self._of(round_.family)
        told.rounds += 1
        told.asked += len(round_.requests)
        first = self._stage.first(round_.began[0])
        if round_.model != first:
            told.then += len(round_.requests)
        elif round_.tries > 1:
            told.again += len(round_.requests)
        elif first != self._stage.model:
            told.gated += len(round_.requests)
        return round_

    def _choose(self) -> Asked | None:
        for key, queue in self._waiting.items():
            if queue and not self._weight(key[0]):
                self._of(key[0]).skipped += len(queue)
                queue.clear()
            if len(queue) >= self._stage.round:
                return self._of_queue(key)
        for requests in self._plan:
            family = requests[0].family
            self._gone += len(requests)
            if self._lets(family):
                return Asked(self._stage.first(requests[0]), tuple(requests), tuple(requests))
            self._of(family).skipped += len(requests)
        for key, queue in self._waiting.items():
            if queue:
                return self._of_queue(key)
        return None

    def _of_queue(self, key: tuple[str, str, int]) -> Asked:
        queue = self._waiting[key]
        taken = [queue.popleft() for _ in range(min(len(queue), self._stage.round))]
        return Asked(key[1], tuple(now for now, _ in taken), tuple(began for _, began in taken), key[2])

    def _lets(self, family: str) -> bool:
        """Whether the family's turn is taken: of a family of weight w so is every 1/w-th."""
        weight = self._weight(family)
        self._credit[family] = self._credit.get(family, 0.0) + weight
        if self._credit[family] < 1.0 or not weight:
            return False
        self._credit[family] -= 1.0
        return True

    def _weight(self, family: str) -> float:
        state = self._families.get(family)
        if state is None:
            return 1.0
        weight, self._of(family).stopped = state.verdict(self._stage.limits)
        return weight

    # -- what became of rounds ---------------------------------------------------------------------------------

    def judged(self, judged: Judged) -> None:
        """What became of the next round, in the order of asking."""
        self._judged.append(judged)

    def end(self) -> None:
        """No more is asked: take in all that was judged."""
        while self._absorb():
            pass

    def _absorb(self) -> bool:
        """Take in the next judged round; whether there was one."""
        if not self._judged:
            return False
        number, judged = self._absorbed, self._judged.popleft()
        round_ = self._asked[number]
        self._absorbed += 1
        repeats = self._repeats(number, round_.family, judged)
        self.repeats.append(repeats)
        self._count(round_.family, judged, repeats)
        for request, began, reason, again in zip(
            round_.requests, round_.began, judged.reasons, judged.again, strict=True
        ):
            self._follow(round_, request, began, reason, again)
        # Of what is over the family is all that is still asked for.
        self._asked[number] = Asked(round_.model, round_.requests[:1], (), round_.tries)
        return True

    def _repeats(self, number: int, name: str, judged: Judged) -> dict[int, str]:
        family = self._families.setdefault(name, Family())
        places = self._places.setdefault(name, [])
        earlier = family.add(judged.seen, len(judged.reasons))
        for n, documents in enumerate(judged.accepted):
            several = len(documents) > 1
            places += [f"{number}.{n}.{i}" if several else f"{number}.{n}" for i in range(len(documents))]
        repeats = (
            {i: f"{name}#{places[one]}" for i, one in enumerate(earlier) if one >= 0}
            if self._stage.drop_duplicates
            else {}
        )
        if self._grown is not None:
            documents = [one for some in judged.accepted for one in some]
            left = [i for i in range(len(documents)) if i not in repeats]
            stay, more = self._grown.add([documents[i] for i in left], len(judged.reasons))
            repeats |= {i: "" for i, stays in zip(left, stay, strict=True) if not stays}
            for request in more:
                self._wait(request.family, self._stage.first(request), 1, request, request)
        return repeats

    def _count(self, family: str, judged: Judged, repeats: Container[int]) -> None:
        """Requests by what became of them: one whose documents all go again is a duplicate."""
        counted, first = self._of(family).reasons, 0
        for reason, documents in zip(judged.reasons, judged.accepted, strict=True):
            stay = any(i not in repeats for i in range(first, first + len(documents)))
            counted[reason or ("" if stay else DUPLICATE)] += 1
            first += len(documents)

    def _follow(self, round_: Asked, request: Request, began: Request, reason: str, again: Request | None) -> None:
        if again is not None and round_.tries < self._stage.tries:
            self._wait(request.family, round_.model, round_.tries + 1, again, began)
        elif self._stage.then and round_.model == self._stage.model and self._stage.ledger.get(reason) in MENDABLE:
            self._wait(request.family, self._stage.then, 1, began, began)

    def _wait(self, family: str, model: str, tries: int, request: Request, began: Request) -> None:
        self._waiting.setdefault((family, model, tries), deque()).append((request, began))

    # -- what is told ------------------------------------------------------------------------------------------

    def _of(self, family: str) -> Told:
        return self.told.setdefault(family, Told())

    def expected(self, planned: int) -> int:
        """How many requests it will come to, as far as is known; ``planned``: of the plan."""
        waiting = sum(len(queue) for queue in self._waiting.values())
        return planned - self._gone + waiting + sum(told.asked for told in self.told.values())

    def report(self) -> dict[str, Any]:
        """By family, plain values: what was asked, what became of it, and its curve."""
        return {
            name: {
                "asked": told.asked,
                "again": told.again,
                "then": told.then,
                **({"gated": told.gated} if told.gated else {}),
                "skipped": told.skipped,
                "rounds": told.rounds,
                "stopped": told.stopped,
                "reasons": {reason or "accepted": count for reason, count in sorted(told.reasons.items())},
                "points": self._families[name].curve() if name in self._families else [],
            }
            for name, told in sorted(self.told.items())
        }
