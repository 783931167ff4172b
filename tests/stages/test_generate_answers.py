"""generate.answers: which queries are asked with which system message, what the record keeps and shows, what is rejected."""

import json
from collections import Counter

import pyarrow as pa
import pytest
import yaml
from learning_cases import batch, context, split

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer
from curate.stages.answered import query_id
from curate.stages.generate_answers import PLAIN, GenerateAnswers
from curate.stages.generator import LEDGER, Accepted, Rejected
from curate.stages.queries import asked, in_order
from curate.stages.system_messages import offers_choices, read_system_messages
from curate.text.batch import Batch

SUBMIXES = ("cot", "niv2", "flan2021", "t0")
ALLOWED = {
    "cot": {6, 11, 16},
    "niv2": {1, 2, 5, 7, 9, 12, 13, 14, 15},
    "flan2021": {3, 4, 7},
    "choice": {8, 10},
    "t0": {1, 2, 3, 5, 7},
}
ORCA, ORCA_2 = (assets.find("data", f"system-messages/{name}") for name in ("orca", "orca-2"))


def docs(texts: list[str], metas: list[dict] | None = None) -> Batch:
    whole = batch(texts, ["queries"] * len(texts))
    told = [json.dumps(meta) for meta in metas or [{}] * len(texts)]
    return Batch(whole.rows.set_column(4, "meta", pa.array(told)))


def many(count: int) -> Batch:
    """Queries of four submixes, half of those of one with choices."""
    texts, metas = [], []
    for i in range(count):
        submix = SUBMIXES[i % 4]
        choice = "\nOptions:\n- yes\n- no" if submix == "flan2021" and i % 8 == 2 else ""
        texts.append(f"Is the number {i} even?{choice}")
        metas.append(
            {"submix": submix, "task": f"task-{i % 12}", "license": "CC-BY-SA-4.0", "reference": str(i), "n": i}
        )
    return docs(texts, metas)


def requests(stage: GenerateAnswers, given: list[Batch], **more):
    return [r for round_ in stage.requests(given, ctx_of(stage, **more)) for r in round_]


def ctx_of(stage, step="answers", **more):
    found = {"systems": assets.find("data", stage.systems)} if stage.systems else {}
    return context(step, **{**found, **more})


def answer(text, finish="stop", licence="Apache-2.0"):
    return Answer("ab" * 16, text, finish, "teacher-1", 100, 50, licence, 0.25)


def stage_of(**settings) -> GenerateAnswers:
    return GenerateAnswers(**{"against": [], **settings})


def said(text, given=None, **settings):
    """What comes of an answer to a query."""
    stage = stage_of(**settings)
    (request,) = requests(stage, [given or docs(["Why is the sky blue?"])])
    return stage.accept(request, text if isinstance(text, Answer) else answer(text), ctx_of(stage))


# -- which queries, and in which order ----------------------------------------------------------------------------


def test_every_reason_is_in_the_ledger():
    """As something that the ledger counts."""
    assert set(GenerateAnswers.ledger) == set(GenerateAnswers.reasons)
    assert set(GenerateAnswers.ledger.values()) <= set(LEDGER)


def test_the_order_of_rows_does_not_matter():
    """Neither batches nor the order of rows bear on what is asked; a round has one family, and all queries are asked."""
    stage, whole = stage_of(systems="system-messages/orca", round=4), many(40)
    rounds = list(stage.requests([whole], ctx_of(stage)))
    turned = Batch(whole.rows.take(pa.array(range(39, -1, -1))))
    assert rounds == list(stage.requests(split(whole, 7), ctx_of(stage)))
    assert rounds == list(stage.requests([turned], ctx_of(stage)))
    assert all(len({r.family for r in some}) == 1 and len(some) <= 4 for some in rounds)
    assert sorted(r.subject["reference"] for some in rounds for r in some) == sorted(map(str, range(40)))


def test_in_pieces_as_in_one():
    """However little is held in memory at a time, the queries come in the same order."""
    whole = split(many(50), 6)
    once = list(in_order(whole, 7, longest=1000, passed=Counter()))
    assert once == list(in_order(whole, 7, longest=1000, passed=Counter(), at_once=300))
    assert len(once) == 50 and once != list(in_order(whole, 8, longest=1000, passed=Counter()))


