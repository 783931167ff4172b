"""Inputs on object stores: the rows of the same files on a disk, from few requests, and every failure in one line."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hub import Hub
from object_store import Fault, Proxy
from reading_cases import everything

from curate.errors import DamagedInputError, InputError
from curate.run.inputs import Digests
from curate.stages import remote
from curate.stages.catalog import Catalog
from curate.stages.read_arrow import ReadArrow
from curate.stages.read_code import ReadCode
from curate.stages.read_dataset import ReadDataset
from curate.stages.read_jsonl import ReadJsonl
from curate.stages.read_parquet import ReadParquet
from curate.stages.reading_urls import matcher
from curate.stages.source import SetAside, Source, Split
from curate.store.files import Store
from curate.store.known_ranges import KEY


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is waited for very long."""
    monkeypatch.setenv("CURATE_STORE_SECONDS", "5")


def put(s3: Proxy, folder: Path, below: str = "in") -> str:
    """Put all files of a folder into the bucket; the URL of the prefix they are under."""
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        files.pipe_file(f"{s3.bucket}/{below}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"s3://{s3.bucket}/{below}"


def lines(start: int, count: int, size: int = 60) -> bytes:
    rows = (
        {"text": f"row {n} " + "x" * (n % size), "n": n} | ({"id": f"k{n}"} if n % 3 else {})
        for n in range(start, start + count)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def corpus(folder: Path) -> Path:
    """Files in every container, in two folders, small and large ones between each other, and rows that are set aside."""
    (folder / "a/b").mkdir(parents=True)
    table = pa.table({"text": [f"row {n} " + "y" * (n % 70) for n in range(900)], "n": range(900)})
    (folder / "a/0.jsonl").write_bytes(lines(0, 500) + b"{\n" + lines(500, 20))
    (folder / "a/1.jsonl").write_bytes(lines(1000, 3))
    (folder / "a/2.jsonl.gz").write_bytes(
        gzip.compress(lines(2000, 400), mtime=0) + gzip.compress(lines(2400, 9), mtime=0)
    )
    frames = [zstandard.ZstdCompressor(write_checksum=True).compress(lines(3000 + n * 100, 100)) for n in range(6)]
    (folder / "a/3.jsonl.zst").write_bytes(b"".join(frames))
    (folder / "a/b/4.jsonl.zst").write_bytes(
        zstandard.ZstdCompressor(write_content_size=False).compress(lines(4000, 700))
    )
    for number in range(5, 9):
        (folder / f"a/b/{number}.jsonl").write_bytes(b"not json\n" + lines(number * 1000, 2))
    pq.write_table(table, folder / "a/t.parquet", row_group_size=170)
    pq.write_table(table.slice(0, 5), folder / "a/u.parquet")
    with pa.ipc.new_file(folder / "a/t.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=90)
    with pa.ipc.new_stream(folder / "a/b/s.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=90)
    for name, text in (
        ("x.py", b"# coding: latin-1\nx = '\xe9'\n"),
        ("b/y.py", b"y = 1\n"),
        ("b/z.py", b"\xff\xfe"),
        ("b/w.py", b""),
    ):
        (folder / "a" / name).write_bytes(text)
    return folder


STAGES = {
    "jsonl": lambda path: ReadJsonl(paths=[path]),
    "parquet": lambda path: ReadParquet(paths=[path], max_document_bytes=60),
    "arrow": lambda path: ReadArrow(paths=[path]),
    "code": lambda path: ReadCode(paths=[path], license="MIT"),
}


@pytest.mark.parametrize("form", STAGES)
def test_rows_are_those_of_the_same_files_on_a_disk(tmp_path, s3, form):
    """From a disk, from S3, by file:// and from memory, whatever splits aim at: the same rows, ids and rows set aside."""
    folder = corpus(tmp_path / "in")
    url = put(s3, folder)
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), f"/{s3.bucket}/in", recursive=True)
    expected = everything(STAGES[form](str(folder)), tmp_path)
    assert len(expected[0]) >= 2 and (form == "arrow" or expected[1])
    for place, split_bytes in (
        (url, 3000),
        (url, 1 << 26),
        (f"file://{folder}", 1 << 26),
        (f"memory://{s3.bucket}/in", 3000),
    ):
        assert everything(STAGES[form](place), tmp_path, split_bytes) == expected, (place, split_bytes)
    globbed = [STAGES[form](f"{place}/**/*.{'py' if form == 'code' else form}") for place in (folder, url)]
    assert everything(globbed[0], tmp_path) == everything(globbed[1], tmp_path)


def test_a_file_is_known_by_what_its_store_says(tmp_path, s3):
    """On S3 by ETag and size, in no form that a digest of content has; nothing is read for that."""
    url = put(s3, corpus(tmp_path / "in"))
    s3.requests.clear()
    stage = ReadJsonl(paths=[f"{url}/a/b/*.jsonl"])
    first, again = (stage.splits(tmp_path, Catalog(), 1 << 30) for _ in range(2))
    assert first == again and len(first) == 1 and first[0].members[0] == "5.jsonl"
    assert s3.count("GET") <= 2 and s3.count("HEAD") == 0
    (tmp_path / "in/a/b/5.jsonl").write_bytes(lines(0, 1))
    put(s3, tmp_path / "in")
    assert stage.splits(tmp_path, Catalog(), 1 << 30)[0].digest != first[0].digest


def test_splits_are_found_without_the_rows(tmp_path, s3):
    """Of a Parquet or Arrow file a few kilobytes are read for its splits, of a plain one the first bytes."""
    rows = 40_000
    table = pa.table({"n": range(rows), "text": [f"{n * 2654435761 % 2**32:x}" * 4 for n in range(rows)]})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in/t.parquet", row_group_size=4000, compression="none")
    with pa.ipc.new_file(tmp_path / "in/t.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=4000)
    (tmp_path / "in/t.jsonl").write_bytes(lines(0, 20_000))
    url = put(s3, tmp_path / "in")
    for stage in (ReadParquet(paths=[url]), ReadArrow(paths=[url]), ReadJsonl(paths=[url])):
        s3.requests.clear()
        splits = stage.splits(tmp_path, Catalog(), 200_000)
        size = (tmp_path / "in" / splits[0].name).stat().st_size
        assert len(splits) >= 4 and sum(r.got for r in s3.requests) < size // 4, stage.name


def test_files_are_looked_into_once(tmp_path, s3):
    """What a plan found out of a zst file's frames and of footers is kept: another one fetches none of their bytes."""
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": ["a"] * 50}).save_to_disk(tmp_path / "d", num_shards=3)
    url, store = put(s3, corpus(tmp_path / "in")), Store(tmp_path / "run")
    saved = ReadDataset(path=put(s3, tmp_path / "d", "d"))
    for stage in (*(STAGES[form](url) for form in ("jsonl", "parquet", "arrow")), saved):

        def look(stage: Source = stage) -> tuple[list[Split], int]:
            s3.requests.clear()
            catalog = Digests(store)
            splits = stage.splits(tmp_path, catalog, 3000)
            catalog.save()
            data = (".jsonl", ".gz", ".zst", ".parquet", ".arrow")
            asked = [r for r in s3.requests if r.method == "GET" and r.path.partition("?")[0].endswith(data)]
            return splits, sum(r.got for r in asked)

        first, fetched = look()
        assert len(first) >= 3 and fetched > 1000, stage.name
        assert look() == (first, 0), stage.name
        store.path(KEY).write_bytes(store.path(KEY).read_bytes()[:-9])
        assert look() == (first, fetched), stage.name


def test_a_range_of_frames_is_fetched_once(tmp_path, s3):
    """To read a part of a zst file, no more of it is fetched than the part and a block behind it."""
    frames = [zstandard.ZstdCompressor().compress(os.urandom(50_000).hex().encode() + b"\n") for _ in range(8)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl.zst").write_bytes(b"".join(frames))
    stage = ReadJsonl(paths=[put(s3, tmp_path / "in")])
    splits = stage.splits(tmp_path, Catalog(), 200_000)
    s3.requests.clear()
    assert len(splits) == 4 and all(s.content == 200_002 for s in splits)
    assert sum(isinstance(one, SetAside) for s in splits for one in stage.read(s, "s")) == 8
    assert sum(r.got for r in s3.requests if r.method == "GET") < 4 * sum(map(len, frames))


def test_a_saved_dataset_is_read_from_its_url(tmp_path, s3):
    """What save_to_disk wrote, split or not; a folder of anything else is named as such."""
    import datasets

    datasets.disable_progress_bars()
    rows = {"id": [f"k{n}" for n in range(50)], "text": [f"t{n}" for n in range(50)]}
    datasets.DatasetDict(train=datasets.Dataset.from_dict(rows)).save_to_disk(tmp_path / "d", num_shards={"train": 3})
    url = put(s3, tmp_path / "d", "d")
    assert everything(ReadDataset(path=url), tmp_path) == everything(ReadDataset(path="d"), tmp_path)
    with pytest.raises(InputError, match=r"no dataset that save_to_disk wrote; read its files with"):
        ReadDataset(path=f"{url}/train/more").splits(tmp_path, Catalog(), 100)


def test_the_hub_is_read_by_its_urls(tmp_path):
    """Folder and pattern of a dataset at a commit, in a process that finds the hub by HF_ENDPOINT: the rows of a disk."""
    folder = corpus(tmp_path / "in") / "a"
    commit = "c0ffee" * 6 + "c0ff"
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    expected = everything(ReadJsonl(paths=[str(folder)]), tmp_path, 3000)
    script = (
        "import sys, pickle; from pathlib import Path; from reading_cases import everything\n"
        "from curate.stages.read_jsonl import ReadJsonl\n"
        "found = [everything(ReadJsonl(paths=[p]), Path(sys.argv[1]), 3000) for p in sys.argv[2:]]\n"
        "Path(sys.argv[1], 'found').write_bytes(pickle.dumps(found))"
    )
    with Hub("owner/name", commit, {f"data/{name}": data for name, data in files.items()}) as hub:
        url = f"hf://datasets/owner/name@{commit}/data"
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), url, f"{url}/**/*.jsonl*"],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    assert pickle.loads((tmp_path / "found").read_bytes()) == [expected, expected]


WRONG = [
    (["{}/gone.jsonl"], "no such object or bucket"),
    (["{}/gone*.jsonl"], r"nothing matches 'gone\*.jsonl'"),
    (["{}/a/b/x.py"], "no such object or bucket"),
    (["{}/a/t.arrow"], "ends in none of"),
    (["{}/empty"], "the file is empty"),
    (["s3://no-such-bucket-at-all/x.jsonl"], "no such object or bucket"),
    (["s3://no-such-bucket-at-all/*.jsonl"], "no such object or bucket"),
    (["s3://*/x.jsonl"], "a bucket's name is no pattern"),
    (["simplecache::s3://b/x.jsonl"], "is no protocol that is read"),
    (["{}/a/0.jsonl", "{}/0.jsonl"], "two inputs are called"),
]


def test_bad_urls_are_told_apart(tmp_path, s3):
    """Each way in which a URL can be wrong has its own message, place and cure."""
    folder = corpus(tmp_path / "in")
    (folder / "empty").mkdir()
    (folder / "empty/x.jsonl").write_bytes(b"")
    (folder / "0.jsonl").write_bytes(lines(0, 1))
    url = put(s3, folder)
    for paths, says in WRONG:
        with pytest.raises(InputError, match=says) as caught:
            everything(ReadJsonl(paths=[p.format(url) for p in paths]), tmp_path)
        assert caught.value.place and caught.value.cure and "\n" not in str(caught.value), paths


def test_no_permission_no_package(tmp_path, s3, monkeypatch):
    """Keys that are missing, and a package that is, are named."""
    import s3fs

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"no permission to read it.*check the keys"):
        ReadJsonl(paths=[f"s3://{s3.bucket}/x.jsonl"]).splits(tmp_path, Catalog(), 100)
    with monkeypatch.context() as gone:
        gone.setitem(sys.modules, "s3fs", None)
        gone.delitem(sys.modules["fsspec.registry"]._registry, "s3")
        with pytest.raises(InputError, match=r"library is missing \(.*s3fs.*\); pip install 'phi-curate\[s3\]'"):
            ReadJsonl(paths=[f"s3://{s3.bucket}/x.jsonl"]).splits(tmp_path, Catalog(), 100)


def read(stage: Source, splits: list) -> list[dict]:
    rows: list[dict] = []
    for split in splits:
        for found in stage.read(split, "step"):
            assert not isinstance(found, SetAside)
            rows += found.to_pylist()
    return rows


@pytest.mark.parametrize("kind", ["slow_down", "cut"])
def test_what_fails_on_its_way_is_asked_again(tmp_path, s3, kind):
    """Throttling, and answers cut in two: the same rows, after more requests."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_bytes(lines(0, 1000))
    (tmp_path / "in/b.jsonl").write_bytes(lines(1000, 2))
    (tmp_path / "in/c.jsonl").write_bytes(lines(1002, 2))
    url = put(s3, tmp_path / "in")
    stage = ReadJsonl(paths=[url])
    expected = everything(stage, tmp_path, 20_000)[0]
    before = len(s3.requests)
    s3.add(Fault(kind, share=0.3))
    assert everything(stage, tmp_path, 20_000)[0] == expected and len(expected) == 1004
    assert any(r.faults for r in s3.requests[before:])


def test_a_store_that_stays_away_is_one_line(tmp_path, s3, monkeypatch):
    """After some tries it is said that the store does not answer, with the URL and what to do."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_bytes(lines(0, 2000))
    url = put(s3, tmp_path / "in")
    stage = ReadJsonl(paths=[url])
    (split,) = stage.splits(tmp_path, Catalog(), 1 << 30)
    s3.add(Fault("slow_down"))
    monkeypatch.setenv("CURATE_STORE_SECONDS", "1")
    with pytest.raises(InputError, match=r"in/a.jsonl: its store does not answer \(.*\); run again when it does"):
        list(stage.read(split, "step"))


@pytest.mark.parametrize("change", ["replaced", "removed", "cut short"])
def test_an_object_that_changes_while_it_is_read(tmp_path, s3, monkeypatch, change):
    """A later range of another version is never taken for one of the first; the run stops with one line."""
    import s3fs

    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_bytes(lines(0, 3000))
    url = put(s3, tmp_path / "in")
    monkeypatch.setattr(remote, "BLOCK", 1 << 16)
    monkeypatch.setattr("curate.stages.reading_lines.BLOCK", 1 << 14)
    monkeypatch.setattr("curate.stages.reading.BATCH_ROWS", 100)
    monkeypatch.setattr("curate.stages.reading_json.BATCH_ROWS", 100)
    stage = ReadJsonl(paths=[url])
    (split,) = stage.splits(tmp_path, Catalog(), 1 << 30)
    found = stage.read(split, "step")
    next(found)
    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    if change == "removed":
        files.rm_file(f"{s3.bucket}/in/a.jsonl")
    else:
        data = lines(9000, 3000)
        files.pipe_file(f"{s3.bucket}/in/a.jsonl", data if change == "replaced" else data[:100_000])
    says = "no such object" if change == "removed" else "was changed while it was being read"
    # One that is gone is set aside where a source is told to do so, as one is that went from a disk.
    kind = DamagedInputError if change == "removed" else InputError
    for rows in (found, stage.read(split, "step")):
        with pytest.raises(kind, match=says) as caught:
            list(rows)
        assert type(caught.value) is kind and caught.value.place == f"{url}/a.jsonl"


def test_patterns_match_as_on_a_disk(tmp_path, monkeypatch):
    """A pattern of a URL matches what Python's glob matches below a folder."""
    import glob

    names = ["a.x", "b/a.x", "b/c/a.x", ".h/a.x", "b/.h.x", "b/.c/a.x", "b.x/a.x", "b/a[1].x", "b/a1.x", "d/e/f/g.y"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for pattern in (
        "*.x", "*/*.x", "**/*.x", "**", "b/**", "**/a.x", "b/**/a.x", ".h/*.x", "**/.h.x", "b/a[0-9].x", "b/a[[]1].x",
        "?.x", "b*/a.?", "**/c/*", "b/*/*", "d/**/g.y", "[!a]/a.x",
    ):  # fmt: skip
        found = glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207 - what is compared with
        expected = {n for n in found if (tmp_path / n).is_file()}
        matches = matcher(pattern.split("/"))
        assert {n for n in names if matches(n)} == expected, pattern
