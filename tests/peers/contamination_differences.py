"""datatrove's n-gram decontamination and layer 1 on the same texts with the same n: where verdicts differ, and why."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from tests.contamination.strengths import shouted, verbatim
from tests.peers.contamination_corpora import documents
from tests.peers.environment import answers, environment

if TYPE_CHECKING:
    from tests.peers.contamination import Bench

MEGABYTES: Final = 30
"""Of each file, at most: datatrove's tokenizer takes a minute for that."""
SIZES: Final = (10, 13)
SHOWN: Final = 12


def report(bench: Bench) -> None:
    """Both on items as they are, on items in other letters, and on real documents."""
    try:
        python = environment("datatrove")
    except CalledProcessError as failed:
        print(f"datatrove could not be installed: {failed}", file=sys.stderr)
        return
    rng = random.Random(1)
    items = rng.sample(bench.tested, min(1500, len(bench.tested)))
    sets = {
        "items as they are": [verbatim(item) for item in items],
        "items in capitals with other signs": [shouted(item) for item in items],
        "documents": drawn(bench.folder),
    }
    tasks = [item.name for item in bench.tested]
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder, "items.jsonl")
        known.write_bytes(
            b"".join(orjson.dumps({"prompt": i.prompt, "answer": i.answer}) + b"\n" for i in bench.tested)
        )
        for n in SIZES:
            compare(bench, [python, Path(__file__).with_name("contamination_peer.py"), known, str(n)], sets, tasks)


def drawn(folder: Path) -> list[str]:
    """Documents of up to 50 kB, some of each file."""
    by_file: dict[str, list[str]] = {}
    for document in documents(folder):
        if len(document.text) <= 50_000:
            by_file.setdefault(document.file, []).append(document.text)
    found = []
    for some in by_file.values():
        random.Random(2).shuffle(some)
        ends = np.cumsum([len(text) for text in some])
        found += some[: int(np.searchsorted(ends, MEGABYTES * 1_000_000 / len(by_file), side="right"))]
    return found


def numeric(gram: str) -> bool:
    """Whether an n-gram has no more than three words that are longer than a letter and no number."""
    return sum(len(word) > 1 and not word.isdigit() for word in gram.split()) <= 3


def compare(bench: Bench, command: list[Path | str], sets: dict[str, list[str]], tasks: list[str]) -> None:
    """Print both verdicts of each set, some that differ, and the speed of both on the documents."""
    print(
        f"\ndatatrove with n = {command[-1]} (any n-gram), curate's n-gram layer (8, 10 or 13 words, a share of them)"
    )
    print(f"{'':<38}{'texts':>7}{'both':>7}{'neither':>9}{'only datatrove':>16}{'only curate':>13}")
    for name, texts in sets.items():
        theirs, _ = answers(command, ({"text": text} for text in texts))
        seconds = theirs.pop()["seconds"]
        start = time.process_time()
        got = bench.stage.found(texts)
        spent = time.process_time() - start
        ours = got.reasons["benchmark_ngram"] | got.reasons["benchmark_exact"]
        other = np.array([t["task"] is not None for t in theirs])
        counts = [(ours & other).sum(), (~ours & ~other).sum(), (other & ~ours).sum(), (ours & ~other).sum()]
        print(f"{name:<38}{len(texts):>7}{counts[0]:>7}{counts[1]:>9}{counts[2]:>16}{counts[3]:>13}")
        if name == "documents":
            size = sum(len(text.encode()) for text in texts) / 1e6
            print(
                f"  {size:.0f} MB: datatrove {size / seconds:.2f} MB/s, curate {size / spent:.1f} MB/s (all layers), one core"
            )
        only = Counter(theirs[i]["ngram"] for i in np.flatnonzero(other & ~ours))
        numbers = sum(count for gram, count in only.items() if numeric(gram))
        if only:
            print(f"  only datatrove: {numbers} of {only.total()} by numbers and letters (it writes every number as 0)")
        only = Counter({gram: count for gram, count in only.items() if not numeric(gram)})
        for gram, count in only.most_common(SHOWN):
            task = next(t["task"] for t in theirs if t["ngram"] == gram)
            print(f"  only datatrove, {count}: {gram!r} of {tasks[int(task)]}")
        mine = Counter(got.items[i][0].partition("/")[0] for i in np.flatnonzero(ours & ~other))
        if mine:
            print("  only curate, by benchmark: " + ", ".join(f"{name} {count}" for name, count in mine.items()))
