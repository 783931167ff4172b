"""One large input file, split over workers: ``python -m tests.bench.big_file [--mb 4096] [--formats plain,frames,zst,gz]``.

Makes one JSONL file of the samples (or of BENCH_CORPUS), repeated under other ids up to so many MB (10^6 bytes of
plain JSON lines), and runs rules over it by the command line: in each format with two workers and with one, then
killed with SIGKILL in the middle and gone on with. Asserts that the visible rows are the same whatever the format, the
workers, or the kill. Speeds are wall times of the whole command, start-up of interpreters and workers included; memory
is the largest VmHWM that a process ever had, from /proc, pages of mapped files included. ``cpu`` are the CPU seconds of
the driver and of each worker: on a busy machine, where wall times mean little, they show how the work was shared.

Formats: ``plain``; ``frames``, zstd in frames of 4 MB; ``zst``, zstd in one frame; ``gz``. The last two can only be
read from their beginning.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import yaml
import zstandard

from curate.report.run_folder import open_run
from curate.stages import load_all
from curate.stages.registry import registered
from tests.command import descendants

ROOT = Path(__file__).resolve().parents[2]
FORMATS = {"plain": "big.jsonl", "frames": "frames.jsonl.zst", "zst": "one.jsonl.zst", "gz": "big.jsonl.gz"}
FRAME_BYTES = 4 << 20
RULES = ("filter.massivetext", "filter.c4", "filter.fineweb")
"""Those that this version has are run one after the other."""


# -- the file -------------------------------------------------------------------------------------------------------


def make_plain(path: Path, texts: list[str], megabytes: float) -> int:
    """Write the JSON lines; returns how many. Each round of the texts has ids of its own."""
    rows = [orjson.dumps(text) for text in texts]
    written = count = 0
    with path.open("wb", buffering=1 << 20) as file:
        while written < megabytes * 1e6:
            row = rows[count % len(rows)]
            written += file.write(b'{"id":"%d","text":%b}\n' % (count, row))
            count += 1
    return count


def make_packed(plain: Path, path: Path, form: str) -> None:
    """The same lines in another format."""
    with plain.open("rb") as source, path.open("wb") as target:
        if form == "frames":
            compressor = zstandard.ZstdCompressor(level=1)
            while data := source.read(FRAME_BYTES):
                target.write(compressor.compress(data + source.readline()))
        elif form == "zst":
            zstandard.ZstdCompressor(level=1, threads=2).copy_stream(source, target)
        else:
            with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0) as packed:
                shutil.copyfileobj(source, packed, 1 << 20)


# -- running it -----------------------------------------------------------------------------------------------------


@dataclass
class Ran:
    """One command: wall seconds; peak resident MiB and CPU seconds of its processes."""

    seconds: float
    code: int
    driver_mib: float = 0.0
    driver_cpu: float = 0.0
    workers_mib: list[float] = field(default_factory=list)
    workers_cpu: list[float] = field(default_factory=list)


def recipe(folder: Path, name: str) -> Path:
    """Read it, then rules, and nothing after."""
    load_all()
    steps: list[dict[str, Any]] = [{"id": "docs", "use": "read.jsonl", "with": {"paths": [name]}}]
    steps += [{"id": rule.split(".")[1].replace("_", "-"), "use": rule} for rule in RULES if rule in registered()]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"recipe": "big", "seed": 7, "steps": steps}, sort_keys=False))
    return path


def peak_mib(pid: int) -> float:
    """VmHWM of a process; 0 when it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found.group(1)) / 1024 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; 0 when it is gone."""
    try:
        found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")


def is_worker(pid: int) -> bool:
    """Whether a process is one that Dask started for tasks."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def run(path: Path, store: Path, workers: int, kill_at: int | None = None, more: Sequence[str] = ()) -> Ran:
    """``curate run``, watched; with SIGKILL for all its processes as soon as so many tasks are committed."""
    command = [
        sys.executable,
        "-m",
        "curate",
        "run",
        str(path),
        "--store",
        str(store),
        "--workers",
        str(workers),
        *more,
    ]
    errors = store.with_suffix(".stderr")
    start = time.perf_counter()
    with errors.open("wb") as said:
        driver = subprocess.Popen(
            [*command, "--json"], stdout=subprocess.DEVNULL, stderr=said, cwd=ROOT, start_new_session=True
        )
    peaks: dict[int, float] = {}
    cpu: dict[int, float] = {}
    while driver.poll() is None:
        for pid in [driver.pid, *filter(is_worker, descendants(driver.pid))]:
            peaks[pid] = max(peaks.get(pid, 0.0), peak_mib(pid))
            cpu[pid] = max(cpu.get(pid, 0.0), cpu_seconds(pid))
        if kill_at is not None and len(receipts(store)) >= kill_at:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
            break
        time.sleep(0.2)
    ran = Ran(time.perf_counter() - start, driver.returncode, round(peaks.pop(driver.pid, 0.0), 1))
    ran.driver_cpu = round(cpu.pop(driver.pid, 0.0), 1)
    ran.workers_cpu = sorted(round(c, 1) for c in cpu.values())
    ran.workers_mib = sorted(round(p, 1) for p in peaks.values())
    if ran.code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{' '.join(command)}\nexit {ran.code}: {errors.read_text()[-2000:]}")
    return ran


