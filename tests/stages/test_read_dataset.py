"""read.dataset: saved folders, folders of data files, and a hub that does not answer."""

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
from reading_cases import everything, texts

from curate.errors import InputError
from curate.fingerprint import content_digest
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
    assert len(stage.splits(tmp_path, content_digest, 100)) == 3


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
        ReadDataset(**settings).splits(tmp_path, content_digest, 100)
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


def test_a_hub_that_does_not_answer(tmp_path):
    """A closed port is an EndpointError with a cure, within seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import pathlib\nfrom curate.errors import EndpointError\nfrom curate.stages.read_dataset import ReadDataset\n"
        f"stage = ReadDataset(path='owner/name', commit='{COMMIT}')\n"
        "try:\n    stage.splits(pathlib.Path('.'), str, 100)\n"
        "except EndpointError as error:\n    print(error)\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env |= {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    began = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.startswith("owner/name: the hub can't be reached") and "HF_ENDPOINT" in found.stdout
    assert time.monotonic() - began < 20
