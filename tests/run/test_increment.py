"""What is done is not done again: only what a change bears on, and the result is that of a fresh run."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from command import Curate, alive, dataset, descendants, manifest, receipts, record, results
from corpus import code, lines, many_frames, prose, rows
from recipes import Steps, changed, step, write

from curate.store.files import Store

SPLIT = ("--split-mb", 0.04, "--partitions", 2)


def steps() -> Steps:
    """Three filters in a row and one after a global step, without and with a seed."""
    return [
        step("docs", "read.jsonl", paths=["in"]),
        step("short", "filter.massivetext", min_words=225),
        step("code-like", "filter.code_rules", max_line_chars=85, max_constant_lines=1.0),
        step("unique", "dedup.exact"),
        step("late", "filter.massivetext", max_symbol_ratio=0.02, min_stop_words=0),
        step("labels", "label.contrast", positive=["docs"], negative=["nothing"]),
        step("top", "select.where", column="labels.label", top=0.9),
        step("out", "write.text", documents_per_shard=25),
    ]


@pytest.fixture(scope="module")
def home(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs, a recipe, and a finished run in ``run``."""
    home = tmp_path_factory.mktemp("increment")
    (home / "in").mkdir()
    english = prose(60, 1500)
    (home / "in" / "a.jsonl").write_bytes(lines(rows(english[:40], "a")))
    (home / "in" / "b.jsonl.zst").write_bytes(many_frames(rows(english[40:] + english[:9], "b"), 6))
    write(home / "r.yaml", steps())
    curate.run(home / "r.yaml", home / "run", *SPLIT).ok()
    return home


@pytest.fixture
def mine(home: Path, tmp_path: Path) -> Path:
    """A copy of all that, moved elsewhere: to be changed by one test."""
    shutil.copytree(home, tmp_path / "moved", symlinks=True)
    return tmp_path / "moved"


def fresh_results(curate: Curate, mine: Path, *argv: object) -> dict[str, str]:
    """Results of the recipe, as it is now, in a new store."""
    curate.run(mine / "r.yaml", mine / "fresh", *SPLIT, *argv).ok()
    return results(mine / "fresh")


def test_again_does_nothing(curate: Curate, home: Path, mine: Path) -> None:
    """A finished run, even in a store and with inputs that were moved, starts no cluster and no task."""
    before, digests = receipts(mine / "run"), results(mine / "run")
    written = {p: p.stat().st_mtime_ns for p in (mine / "run" / "steps").rglob("*.arrow")}
    children: set[int] = set()

    def watch(pid: int) -> None:
        while alive(pid):
            children.update(descendants(pid))
            time.sleep(0.02)

    curate.run(mine / "r.yaml", mine / "run", *SPLIT, workers=2, meanwhile=watch).ok()
    assert not children, "no worker was started"
    assert receipts(mine / "run") == before
    assert {p: p.stat().st_mtime_ns for p in (mine / "run" / "steps").rglob("*.arrow")} == written
    assert results(mine / "run") == digests == results(home / "run")


def test_threshold(curate: Curate, mine: Path) -> None:
    """A changed threshold measures nothing anew but what it made visible to later filters."""
    store = mine / "run"
    earlier = {name: record(store, name)["counts"] for name in ("short", "code-like", "late", "unique")}
    assert earlier["short"]["measured"] == earlier["short"]["rows_in"] > 0
    write(mine / "r.yaml", changed(steps(), "short", min_words=100))
    before = receipts(store)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    now = {name: record(store, name)["counts"] for name in earlier}
    assert now["short"]["measured"] == 0
    more = now["code-like"]["rows_in"] - earlier["code-like"]["rows_in"]
    assert more > 0
    assert now["code-like"]["measured"] == more
    assert now["late"]["measured"] <= more, "the rows of the text that was there are known"
    after = receipts(store)
    assert {k: v for k, v in after.items() if k in before} == before
    assert {k.split("/")[1] for k in set(after) - set(before)} >= {"code-like", "unique", "top", "out"}
    assert results(store) == fresh_results(curate, mine)


def test_threshold_where_an_id_repeats(curate: Curate, mine: Path) -> None:
    """Two rows with one own id, of which a filter drops one: what was measured of one is not taken for the other."""
    texts = ["Too short.", prose(1)[0]]
    (mine / "twice.jsonl").write_text("".join(json.dumps({"id": "x", "text": t}) + "\n" for t in texts))
    found = []
    for words in (10, 11):
        recipe = [
            step("docs", "read.jsonl", paths=["twice.jsonl"]),
            step("rules", "filter.massivetext", min_words=words),
        ]
        write(mine / "r.yaml", [*recipe, step("out", "write.text")])
        curate.run(mine / "r.yaml", mine / "twice").ok()
        found.append(record(mine / "twice", "rules")["counts"]["measured"])
        assert results(mine / "twice") == fresh_results(curate, mine)
    assert found == [2, 0]


