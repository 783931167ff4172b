"""Runs whose inputs lie on an object store: the same dataset as from a disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from command import Curate, manifest, receipts, results
from object_store import Fault, Proxy
from recipes import Steps, step, write


def steps(folder: str) -> Steps:
    """What the files of ``corpus`` (see corpus.py) and some source files are read by."""
    return [
        step("docs", "read.jsonl", paths=[f"{folder}/*.jsonl*"]),
        step("table", "read.parquet", paths=[folder]),
        step("code", "read.code", paths=[f"{folder}/tree"]),
        step("rules", "filter.massivetext", "docs", min_words=100),
        step("unique", "dedup.exact", ["rules", "table", "code"]),
        step("out", "write.text", documents_per_shard=100),
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def shards(store: Path) -> dict[str, str]:
    return {name: digest for name, digest in results(store).items() if name.endswith(".arrow")}


def test_a_run_from_a_store_that_throttles(curate: Curate, corpus: Path, s3: Proxy, tmp_path: Path) -> None:
    """A run reads from S3, which throttles and hangs up now and then: the dataset is that of the files on a disk.

    Done again nothing is done; the manifest names files as their store does; what is missing is one line.
    """
    shutil.copytree(corpus, tmp_path / "in")
    for number in range(6):
        (tmp_path / f"in/tree/p{number % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"in/tree/p{number % 2}/m{number}.py").write_text(f"'''Module {number}.'''\nvalue = {number}\n")
    for name, data in files_of(tmp_path / "in").items():
        assert s3.put(f"in/{name}", data)
    split = ("--split-mb", 0.05)
    curate.run(write(tmp_path / "disk.yaml", steps("in")), tmp_path / "disk", *split).ok()
    s3.add(Fault("slow_down", share=0.05, methods=("GET",)))
    s3.add(Fault("drop_before", share=0.05, methods=("GET",)))
    recipe = write(tmp_path / "s3.yaml", steps(f"s3://{s3.bucket}/in"))
    environment = s3.environment()
    curate.run(recipe, tmp_path / "s3", *split, env=environment).ok()
    assert any(r.faults for r in s3.requests)
    s3.heal()
    assert shards(tmp_path / "s3") == shards(tmp_path / "disk")
    here, there = manifest(tmp_path / "disk"), manifest(tmp_path / "s3")
    assert [i["name"] for i in here["inputs"]["docs"]] == [i["name"] for i in there["inputs"]["docs"]]
    assert all(i["digest"].startswith("s3-etag:") for i in there["inputs"]["code"])
    assert not any(i["digest"].startswith("s3-") for i in here["inputs"]["code"])

    before = receipts(tmp_path / "s3")
    curate.run(recipe, tmp_path / "s3", *split, env=environment).ok()
    assert receipts(tmp_path / "s3") == before
    gone = curate.run(
        write(tmp_path / "s3.yaml", steps(f"s3://{s3.bucket}/none")), tmp_path / "s3", *split, env=environment
    )
    assert gone.code == 3 and f"s3.yaml:4: s3://{s3.bucket}/none: no such object or bucket" in gone.line