def receipts(store: Path) -> dict[str, int]:
    """Committed tasks of the reading step, and the pieces that were cut, with their mtimes."""
    found = [*store.glob("steps/*/*/receipts/*.json"), *store.glob("pieces/*/receipts/*.json")]
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in found}


def visible(store: Path) -> tuple[int, str]:
    """How many rows the run's last step kept, and a digest of their keys and content hashes in order."""
    opened, keys, hashes, rows = open_run(str(store)), hashlib.sha256(), hashlib.sha256(), 0
    for part in opened.ends()[0].record.parts:
        for batch in opened.visible(part, ["origin", "content_hash"]):
            rows += batch.num_rows
            # The file's name stands before the #, and differs between the formats.
            own = pc.replace_substring_regex(batch.column("origin"), "^[^#]*#", "").to_pylist()
            keys.update("".join(f"{key}\n" for key in own).encode())
            hashes.update(b"".join(batch.column("content_hash").to_pylist()))
    return rows, keys.hexdigest() + hashes.hexdigest()


# -- what is shown --------------------------------------------------------------------------------------------------


def row(name: str, workers: int, megabytes: float, ran: Ran) -> dict[str, Any]:
    """One line of the table."""
    return {
        "name": name,
        "cores": workers,
        "clock": "wall",
        "mb": round(megabytes, 1),
        "seconds": [round(ran.seconds, 2)],
        "mb_per_s": megabytes / ran.seconds,
        "peak_rss_mb": max(ran.workers_mib, default=0.0),
        "driver_peak_rss_mb": ran.driver_mib,
        "cpu": [ran.driver_cpu, *ran.workers_cpu],
    }


def big_file(megabytes: float, formats: list[str], folder: Path, texts: list[str]) -> Iterator[dict[str, Any]]:
    """All runs in ``folder``, which needs about three times the file's size; files are removed when done with."""
    plain = folder / FORMATS["plain"]
    count = make_plain(plain, texts, megabytes)
    size, known = plain.stat().st_size / 1e6, set[tuple[int, str]]()

    def done(store: Path) -> None:
        known.add(visible(store))
        shutil.rmtree(store)
        assert len(known) == 1, f"{store.name} gave other rows: {known}"

    for form in formats:
        path = folder / FORMATS[form]
        if form != "plain":
            make_packed(plain, path, form)
        file, store = recipe(folder, path.name), folder / "run"
        two = run(file, store, 2)
        tasks = len(receipts(store))
        done(store)
        one = run(file, store, 1)
        done(store)
        yield row(f"{form} workers1", 1, size, one) | {"docs": count, "tasks": tasks}
        yield row(f"{form} workers2", 2, size, two) | {
            "docs": count,
            "reference": f"{form} workers1",
            "ratio": one.seconds / two.seconds,
        }
        killed = run(file, store, 2, kill_at=max(tasks // 2, 1))
        assert killed.code == -signal.SIGKILL
        before = receipts(store)
        again = run(file, store, 2)
        after = receipts(store)
        kept = sum(after.get(name) == when for name, when in before.items())
        assert kept == len(before), "what was committed was done again"
        done(store)
        yield row(f"{form} resumed2", 2, size, again) | {
            "docs": count,
            "committed_before_kill": len(before),
            "kept": kept,
            "tasks": len(after),
            "reference": f"{form} workers2, whole",
            "ratio": two.seconds / again.seconds,
        }
        if form != "plain":
            path.unlink()
    for rows, digest in known:
        yield {"name": "every run gave", "rows": rows, "digest": digest[:32]}


def main() -> int:
    """Run it, print a line for each run, and write ``runs/bench/bigfile.json``."""
    from tests.bench.__main__ import corpus

    arguments = argparse.ArgumentParser(prog="tests.bench.big_file", description="one large file over workers")
    arguments.add_argument("--mb", type=float, default=4096 * 1.048576, help="size of the plain file, 10^6 bytes")
    arguments.add_argument("--formats", default=",".join(FORMATS))
    arguments.add_argument("--folder", default=None, help="where files and stores are made")
    asked = arguments.parse_args()
    rows = []
    print(f"{'run':18} cores  seconds     MB/s  worker MiB  driver MiB  cpu s (driver, workers)  ratio", flush=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        for one in big_file(asked.mb, asked.formats.split(","), Path(name), corpus(1e9)):
            rows.append(one)
            if "digest" in one:
                print(f"{one['name']} the same {one['rows']:,} rows, digest {one['digest']}")
                continue
            ratio = f"{one['ratio']:.2f} to {one['reference']}" if "ratio" in one else ""
            kept = f", {one['kept']} of {one['tasks']} commits kept" if "kept" in one else ""
            cpu = " ".join(map(str, one["cpu"]))
            print(
                f"{one['name']:18} {one['cores']:5} {one['seconds'][0]:8.1f} {one['mb_per_s']:8.1f}"
                f" {one['peak_rss_mb']:11.1f} {one['driver_peak_rss_mb']:11.1f}  {cpu:23}  {ratio}{kept}",
                flush=True,
            )
    out = ROOT / "runs/bench/bigfile.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"bench": "bigfile", "cores": os.cpu_count(), "load": os.getloadavg(), "rows": rows}
    out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