def test_two_teachers_are_asked_alike():
    """Steps with one salt ask the same queries with the same messages, the fewer are the first of the more; another salt draws
    others; another teacher's draw of what to say does not depend on how many it is asked."""
    settings = {"systems": "system-messages/orca", "round": 1}
    first = requests(stage_of(**settings, queries=30), [many(80)], step="first")
    second = requests(stage_of(**settings, queries=12, model="large"), [many(80)], step="second")
    assert [r.messages for r in second] == [r.messages for r in first[:12]]
    other = requests(stage_of(**settings, queries=30, salt="b"), [many(80)], step="first")
    assert {r.messages for r in map(_plain, other)} != {r.messages for r in map(_plain, first)}


def _plain(request):
    from dataclasses import replace

    return replace(request, messages=tuple(tuple(sorted(m.items())) for m in request.messages))


def test_what_is_asked_alike_is_asked_once():
    """Of equal queries the document with the smallest id is asked; another chat before it is another query."""
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
    ]
    given = docs(["Why?", "Why?", "Why?"], [{}, {}, {"messages": chat}])
    found = requests(stage_of(), [given])
    assert sorted(len(r.messages) for r in found) == [1, 3]
    ids = sorted(given.column("id").to_pylist()[:2])
    assert {r.subject["made_from"][0] for r in found if len(r.messages) == 1} == {ids[0].hex()}
    assert {r.draw for r in requests(stage_of(draws=3), [docs(["Why?"])])} == {0, 1, 2}


def test_what_asks_nothing():
    """Blank texts, chats that are none, and such as are too long; an answered query is asked anew."""
    user, assistant = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
    assert (
        asked("Why?", {}) == asked("x", {"messages": [user]}) == asked("x", {"messages": [user, assistant]}) == (user,)
    )
    assert asked(" \n", {}) is None
    for bad in ([], "Why?", [user, {"role": "tool", "content": "x"}], [{"role": "user"}], [assistant], [user, 3],
                [user, {"role": "system", "content": "s"}], [{"role": "user", "content": " "}]):  # fmt: skip
        assert asked("x", {"messages": bad}) is None
    assert len(requests(stage_of(max_query_chars=5), [docs(["Why?", "Why not?"])])) == 1
    with pytest.raises(InputError, match="no queries to answer"):
        requests(stage_of(), [docs([" "])])


def test_benchmarks_are_not_asked():
    """A query that holds an item is passed over, and another is asked in its place."""
    items = [json.loads(line)["prompt"] for line in assets.find("data", "benchmarks/humaneval").open() if line.strip()]
    stage = GenerateAnswers(queries=3)
    found = requests(stage, [docs([*items[:4], "What is rain?", "What is snow?", "What is ice?"])])
    assert sorted(r.messages[-1]["content"] for r in found) == ["What is ice?", "What is rain?", "What is snow?"]


def test_what_is_not_asked_is_counted():
    """By why: every document is a query that is asked, or is told of as something else; batches do not bear on it."""
    item = next(line for line in assets.find("data", "benchmarks/humaneval").open() if line.strip())
    given = docs(["Why?", "Why?", " ", "Why is it so long?", json.loads(item)["prompt"], *(f"{n}?" for n in range(9))])
    for batches in ([given], split(given, 3)):
        number, passed = gone_through(GenerateAnswers(max_query_chars=1000), batches)
        assert number == 11
        assert +passed == {
            "asks what another one asks": 1, "asks nothing, or is no chat": 1, "hold an item of a benchmark": 1,
        }  # fmt: skip
        number, passed = gone_through(stage_of(max_query_chars=10, queries=4), batches)
        assert number == 4
        assert passed.pop("more than `queries`") == 6 and sum(passed.values()) == 4


def gone_through(stage, batches):
    """How many requests there are, and what was passed over."""
    number, rounds = 0, stage.requests(batches, ctx_of(stage))
    while True:
        try:
            number += len(next(rounds))
        except StopIteration as end:
            return number, end.value


# -- system messages ------------------------------------------------------------------------------------------------


