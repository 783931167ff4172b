"""read.chats: the forms in which people have chats, what is an answered query of them, and what is set aside and why."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from reading_cases import everything

from curate.errors import InputError
from curate.stages import reading_json
from curate.stages.answered import query_id
from curate.stages.catalog import Catalog
from curate.stages.queries import asked
from curate.stages.read_chats import ReadChats

USER = {"role": "user", "content": "What is 2+2?"}
ANSWER = {"role": "assistant", "content": "It is 4."}
CHAT = [USER, ANSWER]
ID = query_id(CHAT)
BRIEF = {"role": "system", "content": "Be brief."}


def read(folder: Path, *records: object, name: str = "a.jsonl", split_bytes: int = 1 << 20, **settings):
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(records)), folder / name, row_group_size=100)
        return everything(ReadChats(paths=[name], **settings), folder, split_bytes)
    data = b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records)
    if name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    if name.endswith(".zst"):
        data = zstandard.compress(data)
    (folder / name).write_bytes(data)
    return everything(ReadChats(paths=[name], **settings), folder, split_bytes)


def metas(rows) -> list[dict]:
    return [json.loads(row["meta"]) for row in rows]


def request(*messages, **more):
    return {"model": "large", "messages": list(messages), **more}


def response(*contents, model="large-0613", **more):
    choices = [{"index": i, "message": {"role": "assistant", "content": c}} for i, c in enumerate(contents)]
    return {"model": model, "choices": choices, **more}


CHUNKS = [{"model": "large", "choices": [{"index": 0, "delta": {"content": part}}]} for part in ("It ", "is 4.")]
END = {"model": "large", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}


def events(*chunks, begin="", field="data: ", end="\n", done="data: [DONE]\n\n"):
    """Chunks as the body of server-sent events in which they come."""
    return begin + "".join(f"{field}{json.dumps(c, ensure_ascii=False)}{end}{end}" for c in chunks) + done


BLOCKS = [
    {"type": "message_start", "message": {"type": "message", "role": "assistant", "model": "large", "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "It is"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": " 4."}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
]
OUTPUT = {"model": "large", "output": [{"type": "message", "content": [{"type": "output_text", "text": "It is 4."}]}]}
ONE_ANSWER = {
    "request and response": {"request": request(USER), "response": response("It is 4.")},
    "a batch": {"custom_id": "c", "body": request(USER), "response": {"status_code": 200, "body": response("It is 4.")}},
    "flat": {**request(USER), "response": response("It is 4.")},
    "flat, choices": {**request(USER), "choices": response("It is 4.")["choices"]},
    "flat, text": {**request(USER), "completion": "It is 4."},
    "messages": {"model": "large", "messages": CHAT},
    "messages as JSON": {"model": "large", "messages": json.dumps(CHAT)},
    "lmsys": {"model": "large", "conversation": CHAT},
    "ShareGPT": {"model": "large", "conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": "It is 4."}]},
    "instruction, output": {"model": "large", "instruction": "What is 2+2?", "input": None, "output": "It is 4."},
    "question, answer": {"model": "large", "question": "What is 2+2?", "answer": "It is 4."},
    "Anthropic": {
        "request": {"model": "large", "system": "Be brief.", "messages": [USER]},
        "response": {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "It is 4."}], "stop_reason": "end_turn"},
    },
    "Responses": {
        "request": {"model": "large", "instructions": "Be brief.", "input": "What is 2+2?"},
        "response": {"output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "It is 4."}]}]},
    },
    "streamed": {"request": request(USER), "response": [*CHUNKS, END]},
    "events": {"request": request(USER), "response": events(*CHUNKS)},
    "events, comments": {"request": request(USER), "response": events(*CHUNKS, begin=": OPENROUTER PROCESSING\n\n" * 2)},
    "events, no spaces": {"request": request(USER), "response": events(*CHUNKS, END, begin="id: 1\n", field="event:x\ndata:", end="\r\n", done="")},
    "events, no blank lines": {"request": request(USER), "response": events(*CHUNKS, END).replace("\n\n", "\n")},
    "events, Anthropic": {"request": request(USER), "response": events(*BLOCKS, field="event: x\ndata: ", done="")},
    "events, Responses": {
        "request": request(USER),
        "response": events({"type": "response.created", "response": {"status": "in_progress", "output": []}}, {"type": "response.completed", "response": {"status": "completed", **OUTPUT}}),
    },
    "events, completions": {"request": {"model": "large", "prompt": "What is 2+2?"}, "response": events({"choices": [{"index": 0, "text": "It is 4."}]})},
    "request and response as JSON": {"request": json.dumps(request(USER)), "response": json.dumps(response("It is 4."))},
    "a batch as JSON": {"body": json.dumps(request(USER)), "response": json.dumps({"status_code": 200, "body": json.dumps(response("It is 4."))})},
    "chunks as JSON": {"request": request(USER), "response": json.dumps([*CHUNKS, END])},
    "Anthropic as JSON": {"request": request(USER), "response": json.dumps({"content": [{"type": "text", "text": "It is 4."}], "stop_reason": "end_turn"})},
    "Responses as JSON": {"request": request(USER), "response": json.dumps(OUTPUT)},
    "a message as JSON": {"request": request(USER), "response": json.dumps(ANSWER)},
    "columns, JSON": {"prompt": "What is 2+2?", "response": json.dumps(response("It is 4."))},
    "a thought": {"model": "large", "messages": [USER, {"role": "assistant", "content": "<think>\n2, 3, 4\n</think>\n\nIt is 4."}]},
    "a thought, column": {"model": "large", "prompt": "What is 2+2?", "completion": "<think>hm</think>It is 4."},
    "flat, Anthropic": {"model": "large", "system": [{"type": "text", "text": "Be brief."}], "messages": [USER], "response": OUTPUT},
    "ShareGPT, system": {"model": "large", "system": "Be brief.", "conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": "It is 4."}]},
    "OpenOrca": {"model": "large", "system_prompt": "Be brief.", "question": "What is 2+2?", "response": "It is 4."},
    "parts of text": {"request": request({"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]}), "response": response("It is 4.")},
}  # fmt: skip


def id_of(form: str) -> str:
    """Of the query in a form: what the system says is part of it."""
    return query_id([BRIEF, *CHAT]) if BRIEF["content"] in json.dumps(ONE_ANSWER[form]) else ID


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("form", ONE_ANSWER)
def test_every_form_gives_the_same_answered_query(tmp_path, form, name):
    """Whatever the form: the text, the chat without what stands beside it, one id of the query, the model."""
    (row,), asides = read(tmp_path, ONE_ANSWER[form], name=name)
    (meta,) = metas([row])
    assert not asides and row["text"] == "What is 2+2?\n\nIt is 4."
    told = [BRIEF] if BRIEF["content"] in json.dumps(ONE_ANSWER[form]) else []
    assert meta["messages"] == [*told, *CHAT] and not {"system", "system_prompt"} & set(meta)
    assert meta["query"] == query_id(meta["messages"]) and meta["model"].startswith("large")


@pytest.mark.parametrize("form", ONE_ANSWER)
def test_queries_are_what_was_asked(tmp_path, form):
    """With give: queries the text is the user's; the answer is in no field."""
    (row,), asides = read(tmp_path, ONE_ANSWER[form], give="queries")
    assert not asides and row["text"] == "What is 2+2?" and metas([row])[0]["query"] == id_of(form)
    assert "It is 4." not in row["meta"]


