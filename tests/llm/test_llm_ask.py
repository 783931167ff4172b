"""Rounds, order, reuse and the budget."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from dataclasses import replace

import pytest

from curate.errors import EndpointError, RecipeError
from curate.llm import sender
from curate.llm.ask import Asker, Progress, Round
from curate.llm.journal import Journal, request_key, reserve_of
from curate.llm.model import Budget, Model
from curate.llm.teacher import Call, Say, Teacher


def slow_echo(call: Call) -> Say:
    return Say(f"answer to {call.prompt}", latency=random.Random(call.key).random() * 0.03)


def test_answers_come_in_request_order_whatever_arrives_first(ask_at, request_of, tmp_path):
    """Random latencies, many at once: the same result as one at a time, apart from nothing."""
    rounds = [[request_of(f"r{r}-{i}") for i in range(15)] for r in range(3)]
    with Teacher(slow_echo) as teacher:
        asked = ask_at(rounds, teacher.base_url, concurrency=16)
        assert teacher.peak > 1
    assert [[a.text for a in answers] for answers in asked.rounds] == [
        [f"answer to r{r}-{i}" for i in range(15)] for r in range(3)
    ]
    assert (asked.stopped, asked.rounds_not_asked, asked.failed) == ("", 0, [])
    assert asked.accounts["sent"] == asked.accounts["answered"] == 45


def test_the_journal_answers_alone(ask_at, request_of, monkeypatch):
    """Everything known: no server, no key, no weights, and no network are needed."""
    rounds = [[request_of("a"), request_of("b")]]
    with Teacher(slow_echo) as teacher:
        first = ask_at(rounds, teacher.base_url)
    monkeypatch.setenv("CURATE_OFFLINE", "1")
    monkeypatch.setenv("CURATE_WEIGHTS", "/nonexistent")
    again = ask_at(rounds, None, weights="/nonexistent", key_env="NOT_SET")
    assert [[a.text for a in r] for r in again.rounds] == [[a.text for a in r] for r in first.rounds]
    assert again.accounts == first.accounts


def test_equal_prompts_with_other_draws_are_other_requests_and_duplicates_are_asked_once(ask_at, request_of):
    """A draw is part of the key; the same request twice gets one answer twice."""
    rounds = [[request_of("a", 0), request_of("a", 1), request_of("a", 0)], [request_of("a", 1)]]
    with Teacher(lambda call: Say(call.key)) as teacher:
        asked = ask_at(rounds, teacher.base_url)
    one, two, same = asked.rounds[0]
    assert one == same
    assert one.text != two.text
    assert asked.rounds[1] == [two]
    assert asked.accounts["sent"] == 2


def test_raising_max_tokens_asks_again_only_for_what_was_cut(ask_at, request_of):
    """Whole answers are kept, cut ones asked again; a lower limit uses the longer answer."""
    texts = {"short": "one two", "long": "one two three four five six"}
    with Teacher(lambda call: Say(texts[call.prompt])) as teacher:
        for limit, received in ((4, 2), (4, 2), (10, 3), (4, 3), (20, 3)):
            asked = ask_at([[request_of(w, max_tokens=limit) for w in texts]], teacher.base_url)
            assert sum(teacher.received.values()) == received
    assert [a.text for a in asked.rounds[0]] == list(texts.values())
    assert asked.rounds[0][1].finish_reason == "stop"


def test_the_key_is_what_decides_the_answer(request_of):
    """Limit, subject and family do not; model, messages, sampling and draw do."""
    base = request_of("a", temperature=0.7)
    key = request_key(base, "m")
    assert len(key) == 32
    assert key == request_key(replace(base, max_tokens=9, family="g", subject={"x": 1}), "m")
    others = [request_of("b", temperature=0.7), request_of("a", 1, temperature=0.7), request_of("a", temperature=0.8)]
    assert len({key, request_key(base, "n"), *(request_key(r, "m") for r in others)}) == 5
    with pytest.raises(RecipeError, match="'n' is no sampling parameter"):
        request_key(request_of("a", n=3), "m")


@pytest.mark.parametrize("cap", [{"completion_tokens": 400}, {"prompt_tokens": 100}, {"dollars": 0.0006}])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_cap_is_never_passed_not_even_for_a_moment(ask_at, request_of, cap, concurrency):
    """What the server could have charged at any moment stays under the cap; the complete rounds come back."""
    prices = {"prompt_price": 0.2, "completion_price": 1.0}
    (name, limit), worst, open_, lock = next(iter(cap.items())), [0.0], {}, threading.Lock()
    rounds = [[request_of(f"r{r}-{i}", max_tokens=40) for i in range(4)] for r in range(20)]

    def script(call: Call) -> Say:
        text = "word " * (10 + int(call.key[:2], 16) % 31)
        reserve = reserve_of(request_of(call.prompt), 40, (0.2, 1.0))
        with lock:  # every request that is here may still cost all it was allowed to
            open_[call.key] = getattr(reserve, name)
            worst[0] = max(worst[0], sum(open_.values()))
        threading.Event().wait(0.005)
        words = (len(call.prompt.split()), min(40, len(text.split())))
        cost = {"prompt_tokens": words[0], "completion_tokens": words[1]}
        cost["dollars"] = (words[0] * 0.2 + words[1] * 1.0) / 1e6
        with lock:
            open_[call.key] = cost[name]
        return Say(text)

    with Teacher(script) as teacher:
        asked = ask_at(rounds, teacher.base_url, budget=cap, concurrency=concurrency, **prices)
        bought = sum(teacher.received.values())
        assert worst[0] <= limit + 1e-9
        assert asked.accounts[name] <= limit + 1e-9
        assert asked.stopped == "budget"
        assert 0 < len(asked.rounds) < 20
        assert len(asked.rounds) + asked.rounds_not_asked == 20
        assert all(len(r) == 4 and all(r) for r in asked.rounds)
        # The cap is the run's: a second call does not get it again, a higher one goes on where this one stopped.
        assert ask_at(rounds, teacher.base_url, budget=cap, concurrency=concurrency, **prices).rounds == asked.rounds
        more = ask_at(rounds, teacher.base_url, concurrency=concurrency, **prices)
    assert len(more.rounds) == 20
    assert more.rounds[: len(asked.rounds)] == asked.rounds
    assert sum(teacher.received.values()) == 80 > bought


def test_a_cap_that_admits_nothing_starts_nothing(ask_at, request_of):
    """No server, no weights, no key: an empty prefix."""
    asked = ask_at([[request_of("a")]], "http://127.0.0.1:9/v1", key_env="NOT_SET", budget={"completion_tokens": 10})
    assert (asked.rounds, asked.stopped, asked.rounds_not_asked) == ([], "budget", 1)


def test_accounts_add_up_by_family(ask_at, request_of):
    """Families sum to the whole; prices are applied to what the server counted."""
    rounds = [[request_of("a", family="x"), request_of("b c", family="y"), request_of("d", family="y")]]
    with Teacher(lambda _: Say("one two")) as teacher:
        accounts = ask_at(rounds, teacher.base_url, prompt_price=1.0, completion_price=10.0).accounts
    assert list(accounts["families"]) == ["x", "y"]
    for name in ("sent", "answered", "prompt_tokens", "completion_tokens"):
        assert accounts[name] == sum(f[name] for f in accounts["families"].values())
    assert (accounts["prompt_tokens"], accounts["completion_tokens"]) == (4, 6)
    assert accounts["dollars"] == pytest.approx((4 + 60) / 1e6)


def test_progress_ends_with_everything_done(ask_at, request_of):
    """The last report is the whole; counts never go back."""
    seen: list[Progress] = []
    with Teacher(slow_echo) as teacher:
        ask_at([[request_of(f"r{i}") for i in range(30)]], teacher.base_url, progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[-1].total, seen[-1].done, seen[-1].in_flight, seen[-1].failed) == (30, 30, 0, 0)
    assert seen[-1].tokens_per_second > 0


def test_rounds_are_put_and_taken_in_turns_and_two_models_share_one_budget(tmp_path, request_of):
    """A round may be decided from the last one and go to another model; each model is asked at its own endpoint, one
    that is never needed nowhere; numbers, order and accounts are the asker's."""
    with (
        Teacher(lambda call: Say(f"cheap {call.prompt}")) as cheap,
        Teacher(lambda call: Say(f"dear {call.prompt}")) as dear,
    ):
        models = {
            "cheap": Model(model="small", base_url=cheap.base_url),
            "dear": Model(model="large", base_url=dear.base_url, completion_price=1.0),
            "never": Model(model="other", base_url="http://127.0.0.1:9/v1", key_env="NOT_SET"),
        }
        paths = {"journal": tmp_path / "j", "local_log": tmp_path / "log"}
        with Asker(models, budget=Budget(completion_tokens=10_000), **paths) as asker:
            assert asker.take() is None
            texts = []
            for number in range(4):
                asker.put(Round("cheap", (request_of(f"r{number}"), request_of(f"s{number}"))))
                closed = asker.take()
                assert closed.number == 2 * number
                texts += [a.text for a in closed.answers]
                asker.put(Round("dear", (request_of(f"again {closed.answers[0].text}"),)))
                assert asker.take(wait=False) is None
                (answer,) = asker.take().answers
                texts.append(answer.text)
                assert answer.dollars == pytest.approx(4e-6)
            assert asker.take() is None
        assert texts[:3] == ["cheap r0", "cheap s0", "dear again cheap r0"]
        assert (cheap.received.total(), dear.received.total()) == (8, 4)
    assert (asker.bought, asker.accounts["answered"], asker.stopped) == (12, 12, "")


