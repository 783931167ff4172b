"""What a run counts by source, stratum and length: equal to a plain count, however the rows are split; shown, and warned of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from command import Curate, manifest
from exchange import batch
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from recipes import step, write

from curate.quality.evaluate import LENGTHS
from curate.report.kept import emptied_lines, kept_by
from curate.run.tally import tally
from curate.store.records import MOST_VALUES, Counts


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2000), st.booleans()), max_size=30), st.integers(0, 30)
)
@how(deadline=None)
def test_counts_are_plain_counts_of_any_split(rows, cut):
    """Rows and bytes before and after, by value and by class of length; the sum over batches is that of the whole."""
    found = Counts()
    for part in (rows[:cut], rows[cut:]):
        docs = batch(["x" * n for _, n, _ in part], {"topic": pa.array([t for t, *_ in part], pa.string())})
        found.add(Counts(kept_by=tally(docs, np.array([s for *_, s in part], bool), "topic")))
    expected: dict[str, dict[str, list[int]]] = {"topic": {}, "length": {}}
    for topic, size, stays in rows:
        for column, value in (("topic", topic), ("length", str(max(n for n in LENGTHS if n <= size)))):
            here = expected[column].setdefault(value, [0, 0, 0, 0])
            for i, more in enumerate((1, stays, size, size * stays)):
                here[i] += more
    assert found.kept_by == expected


def test_too_many_values_are_not_counted_however_they_are_split():
    """One value more than the limit: none are counted, whether one batch holds them or many."""
    names = [str(i) for i in range(MOST_VALUES + 1)]
    for size in (len(names), 300):
        found = Counts()
        for i in range(0, len(names), size):
            docs = batch([""] * len(names[i : i + size]), {"topic": pa.array(names[i : i + size])})
            found.add(Counts(kept_by=tally(docs, np.ones(len(docs), bool), "topic")))
        assert found.kept_by["topic"] is None
        assert found.kept_by["length"] == {"0": [len(names), len(names), 0, 0]}


def test_a_column_of_another_branch_is_one_stratum():
    """Rows that lack the column are counted as having no value."""
    assert tally(batch(["x"]), np.array([True]), "other.column")["other.column"] == {"(none)": [1, 1, 1, 1]}


def test_the_rule_for_a_warning():
    """At least 1 % of the rows before, more than 95 % of its own gone; a step that leaves nothing says so otherwise."""
    counts = {"source": {"big": [980, 900, 0, 0], "small": [20, 0, 0, 0], "edge": [100, 5, 0, 0], "tiny": [5, 0, 0, 0]}}
    assert [k.value for k in kept_by(counts)["source"] or () if k.emptied] == ["small"]
    assert emptied_lines(counts) == ["more than 95% went by source: small 0 of 20 stay"]
    assert emptied_lines({"source": {"a": [10, 0, 0, 0]}}) == []
    assert emptied_lines({"source": None, "length": {"64000": [10, 0, 0, 0], "0": [90, 90, 0, 0]}}) == [
        "more than 95% went by length: 64,000 bytes and more 0 of 10 stay"
    ]


@pytest.mark.parametrize("more", [["--split-mb", "0.001"], ["--partitions", "3"]])
def test_a_run_counts_shows_and_warns(curate: Curate, tmp_path: Path, more: list[str]) -> None:
    """A topic that a threshold empties is named at the end of the run, in the manifest and in inspect; strata of a
    field of meta are counted as such; results do not depend on splits."""
    rows = [
        {"text": f"{topic} {'word ' * (n % 7)}{n}", "source": topic, "lang": "de" if n % 2 else "en"}
        for topic, count in (("good", 60), ("poor [bold]", 40))
        for n in range(count)
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recipe = write(
        tmp_path / "recipe.yaml",
        [
            step("docs", "read.jsonl", paths=["docs.jsonl"]),
            step("labels", "label.contrast", positive=["good"], negative=["poor*"]),
            step("cut", "select.where", column="labels.label", at_least=1),
            step("best", "select.where", "labels", column="labels.label", top="50%", within="meta.lang"),
            step("few", "select.where", "labels", column="labels.label", tokens=100, bytes_per_token=2),
            step("text", "write.text", "best"),
        ],
    )
    done = curate.run(recipe, tmp_path / "run", *more).ok()
    assert "cut: more than 95% went by source: poor [bold] 0 of 40 stay" in done.out
    found = manifest(tmp_path / "run")["steps"]
    assert found["cut"]["kept_by"]["source"]["poor [bold]"][:2] == [40, 0]
    assert {k: v[:2] for k, v in found["best"]["kept_by"]["meta.lang"].items()} == {"en": [50, 25], "de": [50, 25]}
    card = (tmp_path / "run/README.md").read_text()
    assert "## What the selection kept" in card
    assert r"| poor \[bold\] | 40 | 0 | 0.0% |" in card
    size = sum(v[3] for v in found["few"]["kept_by"]["source"].values())
    assert 180 <= size <= 200
    assert "kept_by" not in found["labels"]
    seen = curate("inspect", "--plain", tmp_path / "run", "--step", "cut", "-n", "0").ok().out
    assert re.search(r"poor \[bold\] +40 +0 +none", seen)
    assert "by length" in seen
    shown = json.loads(curate("inspect", tmp_path / "run", "--step", "cut", "--json").ok().out)
    assert next(s for s in shown["steps"] if s["step"] == "cut")["kept_by"] == found["cut"]["kept_by"]
