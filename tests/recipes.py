"""Recipes of tests, as dicts: written to a file as YAML, changed by step id."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Steps = list[dict[str, Any]]


def step(id: str, use: str, from_: str | list[str] | None = None, /, **settings: Any) -> dict[str, Any]:  # noqa: A002
    """One step."""
    value: dict[str, Any] = {"id": id, "use": use}
    if from_ is not None:
        value["from"] = from_
    if settings:
        value["with"] = settings
    return value


def changed(steps: Steps, id: str, **settings: Any) -> Steps:  # noqa: A002
    """The same steps with other settings of one."""
    result = copy.deepcopy(steps)
    for one in result:
        if one["id"] == id:
            one.setdefault("with", {}).update(settings)
    return result


def write(path: Path, steps: Steps, *, name: str = "test", seed: int = 7, **more: Any) -> Path:
    """A recipe's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"recipe": name, "seed": seed, **more, "steps": steps}, sort_keys=False))
    return path


def small_classifier() -> dict[str, Any]:
    """The step "value", which learns from the step "labels": the least that still tells documents apart."""
    fasttext = {"dim": 4, "epoch": 2, "bucket": 1000}
    return step("value", "train.classifier", label="labels.label", min_per_class=2, folds=2, fasttext=fasttext)


def everything(folder: Path | str = "in") -> Steps:
    """A step of every kind that needs no model, over the files of corpus.write_corpus."""
    prose = [f"{folder}/prose.jsonl", f"{folder}/prose-more.jsonl.zst"]
    steps = [
        step("prose", "read.jsonl", paths=prose),
        step("prose-rules", "filter.massivetext", min_words=40, max_symbol_ratio=0.02),
        step("code", "read.jsonl", paths=[f"{folder}/code.jsonl.zst", f"{folder}/code-more.jsonl.gz"]),
        step("code-rules", "filter.code_rules", max_line_chars=90),
        step("table", "read.parquet", paths=[f"{folder}/table.parquet"]),
        step("unique", "dedup.exact", ["prose-rules", "code-rules", "table"]),
        step("near", "dedup.near", keep=[{"sources": ["code", "prose"]}]),
        step("labels", "label.contrast", positive=["prose", "table"], negative=["code"]),
        small_classifier(),
        step("scored", "score.classifier", "labels", classifier="value"),
        step("good", "select.where", column="scored.score", top="80%", within="source", floor="20%"),
        step("bounded", "select.where", column="scored.score", at_least=0.001),
        step("text", "write.text", documents_per_shard=60),
    ]
    steps += [
        step("words", "train.tokenizer", "bounded", vocab_size=512, max_bytes=100_000),
        step("encoded", "encode.tokens", "bounded", tokenizer="words"),
        step(
            "tokens",
            "write.tokens",
            tokens="encoded",
            sequence=128,
            window=100,
            sequences_per_shard=1000,
            mix={"components": {"prose": {"epochs": 1.5}}},
            position_ids=True,
            loss_mask=True,
            segments=True,
        ),
        step(
            "packed",
            "write.tokens",
            "encoded",
            tokens="encoded",
            sequence=256,
            pack="best-fit",
            window=40,
            sequences_per_shard=900,
        ),
        step("documents", "write.encoded", "encoded", tokens="encoded", tokens_per_shard=100_000),
    ]
    return steps
