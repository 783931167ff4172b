"""decontaminate against HumanEval: pasted items are found, ordinary code is not, no item is skipped."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sysconfig
from pathlib import Path

import pyarrow.compute as pc
import pytest
import yaml
from exchange import CONTEXT, batch

from curate import assets
from curate.benchmarks.against import named, sources
from curate.benchmarks.index import write_index
from curate.errors import InputError, RecipeError
from curate.stages.decontaminate import Decontaminate

ITEMS = [json.loads(line) for line in (assets.find("data", "benchmarks") / "humaneval.jsonl").open(encoding="utf-8")]
STAGE = Decontaminate(against=["humaneval"])


def exact_or_not(text):
    """The reason of a text that is all there: one of fewer than 16 words counts as a whole only."""
    return "benchmark_exact" if len(re.findall(r"[^\W_]+", text)) < 16 else "benchmark_ngram"


def reasons(texts, stage=STAGE, ctx=CONTEXT):
    """Reasons and signals of texts."""
    signals = stage.measure(batch(texts), ctx)
    return stage.decide(signals).to_pylist(), {name: column.to_pylist() for name, column in signals.items()}


def test_every_prompt_pasted_in_a_file_is_found():
    """Recall 1 on prompts within other code, and each is named."""
    before, after = "import math\n\nx = 3\n" * 30, "\n\nclass Other:\n    pass\n" * 30
    got, signals = reasons([before + item["prompt"] + after for item in ITEMS])
    assert got == [exact_or_not(item["prompt"]) for item in ITEMS]
    # HumanEval/56 and 61 are the same words: "<" and ">" in one are "(" and ")" in the other.
    names = [f"humaneval/{item['task_id']}" for item in ITEMS]
    assert signals["item"] == [*names[:61], names[56], *names[62:]]
    assert set(signals["part"]) == {"prompt"}
    assert min(signals["containment"]) == 1.0


def test_reformatted_prompts_are_found():
    """Case, signs and line breaks hide nothing; nor does losing the first line, or the examples, of most."""
    shouted, _ = reasons([re.sub(r"[^\w]+", " - ", item["prompt"]).upper() for item in ITEMS])
    assert None not in shouted
    beheaded, _ = reasons([item["prompt"].strip().split("\n", 1)[1] for item in ITEMS])
    assert sum(r is not None for r in beheaded) >= 0.9 * 164


def test_prompts_within_json_and_string_literals_are_found():
    """Line feeds written as escapes hide nothing, also where they were escaped twice."""
    prompts = [item["prompt"] for item in ITEMS]
    for texts in (
        [json.dumps({"prompt": p}, ensure_ascii=False) for p in prompts],
        [json.dumps(json.dumps(p, ensure_ascii=False), ensure_ascii=False) for p in prompts],
        [repr(p) for p in prompts],
    ):
        got, signals = reasons(texts)
        assert got == [exact_or_not(p) for p in prompts]
        assert min(signals["containment"]) == 1.0


def test_answers_alone_are_found_where_they_are_long():
    """A canonical solution of 16 words or more is known by itself; shorter ones are ordinary code."""
    got, _ = reasons([item["canonical_solution"] for item in ITEMS])
    long = [len(re.findall(r"[A-Za-z0-9]+", item["canonical_solution"])) >= 16 for item in ITEMS]
    assert [r is not None for r, hit in zip(got, long, strict=True) if hit] == [True] * sum(long)
    # HumanEval/50 gives the inverse of its own solution in the prompt; others are known by their form.
    short = {i: reason for i, (reason, hit) in enumerate(zip(got, long, strict=True)) if reason and not hit}
    assert [i for i, reason in short.items() if reason != "benchmark_code"] == [50]


def test_ordinary_code_is_left_alone():
    """No file of the standard library's top level comes near the threshold."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    got, signals = reasons([f.read_text(encoding="utf-8", errors="replace") for f in files])
    assert len(files) > 100
    assert set(got) == {None}
    assert max(signals["containment"]) < 0.15


