"""Embeddings over real HTTP: both encodings, what goes wrong with a vector, and the local model."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import EndpointError
from curate.llm.ask import Asker, Round
from curate.llm.embedding import decode, encode, vector_of
from curate.llm.journal import request_key, reserve_of
from curate.llm.model import Budget, Model
from curate.llm.outcome import Failure
from curate.llm.request import Request
from curate.llm.teacher import Call, Say, Teacher, bag_of_words


def embedding(text: str, **sampling) -> Request:
    return Request(({"role": "user", "content": text},), "embedding", 0, 0, sampling, kind="embeddings")


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_a_vector_comes_back_as_it_went(numbers):
    """Every float32, bit for bit; the text is what any OpenAI client would read."""
    text = encode(numbers)
    assert decode(text).tolist() == np.float32(numbers).tolist()
    assert text == base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize("wanted", ["base64", "float"])
def test_both_encodings_give_the_same_vectors(ask_at, wanted):
    """The server is asked for one of them; the answer is float32 to the bit; tokens are charged as prompt alone."""
    texts = ["a list of numbers", "caf\u00e9 \u4f60\u597d", "x" * 5_000]
    with Teacher() as teacher:
        asked = ask_at([[embedding(t) for t in texts]], teacher.base_url, encoding_format=wanted, prompt_price=1_000.0)
    assert {c.body["encoding_format"] for c in teacher.calls} == {wanted}
    assert all(c.embeddings for c in teacher.calls)
    for text, answer in zip(texts, asked.rounds[0], strict=True):
        assert decode(answer.text).tolist() == np.float32(bag_of_words(text, 64)).tolist()
        assert (answer.finish_reason, answer.completion_tokens) == ("stop", 0)
    accounts = asked.accounts
    assert accounts["uncounted"] == 0
    assert accounts["prompt_tokens"] == sum(len(t.split()) for t in texts) == 7
    assert accounts["dollars"] == pytest.approx(7 * 1_000 / 1e6)
    assert asked.bought == 3 and asked.seconds > 0


def test_a_server_that_answers_in_the_other_encoding_is_understood(ask_at):
    """Some do not know base64 and send numbers; some send it whatever was asked for."""
    vector = [0.1, -2.5, 3.0]
    for value in (vector, encode(vector)):
        body = json.dumps({"object": "list", "data": [{"embedding": value, "index": 0}], "model": "m"}).encode()
        for wanted in ("base64", "float"):
            with Teacher(lambda _, body=body: Say(raw=body)) as teacher:
                asked = ask_at([[embedding(f"{wanted} {value}")]], teacher.base_url, encoding_format=wanted)
            assert decode(asked.rounds[0][0].text).tolist() == np.float32(vector).tolist()
            assert asked.accounts["completion_tokens"] == 0


def test_a_vector_is_bought_once(ask_at):
    """The second call needs nobody; chat about the same text, and other dimensions, are other requests."""
    with Teacher() as teacher:
        first = ask_at([[embedding("one"), embedding("one"), embedding("two")]], teacher.base_url)
        assert sum(teacher.received.values()) == 2
    second = ask_at([[embedding("one"), embedding("one"), embedding("two")]], teacher.base_url)
    assert second.rounds == first.rounds
    assert second.bought == 0
    chat = Request(({"role": "user", "content": "one"},), "embedding", 0, 0)
    assert len({request_key(r, "m") for r in (chat, embedding("one"), embedding("one", dimensions=8))}) == 3
    with Teacher() as teacher:
        asked = ask_at([[embedding("one", dimensions=8)]], teacher.base_url)
    assert len(decode(asked.rounds[0][0].text)) == teacher.calls[0].body["dimensions"] == 8


def test_the_key_of_a_chat_request_is_what_it_was():
    """Journals of earlier versions stay good."""
    assert (
        request_key(Request(({"role": "user", "content": "hi"},), "f", 3, 9), "m") == "46b2a9ddc2df1ca6b547c6525ca13df7"
    )


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ([[1.0, float("nan")]], "NaN"),
        ([[1.0, float("inf")]], "infinite"),
        ([[1.0, 1e300]], "infinite"),
        ([[]], "empty"),
        ([], "0 vectors for one text"),
        ([[1.0], [2.0]], "2 vectors for one text"),
    ],
    ids=["nan", "inf", "overflow", "empty", "none", "two"],
)
@pytest.mark.parametrize("wanted", ["base64", "float"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_no_vector_is_one_kind_of_failure(ask_at, vectors, says, wanted):
    """Asked once: the same text would get the same again, at the same price; the others of the round are kept."""

    def script(call: Call) -> Say:
        return Say(vectors=vectors) if call.prompt == "bad" else Say()

    with Teacher(script) as teacher:
        asked = ask_at([[embedding("good"), embedding("bad")]], teacher.base_url, encoding_format=wanted)
    good, bad = asked.rounds[0]
    assert good is not None and bad is None
    assert [(f.kind, says in f.detail) for f in asked.failed] == [("bad_vector", True)]
    assert asked.accounts["errors"] == {"bad_vector": 1}
    assert sum(teacher.received.values()) == 2
    assert asked.accounts["prompt_tokens"] == 1 + reserve_of(embedding("bad"), 0, (0, 0)).prompt_tokens


@pytest.mark.parametrize(
    "value", [None, "no base64!", "AAA=", "AAAA", [[1.0]], ["1"], [True], {"a": 1}, 7, [None], [10**400]]
)
def test_strange_embeddings_are_no_vectors(value):
    """Of any type: a failure, never an exception."""
    outcome = vector_of([{"embedding": value}])
    assert isinstance(outcome, Failure)
    assert outcome.kind == "bad_vector"
    assert "\n" not in outcome.detail


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Say(status=500), "server_error"),
        (Say(status=429, headers={"retry-after-ms": "20"}), "rate_limited"),
        (Say(fault="drop"), "dropped"),
        (Say(fault="cut_body"), "dropped"),
        (Say(fault="html"), "bad_reply"),
        (Say(fault="garbage"), "bad_reply"),
        (Say(fault="no_choices"), "bad_reply"),
        (Say(latency=0.6), "timeout"),
        (Say(raw=b'{"data": null}'), "bad_reply"),
        (Say(raw=b"[]"), "bad_reply"),
    ],
    ids=lambda v: v if isinstance(v, str) else v.fault or str(v.raw or v.status),
)
def test_other_faults_are_tried_again(ask_at, fault, kind):
    """As those of chat are; the answer lands in its place."""
    with Teacher(lambda call: fault if call.nth == 0 else Say()) as teacher:
        seconds = 0.3 if kind == "timeout" else 60
        asked = ask_at([[embedding("one"), embedding("two")]], teacher.base_url, timeout_seconds=seconds)
    assert [len(decode(a.text)) for a in asked.rounds[0]] == [64, 64]
    assert asked.accounts["errors"] == {kind: 2}


def test_a_text_that_is_too_long_is_refused_once(ask_at):
    """llama.cpp says so with status 500; it would say it again."""
    long = Say("input (3001 tokens) is too large to process. increase the physical batch size", status=500)
    with Teacher(lambda call: long if call.prompt == "long" else Say()) as teacher:
        asked = ask_at([[embedding("short"), embedding("long")]], teacher.base_url)
    assert [f.kind for f in asked.failed] == ["refused_request"]
    assert sum(teacher.received.values()) == 2


def test_a_model_that_gives_no_vectors_at_all_ends_the_run(ask_at):
    """Not a dataset without a document: one line that says why."""
    with Teacher(lambda _: Say(vectors=[[]])) as teacher, pytest.raises(EndpointError, match=r"bad_vector: .*empty"):
        ask_at([[embedding(str(i)) for i in range(40)]], teacher.base_url)


def test_the_budget_counts_prompts(ask_at):
    """At the cap the complete rounds come back."""
    with Teacher() as teacher:
        asked = ask_at([[embedding(f"t {r} {i}") for i in range(2)] for r in range(9)], teacher.base_url,
                       budget={"prompt_tokens": 100}, concurrency=1)  # fmt: skip
    assert asked.stopped == "budget"
    assert 0 < len(asked.rounds) < 9
    assert asked.accounts["prompt_tokens"] <= 100


@pytest.mark.local_model
def test_the_local_model_embeds(tmp_path):
    """896 numbers of length 1; texts about one thing lie nearer than others; one that is too long is refused."""
    texts = [
        "def add(a, b):\n    return a + b",
        "def plus(x, y):\n    return x + y",
        "Cheap shoes, free shipping!",
        "wo " * 1_500,
    ]
    paths = {"journal": tmp_path / "j", "local_log": tmp_path / "log"}
    with Asker({"embedder": Model()}, budget=Budget(), **paths) as asker:
        asker.put(Round("embedder", tuple(embedding(t) for t in texts)))
        closed = asker.take()
    one, two, other = (decode(a.text) for a in closed.answers[:3])
    assert one.shape == (896,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ two > one @ other
    assert [f.kind for f in closed.failed] == ["refused_request"]
    assert asker.accounts["completion_tokens"] == 0
