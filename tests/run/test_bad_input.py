"""Bad rows are set aside and counted; bad files and stores stop with one line and an exit code."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from command import Curate, dataset, manifest, results
from corpus import lines, one_frame, prose, rows
from full_disk import small_disk
from recipes import Steps, step, write

from curate.errors import StorageError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine
from curate.run.foresight import foresee
from curate.run.progress import Silent
from curate.store.disk import Disk
from curate.store.files import Store, storage_errors


def steps(*paths: str) -> Steps:
    """Read, a filter, exact duplicates, write."""
    return [
        step("docs", "read.jsonl", paths=list(paths)),
        step("rules", "filter.massivetext", min_words=100),
        step("unique", "dedup.exact"),
        step("out", "write.text", documents_per_shard=20),
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with good input and a recipe."""
    (tmp_path / "good.jsonl").write_bytes(lines(rows(prose(50), "a")))
    write(tmp_path / "r.yaml", steps("good.jsonl"))
    return tmp_path


def test_bad_rows(curate: Curate, home: Path) -> None:
    """Every bad row is counted under its reason; the good ones around it are not harmed, however the file is cut."""
    good = [json.dumps({"text": t}).encode() for t in prose(12)]
    bad = [
        b'{"text": "cut off',
        b"not json at all",
        b"[1, 2, 3]",
        b'{"text": NaN}',
        b'{"title": "no text"}',
        b'{"text": null}',
        b'{"text": 3}',
        b'{"text": "   "}',
        b'{"text": "caf\xe9 \xff\xfe"}',
        b'{"text": "lone \\ud800 surrogate"}',
    ]
    mixed = [line for pair in zip(good, bad, strict=False) for line in pair] + good[len(bad) :]
    (home / "mixed.jsonl").write_bytes(b"\n".join(mixed) + b"\n\n")
    write(home / "r.yaml", steps("mixed.jsonl"))
    found = []
    for split in (64, 0.004):
        curate.run(home / "r.yaml", home / f"run{split}", "--split-mb", split).ok()
        found.append(results(home / f"run{split}"))
        docs = manifest(home / f"run{split}")["steps"]["docs"]
        assert docs["reasons"] == {"invalid_utf8": 1, "malformed": 5, "no_text": 4}
        assert (docs["rows_in"], docs["rows_out"]) == (22, 12)
        assert sum(docs["reasons"].values()) == docs["rows_in"] - docs["rows_out"]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.jsonl", None, ("no such file",)),
        ("no-*.jsonl", None, ("nothing matches",)),
        ("empty.jsonl", b"", ("is empty",)),
        ("gz.jsonl", gzip.compress(b'{"text": "a"}\n', mtime=0), ("gzip",)),
        ("plain.jsonl.gz", b'{"text": "a"}\n', ("says gzip",)),
        ("plain.jsonl.zst", b'{"text": "a"}\n', ("says zstd",)),
        ("cut.jsonl.gz", gzip.compress(lines(rows(prose(9), "a")), mtime=0)[:-300], ()),
        ("cut.jsonl.zst", one_frame(lines(rows(prose(9), "a")))[:-300], ()),
        ("table.jsonl", b"PAR1" + b"\0" * 100, ("Parquet",)),
        ("array.json", b'[{"text": "a"}]', ("array",)),
        ("text.docx", b"PK", ("name ends in none of",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_file(curate: Curate, home: Path, name: str, content: bytes | None, words: tuple[str, ...]) -> None:
    """A file that is not what it says stops the run with exit code 3 and one line that names it."""
    if content is not None:
        (home / name).write_bytes(content)
    write(home / "r.yaml", steps(name))
    done = curate.run(home / "r.yaml", home / "run", "--split-mb", 0.001)
    assert done.code == 3, done.out + done.err
    assert name.split("*", maxsplit=1)[0] in done.line
    for word in words:
        assert word in done.line
    assert not (home / "run" / "manifest.json").exists()


def test_bad_file_on_workers(curate: Curate, home: Path) -> None:
    """What a worker finds comes back to the user as the same line and code."""
    (home / "cut.jsonl.gz").write_bytes(gzip.compress(lines(rows(prose(9), "a")), mtime=0)[:-300])
    write(home / "r.yaml", steps("cut.jsonl.gz"))
    here = curate.run(home / "r.yaml", home / "run")
    there = curate.run(home / "r.yaml", home / "run", workers=1)
    assert (here.code, there.code) == (3, 3)
    assert here.line == there.line


def test_nothing_is_left(curate: Curate, home: Path) -> None:
    """A run whose rules drop everything says so, instead of writing an empty dataset."""
    changed = steps("good.jsonl")
    changed[1]["with"]["min_words"] = 10_000
    write(home / "r.yaml", changed)
    done = curate.run(home / "r.yaml", home / "run")
    assert done.code == 3
    assert "nothing is left to write" in done.line
    assert "step out" in done.line


def test_store_that_can_not_be_written(curate: Curate, home: Path) -> None:
    """A read-only file system, and a store below a file: exit code 6."""
    with small_disk(home / "disk") as disk:
        if disk is not None:  # mounting needs root
            subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
            done = curate.run(home / "r.yaml", disk.path / "run")
            assert done.code == 6
            assert "read-only" in done.line
            # To look is no more than to read, and what would have been kept is only time.
            planned = curate("plan", home / "r.yaml", "--store", disk.path / "run").ok()
            assert planned.out == curate("plan", home / "r.yaml", "--store", home / "other").ok().out
    (home / "file").write_text("")
    done = curate.run(home / "r.yaml", home / "file" / "run")
    assert done.code == 6, done.err
    assert str(home / "file") in done.line
    for how in ((), ("--detach",)):
        done = curate.run(home / "r.yaml", home / "file", *how)
        assert (done.code, "a file lies where a folder should be" in done.line) == (6, True)


def test_a_plan_in_a_store_that_is_not_ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the permission to write a plan says the same; a run says that it has none."""

    def refused(self: Disk, key: str, data: bytes) -> None:
        with storage_errors(key):
            raise PermissionError(errno.EACCES, "not ours")

    made = make_plan(load_recipe(home / "r.yaml"))
    expected = foresee(made, Store(home / "other"))
    monkeypatch.setattr(Disk, "replace", refused)
    assert foresee(made, Store(home / "run")) == expected
    assert not (home / "run").exists()
    with pytest.raises(StorageError, match="permission denied"), Runner(0) as runner:
        Engine(made, Store(home / "run"), runner, Silent()).run()


def committed(store: Path, name: str) -> Path:
    """One data file of a step."""
    found = sorted(store.glob(f"steps/{name}/*/*.arrow"))
    assert found
    return found[0]


@pytest.mark.parametrize("how", ["flipped", "removed"])
def test_damaged_part(curate: Curate, home: Path, how: str) -> None:
    """A committed file that is altered is named and set aside, a removed one is missed: made anew."""
    store = home / "run"
    curate.run(home / "r.yaml", store).ok()
    before = results(store)
    part = next(p for p in store.glob("steps/rules/*/part-*.arrow"))
    data = part.read_bytes()
    if how == "removed":
        part.unlink()
    else:
        part.write_bytes(data[:2000] + bytes(255 - b for b in data[2000:3000]) + data[3000:])
    changed = steps("good.jsonl")
    changed.insert(3, step("late", "filter.code_rules", max_constant_lines=1.0, drop_generated=False))
    write(home / "r.yaml", changed)
    done = curate.run(home / "r.yaml", store).ok()
    if how != "removed":
        assert str(part.relative_to(store)) in done.out
        assert list((store / "damaged").rglob(f"{part.stem}*"))
    curate.run(home / "r.yaml", home / "fresh").ok()
    assert results(store) == results(home / "fresh") != before


def test_damaged_receipt(curate: Curate, home: Path) -> None:
    """A record that is no JSON is named and set aside; the step is done again."""
    store = home / "run"
    curate.run(home / "r.yaml", store).ok()
    before = results(store)
    done_file = next(store.glob("steps/unique/*/done-*.json"))
    done_file.write_bytes(done_file.read_bytes()[:40])
    done = curate.run(home / "r.yaml", store).ok()
    assert str(done_file.relative_to(store)) in done.out
    assert results(store) == before


def test_removed_step(curate: Curate, home: Path) -> None:
    """A step's whole folder may be removed: it is made anew, and so is what was built on it."""
    store = home / "run"
    curate.run(home / "r.yaml", store).ok()
    before = results(store)
    shutil.rmtree(store / "steps" / "unique")
    curate.run(home / "r.yaml", store).ok()
    assert results(store) == before
    assert dataset(store)


def test_removed_shard(curate: Curate, home: Path) -> None:
    """A shard that was removed from the dataset is put back by the same command."""
    store = home / "run"
    curate.run(home / "r.yaml", store).ok()
    before = results(store)
    next((store / "out").glob("*.arrow")).unlink()
    curate.run(home / "r.yaml", store).ok()
    assert results(store) == before
    shard = next((store / "out").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "steps/out" in curate.run(home / "r.yaml", store).ok().out
    assert results(store) == before


def test_copied_without_links(curate: Curate, home: Path) -> None:
    """A store whose links became folders (scp -r) is named with its cure; exit code 6, and nothing is left over."""
    curate.run(home / "r.yaml", home / "run").ok()
    shutil.copytree(home / "run", home / "copy")
    before = sorted(p.name for p in (home / "copy").iterdir())
    done = curate.run(home / "r.yaml", home / "copy")
    assert done.code == 6
    assert f"{home / 'copy' / 'out'}: is a folder of its own" in done.line
    assert sorted(p.name for p in (home / "copy").iterdir()) == before
    shutil.rmtree(home / "copy" / "out")
    curate.run(home / "r.yaml", home / "copy").ok()
    assert results(home / "copy") == results(home / "run")


def test_removed_measurements(curate: Curate, home: Path) -> None:
    """What filters measured may be removed: it is measured again where it is needed."""
    store = home / "run"
    curate.run(home / "r.yaml", store).ok()
    before = results(store)
    for path in store.glob("signals/*/*/*.arrow"):
        path.unlink()
    curate.run(home / "r.yaml", store).ok()
    assert results(store) == before
    assert list(store.glob("signals/*/*/*.arrow"))
    for path in store.glob("signals/*/*/*.arrow"):
        path.write_bytes(path.read_bytes()[:100])
    write(
        home / "r.yaml", [*steps("good.jsonl")[:1], step("rules", "filter.massivetext", min_words=120), *steps("")[2:]]
    )
    assert "signals" in curate.run(home / "r.yaml", store).ok().out


def test_colliding_ids(curate: Curate, home: Path) -> None:
    """Two rows with one own id are an error, whether or not they are in one split."""
    (home / "twice.jsonl").write_bytes(lines(rows(prose(20), "a") + rows(prose(20)[::-1], "a")))
    write(home / "r.yaml", [*steps("twice.jsonl")[:1], step("out", "write.text")])
    for split in (64, 0.02):
        done = curate.run(home / "r.yaml", home / f"run{split}", "--split-mb", split)
        assert done.code == 3
        assert "comes twice" in done.line
        assert "step out" in done.line


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_input_that_changes_while_it_is_read(curate: Curate, home: Path, how: str) -> None:
    """What was read of other bytes than those of the digest is not committed: the run stops, and goes on when run again.

    Neither size nor mtime give it away, as after ``cp -p``.
    """
    path, store, split = home / "good.jsonl", home / "run", ("--split-mb", 0.003)
    path.write_bytes(lines(rows(prose(80), "a")))
    stamp, changed = path.stat(), path.read_bytes().replace(b" the ", b" THE ")

    def change(_: int) -> None:
        end = time.monotonic() + 60
        while not list(store.glob("steps/rules/*/receipts/*.json")):
            assert time.monotonic() < end
            time.sleep(0.002)
        target = path if how == "in place" else home / "other"
        target.write_bytes(changed)
        os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        if how == "replaced":
            target.replace(path)

    done = curate.run(home / "r.yaml", store, *split, meanwhile=change)
    assert done.code == 3, done.out
    assert "good.jsonl: the file was changed while it was being read" in done.line
    assert not (store / "manifest.json").exists()
    before = len(list(store.glob("steps/rules/*/receipts/*.json")))
    assert 1 <= before < 80
    curate.run(home / "r.yaml", store, *split).ok()
    curate.run(home / "r.yaml", home / "fresh").ok()
    assert results(store) == results(home / "fresh")
