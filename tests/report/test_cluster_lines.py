"""What is said of clusters: nothing where there are none, all of them in a line, the large and the impure by name."""

from __future__ import annotations

from pathlib import Path

from command import Curate, manifest
from corpus import lines, near_copy, prose, rows
from recipes import step, write

from curate.report.clusters import cluster_lines


def giant(documents: int, purity: float | None) -> dict[str, object]:
    """A cluster of a report."""
    return {"kept": f"{documents:032x}", "documents": documents, "purity": purity, "unlike_kept": 0}


def test_lines() -> None:
    """Of other reports none; large clusters and impure ones are named, five at most."""
    assert cluster_lines({}) == cluster_lines({"index": {}}) == []
    report = {"clusters": 1200, "documents": 5000, "unlike_kept": 7, "purity": 0.91234}
    first = "1,200 clusters of 5,000 documents; of the pairs looked at 91.2% are alike; 7 went that are not like the one kept in their place"
    assert cluster_lines({**report, "largest": [giant(40, 0.9), giant(3, 1.0)]}) == [first]
    named = cluster_lines({**report, "largest": [giant(900, 0.97), giant(200, None), giant(40, 0.9), giant(30, 0.2)]})[
        1:
    ]
    assert [line.partition(";")[0] for line in named] == [
        "a cluster of 900 documents, 97% of pairs alike",
        "a cluster of 200 documents, not sampled",
        "a cluster of 30 documents, 20% of pairs alike",
    ]
    assert len(cluster_lines({**report, "largest": [giant(500, 0.1)] * 9})) == 6
    assert cluster_lines({"clusters": 0, "documents": 0, "unlike_kept": 0, "purity": None, "largest": []}) == [
        "0 clusters of 0 documents; 0 went that are not like the one kept in their place"
    ]


def test_a_run_says_it(curate: Curate, tmp_path: Path) -> None:
    """In the manifest, at the end of a run, and when one looks at it again."""
    import random

    rng = random.Random(3)
    texts = [text for base in prose(12) for text in (base, near_copy(base, rng))]
    (tmp_path / "in.jsonl").write_bytes(lines(rows(texts, "t")))
    steps = [step("docs", "read.jsonl", paths=["in.jsonl"]), step("near", "dedup.near", mode="components")]
    recipe = write(tmp_path / "r.yaml", [*steps, step("out", "write.text")])
    said = curate.run(recipe, tmp_path / "run").ok().out
    report = manifest(tmp_path / "run")["steps"]["near"]["report"]
    assert report["clusters"] > 8
    assert report["documents"] == 2 * report["clusters"]
    assert report["purity"] == 1
    line = f"near: {report['clusters']} clusters of {report['documents']} documents; of the pairs looked at 100.0% are alike"
    assert line in said
    assert line in curate("inspect", "--plain", tmp_path / "run").ok().out
