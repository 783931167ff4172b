"""Open rounds, held against what each of their requests would get alone."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.llm.journal import Journal, Reserve, Stored
from curate.llm.model import Model
from curate.llm.request import Answer, Request
from curate.llm.rounds import Job, Round, Rounds

NAMES = ("a", "bb", "ccc", "dddddd", "bad")
FREE = Reserve(0, 0, 0.0)
request = st.tuples(st.sampled_from(NAMES), st.sampled_from((2, 3, 9)))


def outcome(name: str, limit: int) -> Stored | tuple[str, str]:
    """A name's letters are its words: what a server says to it under a limit."""
    if name == "bad":
        return ("refused_request", "no")
    return Stored(name[:limit], "length" if len(name) > limit else "stop", 1, min(limit, len(name)), limit, 0.0)


def write(book: Journal, job: Job, what: Stored | tuple[str, str]) -> None:
    attempt = book.send(job.key, "f", "m", job.max_tokens, FREE)
    if isinstance(what, Stored):
        book.answer(attempt, what.text, what.finish_reason, FREE, FREE, counted=True)
    else:
        book.fail(attempt, *what, FREE, free=True)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(request, max_size=4), min_size=1, max_size=6),
    st.sets(st.sampled_from(NAMES[:4])),
    st.integers(0, 2**32),
)
@example([[], [("bad", 2)], [("bad", 2)]], set(), 0)
def test_rounds_that_come_and_go_in_any_order(plan, published, seed):
    """Put, settled and committed in any order: each place gets what it would get alone (or more, where an equal request
    had a larger limit), rounds come out in order, nothing is asked that is known, and nothing under a limit that was
    asked for at least."""
    dice, model = random.Random(seed), Model(model="m", base_url="http://127.0.0.1:9/v1", licence="CC0-1.0")
    asked: list[tuple[str, int]] = []
    with TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as book:
        known: dict[str, Answer] = {}
        rounds = Rounds({"m": model}, book, lambda: known)
        probe = Rounds({"m": model}, book, dict)
        for job in probe.open(
            0, Round("m", tuple(Request(({"role": "user", "content": n},), "f", 0, 9) for n in published))
        ):
            text = str(job.request.messages[0]["content"])
            known[job.key] = Answer(job.key, text, "stop", "m", 1, 1, "CC0-1.0")
        waiting, jobs, settled, closed = list(enumerate(plan)), [], [], []
        while waiting or jobs or len(closed) < len(plan):
            if waiting and dice.random() < 0.5:
                number, items = waiting.pop(0)
                wanted = tuple(Request(({"role": "user", "content": n},), "f", 0, limit) for n, limit in items)
                jobs += rounds.open(number, Round("m", wanted))
            elif jobs:
                job = jobs.pop(dice.randrange(len(jobs)))
                name = str(job.request.messages[0]["content"])
                asked.append((name, job.max_tokens))
                what = outcome(name, job.max_tokens)
                write(book, job, what)
                jobs += rounds.settle(job, what)
                settled.append(job)
            if dice.random() < 0.5:
                book.commit()
                rounds.forget(settled)
                settled.clear()
            closed += rounds.close(lambda _: False)
        assert (rounds.requests, rounds.done) == (0, sum(map(len, plan)))
    assert [c.number for c in closed] == list(range(len(plan)))
    for items, round_ in zip(plan, closed, strict=True):
        bad = [i for i, (name, _) in enumerate(items) if name == "bad"]
        assert [f.index for f in round_.failed] == bad
        for (name, limit), answer in zip(items, round_.answers, strict=True):
            assert (answer is None) == (name == "bad")
            assert answer is None or (name.startswith(answer.text) and len(answer.text) >= min(len(name), limit))
    for name in NAMES:
        limits = [limit for n, limit in asked if n == name]
        assert len(limits) == len(set(limits))
        assert name not in published or not limits
        whole = [limit for limit in limits if limit >= len(name)]
        assert name == "bad" or len(whole) <= 1
