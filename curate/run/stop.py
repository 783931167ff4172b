"""Being told to stop: a first signal lets what runs be finished and committed, for a while; a second one ends at once.

A machine that is preempted (Slurm, spot instances, Kubernetes) gets SIGTERM and, seconds later, SIGKILL. What is begun
is worth finishing in between; what is not, is not worth beginning.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

GRACE_SECONDS: Final = 25.0
"""How long running tasks and requests may take to end: Kubernetes and Slurm wait 30 s by default before they kill."""
_LONGEST: Final = 1e9
"""Seconds (30 years) from which on no timer is set: not all systems have longer ones."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Catches signals in a context; the work inside asks now and then, between two tasks, whether to go on.

    Args:
        grace: seconds for what runs; after them SystemExit is raised wherever the main thread is. May be infinite.
        note: is told, at the first signal, what happens now, and before it is left, what was committed. It is called
            between two instructions of the main thread.

    It is left by SystemExit with code 128 + the signal's number, so that files, workers and servers are closed on the way.
    """

    def __init__(
        self,
        grace: float = GRACE_SECONDS,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._grace, self._note = grace, note
        self._number = 0
        self._committed = 0
        self._finish: Callable[[], None] | None = None
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        self._before = [(one, signal.signal(one, self._told)) for one in _SIGNALS]
        self._before.append((signal.SIGALRM, signal.signal(signal.SIGALRM, self._late)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, before in self._before:
            signal.signal(one, before)

    @property
    def asked(self) -> bool:
        """Whether nothing new should be begun."""
        return self._number > 0

    def committed(self, tasks: int = 1) -> None:
        """So many more tasks were committed."""
        self._committed += tasks

    @contextlib.contextmanager
    def finishing(self, finish: Callable[[], None]) -> Iterator[None]:
        """Something is under way in this block that whoever leaves out of it waits for, and brings in, by calling that."""
        self._finish = finish
        try:
            yield
        finally:
            self._finish = None

    def leave(self) -> NoReturn:
        """No task is running: bring in what else was begun, and go."""
        if (finish := self._finish) is not None:
            self._finish = None
            finish()
        self._go("everything that was begun is finished")

    def _told(self, number: int, _frame: FrameType | None) -> None:
        if self._number:
            self._go("at once")
        self._number = number
        name = signal.Signals(number).name
        bounded = self._grace < _LONGEST
        most = f"for {self._grace:g} s at most" if bounded else "however long it takes"
        self._note(f"{name}: finishing what runs, {most}; once more stops at once")
        if bounded:
            signal.setitimer(signal.ITIMER_REAL, max(self._grace, 1e-3))

    def _late(self, _number: int, _frame: FrameType | None) -> None:
        self._go(f"not all of what was begun could be finished in {self._grace:g} s")

    def _go(self, how: str) -> NoReturn:
        signal.setitimer(signal.ITIMER_REAL, 0)
        name = signal.Signals(self._number).name
        self._note(
            f"interrupted by {name}, {how}; {self._committed:,} tasks were committed by this run;"
            " the same command goes on from there"
        )
        raise SystemExit(128 + self._number)
