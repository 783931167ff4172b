"""What the stage finds in texts."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import yaml

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
        items: the item that is named first, or None.
    """

    reasons: dict[str, npt.NDArray[np.bool_]]
    items: list[str | None]

    @property
    def any(self) -> npt.NDArray[np.bool_]:
        """Whether any reason holds."""
        result: npt.NDArray[np.bool_] = np.logical_or.reduce(list(self.reasons.values()))
        return result


@dataclass(frozen=True)
class Against:
    """The stage against some items, in a registry of its own."""

    stage: Decontaminate
    context: Context

    @classmethod
    def items(cls, items: Sequence[Item], folder: Path | None = None) -> Against:
        """Against each benchmark of the items; they are written below a folder, a temporary one by default."""
        folder = folder or Path(tempfile.mkdtemp(prefix="curate-benchmarks-"))
        benchmarks: dict[str, dict[str, object]] = {}
        lines: dict[str, list[str]] = {}
        for item in items:
            name, _, own = item.name.partition("/")
            row = {"id": own, "prompt": item.prompt, "answer": item.answer}
            lines.setdefault(name, []).append(json.dumps(row) + "\n")
        for name, some in lines.items():
            data = "".join(some).encode()
            (folder / f"{name}.jsonl").write_bytes(data)
            fields = {"id": "id", "prompt": "prompt", "answer": "answer"}
            digest = hashlib.sha256(data).hexdigest()
            benchmarks[name] = {"file": f"{name}.jsonl", "sha256": digest, "fields": fields}
        (folder / "registry.yaml").write_text(yaml.safe_dump({"version": 1, "benchmarks": benchmarks}))
        return cls(Decontaminate(against=list(lines)), Context("clean", 1, {"registry": folder}))

    @classmethod
    def humaneval(cls) -> Against:
        """Against the shipped benchmark."""
        return cls(Decontaminate(against=["humaneval"]), CONTEXT)

    def found(self, texts: Sequence[str]) -> Found:
        """Measure and decide, a batch at a time."""
        reasons: dict[str, list[npt.NDArray[np.bool_]]] = {}
        items: list[str | None] = []
        for some in _batches(texts):
            signals = self.stage.measure(batch(some), self.context)
            for reason, holds in self.stage.rules(signals):
                reasons.setdefault(reason, []).append(holds.fill_null(False).to_numpy(zero_copy_only=False))
            items += signals["item"].to_pylist()
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
