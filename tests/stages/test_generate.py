"""generate.textbooks and generate.exercises: what is asked, and what an answer becomes."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from learning_cases import context

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer
from curate.stages.generate_exercises import GenerateExercises
from curate.stages.generate_textbooks import GenerateTextbooks
from curate.stages.generator import Accepted, Rejected
from curate.stages.topics import draws
from tests.contamination.items import reworded

TOPICS = assets.find("data", "topics/python")
PIECE = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]+|\s+")


def tokens(request):
    """An upper estimate of a prompt's tokens in Qwen2.5's template: long words cost a token each seven letters."""
    text = "".join(m["content"] for m in request.messages)
    return sum(-(-len(p) // 7) for p in PIECE.findall(text) if p != " ") + 5 * len(request.messages) + 3


def answer(text, finish="stop"):
    return Answer("ab" * 16, text, finish, "tiny", 100, 50, "apache-2.0")


def prompts_of(stage):
    """The files of a stage's prompts, as a context has them."""
    return {
        f"prompts/{i}": assets.locate(p) if "." in p else assets.find("data", p) for i, p in enumerate(stage.prompts)
    }


def asked(stage, docs=(), **more):
    return list(stage.requests(docs, context(**{"topics": TOPICS, **prompts_of(stage), **more})))


def flat(rounds):
    return [r for one in rounds for r in one]


# -- what is asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "count"), [(GenerateTextbooks(passages=20), 20), (GenerateExercises(exercises=20), 20)]
)
def test_requests_are_a_pure_function_in_rounds(stage, count):
    """The same settings ask the same; rounds have their size, the last one the rest; subjects are plain values."""
    rounds = asked(stage)
    assert [len(r) for r in rounds] == [8, 8, 4]
    assert rounds == asked(stage)
    requests = flat(rounds)
    assert len({json.dumps(r.messages) for r in requests}) == count
    assert all(r.draw == 0 and r.max_tokens in (260, 380) for r in requests)
    json.dumps([r.subject for r in requests])


def test_more_requests_begin_with_fewer():
    """Asking for more later repeats nothing: the shorter list is a prefix of the longer."""
    assert flat(asked(GenerateTextbooks(passages=30)))[:10] == flat(asked(GenerateTextbooks(passages=10)))
    assert flat(asked(GenerateExercises(exercises=30)))[:10] == flat(asked(GenerateExercises(exercises=10)))


def test_draws_go_through_all_before_they_repeat():
    """Without replacement; the second time round the draw is 1. A new name does not reorder the old ones."""
    names = [f"n{i}" for i in range(20)]
    pairs = draws(names, 45, 7)
    assert sorted(i for i, d in pairs if d == 0) == list(range(20))
    assert [i for i, d in pairs if d == 1] == [i for i, d in pairs if d == 0]
    assert [d for _, d in pairs][40:] == [2] * 5
    more = [i for i, _ in draws([*names, "new"], 21, 7)]
    assert [i for i in more if i != 20] == [i for i, _ in pairs[:20]]
    assert draws([], 5, 7) == []


def test_repeated_prompts_differ_in_their_draw(tmp_path):
    """More exercises than names: the same name comes again as another draw."""
    topics = tmp_path / "t.yaml"
    topics.write_text("version: 1\nexercises:\n  - {name: fold, topic: t, words: [a]}\n")
    requests = flat(asked(GenerateExercises(exercises=3), topics=topics))
    assert [r.draw for r in requests] == [0, 1, 2]


def test_prompts_are_short():
    """The demo pays for eight passages and sixteen exercises: 100 and 260 tokens each by the server's count."""
    assert max(map(tokens, flat(asked(GenerateTextbooks())))) <= 150
    assert max(map(tokens, flat(asked(GenerateExercises())))) <= 420


def test_exercises_force_name_and_words():
    """Name, topic and words are in the prompt."""
    for request in flat(asked(GenerateExercises(exercises=30, words=1))):
        prompt = request.messages[-1]["content"]
        assert f"`{request.subject['name']}`" in prompt
        assert len(request.subject["words"]) <= 1
        assert all(w in prompt for w in request.subject["words"])


# -- benchmarks -----------------------------------------------------------------------------------------------

HUMANEVAL = [
    json.loads(line)
    for line in (assets.find("data", "benchmarks") / "humaneval.jsonl").read_text(encoding="utf-8").splitlines()
]


def topics_of(tmp_path, *exercises, passages=()):
    """A file of topics, as a context has it."""
    path = tmp_path / f"t{len(passages)}.yaml"
    value = {"version": 1, "exercises": list(exercises), "passages": list(passages), "audiences": ["beginners"]}
    path.write_text(json.dumps(value))
    return context(topics=path)


