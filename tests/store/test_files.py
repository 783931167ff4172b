"""Committed once: first wins, whoever else tries; what a receipt names must be there; tables survive or are damaged."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import socket
import ssl
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import CurateError, DamagedError, StorageError
from curate.store.files import CRASH_POINTS, Store, crash_point, storage_errors, store_at
from curate.store.parts import HIDDEN, part_schema, read_part, scatter
from curate.store.records import Counts, Part, StepRecord, named_files, total
from curate.store.tables import BYTES, canonical_batch, one_batch, open_table, read_batches, read_table, table_writer


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "run")


def _commit(root: Path, number: int, start: object, results: object) -> None:
    store = Store(root)
    start.wait()  # type: ignore[attr-defined]
    for key in range(30):
        results.put((key, store.put_if_absent(f"receipts/{key}.json", {"by": number})["by"]))  # type: ignore[attr-defined]


def test_first_wins(store: Store) -> None:
    """Two processes commit the same thirty receipts: both see the same winner of each, and no temporary file stays."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_commit, args=(store.root, n, start, results)) for n in range(2)]
    for process in processes:
        process.start()
    seen = [results.get(timeout=60) for _ in range(60)]
    for process in processes:
        process.join()
    assert len(set(seen)) == 30
    assert all(store.read_json(f"receipts/{key}.json") == {"by": by} for key, by in seen)
    assert len(list((store.root / "receipts").iterdir())) == 30


def test_commit_does_the_work_once(store: Store) -> None:
    """A committed receipt is read, not made again."""
    made: list[int] = []

    def work() -> dict[str, int]:
        made.append(1)
        return {"n": len(made)}

    assert [store.commit("a/r.json", work, "segment") for _ in range(3)] == [{"n": 1}] * 3
    assert pickle.loads(pickle.dumps(store)).read_json("a/r.json") == {"n": 1}


def test_a_receipt_counts_while_its_files_are_there(store: Store) -> None:
    """A receipt whose file was removed is not there for a task, and is replaced by the next commit."""
    key = store.fresh("a", "part", ".arrow")
    store.path(key).write_bytes(b"x")
    receipt = {"part": {"data": key, "overlays": [], "key": "k"}, "dropped": None, "signals": {}}
    store.put_if_absent("a/r.json", receipt)
    assert store.read_whole("a/r.json") == receipt
    store.path(key).unlink()
    assert store.read_whole("a/r.json") is None
    assert store.read_json("a/r.json") == receipt
    assert store.commit("a/r.json", lambda: {"file": None}, "map") == {"file": None}
    assert store.read_whole("a/r.json") == {"file": None}
    assert [p.name for p in (store.root / "a").iterdir()] == ["r.json"]


def test_named_files() -> None:
    """Every file that a receipt or a record names, and nothing that only looks like one."""
    assert list(named_files({"file": "a", "index": [[0, 1]], "rows": 3})) == ["a"]
    assert list(named_files([{"file": "a", "offset": 1}, {"file": "b"}])) == ["a", "b"]
    assert list(named_files({"folder": "f", "digest": "d", "report": {"file": "no"}})) == ["f"]
    part = Part("k", "r", "data", ("o1", "o2"), 1, 1)
    record = StepRecord("s", "u", "f", "i", Counts(), [part], ["d"], ["m"], "out", {"folder": "no"}, [{"name": "no"}])
    assert sorted(named_files(record.dump())) == ["d", "data", "m", "o1", "o2", "out"]
    assert StepRecord.load(record.dump()) == record
    assert list(named_files({"part": {**vars(part)}, "dropped": None, "signals": {"f": "s"}})) == [
        "data",
        "o1",
        "o2",
        "s",
    ]


