"""What makes a process start sooner and work with less: libraries that nobody asks for are not loaded, memory is used again.

Measured on a run of 50 documents (1.6 CPU seconds before): the collector walks through all that is imported, again and
again (0.3 s); pyarrow asks of every list whether it is one of pandas', and so imports that (0.14 s); numba asks scipy for a
BLAS when it loads its first kernel (0.12 s). Nothing here changes what any of them does once it is really asked for.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Final

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