def names_asked(ctx, **settings):
    return {r.subject["name"] for r in flat(asked(GenerateExercises(exercises=8, **settings), **ctx.assets))}


def test_functions_of_benchmarks_are_never_asked_for(tmp_path):
    """By the name, written in whatever way, and by what a task says; but a name of one word is a word, too."""
    ctx = topics_of(
        tmp_path,
        {"name": "has_close_elements", "topic": "lists"},
        {"name": "hascloseelements", "topic": "lists"},
        {"name": "near", "topic": "lists", "task": "what hasCloseElements returns"},
        {"name": "same", "topic": "lists", "task": "the same\n\n    def nearby(numbers, threshold):\n        ...\n"},
        {"name": "free", "topic": "lists", "task": "numbers to add; solve it"},
        {"name": "add", "topic": "numbers"},
    )
    assert names_asked(ctx) == {"free"}
    assert names_asked(ctx, against=[]) == {"has_close_elements", "hascloseelements", "near", "same", "free", "add"}


def test_functions_of_ones_own_benchmark_are_never_asked_for(tmp_path):
    """A file of items by its path; they need no entry point: what the solution defines is what is asked for."""
    path = tmp_path / "mine.jsonl"
    item = {
        "id": "1",
        "prompt": "Say what is third of all the things that are there.",
        "answer": "def third(a):\n    return a[2] + a[0] * 3\n",
    }
    path.write_text(json.dumps(item) + "\n")
    ctx = topics_of(tmp_path, {"name": "third", "topic": "t"}, {"name": "has_close_elements", "topic": "t"})
    assert names_asked(ctx, against=[str(path)]) == {"has_close_elements"}


def test_nothing_left_to_ask_for_is_an_error(tmp_path):
    """Where benchmarks ask for all that there is."""
    ctx = topics_of(tmp_path, {"name": "add", "topic": "numbers"})
    with pytest.raises(InputError, match="benchmarks ask for all of them"):
        asked(GenerateExercises(), **ctx.assets)


def test_a_topic_that_holds_an_item_is_an_error_that_names_it(tmp_path):
    """Exercises and passages alike: nobody wrote that by chance."""
    said = " ".join(HUMANEVAL[2]["prompt"].partition('"""')[2].partition(">>>")[0].split())
    exercises = topics_of(tmp_path, {"name": "cut", "topic": "numbers", "task": said})
    passages = topics_of(tmp_path, passages=[{"topic": "numbers", "chapter": "floats", "about": said}])
    for stage, ctx in ((GenerateExercises(), exercises), (GenerateTextbooks(), passages)):
        with pytest.raises(InputError, match="humaneval/HumanEval/2") as caught:
            asked(stage, **ctx.assets)
        assert caught.value.place.endswith(".yaml")
    assert names_asked(exercises, against=[])


def test_what_every_prompt_shows_is_held_against_benchmarks(tmp_path):
    """The example that the model is shown, and the instructions."""
    path = tmp_path / "mine.jsonl"
    shown = flat(asked(GenerateExercises(exercises=1)))[0].messages[2]["content"]
    path.write_text(json.dumps({"id": "letters", "prompt": shown}) + "\n")
    with pytest.raises(InputError, match=r"what every prompt shows holds an item of a benchmark.*mine/letters"):
        asked(GenerateExercises(against=[str(path)]))


def renamed_item(number, body=None):
    """An item's function as a model gives it: another name, another docstring, its tests."""
    row = HUMANEVAL[number]
    head = row["prompt"][row["prompt"].index("def ") :].partition(":\n")[0].replace(row["entry_point"], "double")
    return (
        f'from typing import *\n\n{head}:\n    """Say it."""\n{body or row["canonical_solution"]}\n\n'
        "assert double([1]) == [2]\nassert double([2]) == [4]\n"
    )


def test_an_answer_that_is_an_item_is_rejected_and_named():
    """Its function under another name, without a word of its docstring; in exercises and in the code of passages."""
    code = renamed_item(0)
    result = exercise(f"```python\n{code}```")
    assert isinstance(result, Rejected)
    assert result.reason == "contaminated" and "humaneval/HumanEval/0" in result.detail
    assert isinstance(exercise(f"```python\n{code}```", against=[]), Accepted)
    result = passage(PASSAGE + f"\n\nAnother one:\n\n```python\n{code}```\n\nThat was all.")
    assert isinstance(result, Rejected)
    assert result.reason == "contaminated" and "humaneval/HumanEval/0" in result.detail
    for stage in (GenerateExercises, GenerateTextbooks):
        assert "contaminated" in stage.reasons


