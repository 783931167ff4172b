"""curate benchmarks, as a user types it."""

from __future__ import annotations

import json
import re

import pytest
from recipes import step, write

from curate.benchmarks.index import load
from curate.benchmarks.screen import screen


def test_what_there_is(curate):
    """A table of all, all about one, the same for a script."""
    out = curate("benchmarks", "list").ok().out
    assert re.search(r"^humaneval +HumanEval +code +164 +test +MIT +yes$", out, re.MULTILINE)
    assert re.search(r"^mmlu +MMLU +choice +14,042 +test +MIT +no$", out, re.MULTILINE)
    out = curate("benchmarks", "show", "mbpp").ok().out
    assert "few-shot  prompt" in out
    assert "curate benchmarks fetch mbpp" in out
    assert json.loads(curate("benchmarks", "list", "--json").ok().out)["gsm8k"]["here"] is False
    assert json.loads(curate("benchmarks", "show", "humaneval", "--json").ok().out)["items"] == 164
    done = curate("benchmarks", "show", "humanevil")
    assert (done.code, done.line) == (2, "no benchmark 'humanevil'; did you mean 'humaneval'?")


def test_an_index_is_built_and_used(curate, tmp_path):
    """Of a name and of a file with fields of its own; progress on stderr; the recipe's error has line and cure."""
    rows = [
        {"q": f"What do the {n} sailors of the ship say to each other when it rains at sea?", "a": n} for n in range(3)
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = ["--field", "prompt=q", "--field", "answer=a"]
    done = curate("benchmarks", "build", "humaneval", tmp_path / "mine.jsonl", *fields, "-o", tmp_path / "index").ok()
    assert re.fullmatch(rf"{tmp_path}/index: 167 items of 2 benchmarks, 0\.\d MB, [0-9a-f]{{12}}\n", done.out)
    assert done.err.splitlines() == ["humaneval: 164 items", "mine: 3 items"]
    assert screen([rows[1]["q"]], load([tmp_path / "index"])) == ["benchmark_ngram: mine/1 (prompt, 1.00)"]
    steps = [
        step("docs", "read.jsonl", paths=["mine.jsonl"], text="q"),
        step("clean", "decontaminate", against=["./index"]),
    ]
    recipe = write(tmp_path / "r.yaml", [*steps, step("out", "write.text")])
    assert "clean" in curate("plan", recipe).ok().out
    steps[1]["with"]["against"] = ["./gone"]
    write(recipe, [*steps, step("out", "write.text")])
    done = curate("plan", tmp_path / "r.yaml")
    assert done.code == 2
    assert re.search(r"r\.yaml:\d+: there is no './gone'; check the path", done.line)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("fetch",), 2, "no benchmark is named; name some, or say --all"),
        (("build", "mbpp", "-o", "x"), 2, "fetch them once: curate benchmarks fetch mbpp"),
        (("build", "bad.jsonl", "-o", "x"), 3, "bad.jsonl:2: no item: a prompt without words"),
        (("build", "bad.jsonl", "--field", "prompt", "-o", "x"), 2, "is said as WHAT=NAME"),
        (("build", "bad.jsonl", "--field", "promt=q", "-o", "x"), 2, "did you mean 'prompt'?"),
        (("build", "humaneval", "--split", "train", "-o", "x"), 3, "there are: test"),
        (("build", "humaneval", "-o", "."), 3, "is there already, and is no index"),
    ],
)
def test_mistakes_are_one_line_with_a_cure(curate, tmp_path, argv, code, says):
    """Names, rows, fields, splits, folders."""
    (tmp_path / "bad.jsonl").write_text('{"question": "what is it"}\n{"question": "?"}\n')
    known = {"bad.jsonl": str(tmp_path / "bad.jsonl"), "x": str(tmp_path / "x"), ".": str(tmp_path)}
    done = curate("benchmarks", *(known.get(arg, arg) for arg in argv))
    assert done.code == code
    assert says in done.line
