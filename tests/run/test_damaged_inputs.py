"""Input files that are damaged in the middle: they stop the run, or go as a whole, counted and named."""

from __future__ import annotations

import gzip
import json
from array import array
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Curate, manifest, results
from corpus import lines, one_frame, prose, rows
from recipes import step, write

from curate.errors import DamagedInputError
from curate.run import damaged_inputs
from curate.run.damaged_inputs import DamagedInputs
from curate.stages.catalog import Files
from curate.store.files import Store
from curate.store.known_files import KnownFiles
from curate.store.known_ranges import KEY
from curate.store.tables import read_table

NAMES = ("a", "b", "c")


def inputs(folder: Path, kind: str) -> Path:
    """Three files of one kind, each of several splits; the folder."""
    folder.mkdir(parents=True)
    texts = prose(90, 1000)
    for number, name in enumerate(NAMES):
        records = rows(texts[30 * number : 30 * number + 30], name)
        if kind == "gz":
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines(records), mtime=0))
        elif kind == "zst":
            (folder / f"{name}.jsonl.zst").write_bytes(one_frame(lines(records)))
        elif kind == "parquet":
            pq.write_table(pa.Table.from_pylist(records), folder / f"{name}.parquet", row_group_size=7)
        else:
            table = pa.Table.from_pylist(records)
            with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
                out.write_table(table, max_chunksize=7)
    return folder


def recipe(folder: Path, kind: str, on_damage: str) -> Path:
    """A recipe that reads the folder."""
    use = {"gz": "read.jsonl", "zst": "read.jsonl", "parquet": "read.parquet", "arrow": "read.arrow"}[kind]
    steps = [
        step("docs", use, paths=["in"], on_damage=on_damage),
        step("rules", "filter.massivetext", min_words=30),
        step("text", "write.text", documents_per_shard=20),
    ]
    return write(folder / "r.yaml", steps)


