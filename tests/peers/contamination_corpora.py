"""What contamination is measured on: items, rephrased pairs and documents that are no copies, from a folder.

The folder has ``benchmarks/*.jsonl.zst`` (``id, split, text, answer, meta``; ``decontam_pairs_dev`` with ``benchmark, orig,
variant``), and documents (``id, text``) in ``*.jsonl.zst``, ``quality/`` and ``instruct/``. The folder's texts are read, never
written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.contamination.items import Item, from_file
from tests.peers.environment import rows
from tests.peers.rephrased_fit import DOCUMENTS, half

PAIRS: Final = "decontam_pairs_dev"
POSITIVES: Final = ("gsm8k_weak_vs_strong_dev",)
"""Files of answers to a benchmark's own test items: every row is one."""


FITTED: Final = {name.rpartition("/")[2] for name in DOCUMENTS}
"""Files of whose documents half were used to fit the score of rephrasings."""


@dataclass(frozen=True)
class Pair:
    """An item said otherwise.

    Attributes:
        kind: ``GSM8K``, ``HumanEval``, ``MMLU/sociology``, ...
        item: name of the item.
        variant: the text.
        unseen: whether the score of rephrasings was fitted without it.
    """

    kind: str
    item: str
    variant: str
    unseen: bool


def _without_answer(text: str) -> str:
    return text.removeprefix("Question:").partition("\nAnswer:")[0].strip()


def _words(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def benchmarks(folder: Path) -> list[Item]:
    """All items of all benchmarks; of what only the pairs have (MMLU) those items, without which choice is right."""
    items = [
        item
        for path in sorted((folder / "benchmarks").glob("*.jsonl.zst"))
        if PAIRS not in path.name
        for item in from_file(path)
    ]
    return items + [
        _multiple_choice(row["id"], row["orig"]) for row in _pairs(folder) if row["benchmark"].startswith("MMLU")
    ]


def _multiple_choice(name: str, text: str) -> Item:
    lines = text.strip().split("\n")
    return Item(_mmlu(name), "\n".join(lines[:-4]), "", choices=tuple(lines[-4:]))


def _mmlu(name: str) -> str:
    return "mmlu/" + name.partition("MMLU/")[2]


def _pairs(folder: Path) -> list[dict[str, str]]:
    return list(rows(folder / f"benchmarks/{PAIRS}.jsonl.zst"))


def pairs(folder: Path, items: list[Item]) -> tuple[list[Pair], int]:
    """Pairs whose item is among the benchmarks, and how many rows have no variant (a judge of theirs found none)."""
    by_words = {_words(item.prompt): item.name for item in items}
    found, empty = [], 0
    for row in _pairs(folder):
        kind, number = row["benchmark"], row["id"].rpartition("/")[2]
        name = {
            "GSM8K": by_words.get(_words(_without_answer(row["orig"])), ""),
            "HumanEval": f"humaneval/HumanEval/{number}",
        }.get(kind, _mmlu(row["id"]))
        if len(row["variant"].strip()) <= len('{"text": ""}'):
            empty += 1
        elif name:
            found.append(Pair(kind, name, row["variant"], bool(half(row["id"]))))
    return found, empty


@dataclass(frozen=True)
class Document:
    """A document that is no answer to a benchmark; ``unseen``: the score of rephrasings was fitted without it."""

    file: str
    id: str
    text: str
    unseen: bool


def documents(folder: Path) -> Iterator[Document]:
    """Every one of the folder."""
    for path in [*sorted(folder.glob("*.jsonl.zst")), *sorted(folder.glob("[iq]*/*.jsonl.zst"))]:
        if path.name.partition(".")[0] not in POSITIVES:
            for row in rows(path):
                file, text = path.name.partition(".")[0], row["text"]
                yield Document(file, row["id"], text, file not in FITTED or bool(half(text[:4000])))
