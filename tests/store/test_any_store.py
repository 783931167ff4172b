"""What a store promises: in a folder, in memory, on S3 and on Google's; and what it does when an object store is slow or away."""

from __future__ import annotations

import errno
import fcntl
import itertools
import multiprocessing
import os
import pickle
import shutil
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from object_store import Fault, Proxy, S3Server, settings

from curate.errors import DamagedError, StorageError
from curate.store import scratch as scratch_files
from curate.store.files import Store, store_at
from curate.store.latest import latest, set_latest
from curate.store.objects import Objects
from curate.store.tables import new_table, open_data, open_table, read_batches, read_table


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Scratch files of each test's own, and little patience."""
    monkeypatch.setenv("CURATE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("CURATE_STORE_SECONDS", "20")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(params=["disk", "memory", "s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "disk":
        return Store(tmp_path / "run")
    if request.param == "memory":
        return Store(f"memory://{uuid.uuid4().hex}/run")
    if request.param == "gs":
        return Store(f"gs://{request.getfixturevalue('google')}/some/run")
    return Store(f"s3://{request.getfixturevalue('s3').bucket}/some/run")


def write(store: Store, key: str, data: bytes) -> None:
    """A data file."""
    with store.writing(key) as path:
        path.write_bytes(data)


def test_small_files(store: Store) -> None:
    """Put once, read, replaced, listed, removed; a store is a value that can be sent elsewhere."""
    assert store.read("a/b.json") is None
    assert store.read_json("a/b.json") is None
    assert not store.exists("a")
    assert list(store.list("a")) == []
    assert store.put_if_absent("a/b.json", {"n": 1}) == {"n": 1}
    assert store.put_if_absent("a/b.json", {"n": 2}) == {"n": 1}
    store.replace("a/c/d", b"xyz")
    store.replace("a/c/d", b"12345")
    assert [store.exists(key) for key in ("a", "a/c/d", "a/c/e", "b")] == [True, True, False, False]
    store = pickle.loads(pickle.dumps(store))
    assert [(e.key, e.size) for e in store.list("a")] == [("a/b.json", len(store.read("a/b.json"))), ("a/c/d", 5)]
    assert [e.key for e in store.list()] == ["a/b.json", "a/c/d"]
    assert all(abs(e.modified - time.time()) < 600 for e in store.list())
    store.remove("a/c/d")
    store.remove("a/c/d")
    assert [e.key for e in store.list("a")] == ["a/b.json"]
    store.remove_folder("a")
    store.remove_folder("a")
    assert list(store.list()) == []


def test_data_files(store: Store) -> None:
    """A table is read back by ranges, a folder and a file as local copies; a failed block leaves nothing that counts."""
    rows = pa.table({"n": list(range(200_000)), "s": [f"{i * 7919 % 1009}" for i in range(200_000)]})
    key = store.fresh("steps/x", "part", ".arrow")
    with new_table(store, key, rows.schema) as out:
        for batch in rows.to_batches(max_chunksize=30_000):
            out.write(batch)
    assert read_table(store.data(key)).equals(rows)
    assert sum(b.num_rows for b in read_batches(store.data(key), ["n"])) == 200_000
    with store.writing("steps/x/stream") as path, pa.ipc.new_stream(path, rows.schema) as stream:
        stream.write(rows)
    with open_data(store.data("steps/x/stream")) as source, pa.ipc.open_stream(source) as stream:
        assert stream.read_all().equals(rows)
    folder = store.fresh("steps/x", "trained", "")
    with store.writing_folder(folder) as path:
        (path / "deep").mkdir()
        (path / "model.bin").write_bytes(b"model")
        (path / "deep" / "more").write_bytes(b"")
    assert store.exists(folder)
    for _ in range(2):
        assert (store.local(folder) / "model.bin").read_bytes() == b"model"
        assert (store.local(folder) / "deep" / "more").read_bytes() == b""
    with store.reading(f"{folder}/model.bin") as path:
        assert path.read_bytes() == b"model"
    failed = store.fresh("steps/x", "trained", "")
    with pytest.raises(ZeroDivisionError), store.writing_folder(failed) as path:
        (path / "half").write_bytes(b"half")
        raise ZeroDivisionError
    assert not store.exists(failed)
    with pytest.raises(DamagedError, match="missing"):
        read_table(store.data("steps/x/none.arrow"))


def test_a_receipt_counts_while_its_files_are_there(store: Store) -> None:
    """One by one and many at once: a receipt that names a file or a folder that was removed is as good as none."""
    keys = [store.fresh("a", "part", ".arrow") for _ in range(12)]
    for number, key in enumerate(keys):
        write(store, key, b"x")
        store.put_if_absent(f"a/receipts/{number}.json", {"file": key})
    receipts = [f"a/receipts/{n}.json" for n in range(14)]
    assert store.present(receipts) == set(receipts[:12])
    assert store.read_wholes(receipts) == {r: {"file": k} for r, k in zip(receipts[:12], keys, strict=True)}
    store.remove(keys[3])
    assert store.read_whole(receipts[3]) is None
    assert store.read_whole(receipts[4]) == {"file": keys[4]}
    assert set(store.read_wholes(receipts)) == set(receipts[:12]) - {receipts[3]}
    assert store.commit(receipts[3], lambda: {"file": None}, "map") == {"file": None}
    assert store.read_whole(receipts[3]) == {"file": None}


def test_newest_result(store: Store) -> None:
    """``<run>/<step>`` is what the newest run made."""
    for number in (1, 2):
        write(store, f"steps/text/f{number}/out/a.arrow", b"%d" % number)
        set_latest(store, "text", f"steps/text/f{number}/out")
        assert store.read(f"{latest(store, 'text')}/a.arrow") == b"%d" % number
    if store.remote:
        pointer = store.read("latest/text.json") or b""
        store.replace("latest/text.json", pointer.replace(b"f2", b"f1"))
        with pytest.raises(DamagedError, match=r"latest/text\.json: is not what was written"):
            latest(store, "text")


def _commit(store: Store, number: int, start: object, results: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    for key in range(8):
        results.put((key, store.put_if_absent(f"receipts/{key}.json", {"by": number})["by"]))  # type: ignore[attr-defined]


def test_first_wins(s3: Proxy) -> None:
    """Two processes commit the same receipts, with a fifth of all answers lost: both see the same winner. On a disk see
    test_files.py."""
    store = Store(f"s3://{s3.bucket}/run")
    s3.add(Fault("drop_after", share=0.2, methods=("PUT",)))
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_commit, args=(store, n, start, results)) for n in range(2)]
    for process in processes:
        process.start()
    seen = [results.get(timeout=100) for _ in range(16)]
    for process in processes:
        process.join()
    assert len(set(seen)) == 8
    assert all(store.read_json(f"receipts/{key}.json") == {"by": by} for key, by in seen)
    assert sum(1 for _ in store.list("receipts")) == 8


