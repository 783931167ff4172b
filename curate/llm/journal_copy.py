"""Copies of a journal that travel: another machine goes on from one, and what two machines wrote becomes one again.

SQLite needs a disk with locks, which an object store is not. So the machine that asks keeps the journal on its own
disk and puts copies of it into the store. An attempt gets a name, unlike any other, when it is first copied: by that
two journals are joined, whatever became of either in the meantime.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from curate.errors import StorageError
from curate.llm.journal import SCHEMA
from curate.store.syncing import sync_file

_NAMES = "CREATE TABLE IF NOT EXISTS names (attempt INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"
_WHAT = "key, family, model, max_tokens, state, prompt_tokens, completion_tokens, dollars, counted, text, finish_reason, kind, detail"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=60)) as db:
            db.executescript(SCHEMA)
            db.execute(_NAMES)
            yield db
            db.commit()
    except sqlite3.Error as error:
        raise StorageError(f"journal: {error}", place=str(path), cure="is the disk full?") from None


def copy_journal(journal: Path, out: Path) -> None:
    """Write a consistent copy of a journal, which may be written to meanwhile. Raises StorageError."""
    with _opened(journal) as db:
        db.execute(
            "INSERT INTO names SELECT id, lower(hex(randomblob(16))) FROM attempts"
            " WHERE id NOT IN (SELECT attempt FROM names)"
        )
        db.commit()
        with closing(sqlite3.connect(out)) as copy:
            db.backup(copy)
            # Sent since: without a name here they would be taken for other attempts than those of the next copy.
            copy.execute("DELETE FROM attempts WHERE id NOT IN (SELECT attempt FROM names)")
            copy.commit()
            copy.execute("PRAGMA journal_mode=DELETE")


def take_up(journal: Path, copy: Path) -> None:
    """Let a journal have, beside its own, all attempts of a copy, each once: with its outcome, if either knows it.

    Nobody may be writing to the journal. Raises StorageError.
    """
    journal.parent.mkdir(parents=True, exist_ok=True)
    if not journal.exists():
        whole = journal.with_name(f"{journal.name}.new")
        shutil.copyfile(copy, whole)
        sync_file(whole)
        whole.replace(journal)
        return
    with _opened(copy):
        pass
    with _opened(journal) as db:
        db.execute("ATTACH ? AS other", (str(copy),))
        joined = "other.names n JOIN other.attempts a ON a.id = n.attempt"
        columns = ", ".join(f"a.{name}" for name in _WHAT.split(", "))
        db.execute(
            f"UPDATE attempts SET ({_WHAT}) = (SELECT {columns} FROM {joined} JOIN names m ON m.name = n.name"  # noqa: S608
            " WHERE m.attempt = attempts.id) WHERE state IN ('sent', 'lost') AND id IN (SELECT m.attempt"
            f" FROM {joined} JOIN names m ON m.name = n.name WHERE a.state IN ('answered', 'error'))"
        )
        fresh = db.execute(
            f"SELECT n.name, {columns} FROM {joined} WHERE n.name NOT IN (SELECT name FROM names) ORDER BY a.id"  # noqa: S608
        )
        marks = ", ".join("?" * len(_WHAT.split(", ")))
        for name, *values in fresh.fetchall():
            made = db.execute(f"INSERT INTO attempts ({_WHAT}) VALUES ({marks})", values)  # noqa: S608
            db.execute("INSERT INTO names VALUES (?, ?)", (made.lastrowid, name))
        db.execute("INSERT OR IGNORE INTO failures SELECT * FROM other.failures")
        db.commit()
        db.execute("DETACH other")