def test_a_batch_of_requests_is_queries_alone(tmp_path):
    """Requests without responses are queries; they answer nothing."""
    sent = {"custom_id": "c7", "method": "POST", "body": request(USER, temperature=0.5)}
    (row,), _ = read(tmp_path, sent, give="queries", id="custom_id")
    assert row["origin"] == "a.jsonl#c7" and metas([row])[0]["request"] == {"temperature": 0.5}
    rows, (aside,) = read(tmp_path, sent)
    assert not rows and aside.reason == "no_answer"


def test_a_chat_of_many_turns_is_one_document(tmp_path):
    """The last answer is the answer; what came before is asked; a question nobody answered is a query alone."""
    system, more = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "And 3+3?"}
    six = {"role": "assistant", "content": "6"}
    chat = {"messages": [system, USER, ANSWER, more, six, USER]}
    (row,), _ = read(tmp_path, chat)
    meta = metas([row])[0]
    assert row["text"] == "What is 2+2?\n\nIt is 4.\n\nAnd 3+3?\n\n6" and meta["messages"] == chat["messages"][:-1]
    assert meta["query"] == query_id([system, USER, ANSWER, more]) != query_id([USER, ANSWER, more])
    (row,), _ = read(tmp_path, chat, give="queries")
    assert row["text"] == USER["content"] and metas([row])[0]["messages"] == chat["messages"]
    (row,), _ = read(tmp_path, {"messages": chat["messages"][:-1]}, give="queries")
    assert row["text"] == "And 3+3?" and metas([row])[0]["messages"] == [system, USER, ANSWER, more]
    thought = {**ANSWER, "content": f"<think>hm</think>{ANSWER['content']}"}
    (row,), _ = read(tmp_path, {"messages": [USER, thought, more, six]})
    assert metas([row])[0]["messages"] == [USER, ANSWER, more, six]


