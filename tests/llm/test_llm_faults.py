"""Each thing that goes wrong with an endpoint, over real HTTP, and what a run makes of it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import replace

import pytest

from curate.errors import EndpointError
from curate.llm.journal import reserve_of
from curate.llm.teacher import Call, Say, Teacher


def echo(call: Call) -> Say:
    return Say(f"answer to {call.prompt}")


def once(fault: Say):
    """A script that fails in this way the first time each request is made."""
    return lambda call: fault if call.nth == 0 else echo(call)


def balanced(accounts) -> bool:
    parts = ("answered", "error", "lost", "in_flight")
    return accounts["sent"] == sum(accounts[p] for p in parts) and accounts["in_flight"] == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Say(status=500), "server_error"),
        (Say(status=502), "server_error"),
        (Say(status=503, headers={"retry-after-ms": "50"}), "unavailable"),
        (Say(status=429, headers={"retry-after-ms": "50"}), "rate_limited"),
        (Say(status=504), "timeout"),
        (Say(fault="drop"), "dropped"),
        (Say("a b c d e f g h", fault="cut_body"), "dropped"),
        (Say(fault="html"), "bad_reply"),
        (Say(fault="garbage"), "bad_reply"),
        (Say(fault="no_choices"), "bad_reply"),
        (Say("late", latency=0.6), "timeout"),
        (Say("a byte now and then", fault="drip"), "timeout"),
        (Say(status=524), "timeout"),
        (Say(raw=b"[" * 100_000), "bad_reply"),
        (Say(raw=b'{"choices": [null]}'), "bad_reply"),
    ],
    ids=lambda v: v if isinstance(v, str) else v.fault or str(v.raw[:9] or v.status),
)
def test_a_fault_is_tried_again_and_written_down(ask_at, request_of, fault, kind):
    """Every request gets its answer in its place; each failed attempt is a row of its kind."""
    # Only what is late on purpose may be late: on a busy machine any answer takes a while.
    seconds = 0.3 if kind == "timeout" else 60
    with Teacher(once(fault)) as teacher:
        asked = ask_at([[request_of("one"), request_of("two")]], teacher.base_url, timeout_seconds=seconds)
    assert [a.text for a in asked.rounds[0]] == ["answer to one", "answer to two"]
    assert asked.accounts["errors"] == {kind: 2}
    assert asked.accounts["answered"] == 2
    assert balanced(asked.accounts)
    assert sum(teacher.received.values()) == 4


def test_what_may_have_been_billed_stays_charged(ask_at, request_of):
    """A dropped connection stays at its reserve, a 429 costs nothing."""
    for fault, charged in ((Say(fault="drop"), True), (Say(status=429, headers={"retry-after": "0"}), False)):
        with Teacher(once(fault)) as teacher:
            before = ask_at([], teacher.base_url).accounts["completion_tokens"]
            accounts = ask_at([[request_of(f"charged {charged}")]], teacher.base_url).accounts
        assert accounts["completion_tokens"] - before == (50 if charged else 0) + 4


def test_retry_after_holds_everybody(ask_at, request_of):
    """One 429 with Retry-After pauses the other requests too, for as long as it asks."""
    times = []

    def script(call: Call) -> Say:
        times.append((time.monotonic(), call.prompt))
        return Say(status=429, headers={"retry-after": "1"}) if len(times) == 1 else echo(call)

    with Teacher(script) as teacher:
        asked = ask_at([[request_of(f"r{i}") for i in range(6)]], teacher.base_url, concurrency=1)
    assert all(asked.rounds[0])
    assert times[1][0] - times[0][0] >= 0.95
    assert times[-1][0] - times[1][0] < 0.9


def test_a_final_failure_is_none_in_its_place_and_stays_so(ask_at, request_of):
    """A request the endpoint calls wrong is not repeated, its neighbours are answered; the closed round is not asked
    again, unless its limit changes."""
    script = lambda call: Say("too long", status=400) if "bad" in call.prompt else echo(call)  # noqa: E731
    rounds = [[request_of("good"), request_of("bad"), request_of("fine")]]
    with Teacher(script) as teacher:
        first = ask_at(rounds, teacher.base_url)
        again = ask_at(rounds, teacher.base_url)
        assert sum(teacher.received.values()) == 3
        ask_at([[replace(r, max_tokens=20) for r in rounds[0]]], teacher.base_url)
        assert sum(teacher.received.values()) == 4
    assert [a and a.text for a in first.rounds[0]] == ["answer to good", None, "answer to fine"]
    assert again.rounds == first.rounds
    (failed,) = first.failed
    assert (failed.round, failed.index, failed.kind) == (0, 1, "refused_request")
    assert "too long" in failed.detail


def test_a_request_whose_tries_are_used_up_fails(ask_at, request_of):
    """A 500 for ever costs `attempts` attempts, then the round closes with None."""
    script = lambda call: Say(status=500) if "bad" in call.prompt else echo(call)  # noqa: E731
    with Teacher(script) as teacher:
        asked = ask_at([[request_of("bad"), request_of("good")]], teacher.base_url, attempts=3)
    assert asked.rounds[0][0] is None
    assert asked.accounts["errors"] == {"server_error": 3}
    assert balanced(asked.accounts)


def test_cut_refused_and_filtered_answers_are_answers(ask_at, request_of):
    """Their finish_reason says what they are; nobody pays for them twice."""
    says = {
        "cut": Say("one two three four"),
        "refuse": Say("I can't", refusal=True),
        "filter": Say("", finish_reason="content_filter"),
    }
    rounds = [[request_of(word, max_tokens=3) for word in says]]
    with Teacher(lambda call: says[call.prompt]) as teacher:
        asked = ask_at(rounds, teacher.base_url)
        ask_at(rounds, teacher.base_url)
        assert sum(teacher.received.values()) == 3
    assert [(a.text, a.finish_reason) for a in asked.rounds[0]] == [
        ("one two three", "length"),
        ("I can't", "refusal"),
        ("", "content_filter"),
    ]


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (Say("no such key", status=401), "check the key in SOME_KEY"),
        (Say("forbidden", status=403), "check the key in SOME_KEY"),
        (Say("no model", status=404), "does the endpoint serve 'teacher'"),
        (Say("pay", status=429, code="insufficient_quota"), "no credit left"),
    ],
)
def test_what_no_request_can_cure_stops_at_once(ask_at, request_of, monkeypatch, say, words):
    """Wrong key, unknown model, no credit: one clear error with cause, place and cure, few requests."""
    monkeypatch.setenv("SOME_KEY", "sk-secret-123")
    with Teacher(lambda _: say) as teacher:
        with pytest.raises(EndpointError) as caught:
            ask_at([[request_of(f"r{i}") for i in range(50)]], teacher.base_url, key_env="SOME_KEY", concurrency=2)
        assert sum(teacher.received.values()) <= 2
    assert words in str(caught.value)
    assert teacher.base_url in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_an_endpoint_that_is_not_there_is_said_quickly(ask_at, request_of):
    """Nobody listens: EndpointError within seconds, and nothing is charged."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    began = time.monotonic()
    with pytest.raises(EndpointError, match="can't be reached"):
        ask_at([[request_of(f"r{i}") for i in range(100)]], url)
    assert time.monotonic() - began < 5
    assert ask_at([], url).accounts["completion_tokens"] == 0