def test_threshold_of_a_middle_filter(curate: Curate, mine: Path) -> None:
    """The filter before it measures nothing either; and going back finds everything done."""
    store = mine / "run"
    digests = results(store)
    write(mine / "r.yaml", changed(steps(), "code-like", max_line_chars=70))
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    folder = (store / json.loads((store / "steps.json").read_text())["code-like"]).parent
    counts = [json.loads(p.read_bytes())["counts"] for p in folder.glob("receipts/*.json")]
    assert len(counts) >= 3
    assert sum(c["short"]["rows_in"] for c in counts) == 69
    assert {c[n]["measured"] for c in counts for n in ("short", "code-like")} == {0}
    assert results(store) == fresh_results(curate, mine) != digests
    write(mine / "r.yaml", steps())
    before = receipts(store)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) == before
    assert results(store) == digests


def test_late_threshold_touches_nothing_above(curate: Curate, mine: Path) -> None:
    """Steps above a change keep their receipts and records."""
    store = mine / "run"
    before = receipts(store)
    write(mine / "r.yaml", changed(steps(), "late", max_symbol_ratio=0.05))
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    new = {k.split("/")[1] for k in set(receipts(store)) - set(before)}
    assert new == {"late", "labels", "top", "out"}
    assert record(store, "late")["counts"]["measured"] == 0
    assert results(store) == fresh_results(curate, mine)


def test_one_more_file(curate: Curate, mine: Path) -> None:
    """A new input redoes its own row-local tasks and the global steps; the other files' receipts stand."""
    store = mine / "run"
    (mine / "in" / "c.jsonl").write_bytes(lines(rows([*prose(75, 1500)[60:], *prose(3, 1500)], "c")))
    before, measured = receipts(store), record(store, "short")["counts"]["rows_in"]
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    after = receipts(store)
    assert {k: v for k, v in after.items() if k in before} == before
    new = [k for k in set(after) - set(before) if k.startswith("steps/code-like/") and "/receipts/" in k]
    assert len(new) == -(-(mine / "in" / "c.jsonl").stat().st_size // 40_000), "one task for each split of the new file"
    counts = record(store, "short")["counts"]
    assert counts["rows_in"] == measured + 18
    assert results(store) == fresh_results(curate, mine)
    # And taking it away again finds the old steps done.
    (mine / "in" / "c.jsonl").unlink()
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) == after


def test_seed(curate: Curate, mine: Path) -> None:
    """Another seed redoes what is seeded (from the exact duplicates on: Global steps may be) and nothing above."""
    store = mine / "run"
    before, digests = receipts(store), results(store)
    write(mine / "r.yaml", steps(), seed=8)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    new = {k.split("/")[1] for k in set(receipts(store)) - set(before)}
    assert not new & {"docs", "short", "code-like"}
    assert {"top", "out"} <= new
    assert results(store) != digests
    assert results(store) == fresh_results(curate, mine)


def ids(store: Path) -> list[str]:
    """Ids of the dataset's documents."""
    return [row["origin"] for row in dataset(store)]


def reading() -> Steps:
    """Only reading and writing."""
    return [steps()[0], step("out", "write.text")]


def test_samples_are_nested(curate: Curate, mine: Path) -> None:
    """--sample 0.1 lies in 0.3, and that in everything, also under another seed."""
    write(mine / "s.yaml", reading())
    sets = []
    for sample, seed in ((0.1, 7), (0.3, 8), (1, 9)):
        write(mine / "s.yaml", reading(), seed=seed)
        curate.run(mine / "s.yaml", mine / f"sample{sample}", "--sample", sample).ok()
        sets.append(set(ids(mine / f"sample{sample}")))
    assert sets[0] < sets[1] < sets[2]
    assert len(sets[2]) == 69
    assert 1 <= len(sets[0]) <= 20
    assert 10 <= len(sets[1]) <= 35


@pytest.mark.parametrize("limit", [1, 11, 45, 1000])
def test_limit(curate: Curate, mine: Path, limit: int) -> None:
    """--limit N gives the first N documents in input order, however the input is cut."""
    write(mine / "s.yaml", reading())
    everything = [f"a.jsonl#a-{i}" for i in range(40)] + [f"b.jsonl.zst#b-{i}" for i in range(29)]
    found = []
    for split in (64, 0.01):
        store = mine / f"limit{split}"
        curate.run(mine / "s.yaml", store, "--limit", limit, "--split-mb", split).ok()
        assert sorted(ids(store)) == sorted(everything[:limit])
        found.append(results(store))
    assert found[0] == found[1]
    assert manifest(mine / "limit64")["options"] == {"limit": limit}


def test_limit_among_bad_rows(curate: Curate, mine: Path) -> None:
    """Rows that are set aside count up to the last document that is read, however the input is cut."""
    texts = [json.dumps({"text": t}) for t in prose(20)]
    (mine / "mixed.jsonl").write_text("".join(f"{t}\nnot json\n" for t in texts))
    write(mine / "s.yaml", [step("docs", "read.jsonl", paths=["mixed.jsonl"]), step("out", "write.text")])
    for split in (64, 0.02, 0.001):
        store = mine / f"bad{split}"
        curate.run(mine / "s.yaml", store, "--limit", 7, "--split-mb", split).ok()
        assert manifest(store)["steps"]["docs"]["reasons"] == {"malformed": 6}
        assert results(store) == results(mine / "bad64")