def test_each_choice_is_a_document(tmp_path):
    """Choices share the query and have ids of their own, with or without an id of the record; a bad one goes alone."""
    for own in ({"id": "r1"}, {}):
        record = {**own, "request": request(USER), "response": response("It is 4.", "", "Four.")}
        rows, (aside,) = read(tmp_path, record, {"messages": CHAT})
        assert [r["text"].split()[-1] for r in rows] == ["4.", "Four.", "4."] and len({r["id"] for r in rows}) == 3
        assert {m["query"] for m in metas(rows)} == {ID} and aside.reason == "no_answer"
        assert aside.origin == ("a.jsonl#r1/1" if own else "a.jsonl#@@0/1")


BAD = {
    "no_chat": [{"text": "x"}, {"request": {"model": "m"}}, {"messages": "nothing"}, {"messages": []}],
    "bad_message": [{"messages": [3, ANSWER]}, {"messages": [{"role": "judge", "content": "x"}, ANSWER]}, {"messages": [{"role": "user", "content": 3}, ANSWER]}],
    "tool_calls": [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]}, {"role": "tool", "content": "4"}, ANSWER]},
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]}]},
        {"request": request(USER), "response": {"content": [{"type": "tool_use"}]}},
        {"request": request(USER), "response": {"output": [{"type": "function_call"}]}},
    ],
    "not_text": [{"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {}}]}, ANSWER]}],
    "no_query": [{"messages": [ANSWER]}, {"messages": [{"role": "user", "content": " "}, ANSWER]}, {"instruction": "", "output": "x"}],
    "no_answer": [
        {"request": request(USER), "response": response(None)},
        {"messages": [USER]},
        {"messages": [USER, ANSWER, USER], "response": None},
        {"instruction": "x", "output": ""},
        {"request": request(USER), "response": 3},
        {"request": request(USER), "response": {"choices": [3]}},
        {"request": request(USER), "response": [{"choices": 3}]},
        {"request": request(USER), "response": ": OPENROUTER PROCESSING\n\n"},
        {"prompt": "x", "completion": "<think>It may be"},
    ],
    "no_history": [
        {"request": {"model": "m", "input": "And 3+3?", "previous_response_id": "r1"}, "response": OUTPUT},
        {"request": {"model": "m", "input": "And 3+3?", "conversation": "c1"}, "response": OUTPUT},
        {"request": request(USER), "response": {**OUTPUT, "previous_response_id": "r1"}},
        {"messages": CHAT, "previous_response_id": "r1"},
    ],
    "cut_short": [
        {"request": request(USER), "response": CHUNKS},
        {"request": request(USER), "response": events(*CHUNKS, done="")},
        {"request": request(USER), "response": events(*CHUNKS, done='data: {"choices": [{"del')},
        {"request": request(USER), "response": events(*BLOCKS[:-1], done="")},
        {"request": request(USER), "response": events({"type": "response.created", "response": {"status": "in_progress", **OUTPUT}})},
        {"request": request(USER), "response": events({"type": "response.output_text.delta", "delta": "It"})},
        *({"request": request(USER), "response": {**OUTPUT, "status": status}} for status in ("in_progress", "incomplete")),
        {"request": request(USER), "response": json.dumps({"choices": [{"message": ANSWER, "finish_reason": "length"}]})},
        {"prompt": USER["content"], "response": json.dumps({"choices": [{"message": ANSWER, "finish_reason": "length"}]})},
        {"messages": CHAT, "finish_reason": "length"},
        {"messages": [USER, {**ANSWER, "stop_reason": "max_tokens"}]},
        {"prompt": USER["content"], "completion": "It", "finish_reason": "length"},
        {"request": request(USER), "response": "It", "stop_reason": "MAX_TOKENS"},
        {"request": request(USER), "response": {"choices": [{"message": ANSWER, "finish_reason": "length"}]}},
        {"request": request(USER), "response": {"content": [{"type": "text", "text": "It"}], "stop_reason": "max_tokens"}},
    ],
    "refused": [
        {"request": request(USER), "response": {"choices": [{"message": {"role": "assistant", "content": None, "refusal": "no"}}]}},
        {"request": request(USER), "response": {"choices": [{"message": ANSWER, "finish_reason": "content_filter"}]}},
        {"request": request(USER), "response": {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]}},
        {"request": request(USER), "response": {**OUTPUT, "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}},
    ],
    "failed": [
        {"request": request(USER), "response": None, "error": {"code": 500}},
        {"body": request(USER), "response": {"status_code": 429, "body": {"error": {}}}},
        {"request": request(USER), "response": {"error": "overloaded"}},
        {"messages": [USER, ANSWER, USER], "error": "overloaded"},
        {"request": request(USER), "response": events(*CHUNKS, {"error": {"code": 502}})},
        {"request": request(USER), "response": {**OUTPUT, "status": "failed"}},
        {"request": request(USER), "response": json.dumps({"error": {"message": "overloaded", "type": "server_error"}})},
    ],
    "malformed": [[1], {"messages": CHAT, "m": json.loads("[" * 400 + "]" * 400)}],
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD)
def test_what_is_no_answered_query_says_why(tmp_path, reason):
    """Each record that can't be used is set aside by its reason, and its neighbours are read."""
    found = [record for bad in BAD[reason] for record in (bad, {"messages": CHAT})]
    rows, asides = read(tmp_path, *found)
    assert len(rows) == len(BAD[reason]) and [a.reason for a in asides] == [reason] * len(rows)


DEEP = json.loads("[" * 600 + "]" * 600)


@pytest.mark.parametrize("odd", [{}, [], {"a": 1}, [[]], 3, True, DEEP], ids=lambda odd: str(odd)[:9])
def test_a_value_of_another_type_sets_one_record_aside(tmp_path, odd):
    """Whatever stands where a word is expected: the record goes or is read, and its neighbours stay."""
    answered = {"message": ANSWER, "finish_reason": odd}
    records = [
        {"messages": [{"role": odd, "content": "x"}, ANSWER]},
        {"messages": [{"role": "judge", "type": odd, "content": "x"}, ANSWER]},
        {"messages": [{"role": "user", "content": [{"type": odd, "text": "x"}]}, ANSWER]},
        {"request": request(USER), "response": {"choices": [answered]}},
        {"request": request(USER), "response": {"content": "4", "stop_reason": odd}},
        {"request": request(USER), "response": {"output": [{"type": odd}], "incomplete_details": {"reason": odd}}},
        {"request": request(USER), "response": [{"choices": [{"index": odd, "delta": {"content": odd}}]}]},
    ]
    rows, asides = read(tmp_path, *records, {"messages": CHAT})
    assert rows[-1]["text"].endswith("It is 4.") and len(rows) + len(asides) == len(records) + 1
    assert {a.reason for a in asides} <= {"bad_message", "not_text", "no_answer", "malformed", "cut_short"}
    rows, (aside,) = read(tmp_path, {"messages": CHAT, "consent": odd}, consent={"values": ["yes"]})
    assert not rows and aside.reason == "no_consent"


def test_many_choices_of_a_long_prompt_come_in_batches(tmp_path):
    """What a record becomes is handed on as it is made: a thousand answers to a long prompt are a thousand long documents."""
    prompt = {"role": "user", "content": "long " * 20_000}
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"request": request(prompt), "response": response(*"abcdefghij" * 10)})
    )
    stage = ReadChats(paths=["a.jsonl"])
    (split,) = stage.splits(tmp_path, Catalog(), 1 << 30)
    sizes = [batch.num_rows for batch in stage.read(split, "step")]
    assert sum(sizes) == 100 and max(sizes) <= 11