def test_with_two_models_the_budget_is_kept_for_what_comes_earlier(tmp_path, request_of):
    """A slow model's rounds come first: the quick one may not spend what they need."""
    slow, quick = (Teacher(lambda _, s=s: Say("one two three", latency=s)) for s in (0.05, 0.0))
    with slow, quick:
        names = {"slow": slow, "quick": quick}
        models = {n: Model(model=n, base_url=t.base_url, concurrency=1) for n, t in names.items()}
        paths = {"journal": tmp_path / "j", "local_log": tmp_path / "log"}
        with Asker(models, budget=Budget(completion_tokens=50), **paths) as asker:
            for number in range(4):
                asker.put(Round("slow", (request_of(f"{number}", max_tokens=30),)))
                asker.put(Round("quick", (request_of(f"{number}", max_tokens=30),)))
            found = [asker.take() for _ in range(8)]
        assert asker.stopped == "budget"
        assert asker.accounts["completion_tokens"] == 21
    closed = [c for c in found if c]
    assert [c.number for c in closed] == list(range(len(closed)))
    # 3 tokens an answer, 30 to begin one: the eighth finds 21 spent.
    assert len(closed) == slow.received.total() + quick.received.total() == 7


def test_what_was_closed_before_an_endpoint_went_is_taken_first(tmp_path, request_of):
    """The error comes after the rounds that were closed; leaving the block after it says nothing more."""
    script = lambda call: Say("no", status=401) if call.prompt == "r2" else Say("yes")  # noqa: E731
    with Teacher(script) as teacher:
        model = Model(model="m", base_url=teacher.base_url, concurrency=1)
        with Asker({"m": model}, budget=Budget(), journal=tmp_path / "j", local_log=tmp_path / "log") as asker:
            for number in range(4):
                asker.put(Round("m", (request_of(f"r{number}"),)))
            assert [asker.take().answers[0].text for _ in range(2)] == ["yes", "yes"]
            with pytest.raises(EndpointError, match="the endpoint refuses"):
                asker.take()
            assert asker.take() is None
    assert asker.accounts["answered"] == 2