# -- an object store in trouble --------------------------------------------------------------------------------


def test_answer_lost_after_the_commit(s3: Proxy) -> None:
    """The connection is cut after the server has put a receipt: whoever put it finds that it won; another one lost."""
    store = Store(f"s3://{s3.bucket}/run")
    fault = s3.add(Fault("drop_after", first=1, methods=("PUT",), contains="r.json"))
    assert store.put_if_absent("r.json", {"file": None, "by": "first"})["by"] == "first"
    assert fault.hits == 1
    assert [r.status for r in s3.requests if r.method == "PUT"] == [200, 412]
    s3.add(Fault("drop_after", first=1, methods=("PUT",), contains="r.json"))
    assert store.put_if_absent("r.json", {"file": None, "by": "second"})["by"] == "first"


@pytest.mark.parametrize("kind", ["slow_down", "drop_after"])
def test_tried_again(s3: Proxy, kind: str) -> None:
    """Reads, lists, tables and uploads in parts get through a store that fails every third request."""
    store, data = Store(f"s3://{s3.bucket}/run"), os.urandom(20 << 20)
    s3.add(Fault(kind, share=0.33))
    write(store, "big", data)
    store.put_if_absent("a/r.json", {"file": "big"})
    for number in range(10):
        store.replace(f"a/{number}", b"%d" % number)
    assert store.read_whole("a/r.json") == {"file": "big"}
    assert len(list(store.list("a"))) == 11
    assert [store.read(f"a/{n}") for n in range(10)] == [b"%d" % n for n in range(10)]
    with store.reading("big") as path:
        assert path.read_bytes() == data
    assert sum(bool(r.faults) for r in s3.requests) > 5


def test_parts_are_small(s3: Proxy) -> None:
    """A large file goes up in parts that bound a worker's memory."""
    write(Store(f"s3://{s3.bucket}/run"), "big", bytes(40 << 20))
    parts = [r.sent for r in s3.requests if "partNumber" in r.path]
    assert sum(parts) >= 40 << 20
    assert max(parts) <= (8 << 20) + 1024


