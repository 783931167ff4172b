# ruff: noqa: ANN001, ANN201, ANN202, ARG001 - numba infers the types of kernels and passes intrinsics its typing context.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Eight bytes at a time in a uint64: marks of bytes, one bit each at the byte's top, for kernels.

Bytes are in memory order from the lowest: the first one is ``x & 255``.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from curate.text.formula import formula
from curate.text.utf8 import read64

__all__ = [
    "SEED",
    "alnums",
    "continuations",
    "copy",
    "digits",
    "fill",
    "high_product",
    "leading",
    "letters",
    "load",
    "lowered",
    "marks_in",
    "near",
    "ones",
    "prefetch",
    "quick_hash",
    "same",
    "trailing",
    "write64",
    "zeros",
]

EACH: Final = np.uint64(0x0101010101010101)
TOPS: Final = np.uint64(0x8080808080808080)
LOWS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
CASE: Final = np.uint64(0x2020202020202020)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
SEED: Final = np.uint64(int.from_bytes(os.urandom(8), "little"))
"""Of hashes that decide nothing but where to look: nobody can make strings that all lie in one place.

Given to kernels as an argument: what they read of a module is frozen in the cache on disk.
"""


@intrinsic
def write64(typing, data, at, value):
    """Eight bytes to any address, little-endian, in one store."""

    def code(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer())
        builder.store(args[2], address, align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), code


@intrinsic
def copy(typing, out, to, data, at, size):
    """``out[to:to + size] = data[at:at + size]`` of arrays of one dtype, C-contiguous and of one dimension, that do not overlap.

    It is the machine's own memcpy; an assignment of slices takes numba seconds to compile, and compares shapes.
    """
    if out.dtype != data.dtype or {out.layout, data.layout} != {"C"} or out.ndim + data.ndim != 2:
        raise TypingError(f"copy: {data} to {out}")

    def code(context, builder, signature, args):
        ends = []
        for array, place in ((0, 1), (2, 3)):
            made = context.make_array(signature.args[array])(context, builder, args[array])
            ends.append(builder.gep(made.data, [args[place]]))
        cgutils.raw_memcpy(builder, *ends, args[4], context.get_abi_sizeof(context.get_data_type(out.dtype)))
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64, types.int64), code


@intrinsic
def prefetch(typing, array, at):
    """Ask for the cache line of ``array.ravel()[at]``, a C-contiguous array, to be there soon; any address will do."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        call = ir.FunctionType(ir.VoidType(), [kind, flag, flag, flag])
        name = "llvm.prefetch.p0i8" if "i8*" in str(kind) else "llvm.prefetch.p0"
        code = builder.module.globals.get(name) or ir.Function(builder.module, call, name)
        builder.call(code, [address, ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), code


@intrinsic
def trailing(typing, value):
    """Zero bits below the lowest one; 64 for 0."""

    def code(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


@intrinsic
def ones(typing, value):
    """Bits that are set."""

    def code(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), code


@intrinsic
def leading(typing, value):
    """Zero bits above the highest one; 64 for 0."""

    def code(context, builder, signature, args):
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


@intrinsic
def high_product(typing, one, two):
    """The upper 64 bits of the product of two uint64."""

    def code(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), code


@formula
def fill(byte):
    """Eight times the same byte."""
    return byte * EACH


@njit(nogil=True, cache=True, inline="always")
def load(data, start, stop):
    """The bytes ``data[start:stop]``, at most eight of them; zeros stand for those that are missing."""
    size = min(stop - start, 8)
    if start + 8 <= len(data):
        return read64(data, start) & (_ALL >> np.uint64(64 - 8 * size)) if size > 0 else np.uint64(0)
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(data[start + i]) << np.uint64(8 * i)
    return value


@njit(nogil=True, cache=True, inline="always")
def near(data, start, stop):
    """The same as ``load`` where ``start < stop`` and ``data`` has eight bytes or more: without branches."""
    at = min(start, len(data) - 8)
    value = read64(data, at) >> np.uint64(8 * (start - at))
    return value & (_ALL >> np.uint64(64 - 8 * min(stop - start, 8)))


@formula
def zeros(x):
    """Marks of the bytes that are 0."""
    return ~(((x & LOWS) + LOWS) | x | LOWS)


@formula
def continuations(x):
    """Marks of the bytes that continue a UTF-8 sequence (0x80 to 0xBF)."""
    return x & ~(x << 1) & TOPS


@formula
def letters(x):
    """Marks of the ASCII letters."""
    low = (x | CASE) & LOWS
    return (low + 31 * EACH) & ~(low + 5 * EACH) & ~x & TOPS


@formula
def lowered(x):
    """Eight ASCII bytes with capitals made small; bytes above 127 must not be among them."""
    above = x + 0x3F * EACH  # bit 7 of each byte: at least 'A'
    beyond = x + 0x25 * EACH  # bit 7: behind 'Z'
    return x | ((above & ~beyond & TOPS) >> 2)


@formula
def digits(x):
    """Marks of the ASCII digits."""
    low = x & LOWS
    return (low + 80 * EACH) & ~(low + 70 * EACH) & ~x & TOPS


@formula
def alnums(x):
    """Marks of the ASCII letters and digits."""
    return letters.python(x) | digits.python(x)


@formula(result=types.int64)
def marks_in(marks):
    """How many marks there are."""
    return ((marks >> 7) * EACH) >> 56


@njit(nogil=True, cache=True, _nrt=False)
def quick_hash(data, start, stop, seed):
    """A quick hash of ``data[start:stop]``, for a table that compares. ``seed``: SEED."""
    value = seed ^ np.uint64(stop - start)
    while start + 8 <= stop:
        value = (value ^ read64(data, start)) * _FACTOR
        value ^= value >> np.uint64(32)
        start += 8
    value = (value ^ load(data, start, stop)) * _FACTOR
    return (value ^ (value >> np.uint64(32))) * _FACTOR


@njit(nogil=True, cache=True, _nrt=False)
def same(data, a, b, size):
    """Whether ``size`` bytes at a and at b are the same."""
    end = a + size
    while a + 8 <= end:
        if read64(data, a) != read64(data, b):
            return False
        a += 8
        b += 8
    return load(data, a, end) == load(data, b, b + end - a)
