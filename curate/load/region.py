# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""All shards as one array of bytes: a range of addresses as long as all files, into which each is mapped when it is wanted.

So a sample is an offset, whichever shard it lies in, and one kernel gathers a batch. A map holds no file open: a dataset may
have more shards than a process may open files.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from curate.errors import DamagedInputError, InputError
from curate.startup import compile_once

__all__ = ["Region", "gather"]

_MAP_FIXED: Final = 0x10
"""Linux's MAP_FIXED, for which Python's mmap has no name: map exactly there, in place of what is there."""
_FAILED: Final = ctypes.c_void_p(-1).value
_PAGE: Final = mmap.ALLOCATIONGRANULARITY


compile_once()


@intrinsic
def _copied(_typing, out, to, data, at, size):
    """Call memcpy: a loop over bytes, for all that a compiler makes of it, reaches a third of its speed."""
    signature = types.void(out, to, data, at, size)

    def build(context, builder, signature, args):
        kinds = signature.args
        out, to, data, at, size = args
        target, source = (
            builder.gep(context.make_array(kind)(context, builder, value).data, [offset])
            for kind, value, offset in ((kinds[0], out, to), (kinds[2], data, at))
        )
        cgutils.raw_memcpy(builder, target, source, size, 1)
        return context.get_dummy_value()

    return signature, build


@njit(nogil=True, cache=True)
def gather(data, at, ends, out):
    """Copy pieces of ``data`` (uint8) that begin at int64[n] to ``out[ends[i]:ends[i + 1]]`` (uint8), one after another."""
    for i in range(len(at)):
        _copied(out, ends[i], data, at[i], ends[i + 1] - ends[i])


class Region:
    """Addresses for files of known sizes.

    Attributes:
        data: uint8, read-only: each file's bytes from ``starts[number]`` on once it was put there, zeros until then. Whoever
            holds a view keeps all maps alive.
        starts: int64[n + 1], at pages.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        pages = [-(-size // _PAGE) for size in sizes]
        self.starts = np.concatenate([[0], np.cumsum(pages, dtype=np.int64)]) * _PAGE
        length = max(int(self.starts[-1]), _PAGE)
        # Read-only pages of nothing cost neither memory nor a reservation of it.
        self._map = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
        self.data: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self._sizes = list(sizes)

    def put(self, number: int, path: Path) -> npt.NDArray[np.uint8]:
        """Map a file to its addresses and give its bytes, uint8[size]; raises InputError where that can't be done."""
        size, start = self._sizes[number], int(self.starts[number])
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno()).st_size
                if found == size:
                    _map(file.fileno(), self.data.ctypes.data + start, size)
        except FileNotFoundError:
            raise DamagedInputError("the shard is not there", place=str(path), cure="copy the folder again") from None
        except OSError as error:
            cure = "check its permissions and its disk"
            raise InputError(f"the shard can't be mapped: {error.strerror}", place=str(path), cure=cure) from None
        if found != size:
            cause = f"the shard has {found:,} bytes instead of {size:,}"
            raise DamagedInputError(cause, place=str(path), cure="copy it again")
        return self.data[start : start + size]


@cache
def _system() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
    return library


def _map(file: int, address: int, size: int) -> None:
    """Map an open file to an address, in place of what is there."""
    flags = mmap.MAP_SHARED | _MAP_FIXED
    if size and _system().mmap(address, size, mmap.PROT_READ, flags, file, 0) == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
