"""What split.lineage finds, keeps and needs: ``python -m tests.bench.splitting [PART ...] [--documents 3e5 1.2e6]``.

``recall``: of planted pairs of near copies at known similarities the share that is in one group, beside the probability that theory
gives. ``real``: of all pairs of the samples' documents of J >= .5, by brute force, the share that is in one group. ``shares``: on groups of
sizes as corpora have them, two ways to choose validation (groups in an order by hash until the share is reached, and every group
whose hash is below the share): how far either is from the share, and how much of validation changes when a tenth more data comes.
``speed``: megabytes a second, beside dedup.near. ``memory``: so many documents, in sites of ten pages and in one; the peak of the
process that does the tasks one after the other.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zstandard

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine
from curate.run.progress import Silent
from curate.store.files import Store
from curate.store.records import StepRecord
from tests.bench.measure import ROOT
from tests.exchange import documents, verdicts
from tests.recipes import Steps, step, write
from tests.stages.test_split_lineage import jaccard, near_copy

F64 = npt.NDArray[np.float64]


def recall(pairs: int = 1000) -> list[dict[str, float]]:
    """Pairs that nothing else joins, ``pairs`` of each similarity, each text of 100 to 400 words."""
    from curate.stages.split_lineage import SplitLineage
    from curate.text.banding import collision

    stage, rng, found = SplitLineage(group=[]), random.Random(1), []
    for wanted in (0.5, 0.55, 0.6, 0.7, 0.8, 0.9):
        words: list[list[str]] = []
        for _ in range(pairs):
            first = [f"w{rng.randrange(10**9)}" for _ in range(rng.randrange(100, 400))]
            words += [first, near_copy(first, wanted, rng)]
        docs = documents([" ".join(w) for w in words])
        of = {r["id"]: r["group"] for r in verdicts(stage, docs, batch_rows=500).to_pylist()}
        group = [of[i] for i in docs.column("id").to_pylist()]
        similar = [jaccard(a, b) for a, b in zip(words[::2], words[1::2], strict=True)]
        found.append(
            {
                "similarity": wanted,
                "pairs": pairs,
                "found": sum(a == b for a, b in zip(group[::2], group[1::2], strict=True)) / pairs,
                "theory": float(np.mean([collision(j, stage.bands, stage.rows) for j in similar])),
            }
        )
    return found


def real(corpora: tuple[str, ...] = ("web", "code")) -> list[dict[str, float | str]]:
    """All pairs of real documents of J >= .5, by counting what every two sets have in common; the share in one group."""
    from curate.stages.split_lineage import SplitLineage
    from curate.text.ngrams import ngrams
    from curate.text.shingles import shingles
    from tests.bench.measure import batch

    found: list[dict[str, float | str]] = []
    for name in corpora:
        with zstandard.open(ROOT / f"data/samples/{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        sets = shingles(ngrams(batch(texts).words("folded"), 5))
        owner = np.repeat(np.arange(len(texts)), np.diff(sets.rows))
        order = np.argsort(sets.hashes, kind="stable")
        hashes, owner = sets.hashes[order], owner[order]
        common = np.zeros((len(texts), len(texts)), np.int32)
        starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
        for a, b in zip(starts.tolist(), [*starts[1:].tolist(), len(hashes)], strict=True):
            if b - a > 1:
                common[np.ix_(owner[a:b], owner[a:b])] += 1
        size = np.diff(sets.rows)
        both = size[:, None] + size[None, :] - common
        one, two = np.nonzero(np.triu((common > 0) & (2 * common >= both), 1))
        docs = documents(texts)
        said = {r["id"]: r["group"] for r in verdicts(SplitLineage(group=[]), docs, batch_rows=500).to_pylist()}
        group = np.array([said[i] for i in docs.column("id").to_pylist()])
        in_one = group[one] == group[two]
        found.append({"corpus": name, "documents": len(texts), "pairs": len(one), "in_one_group": float(in_one.mean())})
    return found


def _below(order: F64, size: F64, share: float) -> npt.NDArray[np.bool_]:
    return order < share


def _until(order: F64, size: F64, share: float) -> npt.NDArray[np.bool_]:
    fits = size <= 0.2 * share * size.sum()
    by = np.argsort(order)
    weight = np.where(fits, size, 0)[by]
    held = np.zeros(len(order), bool)
    held[by] = fits[by] & (2 * (np.cumsum(weight) - weight) + weight <= 2 * share * size.sum())
    return held


def shares(trials: int = 400) -> list[dict[str, float | str]]:
    """Sizes after Pareto (a shape of 1.2 is about that of repositories and sites), and all alike; a share of 1 %."""
    found: list[dict[str, float | str]] = []
    for name, shape, count in (("alike", 0.0, 20_000), ("pareto 1.2", 1.2, 20_000), ("pareto 1.2, few", 1.2, 1_000)):
        for how in (_until, _below):
            off, moved = [], []
            for seed in range(trials):
                rng = np.random.default_rng(seed)
                size = np.floor(rng.pareto(shape, count) + 1) if shape else np.ones(count)
                order, old = rng.random(count), int(count / 1.1)
                now, before = how(order, size, 0.01), how(order[:old], size[:old], 0.01)
                off.append(size[now].sum() / size.sum() / 0.01)
                held = size[:old][before].sum()
                moved.append(size[:old][before & ~now[:old]].sum() / held if held else 0.0)
            quantiles = np.percentile(off, [5, 50, 95])
            ends = dict(zip(("p5", "median", "p95"), map(float, quantiles), strict=True))
            found.append({"sizes": name, "how": how.__name__[1:], **ends, "moved": float(np.mean(moved))})
    return found


def speed() -> list[dict[str, float | str]]:
    """CPU seconds of steps on the samples, by the engine in this process; the second time, when kernels are compiled."""
    paths = [str(ROOT / f"data/samples/{name}.jsonl.zst") for name in ("web", "code")]
    found: list[dict[str, float | str]] = []
    for name, what in (
        ("split.lineage", step("it", "split.lineage", "docs")),
        ("split.lineage, kin only", step("it", "split.lineage", "docs", similarity=None)),
        ("dedup.near", step("it", "dedup.near", "docs")),
    ):
        took = []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                watch = _run(Path(folder), [step("docs", "read.jsonl", paths=paths), what])
            took.append(watch.cpu["it"])
            size = watch.bytes["it"]
        found.append({"step": name, "mb": size / 1e6, "cpu_seconds": min(took), "mb_per_s": size / 1e6 / min(took)})
    return found


class _Watch(Silent):
    """CPU seconds and bytes of each step."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.bytes: dict[str, int] = {}
        self.records: dict[str, StepRecord] = {}
        self._then = time.process_time()

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        now = time.process_time()
        self.cpu[record.step], self._then = now - self._then, now
        self.bytes[record.step], self.records[record.step] = record.counts.bytes_in, record


