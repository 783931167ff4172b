"""``shards.json``: what a written dataset of tokens is, and what is in each of its shards; and the tokenizer's own files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curate.stages.tokenizer import CONFIG_FILE, Tokenizer
from curate.store.dataset import DOCUMENTS, SHARDS, TOKENS

__all__ = ["DOCUMENTS", "TOKENS", "of", "tokenizer_files"]

_OF_A_SHARD: Final = ("name", "sha256", "size", "rows", "tokens")


def of(
    kind: str,
    facts: Mapping[str, Any],
    schema: pa.Schema,
    tokenizer: Tokenizer,
    shards: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any],
) -> dict[str, bytes]:
    """The file, by its name.

    Args:
        kind: TOKENS or DOCUMENTS.
        facts: of the form: the sequences' length, how they are packed.
        shards: name, sha256, size, rows and tokens (padding apart) of each.
        report: the writer's: ``sources`` by component, and whether the order is a ``curriculum``.
    """
    rows, tokens = (sum(int(shard[name]) for shard in shards) for name in ("rows", "tokens"))
    padding = {"padding_tokens": rows * facts["sequence"] - tokens} if "sequence" in facts else {}
    value = {
        "format": kind,
        **facts,
        "dtype": str(tokenizer.dtype),
        "vocab_size": tokenizer.vocab_size,
        "end_of_text": tokenizer.end_of_text,
        "padding": tokenizer.padding,
        "rows": rows,
        "tokens": tokens,
        **padding,
        "columns": {field.name: str(field.type) for field in schema},
        "sources": report["sources"],
        **({"curriculum": True} if report.get("curriculum") else {}),
        "shards": [{name: shard[name] for name in _OF_A_SHARD} for shard in shards],
    }
    return {SHARDS: (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()}


def tokenizer_files(place: Path) -> dict[str, bytes]:
    """A tokenizer's own files, by the names under which they lie in a dataset's folder."""
    if place.is_dir():
        return {file.name: file.read_bytes() for file in sorted(place.iterdir()) if file.is_file()}
    # A file by itself is named as a folder's is, with what its library keeps beside it.
    ranks = place.suffix == ".tiktoken"
    files = {place.name if ranks else f"tokenizer{place.suffix}": place.read_bytes()}
    beside = place.with_suffix(".json") if ranks else place.parent / CONFIG_FILE
    if place.suffix != ".model" and beside.is_file():
        files[beside.name] = beside.read_bytes()
    return files
