"""Indexes of benchmarks: the same bytes for the same items, no text, nothing of strangers believed."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pytest

from curate.benchmarks.against import index_of, named, sources
from curate.benchmarks.hits import LAYERS, Least
from curate.benchmarks.index import grammar, load, open_benchmarks, write_index
from curate.benchmarks.registry import of_file
from curate.benchmarks.screen import find, screen
from curate.errors import InputError, RecipeError
from curate.store.arrays import read_arrays, write_arrays
from curate.store.index import FACTS
from curate.store.sealed import seal_json
from curate.text.batch import Batch

CHOICES = [
    {"question": f"Which of these {n} is the colour of the sea in most of the pictures of {n}?", "choices": ["blue", f"red {n}"], "answer": 0}
    for n in ("children", "sailors", "painters", "writers")
]  # fmt: skip


@pytest.fixture(scope="module")
def humaneval():
    return sources(named("humaneval").benchmarks)


@pytest.fixture(scope="module")
def index(tmp_path_factory, humaneval):
    """The folder of an index of HumanEval; read only."""
    return write_index(tmp_path_factory.mktemp("index") / "humaneval", humaneval).folder


@pytest.fixture
def copy(tmp_path, index):
    return shutil.copytree(index, tmp_path / "copy")


def own(folder, rows, name="own"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sources((of_file(path),))


def test_the_same_items_give_the_same_bytes(tmp_path, index, humaneval):
    """Whenever, wherever, and in place of what was there."""
    again = write_index(tmp_path / "again", humaneval)
    write_index(tmp_path / "again", humaneval)
    assert sorted(p.name for p in again.folder.iterdir()) == sorted(p.name for p in index.iterdir())
    for path in index.iterdir():
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_no_text_of_an_item_is_in_it(index, humaneval):
    """No eight words in a row, and no array in the order of the words: names of items, and hashes by their values."""
    held = b"".join(read_all(path) for path in index.iterdir()).lower()
    for _, items in humaneval:
        for item in items:
            for text in (item.prompt, item.answer, item.test):
                words = re.findall(rb"\w+", text.lower().encode())
                for i in range(len(words) - 7):
                    assert b" ".join(words[i : i + 8]) not in held
            assert not item.entry_point or len(item.entry_point) < 8 or item.entry_point.encode() not in held
    keys = read_arrays(index / "words.npz")["keys"]
    assert (keys[1:] > keys[:-1]).all()


def read_all(path):
    """A file's bytes as they are, and unpacked."""
    if path.suffix == ".npz":
        return path.read_bytes() + b"".join(array.tobytes() for array in read_arrays(path).values())
    return path.read_bytes()


def test_it_says_what_it_is_of(index):
    """Versions of its hashes, and each benchmark with version, licence, splits, number and digest of items."""
    opened = open_benchmarks(index)
    (said,) = opened.settings["benchmarks"]
    assert opened.settings["grammar"] == grammar()
    assert (said["key"], said["version"], said["license"], said["items"], said["splits"]) == (
        "humaneval", "1.0.3", "MIT", 164, ["test"],
    )  # fmt: skip
    loaded = load([index])
    assert loaded.items[0].as_py() == "humaneval/HumanEval/0"
    assert len(loaded.names) >= 158  # six names are asked for twice; solutions have functions of their own
    assert loaded.nbytes < 2e6


def test_another_grammar_is_refused(copy):
    """Hashes of another version find nothing."""
    said = json.loads((copy / FACTS).read_bytes())
    del said["checksum"]
    said["settings"]["grammar"]["words"] += 1
    (copy / FACTS).write_bytes(seal_json(FACTS, json.dumps(said, indent=1).encode()))
    with pytest.raises(InputError, match=r"made with other hashes \(.*words 3.*this version.*words 2") as caught:
        load([copy])
    assert "curate benchmarks build" in caught.value.cure