def test_damaged_json(store: Store) -> None:
    """A receipt that is no JSON says which file, and what to do."""
    store.put_if_absent("a/r.json", {"n": 1})
    store.path("a/r.json").write_bytes(b'{"n"')
    with pytest.raises(DamagedError, match=r"a/r\.json: is not what was written; remove it"):
        store.read_json("a/r.json")
    assert store.read_json("a/none.json") is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EACCES, StorageError),
        (errno.EROFS, StorageError),
        (errno.EIO, StorageError),
        (errno.ENOTDIR, StorageError),
        (errno.EFBIG, StorageError),
        (errno.ESTALE, StorageError),
        (errno.ENXIO, StorageError),
        (errno.EPERM, StorageError),
        (errno.EEXIST, FileExistsError),
        (errno.EAGAIN, BlockingIOError),
        (errno.ENOENT, FileNotFoundError),
        (errno.ECONNRESET, ConnectionError),
    ],
)
def test_storage_errors(code: int, kind: type[Exception]) -> None:
    """What a user can mend becomes StorageError, which survives pickling; what may be tried again stays as it is."""
    with pytest.raises(kind) as raised, storage_errors("place"):
        raise OSError(code, os.strerror(code))
    if isinstance(raised.value, CurateError):
        copy = pickle.loads(pickle.dumps(raised.value))
        assert str(copy) == str(raised.value)
        assert str(copy).startswith("place: ")
        assert copy.exit_code == 6


@pytest.mark.parametrize(
    "error", [ssl.SSLError(1, "handshake"), socket.gaierror(-2, "no such name"), OSError("no number")]
)
def test_what_is_no_fault_of_a_disk(error: OSError) -> None:
    """Libraries have numbers of their own, and no disk has a part in them."""
    with pytest.raises(type(error)) as raised, storage_errors("place"):
        raise error
    assert raised.value is error


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    """Said as what it is, wherever on the way the file lies."""
    (tmp_path / "file").touch()
    for folder in ("file", "file/below/it"):
        with pytest.raises(StorageError, match=r"not a directory; a file lies where a folder should be"):
            Store(tmp_path / folder).replace_json("a.json", {})


def test_a_folder_that_arrow_can_not_open() -> None:
    """A name of bytes that are no UTF-8 is refused before anything is done."""
    for name in (os.fsdecode(b"x\xff"), "file://" + os.fsdecode(b"/tmp/x\xff/y")):
        with pytest.raises(StorageError, match="no UTF-8"):
            store_at(name)


def test_a_view_is_an_object(store: Store) -> None:
    """What is valid JSON and none is damaged."""
    store.replace("run.json", b'{"a": 1}')
    assert store.read_view("run.json") == {"a": 1}
    for value in (b"[1]", b"3", b"null", b"{"):
        store.replace("run.json", value)
        with pytest.raises(DamagedError, match=r"run\.json: is not what was written"):
            store.read_view("run.json")


