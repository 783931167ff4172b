"""The limiter as a function of its clock, and against a server that bears only so much."""

from __future__ import annotations

import threading

import pytest

from curate.llm.headers import quotas, seconds
from curate.llm.limiter import PAUSE_CAP, Limiter
from curate.llm.pace import Quota
from curate.llm.teacher import Call, Say, Teacher


def drive(limiter: Limiter, count: int) -> None:
    for _ in range(count):
        limiter.sent(0.0)
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
        limiter.sent(9.0)
    for _ in range(16):
        limiter.throttled(10.0, 9.0, 1.0)
    assert limiter.window == 8
    assert limiter.pause(10.0) == pytest.approx(1.0)
    assert limiter.room(10.5) == 0
    assert limiter.room(11.1) == 8
    limiter.sent(11.1)
    limiter.throttled(12.0, 11.1, 0.0)
    assert limiter.window == 4
    drive(limiter, 4)
    assert 4 < limiter.window < 5.1


def test_without_retry_after_the_pause_doubles_and_is_capped():
    """0.5 s, 1 s, 2 s, ...; no endpoint gets more than the cap at once."""
    limiter, now, pauses = Limiter(4), 1.0, []
    for _ in range(4):
        limiter.sent(now)
        limiter.throttled(now + 0.1, now, None)
        pauses.append(limiter.pause(now + 0.1))
        now += 1000
    assert pauses == pytest.approx([0.5, 1, 2, 4])
    limiter.sent(now)
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


def server(limit: float, capacity: float):
    """What a token bucket answers at a time: seconds to wait, 0 when it lets the request through, and what is left."""
    level, at = capacity, 0.0

    def ask(now: float) -> tuple[float, float]:
        nonlocal level, at
        level, at = min(capacity, level + limit / 60 * (now - at)), now
        if level < 1:
            return (1 - level) * 60 / limit, level
        level -= 1
        return 0.0, level

    return ask


def windows(limit: float, width: float):
    """What windows of so many seconds answer."""
    counts: dict[int, float] = {}

    def ask(now: float) -> tuple[float, float]:
        number = int(now // width)
        counts[number] = counts.get(number, 0) + 1
        left = limit / 60 * width - counts[number]
        return (0.0 if left >= 0 else (number + 1) * width - now), max(left, 0.0)

    return ask


def simulate(limiter: Limiter, ask, *, seconds: float, told, latency: float = 0.4, offset: float = 0.0):
    """So many seconds of a sender that always has something to send; (taken, refused) at each second."""
    now, flying, taken, refused = 100.0 + offset, [], [], []
    while now < 100.0 + offset + seconds:
        while limiter.room(now):
            limiter.sent(now)
            wait, left = ask(now)
            flying.append((now + latency, now, wait, {"requests": told(left, now)} if told else {}))
        arrived = [f for f in flying if f[0] <= now]
        flying = [f for f in flying if f[0] > now]
        for _, sent_at, wait, said in arrived:
            limiter.learn(sent_at, said)
            if wait:
                limiter.throttled(now, sent_at, wait)
                refused.append(now)
            else:
                limiter.answered()
                taken.append(now)
        now += 0.005
    return taken, refused


LIMIT = 600.0
SERVERS = {
    "bucket": (lambda: server(LIMIT, LIMIT), lambda left, now: Quota(LIMIT, left, (LIMIT - left) * 60 / LIMIT)),
    "small bucket": (lambda: server(LIMIT, 20), lambda left, now: Quota(LIMIT, left, (20 - left) * 60 / LIMIT)),
    "windows": (lambda: windows(LIMIT, 60), lambda left, now: Quota(LIMIT, left, 60 - now % 60)),
    "short windows": (lambda: windows(LIMIT, 1), lambda left, now: Quota(LIMIT, left, 1 - now % 1)),
}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("how", ["declared", "headers"])
def test_a_stated_limit_is_used_and_kept(name, how):
    """Ten simulated minutes, once half a minute is over: at least 95 % of the limit, fewer than one in a hundred refused."""
    ask, told = SERVERS[name]
    limiter = Limiter(64, LIMIT if how == "declared" else None)
    taken, refused = simulate(limiter, ask(), seconds=330, told=told if how == "headers" else None, offset=13)
    late = [t for t in taken if t >= 143]
    assert len(late) >= 0.95 * LIMIT * 5
    assert len(late) <= 1.01 * LIMIT * 5 + 20
    assert len(refused) <= 0.01 * len(taken)


@pytest.mark.parametrize("name", SERVERS)
def test_a_limit_that_nobody_states_is_learnt(name):
    """From refusals alone: most of it is used, and few requests are refused, once it is known."""
    taken, refused = simulate(Limiter(64), SERVERS[name][0](), seconds=600, told=None, offset=13)
    late = [t for t in taken if t >= 400]
    print(name, len(late) / (LIMIT * 313 / 60), len([t for t in refused if t > 400]) / len(late))
    assert len(late) >= 0.9 * LIMIT * (713 - 400) / 60
    assert len([t for t in refused if t > 400]) <= 0.01 * len(late)


def test_somebody_else_at_the_same_limit_is_made_room_for():
    """Headers say that less is left than it spends: what is left of the window is spread over it."""
    limiter = Limiter(64)
    limiter.learn(0.0, {"requests": Quota(600, 30, 30.0)})
    assert limiter.requests.rate(1.0) == pytest.approx(1.0)
    assert limiter.requests.rate(31.0) == pytest.approx(9.8)


def test_tokens_have_a_limit_of_their_own():
    """What a request may come to is spent; a large one is made up for by waiting."""
    limiter = Limiter(64, None, 60_000)
    assert limiter.room(0.0)
    limiter.sent(0.0, 3_000)
    assert not limiter.room(0.1)
    assert limiter.wait(0.1) == pytest.approx(3_000 / 980 - 0.1)
    assert limiter.room(3.1)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1s", 1.0), ("6m0s", 360.0), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("7", 7.0), ("1d", 86400.0), ("soon", None),
     ("", None), ("-1", None), ("nan", None), ("5s later", None)],
)  # fmt: skip
def test_durations_as_openai_writes_them(text, value):
    """And nothing else."""
    assert seconds(text) == (None if value is None else pytest.approx(value))


def test_headers_become_quotas():
    """Of requests and tokens, whichever are named."""
    headers = {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984",
    }  # fmt: skip
    assert quotas(headers) == {"requests": Quota(60, 59, 1.0), "tokens": Quota(150_000, 149_984, None)}
    assert quotas({"x-ratelimit-limit-requests": "many"}) == {}