def test_store_is_gone(s3: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that stays away is one line, not before it was tried for as long as is said, and soon after."""
    monkeypatch.setenv("CURATE_STORE_SECONDS", "1")
    store = Store(f"s3://{s3.bucket}/run")
    store.put_if_absent("a.json", {"n": 1})
    with s3.gone():
        for act in (
            lambda: store.read("a.json"),
            lambda: store.put_if_absent("b.json", {}),
            lambda: write(store, "c", b""),
        ):
            with pytest.raises(
                StorageError, match=r"^s3://.*the object store does not answer.*run again when it does"
            ) as raised:
                act()
            assert "\n" not in str(raised.value)
    assert store.read_json("a.json") == {"n": 1}


def test_what_a_user_can_mend(s3: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing bucket, refused and missing credentials, no library, no possible store: one line each, with a cure."""
    for act in (lambda s: s.put_if_absent("a.json", {}), lambda s: s.read("a.json"), lambda s: list(s.list("x"))):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket-of-ours/run.*no such bucket; create it"):
            act(Store("s3://no-such-bucket-of-ours/run"))
        with pytest.raises(StorageError, match=r"s3://no bucket/run.*no such bucket; create it"):
            act(Store("s3://no bucket/run"))
    for where in ("hf://datasets/a/b", "ftp://host/x", "s3://", "gs:///"):
        with pytest.raises(StorageError, match=r"can't be a store.*; use a folder|names no bucket"):
            store_at(where)
    with pytest.raises(StorageError, match="holds no user and no key") as raised:
        store_at("s3://ME:SECRET@bucket/run")
    assert "SECRET" not in str(raised.value)
    monkeypatch.setattr("fsspec.filesystem", lambda *_, **__: (_ for _ in ()).throw(ImportError("Install s3fs")))
    with pytest.raises(StorageError, match=r"library is missing \(Install s3fs\); pip install 'phi-curate\[s3\]'"):
        Store("s3://bucket/run").read("a")


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (400, "ExpiredToken")]
)
def test_refused(status: int, code: str) -> None:
    """What S3 says of keys that it does not accept, as its library raises it."""
    from botocore.exceptions import ClientError, NoCredentialsError
    from s3fs.errors import translate_boto_error

    from curate.store.service import Trouble, said, trouble

    def raised(status: int, code: str) -> Exception:
        response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return translate_boto_error(ClientError(response, "PutObject"))

    assert trouble(raised(status, code)) == Trouble.REFUSED
    assert trouble(NoCredentialsError()) == Trouble.NO_KEYS
    assert trouble(raised(409, "ConditionalRequestConflict")) == Trouble.AGAIN
    assert trouble(raised(412, "PreconditionFailed")) == Trouble.CONDITION
    assert trouble(raised(503, "SlowDown")) == Trouble.AGAIN
    assert trouble(ValueError("a bug")) == Trouble.UNKNOWN
    assert said(ValueError("a\n bug")) == "a bug"


def test_what_is_no_matter_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's disk is full: said so, and not of the store. A bug keeps its cause. A setting that is none."""
    store = Store(f"memory://{uuid.uuid4().hex}/run")
    store.replace("a", b"1")
    memory = "fsspec.implementations.memory.MemoryFileSystem"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    def wrong(*_: object, **__: object) -> None:
        raise ValueError("wrong") from KeyError("x")

    with monkeypatch.context() as broken:
        broken.setattr(f"{memory}.get_file", full)
        with (
            pytest.raises(StorageError, match=r"/a: no space left on device; free some space") as raised,
            store.reading("a"),
        ):
            pass
        assert "memory://" not in str(raised.value)
        broken.setattr(f"{memory}.cat_file", wrong)
        with pytest.raises(ValueError, match="wrong") as bug:
            store.read("a")
        assert isinstance(bug.value.__cause__, KeyError)
        broken.setattr(f"{memory}.cat_file", lambda *_: (_ for _ in ()).throw(ConnectionError("gone")))
        broken.setenv("CURATE_STORE_SECONDS", "a minute")
        with pytest.raises(StorageError, match=r"CURATE_STORE_SECONDS: 'a minute' is no number of seconds; correct it"):
            store.read("a")


def test_listing_takes_few_requests(s3: Proxy, s3_server: S3Server) -> None:
    """What is there of 5,000 receipts: a request for each thousand, none for each; the same for a walk of all."""
    store = Store(f"s3://{s3.bucket}/run")
    s3_server.fill(f"{s3.bucket}/run/steps/x/receipts", 5_000)
    wanted = [f"steps/x/receipts/{n:05d}.json" for n in range(5_100)]
    before = len(s3.requests)
    assert store.present(wanted) == set(wanted[:5_000])
    assert len(s3.requests) - before <= 6
    assert sum(1 for _ in store.list("steps")) == 5_000
    assert len(s3.requests) - before <= 12


