"""What the engine costs beside the stages it runs: overhead, messages, a hundred thousand tiny tasks, two workers.

* ``overhead``: reading and rules over splits of 64 MB through the engine in this process, against the same kernels in a
  plain loop that writes the same rows to plain Arrow files: CPU seconds, ratio loop to engine.
* ``overhead workers1``: the same by an embedded cluster with one worker; wall seconds from the first to the last commit.
* ``messages``: bytes over all of the scheduler's connections for each task, both directions, heartbeats included.
* ``tasks``: so many splits of a line each by the command line with two workers, planned, killed in the middle,
  gone on with, and run again with nothing to do; seconds of each.
* ``workers1``, ``workers2``: row-local rules, exact and near deduplication, a tokenizer, tokens shuffled into shards, by the
  command line; the seconds that the steps took (training and start-up apart), from ``run.json``.

Sizes: BENCH_MB (of the overhead and of the workers; 256 and 1000), BENCH_TASKS (100000).
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.stages import load_all
from curate.stages.catalog import Unhashed
from curate.stages.registry import registered
from curate.store.files import Store
from curate.store.records import Counts, StepRecord
from curate.text.batch import Batch
from tests.bench.big_file import make_plain
from tests.bench.measure import ROOT, Row, corpus, peak_mb
from tests.exchange import CONTEXT

RULES = ("filter.massivetext", "filter.c4", "filter.fineweb")
SPLIT = 64_000_000


def _recipe(folder: Path, steps: list[dict[str, Any]], name: str = "bench") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"recipe": name, "seed": 7, "steps": steps}, sort_keys=False))
    return path


def _rules(file: Path) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"id": "docs", "use": "read.jsonl", "with": {"paths": [str(file)]}}]
    return steps + [{"id": rule.split(".")[1], "use": rule} for rule in RULES]


class Watch(Silent):
    """When each task was committed; bytes over the wire so far."""

    def __init__(self, wire: Wire | None = None) -> None:
        self.times: list[float] = []
        self.bytes, self._wire = 0, wire

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        if self._wire is not None:
            self.bytes = max(self.bytes, self._wire.bytes())

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        self.times.append(time.perf_counter())


def _engine(recipe: Path, folder: Path, workers: int = 0, split: int = SPLIT, wire: Wire | None = None) -> Watch:
    watch = Watch(wire)
    with Runner(workers) as runner:
        Engine(make_plan(load_recipe(recipe)), Store(folder), runner, watch, Settings(split_bytes=split)).run()
    return watch


def _loop(file: Path, out: Path) -> None:
    """The same kernels, and the same rows to plain files: nothing identified, checked, committed, kept for later."""
    load_all()
    stages = registered()
    source, rules = stages["read.jsonl"](paths=[str(file)]), [stages[rule]() for rule in RULES]
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1), use_threads=False)
    for number, split in enumerate(source.splits(file.parent, Unhashed(), SPLIT)):
        writer = None
        for rows in source.read(split, "docs"):
            if not isinstance(rows, pa.RecordBatch):
                continue
            docs = Batch(rows)
            for rule in rules:
                docs = docs.filter(pc.is_null(rule.decide(rule.measure(docs, CONTEXT))))
                if rule.edits() and len(docs):
                    text = rule.edit(docs, CONTEXT)
                    docs = Batch(docs.rows.set_column(1, docs.rows.schema.field(1), text))
            writer = writer or pa.ipc.new_file(str(out / f"{number}.arrow"), docs.rows.schema, options=options)
            writer.write_batch(docs.rows)
        if writer:
            writer.close()


def overhead() -> Iterator[Row]:
    """Engine against loop, in turns, the best of three each: the noise of a machine only ever adds."""
    texts, megabytes = corpus(64), float(os.environ.get("BENCH_MB", "256"))
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        file = home / "docs.jsonl"
        docs = make_plain(file, texts, megabytes)
        recipe = _recipe(home, _rules(file))
        _loop(file, home)  # compiles, and fills the page cache
        Path("/proc/self/clear_refs").write_text("5")
        ours, theirs, store = list[float](), list[float](), home / "run"
        for _ in range(3):
            ours.append(_seconds(time.process_time, lambda: _engine(recipe, store)))
            theirs.append(_seconds(time.process_time, lambda: _loop(file, home)))
            shutil.rmtree(store)
        base = {"cores": 1, "mb": megabytes, "docs": docs, "peak_rss_mb": peak_mb(), "reference": "plain loop"}
        yield base | {"name": "overhead", "clock": "cpu"} | _against(ours, theirs, megabytes)
        ours, theirs = [], []
        for _ in range(2):
            times = _engine(recipe, store, workers=1).times
            # The first split pays for the worker's start: it is left out, and so is its share.
            ours.append((times[-1] - times[0]) * len(times) / (len(times) - 1))
            theirs.append(_seconds(time.perf_counter, lambda: _loop(file, home)))
            shutil.rmtree(store)
        yield base | {"name": "overhead workers1", "clock": "wall"} | _against(ours, theirs, megabytes)


def _seconds(clock: Callable[[], float], work: Callable[[], object]) -> float:
    start = clock()
    work()
    return clock() - start


def _against(ours: list[float], theirs: list[float], megabytes: float) -> Row:
    return {
        "seconds": ours,
        "mb_per_s": megabytes / min(ours),
        "reference_seconds": theirs,
        "ratio": min(theirs) / min(ours),
    }


class Wire:
    """Bytes over the connections of this process, where client and scheduler both live, as the kernel counts them."""

    def __init__(self) -> None:
        from distributed.comm import tcp

        self._kind, self._init = tcp.TCP, tcp.TCP.__init__
        self._open: list[Any] = []

    def __enter__(self) -> Self:
        def begin(comm: Any, *args: Any, **named: Any) -> None:
            self._init(comm, *args, **named)
            self._open.append(comm)

        self._kind.__init__ = begin
        return self

    def __exit__(self, *_: object) -> None:
        self._kind.__init__ = self._init

    def bytes(self) -> int:
        """Sent and received by connections that are open; what client and scheduler tell each other counts twice."""
        total = 0
        for comm in self._open:
            if not comm.closed():
                facts = comm.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
                # struct tcp_info of linux/tcp.h: tcpi_bytes_acked, tcpi_bytes_received.
                total += sum(struct.unpack_from("=QQ", facts, 120))
        return total


def messages() -> Iterator[Row]:
    """Bytes of the scheduler's connections for each task: large splits, small ones in bundles, an exchange."""
    texts = corpus(8)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        file = home / "docs.jsonl"
        make_plain(file, texts, 16)
        steps = [*_rules(file), {"id": "one", "use": "dedup.exact"}, {"id": "out", "use": "write.text"}]
        recipe = _recipe(home, steps)
        for name, split in (("messages", 1_000_000), ("messages of small tasks", 16_000)):
            with Wire() as wire:
                watch = _engine(recipe, home / name, workers=2, split=split, wire=wire)
            yield {
                "name": name,
                "cores": 2,
                "clock": "none",
                "count": len(watch.times),
                "bytes": watch.bytes,
                "bytes_per_task": round(watch.bytes / len(watch.times)),
                "peak_rss_mb": peak_mb(),
            }