def break_(path: Path, how: str) -> None:
    """Damage the middle of a file, or cut it there."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if how == "cut":
        del data[middle:]
    else:
        data[middle : middle + 400] = bytes(b ^ 0x5A for b in data[middle : middle + 400])
    path.write_bytes(data)


@pytest.mark.parametrize(("kind", "how"), [("gz", "flip"), ("zst", "cut"), ("parquet", "flip")])
def test_goes_as_a_whole(curate: Curate, tmp_path: Path, kind: str, how: str) -> None:
    """The same rows as if the file had not been there, however the input is split; it is named and counted."""
    folder = inputs(tmp_path / "in", kind)
    path = next(folder.glob("b.*"))
    break_(path, how)
    shown = recipe(tmp_path, kind, "set_aside")
    fine = curate.run(shown, tmp_path / "fine", "--split-mb", 0.005).ok()
    curate.run(shown, tmp_path / "coarse").ok()
    assert results(tmp_path / "fine") == results(tmp_path / "coarse")
    (line,) = [line for line in fine.err.splitlines() + fine.out.splitlines() if "set aside as a whole" in line]
    assert line.strip().startswith(f"{path}: ")
    said = manifest(tmp_path / "fine")
    assert said["steps"]["docs"]["reasons"]["damaged_file"] == 1
    assert said["steps"]["docs"]["rows_in"] == said["steps"]["docs"]["rows_out"] + 1 == 61
    assert [i["name"] for i in said["inputs"]["docs"] if i["digest"] == "damaged_file"] == [path.name]
    found = json.loads(curate("inspect", tmp_path / "fine", "--step", "docs", "--json").ok().out)
    assert "damaged_file" in json.dumps(found)
    # Going on reads nothing again; without the file there are the same shards.
    again = curate.run(shown, tmp_path / "fine", "--split-mb", 0.005).ok()
    assert "set aside" not in again.err + again.out
    path.unlink()
    curate.run(shown, tmp_path / "without").ok()
    texts = [{k: v for k, v in results(tmp_path / s).items() if k.endswith(".arrow")} for s in ("fine", "without")]
    assert texts[0] == texts[1]


def test_stops_unless_told_otherwise(curate: Curate, tmp_path: Path) -> None:
    """By default the run stops with one line that names the file, and goes on when the file was mended."""
    folder = inputs(tmp_path / "in", "gz")
    path = folder / "b.jsonl.gz"
    whole = path.read_bytes()
    break_(path, "cut")
    stopped = recipe(tmp_path, "gz", "stop")
    done = curate.run(stopped, tmp_path / "run", "--split-mb", 0.005)
    assert done.code == 3
    assert str(path) in done.line
    assert "ends inside a gzip member" in done.line
    # A mended file is another version: it is read, where it was set aside before, too.
    aside = recipe(tmp_path, "gz", "set_aside")
    curate.run(aside, tmp_path / "aside").ok()
    path.write_bytes(whole)
    for store in ("run", "aside"):
        curate.run(aside, tmp_path / store).ok()
        assert manifest(tmp_path / store)["steps"]["docs"]["rows_out"] == 90
    assert results(tmp_path / "run", card=False) == results(tmp_path / "aside", card=False)


def test_several_and_nothing_left(curate: Curate, tmp_path: Path) -> None:
    """Damage is set aside file by file; when no file is left, the run stops."""
    folder = inputs(tmp_path / "in", "parquet")
    for name in ("a", "b"):
        break_(folder / f"{name}.parquet", "flip")
    shown = recipe(tmp_path, "parquet", "set_aside")
    curate.run(shown, tmp_path / "run", "--split-mb", 0.005).ok()
    assert manifest(tmp_path / "run")["steps"]["docs"]["reasons"]["damaged_file"] == 2
    break_(folder / "c.parquet", "cut")
    done = curate.run(shown, tmp_path / "other")
    assert done.code == 3
    assert "every file of it is damaged" in done.line


def test_they_are_noted_in_any_store():
    """A row for each file, on an object store as on a disk."""
    store = Store("memory://damaged-inputs/run")
    (key,) = damaged_inputs.dropped(store, "steps/docs/x", "docs", ["a.jsonl", "b.jsonl"])
    noted = read_table(store.data(key)).to_pylist()
    assert [(row["origin"], row["step"], row["reason"]) for row in noted] == [
        ("a.jsonl", "docs", "damaged_file"),
        ("b.jsonl", "docs", "damaged_file"),
    ]


def test_what_a_plan_found_before_it_stopped_is_kept(curate: Curate, tmp_path: Path) -> None:
    """The digests of all files: where the next run begins, none of those that are sound is read for one."""
    break_(inputs(tmp_path / "in", "zst") / "c.jsonl.zst", "cut")
    done = curate.run(recipe(tmp_path, "zst", "stop"), tmp_path / "run", "--split-mb", 0.005)
    assert done.code == 3 and "c.jsonl.zst" in done.line
    kept = KnownFiles(Store(tmp_path / "run"))._rows
    assert {"a.jsonl.zst", "b.jsonl.zst"} <= {*kept.column("name").to_pylist()}
    assert (tmp_path / "run" / KEY).is_file()


def test_listings_do_not_pile_up(tmp_path: Path) -> None:
    """A plan is walked again for each damaged file: of each listing one is held, and the files of all are known."""
    damaged = DamagedInputs(Store(tmp_path))

    def listing(root: str, *names: str) -> Files:
        return Files.in_order(root, names, array("q", range(3 * len(names))))

    for _ in range(5):
        for files in (listing("/in", "a", "b"), listing("/in", "c"), listing("/other", "a", "b")):
            assert damaged.sound(files) is files
    assert len(damaged._listed) == 3
    for path in ("/in/b", "/in/c", "/other/a"):
        assert damaged.takes(DamagedInputError("cut short", place=path))
        assert not damaged.takes(DamagedInputError("cut short", place=path))
    assert [damaged.sound(f).names for f in (listing("/in", "a", "b"), listing("/other", "a", "b"))] == [["a"], ["b"]]
    assert damaged.left_out == ["b", "a"]