def test_nothing_in_nothing():
    """Empty, null and wordless rows have no signals and stay."""
    got, signals = reasons(["", None, "+++", "x"])
    assert got == [None] * 4
    assert signals["item"] == [None] * 4
    assert signals["containment"] == [0.0] * 4
    assert signals["exact"] == [False] * 4
    assert reasons([])[0] == []


def registry(folder: Path, items: list[dict], **entry) -> Decontaminate:
    """A stage whose registry has one benchmark, ``short``."""
    data = "".join(json.dumps(item) + "\n" for item in items).encode()
    (folder / "short.jsonl").write_bytes(data)
    fields = {"id": "task_id", "prompt": "question", "answer": "answer"}
    entry = {"file": "short.jsonl", "sha256": hashlib.sha256(data).hexdigest(), "fields": fields, **entry}
    (folder / "registry.yaml").write_text(yaml.safe_dump({"version": 1, "benchmarks": {"short": entry}}))
    return Decontaminate(against=["short"], registry=str(folder))


def test_a_third_of_an_item_and_nothing_else_is_found():
    """Of a long item, a third is less than `containment`, and all of the document."""
    thirds = [
        " ".join(words[: len(words) // 4 + 8])
        for words in (item["prompt"].split() for item in ITEMS)
        if len(words) > 100
    ]
    got, signals = reasons(thirds)
    assert len(thirds) > 10
    assert set(got) == {"benchmark_ngram"}
    assert min(signals["of_document"]) > 0.99


def test_short_items_are_matched_whole(tmp_path):
    """Under 16 words: word by word. Under 8 words: only together with the answer."""
    items = [
        {"task_id": 1, "question": "Write one function that adds the two numbers", "answer": "a + b"},
        {"task_id": 2, "question": "What is 3+4?", "answer": "7"},
        {"task_id": 3, "question": "Name a colour", "answer": None},
    ]
    stage = registry(tmp_path, items)
    texts = [
        "please: write one function that adds the two numbers!",
        "write one function that adds two numbers",
        "Q: What is 3 + 4? A: 7.",
        "Q: What is 3 + 4? A: no idea.",
        "name a colour",
    ]
    got, signals = reasons(texts, stage)
    # The second says the first item in other words, and is none word by word.
    assert got == ["benchmark_exact", "benchmark_rephrased", "benchmark_exact", None, "benchmark_exact"]
    assert signals["item"] == ["short/1", None, "short/2", None, "short/3"]
    assert signals["part"] == ["prompt", None, "prompt and answer", None, "prompt"]


def test_what_can_not_be_looked_for_stops_the_run(tmp_path):
    """An unknown benchmark, changed items, an item without words."""
    stage = Decontaminate(against=["humanevil"])
    with pytest.raises(RecipeError, match="did you mean 'humaneval'"):
        reasons(["x"], stage)
    for number, (items, entry, match) in enumerate(
        [([], {"sha256": "0" * 64}, "sha256"), ([{"task_id": 1, "question": "?!", "answer": "x"}], {}, "without words")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputError, match=match):
            reasons(["x"], registry(folder, items, **entry))


def test_a_changed_registry_is_read_anew(tmp_path):
    """A process that lives on compares with the items that are there now."""
    for question in ("write one function that adds the two numbers", "print all of the numbers that are prime"):
        stage = registry(tmp_path, [{"task_id": 1, "question": question, "answer": None}])
        assert reasons([question], stage)[0] == ["benchmark_exact"]


@pytest.mark.parametrize("listed", ["benchmarks: {short: {file: x.jsonl}}", "benchmarks: [", "other: 1", ""])
def test_a_bad_registry_is_an_input_error(tmp_path, listed):
    """A registry that can't be understood, or names a file that is not there, is named."""
    (tmp_path / "registry.yaml").write_text(listed)
    with pytest.raises(InputError) as caught:
        reasons(["x"], Decontaminate(against=["short"], registry=str(tmp_path)))
    assert str(tmp_path) in caught.value.place


def test_indexes_files_and_registries_are_named_by_path(tmp_path):
    """Each finds what the shipped benchmark finds, alone and together with others."""
    folder = assets.find("data", "benchmarks")
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"question": "Which of the many birds that live by the sea is the largest?"}) + "\n")
    write_index(tmp_path / "index", sources(named("humaneval").benchmarks))
    texts = [ITEMS[7]["prompt"], "which of the many birds that live by the sea is the largest", "nothing of the kind"]
    for given in ("humaneval", str(tmp_path / "index"), str(folder / "humaneval.jsonl")):
        got, signals = reasons(texts, Decontaminate(against=[given, str(other)]))
        assert got == ["benchmark_ngram", "benchmark_exact", None]
        assert signals["item"] == ["humaneval/HumanEval/7", "other/0", None]
    with pytest.raises(RecipeError, match="no index of benchmarks, no file of items"):
        reasons(texts, Decontaminate(against=[str(tmp_path)]))
    with pytest.raises(RecipeError, match="there is no"):
        reasons(texts, Decontaminate(against=["gone.jsonl"]))
    with pytest.raises(InputError, match="'humaneval' is in two indexes"):
        reasons(texts, Decontaminate(against=["humaneval", str(tmp_path / "index")]))


