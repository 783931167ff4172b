"""A small disk of its own that can be filled: a tmpfs, which needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 64 << 20
"""Bytes of the disk."""


class SmallDisk:
    """Where it is mounted, and what is on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        facts = os.statvfs(self.path)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize

    def fill(self, left: int) -> None:
        """Leave about so many bytes free."""
        self.free()
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(4096, (SIZE - self.used - left) & ~4095))

    def free(self) -> None:
        """Somebody has removed what filled it."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk | None]:
    """A small disk mounted there; None where this user may not mount one."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
