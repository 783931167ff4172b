"""Rows that kill their worker: found by halving, set aside by name; nobody else is blamed, nothing else is lost."""

from __future__ import annotations

import random
from typing import Any

import pytest

from curate.errors import WorkerError
from curate.run.bundle import Bundle
from curate.run.flights import PATIENCE, Flight, judge
from curate.run.quarantine import DIED, MOST_ROWS, Rehearsal, RowTask, treat
from curate.run.task import Task
from curate.store.files import Store


class Rows(RowTask):
    """A task of ``rows`` rows of which those in ``lethal_at`` (row: step) kill; whatever else dies is not its fault."""

    def __init__(self, store: Store, rows: int, lethal_at: dict[int, int], depth: int = 3, left_out=()) -> None:
        super().__init__(store, "steps/s/f", "key")
        values = {"_rows": rows, "_lethal": lethal_at, "_depth": depth, "_left_out": tuple(left_out)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def depth(self) -> int:
        return self._depth

    def step_at(self, number: int) -> str:
        return f"step{number}"

    def careful(self, lethal=()) -> Rows:
        return Rows(self.store, self._rows, self._lethal, self._depth, lethal)

    def kills(self, start: int, stop: int, depth: int) -> bool:
        """Whether that part of it ends its process."""
        spared = {(one.row, one.step) for one in self._left_out}
        return any(
            start <= row < stop and step < depth and (row, f"step{step}") not in spared
            for row, step in self._lethal.items()
        )


def converse(task: Task, outside: random.Random | None = None, share: float = 0.0) -> tuple[Any, int, int]:
    """Play the workers: the receipt, attempts and deaths. ``share`` of the attempts die of something else."""
    case = treat(task)
    sent, attempts, deaths = next(case), 0, 0
    while True:
        attempts += 1
        if isinstance(sent, Rehearsal):
            died = sent.of.kills(sent.start, sent.stop, sent.depth)
            answer: Any = {"rows": min(sent.stop, sent.of._rows), "origin": f"file#{sent.start}"}
        else:
            died, answer = sent.kills(0, 1 << 62, 99), {"left out": [(o.row, o.step) for o in sent._left_out]}
        if outside is not None and outside.random() < share:
            died = True
        deaths += died
        try:
            sent = case.send(DIED if died else answer)
        except StopIteration as end:
            return end.value, attempts, deaths


@pytest.mark.parametrize("seed", range(40))
def test_exactly_those_rows_are_found(seed, tmp_path):
    """Any rows at any steps: each is found, with its step, no other; attempts grow with the logarithm of the rows."""
    draw = random.Random(seed)
    rows = draw.choice([1, 2, 3, 7, 64, 1000, 100_000])
    lethal = {draw.randrange(rows): draw.randrange(3) for _ in range(draw.randrange(5))}
    receipt, attempts, _ = converse(Rows(Store(tmp_path), rows, lethal))
    assert receipt == {"left out": sorted((row, f"step{step}") for row, step in lethal.items())}
    assert attempts <= 4 + len(lethal) * (2 * rows.bit_length() + 8)


def test_a_bundle_is_taken_apart(tmp_path):
    """Its tasks are tried alone; the one that kills is halved, the others give their receipts as ever."""
    good, bad = Rows(Store(tmp_path), 5, {}), Rows(Store(tmp_path), 50, {17: 1})
    bundle = Bundle(good.store, good.folder, "b", (good, bad, good))
    receipts, attempts, deaths = converse(bundle)
    assert receipts == [{"left out": []}, {"left out": [(17, "step1")]}, {"left out": []}]
    assert attempts > deaths > 2
    assert converse(Bundle(good.store, good.folder, "b", (good, good)))[1:] == (2, 0)


def test_what_was_found_is_committed(tmp_path):
    """The next driver does not look again: it leaves those rows out at once."""
    first = converse(Rows(Store(tmp_path), 1000, {77: 1, 78: 0}))
    again = converse(Rows(Store(tmp_path), 1000, {77: 1, 78: 0}))
    assert first[0] == again[0]
    assert again[1:] == (1, 0)


@pytest.mark.parametrize("seed", range(60))
def test_nobody_is_blamed_for_a_death_from_outside(seed, tmp_path):
    """One attempt in ten dies of an operator: innocent rows stay, or the run stops and says so; guilty ones may not."""
    draw = random.Random(seed)
    lethal = {draw.randrange(500): draw.randrange(3) for _ in range(draw.randrange(3))}
    try:
        receipt, _, _ = converse(Rows(Store(tmp_path), 500, lethal), draw, 0.1)
    except WorkerError:
        return
    assert {row for row, _ in receipt["left out"]} == set(lethal)


def test_too_many_of_them(tmp_path):
    """More than MOST_ROWS in one task: one line that names the first and their step; nothing is committed."""
    with pytest.raises(WorkerError, match=f"more than {MOST_ROWS} of its rows kill their worker .the first: file#0"):
        converse(Rows(Store(tmp_path), 100, dict.fromkeys(range(MOST_ROWS + 1), 1)))
    assert not list(tmp_path.rglob("*.json"))


def test_rows_that_kill_only_together(tmp_path):
    """No row is blamed for what two do: the run stops."""

    class Together(Rows):
        def careful(self, lethal=()) -> Together:
            return Together(self.store, self._rows, self._lethal, self._depth, lethal)

        def kills(self, start: int, stop: int, depth: int) -> bool:
            return start <= 3 and stop > 90 and depth > 0

    with pytest.raises(WorkerError, match="of no row alone"):
        converse(Together(Store(tmp_path), 100, {}))


def test_reading_that_kills(tmp_path):
    """What dies before any step has no rows to be told apart."""

    class Unreadable(Rows):
        def careful(self, lethal=()) -> Unreadable:
            return Unreadable(self.store, self._rows, self._lethal, self._depth, lethal)

        def kills(self, start: int, stop: int, depth: int) -> bool:
            return True

    with pytest.raises(WorkerError, match="reading it kills the worker"):
        converse(Unreadable(Store(tmp_path), 100, {}))


def test_tasks_without_rows(tmp_path):
    """A task that is no RowTask is tried once more and then named."""
    task = Task(Store(tmp_path), "steps/train/abc", "0123456789abcdef")
    case = treat(task)
    assert next(case) is task
    with pytest.raises(WorkerError, match="steps/train/abc 0123456789ab"):
        case.send(DIED)


def test_what_is_no_death_blames_nobody(tmp_path):
    """A receipt that was lost on its way is asked for again, and so is what lost fewer workers than count."""
    task = Rows(Store(tmp_path), 40, {17: 1})
    flight, draw = Flight(task, task), random.Random(3)
    receipt, again = DIED, 0
    while receipt is DIED:
        sent, lost = flight.sent, draw.choice([0, 0, PATIENCE - 1])
        assert judge(flight, DIED, lost, []) is DIED
        assert flight.sent is sent
        again += 1
        if isinstance(sent, Rehearsal):
            died = sent.of.kills(sent.start, sent.stop, sent.depth)
            answer: Any = {"rows": min(sent.stop, sent.of._rows), "origin": f"file#{sent.start}"}
        else:
            died, answer = sent.kills(0, 1 << 62, 99), [(o.row, o.step) for o in sent._left_out]
        receipt = judge(flight, DIED if died else answer, PATIENCE if died else 0, [])
    assert receipt == [(17, "step1")]
    assert again > 10
