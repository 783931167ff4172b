"""Generators that ask for nothing that a benchmark asks for, and take none of it for an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pydantic import Field

from curate.errors import InputError
from curate.stages.base import Context
from curate.stages.benchmarked import Benchmarked
from curate.stages.generator import Generator

if TYPE_CHECKING:
    from curate.benchmarks.index import Loaded

CONTAMINATED: Final = "holds an item of a benchmark in `against`, which is named"
HOLDS_ITEM: Final = "hold an item of a benchmark"
"""Why documents are not asked about."""
_LIKELY: Final = "benchmark_rephrased"
"""Of what was found: it may be chance."""
_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*")
_SEVERAL: Final = re.compile(r"[^\W_]_+[^\W_]|[a-z][A-Z]")
"""An identifier of several words: one of a single word (``add``, ``solve``) is a word of the language, too."""


class Screened(Benchmarked, Generator):
    """Settings of such a generator, and how it holds prompts and answers against benchmarks.

    Prompts are held against the names and the parameters' names of the functions that benchmarks ask for, and against
    their items; answers against their items: by all layers of ``decontaminate``, a text at a time.
    """

    against: list[str] = Field(
        ["humaneval"], description="benchmarks to keep out of prompts and answers, as in decontaminate; [] for none"
    )
    tau: float = Field(
        0.9, ge=0.8, le=1, description="match rate with a benchmark's solution from which an answer is rejected"
    )

    def unknown(
        self, texts: Sequence[str], ctx: Context, names: Sequence[str] = (), *, place: str | None
    ) -> list[bool]:  # fmt: skip
        """Whether each of the texts that are asked with (and the function it is about) names no function of a benchmark, nor
        seems to be an item in other words.

        Raises InputError for a text that holds an item as it is; ``place``: the file that the texts are from. Of documents
        (None) nobody can know that beforehand: they count as the others that seem to be items.
        """
        if not self.against:
            return [True] * len(texts)
        held = self._held(texts, ctx)
        for text, item in zip(texts, held, strict=True):
            if item and place is not None and not item.startswith(_LIKELY):
                raise InputError(
                    f"what is to be asked for holds an item of a benchmark, {item}: {' '.join(text.split())[:60]}",
                    place=place,
                    cure="remove it, or take the benchmark out of 'against'",
                )
        known = _Asked.of(self.loaded(ctx))
        named = [item is not None or known.in_text(text) for text, item in zip(texts, held, strict=True)]
        if names:
            named = [there or known.called(name) for there, name in zip(named, names, strict=True)]
        return [not there for there in named]

    def refuse_shown(self, texts: Sequence[str], ctx: Context) -> None:
        """Raise InputError where what every prompt shows (an example, instructions) holds an item of a benchmark."""
        for text, item in zip(texts, self._held(texts, ctx) if self.against else [], strict=False):
            if item:
                raise InputError(
                    f"what every prompt shows holds an item of a benchmark, {item}: {' '.join(text.split())[:60]}",
                    place=f"step {ctx.step}",
                    cure="take the benchmark out of 'against'",
                )

    def held(self, text: str, ctx: Context) -> str | None:
        """The item of a benchmark that a text holds, with what shows it; None where it holds none."""
        return self._held([text], ctx)[0] if self.against else None

    def _held(self, texts: Sequence[str], ctx: Context) -> list[str | None]:
        from curate.benchmarks.hits import Least
        from curate.benchmarks.screen import screen

        return screen(texts, self.loaded(ctx), Least(tau=self.tau))


@dataclass(frozen=True)
class _Asked:
    """Hashes of what benchmarks ask for: the functions' names, and the names of their parameters."""

    names: frozenset[int]
    signatures: frozenset[int]

    @classmethod
    def of(cls, loaded: Loaded) -> _Asked:
        signatures = loaded.trees.trees.signatures.tolist() if loaded.trees is not None else []
        return cls(frozenset(loaded.names.tolist()), frozenset(signatures) - {0})

    def called(self, name: str) -> bool:
        """Whether a function of a benchmark has the name, whatever its case and underscores."""
        from curate.text.syntax import name_hash

        return name_hash(name) in self.names

    def in_text(self, text: str) -> bool:
        """Whether a text names one: by an identifier of several words, or a def that has its name or its parameters."""
        if any(self.called(word) for word in _IDENTIFIER.findall(text) if _SEVERAL.search(word)):
            return True
        if "def " not in text:
            return False
        from curate.text.arrow import buffers
        from curate.text.syntax import functions

        found = functions(*buffers(pa.array([text], pa.large_string())))
        return not self.names.isdisjoint(found.names.tolist()) or not self.signatures.isdisjoint(
            found.signatures.tolist()
        )
