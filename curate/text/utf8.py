# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""UTF-8 in kernels: reading eight bytes at once, writing code points, and decoding that survives any bytes."""

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["decode", "encode", "read64"]


@intrinsic
def read64(typing, data, at):  # noqa: ARG001 - numba passes its typing context
    """Eight bytes at any address, little-endian, in one load (numba's own indexing would make it eight)."""

    def code(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer())
        return builder.load(address, align=1)

    return types.uint64(data, types.int64), code


@njit(nogil=True, cache=True, _nrt=False)
def decode(data, at, stop):
    """(code point, width) of the UTF-8 sequence at ``data[at]``, or (-1, 1) where no valid one begins.

    Valid is what Python's strict decoder accepts: no overlong form, no surrogate, nothing above U+10FFFF; a byte
    that begins no valid sequence stands alone.
    """
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xC2 or first > 0xF4:
        return np.int64(-1), 1
    width = 2 if first < 0xE0 else (3 if first < 0xF0 else 4)
    if at + width > stop:
        return np.int64(-1), 1
    point = first & (0xFF >> (width + 1))
    for i in range(1, width):
        byte = np.int64(data[at + i])
        if byte & 0xC0 != 0x80:
            return np.int64(-1), 1
        point = (point << 6) | (byte & 0x3F)
    if width == 3 and (point < 0x800 or 0xD800 <= point <= 0xDFFF):
        return np.int64(-1), 1
    if width == 4 and (point < 0x10000 or point > 0x10FFFF):
        return np.int64(-1), 1
    return point, width


@njit(nogil=True, cache=True, _nrt=False)
def encode(out, to, point):
    """Write a code point as UTF-8 at ``out[to]``; the place behind it."""
    if point < 0x80:
        out[to] = point
        return to + 1
    if point < 0x800:
        out[to] = 0xC0 | (point >> 6)
        out[to + 1] = 0x80 | (point & 63)
        return to + 2
    if point < 0x10000:
        out[to] = 0xE0 | (point >> 12)
        out[to + 1] = 0x80 | ((point >> 6) & 63)
        out[to + 2] = 0x80 | (point & 63)
        return to + 3
    out[to] = 0xF0 | (point >> 18)
    out[to + 1] = 0x80 | ((point >> 12) & 63)
    out[to + 2] = 0x80 | ((point >> 6) & 63)
    out[to + 3] = 0x80 | (point & 63)
    return to + 4
