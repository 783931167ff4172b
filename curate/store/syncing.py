"""Making files durable: at once, or later, where several wait for the disk together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_LATER: ContextVar[list[Path] | None] = ContextVar("later", default=None)


@contextmanager
def syncing_later() -> Iterator[list[Path]]:
    """Files that this thread writes in the block are only noted in the list: whoever gets it calls ``sync_file`` on each
    before a receipt names them."""
    noted: list[Path] = []
    token = _LATER.set(noted)
    try:
        yield noted
    finally:
        _LATER.reset(token)


def sync_file(path: Path) -> None:
    """Make a written file durable."""
    noted = _LATER.get()
    if noted is None:
        _sync(path)
    else:
        noted.append(path)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
