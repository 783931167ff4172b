"""The journal under kill -9, a second writer, and a full disk's worth of bad luck."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.errors import DamagedError, StorageError
from curate.llm.ask import Asker, Round
from curate.llm.journal import Journal, Reserve, request_key, reserve_of
from curate.llm.model import Budget, Model
from curate.llm.teacher import Call, Say, Teacher

RESERVE = Reserve(10, 50, 0.5)

DRIVER = """
import sys
from pathlib import Path
from curate.llm.ask import Asker, Round
from curate.llm.model import Budget, Model
from curate.llm.request import Request

url, journal = sys.argv[1:]
rounds = [[Request(({"role": "user", "content": f"r{r}-{i}"},), "fam", 0, 50) for i in range(30)] for r in range(10)]
model = Model(model="teacher", base_url=url, concurrency=64)
with Asker({"m": model}, budget=Budget(), journal=Path(journal), local_log=Path(journal + ".log")) as asker:
    for requests in rounds:
        asker.put(Round("m", tuple(requests)))
    for _ in rounds:
        assert all(asker.take().answers)
    assert asker.take() is None
"""


def driver(url: str, journal: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", DRIVER, url, str(journal)])


def states(path: Path) -> dict[str, int]:
    with Journal(path) as book:
        totals = book.totals()
    return {k: totals[k] for k in ("sent", "answered", "error", "lost", "in_flight")}


def test_killed_at_random_moments_nothing_received_is_bought_twice(journal_path):
    """kill -9 again and again, then to the end: every answer that the journal has is bought once, what was in flight
    at a kill is lost, at most as many as may be in flight, and the accounts match the server's own count."""
    dice, kills, lost = random.Random(11), 0, 0

    def script(call: Call) -> Say:
        return Say(f"answer to {call.prompt}", latency=0.1)

    with Teacher(script) as teacher:
        while True:
            child = driver(teacher.base_url, journal_path)
            begun = sum(teacher.received.values())
            while child.poll() is None and sum(teacher.received.values()) == begun:
                time.sleep(0.005)  # kill while it sends, not while it imports
            time.sleep(dice.random() * 0.3)
            done = child.poll() is not None
            child.kill()
            child.wait()
            if done:
                assert child.returncode == 0
                break
            kills += 1
            now = states(journal_path)
            assert now["lost"] - lost <= 64
            assert now["sent"] == now["answered"] + now["lost"]
            lost = now["lost"]
            if kills == 3:
                assert driver(teacher.base_url, journal_path).wait() == 0
                break
        received = sum(teacher.received.values())
    final = states(journal_path)
    assert kills >= 2
    assert final["answered"] == 300
    assert final["sent"] == final["answered"] + final["lost"]
    # A lost attempt may have died before it left: the server can have seen fewer, never more.
    assert received <= final["sent"]
    again = {key: n for key, n in teacher.received.items() if n > 1}
    assert sum(n - 1 for n in again.values()) <= final["lost"]
    db = sqlite3.connect(journal_path)
    twice = db.execute("SELECT key FROM attempts WHERE state = 'answered' GROUP BY key HAVING COUNT(*) > 1").fetchall()
    lost_keys = {k for (k,) in db.execute("SELECT key FROM attempts WHERE state = 'lost'")}
    db.close()
    assert not twice
    assert set(again) <= lost_keys


def test_written_before_it_leaves_and_before_it_is_handed_on(journal_path, request_of):
    """Seen from another process's place: as a request arrives its row is there, sent; as a round comes out, answered."""
    seen = []

    def states_of(keys):
        db = sqlite3.connect(f"file:{journal_path}?mode=ro", uri=True, timeout=30)
        marks = ", ".join("?" * len(keys))
        rows = db.execute(f"SELECT state, prompt_tokens FROM attempts WHERE key IN ({marks})", keys).fetchall()
        db.close()
        return rows

    def script(call: Call) -> Say:
        seen.extend(states_of([call.key]))
        return Say("yes")

    with Teacher(script) as teacher:
        model = Model(model="m", base_url=teacher.base_url, concurrency=16)
        with Asker({"m": model}, budget=Budget(), journal=journal_path, local_log=journal_path) as asker:
            for r in range(5):
                asker.put(Round("m", tuple(request_of(f"r{r}-{i}") for i in range(20))))
            for closed in iter(asker.take, None):
                assert [state for state, _ in states_of([a.key for a in closed.answers])] == ["answered"] * 20
    reserve = reserve_of(request_of("r0-00"), 50, (0, 0)).prompt_tokens
    assert len(seen) == 100
    assert all(state == "sent" and reserve - 1 <= tokens <= reserve for state, tokens in seen)


def test_what_was_lost_stays_charged(journal_path):
    """An attempt found open is lost, at its reserve, and its request may be asked again."""
    with Journal(journal_path) as book:
        book.send("k", "fam", "m", 50, RESERVE)
        assert book.spent.in_flight == 1
    with Journal(journal_path) as book:
        assert (book.spent.lost, book.spent.in_flight) == (1, 0)
        assert (book.spent.prompt_tokens, book.spent.completion_tokens, book.spent.dollars) == (10, 50, 0.5)
        assert book.find("k", 50) is None