def test_leaving_early_waits_for_what_is_paid_and_an_interrupt_does_not(tmp_path, request_of):
    """The block left with requests under way: their answers are in the journal; with Ctrl-C they are lost, at once."""
    for interrupt, answered in ((False, 2), (True, 0)):
        with Teacher(lambda _: Say("late", latency=0.5)) as teacher:
            model = Model(model="m", base_url=teacher.base_url, concurrency=2)
            settings = {"journal": tmp_path / f"{interrupt}", "local_log": tmp_path / "log"}
            began = time.monotonic()
            with contextlib.suppress(KeyboardInterrupt), Asker({"m": model}, budget=Budget(), **settings) as asker:
                asker.put(Round("m", tuple(request_of(f"r{i}") for i in range(6))))
                while teacher.received.total() < 2:
                    time.sleep(0.005)
                if interrupt:
                    raise KeyboardInterrupt
            assert interrupt or time.monotonic() - began > 0.4
            assert teacher.received.total() == 2
        assert asker.accounts["answered"] == answered


def test_told_to_leave(tmp_path, request_of):
    """Nothing leaves any more, what is under way is waited for, rounds that are complete come out."""
    with Teacher(lambda _: Say("late", latency=0.1)) as teacher:
        model = Model(model="m", base_url=teacher.base_url, concurrency=3)
        settings = {"journal": tmp_path / "j", "local_log": tmp_path / "log"}
        leave = lambda: teacher.received.total() >= 4  # noqa: E731
        with Asker({"m": model}, budget=Budget(), leave=leave, **settings) as asker:
            for r in range(5):
                asker.put(Round("m", tuple(request_of(f"r{r}-{i}") for i in range(2))))
            closed = list(iter(asker.take, None))
        received = teacher.received.total()
    assert 4 <= received < 10
    assert len(closed) == received // 2
    assert (asker.accounts["answered"], asker.accounts["lost"], asker.stopped) == (received, 0, "")


