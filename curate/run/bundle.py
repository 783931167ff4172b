"""Small tasks that travel together: one message to the scheduler, one worker, and commits that wait for the disk side by side.

A task of a thousand bytes costs the scheduler as much as one of 64 MB, and its fsyncs take longer than its work. In a
bundle each task still is a task, with a key, a receipt and crash points of its own; only the waiting is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from curate.run.task import Task
from curate.spent import lap
from curate.store.files import storage_errors
from curate.store.syncing import syncing_later

SMALL_BYTES: Final = 1 << 20
"""A task with more input than that is no small one: its work is a hundred times what the engine needs for it."""
MOST_TASKS: Final = 64
MOST_BYTES: Final = 4 << 20
_BUNDLES: Final = 64
"""Fewer tasks than make so many bundles go in smaller ones, so that many workers have something to do."""
_COMMITTERS: Final = 8
"""Threads that wait for the disk; a file system writes what several of them ask for in one go."""


@dataclass(frozen=True)
class Bundle(Task):
    """Several tasks as one. It has no receipt of its own: what is committed of it are its tasks."""

    tasks: tuple[Task, ...]

    @property
    def size(self) -> int:
        """Bytes of input it stands for, for progress."""
        return sum(task.size for task in self.tasks)

    @property
    def commits(self) -> int:
        """One for each task."""
        return len(self.tasks)

    @property
    def kinds(self) -> frozenset[str]:
        """Those of its tasks."""
        return frozenset().union(*(task.kinds for task in self.tasks))

    def run(self) -> list[Any]:
        """The receipts, one task after the other; while one works, those before it become durable."""
        done: list[Any | Future[Any]] = []
        with ThreadPoolExecutor(_COMMITTERS) as pool:
            for task in self.tasks:
                known = task.store.read_whole(task.receipt)
                if known is None:
                    with syncing_later() as files, storage_errors(str(task.store)):
                        value = task.work()
                    done.append(pool.submit(task.commit, value, files))
                else:
                    done.append(known)
                lap(task.key)  # also of one that is committed already: it is counted where its receipt comes back
        return [each.result() if isinstance(each, Future) else each for each in done]


def bundled(tasks: Iterable[Task]) -> Iterator[Task]:
    """The tasks in their order, small neighbours of one folder as bundles."""
    tasks = list(tasks)
    most = min(MOST_TASKS, len(tasks) // _BUNDLES)
    held: list[Task] = []
    size = 0
    for task in tasks:
        small = task.cost is not None and task.cost <= SMALL_BYTES
        if held and (not small or len(held) >= most or size + (task.cost or 0) > MOST_BYTES):
            yield _one(held)
            held, size = [], 0
        if small and most > 1:
            held.append(task)
            size += task.cost or 0
        else:
            yield task
    if held:
        yield _one(held)


def _one(tasks: list[Task]) -> Task:
    first = tasks[0]
    return first if len(tasks) == 1 else Bundle(first.store, first.folder, f"{first.key}x{len(tasks)}", tuple(tasks))


def unbundled(task: Task, receipt: Any) -> Iterator[tuple[Task, Any]]:
    """Each task with its receipt."""
    if isinstance(task, Bundle):
        yield from zip(task.tasks, receipt, strict=True)
    else:
        yield task, receipt
