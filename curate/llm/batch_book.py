"""Which batches were made of which requests: a small SQLite file beside the journal, that outlives a kill."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from curate.errors import StorageError

__all__ = ["BatchBook", "Place"]

Place = tuple[str, int]
"""A request on its way: its key in the journal, and the limit of its answer."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, url TEXT NOT NULL, id TEXT);
CREATE TABLE IF NOT EXISTS members (
  key TEXT NOT NULL, max_tokens INTEGER NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (key, max_tokens, batch)) WITHOUT ROWID;
"""


class BatchBook:
    """The book of one journal. Whoever writes the journal writes it; each note lasts when its call returns.

    Raises StorageError when the file can't be written.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name("batches.sqlite")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=60)) as db, db:
                db.execute("PRAGMA synchronous=FULL")
                db.executescript(_SCHEMA)
                yield db
        except sqlite3.Error as error:
            raise StorageError(f"batches: {error}", place=str(self._path), cure="is the disk full?") from None

    def places(self) -> set[Place]:
        """All requests that ever were in a batch; of a file that is not there, none."""
        if not self._path.exists():
            return set()
        with self._opened() as db:
            return set(db.execute("SELECT DISTINCT key, max_tokens FROM members"))

    def newest(self, url: str) -> dict[Place, str]:
        """The token of the newest batch at an endpoint that each request was in."""
        if not self._path.exists():
            return {}
        with self._opened() as db:
            rows = db.execute(
                "SELECT key, max_tokens, token FROM members JOIN batches ON number = batch WHERE url = ? ORDER BY number",
                (url,),
            )
            return {(key, limit): token for key, limit, token in rows}

    def begin(self, token: str, url: str, members: Iterable[Place]) -> None:
        """A batch is about to be made."""
        with self._opened() as db:
            number = db.execute("INSERT INTO batches (token, url) VALUES (?, ?)", (token, url)).lastrowid
            db.executemany("INSERT INTO members VALUES (?, ?, ?)", [(*place, number) for place in members])

    def made(self, token: str, id_: str) -> None:
        """It was made, and has this id."""
        with self._opened() as db:
            db.execute("UPDATE batches SET id = ? WHERE token = ?", (id_, token))

    def id_of(self, token: str) -> str | None:
        """The id of a batch, if that was noted."""
        with self._opened() as db:
            row = db.execute("SELECT id FROM batches WHERE token = ?", (token,)).fetchone()
        return row[0] if row else None

    def members(self, token: str) -> list[Place]:
        """Its requests."""
        with self._opened() as db:
            rows = db.execute(
                "SELECT key, max_tokens FROM members JOIN batches ON number = batch WHERE token = ?", (token,)
            )
            return list(rows)