def test_told_to_leave_who_answers_late(tmp_path, request_of, monkeypatch):
    """Who tells it to leave has the clock: an answer under way is waited for, however long ago that was."""
    monkeypatch.setattr(sender, "_DRAIN_SECONDS", 0.05)
    with Teacher(lambda _: Say("late", latency=0.6)) as teacher:
        model = Model(model="m", base_url=teacher.base_url, concurrency=2)
        settings = {"journal": tmp_path / "j", "local_log": tmp_path / "log"}
        leave = lambda: teacher.received.total() >= 2  # noqa: E731
        with Asker({"m": model}, budget=Budget(), leave=leave, **settings) as asker:
            asker.put(Round("m", tuple(request_of(f"r{i}") for i in range(2))))
            closed = list(iter(asker.take, None))
    assert [len(one.answers) for one in closed] == [2]
    assert (asker.accounts["answered"], asker.accounts["lost"]) == (2, 0)


def test_told_to_leave_while_the_disk_is_slow(tmp_path, request_of, monkeypatch):
    """Requests that are noted, but wait for the flush, do not leave any more: they cost nothing, and are asked once."""
    flushes = 0
    flush = Journal.sync

    def slow_flush(book: Journal) -> None:
        nonlocal flushes
        flushes += 1
        time.sleep(0.3)
        flush(book)

    monkeypatch.setattr(Journal, "sync", slow_flush)
    round_ = Round("m", tuple(request_of(f"r{i}") for i in range(6)))
    settings = {"budget": Budget(), "journal": tmp_path / "j", "local_log": tmp_path / "log"}
    with Teacher() as teacher:
        models = {"m": Model(model="m", base_url=teacher.base_url, concurrency=3)}
        # The first flush is for three requests, the second for the next ones with the answers to the first.
        with Asker(models, leave=lambda: flushes >= 2, **settings) as asker:
            asker.put(round_)
            assert asker.take() is None
        received = teacher.received.total()
        unsent = asker.accounts["errors"]["unsent"]
        assert 1 <= received <= 3
        assert 1 <= unsent <= 3
        assert asker.accounts["answered"] == received
        assert asker.accounts["sent"] == received + unsent
        assert asker.accounts["prompt_tokens"] < 100, "what did not leave is not charged"
        monkeypatch.setattr(Journal, "sync", flush)
        with Asker(models, **settings) as asker:
            asker.put(round_)
            assert None not in asker.take().answers
        assert set(teacher.received.values()) == {1}
        assert asker.accounts["lost"] == 0


def test_equal_requests_of_open_rounds_are_asked_once(tmp_path, request_of):
    """Later rounds wait for the first; one with a larger limit asks again only if the answer was cut."""
    with Teacher(lambda call: Say(call.prompt, latency=0.05)) as teacher:
        model = Model(model="m", base_url=teacher.base_url)
        with Asker({"m": model}, budget=Budget(), journal=tmp_path / "j", local_log=tmp_path / "log") as asker:
            for limit in (3, 2, 9, 9):
                words = ("a b", "a b c d e")
                asker.put(Round("m", tuple(request_of(word, max_tokens=limit) for word in words)))
            found = [[a.text for a in asker.take().answers] for _ in range(4)]
        assert found == [["a b", "a b c"]] * 2 + [["a b", "a b c d e"]] * 2
        assert teacher.received.total() == 3


