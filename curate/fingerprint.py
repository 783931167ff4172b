"""Identity of meanings: the same settings give the same fingerprint on every machine, for ever.

A fingerprint is the SHA-256 (first 32 hex digits) of canonical JSON. Only plain values have one: what has no
stable identity (a callable, a set's order, an object's default repr) raises TypeError instead of being hashed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import xxhash
from pydantic import BaseModel

__all__ = ["canonical", "file_digest", "fingerprint", "tree_digest"]

_CHUNK: Final = 1 << 20


_AS_THEY_ARE: Final = frozenset({str, int, bool, type(None)})


def _plain(value: object, where: str) -> object:
    if type(value) in _AS_THEY_ARE:
        return value
    if type(value) is list or type(value) is tuple:
        # Where they stand is said of those that have a form to be found: most are plain already.
        return [v if type(v) in _AS_THEY_ARE else _plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value} has no canonical form")
        # 1.0 and 1 mean the same threshold.
        return int(value) if value.is_integer() else value
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="python"), where)
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise TypeError(f"{where}: a {type(value).__name__} has no stable identity; use strings, numbers, lists, mappings")


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces; raises TypeError for what has no stable identity."""
    return json.dumps(_plain(value, "value"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(*values: object) -> str:
    """32 hex digits that stand for the values."""
    return hashlib.sha256(canonical(list(values)).encode()).hexdigest()[:32]


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits: for what leaves the project (assets, weights, final shards)."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in _chunks(file):
            state.update(chunk)
    return state.hexdigest()


def content_digest(path: Path) -> str:
    """XXH3-128 of a file's bytes, 32 hex digits: for inputs, read at the speed of memory."""
    with path.open("rb") as file:
        return stream_digest(file)


def stream_digest(file: BinaryIO) -> str:
    """The same of what is left of an open file."""
    state = xxhash.xxh3_128()
    for chunk in _chunks(file):
        state.update(chunk)
    return state.hexdigest()


def tree_digest(path: Path) -> str:
    """Digest of a file, or of a folder's files by relative name; bytecode and hidden files don't count."""
    if path.is_file():
        return fingerprint(file_digest(path))
    files = sorted(
        p
        for p in path.rglob("*")
        if p.is_file() and not any(s.startswith((".", "__pycache__")) for s in p.relative_to(path).parts)
    )
    return fingerprint([[p.relative_to(path).as_posix(), file_digest(p)] for p in files])
