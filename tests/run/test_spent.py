"""What a task took: CPU seconds counted once, by step and kind of work, beside the receipt; and what a cluster calls it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from corpus import prose
from recipes import step, write

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.bundle import Bundle
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.flights import Flights
from curate.run.progress import Silent
from curate.run.task import Task
from curate.run.worker import execute, execute_on_worker
from curate.spent import CHILDREN, OTHER, Meter, Work, each, metered, program, spending
from curate.store.files import Store
from curate.store.records import Counts


class Ticks:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_second_is_counted_once_under_what_is_innermost() -> None:
    """Inner work is not counted twice; what nobody names is other; laps begin anew; bytes are summed."""
    clock = Ticks()
    meter = Meter("w", clock)
    clock.now = 1
    meter.enter(("a", "measure"), 100)
    clock.now = 3
    meter.enter(("", "read"), 7)
    clock.now = 7
    meter.leave()
    clock.now = 8
    meter.leave()
    meter.lap("first")
    clock.now = 9
    meter.lap("second")
    first, second = meter.works
    assert (first.key, first.worker, second.key) == ("first", "w", "second")
    assert first.by == {("", OTHER): (1.0, 0), ("a", "measure"): (3.0, 100), ("", "read"): (4.0, 7)}
    assert first.cpu == 8
    assert second.by == {("", OTHER): (1.0, 0)}


def test_what_is_made_item_by_item_and_by_programs() -> None:
    """Time inside of a generator is its kind's, time of who takes the items is not; a program's is what asked for it."""
    with metered() as meter:
        for _ in each("read", iter([b"abc", b"de"]), "docs", len):
            program(2.0)
        with spending("execute", "proven"):
            program(5.0)
        meter.lap("k")
    by = meter.works[0].by
    assert by["docs", "read"][1] == 5
    assert by["", OTHER][0] >= 4
    assert by["proven", "execute"][0] >= 5
    assert by["docs", "read"][0] < 1
    assert ("", CHILDREN) not in by
    with spending("nobody counts"):
        program(1.0)


class Watch(Silent):
    def __init__(self) -> None:
        self.works: list[tuple[tuple[str, ...], Work, dict[str, Counts]]] = []

    def worked(self, steps: tuple[str, ...], work: Work, counts: dict[str, Counts]) -> None:
        self.works.append((steps, work, counts))


def recipe(folder: Path) -> Path:
    texts = [f"{text} {n}" for n, text in enumerate(prose(130))]
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("rules", "filter.massivetext", min_words=3),
        step("out", "write.text"),
    ]
    return write(folder / "r.yaml", steps)


def test_every_task_of_a_run_says_what_it_took(tmp_path: Path) -> None:
    """Each of a bundle, too, and none that was committed before; nothing of it stands in a receipt."""
    plan, store, watch = make_plan(load_recipe(recipe(tmp_path))), Store(tmp_path / "run"), Watch()
    how = Settings(split_bytes=500)
    with Runner(0) as runner:
        Engine(plan, store, runner, watch, how).run()
    keys = [work.key for _, work, _ in watch.works]
    receipts = {path.stem for path in (tmp_path / "run").glob("steps/*/*/receipts/*.json")}
    assert len(keys) == len(set(keys))
    assert set(keys) == receipts
    assert len(keys) > 128, "some travelled as bundles"
    kinds = {(label, kind) for _, work, _ in watch.works for label, kind in work.by}
    assert {("docs", "read"), ("rules", "measure"), ("rules", "decide"), ("", "write"), ("", "map")} <= kinds
    read = sum(work.by["docs", "read"][1] for _, work, _ in watch.works if ("docs", "read") in work.by)
    assert read == sum(counts["docs"].bytes_out for _, _, counts in watch.works if "docs" in counts) > 0
    assert not any("cpu" in path.read_text() for path in (tmp_path / "run").glob("steps/*/*/receipts/*.json"))
    again = Watch()
    with Runner(0) as runner:
        Engine(plan, store, runner, again, how).run()
    assert again.works == []


class Nothing(Task):
    def run(self) -> str:
        return self.key


def test_the_dashboard_shows_steps_and_phases(tmp_path: Path) -> None:
    """The scheduler groups tasks by step and phase, whatever is in a step's name."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        flights = Flights(client, execute_on_worker, "web-1>phi-1.5:near, round 2: map")
        flights.begin([Nothing(Store(tmp_path), "steps/x/y", key * 8) for key in ("0a1b", "deadbeef", "12345678")])
        landed = list(itertools.chain.from_iterable(flights.landed(10) for _ in range(3) if flights))
        assert sorted(outcome.receipt[0][:4] for _, outcome in landed) == ["0a1b", "1234", "dead"]
        ours = [name for name in cluster.scheduler.task_prefixes if "phi" in name]
        assert ours == ["web_1>phi_1.5:near_round_2:_map"]
        flights.clear()


def test_a_bundle_says_it_of_each_of_its_tasks(tmp_path: Path) -> None:
    """Not of itself."""

    class Busy(Task):
        point = "segment"

        def work(self) -> dict[str, int]:
            return {"n": sum(range(1000))}

    tasks = tuple(Busy(Store(tmp_path), "steps/x/y", f"k{n}") for n in range(3))
    receipts, works = execute(Bundle(Store(tmp_path), "steps/x/y", "k0x3", tasks), "here")
    assert len(receipts) == 3
    assert [work.key for work in works] == ["k0", "k1", "k2"]
    assert {work.worker for work in works} == {"here"}
    assert all(work.cpu == pytest.approx(sum(s for s, _ in work.by.values())) for work in works)
