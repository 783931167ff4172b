"""``make soak``: a recipe with every kind of step under every fault that can be had, again and again, and what came of it.

    python -m tests.soak                     all faults, 200 kills; writes the table into docs/faults.md, row by row
    python -m tests.soak --kills 20 --only driver      a few of them; prints only

After each fault the same command goes on to the end. Then the final dataset must have the same bytes as the undisturbed
one, no row may be lost or there twice, no request may have been made that was not in flight when something was killed,
and ``curate gc`` must leave what an undisturbed run leaves.
"""

from __future__ import annotations

import argparse
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.soak import faults, kills, liveness
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
    of_cluster = "kill -9 of a running cluster's"
    at_random: list[tuple[str, float, Fault]] = [
        ("kill -9 of the only process, at random moments", 0.35, lambda g, row: kills.driver(g, row, rng, 0, 7)),
        (
            "kill -9 of the driver of two workers, at random moments",
            0.25,
            lambda g, row: kills.driver(g, row, rng, 2, 5),
        ),
        ("kill -9 of a worker, at random moments", 0.25, lambda g, row: kills.worker(g, row, rng, 4)),
        (f"{of_cluster} scheduler", 0.05, lambda g, row: kills.cluster(g, row, rng, "scheduler")),
        (f"{of_cluster} nanny", 0.05, lambda g, row: kills.cluster(g, row, rng, "nanny")),
        (f"{of_cluster} worker", 0.05, lambda g, row: kills.cluster(g, row, rng, "worker")),
    ]
    for name, share, act in at_random:
        yield name, _until(act, max(1, round(share * max(0, count - len(kills.CRASH_POINTS)))))
    yield from liveness.LAST


def _until(act: Fault, times: int) -> Fault:
    def again(ground: Ground, row: Row) -> None:
        for _ in range(times * 4):
            if row.times >= times or row.wrong:
                return
            act(ground, row)

    return again


HEAD = (
    "| fault | times | lost rows | duplicate rows | extra requests | bytes identical | orphans removed |\n"
    "| --- | ---: | ---: | ---: | ---: | --- | ---: |"
)


def line(row: Row) -> str:
    """A row of the table."""
    extra = f"{row.extra} (of {row.allowed} that were in flight)" if row.allowed else str(row.extra)
    same = "yes" if row.good else f"{'yes' if row.identical else 'NO'}, and not all held"
    cells = [row.fault, row.times, row.lost, row.duplicates, extra, same, row.orphans]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """The command line: the table goes to standard output, row by row, and all else to standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 in all, about (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--only", default="", help="faults whose name has this in it; writes nothing")
    given = parser.parse_args()
    # So that whoever stops it finds no processes, mounts and namespaces left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, rows = time.monotonic(), list[Row]()
    todo = [(fault, act) for fault, act in planned(given.kills, given.seed) if given.only in fault]
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="curate-soak-") as name, Ground(Path(name)) as ground:
        for number, (fault, act) in enumerate(todo, 1):
            row = Row(fault)
            if not _done(ground, act, row):
                continue
            rows.append(row)
            print(line(row), flush=True)
            if not given.only:
                minutes = (time.monotonic() - started) / 60
                command = f"`python -m tests.soak --kills {given.kills} --seed {given.seed}`"
                _write(rows, f"{command}, {number} of {len(todo)} faults in {minutes:.0f} minutes")
    sys.exit(not all(row.good for row in rows))


def _done(ground: Ground, act: Fault, row: Row) -> bool:
    """Do it and say how it went; False where it can't be done here."""
    begun = time.monotonic()
    try:
        act(ground, row)
    except Skip as why:
        print(f"skipped  {row.fault}: {why}", file=sys.stderr, flush=True)
        return False
    except Exception as error:
        row.wrong.append(f"{type(error).__name__}: {str(error)[-400:]}")
    how = "ok" if row.good else "WRONG"
    print(f"{how}  {row.fault}: {row.times} times, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    for why in row.wrong:
        print(f"    {why}", file=sys.stderr, flush=True)
    return True


def _write(rows: list[Row], done: str) -> None:
    killed = sum(row.times for row in rows if row.fault.startswith("kill -9"))
    said = f"{done}: {killed} kills, on {platform.machine()} with Linux {platform.release()}."
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    table = "\n".join([HEAD, *map(line, rows)])
    PAGE.write_text(f"{before}{BEGIN}\n{said}\n\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