def test_a_host_that_swallows_packets_is_said_quickly(ask_at, request_of):
    """A full queue of connections stands for a firewall: the limit of an answer is not the limit of connecting."""
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        began = time.monotonic()
        with pytest.raises(EndpointError, match="can't be reached"):
            ask_at([[request_of("a")]], f"http://127.0.0.1:{full.getsockname()[1]}/v1", timeout_seconds=300, attempts=1)
    assert time.monotonic() - began < 9


def test_an_endpoint_that_always_puts_off_stops_the_run(ask_at, request_of):
    """503 for ever is told after one request's tries, not after every request's."""
    busy = Say("loading", status=503, headers={"retry-after-ms": "1"})
    with Teacher(lambda _: busy) as teacher:
        with pytest.raises(EndpointError, match=r"gives no usable answers .*unavailable"):
            ask_at([[request_of(f"r{i}") for i in range(8)]], teacher.base_url, concurrency=1)
        assert sum(teacher.received.values()) == 20


def test_counts_that_no_server_can_mean_are_no_counts(ask_at, request_of):
    """An answer with absurd, negative or textual usage is kept, and charged as if the server had not counted."""
    for draw, usage in enumerate(({"prompt_tokens": 10**30, "completion_tokens": 10**20}, {"prompt_tokens": -5}, [1])):
        reply = {"object": "chat.completion", "choices": [{"message": {"content": "abc"}}], "usage": usage}
        with Teacher(lambda _, reply=reply: Say(raw=json.dumps(reply).encode())) as teacher:
            asked = ask_at([[request_of("a", draw)]], teacher.base_url)
        assert asked.rounds[0][0].text == "abc"
        assert asked.accounts["uncounted"] == draw + 1
        assert asked.accounts["completion_tokens"] == 50 * (draw + 1)


