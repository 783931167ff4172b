"""`curate calibrate`, as a person types it: its figures against the run's own tables, and against the files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from command import Curate
from recipes import step, write
from small_run import HOSTILE, documents, write_run
from test_inspect_signal import measured

from curate.errors import InputError
from curate.report.calibration import Tokens, calibrate
from curate.report.curves import curves, svg
from curate.report.run_folder import open_run
from curate.report.scored_rows import LabelsWanted, ScoredRows, rows_of_step


def looked(curate: Curate, *argv: Any) -> dict[str, Any]:
    """The JSON."""
    found = json.loads(curate("calibrate", *argv, "--json").ok().out)
    assert isinstance(found, dict)
    return found


def scored(run: Path) -> list[float]:
    """The scores of a run's step 'scored'."""
    return [float(s) for s in measured(run, "scored").column("score").to_pylist()]


def test_what_a_threshold_keeps(curate: Curate, small_run: Path) -> None:
    """Rows, bytes and tokens by plain counting; also of documents that the next step dropped in the same task."""
    found = looked(curate, f"{small_run}:scored", "--at", "0.5", "--at", "25%", "--at", "2K", "--bytes-per-token", "5")
    values = scored(small_run)
    assert (found["rows"], found["missing"], found["column"]) == (len(values), 0, "scored.score")
    half, quarter, budget = found["candidates"]
    assert half["documents"] == sum(v >= 0.5 for v in values)
    assert half["recipe"] == "{column: scored.score, at_least: 0.5}"
    assert quarter["documents"] == math.ceil(len(values) / 4)
    assert quarter["at_least"] == float(f"{quarter['at_least']:.10g}")
    assert budget["bytes"] <= 10_000
    assert budget["recipe"] == "{column: scored.score, tokens: 2K, bytes_per_token: 5.0}"
    assert all(c["tokens"] == c["bytes"] // 5 for c in found["candidates"])
    assert sum(s["rows"] for s in found["sources"]) == len(values)
    assert not any("length" in note for note in found["notes"])
    for each in found["candidates"]:
        above, below = ([d["score"] for d in each[side]] for side in ("above", "below"))
        assert above + below == sorted(above + below, reverse=True)
        assert len(above) == min(5, each["documents"])
        assert all(v >= each["at_least"] for v in above)
        assert all(v < each["at_least"] for v in below)


def test_the_threshold_does_in_a_recipe_what_it_says(curate: Curate, tmp_path: Path) -> None:
    """A line copied into the recipe keeps the rows that were promised: a score, a share, tokens."""
    recipe = write_run(tmp_path)
    curate.run(recipe, tmp_path / "run").ok()
    at = sorted(scored(tmp_path / "run"))[60]
    found = looked(curate, f"{tmp_path}/run:scored", "--at", repr(at), "--at", "30%", "--at", "3K", "-n", 0)
    steps = [
        f"- {{id: cut{i}, from: scored, use: select.where, with: {c['recipe']}}}\n"
        for i, c in enumerate(found["candidates"])
    ]
    recipe.write_text(recipe.read_text().rstrip("\n") + "\n" + "".join(steps))
    curate.run(recipe, tmp_path / "run").ok()
    kept = {s["id"]: s["rows_out"] for s in json.loads((tmp_path / "run/manifest.json").read_text())["steps"]}
    assert [kept[f"cut{i}"] for i in range(3)] == [c["documents"] for c in found["candidates"]]


def test_precision_and_recall(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """From a column of the run, and from a file by origin or content: the same; the note says who was trained on what."""
    found = looked(curate, f"{small_run}:scored", "--label", "labels.label", "--at", "0.5", "-n", 0)
    table = measured(small_run, "scored")
    label = measured(small_run, "labels")
    marks = dict(zip(label.column("content_hash").to_pylist(), label.column("label").to_pylist(), strict=True))
    pairs = [
        (marks.get(h), s >= 0.5)
        for h, s in zip(table.column("content_hash").to_pylist(), table.column("score").to_pylist(), strict=True)
    ]
    each = found["candidates"][0]
    assert (each["precision"]["hits"], each["precision"]["rows"]) == (
        pairs.count((1, True)),
        pairs.count((1, True)) + pairs.count((0, True)),
    )
    assert each["recall"]["rows"] == pairs.count((1, True)) + pairs.count((1, False))
    assert any("learned from these labels" in note for note in found["notes"])
    by_hash = tmp_path / "labels.csv"
    lines = [f"{h.hex()},{m}\n" for h, m in marks.items() if m is not None]
    by_hash.write_text("content_hash,label\n" + "".join(lines))
    again = looked(curate, f"{small_run}:scored", "--label", by_hash, "--key", "content_hash", "--at", "0.5", "-n", 0)
    assert again["candidates"][0]["precision"] == each["precision"]
    assert again["labelled"] == found["labelled"]


def test_files_scored_now(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """The same documents as files: as many rows as documents, labels from a field of theirs, the documents around."""
    rows = [{"text": r["text"], "source": r["source"], "mark": int(r["source"] == "lessons")} for r in documents()]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*rows, {"no": "text"}]))
    found = looked(
        curate, f"{small_run}:value", tmp_path / "mine.jsonl", "--label", "meta.mark", "--at", "50%", "-n", 4
    )
    assert found["rows"] == len(rows)
    assert sum(found["set_aside"].values()) == 1
    assert found["labelled"]["good"] == sum(r["mark"] for r in rows)
    each = found["candidates"][0]
    assert each["documents"] >= len(rows) // 2
    near = [*each["above"], *each["below"]]
    assert len(near) == 4
    texts = [" ".join(str(r["text"]).split())[:20] for r in rows]
    assert all(any(d["text"].startswith(t) for t in texts) for d in near if "\\x" not in d["text"])
    assert {"hits", "rows", "value", "low", "high"} == set(each["recall"])


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal(curate: Curate, small_run: Path, columns: int) -> None:
    """No line is wider than the terminal; documents can't move its cursor; the recipe's line is there."""
    seen = curate.on_terminal(
        "calibrate", f"{small_run}:scored", "--label", "labels.label", "-n", "60", columns=columns
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    lines = plain.splitlines()
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    assert max(map(len, (line for line in lines if "select.where, with" not in line))) <= columns
    assert "{id: good, use: select.where, with: {column: scored.score, top: 10%}}" in plain
    assert "precision" in plain
    assert HOSTILE not in seen


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["{run}"], "which documents?"),
        (["{run}:nothing"], "no step measures 'nothing'"),
        (["{run}:scored.scor"], "did you mean 'scored.score'?"),
        (["{run}:scored", "--at", "ten"], "--at 'ten' is no threshold"),
        (["{run}:scored", "--at", "nan"], "--at 'nan' is no threshold"),
        (["{run}:scored", "--at", "0%"], "--at '0%' is no threshold"),
        (["{run}:scored", "--label", "nowhere.label"], "the run has no column 'nowhere.label'"),
        (["{run}:scored", "--label", "labels.mark"], "step 'labels' has no column 'mark'"),
        (["{run}:scored", "--label", "labels.label", "--good-from", "9"], "none is good"),
        (["{run}:scored", "--tokenizer", "value"], "the run has no tokenizer 'value'; it has: words"),
        (["nothing-of-the-kind", "{run}/manifest.json"], "nothing-of-the-kind"),
    ],
)
def test_mistakes_are_one_line(curate: Curate, small_run: Path, argv: list[str], line: str) -> None:
    """What, where, cure."""
    done = curate("calibrate", *(a.replace("{run}", str(small_run)) for a in argv))
    assert done.code in (2, 3)
    assert line in done.line


