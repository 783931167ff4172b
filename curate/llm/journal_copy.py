"""Copies of a journal that travel: another machine goes on from one, and what two machines wrote becomes one again.

SQLite needs a disk with locks, which an object store is not. So the machine that asks keeps the journal on its own
disk and puts copies of it into the store. Each copy has a name of its own, in it and in the journal it was made of: whether
a journal has all that a copy has is seen from that.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from curate.errors import StorageError
from curate.llm.journal import SCHEMA

_COPIES = "CREATE TABLE IF NOT EXISTS copies (name TEXT PRIMARY KEY, upto INTEGER NOT NULL)"
"""Copies that were made of a journal, in their order; ``upto``: the last attempt in that copy."""
_WHAT = "key, family, model, max_tokens, state, prompt_tokens, completion_tokens, dollars, counted, text, finish_reason, kind, detail"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=60)) as db:
            db.executescript(SCHEMA)
            db.execute(_COPIES)
            yield db
            db.commit()
    except sqlite3.Error as error:
        raise StorageError(f"journal: {error}", place=str(path), cure="is the disk full?") from None


def copy_journal(journal: Path, out: Path) -> None:
    """Write a consistent copy of a journal, which may be written to meanwhile. Raises StorageError."""
    name = uuid.uuid4().hex
    with _opened(journal) as db:
        db.execute("INSERT INTO copies VALUES (?, 0)", (name,))
        db.commit()
        with closing(sqlite3.connect(out)) as copy:
            db.backup(copy)
            # Attempts that were written while it was being copied are in it or not: it says so itself.
            copy.execute("UPDATE copies SET upto = (SELECT COALESCE(MAX(id), 0) FROM attempts) WHERE name = ?", (name,))
            copy.execute("PRAGMA journal_mode=DELETE")
            copy.commit()


def take_up(journal: Path, copy: Path) -> bool:
    """Let a journal have all that a copy has; whether that changed it.

    A journal that the copy was made of stays as it is. Else the copy takes its place, with the attempts that the journal
    alone has behind it: they were paid for, and their answers are as good as any. Raises StorageError.
    """
    if not journal.exists():
        journal.parent.mkdir(parents=True, exist_ok=True)
        copy.replace(journal)
        return True
    with _opened(journal) as db:
        mine = {name for (name,) in db.execute("SELECT name FROM copies")}
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with _opened(copy) as db:
        made = db.execute("SELECT name, upto FROM copies ORDER BY rowid").fetchall()
        if made and made[-1][0] in mine:
            return False
        upto = next((last for name, last in reversed(made) if name in mine), 0)
        db.execute("ATTACH ? AS mine", (str(journal),))
        db.execute(
            f"UPDATE attempts SET ({_WHAT}) = (SELECT {_WHAT} FROM mine.attempts m WHERE m.id = attempts.id)"  # noqa: S608
            " WHERE id <= ? AND state IN ('sent', 'lost')"
            " AND id IN (SELECT id FROM mine.attempts WHERE state IN ('answered', 'error'))",
            (upto,),
        )
        db.execute(
            f"INSERT INTO attempts ({_WHAT}) SELECT {_WHAT} FROM mine.attempts WHERE id > ? ORDER BY id",  # noqa: S608
            (upto,),
        )
        db.execute("INSERT OR IGNORE INTO failures SELECT * FROM mine.failures")
        db.commit()
        db.execute("DETACH mine")
    copy.replace(journal)
    for rest in ("-wal", "-shm"):
        journal.with_name(journal.name + rest).unlink(missing_ok=True)
    return True
