"""What near-deduplication costs as the corpus grows: ``python -m tests.bench.near_cost [--documents 1e5 1e6 1e7]``.

Synthetic documents (near_copies.py) are read, and gone through by dedup.near on an embedded cluster. With ``--numbers`` they are
numbers (numbers.py), and the phases run one task after the other in this process, which is driver and worker at once: its
peak is above that of any worker of a cluster. For each phase: seconds from its first task's sending to the next phase's, bytes
and number of the files that its maps and reduces wrote. For the whole: the largest VmHWM of any worker and of the driver, and the
CPU seconds of the workers, reading and compiling included, from /proc. Fails when a worker comes to 1 GiB.

Results go to ``runs/bench/near_cost.json`` or ``near_numbers.json``; with ``--plot FILE`` the cost curve is drawn as SVG.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.store.files import Store
from curate.store.records import StepRecord
from tests.bench import near_copies, numbers
from tests.bench.big_file import cpu_seconds, is_worker, peak_mib
from tests.bench.measure import ROOT
from tests.bench.plot import Line, drawn
from tests.command import descendants
from tests.recipes import step, write

MOST_MIB = 1024


class Watch(Silent):
    """When each stretch of work began, and what each step kept."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self.tasks: dict[str, int] = {}
        self.steps: dict[str, tuple[StepRecord, float]] = {}

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        name = f"{steps[-1]}: {what}"
        self.begun.append((name, time.perf_counter()))
        self.tasks[name] = self.tasks.get(name, 0) + tasks

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        self.begun.append(("", time.perf_counter()))
        self.steps[record.step] = (record, seconds)

    def seconds(self) -> dict[str, float]:
        """Of each stretch; those of the same name together."""
        found: dict[str, float] = defaultdict(float)
        for (name, start), (_, stop) in zip(self.begun, self.begun[1:], strict=False):
            found[name] += stop - start
        return {name: round(taken, 2) for name, taken in found.items() if name}


class Peaks(threading.Thread):
    """Looks at the workers below this process four times a second; at itself where it has none."""

    def __init__(self, alone: bool) -> None:
        super().__init__(daemon=True)
        self._alone = alone
        self.workers: dict[int, float] = {}
        self.cpu: dict[int, float] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.25):
            me = os.getpid()
            for pid in [me] if self._alone else filter(is_worker, descendants(me)):
                self.workers[pid] = max(self.workers.get(pid, 0.0), peak_mib(pid))
                self.cpu[pid] = max(self.cpu.get(pid, 0.0), cpu_seconds(pid))

    def most(self) -> float:
        """MiB of the largest worker; looks no further."""
        self._over.set()
        self.join()
        return max(self.workers.values())


def _files(store: Path, step: str) -> dict[str, dict[str, int]]:
    """Files and bytes that a step's tasks wrote, by what wrote them: ``map0`` is the first phase's maps."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"files": 0, "bytes": 0})
    for path in store.glob(f"steps/{step}/*/**/*.arrow"):
        kind = re.match(r"[a-z]+\d*", path.name)
        entry = found[kind.group() if kind else path.name]
        entry["files"] += 1
        entry["bytes"] += path.stat().st_size
    return dict(sorted(found.items()))


def measure(count: int, home: Path, workers: int, near: dict[str, Any]) -> dict[str, Any]:
    """One size, from documents to verdicts; without workers they are numbers. ``near`` is the step that decides."""
    form, source = ("parquet", near_copies) if workers else ("jsonl", numbers)
    size = source.write(home / "in", count)
    steps = [step("docs", f"read.{form}", paths=[str(home / f"in/*.{form}")]), near]
    write(home / "r.yaml", steps, name="near")
    # Sets this process's peak back: an earlier size is not to be told as this one's.
    Path("/proc/self/clear_refs").write_text("5")
    cpu, watch, peaks = time.process_time(), Watch(), Peaks(alone=not workers)
    with Runner(workers) as runner:
        peaks.start()
        plan = make_plan(load_recipe(home / "r.yaml"))
        Engine(plan, Store(home / "run"), runner, watch, Settings()).run()
        worst = peaks.most()
    record, seconds = watch.steps["near"]
    files = _files(home / "run", "near")
    return {
        "documents": count,
        "mb": size / 1e6,
        "workers": workers,
        "step": near,
        "seconds": seconds,
        "cpu_seconds": sum(peaks.cpu.values()) if workers else time.process_time() - cpu,
        "read_seconds": watch.steps["docs"][1],
        "documents_per_s": count / seconds,
        "worker_mib": worst,
        "driver_mib": peak_mib(os.getpid()),
        "dropped": record.counts.rows_in - record.counts.rows_out,
        "phases": watch.seconds(),
        "tasks": watch.tasks,
        "files": files,
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "load": os.getloadavg()[0],
    }


def plot(rows: list[dict[str, Any]]) -> str:
    """Seconds, bytes written and a worker's memory over documents, as SVG."""
    at = [row["documents"] for row in rows]
    lines = (
        Line("seconds of dedup.near", [row["seconds"] for row in rows]),
        Line("CPU seconds of reading and dedup.near", [row.get("cpu_seconds") for row in rows]),
        Line("MB written between its phases", [row["bytes"] / 1e6 for row in rows]),
        Line("MiB of the largest worker", [row["worker_mib"] for row in rows]),
    )
    return drawn("documents", at, lines)


def main() -> int:
    """Measure each size, print and store; 1 if a worker needed too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.near_cost", description=__doc__)
    parser.add_argument("--documents", type=float, nargs="+", default=[1e5, 1e6, 1e7])
    parser.add_argument("--workers", type=int, default=2, help="at least one")
    parser.add_argument("--numbers", action="store_true", help="documents are numbers, in one process")
    parser.add_argument("--verify", choices=["true", "estimate"], default="true")
    parser.add_argument("--folder", type=Path, help="where 10 kB a document are free (the system's temporary folder)")
    parser.add_argument("--plot", type=Path, help="file for the cost curve of all sizes so far")
    asked = parser.parse_args()
    near, workers = step("near", "dedup.near", verify=asked.verify), asked.workers
    if asked.numbers:
        near, workers = step("near", "bench.numbers"), 0
    name = "near_numbers" if asked.numbers else "near_cost"
    out = ROOT / f"runs/bench/{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    known = {row["documents"]: row for row in json.loads(out.read_bytes())["rows"]} if out.exists() else {}
    for count in map(int, asked.documents):
        with tempfile.TemporaryDirectory(dir=asked.folder, prefix="near-") as home:
            row = measure(count, Path(home), workers, near)
        known[count] = row
        print(
            f"{count:>12,} documents {row['seconds']:9.1f} s {row['cpu_seconds']:9.1f} CPU s {row['bytes'] / 1e6:10.1f} MB written"
            f" {row['worker_mib']:7.0f} MiB a worker, {row['dropped']:,} dropped",
            flush=True,
        )
        for phase, seconds in row["phases"].items():
            print(f"    {phase:32} {seconds:9.1f} s {row['tasks'][phase]:6} tasks", flush=True)
        for kind, entry in row["files"].items():
            print(f"    {kind:32} {entry['files']:6} files {entry['bytes'] / 1e6:10.1f} MB", flush=True)
        rows = [known[n] for n in sorted(known)]
        out.write_text(json.dumps({"bench": name, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    rows = [known[n] for n in sorted(known)]
    if asked.plot:
        asked.plot.write_text(plot(rows), encoding="utf-8")
    return int(any(known[int(n)]["worker_mib"] >= MOST_MIB for n in asked.documents))


if __name__ == "__main__":
    sys.exit(main())
