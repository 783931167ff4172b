"""What the tests of the sources share."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pyarrow as pa

from curate.stages.catalog import Catalog
from curate.stages.source import SetAside, Source, Split


def everything(stage: Source, base: Path, split_bytes: int = 1 << 20, step: str = "step"):
    """Rows and rows set aside of all splits, in order; sequential splits go through ``cut`` as the engine does it."""
    rows: list[dict] = []
    asides: list[SetAside] = []
    for split in stage.splits(base, Catalog(), split_bytes):
        for part in _parts(stage, base, split, split_bytes):
            for found in stage.read(part, step):
                if isinstance(found, SetAside):
                    assert found.reason in stage.reasons and "\n" not in found.detail
                    asides.append(found)
                else:
                    assert found.schema == stage.documents_schema(step) and 0 < found.num_rows <= 4096
                    found.validate(full=True)
                    rows += found.to_pylist()
    return rows, asides


_numbers = itertools.count()


def _parts(stage: Source, base: Path, split: Split, split_bytes: int):
    import zstandard

    if not split.sequential:
        yield split
        return
    for offset, data in stage.cut(split, split_bytes):
        path = base / f".{next(_numbers)}.piece.zst"
        path.write_bytes(zstandard.ZstdCompressor().compress(data))
        yield dataclasses.replace(split, path=str(path), start=0, stop=-1, offset=offset, sequential=False)


def texts(rows: list[dict]) -> list[str]:
    """The rows' texts."""
    return [r["text"] for r in rows]


def table(**columns: object) -> pa.Table:
    """A table from columns."""
    return pa.table(columns)
