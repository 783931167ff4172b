"""The running state of a prompt family: how much of what it gives is new, and when it has no more to give.

A worker makes a ``Seen`` of the texts of a round that were accepted; the driver adds it to the family's state, in the order
of the rounds. Each text is of the species of an earlier one that it nearly repeats, or begins one (``curate.text.species``).
What is known of the species says what is left:

- the share of near duplicates among the last WINDOW texts is what is wasted now;
- the unseen mass, the share of texts whose species was seen just once, is the probability that the next text is new (Good
  1953, the Good-Turing estimate), from all texts and so with less noise, but slower when something changes.

What stays (the first of each species) may still be worded alike: the template share is that of the most frequent opening
among the last WINDOW of it; the compression ratio, of slices of SLICE bytes of the rounds of the last WINDOW texts, also
sees forms that begin with a name.

A family with K answers gives copies with probability ``1 - exp(-N / K)`` at its N-th, of which 37 % have been copies at
N = K. ``Limits`` stop it earlier; the state is a fold over rounds, so adding the same rounds again gives the same points.
"""

from __future__ import annotations

import base64
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SLICE", "WINDOW", "Family", "Limits", "Point", "Seen", "seen_of"]

WINDOW: Final = 200
"""Texts that say how it is now: the standard error of a share of one half is 3.5 points."""
SLICE: Final = 1 << 11
"""Bytes: a round of eight short exercises has them."""

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Seen:
    """What is kept of the accepted texts of a round, in draw order; made by ``seen_of``.

    Attributes:
        keys: uint64[n, bands]; see ``curate.text.near_keys``.
        openings: the first words of each.
        sizes: bytes of each.
        sliced, packed: bytes of whole slices of the texts, and of the slices compressed (``curate.text.wording.packed``).
    """

    keys: Keys
    openings: tuple[str, ...]
    sizes: tuple[int, ...]
    sliced: int
    packed: int

    def dump(self) -> dict[str, Any]:
        """As plain JSON values."""
        keys = base64.b64encode(self.keys.astype("<u8").tobytes()).decode()
        return {**asdict(self), "keys": keys, "bands": self.keys.shape[1]}

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Seen:
        """What ``dump`` gave."""
        keys = np.frombuffer(base64.b64decode(value["keys"]), "<u8").reshape(len(value["sizes"]), value["bands"])
        return cls(keys, tuple(value["openings"]), tuple(value["sizes"]), value["sliced"], value["packed"])


def seen_of(texts: pa.Array) -> Seen:
    """What a family's state needs of the accepted texts of a round."""
    import pyarrow as pa

    from curate.text.batch import Batch
    from curate.text.near_keys import near_keys
    from curate.text.wording import openings, packed

    docs = Batch.of(texts.cast(pa.large_string()))
    sizes = np.diff(docs.utf8[0]).tolist()
    return Seen(near_keys(docs), tuple(openings(docs)), tuple(sizes), *packed(docs.text, SLICE))


@dataclass(frozen=True)
class Point:
    """A family when a round was closed. Shares are 0 to 1; None where there is nothing to say it of.

    Attributes:
        answers: answers it gave so far, rejected ones too.
        accepted: those that were accepted, near duplicates too.
        distinct: accepted ones that nearly repeat no earlier one.
        recent: share of near duplicates among the last WINDOW accepted, by whole rounds.
        unseen: Good-Turing's estimate of the probability that the next accepted one is new.
        template: share of the most frequent opening among the last WINDOW distinct ones; ``opening`` is it.
        compression: bytes over compressed bytes of slices of the rounds of the last WINDOW accepted.
    """

    answers: int
    accepted: int
    distinct: int
    recent: float | None
    unseen: float | None
    template: float | None
    opening: str
    compression: float | None