def test_crash_point_without_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A point that is not named, or whose token is gone, is passed."""
    monkeypatch.setenv("CURATE_CRASH_AT", f"{CRASH_POINTS[0]}={tmp_path / 'gone'},other")
    for point in CRASH_POINTS:
        crash_point(point)


def write(path: Path, *batches: dict[str, list[object]]) -> None:
    """A table of some batches."""
    made = [pa.RecordBatch.from_pydict(b) for b in batches]
    with table_writer(path, made[0].schema) as out:
        for batch in made:
            out.write(batch)


def test_parts(store: Store) -> None:
    """Overlays hide rows and add columns beside a base file; positions and starts are those of the base."""
    store.root.mkdir()
    write(store.path("base"), {"text": ["a", "b", "c"]}, {"text": ["d"]}, {"text": ["e", "f"]})
    write(
        store.path("one"),
        {HIDDEN: [False, True, False], "s.score": [1.0, None, 3.0]},
        {HIDDEN: [True], "s.score": [None]},
        {HIDDEN: [False, False], "s.score": [5.0, 6.0]},
    )
    write(store.path("two"), {HIDDEN: [True, False, False]}, {HIDDEN: [False]}, {HIDDEN: [False, True]})
    part = Part("k", "r", "base", ("one", "two"), 2, 2)
    seen = list(read_part(store, part))
    assert [v.rows.to_pydict() for v in seen] == [
        {"text": ["c"], "s.score": [3.0]},
        {"text": [], "s.score": []},
        {"text": ["e"], "s.score": [5.0]},
    ]
    assert [(v.start, v.size, v.position.tolist()) for v in seen] == [(0, 3, [2]), (3, 1, []), (4, 2, [0])]
    assert part_schema(store, part).names == ["text", "s.score"]
    assert scatter(pa.array([7, 8]), np.array([0, 3]), 4).to_pylist() == [7, None, None, 8]


@pytest.mark.parametrize("rows", [6, 3000])
def test_sizes_of_texts(store: Store, rows: int) -> None:
    """Bytes of texts are read without them: of small files and of mapped ones, of any batch, of visible rows alone."""
    store.root.mkdir()
    texts = [f"é{i}" * (i % 7) for i in range(rows)]
    schema = pa.schema({"id": pa.int32(), "text": pa.large_string(), "source": pa.string()})
    columns = [list(range(rows)), texts, [f"{i * 7919}" * 8 for i in range(rows)]]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)], schema=schema
    )
    half = rows // 2
    with table_writer(store.path("base"), schema) as out:
        for piece in (batch.slice(0, half), batch.slice(half), batch.slice(0, 0)):
            out.write(piece)
    hidden: list[object] = [i % 3 == 0 for i in range(rows)]
    write(store.path("over"), {HIDDEN: hidden[:half]}, {HIDDEN: hidden[half:]}, {HIDDEN: []})
    part = Part("k", "r", "base", ("over",), 2, 2)
    found = [v.rows for v in read_part(store, part, ["source", BYTES])]
    assert [f.schema.names for f in found] == [["id", "source", BYTES]] * 3
    sizes = [n for f in found for n in f.column(BYTES).to_pylist()]
    assert sizes == [len(t.encode()) for t, gone in zip(texts, hidden, strict=True) if not gone]
    path = store.path("base")
    path.write_bytes(path.read_bytes().replace(b"ARROW1", b"ARROW2", 1))
    with pytest.raises(DamagedError):
        list(read_part(store, part, ["source", BYTES]))


@pytest.mark.parametrize("cut", [0, 1, 20, 0.5, -1])
def test_damaged_table(tmp_path: Path, cut: float) -> None:
    """A table that is missing, empty or cut short anywhere is DamagedError, never garbage."""
    path = tmp_path / "t.arrow"
    write(path, {"n": list(range(1000))}, {"n": list(range(5))})
    assert [b.num_rows for b in read_batches(path)] == [1000, 5]
    assert read_table(path).num_rows == 1005
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    with pytest.raises(DamagedError, match=r"t\.arrow: "):
        list(read_batches(path))
    path.unlink()
    with pytest.raises(DamagedError), open_table(path):
        pass


def test_canonical_batch() -> None:
    """The same values give the same buffers, whatever came before them, and whether or not there was a bitmap."""
    values = {"n": [1, None, 3], "t": ["a", None, "c"], "f": [0.5, 1.5, None], "whole": [1, 2, 3]}
    plain = pa.table(values)
    longer = pa.concat_tables([pa.table({k: [v[2], v[0]] for k, v in values.items()}), plain]).slice(2)
    mask = pa.array(np.array([1, 99, 3]), mask=np.array([False, True, False]))
    dirty = longer.set_column(0, "n", mask)
    found = []
    for table in (plain, longer, dirty, pa.concat_tables([plain.slice(0, 1), plain.slice(1)])):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, plain.schema) as out:
            out.write_batch(canonical_batch(table))
        found.append(sink.getvalue().to_pybytes())
    assert len(set(found)) == 1
    assert canonical_batch(plain).to_pydict() == values
    assert one_batch(plain.slice(0, 0)).num_rows == 0


def test_counts_add_up() -> None:
    """Reasons too, and the sums do not share state with what was summed."""
    one, two = Counts(3, 1, 30, 10, 3, {"a": 2}), Counts(5, 4, 50, 40, 0, {"a": 1, "b": 0})
    both = total([one, two])
    assert vars(both) == vars(Counts(8, 5, 80, 50, 3, {"a": 3, "b": 0}))
    assert one.reasons == {"a": 2}
