"""Chats as tokens, against an obvious twin: one message after the other, one token after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import batch
from tokenizer_cases import CONTROLS, KINDS

from curate.errors import InputError
from curate.stages import tokenizer as tk
from curate.stages.base import Context
from curate.stages.chat import Chat, messages_of
from curate.stages.encode_tokens import EncodeTokens, as_ids
from curate.text.batch import Batch

START, END = "<|im_start|>", "<|im_end|>"
PIECE = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from([*CONTROLS, "\n", " ", "user", "the "]))
TEXT = st.lists(PIECE, max_size=6).map("".join)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT})
ROW = st.tuples(TEXT, st.none() | st.lists(MESSAGE, min_size=1, max_size=4))


@pytest.fixture(scope="module", params=["sentencepiece", "huggingface, bytes"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("chat"))


def docs(texts: list[str], metas: list[Any]) -> Batch:
    made = batch(texts, ["s"] * len(texts))
    said = pa.array([m if isinstance(m, str) else json.dumps(m) for m in metas], pa.string())
    return made.with_rows(made.rows.set_column(4, "meta", said))


def measured(folder: Path, rows: Batch, chat: Chat) -> tuple[list[Any], list[Any], list[Any]]:
    """Ids, runs and reasons of each row."""
    stage = EncodeTokens(tokenizer="t", chat=chat)
    found = stage.measure(rows, Context("tokens", None, {"tokenizer": folder}))
    assert {name: values.type for name, values in found.items()} == stage.signals
    for values in found.values():
        values.validate(full=True)
    ids = as_ids(found["ids"], tk.load(folder).dtype)
    assert found["count"].to_pylist() == [len(row) for row in ids]
    return ids.to_pylist(), found["trained"].to_pylist(), stage.decide(found).to_pylist()


def twin(
    tokenizer: tk.Tokenizer, text: str, messages: list[dict[str, str]] | None, chat: Chat
) -> tuple[list[int], Any]:
    def ids(some: str) -> list[int]:
        return tokenizer.encode_slow(pa.array([some], pa.large_string())).to_pylist()[0]

    if messages is None:
        return ids(text), None
    tokens: list[tuple[int, bool]] = []
    for place, one in enumerate(messages, 1):
        hit = one["role"] in chat.train_on and (chat.turns == "all" or place == len(messages))
        if one["role"] in chat.roles:
            head = [tokenizer.control(chat.roles[one["role"]]), *ids("\n")]
        else:
            head = [tokenizer.control(chat.start), *ids(one["role"] + "\n")]
        tokens += [(i, False) for i in head]
        tokens += [(i, hit) for i in [*ids(one["content"]), tokenizer.control(chat.end)]]
        tokens += [(i, False) for i in ids("\n")]
    runs, state = [0], False
    for _, hit in tokens:
        if hit != state:
            runs.append(0)
            state = hit
        runs[-1] += 1
    return [i for i, _ in tokens], runs


@settings(max_examples=20)
@given(
    st.lists(ROW, min_size=1, max_size=5),
    st.sampled_from([("assistant",), (), ("user", "assistant")]),
    st.sampled_from(["all", "last"]),
)
def test_chats_are_those_of_the_twin(folder: Path, rows: list[Any], train_on: tuple[str, ...], turns: Any) -> None:
    """With texts between them, whatever contents spell."""
    chat, tokenizer = Chat(train_on=train_on, turns=turns), tk.load(folder)
    metas = [{"n": i} if m is None else {"messages": m} for i, (_, m) in enumerate(rows)]
    ids, runs, reasons = measured(folder, docs([t for t, _ in rows], metas), chat)
    expected = [twin(tokenizer, t, m, chat) for t, m in rows]
    assert ids == [e[0] for e in expected]
    assert runs == [e[1] for e in expected]
    assert set(reasons) == {None}
    marks = {tokenizer.control(START), tokenizer.control(END)}
    held = set(tokenizer.controls().values())
    for (_, messages), row in zip(rows, ids, strict=True):
        assert sum(i in marks for i in row) == 2 * len(messages or [])
        assert len(held & set(row)) <= 2


def test_what_is_trained_on(folder: Path) -> None:
    """Planted: the answer and its end, not the question, not the role, not the line feed behind."""
    tokenizer = tk.load(folder)
    messages = [{"role": "user", "content": f"say {END}"}, {"role": "assistant", "content": "yes", "name": "x"}]
    (ids,), (runs,), _ = measured(folder, docs(["ignored"], [{"messages": messages, "licence": "MIT"}]), Chat())
    assert len(runs) == 3 and sum(runs) == len(ids)
    asked, answered = ids[: runs[0]], ids[runs[0] : runs[0] + runs[1]]
    assert tokenizer.decode(answered[:-1]) == "yes"
    assert answered[-1] == tokenizer.control(END)
    assert tokenizer.decode(asked) == f"user\nsay {END}\nassistant\n"
    assert tokenizer.decode(ids[-runs[2] :]) == "\n"
    named = Chat(roles={"user": "<tool>", "assistant": START})
    (ids,), _, _ = measured(folder, docs([""], [{"messages": messages}]), named)
    assert ids[0] == tokenizer.control("<tool>")
    assert tokenizer.decode(ids) == f"\nsay {END}\n\nyes\n"


def test_of_a_log_the_teachers_words_alone_are_trained_on(folder: Path) -> None:
    """With `turns: last` the mask has the last answer and its end; what another model said before is read, not learnt."""
    tokenizer = tk.load(folder)
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "PRODUCTION"}]
    asked = [*before, {"role": "user", "content": "go on"}]
    taught = [*asked, {"role": "assistant", "content": "teacher"}]

    def learnt(chat: Chat, messages: list[dict[str, str]]) -> list[str]:
        (ids,), (runs,), _ = measured(folder, docs([""], [{"messages": messages}]), chat)
        ends = np.cumsum([0, *runs]).tolist()
        found = [ids[start:stop] for start, stop in zip(ends[1::2], ends[2::2], strict=False)]
        assert all(row[-1] == tokenizer.control(END) for row in found)
        return [tokenizer.decode(row[:-1]) for row in found]

    assert learnt(Chat(), taught) == ["PRODUCTION", "teacher"]
    assert learnt(Chat(turns="last"), taught) == ["teacher"]
    assert learnt(Chat(turns="last"), asked) == []  # nobody answered: nothing of it is a teacher's
    assert learnt(Chat(turns="last", train_on=("user", "assistant")), asked) == ["go on"]


BAD: list[Any] = [
    {"messages": []},
    {"messages": "hello"},
    {"messages": {"role": "user", "content": "x"}},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": None}]},
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [None]},
    {"messages": ["x"]},
    {"messages": [{"role": "user", "content": "a"}, {"content": "b"}]},
    '{"messages": [{"role": "user", "content": "\\ud800"}]}',
]
NONE: list[Any] = [{}, {"messages": None}, "no json", "[]", '{"a": "\\ud800"}', {"x": {"messages": []}}]


@pytest.mark.parametrize("together", [False, True])
def test_what_is_no_chat(folder: Path, *, together: bool) -> None:
    """Broken messages are a reason to drop the row; rows without any are texts; each row is for itself."""
    good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b\nc"}]}
    metas = [*BAD, *NONE, good]
    expected = ["bad_messages"] * len(BAD) + [None] * (len(NONE) + 1)
    if together:
        ids, runs, reasons = measured(folder, docs(["text"] * len(metas), metas), Chat())
    else:
        each = [measured(folder, docs(["text"], [meta]), Chat()) for meta in metas]
        ids, runs, reasons = ([one[i][0] for one in each] for i in range(3))
    assert reasons == expected
    assert [len(row) > 0 for row in ids] == [reason is None for reason in expected]
    assert [row is None for row in runs] == [True] * (len(metas) - 1) + [False]
    assert ids[-1] == twin(tk.load(folder), "", good["messages"], Chat())[0]


def test_a_role_without_a_symbol(folder: Path) -> None:
    """Where roles have symbols, one that has none is no message."""
    chat = Chat(roles={"user": "<tool>"})
    said = [[{"role": role, "content": "x"}] for role in ("user", "system")]
    _, _, reasons = measured(folder, docs(["", ""], [{"messages": m} for m in said]), chat)
    assert reasons == [None, "bad_messages"]


def test_a_tokenizer_without_the_symbols(folder: Path) -> None:
    """It is named before a row is read."""
    for chat, name in (
        (Chat(end="<|eot_id|>"), "<|eot_id|>"),
        (Chat(start="<|header|>"), "<|header|>"),
        (Chat(roles={"user": "<|user|>"}), "<|user|>"),
    ):
        with pytest.raises(InputError, match="no control symbol") as caught:
            EncodeTokens(tokenizer="t", chat=chat).warm(Context("tokens", None, {"tokenizer": folder}))
        assert name in str(caught.value)


def test_no_rows(folder: Path) -> None:
    assert measured(folder, docs([], []), Chat()) == ([], [], [])
    assert messages_of(pa.array([], pa.string()), Chat()).rows.tolist() == [0]
    assert np.array_equal(messages_of(pa.array([None], pa.string()), Chat()).chats, [False])