def test_what_was_streamed_is_whole_or_no_answer(tmp_path):
    """Line separators inside of a chunk are text; words that look like events are words; each choice ends by itself."""

    def part(content, **more):
        return {"choices": [{"delta": {"content": content}, **more}]}

    said = [events(part("one\u2028"), part("two\x85")), "data: 3, 4", "event: none", ": a\nnote", "data: []"]
    lines = json.dumps(part("two lines"), indent=1).replace("\n", "\ndata: ")
    said += [f"data: {lines}\n\ndata: [DONE]\n\n", events(part("one", index=0), part("two", index=1), END, done="")]
    rows, asides = read(tmp_path, *({"request": request(USER), "response": body} for body in said))
    answers = [meta["messages"][-1]["content"] for meta in metas(rows)]
    assert answers == ["one\u2028two\x85", *said[1:5], "two lines", "one"]
    assert [a.reason for a in asides] == ["cut_short"]


def test_an_answer_in_json_is_an_answer(tmp_path):
    """Strings are looked into where they have the shape of an endpoint's body, and nowhere else."""
    said = [
        {"choices": [{"label": "A", "text": "Four"}]}, {"content": "4"}, {"content": [{"type": "text", "text": "4"}]}, {"output": [4]}, {"choices": 3},
        {"messages": CHAT}, {"error": "none"}, {"role": "assistant", "content": "4", "level": 3}, {"role": "user", "content": "4"}, [{"choices": []}], [1, "[DONE]"],
        {"subject": "I", "object": "response"}, {"text": "4"}, [],
    ]  # fmt: skip
    said = [json.dumps(answer) for answer in said] + ['{"choices": [{"message": ']
    forms = ({"request": request(USER)}, {"messages": [USER]}, {"prompt": USER["content"]})
    rows, asides = read(tmp_path, *({**form, "response": answer} for form in forms for answer in said))
    assert [meta["messages"][-1]["content"] for meta in metas(rows)] == said * 3 and not asides