def test_messages_by_submix():
    """Those that the paper allows for each part of the collection, every one of them drawn, about equally often."""
    ids = {message.name: message.id for message in read_system_messages(ORCA).messages}
    assert sorted(ids.values()) == list(range(1, 17))
    drawn: dict[str, Counter] = {}
    for r in requests(stage_of(systems="system-messages/orca"), [many(1600)]):
        kind = "choice" if "Options:" in r.messages[-1]["content"] else r.subject["submix"]
        drawn.setdefault(kind, Counter())[ids[r.subject["strategy"]]] += 1
        assert r.family == r.subject["strategy"] and not r.subject["erased"]
        assert [m["role"] for m in r.messages] == (["user"] if r.family == "empty" else ["system", "user"])
    assert {kind: set(count) for kind, count in drawn.items()} == ALLOWED
    for count in drawn.values():
        mean = sum(count.values()) / len(count)
        assert all(abs(n - mean) < 5 * mean**0.5 for n in count.values())


def test_a_message_more_takes_its_share(tmp_path):
    """Queries that do not get the new message keep theirs."""

    def told(ids):
        value = yaml.safe_load(ORCA.read_text())
        path = tmp_path / f"{len(ids)}.yaml"
        path.write_text(yaml.safe_dump({**value, "rules": [{"messages": ids}]}))
        found = requests(stage_of(systems="system-messages/orca"), [many(200)], systems=path)
        return {r.messages[-1]["content"]: r.subject["strategy"] for r in found}

    few, more = told([2, 3, 4]), told([2, 3, 4, 5])
    moved = {query for query in few if few[query] != more[query]}
    assert {more[query] for query in moved} == {"follow"}
    assert 25 <= len(moved) <= 75


def test_no_system_message_of_ours():
    """A chat that brings one keeps it; without a file, or a rule that fits, there is none."""
    own = docs(
        ["Why?"], [{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]}]
    )
    (request,) = requests(stage_of(systems="system-messages/orca"), [own])
    assert request.messages[0]["content"] == "Be brief." and request.family == PLAIN
    meta = stage_of().accept(request, answer("So."), context()).meta
    assert meta["messages"][0] == {"role": "system", "content": "Be brief."} and "system" not in meta
    assert meta["query"] == query_id(meta["messages"]) != query_id(meta["messages"][1:])
    (request,) = requests(stage_of(), [docs(["Why?"])])
    assert request.family == PLAIN and len(request.messages) == 1 and "strategy" not in request.subject


def test_what_a_log_says_of_its_model_is_part_of_the_query():
    """Under two system messages of a log a query is two, each asked and answered; empty ones say nothing."""
    user = {"role": "user", "content": "Where is the station?"}
    told = [{"role": "system", "content": f"Translate to {tongue}."} for tongue in ("German", "French")]
    empty = {"role": "system", "content": " "}
    given = docs(["?"] * 4, [{"messages": [*some, user]} for some in ([told[0]], [told[1]], [empty], [])])
    passed = Counter()
    found = list(in_order([given], 7, longest=1000, passed=passed))
    assert len({one.id for one in found}) == 3 and passed["asks what another one asks"] == 1
    stage = stage_of(systems="system-messages/orca")
    answered = [stage.accept(r, answer("There."), ctx_of(stage)).meta for r in requests(stage, [given])]
    own = {meta["query"]: meta["messages"][0] for meta in answered if "strategy" not in meta}
    assert own == {query_id([one, user]): one for one in told}


def test_what_was_drawn_for_an_answer_is_none_of_the_query():
    """Answers to one query under several drawn messages are answers to one query; asked anew, it is asked as it was."""
    queries = docs(["Why?", "How?"], [{"task": "why"}, {"task": "how"}])
    rows = []
    for name in ("orca", "orca-2"):
        for salt in "ab":
            stage = stage_of(systems=f"system-messages/{name}", salt=salt)
            rows += [
                stage.accept(request, answer("So it is."), ctx_of(stage)) for request in requests(stage, [queries])
            ]
    metas = [made.meta for made in rows]
    assert len({json.dumps(meta["messages"]) for meta in metas}) > len({meta["query"] for meta in metas}) == 2
    assert {meta["query"] for meta in metas} == {query_id([{"role": "user", "content": c}]) for c in ("Why?", "How?")}
    again = docs([made.text for made in rows], metas)
    stage = stage_of(systems="system-messages/orca-2", salt="a")
    first, anew = requests(stage, [queries]), requests(stage, [again])
    assert [r.messages for r in anew] == [r.messages for r in first]
    assert all(len(r.messages) == 1 for r in requests(stage_of(), [again]))


