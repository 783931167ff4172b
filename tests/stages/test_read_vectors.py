"""Embeddings that come with the data: a field of any form becomes one column, and what is no vector is told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading_cases import everything

from curate.errors import InputError
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.read_jsonl import ReadJsonl
from curate.stages.read_parquet import ReadParquet
from curate.stages.reading import TextSource

VECTORS = [[1.5, -2.0], None, [0.0, 3.0], [4.0, 5.0]]
NO_VECTORS = {
    "holds a null, NaN, an infinity or a number beyond float32": [
        [1.0, None],
        [1.0, math.nan],
        [math.inf, 1.0],
        [1e39, 0],
    ],
    "is a list without numbers": [[]],
}
NO_LIST = "is no list of numbers"


def stored(
    folder: Path, form: str, vectors: list[Any], kind: pa.DataType, rows: int = 1000, **settings: Any
) -> TextSource:
    """Rows with these vectors as a file, and what reads it."""
    texts = [f"text {n}" for n in range(len(vectors))]
    table = pa.table({"text": texts, "vec": pa.array(vectors, kind), "more": list(range(len(vectors)))})
    if form == "parquet":
        pq.write_table(table, folder / "a.parquet", row_group_size=rows)
        return ReadParquet(paths=["a.parquet"], vector="vec", **settings)
    with pa.ipc.new_file(str(folder / "a.arrow"), table.schema) as out:
        out.write_table(table, max_chunksize=rows)
    return ReadArrow(paths=["a.arrow"], vector="vec", **settings)


def as_lines(folder: Path, vectors: list[Any], **settings: Any) -> TextSource:
    """The same as JSON lines; a row without a vector has no field."""
    rows = [{"text": f"text {n}", "more": n} | ({} if v is None else {"vec": v}) for n, v in enumerate(vectors)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ReadJsonl(paths=["a.jsonl"], vector="vec", **settings)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize(
    "kind",
    [
        *(pa.list_(kind) for kind in (pa.float32(), pa.float64(), pa.float16(), pa.int64())),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 2),
        pa.list_(pa.float16(), 2),
    ],
    ids=str,
)
def test_every_kind_of_column(tmp_path, form, kind):
    """Lists of any numbers, of fixed length or not, become one type; the field is in meta only where it is kept."""
    whole = [[1, -2], *VECTORS[1:]] if pa.types.is_integer(kind.value_type) else VECTORS
    if kind.value_type == pa.float16():
        whole = [None if v is None else np.array(v, np.float16) for v in whole]
    stage = stored(tmp_path, form, whole, kind, rows=3)
    assert stage.documents_schema("s").field("s.vector").type == pa.list_(pa.float32())
    rows, asides = everything(stage, tmp_path, split_bytes=1)
    assert [row["step.vector"] for row in rows] == [None if v is None else list(v) for v in whole]
    assert [row["meta"] for row in rows] == [f'{{"more":{n}}}' for n in range(4)]
    assert not asides
    kept, _ = everything(stage.model_copy(update={"keep": ["vec"]}), tmp_path)
    assert json.loads(kept[2]["meta"]) == {"vec": [0, 3]}


@pytest.mark.parametrize("one_by_one", [False, True])
def test_lists_in_json_lines(tmp_path, monkeypatch, one_by_one):
    """Also whole numbers; a record without one has none. Lines taken apart by the kernel give the same."""
    monkeypatch.setattr("curate.stages.read_jsonl._MANY_BYTES", 1 << 30 if one_by_one else 0)
    rows, asides = everything(as_lines(tmp_path, [*VECTORS, [7, 8]]), tmp_path)
    assert [row["step.vector"] for row in rows] == [*VECTORS, [7.0, 8.0]]
    assert {row["meta"] for row in rows} == {f'{{"more":{n}}}' for n in range(5)}
    assert not asides


@pytest.mark.parametrize("form", ["parquet", "arrow", "jsonl"])
def test_what_is_no_vector_is_set_aside(tmp_path, form):
    """One row each, with the reason; the others are documents."""
    wrong = [(why, vector) for why, some in NO_VECTORS.items() for vector in some]
    vectors = [[1.0, 2.0], *(vector for _, vector in wrong), None, [3.0, 4.0]]
    told = [f"column 'vec' {why} (row {n})" for n, (why, _) in enumerate(wrong, 1)]
    if form == "jsonl":
        # NaN and infinities are no JSON: such lines do not parse at all.
        bad = [[1.0, None], [1e39, 0.0], [], "[1, 2]", [True, 1.0], [1.0, "2"], {"0": 1.0}, 3.5]
        stage = as_lines(tmp_path, [[1.0, 2.0], *bad, None, [3.0, 4.0]])
        far, empty = NO_VECTORS
        told = [f"field 'vec' {why} (byte" for why in (NO_LIST, far, empty, *[NO_LIST] * 5)]
    else:
        stage = stored(tmp_path, form, vectors, pa.list_(pa.float64()))
    rows, asides = everything(stage, tmp_path)
    assert [row["step.vector"] for row in rows] == [[1.0, 2.0], None, [3.0, 4.0]]
    assert {aside.reason for aside in asides} == {"malformed"}
    assert len(asides) == len(told)
    assert all(aside.detail.startswith(said) for aside, said in zip(asides, told, strict=True))


@pytest.mark.parametrize("form", ["parquet", "arrow", "jsonl"])
def test_vectors_of_two_lengths_stop_the_run(tmp_path, form):
    """Which length is right, no row can say: file and row of the first other one."""
    vectors = [None, [1.0, 2.0], [3.0, 4.0], [5.0], [6.0]]
    stage = as_lines(tmp_path, vectors) if form == "jsonl" else stored(tmp_path, form, vectors, pa.list_(pa.float32()))
    with pytest.raises(InputError, match=r"a vector of 1 numbers, where those before it have 2") as caught:
        everything(stage, tmp_path)
    where = "row 3"
    if form == "jsonl":
        where = f"byte {sum(map(len, (tmp_path / 'a.jsonl').read_bytes().splitlines(keepends=True)[:3]))}"
    assert caught.value.place == f"step 'step': a.{form}, {where}"


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_column_that_has_no_vectors_is_refused(tmp_path, form):
    """When splits are listed, with those that could be meant."""
    stage = stored(tmp_path, form, VECTORS, pa.list_(pa.float32()))
    for name, says in (
        ("text", "column 'text' holds string, no vectors"),
        ("more", "column 'more' holds int64, no vectors"),
        ("vecs", r"no column 'vecs' \(setting vector\)"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            stage.model_copy(update={"vector": name}).splits(tmp_path, Catalog(), 1000)
        assert "vec" in (caught.value.cure or "")
