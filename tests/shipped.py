"""The shipped recipes by name, and small files in place of what they read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from small_run import prose

from curate import assets
from curate.stages.source import Source

SHIPPED = assets.names("pipelines")
FULL = [name for name in SHIPPED if not name.endswith("-mini")]
TWINS = [name for name in FULL if f"{name}-mini" in SHIPPED]


def stand_in(stage: Source, folder: Path, *, rows: int) -> None:
    """Small files where a source reads, as its settings want them."""
    texts = [prose(n) for n in range(rows)]
    columns = {name: ["x"] * rows for name in getattr(stage, "keep", None) or []}
    columns |= {getattr(stage, "text", "text"): texts, getattr(stage, "id", None) or "id": list(map(str, range(rows)))}
    if hasattr(stage, "path"):
        _dataset(folder / stage.path, texts)
        return
    for given in stage.paths:
        place = folder / given.partition("*")[0]
        place.mkdir(parents=True, exist_ok=True)
        if given.endswith(".parquet"):
            pq.write_table(pa.table(columns), place / "a.parquet")
        else:
            lines = [json.dumps(row) for row in pa.table(columns).to_pylist()]
            (place / f"a{Path(given).suffix or '.jsonl'}").write_text("\n".join(lines) + "\n")


def _dataset(folder: Path, texts: list[str]) -> None:
    """Documents as `write.text` writes them."""
    ids = [f"{n:032x}" for n in range(len(texts))]
    columns = {"id": ids, "text": texts, "source": ["here"] * len(ids), "origin": [f"a#{one}" for one in ids]}
    columns |= {"meta": ['{"license":"MIT"}'] * len(ids), "content_hash": ids}
    table = pa.table(columns)
    folder.mkdir(parents=True)
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as out:
        out.write_table(table)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