def test_rows_without_a_score(curate: Curate, tmp_path: Path) -> None:
    """Null scores are counted in one clear line; none but null is an error."""
    rows = "".join(json.dumps({"text": f"word {n}", "source": "a" if n % 2 else "b"}) + "\n" for n in range(20))
    (tmp_path / "docs.jsonl").write_text(rows)
    recipe = write(
        tmp_path / "recipe.yaml",
        [
            step("docs", "read.jsonl", paths=["docs.jsonl"]),
            step("labels", "label.contrast", positive=["a"], negative=["c"]),
        ],
    )
    curate.run(recipe, tmp_path / "run").ok()
    found = looked(curate, f"{tmp_path}/run:labels", "-n", 0)
    assert (found["rows"], found["missing"]) == (10, 10)
    assert found["notes"] == ["10 documents have no score (null or NaN); select.where drops them"]
    table = curate("calibrate", f"{tmp_path}/run:labels").ok().out
    assert "note: 10 documents have no score" in table


def test_scores_that_are_all_nan_or_none() -> None:
    """No threshold can be chosen: one line."""
    nothing = np.zeros(0)
    for score, line in (
        (np.full(3, np.nan), "none of 3 documents has a score"),
        (nothing, "there are no documents"),
        (np.full(2, np.inf), "all scores are infinite"),
    ):
        rows = ScoredRows(
            "s.score",
            score,
            np.ones(len(score), np.int64),
            np.arange(len(score)).astype(np.uint64),
            np.zeros(len(score), np.int32),
            ["a"],
            lambda _: [],
        )
        with pytest.raises(InputError, match=line):
            calibrate(rows, [], 0, Tokens())


def test_curves_are_plain_counts(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """Each point is a threshold and what it keeps; the file is well-formed XML with a line for each curve."""
    wanted = LabelsWanted("labels.label")
    rows = rows_of_step(open_run(str(small_run)), "scored", wanted)
    assert rows.label is not None
    found = curves(rows)
    assert set(found) == {"documents kept", "text kept", "precision", "recall"}
    for threshold, share in found["documents kept"]:
        assert share == (rows.score >= threshold).mean()
    for threshold, share in found["recall"]:
        assert share == ((rows.score >= threshold) & (rows.label == 1)).sum() / (rows.label == 1).sum()
    place = tmp_path / "curves.svg"
    curate("calibrate", f"{small_run}:scored", "--label", "labels.label", "-n", 0, "--plot", place).ok()
    tree = ET.fromstring(place.read_text())
    assert len(tree.findall("{*}polyline")) == 4
    assert "&lt;b&gt;" in svg("<b>", {}, [])
    done = curate("calibrate", f"{small_run}:scored", "-n", 0, "--plot", tmp_path / "no" / "curves.svg")
    assert "no such file or directory" in done.line
