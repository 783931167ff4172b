"""Deduplication against earlier data: snapshot after snapshot it decides what it would decide about all of them at once."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from recipes import step, write
from snapshots import at_once, decided, joined, one_by_one, write_snapshots

from curate.errors import CurateError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.mend import check_store
from curate.run.needs import needs_of
from curate.store.files import Store, encode_json
from curate.store.index import check_whole, open_index
from curate.store.sealed import seal_json
from curate.store.tables import TableReader, open_table


def test_exact_one_by_one_is_all_at_once(tmp_path: Path) -> None:
    """Several snapshots in a row, cut in any way, drop what one run over all of them drops, for the same documents."""
    snapshots = [["a", "b", "a ", "c"], ["b", "b", "d", "e", "d"], ["e", "a", "f", "f", "d"]]
    write_snapshots(tmp_path, snapshots)
    each = one_by_one(tmp_path, 3, "dedup.exact", {}, split_bytes=80, partitions=2)
    assert [len(found) for found in each] == [1, 3, 4]
    assert joined(each) == at_once(tmp_path, 3, "dedup.exact", {}, partitions=3)


def near_copies(snapshots: int) -> list[list[str]]:
    """Of six texts of 90 words several copies a snapshot, some words replaced; documents of their own; short ones."""
    rng = random.Random(11)
    bases = [[f"w{rng.randrange(10**6)}" for _ in range(90)] for _ in range(6)]
    found = []
    for number in range(snapshots):
        texts = [f"short {number % 2}", f"own {number}", " ".join(f"v{rng.randrange(10**6)}" for _ in range(60))]
        for base in bases[number % 2 :]:
            for _ in range(rng.randrange(5)):
                copy = list(base)
                for _ in range(rng.randrange(5)):
                    copy[rng.randrange(90)] = "other"
                texts.append(" ".join(copy))
        found.append(texts)
    return found


@pytest.mark.parametrize("settings", [{}, {"verify": "estimate", "bound": 3}], ids=["true", "estimate"])
def test_near_one_by_one_is_all_at_once(tmp_path: Path, settings: dict) -> None:
    """The same for near copies, similarities included, also where buckets hold more than they have places."""
    write_snapshots(tmp_path, near_copies(3), files=3)
    each = one_by_one(tmp_path, 3, "dedup.near", settings, split_bytes=2000, partitions=2)
    assert all(found for found in each)
    assert sum("index" in detail for found in each[1:] for detail in found.values()) > 8
    assert joined(each) == at_once(tmp_path, 3, "dedup.near", settings, partitions=3)


def test_semantic_one_by_one_is_all_at_once(tmp_path: Path) -> None:
    """Embeddings of a real table: texts of the same words in another order are alike, whichever snapshot has them."""
    pytest.importorskip("wordllama")
    rng = random.Random(2)
    said = [
        "the river froze in winter",
        "a teacher writes letters",
        "copper and silver are metals",
        "gardens need light",
    ]
    snapshots = [[" ".join(rng.sample(text.split(), len(text.split()))) for text in said[n:]] for n in range(3)]
    write_snapshots(tmp_path, snapshots)
    how = {"before": [step("embed", "embed.static")], "partitions": 2}
    settings = {"column": "embed.vector"}
    each = one_by_one(tmp_path, 3, "dedup.semantic", settings, **how)
    assert [len(found) for found in each] == [0, 3, 2]
    assert joined(each) == at_once(tmp_path, 3, "dedup.semantic", settings, **how)


def test_vectors_of_another_model_are_refused(tmp_path: Path) -> None:
    """An index says what made its vectors; with other settings of the same model the plan says so in one line."""
    pytest.importorskip("wordllama")
    write_snapshots(tmp_path, [["the river froze in winter", "copper is a metal"], ["gardens need light"]])
    how = [step("embed", "embed.static")]
    one_by_one(tmp_path, 1, "dedup.semantic", {"column": "embed.vector"}, before=how)
    index = open_index(tmp_path / "run0" / "unique")
    assert index.settings["numbers"] == 256
    assert index.settings["made_by"] == ["embed.static (revision 1, max_bytes 8192)"]
    said = []
    for number, settings in enumerate(({}, {"max_bytes": 4096})):
        steps = [
            step("s1", "read.jsonl", paths=["s1/*.jsonl"]),
            step("other", "embed.static", **settings),
            step("unique", "dedup.semantic", column="other.vector", against=["run0/unique"]),
        ]
        try:
            plan = make_plan(load_recipe(write(tmp_path / f"p{number}.yaml", steps)))
        except CurateError as error:
            said.append(str(error))
    # A worker elsewhere that does not see the index is refused before it begins.
    assert ((False, str(index.folder.resolve())), "") in needs_of(plan).assets.values()
    assert len(said) == 1
    assert "was made of embed.static (revision 1, max_bytes 8192), and 'other.vector' is of embed.static" in said[0]
    assert "p1.yaml:" in said[0]
    assert "\n" not in said[0]


@pytest.mark.parametrize("verify", [True, "estimate"])
def test_every_copy_of_an_indexed_document_goes(tmp_path: Path, verify: object) -> None:
    """Four copies of one text that an index has: none is kept (datatrove 0.10 keeps three). Digits and brackets tell
    exercises apart (there they do not)."""
    long = " ".join(f"word{i}" for i in range(200))
    exercises = ["What is 3+4? Answer: 7.", "What is 5-70? Answer: 65.", "x = a[i] + b", "x = a(i) - b"]
    old = [long, exercises[0], exercises[2]]
    write_snapshots(tmp_path, [old, [long, *([f"{long} more"] * 3), exercises[1], exercises[3]]])
    _, second = one_by_one(tmp_path, 2, "dedup.near", {"verify": verify, "profile": "code"})
    index = open_index(tmp_path / "run0" / "unique")
    assert index.documents == len(old)
    assert len(second) == 4
    assert {detail["index"] for detail in second.values()} == {index.short}
    assert len({detail["kept"] for detail in second.values()}) == 1


def test_matches_name_the_earlier_document_and_its_index(tmp_path: Path) -> None:
    """Every one of four copies of an indexed document goes, in favour of it; what is new stays once."""
    write_snapshots(tmp_path, [["old text", "other"], ["old text"] * 4 + ["new", "new"]])
    first, second = one_by_one(tmp_path, 2, "dedup.exact", {})
    assert not first
    index = open_index(tmp_path / "run0" / "unique")
    assert index.documents == 2
    assert len(second) == 5
    said = [detail.get("index") for detail in second.values()]
    assert sorted(map(str, said)) == sorted([index.short] * 4 + ["None"])
    old = {detail["kept"] for detail in second.values() if "index" in detail}
    assert len(old) == 1
    assert {d["similarity"] for d in second.values()} == {1.0}


@pytest.mark.parametrize("use", ["dedup.exact", "dedup.near"])
def test_independent_indexes_can_be_joined(tmp_path: Path, use: str) -> None:
    """What is in any of them is a duplicate, whatever they have in common."""
    write_snapshots(
        tmp_path, [["one two", "both of them"], ["both of them", "three"], ["one two", "both of them", "three", "new"]]
    )
    for number in (0, 1):
        source = step(f"s{number}", "read.jsonl", paths=[f"s{number}/*.jsonl"])
        decided(
            tmp_path / f"run{number}", write(tmp_path / f"{number}.yaml", [source, step("unique", use, index=True)])
        )
    for order in (["run0/unique", "run1/unique"], ["run1/unique", "run0/unique"]):
        steps = [step("s2", "read.jsonl", paths=["s2/*.jsonl"]), step("unique", use, against=order)]
        found, record = decided(tmp_path / f"run2-{order[0][3]}", write(tmp_path / "2.yaml", steps))
        assert record.counts.rows_out == 1
        names = {open_index((tmp_path / place).resolve()).short: place for place in order}
        assert sorted({names[detail["index"]] for detail in found.values()}) == sorted(order)


def test_an_index_stands_for_its_content(tmp_path: Path) -> None:
    """Splits, partitions and places don't bear on what an index is called; documents do."""
    found = set()
    for name, how in {"a": {}, "b": {"split_bytes": 40, "partitions": 3}}.items():
        write_snapshots(tmp_path / name, [["x", "y", "x", "z"]])
        one_by_one(tmp_path / name, 1, "dedup.exact", {}, **how)
        found.add(open_index(tmp_path / name / "run0" / "unique").content)
    write_snapshots(tmp_path / "c", [["x", "y", "z"]])
    one_by_one(tmp_path / "c", 1, "dedup.exact", {})
    assert len(found) == 1
    assert open_index(tmp_path / "c" / "run0" / "unique").content not in found


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two snapshots that were deduplicated, the second against the first; read only."""
    folder = tmp_path_factory.mktemp("indexed")
    write_snapshots(folder, [["old text", "other"], ["old text", "new"], ["third"]])
    one_by_one(folder, 2, "dedup.exact", {})
    return folder


def plan(folder: Path, use: str = "dedup.exact", **settings: object) -> str:
    """What planning a step with these settings says; empty where it is all right."""
    steps = [step("docs", "read.jsonl", paths=["s2/*.jsonl"]), step("unique", use, **settings)]
    try:
        make_plan(load_recipe(write(folder / "p.yaml", steps)))
    except CurateError as error:
        return str(error)
    return ""


def test_a_wrong_index_is_refused_with_one_line(indexed: Path, tmp_path: Path) -> None:
    """Another stage's, other settings, another format, one that builds on what is not named, one twice, none, a part of one."""
    here = tmp_path / "here"
    shutil.copytree(indexed, here, symlinks=True)
    one, two = "run0/unique", "run1/unique"
    assert plan(here, against=[one, two]) == ""
    said = {
        "index of dedup.exact, and this is dedup.near": plan(here, "dedup.near", against=[one]),
        "made with other settings: profile prose (here code)": plan(here, against=[one], profile="code"),
        "builds on an index that is not named before it": plan(here, against=[two]),
        "oldest first": plan(here, against=[two, one]),
        "are the same index": plan(here, against=[one, f"{here}/{one}"]),
        "named twice": plan(here, against=[one, one]),
        "there is no such folder": plan(here, against=["run7/unique"]),
        "it has no index.json": plan(here, against=["run0"]),
    }
    facts = here / one / "index.json"
    whole = facts.read_bytes()
    facts.unlink()  # another run's links to it stay as they are
    facts.write_bytes(whole[: len(whole) // 2])
    said["index.json can't be read"] = plan(here, against=[one])
    facts.write_bytes(whole.replace(b'"documents": 2', b'"documents": 3'))
    said["its checksum differs"] = plan(here, against=[one])
    facts.write_bytes(seal_json("index.json", encode_json({"format": 99})))
    said["has format 99"] = plan(here, against=[one])
    facts.write_bytes(whole)
    table = next((here / one).resolve().glob("hashes-*.arrow"))
    data = table.read_bytes()
    table.unlink()
    said[f"{table.name} is missing"] = plan(here, against=[one])
    table.write_bytes(data[:-20])
    said["the index is not whole"] = plan(here, against=[one])
    for wanted, line in said.items():
        assert wanted in line
        assert "\n" not in line
        assert "p.yaml:" in line
    # Bytes that changed while sizes did not show when they are read.
    table.write_bytes(data[:40] + bytes([data[40] ^ 255]) + data[41:])
    steps = [step("docs", "read.jsonl", paths=["s2/*.jsonl"]), step("unique", "dedup.exact", against=[one])]
    with pytest.raises(CurateError, match="checksum differs"):
        decided(here / "run2", write(here / "p.yaml", steps))


def test_an_index_made_anew_is_the_same_to_whom_uses_it(indexed: Path, tmp_path: Path) -> None:
    """With other splits and partitions its files differ; a step that used the first is done, and one that was begun with the
    first and goes on with the second gives the same."""
    shutil.copytree(indexed / "s0", tmp_path / "s0")
    shutil.copytree(indexed / "s1", tmp_path / "s1")
    found = []
    for name, how in {"one": {}, "two": {"split_bytes": 40, "partitions": 3}}.items():
        first = step("unique", "dedup.near", index=True, verify="estimate")
        source = step("s0", "read.jsonl", paths=[f"{tmp_path}/s0/*.jsonl"])
        decided(tmp_path / name, write(tmp_path / f"{name}.yaml", [source, first]), **how)
        steps = [step("s1", "read.jsonl", paths=["s1/*.jsonl"])]
        steps.append(step("unique", "dedup.near", verify="estimate", against=[f"{name}/unique"]))
        verdicts, record = decided(tmp_path / "run", write(tmp_path / "p.yaml", steps))
        again = sorted((tmp_path / "run").glob("steps/unique/*/receipts/*.json"))
        found.append((verdicts, record.fingerprint, again))
        if name == "one":
            # As if it had been killed before its end: what is left of it are receipts of tasks.
            for done in (tmp_path / "run").glob("steps/unique/*/done-*.json"):
                done.unlink()
    assert found[0][:2] == found[1][:2]
    assert len(found[0][0]) == 1
    assert set(found[0][2]) < set(found[1][2]), "what was read of other files is read anew"


@pytest.mark.parametrize("pattern", ["hashes-*.arrow", "index.json"])
def test_an_index_that_is_not_whole_is_made_anew(indexed: Path, tmp_path: Path, pattern: str) -> None:
    """By the run that made it: of what is gone at once, of what changed with --verify."""
    run, recipe = tmp_path / "run0", indexed / "0.yaml"
    _, record = decided(run, recipe)
    there = run / "unique"
    file = next(there.glob(pattern))
    file.unlink()
    decided(run, recipe)
    check_whole(open_index(there))
    file = next(there.glob(pattern)).resolve()
    data = file.read_bytes()
    file.unlink()  # what the folder was made of stays as it is
    file.write_bytes(data[:40] + bytes([data[40] ^ 255]) + data[41:])
    said: list[str] = []
    assert check_store(Store(run), said.append) == 1
    assert file.name in said[0]
    decided(run, recipe)
    assert open_index(there).content == record.report["index"]["content"]
    assert [table.read_all().num_rows for table in tables(there)] == [2]


def tables(index: Path) -> Iterator[TableReader]:
    """The files of an index's hashes, opened."""
    for path in open_index(index).files("hashes"):
        with open_table(path) as table:
            yield table


def test_an_index_may_lie_anywhere(indexed: Path, tmp_path: Path) -> None:
    """A copy is the same index: nothing is done anew when its place changes, and the old run may be gone."""
    folder = tmp_path / "mine"
    shutil.copytree(indexed / "s1", folder / "s1")
    shutil.copytree(indexed / "run0" / "unique", folder / "old")
    steps = [step("docs", "read.jsonl", paths=["s1/*.jsonl"]), step("unique", "dedup.exact", against=["old"])]
    first, record = decided(folder / "run", write(folder / "p.yaml", steps))
    (folder / "old").rename(folder / "moved")
    steps[1]["with"]["against"] = [str(folder / "moved")]
    second, again = decided(folder / "run", write(folder / "p.yaml", steps))
    assert len(first) == 1
    assert first == second
    assert record.fingerprint == again.fingerprint
