"""What filters need is loaded once a worker process, before it measures its first row."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from curate.run.row_step import RowStep, needed
from curate.run.task import at_step
from curate.stages.base import Signals
from curate.text.batch import Batch

_warm: set[str] = set()


def warm(step: RowStep) -> None:
    """Load the kernels, models and indexes of a step that this process has not measured with yet.

    One process of a machine at a time: where kernels are not in the cache on disk yet, the first one compiles them and
    the others read them, instead of all of them compiling the same.
    """
    if step.measure in _warm:
        return
    with _one_at_a_time():
        step.stage.warm(step.ctx)
    _warm.add(step.measure)


def measure(step: RowStep, docs: Batch) -> Signals:
    """What a step measures of some rows, after it has loaded what it needs."""
    warm(step)
    with at_step(step.ctx.step):
        return step.stage.measure(needed(docs, step), step.ctx)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """A lock of this user on this machine; it goes with its process. Where a file can't be made or locked, there is none."""
    path = Path(tempfile.gettempdir()) / f"curate-{os.getuid()}.lock"
    with ExitStack() as held:
        with suppress(OSError):
            file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            held.callback(os.close, file)
            # Another user's file of that name is not ours to wait for: he could hold it for ever.
            if os.fstat(file).st_uid == os.getuid():
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
