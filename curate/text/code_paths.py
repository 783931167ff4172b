# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Extensions of the files that documents came from, as their ``meta`` and ``origin`` say."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curate.text.arrow import buffers
from curate.text.code_languages import EXTENSIONS, PYTHON

__all__ = ["EXTENSION_CHARS", "PATH_FIELDS", "extensions", "languages", "python_files"]

PATH_FIELDS: Final = ("path", "file_path", "max_stars_repo_path", "filename", "ext", "extension")
"""Fields of ``meta`` that may say it, the first that does counts: ``path`` is what ``read.code`` and the samples
write, the others are the names in The Stack and its successors. The last two hold an extension, with or without dot."""
EXTENSION_CHARS: Final = 12
"""Longest extension; what is longer is none."""

_FIELDS: Final = np.frombuffer("\n".join(PATH_FIELDS).encode() + b"\n", np.uint8)
_FIRST_BARE: Final = 4  # index of "ext"


@njit(nogil=True, cache=True)
def _word(byte):
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte in (43, 45, 95)


@njit(nogil=True, cache=True)
def _suffix(data, start, stop, bare):
    """(first, end) of the extension of the path ``data[start:stop]``; first is -1 where there is none.

    The name begins after the last slash and ends before '#' or '?'; bare: it may be the extension itself.
    """
    name = start
    for at in range(start, stop):
        if data[at] in (47, 92):
            name = at + 1
    end = name
    dot = -1
    while end < stop and data[end] not in (35, 63):
        if data[end] == 46:
            dot = end
        end += 1
    if dot < 0 and bare:
        dot = name - 1
    elif dot <= name and not bare:  # a hidden file's name is no extension
        return -1, -1
    if dot < 0 and not bare:
        return -1, -1
    if not 1 <= end - dot - 1 <= EXTENSION_CHARS:
        return -1, -1
    for at in range(dot + 1, end):
        if not _word(data[at]):
            return -1, -1
    return dot + 1, end


@njit(nogil=True, cache=True)
def _field(data, start, stop):
    """Index in PATH_FIELDS of the key ``data[start:stop]``, or -1."""
    begin = index = 0
    while begin < len(_FIELDS):
        size = 0
        same = True
        while _FIELDS[begin + size] != 10:
            same = same and start + size < stop and data[start + size] == _FIELDS[begin + size]
            size += 1
        if same and size == stop - start:
            return index
        begin += size + 1
        index += 1
    return -1


@njit(nogil=True, cache=True)
def _from_meta(data, start, stop):
    """(first, end) of the extension that a JSON object's own fields say, first -1 if none."""
    best = 6
    found_first = found_end = -1
    depth = 0
    field = -1
    at = start
    while at < stop:
        byte = data[at]
        if byte == 34:
            first = at + 1
            at = first
            while at < stop and data[at] != 34:
                at += 2 if data[at] == 92 else 1
            end = min(at, stop)
            after = at + 1
            if depth == 1 and field < 0 and after < stop and data[after] == 58:
                field = _field(data, first, end)
                if field < 0:
                    field = 6
                at = after  # past the colon
            elif depth == 1 and 0 <= field < best:
                a, b = _suffix(data, first, end, field >= _FIRST_BARE)
                if a >= 0:
                    best, found_first, found_end = field, a, b
        elif byte in (123, 91):
            depth += 1
        elif byte in (125, 93):
            depth -= 1
        elif byte == 44 and depth == 1:
            field = -1
        at += 1
    return found_first, found_end


@njit(nogil=True, cache=True)
def _extensions(meta_offsets, meta, origin_offsets, origin):
    count = len(meta_offsets) - 1
    ends = np.zeros(count + 1, np.int32)
    out = np.empty(EXTENSION_CHARS * count, np.uint8)
    size = 0
    for row in range(count):
        first, end = _from_meta(meta, meta_offsets[row], meta_offsets[row + 1])
        source = meta
        if first < 0:
            # The record's own id, after the name of the file that it was read from.
            begin, stop = origin_offsets[row], origin_offsets[row + 1]
            while begin < stop and origin[begin] != 35:
                begin += 1
            first, end = _suffix(origin, min(begin + 1, stop), stop, False)
            source = origin
        if first >= 0:
            for at in range(first, end):
                byte = source[at]
                out[size] = byte + np.uint8(32) if 65 <= byte <= 90 else byte
                size += 1
        ends[row + 1] = size
    return ends, out[:size]


def extensions(meta: pa.Array, origin: pa.Array) -> pa.StringArray:
    """The extension of each row's file, in lower case and without the dot; empty where nothing says it.

    Looks at the fields PATH_FIELDS of ``meta``, then at the own id in ``origin`` (``file#own-id``).
    """
    ends, data = _extensions(*buffers(meta), *buffers(origin))
    return pa.StringArray.from_buffers(len(meta), pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(data)))


_NUMBERS: Final = np.array([*EXTENSIONS.values(), -1], np.int64)
_PYTHON: Final = np.isin(_NUMBERS, [EXTENSIONS[name] for name in PYTHON])


def languages(meta: pa.Array, origin: pa.Array, default: str) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """(extension, index into LANGUAGES or -1) of each row; ``default`` stands for extensions that are not known."""
    known = pa.array(EXTENSIONS, pa.string())
    extension = extensions(meta, origin)
    index = pc.index_in(extension, known)
    if default:
        extension = pc.if_else(pc.is_null(index), default, extension)
        index = pc.index_in(extension, known)
    return extension, _NUMBERS[pc.fill_null(index, -1).to_numpy(zero_copy_only=False)]


def python_files(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of the languages that ``languages`` gives are Python."""
    return np.isin(numbers, _NUMBERS[_PYTHON])
