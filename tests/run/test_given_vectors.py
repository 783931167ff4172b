"""Embeddings that come with the data, through whole runs: duplicates go by them, and they go where later steps want them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Curate, dataset, record, results
from corpus import lines
from recipes import step, write

from curate.store.tables import read_table

DIM = 16
COPIES = {"near-3": "own-3", "near-8": "own-8", "near-21": "own-21"}


def planted() -> tuple[list[str], np.ndarray]:
    """Forty directions, and three that are nearly one of them; a row of zeros stands for a document without a vector."""
    draw = np.random.default_rng(5)
    vectors = draw.standard_normal((40, DIM))
    near = [vectors[int(own[4:])] * 3 + draw.standard_normal(DIM) * 0.05 for own in COPIES.values()]
    ids = [*(f"own-{n}" for n in range(40)), *COPIES, "none"]
    return ids, np.array([*vectors, *near, np.zeros(DIM)], np.float64)


def write_rows(folder: Path, ids: list[str], vectors: np.ndarray, form: str) -> None:
    """Some in each of two files; texts are all different, and those of copies the shorter ones."""
    folder.mkdir()
    texts = [f"{name} says what it has to say" + " at length" * (name in COPIES.values()) for name in ids]
    given = [vector.tolist() if vector.any() else None for vector in vectors]
    for number, part in enumerate((slice(0, None, 2), slice(1, None, 2))):
        rows: dict[str, Any] = {"id": ids[part], "text": texts[part], "n": list(range(len(ids)))[part]}
        if form == "jsonl":
            found = [
                dict(zip((*rows, "vec"), row, strict=True)) for row in zip(*rows.values(), given[part], strict=True)
            ]
            (folder / f"{number}.jsonl").write_bytes(lines(found))
            continue
        kinds = {"parquet": pa.list_(pa.float32()), "arrow": pa.list_(pa.float64(), DIM)}
        table = pa.table({**rows, "vec": pa.array(given[part], kinds[form])})
        if form == "parquet":
            pq.write_table(table, folder / f"{number}.parquet", row_group_size=7)
        else:
            with pa.ipc.new_file(str(folder / f"{number}.arrow"), table.schema) as out:
                out.write_table(table)


def steps(form: str, **more: Any) -> list[dict[str, Any]]:
    """Documents with vectors and others without; what stays is written, vectors too."""
    return [
        step("docs", f"read.{form}", paths=["in"], vector="vec"),
        step("plain", "read.jsonl", paths=["plain.jsonl"]),
        step("long", "filter.length", ["docs", "plain"], word="never there"),
        step("alike", "dedup.semantic", column="docs.vector", similarity=0.99, keep=["longest"], index=True, **more),
        step("out", "write.text"),
    ]


def prepared(folder: Path, form: str) -> tuple[Path, dict[str, list[float] | None]]:
    """A recipe with its inputs, and the vectors of the documents that stay."""
    ids, vectors = planted()
    write_rows(folder / "in", ids, vectors, form)
    (folder / "plain.jsonl").write_bytes(lines([{"id": "plain", "text": "a text that has no embedding"}]))
    kept = {name: v.astype(np.float32).tolist() if v.any() else None for name, v in zip(ids, vectors, strict=True)}
    return write(folder / "r.yaml", steps(form)), {n: v for n, v in (kept | {"plain": None}).items() if n not in COPIES}


@pytest.mark.parametrize("form", ["parquet", "arrow", "jsonl"])
def test_copies_go_by_the_vectors_of_the_data(curate: Curate, tmp_path: Path, form: str) -> None:
    """Planted copies go in favour of the longer ones, which explain shows; vectors are written; cuts bear on nothing."""
    recipe, kept = prepared(tmp_path, form)
    curate.run(recipe, tmp_path / "run").ok()
    assert record(tmp_path / "run", "alike")["counts"]["reasons"] == {"semantic_duplicate": len(COPIES)}
    written = dataset(tmp_path / "run")
    assert {row["origin"].partition("#")[2]: row["docs.vector"] for row in written} == kept
    assert not any("vec" in json.loads(row["meta"]) for row in written)
    gone = pa.concat_tables(read_table(tmp_path / "run" / key) for key in record(tmp_path / "run", "alike")["dropped"])
    assert gone.num_rows == len(COPIES)
    for row in gone.to_pylist():
        shown = curate("explain", tmp_path / "run", row["id"].hex()).ok().out
        assert f"#{COPIES[row['origin'].partition('#')[2]]}" in shown
        assert f"kept in its place, similarity {json.loads(row['detail'])['similarity']:.4f}" in shown
    curate.run(recipe, tmp_path / "again", "--split-mb", 0.001, "--partitions", 3).ok()
    assert results(tmp_path / "again") == results(tmp_path / "run")


def test_later_data_with_vectors_of_its_own(curate: Curate, tmp_path: Path) -> None:
    """Held against an index of earlier data; vectors of another length are refused in one line."""
    recipe, _ = prepared(tmp_path, "parquet")
    curate.run(recipe, tmp_path / "run").ok()
    _, vectors = planted()
    later = tmp_path / "later"
    write_rows(later, ["own-0", "new"], np.array([vectors[5], -vectors[6]]), "jsonl")
    changes = {"docs": {"use": "read.jsonl", "with": {"paths": ["later"], "vector": "vec"}}}
    second = [one | changes.get(one["id"], {}) for one in steps("jsonl", against=["run/alike"])]
    curate.run(write(tmp_path / "second.yaml", second), tmp_path / "two").ok()
    assert {row["origin"].partition("#")[2] for row in dataset(tmp_path / "two")} == {"new", "plain"}
    write_rows(tmp_path / "other", ["own-0", "new"], vectors[:2, :8], "jsonl")
    changes["docs"]["with"]["paths"] = ["other"]
    third = [one | changes.get(one["id"], {}) for one in steps("jsonl", against=["run/alike"])]
    refused = curate.run(write(tmp_path / "third.yaml", third), tmp_path / "three")
    assert refused.code == 3
    assert "holds vectors of 8 numbers, and those of the index have 16" in refused.line


def test_vectors_of_two_lengths(curate: Curate, tmp_path: Path) -> None:
    """Within a file and between files: one line."""
    recipe, _ = prepared(tmp_path, "jsonl")
    given = tmp_path / "in" / "1.jsonl"
    whole = given.read_bytes()
    given.write_bytes(whole + lines([{"id": "odd", "text": "a text", "vec": [1.0, 2.0]}]))
    said = curate.run(recipe, tmp_path / "run")
    assert said.code == 3
    assert f"step 'docs': 1.jsonl, byte {len(whole)}: a vector of 2 numbers, where those before it have 16" in said.line
    given.write_bytes(b"".join(lines([json.loads(row) | {"vec": [1.0, 2.0]}]) for row in whole.splitlines()))
    said = curate.run(recipe, tmp_path / "run")
    assert said.code == 3
    assert "'docs.vector' holds vectors of 2, 16 numbers" in said.line