def test_an_answer_tells_what_the_lost_prompt_cost(journal_path):
    """The prompt's tokens of earlier attempts of the same request, charged or free, are then its own; nothing else is."""
    with Journal(journal_path) as book:
        for key in ("k", "other"):
            book.send(key, "fam", "m", 50, RESERVE)
    with Journal(journal_path) as book:
        for kind, free in (("dropped", False), ("rate_limited", True)):
            book.fail(book.send("k", "fam", "m", 50, RESERVE), kind, "", RESERVE, free=free)
        assert book.spent.prompt_tokens == 30
        book.answer(book.send("k", "fam", "m", 50, RESERVE), "t", "stop", Reserve(3, 7, 0.1), RESERVE, counted=False)
        assert book.spent.prompt_tokens == 33
        book.answer(book.send("k", "fam", "m", 90, RESERVE), "t", "stop", Reserve(4, 7, 0.1), RESERVE, counted=True)
        assert book.spent.prompt_tokens == 10 + 4 + 4 + 0 + 3 + 4  # the other, lost, dropped, free, two answers
        assert book.spent.completion_tokens == 50 + 50 + 50 + 7 + 7
        assert book.spent.dollars == pytest.approx(1.7)
        totals = book.totals()
        assert {k: totals[k] for k in ("prompt_tokens", "completion_tokens", "lost", "error")} == {
            "prompt_tokens": 25, "completion_tokens": 164, "lost": 2, "error": 2
        }  # fmt: skip


def test_accounts_in_memory_are_those_of_the_rows(journal_path):
    """Random histories: the running totals, the sums of the rows and the identity agree after every step."""
    dice = random.Random(7)
    with Journal(journal_path) as book:
        open_ = []
        for step in range(60):
            if open_ and dice.random() < 0.6:
                attempt, reserve = open_.pop(dice.randrange(len(open_)))
                if dice.random() < 0.5:
                    book.answer(attempt, "t", "stop", Reserve(3, 7, 0.25), reserve, counted=dice.random() < 0.5)
                else:
                    book.fail(attempt, "dropped", "", reserve, free=dice.random() < 0.5)
            else:
                open_.append((book.send(f"k{step}", dice.choice("xy"), "m", 50, RESERVE), RESERVE))
            totals = book.totals()
            for name in ("sent", "answered", "error", "lost", "in_flight", "uncounted", "prompt_tokens"):
                assert totals[name] == getattr(book.spent, name), name
            assert totals["dollars"] == pytest.approx(book.spent.dollars)
            assert totals["sent"] == totals["answered"] + totals["error"] + totals["lost"] + totals["in_flight"]


def test_cut_answers_serve_limits_up_to_their_own(journal_path):
    """A cut one for limits up to the one it was asked with; a whole one for any."""
    with Journal(journal_path) as book:
        for limit, text, finish in ((10, "cut 10", "length"), (20, "cut 20", "length")):
            book.answer(book.send("k", "f", "m", limit, RESERVE), text, finish, RESERVE, RESERVE, counted=True)
        book.commit()
        assert book.find("k", 5).text == book.find("k", 20).text == "cut 20"
        assert book.find("k", 21) is None
        book.answer(book.send("k", "f", "m", 30, RESERVE), "whole", "stop", RESERVE, RESERVE, counted=True)
        book.commit()
        assert book.find("k", 5).text == book.find("k", 1000).text == "whole"


def test_one_writer_at_a_time_and_a_dead_one_holds_nothing(journal_path):
    """A second process is refused with the owner's number; the lock goes with its owner, however it goes."""
    code = f"""
import sys, time
from pathlib import Path
from curate.llm.journal import Journal
with Journal(Path({str(journal_path)!r})):
    print("open", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(StorageError, match=f"another process \\(pid {child.pid}\\)"), Journal(journal_path):
            pass
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with Journal(journal_path) as book:
        assert book.spent.sent == 0


def test_a_file_that_is_no_journal_is_said(journal_path):
    """Not a traceback of SQLite's."""
    journal_path.write_bytes(b"not a database, and long enough to be taken for one" * 40)
    with pytest.raises(DamagedError, match="journal: file is not a database"), Journal(journal_path):
        pass


def test_strange_text_comes_back_as_it_was(ask_at, request_of):
    """NUL, emoji and other planes survive; a lone surrogate, which is no text, is replaced."""
    texts = {"nul": "a\x00b", "emoji": "\U0001f600 é", "lone": "x\ud800y"}
    rounds = [[request_of(word) for word in texts]]
    with Teacher(lambda call: Say(texts[call.prompt])) as teacher:
        first = ask_at(rounds, teacher.base_url)
        assert ask_at(rounds, teacher.base_url).rounds == first.rounds
    assert [a.text for a in first.rounds[0]] == ["a\x00b", "\U0001f600 é", "x?y"]
    assert first.rounds[0][0].key == request_key(rounds[0][0], "teacher")
