"""``make soak``: a recipe with every kind of step under every fault that can be had, again and again, and what came of it.

    python -m tests.soak                     all faults, 200 kills; writes the table into docs/faults.md
    python -m tests.soak --kills 20 --only driver      a few of them; prints only

After each fault the same command goes on to the end. Then the final dataset must have the same bytes as the undisturbed
one, no row may be lost or there twice, no request may have been made that was not in flight when something was killed,
and ``curate gc`` must leave what an undisturbed run leaves.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.soak import faults, kills
from tests.soak.ground import Ground, Row, Skip

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"

Fault = Callable[[Ground, Row], None]


def planned(count: int, seed: int) -> Iterator[tuple[str, Fault]]:
    """Each fault once, with its row; those at random moments come again until there were enough kills."""
    rng = random.Random(seed)
    yield "kill -9 of the only process, at every crash point", kills.at_points
    yield "kill -9 of a worker, at every crash point of tasks", kills.workers_at_points
    yield from faults.ALL
    share = {"alone": 0.35, "driver": 0.25, "worker": 0.25, "scheduler": 0.05, "nanny": 0.05, "member": 0.05}
    names = {
        "alone": "kill -9 of the only process, at random moments",
        "driver": "kill -9 of the driver of two workers, at random moments",
        "worker": "kill -9 of a worker, at random moments",
        "scheduler": "kill -9 of a running cluster's scheduler",
        "nanny": "kill -9 of a running cluster's nanny",
        "member": "kill -9 of a running cluster's worker",
    }
    acts: dict[str, Fault] = {
        "alone": lambda ground, row: kills.driver(ground, row, rng, 0, 7),
        "driver": lambda ground, row: kills.driver(ground, row, rng, 2, 5),
        "worker": lambda ground, row: kills.worker(ground, row, rng, 4),
        "scheduler": lambda ground, row: kills.cluster(ground, row, rng, "scheduler"),
        "nanny": lambda ground, row: kills.cluster(ground, row, rng, "nanny"),
        "member": lambda ground, row: kills.cluster(ground, row, rng, "worker"),
    }
    for kind, part in share.items():
        yield names[kind], _until(acts[kind], max(1, round(part * max(0, count - len(kills.CRASH_POINTS)))))


def _until(act: Fault, times: int) -> Fault:
    def again(ground: Ground, row: Row) -> None:
        for _ in range(times * 4):
            if row.times >= times or row.wrong:
                return
            act(ground, row)

    return again


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    head = ["fault", "times", "lost rows", "duplicate rows", "extra requests", "bytes identical", "orphans removed"]
    lines = [head, ["---", *["---:"] * 4, "---", "---:"]]
    for row in rows:
        extra = f"{row.extra} (of {row.allowed} that were in flight)" if row.allowed else str(row.extra)
        counts = [str(row.times), str(row.lost), str(row.duplicates), extra]
        lines.append([row.fault, *counts, "yes" if row.identical else "NO", str(row.orphans)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 in all, about (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--only", default="", help="faults whose name has this in it; writes nothing")
    given = parser.parse_args()
    started, rows = time.monotonic(), list[Row]()
    with tempfile.TemporaryDirectory(prefix="curate-soak-") as name, Ground(Path(name)) as ground:
        for fault, act in planned(given.kills, given.seed):
            if given.only not in fault:
                continue
            row, begun = Row(fault), time.monotonic()
            try:
                act(ground, row)
            except Skip as why:
                print(f"{'skipped':>8}  {fault}: {why}", flush=True)
                continue
            except Exception as error:
                row.wrong.append(f"{type(error).__name__}: {str(error)[-400:]}")
            row.seconds = time.monotonic() - begun
            rows.append(row)
            print(f"{'ok' if row.good else 'WRONG':>8}  {fault}: {row.times} times, {row.seconds:.0f} s", flush=True)
            for line in row.wrong:
                print(f"{'':>10}{line}", flush=True)
    killed = sum(row.times for row in rows if row.fault.startswith("kill -9"))
    minutes = (time.monotonic() - started) / 60
    print(f"\n{table(rows)}\n\n{killed} kills, {minutes:.0f} minutes")
    if not given.only:
        _write(table(rows), killed, minutes, given.kills, given.seed)
    sys.exit(not all(row.good for row in rows))


def _write(found: str, killed: int, minutes: float, count: int, seed: int) -> None:
    command = f"python -m tests.soak --kills {count} --seed {seed}"
    said = f"`{command}`: {killed} kills in {minutes:.0f} minutes, on {platform.machine()} with Linux {platform.release()}."
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{said}\n\n{found}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
