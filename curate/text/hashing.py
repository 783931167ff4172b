# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Hashes that are equal on every machine and for ever: XXH64, two of them as 128 bits, and keyed hashes of ids.

XXH64 is implemented from its specification (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md);
tests compare it with the ``xxhash`` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import Bytes, Offsets, buffers, fixed, from_fixed
from curate.text.formula import formula
from curate.text.normal import canonical
from curate.text.utf8 import read64

__all__ = [
    "content_hash",
    "hash128",
    "hash128_pair",
    "hex_ids",
    "keyed_hash",
    "mix64",
    "splitmix",
    "sum128",
    "xxh64",
    "xxh64_rows",
]

_P1: Final = np.uint64(11400714785074694791)
_P2: Final = np.uint64(14029467366897019727)
_P3: Final = np.uint64(1609587929392839161)
_P4: Final = np.uint64(9650029242287828579)
_P5: Final = np.uint64(2870177450012600261)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio. The second half's seed is xored with it, for which any fixed value but 0 would do."""


@formula
def mix64(x):
    """MurmurHash3's 64-bit finaliser: a bijection of uint64 in which each input bit reaches each output bit."""
    x ^= x >> 33
    x *= 0xFF51AFD7ED558CCD
    x ^= x >> 33
    x *= 0xC4CEB9FE1A85EC53
    x ^= x >> 33
    return x


def splitmix(seed: int, count: int) -> npt.NDArray[np.uint64]:
    """Random uint64[count]: splitmix64 from the seed on (Steele, Lea and Flood, OOPSLA 2014)."""
    z = np.uint64(seed & 0xFFFFFFFFFFFFFFFF) + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@formula
def _rotl(x, bits):
    return (x << bits) | (x >> (64 - bits))


@formula
def _round(acc, lane):
    return _rotl.python(acc + lane * _P2, 31) * _P1


@njit(nogil=True, cache=True)
def xxh64(data, start, stop, seed):
    """XXH64 of ``data[start:stop]`` (uint8) under a uint64 seed, as uint64."""
    seed = np.uint64(seed)
    size = stop - start
    at = start
    if size >= 32:
        v1 = seed + _P1 + _P2
        v2 = seed + _P2
        v3 = seed
        v4 = seed - _P1
        while at + 32 <= stop:
            v1 = _round(v1, read64(data, at))
            v2 = _round(v2, read64(data, at + 8))
            v3 = _round(v3, read64(data, at + 16))
            v4 = _round(v4, read64(data, at + 24))
            at += 32
        acc = _rotl(v1, 1) + _rotl(v2, 7) + _rotl(v3, 12) + _rotl(v4, 18)
        acc = (acc ^ _round(np.uint64(0), v1)) * _P1 + _P4
        acc = (acc ^ _round(np.uint64(0), v2)) * _P1 + _P4
        acc = (acc ^ _round(np.uint64(0), v3)) * _P1 + _P4
        acc = (acc ^ _round(np.uint64(0), v4)) * _P1 + _P4
    else:
        acc = seed + _P5
    acc += np.uint64(size)
    while at + 8 <= stop:
        acc ^= _round(np.uint64(0), read64(data, at))
        acc = _rotl(acc, 27) * _P1 + _P4
        at += 8
    if at + 4 <= stop:
        lane = np.uint64(0)
        for i in range(4):
            lane |= np.uint64(data[at + i]) << np.uint64(8 * i)
        acc ^= lane * _P1
        acc = _rotl(acc, 23) * _P2 + _P3
        at += 4
    while at < stop:
        acc ^= np.uint64(data[at]) * _P5
        acc = _rotl(acc, 11) * _P1
        at += 1
    acc ^= acc >> np.uint64(33)
    acc *= _P2
    acc ^= acc >> np.uint64(29)
    acc *= _P3
    acc ^= acc >> np.uint64(32)
    return acc


@njit(nogil=True, cache=True)
def _rows64(offsets, data, seeds):
    out = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(out)):
        out[i] = xxh64(data, offsets[i], offsets[i + 1], seeds[i])
    return out


def xxh64_rows(array: pa.Array, seed: int | npt.NDArray[np.uint64] = 0) -> npt.NDArray[np.uint64]:
    """XXH64 of each row of a text array, uint64[n]; ``seed`` is one for all rows or uint64[n], one for each."""
    offsets, data = buffers(array)
    return _rows64(offsets, data, _seeds(seed, len(offsets) - 1))


@njit(nogil=True, cache=True, _nrt=False)
def table_mask(size):
    """One less than the size of a hash table for that many entries, a power of two that they fill by half at most."""
    mask = np.int64(15)
    while mask + 1 < 2 * size:
        mask = 2 * mask + 1
    return mask


def _seeds(seed: int | npt.NDArray[np.uint64], rows: int) -> npt.NDArray[np.uint64]:
    if isinstance(seed, np.ndarray):
        return np.ascontiguousarray(seed, np.uint64)
    return np.full(rows, seed & 0xFFFFFFFFFFFFFFFF, np.uint64)


