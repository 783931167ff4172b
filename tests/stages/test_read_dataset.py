"""read.dataset: saved folders, folders of data files, and the hub (hub.py serves one)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub import Hub
from reading_cases import everything, texts

from curate.errors import InputError
from curate.stages.catalog import Catalog
from curate.stages.read_dataset import ReadDataset

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def rows_of(count, start=0):
    return {
        "id": [f"k{n}" for n in range(start, start + count)],
        "text": [f"t{n}" for n in range(start, start + count)],
    }


def test_a_saved_dataset(tmp_path):
    """What save_to_disk wrote is read shard by shard, rows in order."""
    import datasets

    datasets.Dataset.from_dict(rows_of(50) | {"n": list(range(50))}).save_to_disk(tmp_path / "d", num_shards=3)
    stage = ReadDataset(path="d")
    rows, asides = everything(stage, tmp_path)
    assert texts(rows) == [f"t{n}" for n in range(50)] and not asides
    assert rows[0]["origin"] == "data-00000-of-00003.arrow#k0" and rows[0]["meta"] == '{"n":0}'
    assert len(stage.splits(tmp_path, Catalog(), 100)) == 3


def test_a_saved_dataset_with_splits(tmp_path):
    """Of several splits one must be named."""
    import datasets

    both = {n: datasets.Dataset.from_dict(rows_of(3, s)) for n, s in (("train", 0), ("test", 3))}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "d")
    with pytest.raises(InputError, match="splits train, test"):
        everything(ReadDataset(path="d"), tmp_path)
    with pytest.raises(InputError, match="no split 'tests'; did you mean 'test'"):
        everything(ReadDataset(path="d", split="tests"), tmp_path)
    rows, _ = everything(ReadDataset(path="d", split="test"), tmp_path)
    assert texts(rows) == ["t3", "t4", "t5"] and rows[0]["origin"].startswith("test/data-")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_folder_of_data_files(tmp_path, form):
    """Data files are streamed, a split per file, named by its path; a moved folder keeps its ids."""
    folder = tmp_path / "d"
    folder.mkdir()
    for number in range(3):
        columns = rows_of(4, number * 4) | {"id": [None] * 4} if number == 2 else rows_of(4, number * 4)
        table = pa.table({"id": pa.array(columns["id"], pa.string()), "text": columns["text"]})
        if form == "parquet":
            pq.write_table(table, folder / f"f{number}.parquet")
        else:
            (folder / f"f{number}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in table.to_pylist()))
    rows, asides = everything(ReadDataset(path="d"), tmp_path)
    assert texts(rows) == [f"t{n}" for n in range(12)] and not asides
    assert rows[0]["origin"] == f"f0.{form}#k0" and rows[-1]["origin"] == f"f2.{form}#@3"
    folder.rename(tmp_path / "e")
    assert everything(ReadDataset(path=str(tmp_path / "e")), tmp_path)[0] == rows
    with pytest.raises(InputError, match="did you mean 'text'"):
        everything(ReadDataset(path="e", text="texts"), tmp_path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"path": "./no/such/folder"}, "no such folder"),
        ({"path": "owner/name"}, "it has no commit"),
        ({"path": "owner/name", "commit": "main"}, "'main', which is no full hash"),
    ],
)
def test_a_dataset_without_identity_is_refused(tmp_path, settings, says):
    """A dataset on the hub needs a commit; nothing is asked of the hub before."""
    with pytest.raises(InputError, match=says) as caught:
        ReadDataset(**settings).splits(tmp_path, Catalog(), 100)
    assert caught.value.cure and caught.value.place


def test_a_folder_that_datasets_can_not_read(tmp_path):
    """A folder without data, or with data that does not parse, is an error of the input."""
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match="datasets can't read it") as caught:
        everything(ReadDataset(path="d"), tmp_path)
    assert caught.value.cure
    (tmp_path / "d/a.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(InputError, match="datasets can't read it"):
        everything(ReadDataset(path="d"), tmp_path)


def asked(endpoint: str, home: Path, *datasets: tuple[str, str]) -> list[str]:
    """What a process that has this hub prints for each name and commit: a line for each row, or the error. The hub is
    settled at import."""
    code = (
        "import pathlib\nfrom reading_cases import everything\nfrom curate.errors import CurateError\n"
        "from curate.stages.read_dataset import ReadDataset\n"
        f"for name, commit in {datasets!r}:\n"
        "    try:\n        rows, asides = everything(ReadDataset(path=name, commit=commit), pathlib.Path('.'))\n"
        "        print(*(r['origin'] + ' ' + r['text'] for r in rows), *(a.reason for a in asides), sep='\\n')\n"
        "    except CurateError as error:\n        print(type(error).__name__, error)\n"
        "    print('\\0', end='')\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "HF_TOKEN"}
    env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"PYTHONPATH": paths},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return found.stdout.split("\0")[:-1]


def test_a_hub_that_does_not_answer(tmp_path):
    """A closed port is an EndpointError with a cure, within seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    (found,) = asked(f"http://127.0.0.1:{port}", tmp_path, ("owner/name", COMMIT))
    assert found.startswith("EndpointError owner/name: the hub can't be reached") and "HF_ENDPOINT" in found
    assert time.monotonic() - began < 20


def test_a_dataset_on_the_hub_is_streamed(tmp_path):
    """A split per data file, each with its place in the repository; no data file is stored here."""
    for number, rows in enumerate((["a", "b", None], ["d", "e"])):
        pq.write_table(pa.table({"text": pa.array(rows, pa.string())}), tmp_path / f"{number}.parquet")
    files = {f"data/train-0000{n}-of-00002.parquet": (tmp_path / f"{n}.parquet").read_bytes() for n in (0, 1)}
    home = tmp_path / "home"
    home.mkdir()
    with Hub("owner/name", COMMIT, {**files, "README.md": b"---\nlicense: mit\n---\n"}) as hub:
        cases = (("owner/name", COMMIT), ("owner/name", "0" * 40), ("owner/other", COMMIT))
        found, *wrong = asked(hub.url, home, *cases)
        first, second = files
        assert found.split() == [
            f"{first}#@0",
            "a",
            f"{first}#@1",
            "b",
            f"{second}#@0",
            "d",
            f"{second}#@1",
            "e",
            "no_text",
        ]
        assert all(f"GET /datasets/owner/name/resolve/{COMMIT}/{name}" in hub.seen for name in files)
        stored = [p.read_bytes() for p in home.rglob("*") if p.is_file()]
        assert not any(b"PAR1" in data for data in stored)
        for told in wrong:
            assert told.startswith("InputError ") and "the hub has no such dataset, or not this revision of it" in told
