"""Benchmark items to plant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from curate import assets
from curate.benchmarks.index import item_name
from tests.peers.environment import rows

REWORDED: Final = Path(__file__).with_name("humaneval_reworded.yaml")


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        name: as the stage names it, ``humaneval/HumanEval/0``.
        prompt, answer: for code they make a Python source together.
        code: whether the answer is Python.
        entry_point: the function that is asked for, else empty.
        split: ``test``, ``train``, ...
        choices: among which the answer is.
    """

    name: str
    prompt: str
    answer: str
    code: bool = False
    entry_point: str = ""
    split: str = "test"
    choices: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Python with the prompt as its docstring, or where that is a sentence, before the code."""
        if self.prompt.rstrip().endswith(('"""', "'''")):
            return self.prompt + self.answer
        return f'"""{self.prompt}"""\n{self.answer}'

    @property
    def solution(self) -> str:
        """The code alone, with the prompt where that has the function's head."""
        return self.source if self.prompt.rstrip().endswith(('"""', "'''")) else self.answer

    @property
    def whole(self) -> str:
        """Prompt, choices and answer."""
        return self.source if self.code else "\n".join(filter(None, (self.prompt, *self.choices, self.answer)))


def humaneval() -> list[Item]:
    """The shipped benchmark."""
    path = assets.find("data", "benchmarks") / "humaneval.jsonl"
    found = [json.loads(line) for line in path.open(encoding="utf-8")]
    return [
        Item(f"humaneval/{row['task_id']}", row["prompt"], row["canonical_solution"], True, row["entry_point"])
        for row in found
    ]


@lru_cache(maxsize=1)
def reworded() -> dict[str, dict[str, str]]:
    """By the item's name: ``name``, ``language``, ``translated``, ``paraphrased``."""
    found: dict[str, dict[str, str]] = yaml.safe_load(REWORDED.read_text(encoding="utf-8"))
    return {f"humaneval/{key}": value for key, value in found.items()}


def from_file(path: Path) -> list[Item]:
    """Items of JSON lines with ``id``, ``text`` (the prompt), ``answer``, ``split`` and ``meta``."""
    benchmark = path.name.partition(".")[0]
    return [_item(benchmark, row) for row in rows(path)]


def _item(benchmark: str, row: dict[str, Any]) -> Item:
    meta = orjson.loads(row.get("meta") or "{}")
    answer = (row["answer"] or "").replace("\r\n", "\n")
    code = benchmark in ("humaneval", "mbpp")
    return Item(item_name(benchmark, row["id"]), row["text"], answer, code, meta.get("entry_point", ""), row["split"])