def test_scratch_of_the_dead_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a killed process left on its way into the store is removed by the next one; the living one's stays."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_die)
    process.start()
    process.join(60)
    root = tmp_path / "scratch"
    assert process.exitcode == -9
    assert len(list(root.rglob("half"))) == 1
    with scratch_files.scratch() as mine:
        assert list(root.rglob("half")) == []
        assert mine.is_dir()
    assert not mine.exists()


def _die() -> None:
    with scratch_files.scratch() as folder:
        (folder / "half").write_bytes(b"x")
        os.kill(os.getpid(), 9)


def test_copies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that nobody uses go, the longest unused first; those in use stay."""
    monkeypatch.setattr(scratch_files, "COPIES_BYTES", 2500)
    clock = itertools.count(10**9)
    paths = []
    for number in range(5):
        path = scratch_files.copy_of(f"s3://b/{number}", "model", lambda path: path.write_bytes(bytes(1000)))
        os.utime(path.parent, (next(clock),) * 2)
        paths.append(path)
    # All of them are held by this process.
    assert all(p.exists() for p in paths)
    for lock in list(scratch_files._held):
        if "copies" in lock[1] and lock[1] != str(paths[4].parent):
            scratch_files._held.pop(lock).close()
    again = scratch_files.copy_of("s3://b/new", "model", lambda path: path.write_bytes(bytes(1000)))
    assert again.exists()
    assert [p.exists() for p in paths] == [False, False, False, False, True]


def test_a_copy_that_was_half_removed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed while it makes room leaves no folder that lacks a part."""

    def fetch(path: Path) -> None:
        path.mkdir()
        for name in "abc":
            (path / name).write_bytes(bytes(1000))

    model = scratch_files.copy_of("s3://b/model", "model", fetch)
    for lock in [lock for lock in scratch_files._held if "copies" in lock[1]]:
        scratch_files._held.pop(lock).close()
    monkeypatch.setattr(scratch_files, "COPIES_BYTES", 10)

    def killed(folder: Path, **_: object) -> None:
        (folder / "model" / "b").unlink(missing_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            scratch_files._trim(model.parent)
    model = scratch_files.copy_of("s3://b/model", "model", fetch)
    assert sorted(p.name for p in model.iterdir()) == ["a", "b", "c"]


def test_two_make_room_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes later leaves it to the first: what is being removed is nothing to measure."""
    first = scratch_files.copy_of("s3://b/0", "model", lambda path: path.write_bytes(bytes(1000)))
    scratch_files._held.pop((os.getpid(), str(first.parent))).close()
    monkeypatch.setattr(scratch_files, "COPIES_BYTES", 10)
    other = scratch_files._lock(first.parent.parent / "trim.lock", fcntl.LOCK_EX)
    assert other is not None
    with other:
        scratch_files._trim(first.parent)
        assert first.exists()
    scratch_files._trim(first.parent)
    assert not first.exists()


def test_no_credentials_in_a_store(s3: Proxy) -> None:
    """A store that goes to a worker holds its address and nothing else."""
    store = Store(f"s3://{s3.bucket}/run")
    store.put_if_absent("a.json", {})
    sent = pickle.dumps(store)
    assert b"testing" not in sent
    assert settings("")["AWS_ACCESS_KEY_ID"] == "testing"
    assert store.read_json("a.json") == {}


def test_who_wants_a_batch_gets_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of a table in an object store is its bytes and the end's; who reads on has more at once."""
    store, schema = Store(f"memory://{uuid.uuid4().hex}"), pa.schema([("n", pa.int64())])
    with new_table(store, "t.arrow", schema, dense=True) as out:
        for number in range(100):
            out.write(pa.record_batch([pa.array(range(number, number + 3000))], schema=schema))
    asked: list[int] = []
    read = Objects.read_range

    def counted(objects: Objects, key: str, begin: int, end: int) -> bytes:
        asked.append(end - begin)
        return read(objects, key, begin, end)

    monkeypatch.setattr(Objects, "read_range", counted)
    with open_table(store.data("t.arrow"), mapped=False) as reader:
        assert reader.get_batch(50).column(0)[0].as_py() == 50
    whole = store.data("t.arrow").size
    assert len(asked) == 2 and sum(asked) < min(whole, 65_536) + whole // 50
    asked.clear()
    assert [batch.column(0)[0].as_py() for batch in read_batches(store.data("t.arrow"))] == list(range(100))
    assert len(asked) < 15