@pytest.mark.parametrize(
    ("query", "choice"),
    [
        ("Which is a fruit?\n(A) stone\n(B) apple", True),
        ("Which is a fruit? Answer choices: a) stone b) apple", True),
        ("Pick one.\nOptions:\n- stone\n- apple", True),
        ("Pick one. Choices: 1. stone 2. apple", True),
        ("A. stone B. apple\nWhich of them is a fruit?", True),
        ("Is it so?\n\nPick your answer from:\n(A). yes\n(B). no", True),
        ("Is it so?\n\nOPTIONS:\n[a]. yes\n[b]. no", True),
        ("Is it so?\n\nOptions are:\n + yes;\n + no;", True),
        ("Is it so?\n\nselect from the following. (i) yes (ii) no", True),
        ("Is it so?\n\nOPT: - yes - no", True),
        ("Is it so? Choose from: -- yes -- no", True),
        ("Is it so?\n\n A). yes.\n B). no.", True),
        ("Is an apple a fruit?", False),
        ("My choices: - one, and no more", False),
        ("Did Charles I. or Charles II. win?", False),
        ("Please choose from: your heart - it knows. - Or not?", False),
        ("How is this done better? 1. Heat the pan. 2. Add oil.", False),
        ("Sort: a) stone b) apple", False),
        ("Explain your options: none of them is good", False),
        ("Who was Charles I. of England?" + " " * 100_000, False),
    ],
)
def test_multiple_choice(query, choice):
    """By how it is written."""
    assert offers_choices(query) is choice


# -- prompt erasing ---------------------------------------------------------------------------------------------------


def test_used_and_shown():
    """The teacher is told a strategy for the task, the student sees a generic message; the record keeps both."""
    tasks = {
        "gsm8k_math": "step-by-step",
        "snli": "premise-and-claim",
        "squad_v2": "extract",
        "xsum_summarise": "draft-and-check",
    }
    given = docs([f"Do {task}." for task in tasks], [{"task": task} for task in tasks])
    stage = stage_of(systems="system-messages/orca-2")
    shown = read_system_messages(ORCA_2).shown
    for request in requests(stage, [given]):
        used = request.messages[0]["content"]
        assert request.family == tasks[request.subject["task"]] and used != shown
        meta = stage.accept(request, answer("Answer: 4"), ctx_of(stage)).meta
        assert meta["messages"] == [
            {"role": "system", "content": shown},
            request.messages[1],
            {"role": "assistant", "content": "Answer: 4"},
        ]
        assert (meta["system"], meta["strategy"], meta["erased"]) == (used, tasks[meta["task"]], True)
    (request,) = requests(stage, [docs(["Which?\n(A) this\n(B) that"], [{"task": "gsm8k_math"}])])
    assert request.family == "options"


def test_what_is_not_shown_is_not_told():
    """An answer that repeats the erased instruction is rejected, unless the query says the same; one that is shown may be."""
    given = docs(["Count."], [{"task": "math"}])
    told = "As I was told, I set out what is given and what is asked. Work towards the result in numbered steps, each with its reason."
    found = said(told, given, systems="system-messages/orca-2")
    assert isinstance(found, Rejected) and found.reason == "leaked" and "what is given and what" in found.detail
    again = docs([f"Count. {told}"], [{"task": "math"}])
    assert isinstance(said(told + " Yes.", again, systems="system-messages/orca-2"), Accepted)
    assert isinstance(said(told, given), Accepted)


# -- records, and what is rejected -----------------------------------------------------------------------------------


