# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Hashes of words whose byte ranges are known: a multiplication for eight bytes, or fastText's own."""

from __future__ import annotations

from typing import Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from curate.text.hashing import mix64
from curate.text.swar import load, lowered, near
from curate.text.utf8 import decode, encode, read64

__all__ = ["fnv", "hashes_of", "long_hash", "near_hash", "raw_hashes", "word_hash"]

_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, odd: what a chunk is multiplied with before the next one is mixed in."""


@njit(nogil=True, cache=True, inline="always")
def _short(chunk, size):
    """Hash of a word of at most eight bytes: a bijection, so that two of equal length never collide."""
    return mix64(((np.uint64(size) * _MULTIPLIER) ^ chunk) * _MULTIPLIER)


@njit(nogil=True, cache=True, inline="always")
def _long(data, at, stop, fold):
    """(hash of a word of more than eight bytes, all its bytes or-ed); with ``fold`` capitals count as small letters.

    Eight bytes at a time; the last eight overlap those before them.
    """
    value = np.uint64(stop - at) * _MULTIPLIER
    seen = np.uint64(0)
    last = stop - 8
    while True:
        chunk = read64(data, min(at, last))
        seen |= chunk
        value = (value ^ (lowered(chunk) if fold else chunk)) * _MULTIPLIER
        value ^= value >> np.uint64(32)
        if at >= last:
            return mix64(value), seen
        at += 8


@njit(nogil=True, cache=True)
def word_hash(data, at, stop):
    """Hash of the exact bytes ``data[at:stop]``: what ``gopher`` and ``tokens`` have."""
    size = stop - at
    if size <= 8:
        return _short(load(data, at, stop), size)
    return _long(data, at, stop, False)[0]


@njit(nogil=True, cache=True, _nrt=False)
def long_hash(data, at, stop):
    """``word_hash`` of a word of more than eight bytes."""
    return _long(data, at, stop, False)[0]


@njit(nogil=True, cache=True, inline="always")
def near_hash(data, at, stop):
    """The same as ``word_hash`` where ``at < stop`` and ``data`` has eight bytes or more: in place, for hot loops."""
    size = stop - at
    return _short(near(data, at, stop), size) if size <= 8 else long_hash(data, at, stop)


@njit(nogil=True, cache=True)
def _hash_folded(data, at, stop, fold, buffer):
    """Hash of a word with code points above ASCII: of the UTF-8 of its folded code points."""
    size = np.int64(0)
    while at < stop:
        point, width = decode(data, at, stop)
        if point < 0:  # no words of this policy have such bytes
            point = np.int64(data[at])
        elif point < len(fold):
            point = np.int64(fold[point])
        at += width
        size = encode(buffer, size, point)
    return word_hash(buffer, np.int64(0), np.int64(size))


@njit(nogil=True, cache=True)
def hashes_of(offsets, data, rows, starts, stops, fold, folds, hashes):
    """Hash every word: equal words have equal hashes, whatever lies around them."""
    buffer = np.empty(64, np.uint8)
    for row in range(len(rows) - 1):
        first = offsets[row]
        for i in range(rows[row], rows[row + 1]):
            at = first + np.int64(starts[i])
            stop = first + np.int64(stops[i])
            size = stop - at
            if size <= 8:
                seen = load(data, at, stop)
                hashes[i] = _short(lowered(seen) if folds else seen, size)
            else:
                hashes[i], seen = _long(data, at, stop, folds)
            if folds and seen & _HIGH_BITS:
                # A folded code point takes at most 3 bytes for 2 (U+023A and U+2C65).
                if 2 * size > len(buffer):
                    buffer = np.empty(4 * size, np.uint8)
                hashes[i] = _hash_folded(data, at, stop, fold, buffer)


_LANES: Final = 8
"""Words whose fastText hashes are computed side by side."""


@intrinsic
def _fnv_round(typing, data, first, starts, stops, i, skip, values):  # noqa: ARG001 - numba passes its typing context
    """Mix the eight bytes from ``skip`` on of each of the words ``i`` to ``i + 7`` into uint32[8] ``values``.

    Returns the length of the longest of the words, int64. Reads up to eight bytes behind the end of a word.
    fastText: ``h = h ^ uint32_t(int8_t(str[i])); h = h * 16777619``. One word's hash is a chain of multiplications;
    those of eight words go side by side in a vector register.
    """

    def code(context, builder, signature, args):
        word, wide = ir.IntType(32), ir.IntType(64)
        lanes = ir.VectorType(word, _LANES)

        def pointer(k):
            return context.make_array(signature.args[k])(context, builder, args[k]).data

        def spread(scalar, kind):
            vector = ir.VectorType(kind, _LANES)
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(word, 0))
            zero = ir.Constant(ir.VectorType(word, _LANES), [ir.Constant(word, 0)] * _LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zero)

        def same(value):
            return ir.Constant(lanes, [ir.Constant(word, value)] * _LANES)

        def words_at(k):
            return builder.load(builder.bitcast(builder.gep(pointer(k), [args[4]]), lanes.as_pointer()), align=4)

        start = words_at(2)
        size = builder.sub(words_at(3), start)
        done = spread(builder.trunc(args[5], word), word)
        left = builder.sub(size, done)
        # A word that is finished is read again from its beginning, which is always there to be read.
        at = builder.add(start, builder.select(builder.icmp_signed(">", left, same(0)), done, same(0)))
        text = builder.gep(pointer(0), [args[1]])
        four = [same(0), same(0)]
        for lane in range(_LANES):
            index = ir.Constant(word, lane)
            place = builder.gep(text, [builder.zext(builder.extract_element(at, index), wide)])
            eight = builder.load(builder.bitcast(place, wide.as_pointer()), align=1)
            four[0] = builder.insert_element(four[0], builder.trunc(eight, word), index)
            upper = builder.trunc(builder.lshr(eight, ir.Constant(wide, 32)), word)
            four[1] = builder.insert_element(four[1], upper, index)
        place = builder.bitcast(pointer(6), lanes.as_pointer())
        value = builder.load(place, align=4)
        for k in range(8):
            each = builder.ashr(builder.shl(four[k >> 2], same(24 - 8 * (k & 3))), same(24))
            mixed = builder.mul(builder.xor(value, each), same(16777619))
            value = builder.select(builder.icmp_signed(">", left, same(k)), mixed, value)
        builder.store(value, place, align=4)
        for half in (4, 2, 1):
            order = [ir.Constant(word, (lane + half) % _LANES) for lane in range(_LANES)]
            turned = builder.shuffle_vector(size, size, ir.Constant(lanes, order))
            size = builder.select(builder.icmp_unsigned(">", size, turned), size, turned)
        return builder.zext(builder.extract_element(size, ir.Constant(word, 0)), wide)

    return types.int64(data, types.int64, starts, stops, types.int64, types.int64, values), code


@njit(nogil=True, cache=True, inline="always")
def fnv(data, at, stop):
    """FastText's hash of ``data[at:stop]``, byte by byte."""
    value = np.uint32(2166136261)
    for k in range(at, stop):
        value = np.uint32((value ^ np.uint32(np.int8(data[k]))) * np.uint32(16777619))
    return value


@njit(nogil=True, cache=True)
def raw_hashes(offsets, data, rows, starts, stops, hashes):
    """FastText's hashes, of eight words at a time as long as that reads nothing behind the text."""
    values = np.empty(_LANES, np.uint32)
    for row in range(len(rows) - 1):
        first = offsets[row]
        i = rows[row]
        while i + _LANES <= rows[row + 1] and first + np.int64(stops[i + _LANES - 1]) + 8 <= len(data):
            values[:] = np.uint32(2166136261)
            skip = np.int64(0)
            longest = np.int64(1)
            while skip < longest:
                longest = _fnv_round(data, first, starts, stops, i, skip, values)
                skip += 8
            for lane in range(_LANES):
                hashes[i + lane] = np.uint64(values[lane])
            i += _LANES
        while i < rows[row + 1]:
            hashes[i] = np.uint64(fnv(data, first + np.int64(starts[i]), first + np.int64(stops[i])))
            i += 1