def _run(folder: Path, steps: Steps) -> _Watch:
    """Steps in this process, one task after the other."""
    plan, watch = make_plan(load_recipe(write(folder / "r.yaml", steps))), _Watch()
    with Runner(0) as runner:
        Engine(plan, Store(folder / "run"), runner, watch).run()
    return watch


def memory(counts: list[int]) -> list[dict[str, float | str]]:
    """Each in a process of its own."""
    found = []
    for count in counts:
        for per in (10, count):
            argv = [sys.executable, "-m", "tests.bench.splitting", "one", str(count), str(per)]
            found.append(json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT).stdout))
    return found


def one(count: int, per: int) -> dict[str, float | str]:
    """A run over ``count`` short documents, ``per`` of each site, without near copies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "docs.jsonl").open("w") as out:
            out.writelines(
                f'{{"id":"{n}","text":"page {n}","url":"https://s{n // per}.org/{n}"}}\n' for n in range(count)
            )
        steps = [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("split", "split.lineage", similarity=None)]
        watch = _run(folder, steps)
        report = watch.records["split"].report
        return {
            "documents": count,
            "largest": max([g["documents"] for g in report["largest"]], default=1),
            "cpu_seconds": round(watch.cpu["split"], 1),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def main() -> None:
    """Print tables, and write them to ``runs/bench/splitting.json``."""
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(int(sys.argv[2]), int(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["recall", "real", "shares", "speed", "memory"])
    parser.add_argument("--documents", nargs="+", type=float, default=[3e5, 1.2e6])
    given = parser.parse_args()
    result = {}
    for part in given.parts:
        rows = {
            "recall": recall,
            "real": real,
            "shares": shares,
            "speed": speed,
            "memory": lambda: memory([int(n) for n in given.documents]),
        }[part]()
        print(part)
        for row in rows:
            print("  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
        result[part] = rows
    out = ROOT / "runs/bench/splitting.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
