"""Whose turn it is on this machine: programs run side by side, but one that is given its last chance runs alone.

Two locks on files (flock), shared by all sandboxes of one user on one machine, dropped by the kernel when a process ends.
Whoever runs a program holds ``running`` together with others. Who wants to be alone holds ``gate`` while he waits for the
others to end, so that no new ones begin: else he would wait for as long as somebody always runs. Where files can't be made
or locked, everybody runs at once: being alone makes a verdict steadier, no safety hangs on it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_NAMES: Final = ("gate", "running")


class Turns:
    """One participant; its files are opened at first use, anew in a forked copy of its process."""

    def __init__(self) -> None:
        self._files: list[int] = []
        self._owner = -1

    @contextmanager
    def shared(self) -> Iterator[None]:
        """A turn beside others."""
        gate, running = self._open()
        _lock(gate, fcntl.LOCK_SH)
        _lock(running, fcntl.LOCK_SH)
        _lock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            _lock(running, fcntl.LOCK_UN)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A turn while nobody else has one."""
        gate, running = self._open()
        _lock(gate, fcntl.LOCK_EX)
        try:
            _lock(running, fcntl.LOCK_EX)
            yield
        finally:
            _lock(running, fcntl.LOCK_UN)
            _lock(gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close its files; it may be used again."""
        while self._files:
            with suppress(OSError):
                os.close(self._files.pop())
        self._owner = -1

    def _open(self) -> tuple[int, int]:
        if self._owner != os.getpid():
            self.close()  # of a forked copy: the locks are the parent's, closing here drops none of them
            self._files = [_file(name) for name in _NAMES]
            self._owner = os.getpid()
        return self._files[0], self._files[1]


def _file(name: str) -> int:
    """A file of this user's; -1 where there is none: another user's file of that name is not waited for, he could hold it
    for ever, and a link is not followed."""
    path = Path(tempfile.gettempdir()) / f"curate-{os.getuid()}-sandbox-{name}.lock"
    with suppress(OSError):
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.fstat(file).st_uid == os.getuid():
            return file
        os.close(file)
    return -1


def _lock(file: int, how: int) -> None:
    if file >= 0:
        with suppress(OSError):
            fcntl.flock(file, how)