def test_an_item_in_other_words_is_neither_asked_for_nor_taken(tmp_path):
    """It may be chance, so a topic that seems to be one is left out without an error."""
    said = reworded()["humaneval/HumanEval/17"]["paraphrased"]
    ctx = topics_of(tmp_path, {"name": "beats", "topic": "music", "task": said}, {"name": "free", "topic": "lists"})
    assert names_asked(ctx) == {"free"}
    result = exercise(f"```python\n{CODE.replace('Return every number doubled.', said)}```")
    assert isinstance(result, Rejected)
    assert result.reason == "contaminated" and "benchmark_rephrased: humaneval/HumanEval/17" in result.detail


def test_how_near_an_answer_may_be_is_a_setting():
    """Some symbols more, and all names others, so that its words are not the item's."""
    body = HUMANEVAL[0]["canonical_solution"].replace("        for idx2", "        elem = elem * 1.0\n        for idx2")
    for old, new in (("elem", "leaf"), ("idx", "at"), ("distance", "gap"), ("numbers", "box"), ("threshold", "far")):
        body = body.replace(old, new)
    text = f"```python\n{renamed_item(0, body)}```"
    assert isinstance(exercise(text, tau=0.95), Accepted)
    assert exercise(text, tau=0.8).reason == "contaminated"


@pytest.mark.parametrize(
    "text", ["[", "- a", "version: 1\nexercises: [{name: Bad Name, topic: t}]", "version: 1\nmore: 2", "version: 1"]
)
def test_bad_topics_are_input_errors(text, tmp_path):
    """A file that is no file of topics is named with the field that is wrong."""
    path = tmp_path / "t.yaml"
    path.write_text(text)
    for stage in (GenerateTextbooks(), GenerateExercises()):
        with pytest.raises(InputError) as caught:
            asked(stage, topics=path)
        assert caught.value.place == str(path)


# -- passages -------------------------------------------------------------------------------------------------

PASSAGE = (
    "A list holds values in order. You make one with square brackets, and you reach a value by its position, which "
    "starts at zero. Lists can grow: append puts one more value at the end.\n\n```python\nnames = ['Ada']\n"
    "names.append('Alan')\nprint(names[1])\n```\n\nThis prints Alan, because the second place has index one. "
    "Changing a list changes it for everybody who holds it."
)


def passage(text, finish="stop", **settings):
    stage = GenerateTextbooks(**settings)
    return stage.accept(flat(asked(stage))[0], answer(text, finish), context("books", **prompts_of(stage)))


def test_a_passage_becomes_a_document():
    """Boilerplate goes; meta says who wrote it for whom, under which terms."""
    result = passage("Sure! Here is a short section:\n\n" + PASSAGE)
    assert isinstance(result, Accepted)
    assert result.text == PASSAGE + "\n"
    assert result.meta["model"] == "tiny" and result.meta["licence"] == "apache-2.0"
    assert {"family", "topic", "chapter", "audience", "draw", "trimmed", "answer"} <= set(result.meta)
    assert result.meta["trimmed"] is False


def test_a_cut_passage_keeps_its_whole_sentences():
    """finish_reason length: back to the last sentence if enough is left, else truncated."""
    result = passage(PASSAGE + " And now half a sen", "length")
    assert isinstance(result, Accepted)
    assert result.text == PASSAGE + "\n" and result.meta["trimmed"] is True
    short = passage("A list holds values. And th", "length")
    assert isinstance(short, Rejected) and short.reason == "truncated"


@pytest.mark.parametrize(("text", "finish", "reason"), [
    ("I'm sorry, but I can't write that.", "stop", "refused"),
    ("Sure! I cannot write that.", "stop", "refused"),
    (PASSAGE, "content_filter", "refused"),
    ("", "stop", "too_short"),
    ("A list.", "stop", "too_short"),
    ("the list is a list and the list is a list. " * 20, "stop", "repetitive"),
    ("word " * 200, "length", "truncated"),
])  # fmt: skip
def test_bad_passages_are_rejected(text, finish, reason):
    """Each with a documented reason and a detail."""
    result = passage(text, finish)
    assert isinstance(result, Rejected) and result.reason == reason
    assert result.reason in GenerateTextbooks.reasons


# -- exercises ------------------------------------------------------------------------------------------------

CODE = '''def double(numbers: list[int]) -> list[int]:
    """Return every number doubled."""
    return [2 * n for n in numbers]


assert double([1]) == [2]
assert double([]) == []
assert double([0, 3]) == [0, 6]
'''


def exercise(text, finish="stop", **settings):
    stage = GenerateExercises(**settings)
    request = flat(asked(stage))[0]
    request = type(request)(**{**vars(request), "subject": {"name": "double", "topic": "lists", "words": ["number"]}})
    return stage.accept(request, answer(text, finish), context("ex"))


