"""fastText model files with given vectors, written byte by byte: what a score is can be worked out by hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_model(path: Path, words: Mapping[str, Sequence[float]], labels: Mapping[str, Sequence[float]]) -> Path:
    """A softmax model of single words: the rows of both matrices by word and by label; returns the path."""
    dim = len(next(iter(labels.values())))
    names = [(word, 0) for word in words] + [(f"__label__{label}", 1) for label in labels]
    parts = [struct.pack("<ii12id", 793712314, 12, dim, 5, 1, 1, 5, 1, 3, 3, 0, 0, 0, 100, 1e-4)]
    parts.append(struct.pack("<iiiqq", len(names), len(words), len(labels), 100, -1))
    parts += [name.encode() + b"\0" + struct.pack("<qb", 9, kind) for name, kind in names]
    for rows in (words, labels):
        parts.append(struct.pack("<?qq", False, len(rows), dim))
        parts += [struct.pack(f"<{dim}f", *row) for row in rows.values()]
    path.write_bytes(b"".join(parts))
    return path