def test_guard(curate: Curate, mine: Path) -> None:
    """A guard stops the run with exit code 7 and the reasons; what was committed is kept and used."""
    store = mine / "guarded"
    guarded = changed(steps(), "short", min_words=250)
    guarded[1]["guard"] = {"max_drop": 0.1}
    write(mine / "r.yaml", guarded)
    done = curate.run(mine / "r.yaml", store, *SPLIT)
    assert done.code == 7
    assert "r.yaml:" in done.line
    assert "too_short" in done.line
    before = receipts(store)
    assert before
    assert not (store / "manifest.json").exists()
    assert not (store / "out").exists()
    assert json.loads((store / "run.json").read_text())["sessions"][-1]["outcome"].startswith("failed: ")
    # Stopped again, without doing anything; then with a wider guard it goes on from there.
    assert curate.run(mine / "r.yaml", store, *SPLIT).code == 7
    assert receipts(store) == before
    guarded[1]["guard"] = {"max_drop": 1.0}
    write(mine / "r.yaml", guarded)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    after = receipts(store)
    assert {k: v for k, v in after.items() if k in before} == before
    assert record(store, "short")["counts"]["measured"] > 0
    guarded[1]["guard"] = {"min_drop": 0.99}
    write(mine / "r.yaml", guarded)
    done = curate.run(mine / "r.yaml", store, *SPLIT)
    assert done.code == 7
    assert "less than its guard" in done.line


def test_other_versions(curate: Curate, mine: Path) -> None:
    """A step begun under other library versions is not gone on with; a finished one is used as it is."""
    store = mine / "run"
    record_ = json.loads((store / "steps.json").read_text())["unique"]
    known = store / record_
    facts = f"{Path(record_).parent}/step.json"
    value = Store(store).read_json(facts)
    value["versions"]["numpy"] = "1.0.0"
    Store(store).replace_json(facts, value)
    before = results(store)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert results(store) == before
    known.unlink()
    done = curate.run(mine / "r.yaml", store, *SPLIT)
    assert done.code == 8
    assert "unique" in done.line
    assert "numpy 1.0.0 -> " in done.line
    assert str(known.parent) in done.line, "the cure names the folder"
    shutil.rmtree(known.parent)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert results(store) == before


def test_renamed_step_and_recipe(curate: Curate, mine: Path) -> None:
    """Another id for a step is another step; another name for the recipe is not."""
    store = mine / "run"
    before = receipts(store)
    (mine / "r.yaml").rename(mine / "renamed.yaml")
    write(mine / "renamed.yaml", steps(), name="other", about="said otherwise")
    curate.run(mine / "renamed.yaml", store, *SPLIT).ok()
    assert receipts(store) == before
    assert manifest(store)["recipe"] == "other"
    # Rows carry the names of steps: in their ids, and in the columns that steps add.
    renamed = [{**s, "id": {"docs": "pages", "labels": "marks"}.get(s["id"], s["id"])} for s in steps()]
    renamed = changed(changed(renamed, "marks", positive=["pages"]), "top", column="marks.label")
    write(mine / "r.yaml", renamed)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert results(store) == fresh_results(curate, mine)


def test_touched_file(curate: Curate, mine: Path) -> None:
    """An input that was copied or touched, but holds the same bytes, is the same input; other bytes are not."""
    store = mine / "run"
    before = receipts(store)
    path = mine / "in" / "a.jsonl"
    path.write_bytes(path.read_bytes())
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) == before
    # Not even when size and mtime are the same, as after cp -p or rsync -t.
    data, stamp = path.read_bytes(), path.stat()
    path.write_bytes(data.replace(b" the ", b" THE ", 1))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) != before
    before = receipts(store)
    path.write_bytes(lines(rows([*prose(39, 1500), code(1)[0]], "a")))
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) != before
    assert results(store) == fresh_results(curate, mine)


def test_a_second_reader_of_a_step_inside_a_segment(curate: Curate, mine: Path) -> None:
    """A step that was fused with the next one ends a segment when another step reads it, too: its rows are there, and
    back again when that one is gone."""
    first = results(mine / "run")
    more = [*steps(), step("again", "write.text", "short", documents_per_shard=25)]
    write(mine / "r.yaml", more)
    done = curate.run(mine / "r.yaml", mine / "run", *SPLIT).ok()
    assert results(mine / "run") == fresh_results(curate, mine)
    assert manifest(mine / "run")["steps"]["again"]["rows_in"] > 0, done.out
    write(mine / "r.yaml", steps())
    curate.run(mine / "r.yaml", mine / "run", *SPLIT).ok()
    assert {k: v for k, v in results(mine / "run").items() if k in first} == first
