"""What a registry says, and what becomes of one that says it wrongly."""

from __future__ import annotations

import pytest
import yaml

from curate.benchmarks.fetch import at_hand
from curate.benchmarks.items import read_items
from curate.benchmarks.registry import load_registry, of_file, shipped
from curate.errors import InputError


def test_the_shipped_registry_is_whole():
    """Every benchmark says what it is, whose, and how many items it has; what is not pinned says so."""
    known = load_registry(shipped())
    assert {"humaneval", "mbpp", "gsm8k", "truthfulqa", "bbh", "mmlu", "arc-easy", "arc-challenge", "hellaswag"} < set(
        known
    )
    for key, benchmark in known.items():
        assert all((benchmark.name, benchmark.version, benchmark.license, benchmark.source, benchmark.items)), key
        assert "prompt" in benchmark.fields, key
        assert {*benchmark.splits.checked, *benchmark.splits.few_shot} <= set(benchmark.get.files), key
        pinned = benchmark.get.revision or all(f.sha256 for f in benchmark.get.files[benchmark.splits.checked[0]])
        assert pinned or "no revision is pinned" in benchmark.note, key
        assert not benchmark.get.hub or benchmark.get.hub.count("/") == 1, key


def test_the_shipped_benchmark_is_read():
    """HumanEval: 164 items with prompt, solution, test and name."""
    benchmark = load_registry(shipped())["humaneval"]
    found = at_hand(benchmark)
    assert found is not None
    items = read_items(benchmark, found.files)
    assert len(items) == 164
    assert items[0].id == "HumanEval/0"
    assert items[0].entry_point == "has_close_elements"
    assert items[0].solution == items[0].prompt + items[0].answer
    assert all(item.test and item.split == "test" for item in items)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("benchmarks: [", "no registry of benchmarks"),
        ("other: 1", "KeyError"),
        ("", "TypeError"),
        ({"a": {"fields": {"prompt": "x"}}}, "get"),
        ({"a": "x"}, "an entry is a mapping"),
        ({"A b": {"file": "x.jsonl"}}, "no name of a benchmark"),
        ({"a": {"file": "x.jsonl", "fields": {"promt": "x"}}}, "did you mean 'prompt'"),
        ({"a": {"file": "x.jsonl", "sha256": "abc"}}, "64 hex digits"),
        ({"a": {"file": "x.jsonl", "licence": "MIT"}}, "licence"),
        ({"a": {"get": {"files": ["x.jsonl"]}}}, "by split"),
        ({"a": {"get": {"hub": "o/n", "package": "p==1", "files": {"test": "x"}}}}, "not both"),
        ({"a": {"get": {"revision": "main", "files": {"test": "x"}}}}, "hub's dataset"),
    ],
)
def test_a_wrong_registry_is_named(tmp_path, entry, says):
    """One line with the entry and the field, and the file as its place."""
    path = tmp_path / "registry.yaml"
    path.write_text(entry if isinstance(entry, str) else yaml.safe_dump({"benchmarks": entry}))
    with pytest.raises(InputError) as caught:
        load_registry(path)
    assert says in str(caught.value)
    assert caught.value.place == str(path)
    assert "\n" not in str(caught.value)


def test_a_file_alone_is_a_benchmark(tmp_path):
    """Its name is the file's; its fields are the usual ones, unless they are said."""
    benchmark = of_file(tmp_path / "My Own.jsonl.zst", {"prompt": "context+question"})
    assert benchmark.key == "my-own"
    assert benchmark.fields == {"prompt": ("context", "question")}
