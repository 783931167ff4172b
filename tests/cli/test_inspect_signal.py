"""`curate inspect --signal`, as a person types it: numbers against the run's own side tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from command import Curate, record
from recipes import step, write
from small_run import documents, steps, write_run

from curate.store.tables import open_table


def measured(run: Path, step: str) -> pa.Table:
    """A step's side table."""
    tables = []
    for key in record(run, step)["signals"]:
        with open_table(run / key) as reader:
            tables.append(reader.read_all())
    return pa.concat_tables(tables)


def test_quantiles_histogram_and_thresholds(curate: Curate, small_run: Path) -> None:
    """What is shown is what was measured; the threshold that the recipe set, and how many rows lie beyond it."""
    words = measured(small_run, "rules").column("words").to_numpy()
    found = json.loads(curate("inspect", small_run, "--signal", "rules.words", "--json").ok().out)
    assert (found["rows"], found["missing"], found["type"], found["sampled"]) == (len(words), 0, "int64", False)
    assert found["quantiles"]["50"] == np.median(words) and found["quantiles"]["100"] == words.max()
    assert sum(b["rows"] for b in found["bins"]) == len(words)
    marks = {m["setting"]: m for m in found["marks"]}
    assert marks["min_words"] == {
        "reason": "too_short",
        "op": "<",
        "setting": "min_words",
        "value": 20,
        "rows": int((words < 20).sum()),
    }
    assert set(marks) == {"min_words", "max_words"} and marks["min_words"]["rows"] > 0
    out = curate("inspect", small_run, "--signal", "rules.words").ok().out
    assert re.search(r"^too_short +words < 20  \(min_words\) +2 +1\.6%$", out, re.MULTILINE)
    assert re.search(r"◂ min_words 20$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("at", "pick"),
    [
        ("0.95", lambda v: np.quantile(v, 0.95, method="inverted_cdf")),
        ("95%", lambda v: np.quantile(v, 0.95, method="inverted_cdf")),
        ("0", np.min),
        ("=130.5", lambda v: 130.5),
        ("125", lambda v: 125),
        ("min_words", lambda v: 20),
    ],
)
def test_examples_are_the_nearest(curate: Curate, small_run: Path, at: str, pick) -> None:
    """At a quantile, a value or a threshold: no other row lies nearer; text and value belong to the id."""
    table = measured(small_run, "rules")
    values = table.column("words").to_numpy()
    target = float(pick(values))
    found = json.loads(curate("inspect", small_run, "--signal", "rules.words", "--at", at, "-n", 5, "--json").ok().out)
    assert found["at"] == {"value": target, "quantile": pytest.approx((values < target).mean())}
    shown = [e["value"] for e in found["examples"]]
    assert shown == sorted(shown) and len({e["id"] for e in found["examples"]}) == 5
    assert sorted(abs(v - target) for v in shown) == sorted(abs(values - target))[:5]
    by_id = dict(zip((i.hex() for i in table.column("id").to_pylist()), values.tolist(), strict=True))
    texts = {" ".join(d["text"].split())[:20] for d in documents()}
    for example in found["examples"]:
        assert by_id[example["id"]] == example["value"]
        assert example["text"][:20] in texts or "\\x1b" in example["text"]
        assert example["reason"] == ("too_short" if example["value"] < 20 else None)


def test_a_scorers_column_and_a_selections_threshold(curate: Curate, small_run: Path) -> None:
    """Any step that measures numbers; bounds that are not set are no thresholds."""
    assert json.loads(curate("inspect", small_run, "--signal", "scored.score", "--json").ok().out)["marks"] == []
    (mark,) = json.loads(curate("inspect", small_run, "--signal", "good.value", "--json").ok().out)["marks"]
    assert (mark["setting"], mark["value"]) == ("at_least", 0.001)
    flag = curate("inspect", small_run, "--signal", "clean.exact").ok().out
    assert re.search(r"^ no █+ +100\.0%$", flag, re.MULTILINE) or re.search(r"^no █+ +100\.0%$", flag, re.MULTILINE)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--signal", "rules.word"), "did you mean 'rules.words'?"),
        (("--signal", "rule.words"), "step 'rule' is not in the run"),
        (("--signal", "pages.words"), "step 'pages' measures no numbers"),
        (("--signal", "clean.item"), "there are: clean.containment, clean.of_document, clean.run, clean.exact"),
        (("--signal", "zzz"), "no step measures 'zzz'"),
        (("--signal", "rules"), "rules.words, rules.stop_words"),
        (("--signal", "rules.words", "--at", "101%"), "give a quantile (0.95 or 95%)"),
        (("--signal", "rules.words", "--at", "max_word"), "or its threshold max_words"),
        (("--at", "0.5"), "--at needs --signal"),
    ],
)
def test_mistakes_are_one_line(curate: Curate, small_run: Path, argv: tuple, said: str) -> None:
    """Exit code 2 and the names that there are."""
    done = curate("inspect", small_run, *argv)
    assert done.code == 2 and said in done.line


def test_a_signal_of_one_step_needs_no_step(curate: Curate, small_run: Path) -> None:
    """``alpha_words`` says enough."""
    assert curate("inspect", small_run, "--signal", "alpha_words").ok().out.startswith("rules.alpha_words")


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(curate: Curate, small_run: Path, columns: int) -> None:
    """Nothing is wider but the command to copy."""
    for signal in ("rules.words", "rules.duplicate_line_chars"):
        out = curate.on_terminal("inspect", small_run, "--signal", signal, "--at", "0.5", columns=columns, NO_COLOR="1")
        lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
        assert [line for line in lines if len(line) > columns and "curate explain" not in line] == []
        assert "…" not in "".join(lines[:12])


def test_many_columns_do_not_crowd_the_overview(curate: Curate, tmp_path: Path) -> None:
    """What signals.text adds is named in one line and shown where it is asked for; a dropped row shows what decided."""
    write_run(tmp_path)
    made = steps()
    made.insert(1, step("sig", "signals.text", of=["filter.massivetext"]))
    curate.run(write(tmp_path / "recipe.yaml", made[:3], name="small"), tmp_path / "run").ok()
    out = curate("inspect", "--plain", tmp_path / "run", "-n", 500).ok().out
    assert "22 signals of step sig: curate inspect" in out and "sig.words" not in out
    assert re.search(r"rules: too_short  words \d+$", out, re.MULTILINE)
    one = curate("inspect", "--plain", tmp_path / "run", "--step", "sig", "-n", 0).ok().out
    assert re.search(r"^words +\d", one, re.MULTILINE)
    found = json.loads(curate("inspect", tmp_path / "run", "--signal", "sig.words", "--json").ok().out)
    assert {m["setting"] for m in found["marks"]} == {"min_words", "max_words"}
