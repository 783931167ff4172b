"""Many small files: read in packs that bear on no row, known again without being opened."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_cases import everything

from curate.errors import InputError
from curate.run.inputs import MOST_NAMED, Digests, read_files
from curate.stages import catalog
from curate.stages.catalog import Catalog, Files, Unhashed
from curate.stages.read_jsonl import ReadJsonl
from curate.stages.reading_packs import gathered
from curate.stages.source import SetAside
from curate.store import known_files
from curate.store.files import Store
from curate.store.known_files import KEY, KnownFiles


def tiny(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"d{number // 100:02d}/f{number % 100:02d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        bad = b"{\n" if number % 97 == 5 else b""
        path.write_bytes(bad + json.dumps({"text": f"document {number}"}).encode() + b"\n" + bad * (number % 2))


def test_packs_bear_on_no_row(tmp_path):
    """Read in packs or one by one: the same rows and rows set aside, in the same order; a pack is a small message."""
    tiny(tmp_path / "in", 600)
    stage = ReadJsonl(paths=["in"])
    packs = stage.splits(tmp_path, Catalog(), 64 << 20)
    assert 2 <= len(packs) <= 10 and sum(len(p.members) or 1 for p in packs) == 600
    for split in packs:
        sent = pickle.dumps(split)
        assert len(sent) < 16_000 and pickle.loads(sent) == split
    alone = stage.splits(tmp_path, Catalog(), 1000)
    assert len(alone) == 600
    assert everything(stage, tmp_path, 64 << 20) == everything(stage, tmp_path, 1000)
    batches = [found for split in packs for found in stage.read(split, "s") if not isinstance(found, SetAside)]
    assert len(batches) == len(packs), "rows of many files are handed on together"


def test_one_more_file_changes_its_own_pack(tmp_path):
    """The other packs are what they were: their tasks are not done again."""
    tiny(tmp_path / "in", 2000)
    stage = ReadJsonl(paths=["in"])
    before = {s.digest for s in stage.splits(tmp_path, Catalog(), 64 << 20)}
    (tmp_path / "in/d11/new.jsonl").write_bytes(b'{"text": "new"}\n')
    after = {s.digest for s in stage.splits(tmp_path, Catalog(), 64 << 20)}
    assert len(before) > 5 and 1 <= len(after - before) <= 2


def test_known_files_are_not_opened(tmp_path, monkeypatch):
    """A second look opens what is new or was changed, and nothing else; a damaged table costs time only."""
    tiny(tmp_path / "in", 300)
    store = Store(tmp_path / "run")
    stage = ReadJsonl(paths=["in"])

    def look() -> tuple[list[str], list[str], list[str]]:
        opened: list[str] = []
        digest_of, check = catalog.digest_of, ReadJsonl.check
        with monkeypatch.context() as patch:
            patch.setattr(catalog, "digest_of", lambda f: opened.append(f.name) or digest_of(f))
            checked: list[str] = []
            patch.setattr(ReadJsonl, "check", lambda s, f: checked.append(f.name) or check(s, f))
            digests = Digests(store)
            splits = stage.splits(tmp_path, digests, 64 << 20)
            digests.save()
        return [s.digest for s in splits], opened, checked

    first, opened, checked = look()
    assert len(opened) == len(checked) == 300
    assert look() == (first, [], [])
    path = tmp_path / "in/d01/f07.jsonl"
    was = path.stat()
    path.write_bytes(path.read_bytes().replace(b"document", b"DOCUMENT"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # as cp -p and rsync -t do
    other, opened, checked = look()
    assert other != first and opened == checked == ["d01/f07.jsonl"]
    moved = stage.model_copy(update={"text": "body"})
    stage = moved
    assert look()[1:] == ([], sorted(checked_names(tmp_path))), "another check, the same bytes"
    whole = store.path(KEY).read_bytes()
    for damaged in (whole[:1000], b"", *(_flipped(whole, at) for at in range(0, len(whole), len(whole) // 60))):
        store.path(KEY).write_bytes(damaged)
        assert KnownFiles(store).find(str(tmp_path / "in"), [], _stamps(0), "").missing == []
        assert KnownFiles(store)._rows.num_rows == 0, "what is in a damaged table was believed"
    assert len(look()[1]) == 300


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def checked_names(folder: Path) -> list[str]:
    return [p.relative_to(folder / "in").as_posix() for p in (folder / "in").rglob("*.jsonl")]


def test_a_bad_file_among_small_ones_is_named(tmp_path):
    """What is not what its name says stops the plan, though it is one of many in a pack."""
    tiny(tmp_path / "in", 50)
    (tmp_path / "in/d00/f30.jsonl").write_bytes(b"PAR1 and more")
    with pytest.raises(InputError, match="the name says JSON lines, the content is Parquet") as caught:
        ReadJsonl(paths=["in"]).splits(tmp_path, Digests(Store(tmp_path / "run")), 64 << 20)
    assert caught.value.place.endswith("in/d00/f30.jsonl")


def test_a_file_that_goes_while_it_is_read(tmp_path):
    """A file that was listed and is gone, or can't be opened, is one line."""
    tiny(tmp_path / "in", 10)
    (split,) = ReadJsonl(paths=["in"]).splits(tmp_path, Catalog(), 64 << 20)
    (tmp_path / "in/d00/f05.jsonl").unlink()
    with pytest.raises(InputError, match=r"f05.jsonl: the file is no longer there"):
        list(ReadJsonl(paths=["in"]).read(split, "s"))


