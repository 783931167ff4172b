"""Copies of a journal: what either of two machines received and paid is in what they have afterwards, once."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from curate.llm.journal import JOURNAL, Journal, Reserve
from curate.llm.journal_copy import copy_journal, take_up
from curate.run import journal_copies
from curate.run.journal_copies import JournalCopies
from curate.store.files import Store

RESERVE = Reserve(100, 50, 0.5)
COST = Reserve(10, 5, 0.05)


def states(path: Path) -> dict[str, list[str]]:
    """States of the attempts by key, in their order."""
    found: dict[str, list[str]] = {}
    with closing(sqlite3.connect(path)) as db:
        for key, state in db.execute("SELECT key, state FROM attempts ORDER BY id"):
            found.setdefault(key, []).append(state)
    return found


class Machine:
    """A machine with a journal of its own; the store has one copy, which all of them replace."""

    def __init__(self, folder: Path, store: Path) -> None:
        folder.mkdir()
        self.path, self._copy, self._store = folder / "journal.sqlite", folder / "copy", store

    def begin(self) -> None:
        """Have what the store has."""
        if self._store.exists():
            shutil.copy(self._store, self._copy)
            take_up(self.path, self._copy)

    def put(self) -> None:
        """Replace the store's copy."""
        self._copy.unlink(missing_ok=True)
        copy_journal(self.path, self._copy)
        self._copy.replace(self._store)


def test_another_machine_goes_on(tmp_path: Path) -> None:
    """What was in flight when the copy was made is answered on the first machine and lost on the second; both asked more."""
    one, two = (Machine(tmp_path / name, tmp_path / "stored") for name in ("one", "two"))
    with Journal(one.path) as book:
        for key in ("a", "b"):
            book.answer(book.send(key, "f", "m", 50, RESERVE), key.upper(), "stop", COST, RESERVE, counted=True)
        flying = book.send("c", "f", "m", 50, RESERVE)
        book.commit()
        one.put()
        book.answer(flying, "C", "stop", COST, RESERVE, counted=True)
        book.fail(book.send("d", "f", "m", 50, RESERVE), "refused_request", "no", RESERVE, free=True)
        book.give_up([("d", 50, "refused_request")])
    two.begin()
    with Journal(two.path) as book:
        assert book.find("a", 50).text == "A"
        assert book.find("c", 50) is None
        assert (book.spent.answered, book.spent.lost) == (2, 1)
        book.answer(book.send("e", "f", "m", 50, RESERVE), "E", "stop", COST, RESERVE, counted=True)
    two.put()
    one.begin()
    with Journal(one.path) as book:
        assert [book.find(key, 50).text for key in "abce"] == ["A", "B", "C", "E"]
        assert book.failure("d", 50) == "refused_request"
        assert (book.spent.sent, book.spent.answered, book.spent.error, book.spent.lost) == (5, 4, 1, 0)
        assert book.spent.dollars == pytest.approx(4 * 0.05)


def test_own_copy_changes_nothing(tmp_path: Path) -> None:
    """A machine that finds its own last copy keeps its journal as it is, with all that came afterwards."""
    one = Machine(tmp_path / "one", tmp_path / "stored")
    with Journal(one.path) as book:
        for key in ("a", "b"):
            book.send(key, "f", "m", 50, RESERVE)
            book.commit()
            one.put()
    before = states(one.path)
    one.begin()
    assert states(one.path) == before == {"a": ["sent"], "b": ["sent"]}


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_or_doubled(tmp_path: Path, seed: int) -> None:
    """Sessions on three machines in any order, copied now and then, each ended anywhere: who begins has each attempt of
    its own and of the store's once, and every answer in them."""
    rng, number = random.Random(seed), 0
    machines = [Machine(tmp_path / name, tmp_path / "stored") for name in "abc"]
    for _ in range(12):
        machine = rng.choice(machines)
        before = states(machine.path) if machine.path.exists() else {}
        stored = states(tmp_path / "stored") if (tmp_path / "stored").exists() else {}
        machine.begin()
        now = states(machine.path) if machine.path.exists() else {}
        assert now.keys() == before.keys() | stored.keys()
        assert all(len(found) == 1 for found in now.values())
        answered = {key for known in (before, stored) for key, found in known.items() if found == ["answered"]}
        assert {key for key, found in now.items() if found == ["answered"]} == answered
        with Journal(machine.path) as book:
            flying = []
            for _ in range(rng.randrange(6)):
                flying.append(book.send(f"k{number}", "f", "m", 50, RESERVE))
                number += 1
                if rng.random() < 0.6:
                    attempt = flying.pop(rng.randrange(len(flying)))
                    book.answer(attempt, "text", "stop", COST, RESERVE, counted=False)
                if rng.random() < 0.3:
                    book.commit()
                    machine.put()


def test_killed_while_it_takes_up_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a journal that dies in the middle has none yet, and half of one never."""
    one, two = (Machine(tmp_path / name, tmp_path / "stored") for name in ("one", "two"))
    with Journal(one.path) as book:
        book.answer(book.send("a", "f", "m", 50, RESERVE), "A", "stop", COST, RESERVE, counted=True)
    one.put()

    def half(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:5000])
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("curate.llm.journal_copy.shutil", SimpleNamespace(copyfile=half))
        with pytest.raises(KeyboardInterrupt):
            two.begin()
    assert not two.path.exists()
    two.begin()
    assert states(two.path) == {"a": ["answered"]}


def test_a_copy_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason, at the end; and not any more once a later copy got through."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CURATE_SCRATCH", str(tmp_path / "scratch"))
    store = Store(f"memory://{tmp_path.name}/run")
    failed = threading.Event()

    def fail(*_: Path) -> None:
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(journal_copies, "copy_journal", fail)
    copies = JournalCopies(store)
    with Journal(copies.path) as book:
        book.send("a", "f", "m", 50, RESERVE)
    with pytest.raises(ZeroDivisionError), copies:
        pass
    failed.clear()
    with JournalCopies(store) as copies:
        copies.closed()
        assert failed.wait(60)
        monkeypatch.setattr(journal_copies, "copy_journal", copy_journal)
    assert store.exists(JOURNAL)