def _pair(offsets: Offsets, data: Bytes, seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return np.stack([_rows64(offsets, data, seeds), _rows64(offsets, data, seeds ^ _GOLDEN)], axis=1)


def hash128(array: pa.Array, seed: int = 0) -> pa.FixedSizeBinaryArray:
    """128-bit hash of each row's bytes: XXH64 under ``seed``, then under ``seed ^ 2^64/phi``, little-endian.

    Nulls hash as empty rows. For telling contents apart, not against an adversary.
    """
    offsets, data = buffers(array)
    return from_fixed(_pair(offsets, data, _seeds(seed, len(offsets) - 1)))


def hash128_pair(first: pa.Array, second: pa.Array, seed: int = 0) -> pa.FixedSizeBinaryArray:
    """128-bit hash of each (first, second) pair of rows: the hash of ``second`` seeded by the hash of ``first``.

    ("ab", "c") and ("a", "bc") differ, as no concatenation takes place.
    """
    one, two = buffers(first), buffers(second)
    rows = len(one[0]) - 1
    if len(two[0]) - 1 != rows:
        raise ValueError(f"{rows} rows and {len(two[0]) - 1} rows make no pairs")
    seeds = _pair(one[0], one[1], _seeds(seed, rows))
    halves = [_rows64(two[0], two[1], np.ascontiguousarray(seeds[:, i])) for i in (0, 1)]
    return from_fixed(np.stack(halves, axis=1))


def content_hash(text: pa.Array) -> pa.FixedSizeBinaryArray:
    """128-bit hash of each row's text in NFC with LF line ends, schema.DOCUMENT's ``content_hash``.

    Rows that are in NFC already, without CR, are hashed in place. NFC comes from ``pyarrow.compute.utf8_normalize``, so its
    Unicode version is that of pyarrow's utf8proc (tried with pyarrow 26); rows that are no valid UTF-8 are hashed
    without NFC.
    """
    return hash128(canonical(text))


@njit(nogil=True, cache=True)
def _keyed(ids, key):
    out = np.empty(len(ids), np.uint64)
    for i in range(len(ids)):
        out[i] = xxh64(ids[i], np.int64(0), ids.shape[1], key)
    return out


def keyed_hash(ids: pa.Array, key: int) -> npt.NDArray[np.uint64]:
    """uint64[n]: XXH64 of each id's bytes under a 64-bit key, for sampling and shuffles.

    ``ids`` is fixed_size_binary (16); ``key`` comes from ``Context.key``.
    """
    return _keyed(fixed(ids), np.uint64(key & 0xFFFFFFFFFFFFFFFF))


def hex_ids(ids: pa.Array) -> pa.StringArray:
    """Ids as lower-case hexadecimal strings, as ``bytes.hex`` writes them; null ids read as zeros."""
    raw = fixed(ids)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.empty((len(raw), 2 * raw.shape[1]), np.uint8)
    text[:, 0::2] = digits[raw >> 4]
    text[:, 1::2] = digits[raw & 15]
    ends = np.arange(len(raw) + 1, dtype=np.int64) * text.shape[1]
    return pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(ends), pa.py_buffer(text)).cast(pa.string())


def _raw(column: pa.Array) -> pa.LargeBinaryArray:
    """The bytes of each value of a column of integers, fixed-size values (null as zeros), texts, or lists of integers."""
    if pa.types.is_integer(column.type):
        values = np.ascontiguousarray(column.to_numpy())
        rows, width = values.view(np.uint8), values.itemsize
    elif pa.types.is_fixed_size_binary(column.type):
        rows, width = np.ascontiguousarray(fixed(column)).reshape(-1), column.type.byte_width
    elif pa.types.is_large_list(column.type):
        values = np.ascontiguousarray(column.flatten().to_numpy())
        ends = np.cumsum([0, *np.asarray(column.value_lengths())], dtype=np.int64) * values.itemsize
        return pa.Array.from_buffers(pa.large_binary(), len(column), [None, pa.py_buffer(ends), pa.py_buffer(values)])
    else:
        return column.cast(pa.large_binary())
    ends = np.arange(len(column) + 1, dtype=np.int64) * width
    return pa.Array.from_buffers(pa.large_binary(), len(column), [None, pa.py_buffer(ends), pa.py_buffer(rows)])


def sum128(columns: Sequence[pa.Array | pa.ChunkedArray]) -> tuple[int, int]:
    """A 128-bit digest of a set of rows, whatever their order: the sums, modulo 2^64 each, of both halves of the hash of
    each row's values. Sums of parts, added up, are that of the whole. See ``_raw`` for the types."""
    arrays = [pa.concat_arrays(c.chunks) if isinstance(c, pa.ChunkedArray) and c.chunks else c for c in columns]
    if not len(arrays[0]):
        return 0, 0
    hashes = hash128(_raw(arrays[0]))
    for array in arrays[1:]:
        hashes = hash128_pair(_raw(hashes), _raw(array))
    halves = np.ascontiguousarray(fixed(hashes)).view(np.uint64)
    first, second = halves.sum(axis=0, dtype=np.uint64).tolist()
    return first, second