class Limits(BaseModel):
    """When a prompt family gets less to do, and when it stops: as it comes near to a limit its weight falls to 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: int = Field(100, ge=1, description="nothing is said of a family before so many accepted answers")
    max_duplicates: float = Field(
        0.5,
        gt=0,
        le=1,
        description=f"share of near duplicates among the last {WINDOW} accepted at which it stops; 1: never",
    )
    min_unseen: float = Field(
        0.4,
        ge=0,
        lt=1,
        description="estimated probability (Good-Turing) of something new, below which it stops; 0: never",
    )
    max_template: float = Field(
        0.5,
        gt=0,
        le=1,
        description=f"share of one opening among the last {WINDOW} distinct answers at which it stops; 1: never",
    )
    max_compression: float = Field(
        3.5, gt=1, description=f"compression ratio (zstd, slices of {SLICE >> 10} KiB) at which it stops"
    )


class Family:
    """The state of a family: a fold over its rounds, in their order.

    Attributes:
        points: one for each round.
    """

    def __init__(self) -> None:
        from curate.text.species import Species

        self.points: list[Point] = []
        self._species = Species()
        self._answers = 0
        self._rounds: deque[tuple[int, int, int, int]] = deque()
        self._openings: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self._limits: Limits | None = None
        self._judged = 0
        self._verdict = (1.0, "")

    def add(self, seen: Seen, answers: int) -> list[int]:
        """Add a closed round of so many ``answers`` of which the texts of ``seen`` were accepted.

        Returns for each text -1, or the number of the text that it nearly repeats: texts are numbered from 0 in the order
        in which they were added, near duplicates too.
        """
        of: list[int] = self._species.add(seen.keys).tolist()
        for first, opening in zip(of, seen.openings, strict=True):
            if first < 0:
                self._open(opening)
        self._answers += answers
        if of:
            self._rounds.append((len(of), sum(first >= 0 for first in of), seen.sliced, seen.packed))
            while sum(n for n, *_ in self._rounds) - self._rounds[0][0] >= WINDOW:
                self._rounds.popleft()
        self.points.append(self._point())
        return of

    def verdict(self, limits: Limits) -> tuple[float, str]:
        """Its weight, 1 to 0, and where that is below 1, why. A family that has stopped once has weight 0 for ever.

        A pure function of the points. Near duplicates, template share and seen mass (1 less the unseen) take weight from
        half of their limits on, compression from 0.85 of it: real texts are far from copies, but not from packing well.
        """
        if limits != self._limits:
            self._limits, self._judged, self._verdict = limits, 0, (1.0, "")
        # Points before were judged then; and after a stop nothing is judged any more.
        if self._verdict[0] > 0:
            self._verdict = verdict(self.points[self._judged :], limits, self._verdict)
            self._judged = len(self.points)
        return self._verdict

    def curve(self, most: int = 200) -> list[dict[str, Any]]:
        """Its points as plain values, at most so many, evenly over the accepted texts, the last one among them."""
        ends = np.array([point.accepted for point in self.points])
        wanted = np.linspace(0, ends[-1], most + 1)[1:] if len(ends) else ends
        at = np.unique(np.searchsorted(ends, wanted)) if len(ends) > most else range(len(ends))
        return [asdict(self.points[i]) for i in at]

    # -- the fold -------------------------------------------------------------------------------------------------

    def _open(self, opening: str) -> None:
        self._openings.append(opening)
        self._counts[opening] += 1
        if len(self._openings) > WINDOW:
            gone = self._openings.popleft()
            self._counts[gone] -= 1
            if not self._counts[gone]:
                del self._counts[gone]

    def _point(self) -> Point:
        texts, duplicates, sliced, packed = np.array(self._rounds, np.int64).reshape(-1, 4).sum(axis=0).tolist()
        most, opening = min(((-count, each) for each, count in self._counts.items()), default=(0, ""))
        return Point(
            self._answers,
            self._species.texts,
            self._species.distinct,
            duplicates / texts if texts else None,
            self._species.unseen,
            -most / len(self._openings) if self._openings else None,
            opening,
            sliced / packed if packed else None,
        )


def verdict(points: Sequence[Point], limits: Limits, now: tuple[float, str] = (1.0, "")) -> tuple[float, str]:
    """See ``Family.verdict``; ``now`` is what points before these gave."""
    for point in points:
        now = _verdict(point, limits)
        if now[0] == 0:
            break
    return now


def _verdict(point: Point, limits: Limits) -> tuple[float, str]:
    if point.accepted < limits.least:
        return 1.0, ""
    seen = None if point.unseen is None else 1 - point.unseen
    template = point.template if point.distinct >= min(limits.least, WINDOW) else None
    unseen, most = limits.min_unseen, limits.max_compression
    found = [
        (_weight(point.recent, limits.max_duplicates, 0.5),
         f"near duplicates {point.recent or 0:.2f} of the last {min(point.accepted, WINDOW)}, limit {limits.max_duplicates:g}"),
        (_weight(seen, 1 - unseen, 0.5), f"unseen mass {point.unseen or 0:.2f}, limit {unseen:g}"),
        (_weight(template, limits.max_template, 0.5),
         f'"{point.opening}" begins {template or 0:.2f} of the last {min(point.distinct, WINDOW)}, limit {limits.max_template:g}'),
        (_weight(point.compression, most, 0.85), f"compression ratio {point.compression or 0:.2f}, limit {most:g}"),
    ]  # fmt: skip
    weight, why = min(found, key=lambda each: each[0])
    return (weight, why) if weight < 1 else (1.0, "")


def _weight(value: float | None, limit: float, from_: float) -> float:
    """1 up to a share of the limit, then falling to 0 at the limit; a limit of 1, which all shares are within, is none."""
    if value is None or limit == 1:
        return 1.0
    return min(max((limit - value) / (limit * (1 - from_)), 0.0), 1.0)
