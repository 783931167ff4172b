"""Two scores, their ranks, an ensemble, and the best of each source: one recipe, the same result however it is split."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from command import Curate, manifest, results
from recipes import step, write


def test_an_ensemble_by_ranks(curate: Curate, tmp_path: Path) -> None:
    """Splits and partitions do not bear on the result; the trained ranks are the report's; strata keep their shares."""
    draw = random.Random(4)
    words = [f"w{n}" for n in range(300)]
    rows = [
        {
            "text": " ".join(draw.choices(words, k=draw.randrange(5, 60))) + "." * draw.randrange(9),
            "source": draw.choice("abc"),
        }
        for _ in range(300)
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recipe = write(
        tmp_path / "recipe.yaml",
        [
            step("docs", "read.jsonl", paths=["docs.jsonl"]),
            step("measured", "signals.text", of=["filter.massivetext"]),
            step("ranks", "train.ranks", columns=["measured.words", "measured.word_length"]),
            step(
                "both",
                "score.ensemble",
                "measured",
                columns=["measured.words", "measured.word_length"],
                how="rank_buckets",
                ranks="ranks",
            ),
            step("best", "select.where", column="both.score", top="20%", within="source"),
            step("text", "write.text"),
        ],
    )
    found = []
    for name, how in (("one", []), ("many", ["--split-mb", 0.004, "--partitions", 5])):
        curate.run(recipe, tmp_path / name, *how).ok()
        found.append(results(tmp_path / name))
    assert found[0] == found[1]
    steps = manifest(tmp_path / "one")["steps"]
    assert steps["ranks"]["report"]["exact"] is True
    assert steps["ranks"]["report"]["rows"] == 300
    for before, after, *_ in steps["best"]["kept_by"]["source"].values():
        assert after == -(-before // 5)
    shown = curate("calibrate", f"{tmp_path}/one:both", "--at", "20%", "-n", "2").ok().out
    assert "more with the score of the last one" in shown
    wrong = [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("x", "select.where", column="text", top="200%")]
    write(tmp_path / "wrong.yaml", wrong)
    assert "'200%' is more than the whole" in curate.run(tmp_path / "wrong.yaml", tmp_path / "w").line


@pytest.mark.parametrize("values", [10_001])
def test_too_many_strata(curate: Curate, tmp_path: Path, values: int) -> None:
    """The column is named."""
    rows = "".join(json.dumps({"text": "x", "source": f"s{n}"}) + "\n" for n in range(values))
    (tmp_path / "docs.jsonl").write_text(rows)
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("labels", "label.contrast", positive=["s*"], negative=["t"]),
        step("best", "select.where", column="labels.label", top=0.5, within="source"),
    ]
    done = curate.run(write(tmp_path / "r.yaml", steps), tmp_path / "run")
    assert done.code == 2
    assert "step best: within: source: has more than 10,000 different values; name a column with fewer" in done.line