@pytest.mark.parametrize("text", [
    f"```python\n{CODE}```",
    f"Sure! Here it is:\n\n```python\n{CODE}```\n\nThis doubles.",
    f"```\n{CODE}```",
    f"```javascript\n{CODE}```",
    f"````markdown\n# Double\n\n```python\n{CODE}```\n````",
    "```python\r\n" + CODE.replace("\n", "\r\n") + "```",
])  # fmt: skip
def test_the_code_becomes_a_document(text):
    """Whatever stands around the block."""
    result = exercise(text)
    assert isinstance(result, Accepted)
    assert result.text == CODE
    assert result.meta["name"] == "double" and result.meta["topic"] == "lists" and result.meta["trimmed"] is False


def test_assertions_in_a_second_block_are_joined():
    """A model that answers in two blocks is not punished for it; examples without assertions are left out."""
    function, checks = CODE.split("\n\n\n")
    result = exercise(f"```python\n{function}\n```\nTests:\n```python\n{checks}```\n```python\nprint(double([1]))\n```")
    assert isinstance(result, Accepted)
    assert result.text == function + "\n\n" + checks


def test_a_cut_block_keeps_its_whole_lines():
    """Cut in the middle of the third assertion: two are left, which is enough."""
    result = exercise("```python\n" + CODE[:-12], "length")
    assert isinstance(result, Accepted)
    assert result.meta["trimmed"] is True
    assert result.text == "\n".join(CODE.splitlines()[:-1]) + "\n"
    assert isinstance(exercise("```python\n" + CODE.rstrip()), Accepted)


def test_code_is_run_where_that_is_wanted():
    """What holds is kept with the proof; what does not goes with the line that failed, which the next try shows the model."""
    kept = exercise(f"```python\n{CODE}```", verify=True, against=[])
    assert kept.meta["checks"][-1] == "executed" and kept.meta["executed"]["asserts"] == 3
    wrong = CODE.replace("== [2]", "== [3]")
    gone = exercise(f"```python\n{wrong}```", verify=True, against=[])
    assert gone.reason == "wrong" and "double([1]) == [3]" in gone.detail
    stage = GenerateExercises(verify=True, tries=2, against=[]).concrete()
    request = flat(asked(stage))[0]
    again = stage.again(request, answer(wrong), gone, context("ex"))
    assert again.messages[:-2] == request.messages
    assert gone.detail in again.messages[-1]["content"]
    record = stage.record(again, answer(CODE), [])
    assert record["prompt"] == request.messages[-1]["content"] and record["corrections"] == 1
    assert stage.needs_python and not GenerateExercises().concrete().needs_python


@pytest.mark.parametrize(("text", "finish", "reason"), [
    ("I cannot help with that.", "stop", "refused"),
    (f"```python\n{CODE}```", "content_filter", "refused"),
    ("def double(x): ...", "stop", "no_code_block"),
    ("", "stop", "no_code_block"),
    ("Let me think about", "length", "truncated"),
    (f"```python\n{CODE.replace('double', 'triple')}```", "stop", "wrong_name"),
    ("```javascript\nfunction double(n) { return 2 * n }\n```", "stop", "no_code_block"),
    ("```python\n# double(numbers)\ndef other(): pass\n```", "stop", "wrong_name"),
    (f"```python\n{CODE.replace(chr(34) * 3, '#')}```", "stop", "no_docstring"),
    (f"```python\n{CODE.split('assert', maxsplit=1)[0]}```", "stop", "too_few_asserts"),
    (f"```python\n{CODE.split('assert', maxsplit=1)[0]}assert True\nassert 1 == 1\n```", "stop", "too_few_asserts"),
    ("```python\n" + CODE[:120], "length", "truncated"),
])  # fmt: skip
def test_bad_exercises_are_rejected(text, finish, reason):
    """Each with a documented reason."""
    result = exercise(text, finish)
    assert isinstance(result, Rejected) and result.reason == reason
    assert result.reason in GenerateExercises.reasons


def test_reports_are_plain():
    """Counts for the manifest, also of nothing."""
    meta = json.dumps({"topic": "lists"})
    docs = pa.table({"chars": [len(CODE)] * 2, "meta": [meta, meta]})
    assert GenerateExercises().report(docs) == {"exercises": 2, "by_topic": {"lists": 2}}
    assert GenerateTextbooks().report(docs) == {"passages": 2, "characters": 2 * len(CODE)}
    assert GenerateTextbooks().report(docs.slice(0, 0)) == {"passages": 0, "characters": 0}


def test_every_asset_setting_names_something():
    """The defaults are found beside the package."""
    for stage in (GenerateTextbooks(), GenerateExercises()):
        assert isinstance(assets.find("data", stage.topics), Path)
        assert all(isinstance(assets.find("data", prompt), Path) for prompt in stage.prompts)
        assert all((folder / "index.json").is_file() for folder in stage.folders())
