"""The disk is full: one line, nothing half written is believed, and with space again the same command goes on.

``make soak`` has eight shares of the space that a run needs, half of them with workers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Curate, results
from corpus import code, lines, one_frame, prose, rows
from full_disk import SmallDisk, small_disk
from recipes import step, write

from curate.llm.teacher import Teacher

SPLIT = ("--split-mb", 0.03)
CURE = "free some space and run again: what is committed is kept"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """A disk of 64 MiB."""
    with small_disk(tmp_path_factory.mktemp("disk") / "mount") as found:
        if found is None:
            pytest.skip("mounting a small tmpfs needs root")
        yield found


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    """A model on loopback."""
    with Teacher() as served:
        yield served


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, teacher: Teacher) -> Path:
    """Plain and compressed inputs, a global step, a model's answers, shards."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "prose.jsonl").write_bytes(lines(rows(prose(40), "a")))
    (folder / "code.jsonl.zst").write_bytes(one_frame(lines(rows(code(12, 8000), "c"))))
    steps = [
        step("prose", "read.jsonl", paths=["prose.jsonl"]),
        step("rules", "filter.massivetext", min_words=30),
        step("code", "read.jsonl", paths=["code.jsonl.zst"]),
        step("textbooks", "generate.textbooks", passages=8, round=4, max_tokens=200, min_chars=20),
        step("unique", "dedup.exact", ["rules", "code", "textbooks"]),
        step("text", "write.text", documents_per_shard=20),
    ]
    model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", "concurrency": 2}
    return write(folder / "r.yaml", steps, name="full", models={"writer": model})


@pytest.fixture(scope="module")
def whole(curate: Curate, disk: SmallDisk, recipe: Path, teacher: Teacher) -> tuple[dict[str, str], int, int]:
    """What an undisturbed run gives, how many bytes of disk it takes, and how many requests."""
    store = disk.path / "whole"
    before = disk.used
    curate.run(recipe, store, *SPLIT).ok()
    found = results(store), disk.used - before, sum(teacher.received.values())
    shutil.rmtree(store)
    return found


@pytest.mark.parametrize("share", [0.35, 0.97])
def test_full(
    curate: Curate,
    disk: SmallDisk,
    recipe: Path,
    whole: tuple[dict[str, str], int, int],
    teacher: Teacher,
    share: float,
) -> None:
    """Space for a share of what the run needs: it stops with one line, and nothing received is bought twice."""
    bytes_, needed, requests = whole
    store = disk.path / "run"
    teacher.received.clear()
    disk.fill(int(needed * share))
    try:
        done = curate.run(recipe, store, *SPLIT)
        assert done.code == 6, done.err
        assert CURE in done.line or "is the disk full?" in done.line
        disk.free()
        curate.run(recipe, store, *SPLIT).ok()
        assert results(store) == bytes_
        # An answer that could not be written down is one of those that were in flight.
        assert requests <= sum(teacher.received.values()) <= requests + 2
    finally:
        disk.free()
        shutil.rmtree(store, ignore_errors=True)


def test_full_temporary_folder(
    curate: Curate, disk: SmallDisk, tmp_path: Path, whole: tuple[dict[str, str], int, int]
) -> None:
    """The folder for temporary files is full: what needs it says so, and a run elsewhere is not harmed."""
    assert whole
    (tmp_path / "in.jsonl").write_bytes(lines(rows(prose(20), "a") + rows(code(20, 8000), "b")))
    steps = [
        step("docs", "read.jsonl", paths=["in.jsonl"]),
        step("words", "train.tokenizer", vocab_size=512, max_bytes=100_000),
        step("encoded", "encode.tokens", "docs", tokenizer="words"),
        step("tokens", "write.tokens", tokens="encoded", sequence=64, tail="pad"),
    ]
    recipe = write(tmp_path / "t.yaml", steps)
    temporary = disk.path / "tmp"
    temporary.mkdir()
    try:
        disk.fill(0)
        done = curate.run(recipe, tmp_path / "run", env={"TMPDIR": str(temporary)})
        assert done.code in (0, 6), done.err
        assert "Traceback" not in done.err
    finally:
        disk.free()
    curate.run(recipe, tmp_path / "run").ok()
