"""The limiter as a function of its clock, and against a server that bears only so much."""

from __future__ import annotations

import threading

import pytest

from curate.llm.limiter import PAUSE_CAP, Limiter
from curate.llm.teacher import Call, Say, Teacher


def drive(limiter: Limiter, count: int) -> None:
    for _ in range(count):
        limiter.sent()
        limiter.answered()


def test_it_opens_to_its_ceiling_and_no_further():
    """Successes open the window; the declared concurrency bounds it."""
    limiter = Limiter(20)
    assert limiter.room(0.0) == 8
    drive(limiter, 100)
    assert limiter.room(0.0) == 20


def test_a_burst_of_429s_halves_once():
    """Answers to requests sent before the decrease tell nothing new; a later one halves again."""
    limiter = Limiter(16)
    drive(limiter, 100)
    for _ in range(16):
        limiter.sent()
    for _ in range(16):
        limiter.throttled(10.0, 9.0, 1.0)
    assert limiter.window == 8
    assert limiter.pause(10.0) == pytest.approx(1.0)
    assert limiter.room(10.5) == 0
    assert limiter.room(11.1) == 8
    limiter.sent()
    limiter.throttled(12.0, 11.1, 0.0)
    assert limiter.window == 4
    drive(limiter, 4)
    assert 4 < limiter.window < 5.1


def test_without_retry_after_the_pause_doubles_and_is_capped():
    """0.5 s, 1 s, 2 s, ...; no endpoint gets more than the cap at once."""
    limiter, now, pauses = Limiter(4), 1.0, []
    for _ in range(4):
        limiter.sent()
        limiter.throttled(now + 0.1, now, None)
        pauses.append(limiter.pause(now + 0.1))
        now += 1000
    assert pauses == pytest.approx([0.5, 1, 2, 4])
    limiter.sent()
    limiter.throttled(now, now - 1, 1e9)
    assert limiter.pause(now) == pytest.approx(PAUSE_CAP)


def test_it_settles_at_what_the_endpoint_bears(ask_at, request_of):
    """A server that bears three at once gets all its requests, few of them refused."""
    gate = threading.BoundedSemaphore(3)

    def script(call: Call) -> Say:
        if not gate.acquire(blocking=False):
            return Say(status=429, headers={"retry-after-ms": "10"})
        try:
            threading.Event().wait(0.02)
            return Say("yes")
        finally:
            gate.release()

    with Teacher(script) as teacher:
        asked = ask_at([[request_of(f"r{i}") for i in range(120)]], teacher.base_url, concurrency=32)
    assert all(asked.rounds[0])
    assert asked.accounts["errors"].get("rate_limited", 0) < 60