def test_a_chat_has_one_system_message(tmp_path):
    """Several, wherever they stand, are joined, each said once; a field is named by a path; what is no text is no message."""
    system, developer = ({"role": role, "content": f"Be {role}."} for role in ("system", "developer"))
    chat = {"messages": [system, developer, USER, {"role": "system", "content": " "}, system, ANSWER]}
    records = [
        chat,
        {**chat, "system": "Be short."},
        {"messages": CHAT, "system": {"os": "x"}, "told": {"it": "Be it."}},
        {"messages": CHAT, "system": ""},
    ]
    rows, asides = read(tmp_path, *records)
    first, second, third, fourth = metas(rows)
    joined = "Be system.\n\nBe developer."
    assert first["messages"] == [{"role": "system", "content": joined}, *CHAT] and not asides
    assert second["messages"] == [{"role": "system", "content": f"Be short.\n\n{joined}"}, *CHAT]
    assert third["messages"] == CHAT and third["system"] == {"os": "x"} and fourth["messages"] == CHAT
    queries = read(tmp_path, chat, give="queries")[0]
    assert asked(queries[0]["text"], metas(queries)[0]) == ({"role": "system", "content": joined}, USER)
    rows, asides = read(
        tmp_path, *records, {"request": request(USER), "response": "4", "told": '{"it": "Be it."}'}, system="told.it"
    )
    assert [m["messages"][0]["content"] for m in metas(rows)] == [joined, joined, "Be it.", USER["content"], "Be it."]
    rows, (aside,) = read(tmp_path, {"prompt": "x", "completion": "y", "told": 3}, system="told")
    assert not rows and aside.reason == "bad_message"
    rows, _ = read(tmp_path, {"messages": CHAT, "system": "large"}, model="system")
    assert metas(rows)[0]["model"] == "large" and metas(rows)[0]["messages"] == CHAT
    rows, _ = read(
        tmp_path,
        {"request": json.dumps({"messages": [USER]}), "response": json.dumps(response("4"))},
        messages="request.messages",
        answer="response",
    )
    assert metas(rows)[0]["messages"][-1]["content"] == "4" and metas(rows)[0]["model"] == "large-0613"