def test_the_manifest_stays_small(tmp_path):
    """Up to MOST_NAMED files are named one by one, more are one entry with their number and a digest of all."""

    def entries(count: int, changed: str = "") -> list[dict]:
        names = [f"f{n}" for n in range(count)]
        files = Files(str(tmp_path), names, Files.in_order("", names, _stamps(count)).stamps)
        return read_files([], [(files, [f"digest{n}{changed * (n == 5)}" for n in range(count)])])

    assert len(entries(MOST_NAMED)) == MOST_NAMED and entries(1) == [{"name": "f0", "digest": "digest0"}]
    (all_,) = entries(MOST_NAMED + 1)
    assert all_["files"] == MOST_NAMED + 1 and all_ == entries(MOST_NAMED + 1)[0]
    assert all_["digest"] != entries(MOST_NAMED + 1, "x")[0]["digest"]
    assert Unhashed().digests(Files("/", ["a"], Files.in_order("", ["a"], _stamps(1)).stamps))


def _stamps(count: int):
    from array import array

    return array("q", range(3 * count))


Item = pa.RecordBatch | SetAside


def places(found: Sequence[Item] | Iterator[Item]) -> tuple[list[str], list[tuple[int, str]]]:
    """Texts, and for each row set aside how many rows stand before it."""
    rows: list[str] = []
    asides: list[tuple[int, str]] = []
    for item in found:
        if isinstance(item, SetAside):
            asides.append((len(rows) + item.after, item.origin))
        else:
            rows += item.column("text").to_pylist()
    return rows, asides


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7), st.integers(0, 30)), max_size=12), st.integers(1, 20))
def test_small_batches_are_gathered(files, most):
    """Whatever the batches: texts in order, rows set aside where they stood, no batch larger than it may be."""
    items: list[Item] = []
    for number, (asides, rows, size) in enumerate(files):
        items += [SetAside(f"{number}.{n}", "malformed", "", min(n, rows)) for n in range(asides)]
        items.append(pa.RecordBatch.from_pydict({"text": [f"{number}.{n}" + "x" * size for n in range(rows)]}))
    items += [SetAside("end", "malformed", "")]
    found = list(gathered(iter(items), most, 200))
    texts, asides = places(found)
    # What follows the last row is told before the batch that holds it, with that batch's size.
    assert (texts, asides) == places(items)
    batches = [b for b in found if not isinstance(b, SetAside)]
    assert all(b.num_rows <= max(most, 7) for b in batches)


def test_what_was_hashed_is_not_hashed_again(tmp_path, monkeypatch):
    """Not by the same process that walks its plan anew, nor where a file turned out to be damaged; nor does the table
    grow by that, nor forget another source's files."""
    tiny(tmp_path / "in", 60)
    tiny(tmp_path / "other", 40)
    store, hashed = Store(tmp_path / "run"), []
    digest_of = catalog.digest_of
    monkeypatch.setattr(catalog, "digest_of", lambda f: hashed.append(f.path) or digest_of(f))
    (tmp_path / "in/d00/f45.jsonl").write_bytes(b"PAR1 and more")
    digests, stage = Digests(store), ReadJsonl(paths=["in"])
    for again in (digests, digests, Digests(store)):
        with pytest.raises(InputError, match="the content is Parquet"):
            stage.splits(tmp_path, again, 64 << 20)
        again.save()
    before = len(set(hashed))
    assert 0 < before < 60 and len(hashed) == before
    (tmp_path / "in/d00/f45.jsonl").write_bytes(b'{"text": "mended"}\n')
    other = stage.model_copy(update={"paths": ["other"]})
    for again in (digests, digests, Digests(store)):
        for source in (stage, other):
            source.splits(tmp_path, again, 64 << 20)
            again.save()
    assert len(hashed) == len(set(hashed)) == 100
    monkeypatch.setattr(known_files, "_SPARE_ROWS", 50)
    (tmp_path / "other/d00/f01.jsonl").write_bytes(b'{"text": "changed"}\n')
    again = Digests(store)
    other.splits(tmp_path, again, 64 << 20)
    again.save()
    assert KnownFiles(store)._rows.num_rows == 90 and len(hashed) == 101
