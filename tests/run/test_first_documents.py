"""--limit looks at no file behind its last document, and a run of it is known by what it read."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import lines
from recipes import step, write

from curate.errors import DamagedInputError
from curate.recipe.plan import Options, make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.foresight import foresee
from curate.run.inputs import Digests
from curate.run.progress import Silent
from curate.stages import catalog
from curate.stages.catalog import InputFile, Range
from curate.stages.read_jsonl import ReadJsonl
from curate.store.files import Store

LIMIT = 25


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files whose content was hashed."""
    found: list[str] = []
    whole = catalog.digest_of

    def digest_of(file: InputFile) -> str:
        found.append(file.name)
        return whole(file)

    monkeypatch.setattr(catalog, "digest_of", digest_of)
    return found


def write_files(folder: Path) -> Path:
    """Five files of ten documents, one of them compressed; the recipe."""
    (folder / "in").mkdir()
    for number in range(5):
        rows = lines([{"id": f"{number}-{i}", "text": f"document {number} {i} " * 20} for i in range(10)])
        if number == 1:
            (folder / "in/1.jsonl.gz").write_bytes(gzip.compress(rows, mtime=0))
        else:
            (folder / f"in/{number}.jsonl").write_bytes(rows)
    return write(folder / "r.yaml", [step("docs", "read.jsonl", paths=["in"]), step("unique", "dedup.exact")])


def run(recipe: Path, limit: int = LIMIT) -> tuple[int, set[str], list[str], list[str]]:
    """Documents of the source, steps that were done before, files that the manifest would name, and states before."""
    with Runner(0) as runner:
        plan, store = make_plan(load_recipe(recipe), Options(limit=limit)), Store(recipe.parent / "run")
        how = Settings(split_bytes=2000)
        states = [each.state for each in foresee(plan, store, Engine(plan, store, runner, Silent(), how))]
        engine = Engine(plan, store, runner, Silent(), how)
        rows = engine.run()["docs"].counts.rows_out
        return rows, set(engine.reused), [file["name"] for file in engine.inputs["docs"]], states


def test_only_what_is_read_is_hashed(tmp_path: Path, hashed: list[str]) -> None:
    """Two files and a half have enough documents: the last two are neither hashed nor named, and may be changed or no JSON."""
    recipe, names = write_files(tmp_path), ["0.jsonl", "1.jsonl.gz", "2.jsonl"]
    (tmp_path / "in/4.jsonl").write_bytes(b"\x00no text")
    rows, before, read, _ = run(recipe)
    assert (rows, before, read) == (LIMIT, set(), names)
    assert sorted(set(hashed)) == names
    hashed.clear()
    (tmp_path / "in/3.jsonl").write_bytes(lines([{"text": "another"}]))
    assert run(recipe)[:3] == (LIMIT, {"docs", "unique"}, names)
    assert hashed == []
    # What was read is what it is known by.
    (tmp_path / "in/2.jsonl").write_bytes(lines([{"text": f"new {i}"} for i in range(10)]))
    rows, before, read, states = run(recipe)
    assert (rows, before, read) == (LIMIT, set(), names)
    assert "done" not in states
    assert hashed == ["2.jsonl"] * len(hashed) and hashed


def test_what_is_known_of_other_files_stays(tmp_path: Path, hashed: list[str]) -> None:
    """A look at the first file does not make all others be hashed again."""
    recipe, _ = write_files(tmp_path), run(tmp_path / "r.yaml", 1000)
    (tmp_path / "in/0.jsonl").write_bytes(lines([{"text": f"new {i}"} for i in range(10)]))
    hashed.clear()
    run(recipe, 5)
    run(recipe, 1000)
    assert set(hashed) == {"0.jsonl"}


def test_no_url_behind_the_last_document_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files on object stores are looked at several at a time, but not with --limit."""
    memory, seen = fsspec.filesystem("memory"), []
    for number in range(5):
        memory.pipe_file(f"/{tmp_path.name}/in/{number}.jsonl", lines([{"text": "one"}]))
    ranges = ReadJsonl.ranges

    def watched(stage: ReadJsonl, file: InputFile, split_bytes: int) -> Iterable[Range]:
        seen.append(file.name)
        return ranges(stage, file, split_bytes)

    monkeypatch.setattr(ReadJsonl, "ranges", watched)
    digests = Digests(Store(tmp_path))
    digests.one_by_one = True
    splits = ReadJsonl(paths=[f"memory://{tmp_path.name}/in"]).each_split(tmp_path, digests, 2000)
    assert next(iter(splits)).name == "0.jsonl"
    assert seen == ["0.jsonl"]


@pytest.mark.parametrize("planned", [True, False])
def test_a_damaged_file_before_them_is_left_out(tmp_path: Path, planned: bool) -> None:
    """By whoever comes to it first, a plan or a run; where it is not to be set aside both say so."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(9)]}), tmp_path / "in/1.parquet")
    for number, on_damage in enumerate(("stop", "set_aside")):
        docs = step("docs", "read.parquet", paths=["in"], on_damage=on_damage)
        recipe = write(tmp_path / f"{number}.yaml", [docs, step("unique", "dedup.exact")])
        if on_damage == "stop":
            with pytest.raises(DamagedInputError, match="damaged Parquet"):
                run(recipe, 5)
            continue
        if planned:
            plan, store = make_plan(load_recipe(recipe), Options(limit=5)), Store(tmp_path / "run")
            assert [each.state for each in foresee(plan, store)] == ["to do", "later"]
        rows, _, read, _ = run(recipe, 5)
        assert (rows, read) == (5, ["1.parquet", "0.parquet"])


def test_a_plan_says_what_is_done(tmp_path: Path) -> None:
    """Also of a run with a limit; another limit is another run."""
    recipe = write_files(tmp_path)
    states = [run(recipe, limit)[3] for limit in (LIMIT, LIMIT, 12, 1000, 1000)]
    assert states[0] == ["to do", "later"]
    assert states[1] == ["done", "done"] == states[4]
    assert "done" not in states[2] + states[3]