def test_what_bears_on_answers_alone_leaves_queries(tmp_path):
    """A query that failed, or was answered by a tool, is a query."""
    bad = [*BAD["failed"], *BAD["refused"], *BAD["cut_short"], *BAD["tool_calls"]]
    rows, asides = read(tmp_path, *bad, give="queries")
    assert {r["text"] for r in rows} == {USER["content"]} and len(rows) == len(bad) and not asides


def test_no_record_without_consent(tmp_path):
    """Consent is a field's value, at any depth; whatever else it says, or nothing, is none."""
    said = [True, "true", "granted", False, None, 1, "no", {"a": 1}]
    records = [{"messages": CHAT, "user": {"consent": value}} for value in said]
    rows, asides = read(tmp_path, *records, {"messages": CHAT}, consent={"field": "user.consent"})
    assert len(rows) == 2 and [a.reason for a in asides] == ["no_consent"] * 7
    rows, _ = read(tmp_path, *records, consent={"field": "user.consent", "values": ["granted", 1]})
    assert len(rows) == 2


def test_terms_are_what_a_record_says(tmp_path):
    """A record's own terms stay, whatever is kept; others stand under the source's."""
    records = [{"messages": CHAT, "terms": "CC0-1.0", "day": 3}, {"messages": CHAT, "day": 3}]
    first, second = metas(read(tmp_path, *records, license="Apache-2.0", keep=[])[0])
    assert first["terms"] == "CC0-1.0" and "license" not in first and second["license"] == "Apache-2.0"
    assert "day" not in first


def test_columns_are_named_by_paths(tmp_path):
    """Paths lead into objects and into JSON in strings; scores are numbers, true is 1; input goes on with the query."""
    record = {
        "q": "What is", "more": "2+2?", "a": "4", "by": {"name": "small"}, "source": "made/up", "license": "MIT",
        "label": '{"preference": 1.5, "correct": "False"}', "text": "What is\n\n2+2?\n\n4", "day": 3,
    }  # fmt: skip
    named = {"query": "q", "input": "more", "answer": "a", "model": "by.name", "task": "source"}
    (row,), _ = read(tmp_path, record, **named, score="label.preference", license="meta.license")
    meta = metas([row])[0]
    assert row["text"] == "What is\n\n2+2?\n\n4" and row["source"] == "made/up" and "text" not in meta
    assert (meta["model"], meta["task"], meta["score"]) == ("small", "made/up", 1.5)
    assert meta["license"] == "MIT" and meta["day"] == 3
    (row,), _ = read(tmp_path, record, **named, score="label.correct", keep=["day", "a"])
    assert (metas([row])[0]["score"], metas([row])[0]["a"]) == (0, "4")  # what was used stays where it is named
    assert set(metas([row])[0]) == {"score", "license", "task", "model", "messages", "query", "day", "a"}
    (row,), _ = read(tmp_path, {**record, "label": "NaN"}, **named, score="label")
    assert "score" not in metas([row])[0]


def test_rows_that_can_not_be_read_are_not_gathered(tmp_path, monkeypatch):
    """However many follow each other, no more are held than make a batch."""
    held, whole = [], reading_json.Pending.flush

    def flush(self):
        held.append(len(self._asides))
        return whole(self)

    monkeypatch.setattr(reading_json.Pending, "flush", flush)
    monkeypatch.setattr(reading_json, "BATCH_ROWS", 50)
    pq.write_table(pa.table({"prompt": pa.array([b"\xff"] * 300).view(pa.string())}), tmp_path / "a.parquet")
    rows, asides = everything(ReadChats(paths=["a.parquet"]), tmp_path)
    assert not rows and len(asides) == 300 and max(held) == 50


