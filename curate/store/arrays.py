"""Files of plain arrays (.npz): what models and indexes of benchmarks are stored as. Nothing in them can be code."""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

Arrays = Mapping[str, npt.NDArray[Any]]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write named arrays, compressed; the same arrays give the same bytes (numpy dates all members 1980)."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(arrays))


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file; raises InputError for one that is damaged, or says it is larger than it is."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    shape, kind = _header(file)
                    if kind.hasobject or math.prod(shape) * kind.itemsize > member.file_size:
                        raise InputError(f"'{member.filename}' is no plain array of its size", place=str(path))
                with archive.open(member) as file:
                    read = np.lib.format.read_array(file, allow_pickle=False)
                found[member.filename.removesuffix(".npy")] = read
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        MemoryError,
        RuntimeError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        # RuntimeError: a flipped bit may say that a member is encrypted, or packed in a way that nobody knows.
        why = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"not a file of arrays: {why}", place=str(path), cure="fetch or train it again") from None
    return found


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(file)
    return shape, kind
