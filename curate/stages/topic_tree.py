"""A tree of topics that grows from what is accepted: which topics are new, and of which the next narrower ones are asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from curate.llm.request import Request
from curate.stages.generator import Accepted

Alike = Literal["words", "embeddings"]

_SMALL: Final = frozenset({
    "a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "is", "of", "on", "or", "the", "to", "vs", "with", "how", "what",
    "why", "its", "their", "about", "using", "introduction", "basics", "overview",
})  # fmt: skip
"""Words that tell no topics apart."""
_BLOCK: Final = 512


def folded(topic: str) -> str:
    """A topic as its words, blind to case, order, small words and plurals: equal for topics that say the same alike."""
    words = {_stem(w) for w in _words(topic) if w not in _SMALL}
    return " ".join(sorted(words)) or " ".join(_words(topic))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c in "+#" else " " for c in text.lower()).split()


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


class Vectors:
    """Vectors of accepted topics of unit length; tells how near a new one is to the nearest of them."""

    def __init__(self, dimensions: int = 256) -> None:
        self._rows = np.zeros((_BLOCK, dimensions), np.float32)
        self._count = 0

    def nearest(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """For each vector the largest cosine with one that was added; -1 where there is none."""
        if not self._count:
            return np.full(len(vectors), -1.0, np.float32)
        return np.asarray((vectors @ self._rows[: self._count].T).max(axis=1), np.float32)

    def add(self, vector: npt.NDArray[np.float32]) -> None:
        """One more."""
        if self._count == len(self._rows):
            self._rows = np.concatenate((self._rows, np.zeros_like(self._rows)))
        self._rows[self._count] = vector
        self._count += 1


def embedded(topics: Sequence[str]) -> npt.NDArray[np.float32]:
    """Static embeddings of topics, of unit length, float32 [n, 256]; zeros for one without a known word."""
    import pyarrow as pa

    from curate.quality.static_vectors import static_vectors
    from curate.text.batch import Batch

    text = pa.array(list(topics), pa.large_string())
    rows, _ = static_vectors().of(Batch(pa.RecordBatch.from_arrays([text], ["text"])), 8_192)
    found = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1), np.float32)


class TopicTree:
    """The fold over accepted topics.

    Topics are taken in the order of their answers. One that says what an earlier one says, by its folded words or by the cosine
    of their embeddings, does not stay. Those that stay wait to be asked for narrower ones, breadth first, the ones above
    ``depth`` only, and only as many as are still needed: none once the topics that stay, with what the requests that are out
    will probably bring, at the rate so far, are ``most``.

    Args:
        roots: topics that are there from the beginning.
        ask: the requests for the topics below one; an empty list for none.
        out: requests that are out from the beginning.
        children: topics that a request asks for.
        alike: by what topics are compared.
        similarity: cosine from which two are one.
    """

    def __init__(
        self,
        roots: Sequence[str],
        ask: Callable[[Accepted], list[Request]],
        *,
        out: int,
        children: int,
        most: int,
        depth: int,
        alike: Alike,
        similarity: float,
    ) -> None:
        self._ask, self._children, self._most, self._depth = ask, children, most, depth
        self._similarity, self._out, self._answered, self._kept = similarity, out, 0, 0
        self._known = {folded(root) for root in roots}
        self._vectors = Vectors() if alike == "embeddings" else None
        if self._vectors is not None and roots:
            for vector in embedded(roots):
                self._vectors.add(vector)
        self._waiting: deque[Accepted] = deque()

    def add(self, accepted: Sequence[Accepted], answers: int) -> tuple[list[bool], list[Request]]:
        """Which topics of a round of so many answers stay, and what is asked because of them."""
        self._answered += answers
        # Other tries of a request that failed are answers, too.
        self._out = max(0, self._out - answers)
        stay = self._new(accepted)
        for one, new in zip(accepted, stay, strict=True):
            if new and int(one.meta["level"]) < self._depth:
                self._waiting.append(one)
        return stay, self._more()

    def _new(self, accepted: Sequence[Accepted]) -> list[bool]:
        vectors = embedded([one.text for one in accepted]) if self._vectors is not None and accepted else None
        stay = []
        for i, one in enumerate(accepted):
            words = folded(one.text)
            new = words not in self._known
            if new and vectors is not None and self._vectors is not None:
                new = float(self._vectors.nearest(vectors[i : i + 1])[0]) < self._similarity
                if new:
                    self._vectors.add(vectors[i])
            if new:
                self._known.add(words)
                self._kept += 1
            stay.append(new)
        return stay

    def _more(self) -> list[Request]:
        rate = self._kept / self._answered if self._answered else self._children
        # A round without a new topic says little about the next: at least one of a request's is hoped for.
        rate = min(max(rate, 1.0), self._children)
        found: list[Request] = []
        while self._waiting and self._kept + self._out * rate < self._most:
            asked = self._ask(self._waiting.popleft())
            self._out += len(asked)
            found += asked
        return found

    def facts(self) -> dict[str, Any]:
        """Where it stands."""
        return {"topics": self._kept, "waiting": len(self._waiting)}