def test_all_hits_are_listed():
    """Each item that a row has something of, the strongest first."""
    text = ITEMS[3]["prompt"] + " ".join(ITEMS[9]["prompt"].split()[:30])
    _, signals = reasons([text, "nothing"])
    assert signals["hits"][1] == []
    by_words = [hit["item"] for hit in signals["hits"][0] if hit["layer"] == "words"]
    assert by_words == ["humaneval/HumanEval/3", "humaneval/HumanEval/9"]
    assert signals["hits"][0][0] == {
        "item": "humaneval/HumanEval/3", "layer": "words", "part": "prompt", "strength": 1.0,
        "run": signals["hits"][0][0]["run"], "of_document": signals["hits"][0][0]["of_document"],
    }  # fmt: skip
    assert signals["hits"][0][1]["strength"] < 1


def renamed(item: dict) -> str:
    """An item's whole solution with other names, without its docstring."""
    code = item["prompt"].replace(item["prompt"].split('"""')[1], " Other words. ") + item["canonical_solution"]
    code = re.sub(rf"\b{item['entry_point']}\b", "other", code)
    for number, name in enumerate(re.findall(r"(\w+):", code.split("def other(")[1].split(")")[0])):
        code = re.sub(rf"\b{name}\b", f"name{number}", code)
    return code


def test_functions_with_other_names_are_found():
    """By their form, in a page as in a file; a stricter threshold asks for more; what is cut is the function alone."""
    chosen = [ITEMS[i] for i in (0, 3, 6, 9, 10)]
    texts = [f"# Some page\n\nIt says:\n\n```python\n{renamed(item)}```\n\nAnd so on.\n" for item in chosen]
    got, signals = reasons(texts)
    assert got.count("benchmark_code") >= 3
    assert None not in got
    assert signals["code_item"] == [f"humaneval/{item['task_id']}" for item in chosen]
    assert signals["tau"] == [1.0] * 5
    assert all("code" in {hit["layer"] for hit in hits} for hits in signals["hits"])
    stage = Decontaminate(against=["humaneval"], verdict="cut", min_left_chars=0)
    for text, item in zip(stage.edit(batch(texts), CONTEXT).to_pylist(), chosen, strict=True):
        assert text.startswith("# Some page\n\nIt says:\n\n```python\n")
        assert text.endswith("```\n\nAnd so on.\n")
        assert item["canonical_solution"].strip().splitlines()[-1] not in text


def test_prompts_in_other_words_are_found():
    """Those of a file of paraphrases by hand, by names, numbers and rare words; off is off."""
    said = (
        "Task. You get a list of numbers, and a threshold beside it. Tell whether any two of the numbers in that list are "
        "closer to each other than the given threshold: check this for 1.0, 2.0, 3.0 with 0.5, and for 1.0, 2.8, 3.0, 4.0, 5.0, "
        "2.0 with 0.3."
    )
    got, signals = reasons([said, "nothing of the kind"])
    assert got == ["benchmark_rephrased", None]
    assert signals["rephrased_item"] == ["humaneval/HumanEval/0", None]
    assert 0.75 <= signals["likely"][0] < 0.9999
    assert reasons([said], Decontaminate(against=["humaneval"], likely=0.9999))[0] == [None]
    assert reasons([said], Decontaminate(against=["humaneval"], rephrased="off"))[1]["likely"] == [0.0]


