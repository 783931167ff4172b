"""Network partitions: ``python -m tests.soak.partition`` prints a table of them; the soak counts them as one fault.

A scheduler, two workers and a driver in namespaces of their own share a folder, and one of them is cut off in the
middle of a run, for less and for more than Dask's time-outs. The run must end, or stop with one line and go on when it
is called again, with the bytes of an undisturbed one; nothing may wait for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from command import results
from recipes import step, write

from tests.soak.network import Network, why_not

TCP_SECONDS: Final = 11
"""Dask's time-out for a silent connection, shortened from 30 s to the least it takes, so that longer cuts stay short."""
MOST_SECONDS: Final = 480
"""How long any run may take, cuts included: a driver waits 300 s for workers before it stops."""
MACHINES: Final = ("scheduler", "worker1", "worker2", "driver")


@dataclass(frozen=True)
class Cut:
    """Who is cut off, and for how many seconds (None: until the end)."""

    machines: tuple[str, ...]
    seconds: float | None

    def __str__(self) -> str:
        how = f"{self.seconds:g} s" if self.seconds is not None else "for good"
        return f"{' and '.join(self.machines)} cut off {how}"


CUTS: Final = (
    Cut(("worker1",), 2),
    Cut(("worker1",), 2 * TCP_SECONDS + 3),
    Cut(("worker1",), None),
    Cut(("worker1", "worker2"), 2 * TCP_SECONDS + 3),
    Cut(("scheduler",), 2),
    Cut(("scheduler",), 2 * TCP_SECONDS + 3),
    Cut(("driver",), 2),
    Cut(("driver",), 2 * TCP_SECONDS + 3),
)


class Site:
    """A cluster on a network, and runs that are disturbed."""

    def __init__(self, folder: Path, network: Network) -> None:
        self._folder, self._network = folder, network
        lines = (json.dumps({"text": f"document {i % 900} of a few words"}) for i in range(1200))
        (folder / "docs.jsonl").write_text("".join(f"{line}\n" for line in lines))
        steps = [
            step("docs", "read.jsonl", paths=["docs.jsonl"]),
            step("unique", "dedup.exact"),
            step("out", "write.text", documents_per_shard=200),
        ]
        self.recipe = write(folder / "r.yaml", steps)
        self._env = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{TCP_SECONDS}s"}

    def undisturbed(self) -> dict[str, str]:
        """Digests of what a run on no cluster gives."""
        call = [*self._call(self._folder / "whole"), "--workers", "0"]
        subprocess.run(call, check=True, capture_output=True, timeout=MOST_SECONDS)
        return results(self._folder / "whole")

    def _call(self, store: Path) -> list[str]:
        return [sys.executable, "-m", "curate", "run", str(self.recipe), "--store", str(store), "--split-mb", "0.001"]

    def disturbed(self, cut: Cut, number: int) -> tuple[str, float, dict[str, str]]:
        """How a run ended that was cut, after how many seconds, and what it, or the next one, gave."""
        store, log = self._folder / f"run{number}", self._folder / f"log{number}"
        python = [sys.executable, "-m"]
        address = f"tcp://{self._network.address['scheduler']}:8786"
        dask = ["--no-dashboard"]
        running = []
        with log.open("w") as out:
            how = {"stdout": out, "stderr": out, "env": self._env, "cwd": self._folder}
            try:
                running.append(
                    self._network.start(
                        "scheduler", *python, "distributed.cli.dask_scheduler", "--port", "8786", *dask, **how
                    )
                )
                for name in ("worker1", "worker2"):
                    work = [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", *dask]
                    running.append(self._network.start(name, *work, **how))
                began = time.monotonic()
                driver = self._network.start(
                    "driver",
                    *self._call(store),
                    "--cluster",
                    address,
                    stderr=subprocess.PIPE,
                    stdout=out,
                    env=self._env,
                )
                running.append(driver)
                self._disturb(cut, store, driver)
                _, said = driver.communicate(timeout=MOST_SECONDS)
                seconds = time.monotonic() - began
            finally:
                for process in reversed(running):
                    process.kill()
                    process.wait()
                for name in MACHINES:
                    self._network.heal(name)
        if driver.returncode:
            lines = [line for line in said.splitlines() if line.startswith("curate:")]
            if len(lines) != 1 or "Traceback" in said:
                raise AssertionError(f"{cut}: not one line but\n{said}")
            subprocess.run(
                [*self._call(store), "--workers", "0"], check=True, capture_output=True, timeout=MOST_SECONDS
            )
            return f"exit {driver.returncode}, {lines[0][8:90]}; resumed", seconds, results(store)
        return "finished", seconds, results(store)

    def _disturb(self, cut: Cut, store: Path, driver: subprocess.Popen[str]) -> None:
        """Wait until some tasks are committed, cut, and heal after a while."""
        end = time.monotonic() + MOST_SECONDS
        while len(list(store.glob("steps/*/*/receipts/*.json"))) < 3:
            if driver.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the run came to nothing: {driver.communicate()[1]}")
            time.sleep(0.01)
        for name in cut.machines:
            self._network.cut(name)
        if cut.seconds is not None:
            time.sleep(cut.seconds)
            for name in cut.machines:
                self._network.heal(name)


def main(say: Callable[[str], None] = print) -> int:
    """Run all cuts, or those whose numbers are given; 1 if any gave other bytes."""
    why = why_not()
    if why:
        say(f"not run: {why}")
        return 0
    wanted = [int(word) for word in sys.argv[1:]] or list(range(len(CUTS)))
    wrong = 0
    with tempfile.TemporaryDirectory() as name, Network(*MACHINES) as network:
        site = Site(Path(name), network)
        expected = site.undisturbed()
        say("| cut | the run | s | bytes identical |\n|---|---|---|---|")
        for number in wanted:
            ended, seconds, found = site.disturbed(CUTS[number], number)
            same = found == expected
            wrong += not same
            say(f"| {CUTS[number]} | {ended} | {seconds:.0f} | {'yes' if same else 'NO'} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
