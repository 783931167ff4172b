"""What makes a process start sooner and work with less: libraries that nobody asks for are not loaded, memory is used again.

Measured on a run of 50 documents (1.6 CPU seconds before): the collector walks through all that is imported, again and
again (0.3 s); pyarrow asks of every list whether it is one of pandas', and so imports that (0.14 s); numba asks scipy for a
BLAS when it loads its first kernel (0.12 s). Nothing here changes what any of them does once it is really asked for.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

YOUNG: Final = 50_000
"""Objects that come to life before the collector looks for cycles among them; Python's own 700 are for small programs."""
KEPT_BYTES: Final = 256 << 20
"""Free memory at the end of the heap that a process keeps: what it returns it gets back page by page, each one zeroed."""
MAPPED_BYTES: Final = 32 << 20
"""Larger pieces are the kernel's own, returned at once: glibc's highest value."""
ALLOCATOR: Final = {
    "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES),
    "MALLOC_MMAP_THRESHOLD_": str(MAPPED_BYTES),
    # One heap for all threads: work is done in one of them, and it is not the first.
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Environment of a worker that uses its memory again: batches of megabytes come and go, always alike."""
PATIENCE: Final = 30.0
"""Seconds after which a process compiles a kernel itself, though another is at it: that one was stopped, perhaps."""
_TRIM, _MMAP, _ARENAS = -1, -3, -8
"""mallopt's numbers of the same, <malloc.h>."""


def prepare() -> None:
    """Of a process that is a command: call it before anything large is imported. What a user's environment says goes first."""
    gc.set_threshold(YOUNG, 20, 100)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", ALLOCATOR["ARROW_DEFAULT_MEMORY_POOL"])
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt(_TRIM, KEPT_BYTES)
        mallopt(_MMAP, MAPPED_BYTES)
        mallopt(_ARENAS, 1)


def without_pandas() -> None:
    """Let pyarrow look for pandas now and not find it, unless it is there already: see ``with_pandas``."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)


def with_pandas() -> None:
    """Let pyarrow know pandas' types again: where code that is not ours is loaded, which may hand some over."""
    import pyarrow as pa

    if importlib.util.find_spec("pandas") is not None:
        _ = pa.lib._pandas_api.pd  # noqa: SLF001 - Table.to_pandas does the same


class _NoPandas:
    """A finder that says that there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError("no pandas for now", name=name)


def without_blas() -> None:
    """Let numba take for granted, once, that scipy has a BLAS. A kernel that multiplies matrices still looks for it."""
    from numba.np import linalg

    looked = getattr(linalg, "ensure_blas", None)
    if looked is None or "numba.np.arraymath" in sys.modules or importlib.util.find_spec("scipy") is None:
        return

    def granted() -> None:
        linalg.ensure_blas = looked

    linalg.ensure_blas = granted


def compile_once() -> None:
    """Let every kernel that numba caches be compiled by one process of a machine; the others wait, and load what it stored.

    Workers and drivers that start together need the same kernels at the same moment. Different ones are compiled side by
    side. Locks are files beside the cached kernels; where there can be none, each process compiles what it needs. No two
    processes wait for each other: a kernel is compiled, and its lock held, while those that it calls are.
    """
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    compiled = Dispatcher.compile
    if getattr(compiled, "once", False):
        return

    def compiled_once(self: Any, sig: Any) -> Any:
        file = getattr(self._cache, "_cache_file", None)  # a kernel that isn't cached has none
        # numba's own lock first: threads of one process would wait for each other's files.
        with global_compiler_lock, _alone(file and file._index_path):  # noqa: SLF001 - it has no public name
            return compiled(self, sig)

    compiled_once.once = True  # type: ignore[attr-defined]
    Dispatcher.compile = compiled_once


_held: set[str] = set()


@contextmanager
def _alone(path: str | None) -> Iterator[None]:
    """The lock beside a file, of one of this user's processes on this machine at a time; it goes with its process."""
    if path is None or path in _held:  # a kernel that calls itself
        yield
        return
    file = -1
    with suppress(OSError):
        file = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # Another user's file of that name is not ours to wait for: he could hold it for ever.
        if os.fstat(file).st_uid == os.getuid():
            _wait(file)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        if file >= 0:
            # Said, since a fork of this process may have the file open still.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)


def _wait(file: int) -> None:
    """Lock an open file, or give up after ``PATIENCE``."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