def _command(*argv: Any) -> list[str]:
    return [sys.executable, "-m", "curate", *map(str, argv)]


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def tasks() -> Iterator[Row]:
    """Planned, run half, killed, gone on with, run again."""
    count = int(os.environ.get("BENCH_TASKS", "100000"))
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        with (home / "docs.jsonl").open("w") as file:
            for i in range(count):
                file.write(
                    json.dumps({"id": str(i), "text": f"Document {i} says a few words. " * 28}).ljust(999) + "\n"
                )
        steps: list[dict[str, Any]] = [
            {"id": "docs", "use": "read.jsonl", "with": {"paths": ["docs.jsonl"]}},
            {"id": "one", "use": "dedup.exact"},
            {"id": "out", "use": "write.text", "with": {"documents_per_shard": 50_000}},
        ]
        recipe, store = _recipe(home, steps), home / "run"
        run = _command("run", recipe, "--store", store, "--workers", 2, "--split-mb", 0.001, "--json")
        taken = {"plan": _timed(_command("plan", recipe, "--store", store))}
        start = time.perf_counter()
        half = subprocess.Popen(
            run, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while half.poll() is None and _committed(store) < count // 2:
            time.sleep(1)
        os.killpg(half.pid, signal.SIGKILL)
        half.wait()
        taken["half"], before = time.perf_counter() - start, _committed(store)
        taken["resumed"] = _timed(run)
        assert _committed(store) == count
        taken["nothing"] = _timed(run)
        yield {
            "name": f"tasks {count}",
            "cores": 2,
            "clock": "wall",
            "count": count,
            "committed_before_kill": before,
            "seconds": list(taken.values()),
            "parts": taken,
            "per_s": count / sum(taken.values()),
            "total_s": sum(taken.values()),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
        }


def _committed(store: Path) -> int:
    # Without hidden temporary files of what was killed.
    names = (name for folder in store.glob("steps/docs/*/receipts") for name in os.listdir(folder))  # noqa: PTH208 - 1e5
    return sum(not name.startswith(".") for name in names)


TRAINED = ("tokenizer",)
"""Steps that train: their time is no part of the comparison."""


def workers() -> Iterator[Row]:
    """One worker, then two; the same bytes."""
    megabytes = float(os.environ.get("BENCH_MB", "1000"))
    texts = corpus(1e9)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        # Every round of the texts is another one: else all but one would be duplicates.
        docs = make_plain(home / "docs.jsonl", _varied(texts, megabytes), megabytes)
        read, *rules = _rules(home / "docs.jsonl")
        steps = [
            read,
            *rules,
            {"id": "one", "use": "dedup.exact"},
            {"id": "near", "use": "dedup.near"},
            {"id": "tokenizer", "use": "train.tokenizer", "with": {"vocab_size": 2048}},
            {"id": "tokens", "use": "encode.tokens", "from": "near", "with": {"tokenizer": "tokenizer"}},
            {"id": "out", "use": "write.tokens", "with": {"tokens": "tokens", "sequence": 2048}},
        ]
        recipe = _recipe(home, steps)
        first: float | None = None
        shards: list[Any] = []
        for count in (1, 2):
            store = home / f"run{count}"
            wall = _timed(_command("run", recipe, "--store", store, "--workers", count, "--json"))
            session = json.loads((store / "run.json").read_bytes())["sessions"][-1]["seconds"]
            manifest = json.loads((store / "manifest.json").read_bytes())
            shards.append([s["sha256"] for s in manifest["steps"][-1]["shards"]])
            seconds = sum(taken for step, taken in session.items() if step not in TRAINED)
            row: Row = {
                "name": f"workers{count}",
                "cores": count,
                "clock": "wall",
                "mb": megabytes,
                "docs": docs,
                "seconds": [seconds],
                "steps": session,
                "whole_s": wall,
                "startup_s": wall - sum(session.values()),
                "mb_per_s": megabytes / seconds,
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
            }
            if first is not None:
                row |= {"reference": "workers1", "reference_seconds": [first], "ratio": first / seconds}
            first = seconds
            yield row
            shutil.rmtree(store)
        assert shards[0] == shards[1], "one worker and two gave other bytes"


def _varied(texts: list[str], megabytes: float) -> list[str]:
    """So many MB of texts, each round with other words at every sixth place."""
    found: list[str] = []
    left, round_ = megabytes * 1e6, 0
    while left > 0:
        for text in texts:
            new = text
            if round_:
                words = text.split(" ")
                words[::6] = [f"{word}{round_}" for word in words[::6]]
                new = " ".join(words)
            found.append(new)
            left -= len(new) + 30
            if left <= 0:
                break
        round_ += 1
    return found