def test_an_endpoint_that_goes_away_stops_the_run_and_keeps_what_came(ask_at, request_of):
    """After an outage begins, the run ends with EndpointError; answers received are there when it goes on."""
    healthy = [True]
    script = lambda call: echo(call) if healthy[0] and "r3" not in call.prompt else Say(fault="html")  # noqa: E731

    def failing(call: Call) -> Say:
        if "r3" in call.prompt:
            healthy[0] = False
        return script(call)

    rounds = [[request_of(f"r{i}") for i in range(40)]]
    with Teacher(failing) as teacher:
        with pytest.raises(EndpointError, match="no usable answers"):
            ask_at(rounds, teacher.base_url, attempts=1, concurrency=1)
        assert sum(teacher.received.values()) == 3 + 8
    with Teacher(echo) as teacher:
        asked = ask_at(rounds, teacher.base_url)
        assert sum(teacher.received.values()) == 37
    assert all(asked.rounds[0])


def test_a_first_round_that_fails_altogether_is_a_wrong_set_up(ask_at, request_of):
    """400 for everything is told, not closed as a round full of None; nor is a page of HTML."""
    for say in (Say("unknown parameter", status=400), Say(fault="html")):
        with Teacher(lambda _, say=say: say) as teacher, pytest.raises(EndpointError, match="first round failed"):
            ask_at([[request_of("a"), request_of("b")]], teacher.base_url, attempts=1)


