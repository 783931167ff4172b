"""What the stage finds in texts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from curate.benchmarks.against import sources
from curate.benchmarks.index import write_index
from curate.benchmarks.registry import of_file
from curate.stages.base import Context
from curate.stages.decontaminate import Decontaminate
from tests.contamination.items import Item
from tests.exchange import CONTEXT, batch

_BATCH_BYTES: Final = 4_000_000


@dataclass(frozen=True)
class Found:
    """Verdicts on n texts.

    Attributes:
        reasons: bool[n] by reason; several can hold of one text.
        items: those that are named, the strongest of each layer first.
    """

    reasons: dict[str, npt.NDArray[np.bool_]]
    items: list[list[str]]

    @property
    def any(self) -> npt.NDArray[np.bool_]:
        """Whether any reason holds."""
        result: npt.NDArray[np.bool_] = np.logical_or.reduce(list(self.reasons.values()))
        return result


@dataclass(frozen=True)
class Against:
    """The stage against some items."""

    stage: Decontaminate
    context: Context

    @classmethod
    def items(cls, items: Sequence[Item], folder: Path | None = None) -> Against:
        """Against an index of the items, made below a folder, a temporary one by default."""
        folder = folder or Path(tempfile.mkdtemp(prefix="curate-benchmarks-"))
        lines: dict[str, list[bytes]] = {}
        for item in items:
            name, _, own = item.name.partition("/")
            row = {"id": own, "split": "test", "prompt": item.prompt, "answer": item.answer}
            row |= {"entry_point": item.entry_point} if item.entry_point else {}
            row |= {"choices": list(item.choices)} if item.choices else {}
            lines.setdefault(name, []).append(orjson.dumps(row) + b"\n")
        for name, some in lines.items():
            (folder / f"{name}.jsonl").write_bytes(b"".join(some))
        made = write_index(folder / "index", sources([of_file(folder / f"{name}.jsonl") for name in lines]))
        return cls(Decontaminate(against=[str(made.folder)]), CONTEXT)

    @classmethod
    @cache
    def humaneval(cls) -> Against:
        """Against the shipped benchmark."""
        return cls(Decontaminate(against=["humaneval"]), CONTEXT)

    def found(self, texts: Sequence[str]) -> Found:
        """Measure and decide, a batch at a time."""
        reasons: dict[str, list[npt.NDArray[np.bool_]]] = {}
        items: list[list[str]] = []
        for some in _batches(texts):
            signals = self.stage.measure(batch(some), self.context)
            for reason, holds in self.stage.rules(signals):
                reasons.setdefault(reason, []).append(holds.fill_null(False).to_numpy(zero_copy_only=False))
            items += [[hit["item"] for hit in hits or []] for hits in signals["hits"].to_pylist()]
        return Found({reason: np.concatenate(parts) for reason, parts in reasons.items()}, items)


def _batches(texts: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    size = 0
    for text in texts:
        size += len(text)
        if size > _BATCH_BYTES and found[-1]:
            found.append([])
            size = len(text)
        found[-1].append(text)
    return found