def test_a_record():
    """Chat, query, teacher, terms, parameters, cost, and what the query said of itself; all plain values."""
    given = docs(
        ["Why is the sky blue?"],
        [{"task": "why", "reference": "Air scatters blue.", "license": "CC-BY-SA-4.0", "own": 1}],
    )
    found = said("Sure! Here is the answer:\n\nAir scatters blue light most.", given, systems="system-messages/orca")
    assert isinstance(found, Accepted)
    meta = found.meta
    assert json.loads(json.dumps(meta)) == meta
    assert found.text == "Why is the sky blue?\n\nAir scatters blue light most."
    assert [m["role"] for m in meta["messages"]] == ["system", "user", "assistant"]
    assert meta["messages"][-1]["content"] == "Air scatters blue light most."
    assert meta["query"] == query_id(meta["messages"][1:]) and meta["made_from"] == [
        given.column("id")[0].as_py().hex()
    ]
    assert (meta["model"], meta["terms"], meta["task"], meta["reference"]) == (
        "teacher-1",
        "CC-BY-SA-4.0",
        "why",
        "Air scatters blue.",
    )
    assert "own" not in meta and "shown" not in meta and "asked" not in meta
    assert (meta["dollars"], meta["prompt_tokens"], meta["completion_tokens"]) == (0.25, 100, 50)
    assert meta["sampling"] == {"temperature": 0.7, "top_p": 0.95, "max_tokens": 1024}
    kept = said("Sure! Here is the answer:\n\nAir.", given, unwrap=False)
    assert isinstance(kept, Accepted) and kept.text.endswith("Sure! Here is the answer:\n\nAir.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "refused"),
        (answer("x", finish="content_filter"), "refused"),
        (answer("Air scatters blue light more than", finish="length"), "truncated"),
        ("", "too_short"),
        ("Why is the sky blue?", "echoed"),
        ("Air.<|im_end|>\n<|im_start|>user\nAnd at night?", "leaked"),
        ("Air.\n### Human: And at night?", "leaked"),
        ("blue " * 200, "repetitive"),
    ],
)
def test_rejected(text, reason):
    """With what shows why."""
    found = said(text)
    assert isinstance(found, Rejected) and found.reason == reason


def test_another_try():
    """The record of an answer that came after a correction has the chat without it, and says how many there were."""
    stage = stage_of(tries=2, systems="system-messages/orca")
    (request,) = requests(stage, [docs(["Why is the sky blue?"])])
    rejected = stage.accept(request, answer("Why is the sky blue?"), ctx_of(stage))
    second = stage.again(request, answer("Why is the sky blue?"), rejected, ctx_of(stage))
    assert second is not None and len(second.messages) == len(request.messages) + 2
    meta = stage.accept(second, answer("Air."), ctx_of(stage)).meta
    assert [m["content"] for m in meta["messages"][1:]] == ["Why is the sky blue?", "Air."]
    assert meta["corrections"] == 1


@pytest.mark.parametrize(
    ("change", "said_of_it"),
    [
        ({"messages": []}, "messages"),
        ({"rules": [{"messages": [99]}]}, "names message 99"),
        ({"messages": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "two messages have the id '1'"),
        ({"rulez": []}, "rulez"),
        ({"messages": [{"id": 1, "name": "Not A Name"}]}, "messages.0.name"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, change, said_of_it):
    """The field, and where there is one to look at."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(ORCA.read_text()), **change}))
    with pytest.raises(InputError, match="no file of system messages") as caught:
        read_system_messages(path)
    assert said_of_it in str(caught.value) and "orca.yaml" in caught.value.cure
    path.write_text("a: [")
    with pytest.raises(InputError, match="no file of system messages"):
        read_system_messages(path)


def test_a_gate_sends_hard_queries_to_another_model():
    """From the threshold on, and without a score; rounds are of one model, and the record has the score."""
    scores = [0.2, 0.61, None, float("nan"), 0.6, 0.1]
    given = docs([f"Query {i}?" for i in range(len(scores))])
    given = Batch(given.rows.append_column("ranked.score", pa.array(scores, pa.float64())))
    stage = stage_of(gate={"column": "ranked.score", "at_least": 0.6, "model": "large"}, then="large", round=2)
    assert stage.reads() == {"ranked.score"}
    assert stage.models() == ("writer", "large")
    rounds = list(stage.requests([given], ctx_of(stage)))
    assert all(len({stage.first(r) for r in some}) == 1 for some in rounds)
    first = {r.messages[-1]["content"]: (stage.first(r), r.subject["gate"]) for some in rounds for r in some}
    assert [first[f"Query {i}?"] for i in range(len(scores))] == [
        ("writer", 0.2), ("large", 0.61), ("large", None), ("large", None), ("large", 0.6), ("writer", 0.1),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="does not send on"):
        stage_of(gate={"column": "ranked.score", "at_least": 0.6, "model": "writer"})


@pytest.mark.parametrize("name", ["shown", "dollars", "strategy", "terms"])
def test_what_an_answer_says_itself_is_carried_from_no_query(name):
    """A query's field in the place of one of an answer's would say what is not so."""
    with pytest.raises(ValueError, match=f"'{name}' of an answer is not that of its query"):
        stage_of(carry=["task", name])