def test_the_proxy_of_the_environment_is_not_for_this_machine(ask_at, request_of, monkeypatch):
    """HTTP_PROXY does not swallow requests to loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Teacher(echo) as teacher:
        assert all(ask_at([[request_of("a")]], teacher.base_url).rounds[0])


def test_a_server_that_does_not_count_is_charged_the_reserve(ask_at, request_of):
    """Without usage an answer is charged what was reserved for it, prompt and text."""
    request = request_of("a")
    with Teacher(lambda _: Say("abc", usage=False)) as teacher:
        accounts = ask_at([[request]], teacher.base_url).accounts
    reserve = reserve_of(request, 50, (0.0, 0.0))
    assert (accounts["uncounted"], accounts["completion_tokens"]) == (1, 50)
    assert accounts["prompt_tokens"] == reserve.prompt_tokens


def test_a_null_content_is_an_answer_only_where_the_reply_says_why(ask_at, request_of):
    """finish_reason decides: cut while it still thought, or filtered, is an answer; anything else is a failure that is
    tried again and stays charged."""

    def reply(finish, *, content=None):
        choice = {"message": {"content": content}, "finish_reason": finish}
        usage = {"prompt_tokens": 1, "completion_tokens": 2}
        return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()

    for draw, finish in enumerate(("length", "content_filter", "stop", "tool_calls", None)):
        script = lambda call, f=finish: Say(raw=reply(f) if call.nth == 0 else reply("stop", content="abc"))  # noqa: E731
        with Teacher(script) as teacher:
            asked = ask_at([[request_of("a", draw)]], teacher.base_url)
        empty = finish in ("length", "content_filter")
        (answer,) = asked.rounds[0]
        assert (answer.text, answer.finish_reason) == (("", finish) if empty else ("abc", "stop"))
    assert asked.accounts["errors"] == {"no_content": 3}
    assert asked.accounts["completion_tokens"] == 5 * 2 + 3 * 50


def test_more_tokens_than_were_allowed_are_counted_and_said_once(ask_at, request_of):
    """A server that does not count thoughts as output, or ignores the limit; with `reasoning_tokens` both are reserved."""
    notes: list[str] = []
    usage = {"prompt_tokens": 1, "completion_tokens": 75}
    reply = {"choices": [{"message": {"content": "abc"}, "finish_reason": "stop"}], "usage": usage}
    with Teacher(lambda _: Say(raw=json.dumps(reply).encode())) as teacher:
        progress = lambda now: notes.extend(now.notes)  # noqa: E731
        rounds = [[request_of("a"), request_of("b")]]
        accounts = ask_at(rounds, teacher.base_url, progress=progress).accounts
        assert accounts["completion_tokens"] == 150
        assert len(notes) == 1 and "counts 75 tokens of an answer for which 50 were allowed" in notes[0]
        more = ask_at([[request_of("c")]], teacher.base_url, progress=progress, reasoning_tokens=30,
                      budget={"completion_tokens": 150 + 79})  # fmt: skip
        assert more.stopped == "budget"
        ask_at([[request_of("c")]], teacher.base_url, progress=progress, reasoning_tokens=30)
        assert teacher.calls[-1].max_tokens == 80
    assert len(notes) == 1


def test_one_endpoint_of_several_that_refuses_or_dies_is_left_out(ask_at, request_of):
    """All answers come from the other, which is said; the request that met it is not failed for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    notes: list[str] = []
    progress = lambda now: notes.extend(now.notes)  # noqa: E731
    with Teacher(echo) as good, Teacher(lambda _: Say("no such model", status=404)) as other:
        for draw, (url, words) in enumerate(
            ((nobody, "for a while: the endpoint gives no"), (other.base_url, "refuses"))
        ):
            rounds = [[request_of(f"r{i}", draw) for i in range(30)]]
            asked = ask_at(rounds, [url, good.base_url], progress=progress, attempts=4)
            assert [a.text for a in asked.rounds[0]] == [f"answer to r{i}" for i in range(30)]
            assert len(notes) == draw + 1 and url in notes[draw] and words in notes[draw]
        assert asked.failed == []
        with pytest.raises(EndpointError, match="refuses"):
            ask_at([[request_of("x")]], [other.base_url, other.base_url], attempts=4)


def test_requests_go_to_the_endpoint_with_the_most_room(ask_at, request_of):
    """A slow one gets fewer of them; a key knows nothing of where it was asked."""
    quick, slow = Teacher(lambda _: Say("yes", latency=0.01)), Teacher(lambda _: Say("yes", latency=0.1))
    rounds = [[request_of(f"r{i}") for i in range(100)]]
    with quick, slow:
        first = ask_at(rounds, [quick.base_url, slow.base_url])
        counts = quick.received.total(), slow.received.total()
        assert ask_at(rounds, quick.base_url).rounds == first.rounds
        assert sum(counts) == quick.received.total() + slow.received.total() == 100
    assert counts[0] > 2 * counts[1] > 0