@pytest.mark.skipif(importlib.util.find_spec("wordllama") is None, reason="its extra is not installed")
def test_embeddings_confirm_rephrasings(tmp_path):
    """In an index that has them; another one is refused with the command that makes one."""
    said = ITEMS[0]["prompt"].split('"""')[1].replace("Check if in given list of", "See whether, in the list of given")
    stage = Decontaminate(against=["humaneval"], rephrased="embeddings")
    got, signals = reasons(["Task. " + said, "nothing"], stage)
    assert got[0] is not None
    assert got[1] is None
    assert signals["rephrased_item"] == ["humaneval/HumanEval/0", None]
    plain = write_index(tmp_path / "index", sources(named("humaneval").benchmarks)).folder
    with pytest.raises(InputError, match="build it again with --embeddings"):
        reasons(["x"], Decontaminate(against=[str(plain)], rephrased="embeddings"))


def test_short_functions_need_a_hint():
    """A body of few symbols is anybody's, unless its function has the item's name, or the row some of its prompt."""
    # HumanEval/28 is a join of strings.
    body = "def glue(parts):\n    return ''.join(parts)\n"
    prompt = ITEMS[28]["prompt"].split('"""')[1].strip().splitlines()[0]
    got, signals = reasons([body, body.replace("glue", "concatenate"), f"# {prompt}\n{body}"])
    assert signals["code_item"] == [None, "humaneval/HumanEval/28", "humaneval/HumanEval/28"]
    assert got[0] is None
    assert None not in got[1:]


def test_lines_with_items_are_cut():
    """Whole lines go, the rest stays as it is; a document of which too little is left goes; short ones without items stay."""
    stage = Decontaminate(against=["humaneval"], verdict="cut", min_left_chars=40)
    before, after = "# The first line, which is here to stay.\n", "# And the last one, as long as the first.\n"
    texts = [before + ITEMS[5]["prompt"] + after, ITEMS[5]["prompt"] + "x = 1\n", "short\n", "", None]
    rows = batch(texts)
    got, signals = reasons(texts, stage)
    assert got == [None, "little_left", None, None, None]
    assert signals["left_chars"][2:] == [None] * 3
    edited = stage.edit(rows, CONTEXT).to_pylist()
    left = edited[0].splitlines(keepends=True)
    assert left[0] == before
    assert left[-1] == after
    assert set(left[1:-1]) <= {"\n", '    """\n'}
    assert edited[2] == "short\n"
    assert stage.edits()
    assert not STAGE.edits()
    # What is left hangs on the thresholds.
    other = stage.model_copy(update={"containment": 0.5})
    assert other.measure_fingerprint() != stage.measure_fingerprint()


def test_containment_is_no_measurement():
    """A changed threshold re-uses what was measured."""
    strict = Decontaminate(against=["humaneval"], containment=0.5)
    assert strict.measure_fingerprint() == STAGE.measure_fingerprint()
    assert strict.fingerprint() != STAGE.fingerprint()


def test_what_was_measured_is_not_found_again(monkeypatch):
    """The rows that stay take with them what is left of their texts."""
    stage = Decontaminate(against=["humaneval"], verdict="cut")
    docs = batch(["gardens " * 40 + "\n" + ITEMS[7]["prompt"], ITEMS[7]["prompt"]])
    keep = pc.is_null(stage.decide(stage.measure(docs, CONTEXT)))
    assert keep.to_pylist() == [True, False]
    monkeypatch.setattr("curate.benchmarks.screen.find", None)
    (left,) = stage.edit(docs.filter(keep), CONTEXT).to_pylist()
    assert left.startswith("gardens " * 40) and ITEMS[7]["entry_point"] not in left
