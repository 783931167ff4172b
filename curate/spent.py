"""Where a task's CPU time goes: seconds and bytes by kind of work, each second counted once, under what is innermost.

Whoever works says what it is about to do (``spending("sort")``); whoever runs a task looks at the clock (``metered``).
Without a meter nothing is counted, and saying it costs a microsecond. Nothing of it is part of any result.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, TypeVar

OTHER: Final = "other"
"""What nobody said more about."""
CHILDREN: Final = "children"
"""Processes that were started and ended meanwhile: trainers, registries' clients."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """What it took to do a task, once.

    Attributes:
        key: of the task.
        worker: who did it; empty for the driver itself.
        seconds: by the clock on the wall.
        by: (step, kind) -> (CPU seconds, bytes gone through, 0 where nobody counts them). The step is empty for what no
            single step of a task does.
    """

    key: str
    worker: str
    seconds: float
    by: dict[tuple[str, str], tuple[float, int]]

    @property
    def cpu(self) -> float:
        """CPU seconds, those of children among them."""
        return sum(seconds for seconds, _ in self.by.values())


class Meter:
    """Counts while a task is done, by one thread.

    Args:
        clock: CPU seconds so far: of the process where it does nothing else meanwhile, else of the thread.

    Attributes:
        works: what ``lap`` noted.
    """

    def __init__(self, worker: str, clock: Callable[[], float]) -> None:
        self.works: list[Work] = []
        self._worker, self._clock = worker, clock
        self._inside = [("", OTHER)]
        self._of_programs = 0.0
        self._begin()

    def _begin(self) -> None:
        self._by: dict[tuple[str, str], list[float]] = {}
        self._wall, self._children, self._last = time.perf_counter(), _children(), self._clock()

    def _charge(self) -> list[float]:
        """The time since the last look goes to what is innermost; its account."""
        now = self._clock()
        label = self._inside[-1]
        account = self._by.get(label)
        if account is None:
            account = self._by[label] = [0.0, 0]
        account[0] += now - self._last
        self._last = now
        return account

    def enter(self, label: tuple[str, str], size: int) -> None:
        """Something begins."""
        self._charge()
        self._inside.append(label)
        if size:
            self._by.setdefault(label, [0.0, 0])[1] += size

    def leave(self) -> None:
        """It ends."""
        self._charge()
        self._inside.pop()

    def add(self, size: int) -> None:
        """So many bytes more were gone through by what is innermost."""
        self._by.setdefault(self._inside[-1], [0.0, 0])[1] += size

    def program(self, seconds: float) -> None:
        """A program that ran in a process which lives on took so long."""
        self._charge()[0] += seconds
        self._of_programs += seconds

    def lap(self, key: str) -> None:
        """A task is done: what came since the last one was its."""
        self._charge()
        ended = _children() - self._children
        # A sandbox that is ended brings the time of its programs once more.
        twice = min(ended, self._of_programs)
        self._of_programs -= twice
        if ended > twice:
            self._by.setdefault(("", CHILDREN), [0.0, 0])[0] += ended - twice
        by = {label: (seconds, int(size)) for label, (seconds, size) in self._by.items()}
        self.works.append(Work(key, self._worker, time.perf_counter() - self._wall, by))
        self._begin()


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Here(threading.local):
    meter: Meter | None = None


_here: Final = _Here()


@contextmanager
def metered(worker: str = "", *, alone: bool = True) -> Iterator[Meter]:
    """Count what this thread does; ``alone``: nothing else runs in this process that is not done for the task."""
    before, _here.meter = _here.meter, Meter(worker, time.process_time if alone else time.thread_time)
    try:
        yield _here.meter
    finally:
        _here.meter = before


class spending:  # noqa: N801 - a context manager that reads as a word
    """What is done inside is work of this kind, for this step.

    Args:
        size: bytes that it goes through.
    """

    __slots__ = ("_label", "_meter", "_size")

    def __init__(self, kind: str, step: str = "", size: int = 0) -> None:
        self._label, self._size = (step, kind), size

    def __enter__(self) -> None:
        self._meter = _here.meter
        if self._meter is not None:
            self._meter.enter(self._label, self._size)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._meter is not None:
            self._meter.leave()


def each(kind: str, items: Iterable[T], step: str = "", size: Callable[[T], int] | None = None) -> Iterator[T]:
    """The items; getting each of them is work of this kind, of so many bytes."""
    left = iter(items)
    while True:
        with spending(kind, step):
            try:
                item = next(left)
            except StopIteration:
                return
            if size is not None and _here.meter is not None:
                _here.meter.add(size(item))
        yield item
        del item  # its memory is free while the next one is made


def lap(key: str) -> None:
    """A task is done, of several that are done one after the other."""
    if _here.meter is not None:
        _here.meter.lap(key)


def program(seconds: float) -> None:
    """A program that another process of ours ran for us took so many CPU seconds."""
    if _here.meter is not None:
        _here.meter.program(seconds)
