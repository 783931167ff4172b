"""Files of a store, damaged as disks and copies do it: bits, truncations, zeros, files gone or mixed up."""

from __future__ import annotations

import random
from pathlib import Path

KINDS = ("bit", "cut", "zeros", "gone", "swapped")
"""A flipped bit, a file cut short, a stretch of zeros, a file that vanished, two files of one size exchanged."""


def files_of(store: Path) -> list[Path]:
    """What a run may have to read again: committed files under steps, signals and pieces, and their receipts."""
    found = [p for name in ("steps", "signals", "pieces") for p in store.glob(f"{name}/**/*")]
    return sorted(p for p in found if p.is_file() and not p.is_symlink() and not p.name.startswith("."))


def damage(path: Path, kind: str, rng: random.Random, others: list[Path]) -> str:
    """Damage a file; says what was done. ``others`` are looked through for one of the same size to swap with."""
    data = path.read_bytes()
    if kind == "swapped":
        same = [p for p in others if p != path and p.stat().st_size == len(data) and p.read_bytes() != data]
        if same:
            other = rng.choice(same)
            swap = other.read_bytes()
            _write(other, data)
            _write(path, swap)
            return f"{path} swapped with {other}"
        kind = "bit"
    if kind == "gone":
        path.unlink()
        return f"{path} gone"
    at = rng.randrange(max(1, len(data)))
    if kind == "cut":
        _write(path, data[:at])
        return f"{path} cut at {at} of {len(data)}"
    if kind == "zeros":
        until = min(len(data), at + rng.randrange(1, 4096))
        _write(path, data[:at] + bytes(until - at) + data[until:])
        return f"{path} zeros from {at} to {until} of {len(data)}"
    bit = rng.randrange(8)
    _write(path, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    return f"{path} bit {bit} of byte {at} of {len(data)}"


def _write(path: Path, data: bytes) -> None:
    """In place: other links to the file see it, too, as they would on a disk that goes bad."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
