"""Items from rows: fields, choices, splits, and rows that are none."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from curate.benchmarks.against import sources
from curate.benchmarks.registry import load_registry, of_file
from curate.errors import InputError


def registered(folder, rows, **entry):
    """A benchmark whose file has some rows."""
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed = {"benchmarks": {"own": {"file": "own.jsonl", **entry}}}
    (folder / "registry.yaml").write_text(yaml.safe_dump(listed))
    return load_registry(folder)["own"]


def items(benchmark, splits=None):
    ((_, found),) = sources([benchmark], splits)
    return found


@pytest.mark.parametrize(
    ("row", "fields", "more"),
    [
        ({"choices": {"text": ["red", "blue"], "label": ["A", "B"]}, "key": "B"}, {"choices": "choices.text", "labels": "choices.label", "answer": "key"}, {}),
        ({"choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "key": "2"}, {"choices": "choices.text", "labels": "choices.label", "answer": "key"}, {}),
        ({"o": ["red", "blue"], "key": 1}, {"choices": "o", "answer": "key"}, {}),
        ({"o": ["red", "blue"], "key": "1"}, {"choices": "o", "answer": "key"}, {}),
        ({"o": ["red", "blue"], "key": "B"}, {"choices": "o", "answer": "key"}, {}),
        ({"o": ["red", "blue"], "key": "blue"}, {"choices": "o", "answer": "key"}, {}),
        ({"a": "red", "b": "blue", "key": "2"}, {"choices": ["a", "b"], "answer": "key"}, {"first_choice": 1}),
        ({"meta": '{"o": ["red", "blue"]}', "key": 1}, {"choices": "meta.o", "answer": "key"}, {}),
    ],
)  # fmt: skip
def test_the_right_choice(tmp_path, row, fields, more):
    """Given as number, label, letter or text, in lists, in objects, in fields of their own, in JSON text."""
    benchmark = registered(tmp_path, [{"q": "which?", **row}], fields={"prompt": "q", **fields}, **more)
    (item,) = items(benchmark)
    assert item.choices == ("red", "blue")
    assert item.answer == "blue"


def test_fields_are_joined_and_typed(tmp_path):
    """Several fields are one text; lists are lines; numbers and truth values are written."""
    row = {"a": "one", "b": "two", "right": True, "tests": ["assert f(1)", "assert f(2)"], "n": 7}
    (item,) = items(
        registered(tmp_path, [row], fields={"id": "n", "prompt": ["a", "b"], "answer": "right", "test": "tests"})
    )
    assert (item.id, item.prompt, item.answer, item.test) == ("7", "one\ntwo", "yes", "assert f(1)\nassert f(2)")


def test_test_splits_only(tmp_path):
    """Other splits are not checked unless they are named; few-shot ones are."""
    rows = [
        {"id": i, "question": f"what is {split}", "split": split} for i, split in enumerate(("train", "test", "dev"))
    ]
    fields = {"id": "id", "prompt": "question", "split": "split"}
    benchmark = registered(tmp_path, rows, fields=fields, splits={"few_shot": ["dev"]})
    assert [item.split for item in items(benchmark)] == ["test", "dev"]
    assert [item.split for item in items(benchmark, ["train"])] == ["train"]
    with pytest.raises(InputError, match=r"no item in the splits other.*there are: dev, test, train"):
        items(benchmark, ["other"])


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_forms(tmp_path, form):
    """The same items whatever packs them; numbered where they have no ids."""
    rows = [{"question": f"what is {i}", "answer": str(i)} for i in range(3)]
    path = tmp_path / f"mine.{form}"
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    packed = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(packed[form](text))
    found = items(of_file(path))
    assert [(i.id, i.prompt, i.answer) for i in found] == [(str(i), f"what is {i}", str(i)) for i in range(3)]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"q": "?!"}], "own.jsonl:1: no item: a prompt without words (q)"),
        ([{"q": "x"}, {"q": None}], "own.jsonl:2: no item: a prompt without words"),
        ([{"q": {"a": 1}}], "no item: q is no text"),
        ([{"q": "x", "o": "red", "key": 0}], "o is no list of choices"),
        ([{"q": "x", "o": ["red"], "key": 3}], "none of 1 choices"),
        ([{"q": "x", "o": ["red"], "key": "green"}], "'green' is none of the choices"),
        ([{"q": "x", "n": 1}, {"q": "y", "n": 1}], "own.jsonl:2: the id '1' is that of"),
    ],
)
def test_rows_that_are_no_items(tmp_path, rows, says):
    """Named with file and row."""
    benchmark = registered(tmp_path, rows, fields={"id": "n", "prompt": "q", "choices": "o", "answer": "key"})
    with pytest.raises(InputError) as caught:
        items(benchmark)
    assert says in str(caught.value)


def test_what_is_no_file_of_items(tmp_path):
    """Lines that are no objects, bytes that are not packed, a digest, a number that differs, a file that is not there."""
    bad = {"a.jsonl": b"{\n", "b.jsonl": b"[1]\n", "c.jsonl.gz": b"x", "d.jsonl.zst": b"x", "e.parquet": b"x"}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError) as caught:
            items(of_file(tmp_path / name))
        assert name in caught.value.place
        assert caught.value.cure
    with pytest.raises(InputError, match="sha256"):
        items(registered(tmp_path, [{"q": "x"}], fields={"prompt": "q"}, sha256="0" * 64))
    with pytest.raises(InputError, match="has 1 items to check, and the registry says 2"):
        items(registered(tmp_path, [{"q": "x"}], fields={"prompt": "q"}, items=2))
    with pytest.raises(InputError, match="no such file"):
        items(of_file(tmp_path / "gone.jsonl"))
