"""Runs over rows that kill whoever measures them (see killing/sitecustomize.py), and what they are held against."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from command import results
from recipes import step, write
from small_run import MAY_REPEAT

KILLING: Final = {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{Path(__file__).with_name('killing')}"}
"""The environment in which rows kill."""


def killers(folder: Path, texts: dict[str, str]) -> Path:
    """A recipe over these texts, by id: a segment with a source ('rules') and one without ('late')."""
    folder.mkdir(parents=True)
    rows = ({"id": name, "text": text} for name, text in texts.items())
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("rules", "filter.massivetext", min_words=20, **MAY_REPEAT),
        step("unique", "dedup.exact"),
        # Counted otherwise: what the first one measured is not used again.
        step("late", "filter.massivetext", min_words=21, counting="datatrove", **MAY_REPEAT),
        step("out", "write.text", documents_per_shard=9),
    ]
    return write(folder / "r.yaml", steps)


def shards(store: Path) -> dict[str, str]:
    """Digests of what was written, whatever was said about it."""
    return {name: digest for name, digest in results(store).items() if name.endswith(".arrow")}
