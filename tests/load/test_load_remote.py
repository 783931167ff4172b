"""Datasets behind a URL: fetched once, shard by shard, checked, whoever wants them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import fsspec
import pytest
from object_store import Fault, Proxy
from token_shards import dataset, table

from curate.errors import DamagedInputError, InputError, StorageError
from curate.load import Loader, TokenDataset

NAMES = [f"data-{i:05d}-of-00003.arrow" for i in range(3)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset on this machine; an empty cache."""
    monkeypatch.setenv("CURATE_SHARDS", str(tmp_path / "cache"))
    return dataset(tmp_path / "data", table(40, full=True), [20, 12, 8])


@pytest.fixture
def there(here: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The same in memory, behind a URL."""
    files = fsspec.filesystem("memory")
    files.put(str(here), f"/{request.node.name}", recursive=True)
    yield f"memory://{request.node.name}"
    files.rm(f"/{request.node.name}", recursive=True)


def ids(loader: Loader, batches: int) -> list[list[int]]:
    return [row for batch in islice(loader, batches) for row in batch["input_ids"].tolist()]


def cached(tmp_path: Path) -> int:
    return len(list((tmp_path / "cache").glob("*.arrow")))


def test_only_shards_that_are_wanted_are_fetched_and_once(here: Path, there: str, tmp_path: Path) -> None:
    """The rows and the fingerprint are those of the folder here; what is in the cache is not asked for again."""
    local, remote = TokenDataset(here), TokenDataset(there)
    assert remote.fingerprint == local.fingerprint
    assert cached(tmp_path) == 1
    assert remote[25]["input_ids"].tolist() == local[25]["input_ids"].tolist()
    assert cached(tmp_path) == 2
    assert ids(Loader(remote, batch=8, seed=1), 9) == ids(Loader(local, batch=8, seed=1), 9)
    assert cached(tmp_path) == 3
    for name in NAMES:
        fsspec.filesystem("memory").rm(f"{there.removeprefix('memory:/')}/{name}")
    again = TokenDataset(there)
    assert again[39]["input_ids"].tolist() == local[39]["input_ids"].tolist()


def test_shards_come_one_after_another_in_their_own_order(here: Path, there: str, tmp_path: Path) -> None:
    """With ``shuffle="shards"`` training begins with one shard; the next is fetched before it is wanted."""
    loader = Loader(there, batch=2, seed=4, shuffle="shards")
    first = next(loader)["input_ids"].tolist()
    if loader.dataset._ahead:
        loader.dataset._ahead.shutdown()
    assert cached(tmp_path) <= 3
    assert loader.dataset._index.known.sum() == 1
    assert first == ids(Loader(here, batch=2, seed=4, shuffle="shards"), 1)


def test_a_shard_that_differs_is_refused_and_not_kept(there: str, tmp_path: Path) -> None:
    """By its SHA-256 in shards.json; nor is half of one kept."""
    files, name = fsspec.filesystem("memory"), f"{there.removeprefix('memory:/')}/{NAMES[1]}"
    content = files.cat_file(name)
    files.pipe_file(name, content[:-1] + b"x")
    remote = TokenDataset(there)
    with pytest.raises(DamagedInputError, match=f"{NAMES[1]}: the shard differs from what it must be: SHA-256"):
        remote[25]
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".arrow", ".lock", ".lock"]
    files.pipe_file(name, content)
    assert remote[25]["input_ids"][0] == 25


def test_a_folder_without_a_list_is_fetched_whole(here: Path, there: str, tmp_path: Path) -> None:
    """Rows are counted by reading; what changed there since then is another file."""
    files, folder = fsspec.filesystem("memory"), there.removeprefix("memory:/")
    files.rm(f"{folder}/shards.json")
    remote = TokenDataset(there)
    assert (len(remote), cached(tmp_path)) == (40, 3)
    assert remote[39]["input_ids"][0] == 39
    files.pipe_file(f"{folder}/{NAMES[2]}", files.cat_file(f"{folder}/{NAMES[1]}"))
    assert len(TokenDataset(there)) == 44


def test_a_step_of_a_run_is_found_by_its_pointer(here: Path, there: str) -> None:
    """On an object store ``<run>/<step>`` is no link: ``latest/<step>.json`` says which folder it is."""
    files, run = fsspec.filesystem("memory"), there.removeprefix("memory:/")
    files.pipe_file(f"{run}/latest/tokens.json", json.dumps({"folder": "steps/tokens-1"}).encode())
    files.put(str(here), f"{run}/steps/tokens-1", recursive=True)
    assert TokenDataset(f"{there}/tokens").fingerprint == TokenDataset(here).fingerprint


def test_those_who_want_the_same_shard_wait_for_the_first(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight readers, one transfer of each shard."""
    opened = []
    real = type(fsspec.filesystem("memory")).open
    monkeypatch.setattr(
        type(fsspec.filesystem("memory")), "open", lambda s, p, *a, **k: opened.append(p) or real(s, p, *a, **k)
    )
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: TokenDataset(there)[:], range(8)))
    assert sorted(p.rpartition("/")[2] for p in opened if p.endswith(".arrow")) == NAMES


def test_on_s3_through_faults(here: Path, s3: Proxy, tmp_path: Path) -> None:
    """Throttled, and cut in the middle of a shard, it is asked again; a key that is not there is said in one line."""
    for file in here.iterdir():
        assert s3.put(f"runs/mine/{file.name}", file.read_bytes())
    url = f"s3://{s3.bucket}/runs/mine"
    s3.add(Fault("slow_down", first=2, methods=("GET",)))
    s3.add(Fault("cut", first=1, methods=("GET",), contains=NAMES[0]))
    remote = TokenDataset(url)
    assert remote[:]["input_ids"].tolist() == TokenDataset(here)[:]["input_ids"].tolist()
    before = s3.count(contains=".arrow")
    assert TokenDataset(url)[3]["input_ids"][0] == 3
    assert s3.count(contains=".arrow") == before
    with pytest.raises(InputError, match=r"no \*.arrow file in it|no such object"):
        TokenDataset(f"s3://{s3.bucket}/runs/other")


def test_what_can_not_be_kept_or_reached_is_said(there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with a cure."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"a shard can't be kept: .*; name another in CURATE_SHARDS"):
        TokenDataset(there, cache=tmp_path / "file" / "cache")
    with pytest.raises(InputError, match="an address holds no user and no key; credentials come from the environment"):
        TokenDataset("s3://key:secret@bucket/data")
    monkeypatch.setattr("fsspec.filesystem", lambda *_, **__: (_ for _ in ()).throw(ImportError("Install s3fs")))
    with pytest.raises(InputError, match=r"Install s3fs\); pip install 'phi-curate\[s3\]'"):
        TokenDataset("s3://bucket/data")