@pytest.mark.parametrize("name", ["index.json", "items.arrow", "words.npz", "trees.npz", "prompts.npz", "names.npz"])
def test_damage_is_named(copy, name):
    """A file that is cut short, or in which a bit is another, or that is gone."""
    path = copy / name
    data = path.read_bytes()
    for damaged in (data[:-5], data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(Exception, match=r".") as caught:
            load([copy])
        assert type(caught.value).__module__ == "curate.errors", caught.value
    path.unlink()
    with pytest.raises(InputError, match=r"no index of benchmarks|not whole"):
        load([copy])


def changed(folder, table, name, change):
    """Another array in a file of an index that is whole otherwise."""
    path = folder / f"{table}.npz"
    arrays = dict(read_arrays(path))
    write_arrays(path, {**arrays, name: change(arrays[name])})
    said = json.loads((folder / FACTS).read_bytes())
    del said["checksum"]
    said["tables"][table][0]["size"] = path.stat().st_size
    (folder / FACTS).write_bytes(seal_json(FACTS, json.dumps(said, indent=1).encode()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("words.owners", lambda a: a + 10**6), ("words.owners", lambda a: a - 10**6), ("words.owners_at", lambda a: a + 1),
        ("words.owners_at", lambda a: a[::-1].copy()), ("words.item", lambda a: a + 164), ("words.part", lambda a: a + 100),
        ("words.lengths", lambda a: a + 10**6), ("words.lengths", lambda a: a * 0), ("words.needs_at", lambda a: a + 5),
        ("words.totals", lambda a: a[:-1]), ("words.totals", lambda a: a * 0), ("words.whole", lambda a: a[:5]),
        ("words.keys", lambda a: a[::-1].copy()), ("words.keys", lambda a: a.astype(np.float64)),
        ("words.sieve", lambda a: a[:3]), ("words.item", lambda a: a.reshape(-1, 1)),
        ("trees.owners", lambda a: a + 164), ("trees.owners", lambda a: a - 164), ("trees.symbols_at", lambda a: a + 1),
        ("trees.symbols_at", lambda a: a[::-1].copy()), ("trees.statements_at", lambda a: a[:-1]),
        ("trees.symbols", lambda a: a.astype(np.float64)), ("trees.depths", lambda a: a[:-1]), ("trees.names", lambda a: a[:5]),
        ("names.names", lambda a: a.astype(np.float64)),
    ],
)  # fmt: skip
def test_arrays_that_point_elsewhere_are_refused(copy, name, change):
    """An index may come from strangers, and kernels read where its arrays say."""
    changed(copy, *name.split("."), change)
    with pytest.raises(InputError, match="the index is damaged"):
        load([copy])


def test_several_indexes_find_what_one_of_all_finds(tmp_path, index, humaneval):
    """In one pass: items, parts, shares and runs."""
    code = "def spread(of):\n    low, high = min(of), max(of)\n    if not of:\n        return 0\n    return (high - low) / len(of)\n"
    more = own(tmp_path, [*CHOICES, {"question": "Say how far some numbers are apart", "answer": code}])
    write_index(tmp_path / "more", more)
    together = write_index(tmp_path / "all", [*humaneval, *more])
    texts = [items[i].prompt + items[0].answer for _, items in (*humaneval, *more) for i in range(len(items))]
    solutions = [items[i].solution for _, items in (*humaneval, *more) for i in range(0, len(items), 2)]
    docs = Batch.of(pa.array([*texts, *solutions, "", "nothing of these"], pa.large_string()))
    one, two = (find(docs, loaded) for loaded in (load([together.folder]), load([index, tmp_path / "more"])))
    for field in dataclasses.fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name
    assert {LAYERS[layer] for layer in one.layer} == set(LAYERS)
    back = find(docs, load([tmp_path / "more", index]))
    assert len(back.row) == len(one.row)


def test_texts_are_screened(index, humaneval):
    """The strongest hit, named; thresholds as those of the stage."""
    items = humaneval[0][1]
    half = " ".join(items[0].prompt.split()[:30])
    got = screen([items[2].prompt, half, "x"], load([index]))
    assert got[0] == "benchmark_ngram: humaneval/HumanEval/2 (prompt, 1.00)"
    assert got[1] is not None
    assert got[1].startswith("benchmark_ngram: humaneval/HumanEval/0 (prompt, 0.")
    assert got[2] is None
    strict = Least(containment=0.99, run=10**6, of_document=1.0, tau=1.0, likely=1.0)
    assert screen([half + " and all the rest of it"], load([index]), strict) == [None]
    renamed = re.sub(r"\bnumbers\b", "values", re.sub(r"\bthreshold\b", "limit", items[0].solution))
    renamed = renamed.replace(items[0].prompt.split('"""')[1], " Near ones. ").replace("has_close_elements", "near")
    assert screen([renamed], load([index])) == ["benchmark_code: humaneval/HumanEval/0 (solution, 1.00)"]


def test_an_index_is_made_once(tmp_path, monkeypatch):
    """In the cache, of what the registry says and the files hold; another file makes another one."""
    monkeypatch.setenv("CURATE_BENCHMARKS", str(tmp_path / "cache"))
    own(tmp_path, CHOICES)
    first = index_of(str(tmp_path / "own.jsonl"))
    stamp = (first / FACTS).stat().st_mtime_ns
    assert index_of(str(tmp_path / "own.jsonl")) == first
    assert (first / FACTS).stat().st_mtime_ns == stamp
    (first / FACTS).unlink()
    with pytest.raises(InputError, match="is there already, and is no index"):
        index_of(str(tmp_path / "own.jsonl"))
    own(tmp_path, CHOICES[1:])
    assert index_of(str(tmp_path / "own.jsonl")) != first
    with pytest.raises(RecipeError, match="did you mean 'humaneval'"):
        index_of("humanevil")


def test_what_can_not_be_indexed(tmp_path, humaneval):
    """A folder that is something else; two benchmarks of one name; a prompt whose words are signs."""
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="is no index"):
        write_index(tmp_path / "there", humaneval)
    with pytest.raises(InputError, match="two benchmarks are called 'humaneval'"):
        write_index(tmp_path / "twice", [*humaneval, *humaneval])
    with pytest.raises(InputError, match=r"own.jsonl:2"):
        write_index(tmp_path / "signs", own(tmp_path, [CHOICES[0], {"question": "_ _"}]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.jsonl", "there"]
