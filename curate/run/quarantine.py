"""Tasks whose workers die: done with care, else halved until the rows that kill are found and set aside.

A worker's death blames nobody: an operator, the machine's memory or a neighbour's task may have killed it. So a task
that lost workers again and again is first tried in small batches. Where that kills too, parts of its work are
*rehearsed*: done without keeping anything, only to see whether the worker lives. A row is set aside when it kills alone,
twice, while reading it alone does not; at which step, is found the same way. Which rows those are is a property of the
rows, not of who ran what where, and it is committed, so that it is found out once.

What follows is a conversation: ``treat`` yields tasks, and is sent the receipt of each, or DIED. So this module knows
nothing of workers, and whoever talks to it can go on with other tasks meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from curate.errors import WorkerError
from curate.run.bundle import Bundle
from curate.run.task import Task

MOST_ROWS: Final = 16
"""Rows of one task that are set aside for killing workers; with more of them something else is wrong."""
DIED: Final = object()
"""In place of a receipt: the worker died of it, or with it."""
_EVERY: Final = 1 << 62
"""Behind the last row of any task."""

Conversation = Generator[Task, Any, Any]
"""Yields tasks, is sent receipts or DIED, returns a receipt."""


@dataclass(frozen=True)
class Lethal:
    """A row that is left out of a task.

    Attributes:
        row: its number among the rows that the task reads.
        step: which of the task's steps must not see it.
        origin: where it comes from, as its document says.
    """

    row: int
    step: str
    origin: str


class RowTask(Task):
    """A task that takes its rows one by one, as far as results go: it can be done in part, and without some rows."""

    @property
    def depth(self) -> int:
        """How many steps rows go through after they are read."""
        raise NotImplementedError

    def step_at(self, number: int) -> str:
        """Id of one of those steps."""
        raise NotImplementedError

    def careful(self, lethal: tuple[Lethal, ...] = ()) -> RowTask:
        """The same task with the same receipt, in batches as small as can be, without some rows."""
        raise NotImplementedError

    def rehearse(self, start: int, stop: int, depth: int) -> dict[str, Any]:
        """Read all rows, take those in [start, stop) through the first steps, keep nothing.

        Returns ``rows``, how many were read (no further than to ``stop``), and ``origin`` of the first one in the range.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Rehearsal(Task):
    """A part of a task's work, by which nothing is changed: what counts is whether the worker lives."""

    of: RowTask
    start: int
    stop: int
    depth: int

    @property
    def kinds(self) -> frozenset[str]:
        """Those of the task."""
        return self.of.kinds

    def run(self) -> dict[str, Any]:
        """Do it; there is no receipt."""
        return self.of.rehearse(self.start, self.stop, self.depth)


def treat(task: Task) -> Conversation:
    """What to try with a task that lost workers; returns its receipt.

    Raises WorkerError when more than MOST_ROWS of its rows kill, when none does alone, and for a task that has no rows.
    """
    if isinstance(task, Bundle):
        receipts = []
        for one in task.tasks:
            receipt = yield one
            receipts.append((yield from treat(one)) if receipt is DIED else receipt)
        return receipts
    if not isinstance(task, RowTask):
        receipt = yield task
        if receipt is DIED:
            raise _died(task)
        return receipt
    careful = task.careful()
    known = task.store.read_json(_verdict(task))
    if known is None:
        receipt = yield careful
        if receipt is not DIED:
            return receipt
        found: list[Lethal] = []
        rows = yield from _readable(careful)
        yield from _search(careful, 0, rows, found)
        known = [vars(one) for one in sorted(found, key=lambda one: one.row)]
        if known:
            known = task.store.put_if_absent(_verdict(task), known)
    receipt = yield task.careful(tuple(Lethal(**one) for one in known))
    if receipt is DIED:
        raise _died(task)
    return receipt


def _verdict(task: Task) -> str:
    """Key of what was found about a task."""
    return f"{task.folder}/receipts/{task.key}.kills.json"


def _died(task: Task) -> WorkerError:
    return WorkerError(
        "workers died again and again on it, and of no row alone (out of memory?)",
        place=task.place,
        cure="run again with fewer --workers or more --worker-memory, or with --workers 0 to see the reason",
    )


def _dies(task: RowTask, start: int, stop: int, depth: int, times: int = 1) -> Generator[Task, Any, bool]:
    """Whether workers die, so many times one after the other."""
    for _ in range(times):
        if (yield Rehearsal(task.store, task.folder, task.key, task, start, stop, depth)) is not DIED:
            return False
    return True


def _readable(task: RowTask) -> Generator[Task, Any, int]:
    """How many rows it has; raises WorkerError when reading them kills already: then no row can be told from another."""
    for _ in range(2):
        read: Any = yield Rehearsal(task.store, task.folder, task.key, task, 0, _EVERY, 0)
        if read is not DIED:
            return int(read["rows"])
    raise WorkerError(
        "reading it kills the worker, before any step",
        place=task.place,
        cure="leave the file out, or read it with other settings (see 'curate stages' for the source's limits)",
    )


def _search(task: RowTask, start: int, stop: int, found: list[Lethal]) -> Generator[Task, Any, None]:
    """The rows in [start, stop) that kill, of which some worker died, are added to ``found``."""
    if stop - start < 1:
        return
    if stop - start == 1:
        guilty = yield from _convict(task, start)
        if guilty is not None:
            found.append(guilty)
        if len(found) > MOST_ROWS:
            first = ", ".join(one.origin for one in found[:3])
            raise WorkerError(
                f"more than {MOST_ROWS} of its rows kill their worker (the first: {first})",
                place=task.place,
                cure=f"see what step '{found[0].step}' makes of them, or give workers more --worker-memory",
            )
        return
    middle = (start + stop) // 2
    if (yield from _dies(task, start, middle, task.depth)):
        yield from _search(task, start, middle, found)
        if not (yield from _dies(task, middle, stop, task.depth)):
            return
    # Otherwise it must be the other half; if it is not, its last row will be found innocent.
    yield from _search(task, middle, stop, found)


def _convict(task: RowTask, row: int) -> Generator[Task, Any, Lethal | None]:
    """The row, if it kills alone, twice, and reading it alone does not: else the worker died of something else."""
    if not (yield from _dies(task, row, row + 1, task.depth, 2)):
        return None
    read: Any = yield Rehearsal(task.store, task.folder, task.key, task, row, row + 1, 0)
    if read is DIED:
        return None
    facts: Mapping[str, Any] = read
    lives, dies = 0, task.depth
    while dies - lives > 1:
        middle = (lives + dies) // 2
        if (yield from _dies(task, row, row + 1, middle, 2)):
            dies = middle
        else:
            lives = middle
    return Lethal(row, task.step_at(dies - 1), str(facts["origin"]))