def test_rows_of_collections(tmp_path):
    """LMSYS-Chat-1M's and WildChat's columns: turns as structs with fields of their own, times, nulls; a row that can't be read
    is set aside by itself."""
    turn = {
        "role": None,
        "content": None,
        "hashed_ip": None,
        "toxic": False,
        "timestamp": None,
        "header": {"accept-language": None},
    }
    asks = {**turn, **USER, "hashed_ip": "ab12", "header": {"accept-language": "de"}}
    answers = {**turn, **ANSWER, "timestamp": dt.datetime(2024, 5, 1, tzinfo=dt.UTC)}
    wild = {
        "conversation_hash": "h1",
        "model": "gpt-4",
        "timestamp": dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
        "conversation": [asks, answers],
        "turn": 1,
        "language": "English",
        "openai_moderation": [{"categories": {"hate": False}, "flagged": False}],
        "tool": None,
    }
    other = {**wild, "conversation_hash": "h2", "conversation": [asks]}
    rows, (aside,) = read(
        tmp_path,
        wild,
        other,
        name="a.parquet",
        id="conversation_hash",
        license="ODC-BY-1.0",
        keep=["conversation_hash", "language", "timestamp"],
    )
    (meta,) = metas(rows)
    assert meta == {
        "messages": CHAT, "query": ID, "model": "gpt-4", "license": "ODC-BY-1.0", "language": "English", "timestamp": "2024-05-01T00:00:00+00:00",
        "conversation_hash": "h1",
    }  # fmt: skip
    assert rows[0]["origin"] == "a.parquet#h1" and (aside.origin, aside.reason) == ("a.parquet#h2", "no_answer")
    bad = pa.array([b"ok", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"prompt": pa.array(["2+2?"] * 2), "completion": bad}), tmp_path / "b.parquet")
    rows, (aside,) = everything(ReadChats(paths=["b.parquet"]), tmp_path)
    assert len(rows) == 1 and (aside.origin, aside.reason) == ("b.parquet#@1", "invalid_utf8")
    long = {"prompt": "2+2?" * 600_000, "completion": "8"}
    rows, asides = read(
        tmp_path, *[{"prompt": "2+2?", "completion": "4"}] * 5, long, long, name="d.parquet", max_document_bytes=200_000
    )
    assert len(rows) == 5 and [(a.origin, a.reason) for a in asides] == [
        ("d.parquet#@5", "too_large"),
        ("d.parquet#@6", "too_large"),
    ]
    # Together more than a row may have, as entries of one dictionary.
    questions = [f"{n}+{n}?" + "!" * 300_000 for n in range(12)]
    entries, roles = pa.array(questions * 2).dictionary_encode(), pa.array(["user"] * 24).dictionary_encode()
    turns = pa.StructArray.from_arrays([roles, entries], ["role", "content"])
    chats = pa.ListArray.from_arrays(pa.array(range(25), pa.int32()), turns)
    for name, asks in (("prompt", entries), ("messages", chats)):
        columns = {name: asks, "completion": pa.array(["8"] * 24)}
        pq.write_table(pa.table(columns), tmp_path / "e.parquet")
        rows, asides = everything(ReadChats(paths=["e.parquet"], max_document_bytes=400_000), tmp_path)
        assert len(rows) == 24 and not asides and rows[-1]["text"] == f"{questions[-1]}\n\n8"
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="damaged Parquet file"):
        everything(ReadChats(paths=["c.parquet"]), tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json.zst", "a.parquet"])
def test_splits_bear_on_nothing(tmp_path, name):
    """Rows, ids and rows set aside are the same however files are cut; a byte order mark and blank lines are nothing."""
    records = [{"messages": [{"role": "user", "content": f"{i}?" * (i % 40 + 1)}, ANSWER if i % 7 else USER]} for i in range(300)]  # fmt: skip
    whole = read(tmp_path, *records, name=name)
    assert len(whole[0]) == 257 and {a.reason for a in whole[1]} == {"no_answer"}
    assert read(tmp_path, *records, name=name, split_bytes=3000) == whole
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps({"messages": CHAT}).encode() + b"\r\n\n{no\n\xff\n")
    rows, asides = everything(ReadChats(paths=["a.jsonl"]), tmp_path)
    assert len(rows) == 1 and [a.reason for a in asides] == ["malformed", "invalid_utf8"]
