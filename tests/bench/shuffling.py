"""Encoded documents mixed, shuffled, packed and written, through the engine in this process.

``shuffle concat``, ``shuffle best-fit``: what write.tokens does with documents that are encoded already: CPU seconds of one
core, MB are token bytes (uint16). ``peak_rss_mb`` is the process's, from its start: of the writer alone, for the documents
were encoded by another process. Its memory is bounded by the size of a window and of what a task holds at once
(run/exchange.py, run/reduce.py), so ``shuffle memory`` writes ten times as many tokens as the others, in the same memory.
``encoded``: write.encoded of the same documents.

Sizes: BENCH_MB of text (400; the memory row has four times as many).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.bench.big_file import make_plain
from tests.bench.measure import ROOT, Row, corpus, peak_mb

WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    "shuffle concat": ("write.tokens", {}),
    "shuffle best-fit": ("write.tokens", {"pack": "best-fit"}),
    "encoded": ("write.encoded", {}),
}


def shuffling() -> Iterator[Row]:
    """One row for each writer, and one of more data."""
    megabytes = float(os.environ.get("BENCH_MB", "400"))
    for size, names in ((megabytes, list(WRITERS)), (megabytes * 4, ["shuffle concat"])):
        with tempfile.TemporaryDirectory() as temporary:
            home = Path(temporary)
            make_plain(home / "docs.jsonl", corpus(64), size)
            _run(home, None)
            for name in names:
                told = _run(home, name)
                yield {
                    "name": name if size == megabytes else "shuffle memory",
                    "cores": 1,
                    "clock": "cpu",
                    "mb": round(told["tokens"] * 2 / 1e6, 1),
                    "seconds": [round(told["seconds"], 2)],
                    "mb_per_s": round(told["tokens"] * 2 / 1e6 / told["seconds"], 1),
                    "peak_rss_mb": told["peak"],
                    "wall": round(told["wall"], 2),
                }


def _run(home: Path, name: str | None) -> dict[str, Any]:
    """Encode; or write with one of the writers, in a process of its own."""
    steps: list[dict[str, Any]] = [
        {"id": "docs", "use": "read.jsonl", "with": {"paths": [str(home / "docs.jsonl")]}},
        {"id": "tokenizer", "use": "train.tokenizer", "with": {"vocab_size": 8192, "max_bytes": 4_000_000}},
        {"id": "tokens", "use": "encode.tokens", "from": "docs", "with": {"tokenizer": "tokenizer"}},
    ]
    if name is not None:
        use, settings = WRITERS[name]
        steps.append({"id": "out", "use": use, "with": {"tokens": "tokens", **settings}})
    recipe = home / "bench.yaml"
    recipe.write_text(yaml.safe_dump({"recipe": "bench", "seed": 7, "steps": steps}, sort_keys=False))
    command = [sys.executable, "-m", "tests.bench.shuffling", str(recipe), str(home / "run")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(recipe: Path, store: Path) -> None:
    """Run a recipe in this process, twice where it writes: the first time compiles. Prints what the second one took."""
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import load_recipe
    from curate.run.cluster import Runner
    from curate.run.engine import Engine
    from curate.run.progress import Silent
    from curate.store.files import Store

    plan = make_plan(load_recipe(recipe))
    writes = "out" in plan.steps
    for _ in range(2 if writes else 1):
        for done in (store / "steps" / "out").glob("*"):
            subprocess.run(["rm", "-r", str(done)], check=True)
        cpu, wall = time.process_time(), time.perf_counter()
        with Runner(0) as runner:
            engine = Engine(plan, Store(store), runner, Silent())
            records = engine.run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    tokens = sum(int(shard["tokens"]) for shard in records["out"].shards) if writes else 0
    print(json.dumps({"seconds": cpu, "wall": wall, "tokens": tokens, "peak": peak_mb()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
