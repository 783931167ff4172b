"""What filters need is loaded once a worker process, before it reads its first row."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.run.row_step import RowStep

_warm: set[str] = set()


def warm(steps: Iterable[RowStep]) -> None:
    """Load the kernels, models and indexes of the steps that this process has not measured with yet.

    One process of a machine at a time: where kernels are not in the cache on disk yet, the first one compiles them and
    the others read them, instead of all of them compiling the same.
    """
    cold = [step for step in steps if step.measure not in _warm]
    if not cold:
        return
    with _one_at_a_time():
        for step in cold:
            step.stage.warm(step.ctx)
            _warm.add(step.measure)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """A lock of this user on this machine; it goes with its process. Without a place for it, there is none."""
    path = Path(tempfile.gettempdir()) / f"curate-{os.getuid()}.lock"
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
