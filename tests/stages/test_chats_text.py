"""chats.text: which side of a chat is a document's text, and that the whole comes back."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.answered import text_of
from curate.stages.base import Context
from curate.stages.chats_text import ChatsText
from curate.text.batch import Batch

CTX = Context("step", None)
said = st.text(st.characters(codec="utf-8"), max_size=9)
message = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": said})


def batch(*metas: dict | str, texts: list[str] | None = None) -> Batch:
    given = [m if isinstance(m, str) else json.dumps(m) for m in metas]
    text = pa.array(texts or ["as it was"] * len(given), pa.large_string())
    return Batch(pa.RecordBatch.from_pydict({"text": text, "meta": pa.array(given, pa.string())}))


def shown(stage: ChatsText, docs: Batch) -> list[str]:
    """The text of each row, or why it goes."""
    reasons = stage.decide(stage.measure(docs, CTX)).to_pylist()
    return [f"!{r}" if r else t for r, t in zip(reasons, stage.edit(docs, CTX).to_pylist(), strict=True)]


def turns(*contents: str, system: str = "") -> dict:
    roles = ["user", "assistant"] * len(contents)
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": first + [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]}


ROWS = [
    turns("q", "a", system="s"),
    turns("q", "a", "r", "b"),
    turns("q", "a", "r"),
    {"messages": [{"role": "assistant", "content": "a"}]},
    {"task": "t"},
    {"messages": []},
    {"messages": "no"},
    {"messages": [{"role": "user"}]},
]
BAD = ["!bad_messages"] * 3


@pytest.mark.parametrize("odd", [False, True])
def test_sides(odd):
    """The last query, the last answer, the whole chat without system messages; whether Arrow or JSON reads them."""
    rows = [*ROWS, "no JSON"] if odd else ROWS[:5]
    rest = [*BAD, "as it was"] if odd else []
    docs = batch(*rows)
    assert shown(ChatsText(), docs) == ["q", "r", "r", "!no_query", "as it was", *rest]
    assert shown(ChatsText(show="chat"), docs) == ["q\n\na", "q\n\na\n\nr\n\nb", "q\n\na\n\nr", "a", "as it was", *rest]
    answers = shown(ChatsText(show="answer"), docs)
    assert answers[:5] == ["a", "b", "!no_answer", "a", "!no_answer"] and answers[5:8] == (BAD if odd else [])


def test_queries_forget_their_answers():
    """With drop_answer the answer is in no field; one query alone needs no messages, other fields stay."""
    docs = batch(*[{**row, "task": "t"} for row in ROWS[:3]])
    stage = ChatsText(drop_answer=True)
    assert stage.edits_meta() and not ChatsText().edits_meta()
    metas = [json.loads(m) for m in stage.edit_meta(docs, CTX).to_pylist()]
    assert metas == [
        {"messages": ROWS[0]["messages"][:2], "task": "t"},
        {"messages": ROWS[1]["messages"][:3], "task": "t"},
        {**ROWS[2], "task": "t"},
    ]
    alone = stage.edit_meta(batch({**turns("q", "a"), "task": "t"}, {"x": 1}), CTX).to_pylist()
    assert alone == ['{"task":"t"}', '{"x": 1}']


@pytest.mark.parametrize("setting", ["drop_answer", "before"])
def test_some_settings_are_for_queries(setting):
    """An answer that is shown can't be dropped, and nothing stands before a chat."""
    with pytest.raises(ValueError, match="show: query"):
        ChatsText(show="chat", **{setting: True})


def test_what_stands_before_a_query():
    """Equal where the same was said by the same before, but for white space and empty system messages; null where nothing was."""
    said_twice = {"messages": [{"role": "user", "content": "q\nassistant\n1\na"}, {"role": "user", "content": "r"}]}
    rows = [
        *(turns("r", "b", system=s) for s in ("", " ", "Be brief.", "Be  brief.\n", "Be long.")),
        *(turns("q", a, "r", b) for a, b in (("a", "b"), ("a", "c"), ("x", "b"))),
        turns("q", "a", "r"),
        turns("q", "a", "r", "b", system="Be brief."),
        turns("q a", "r", "r"),
        {"task": "t"},
        {"messages": "no"},
        said_twice,
    ]
    stage = ChatsText(before=True)
    found = stage.measure(batch(*rows), CTX)["before"].to_pylist()
    assert stage.adds() == {"before": pa.string()} and not ChatsText().adds()
    assert [f is None for f in found] == [True, True] + [False] * 9 + [True, True, False]
    alike = [[2, 3], [4], [5, 6, 8], [7], [9], [10], [13]]
    assert len({found[n] for same in alike for n in same}) == len(alike)
    assert all(len({found[n] for n in same}) == 1 and len(found[same[0]]) == 32 for same in alike)
    assert all(
        stage.measure(batch(row), CTX)["before"].to_pylist() == [one] for row, one in zip(rows, found, strict=True)
    )
    assert ChatsText().measure(batch(*rows), CTX)["before"].null_count == len(rows)


@given(st.lists(st.lists(message, min_size=1, max_size=5), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_whole_chat_comes_back(chats):
    """The text of a chat after `show: chat` is what read.chats would give, whatever its text was."""
    docs = batch(*({"messages": chat} for chat in chats))
    assert ChatsText(show="chat").edit(docs, CTX).to_pylist() == [text_of(chat) for chat in chats]
    asked = ChatsText(show="query").edit(docs, CTX).to_pylist()
    for chat, text in zip(chats, asked, strict=True):
        by_user = [m["content"] for m in chat if m["role"] == "user"]
        assert text == (by_user[-1] if by_user else "as it was")