def test_nothing_to_ask(ask_at, request_of):
    """No rounds and empty rounds are no reason to call anybody."""
    assert ask_at([], "http://127.0.0.1:9/v1").rounds == []
    assert ask_at([[], []], "http://127.0.0.1:9/v1").rounds == [[], []]


def test_the_key_goes_to_its_endpoint_and_nowhere_else(ask_at, request_of, monkeypatch, tmp_path):
    """It is in the header; not in the journal, a refusal's text, a model's settings; and no other key is sent."""
    secret = "sk-secret-abcdef"
    monkeypatch.setenv("TEACHER_KEY", secret)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")

    def script(call: Call) -> Say:
        # A server that echoes what it was given, in an error and in an answer's place.
        return Say(f"bad header {call.authorization}", status=500 if call.nth == 0 else 400)

    with Teacher(script) as teacher:
        with pytest.raises(EndpointError) as caught:
            ask_at([[request_of("a")]], teacher.base_url, key_env="TEACHER_KEY")
        assert teacher.calls[0].authorization == f"Bearer {secret}"
    with Teacher(slow_echo) as teacher:
        ask_at([[request_of("b")]], teacher.base_url)
        assert "somebody" not in teacher.calls[0].authorization
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.args)
    assert "***" in str(caught.value)
    assert secret not in Model(model="m", base_url="http://x/v1", key_env="TEACHER_KEY").model_dump_json()
    for path in tmp_path.iterdir():
        assert secret.encode() not in path.read_bytes(), path


def test_a_key_that_is_echoed_or_damaged_is_not_shown(ask_at, request_of, monkeypatch, tmp_path):
    """A page that shows the request's headers, a key with a line end in it (HTTP libraries show what they refuse)."""
    secret = "sk-secret-abcdef"
    monkeypatch.setenv("TEACHER_KEY", secret)
    with Teacher(lambda call: Say(raw=json.dumps(f"{'x' * 50} {call.authorization}").encode())) as teacher:
        with pytest.raises(EndpointError, match=r"Bearer \*\*\*"):
            ask_at([[request_of("a")]], teacher.base_url, key_env="TEACHER_KEY", attempts=1)
        for wrong in (f"{secret}\nmore", f"\u201c{secret}\u201d"):
            monkeypatch.setenv("TEACHER_KEY", wrong)
            with pytest.raises(EndpointError, match="key in TEACHER_KEY has characters") as caught:
                ask_at([[request_of("a")]], teacher.base_url, key_env="TEACHER_KEY", attempts=1)
            assert "secret" not in str(caught.value)
        assert teacher.received.total() == 1
    assert [p.name for p in tmp_path.iterdir() if b"secret" in p.read_bytes()] == []


def test_a_missing_key_is_named(ask_at, request_of, monkeypatch):
    """Before anything is sent."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with Teacher(slow_echo) as teacher:
        with pytest.raises(EndpointError, match="export NO_SUCH_KEY"):
            ask_at([[request_of("a")]], teacher.base_url, key_env="NO_SUCH_KEY")
        assert not teacher.received


def test_what_a_model_may_declare():
    """Terms default to those of the one file they are known for; a key has no place in a URL."""
    assert Model().licence == "Apache-2.0"
    assert Model(model="gpt", base_url="https://api.example.org/v1/").licence == "unstated"
    assert Model(model="gpt", base_url="https://api.example.org/v1/").base_url == "https://api.example.org/v1"
    for wrong in ("https://user:sk@host/v1", "https://host/v1?key=sk", "host/v1"):
        with pytest.raises(ValueError, match="base_url"):
            Model(base_url=wrong)
    with pytest.raises(ValueError, match="needs a base_url"):
        Model(model="other")
    assert Budget().admits(10**9, 10**9, 1e9)


def test_the_limits_name_can_be_the_newer_one(ask_at, request_of):
    """Endpoints that refuse max_tokens get max_completion_tokens; other parameters go through as they are."""
    with Teacher(slow_echo) as teacher:
        ask_at([[request_of("a", top_k=40)]], teacher.base_url, limit_field="max_completion_tokens")
        body = teacher.calls[0].body
    assert body["max_completion_tokens"] == 50
    assert body["top_k"] == 40
    assert "max_tokens" not in body
