"""Every attempt of every request of a run, in one SQLite file that a kill at any moment leaves whole.

An attempt is a row. It is written, with its reserve, as ``sent`` before the request leaves, and becomes

- ``answered``: with text and token counts; it is never bought again
- ``error``: with the kind of failure; charged nothing or, where it may have been billed, its reserve
- ``lost``: it was found ``sent`` when the file was opened: whoever sent it died. It stays charged at its reserve.

A reserve takes a prompt's bytes for tokens, about four times too many. An answer to the same request tells what its
prompt costs, so attempts that stay charged at their reserve then have their prompt tokens corrected (dollars and
completion tokens are not known, and stay): else one kill of the demo would use up a third of its cap, and end it early.

So sent = answered + error + lost + in flight, always. Beside the attempts, ``failures`` holds the requests given up
in rounds that are closed: a closed round reads the same for ever.

One process writes: a lock (flock) beside the file, which the kernel drops when its owner dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from curate.errors import DamagedError, RecipeError, StorageError
from curate.fingerprint import fingerprint
from curate.llm.charges import Reserve, Totals, reserve_of
from curate.llm.request import Request

__all__ = ["JOURNAL", "Attempt", "Journal", "Reserve", "Stored", "Totals", "attempts_of", "request_key", "reserve_of"]

JOURNAL: Final = "journal.sqlite"
"""Its file's name in a store."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS attempts (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, family TEXT NOT NULL, model TEXT NOT NULL, max_tokens INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sent', 'answered', 'error', 'lost')),
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, dollars REAL NOT NULL,
  counted INTEGER NOT NULL DEFAULT 0, text TEXT, finish_reason TEXT, kind TEXT, detail TEXT);
CREATE INDEX IF NOT EXISTS attempts_key ON attempts (key);
CREATE TABLE IF NOT EXISTS failures (
  key TEXT NOT NULL, max_tokens INTEGER NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (key, max_tokens));
"""
_INSERT: Final = (
    "INSERT INTO attempts (id, key, family, model, max_tokens, state, prompt_tokens, completion_tokens, dollars)"
    " VALUES (?, ?, ?, ?, ?, 'sent', ?, ?, ?)"
)
_ANSWER: Final = (
    "UPDATE attempts SET state = 'answered', text = ?, finish_reason = ?, prompt_tokens = ?, completion_tokens = ?,"
    " dollars = ?, counted = ? WHERE id = ?"
)
_FAIL: Final = (
    "UPDATE attempts SET state = 'error', kind = ?, detail = ?, prompt_tokens = ?, completion_tokens = ?, dollars = ?"
    " WHERE id = ?"
)
_CORRECT: Final = "UPDATE attempts SET prompt_tokens = ? WHERE id = ?"
_GIVE_UP: Final = "INSERT OR IGNORE INTO failures VALUES (?, ?, ?)"
_NOT_SAMPLING: Final = frozenset({
    "model", "messages", "stream", "n", "max_tokens", "max_completion_tokens", "input", "encoding_format",
})  # fmt: skip


def request_key(request: Request, model: str) -> str:
    """32 hex digits for (declared model id, messages, sampling, draw): what decides the answer's distribution.

    ``max_tokens``, time-outs, endpoint and key have no part in it; the kind has, where it is not ``chat``. Raises RecipeError for a sampling parameter that
    would contradict the request (``n``, ``stream``, ...).
    """
    if wrong := sorted(_NOT_SAMPLING & set(request.sampling)):
        raise RecipeError(f"'{wrong[0]}' is no sampling parameter", place=f"prompt family {request.family}")
    kind = () if request.kind == "chat" else (request.kind,)
    return fingerprint(model, [dict(m) for m in request.messages], dict(request.sampling), request.draw, *kind)


@dataclass(frozen=True)
class Stored:
    """An answer as the journal holds it; ``max_tokens`` is the limit it was asked with."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int
    dollars: float


@dataclass(frozen=True)
class Attempt:
    """A row: whose request it was, what became of it, and what it is charged.

    Attributes:
        state: ``sent`` (its run goes on, or died), ``answered``, ``error`` or ``lost``.
        kind: of an error, else empty.
    """

    key: str
    family: str
    model: str
    state: str
    kind: str
    prompt_tokens: int
    completion_tokens: int
    dollars: float


def attempts_of(path: Path) -> Iterator[Attempt]:
    """All attempts of a journal in the order in which they were noted, one at a time; of a file that is not there, none.

    For readers: the file may be written to meanwhile, and needs no lock. Raises StorageError, DamagedError.
    """
    if not path.exists():
        return
    columns = "key, family, model, state, COALESCE(kind, ''), prompt_tokens, completion_tokens, dollars"
    with _guard(path), contextlib.closing(sqlite3.connect(path, timeout=60)) as db:
        db.execute("PRAGMA query_only=1")
        for row in db.execute(f"SELECT {columns} FROM attempts ORDER BY id"):  # noqa: S608
            yield Attempt(*row)


@contextlib.contextmanager
def _guard(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            cure = "move it away with its -wal and run again: open rounds are asked again, the budget begins anew"
            raise DamagedError(f"journal: {error}", place=str(path), cure=cure) from None
        raise StorageError(f"journal: {error}", place=str(path), cure="is the disk full?") from None


class Journal:
    """Context manager; the file and its lock are held from entry to exit.

    What is noted (``send``, ``answer``, ``fail``, ``give_up``) lasts once it is committed: many rows for one flush of the
    disk. What is read is what was committed. One thread at a time.

    ``waiting`` gives requests, as (key, max_tokens), that an earlier run put into batches: those found ``sent`` are not
    lost but go on, and ``send`` takes them up again with the charge that they have.

    Attributes:
        spent: accounts of the whole run, up to date with what is noted.
    """

    def __init__(self, path: Path, waiting: Callable[[], set[tuple[str, int]]] = set) -> None:
        self.path, self._waiting = path, waiting
        self._batched: dict[tuple[str, int], int] = {}
        self._lock: Any = None
        self._db: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self.spent = Totals()
        self._last = 0
        # Attempts under way by number, with their keys; attempts that stay charged at a reserve, by key.
        self._open: dict[int, str] = {}
        self._charged: dict[str, list[list[int]]] = {}
        # Noted and not yet written: rows by statement, in the order in which they go.
        self._noted: dict[str, list[tuple[Any, ...]]] = {s: [] for s in (_INSERT, _ANSWER, _FAIL, _CORRECT, _GIVE_UP)}
        self._written = False

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise StorageError(
                f"journal: {error.strerror or error}", place=str(self.path), cure="is the disk full?"
            ) from None
        try:
            with _guard(self.path):
                db = self._db = self._connect()
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.executescript(SCHEMA)
                # Nobody else can hold the lock, so nobody waits for these any more.
                self._lose(db)
                # Not for the connection that writes: a look-up must not wait for its flush of the disk.
                self._reader = self._connect()
            self.spent = self._sum("1 = 1")
            self._last = int(self._read("SELECT COALESCE(MAX(id), 0) FROM attempts").fetchone()[0])
            charged = (
                "SELECT key, id, prompt_tokens FROM attempts WHERE state IN ('lost', 'error') AND prompt_tokens > 0"
            )
            for key, attempt, tokens in self._read(charged):
                self._charged.setdefault(key, []).append([attempt, tokens])
        except BaseException:
            self._close()
            raise
        return self

    def _lose(self, db: sqlite3.Connection) -> None:
        sent = db.execute("SELECT id, key, max_tokens FROM attempts WHERE state = 'sent'").fetchall()
        waiting = self._waiting() if sent else set()
        self._batched = {(key, limit): attempt for attempt, key, limit in sent if (key, limit) in waiting}
        kept = set(self._batched.values())
        lost = [(attempt,) for attempt, *_ in sent if attempt not in kept]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("UPDATE attempts SET state = 'lost' WHERE id = ?", lost)
        db.execute("COMMIT")

    def under_way(self, key: str, max_tokens: int) -> bool:
        """Whether ``send`` would take up an attempt that an earlier run put into a batch."""
        return (key, max_tokens) in self._batched

    def _connect(self) -> sqlite3.Connection:
        # Several threads, one at a time; the timeout is for copies of a journal, which write names into it.
        return sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.commit()
        except StorageError:
            if error is None:
                raise
        finally:
            self._close()

    def _close(self) -> None:
        for connection in (self._reader, self._db):
            if connection is not None:
                connection.close()
        self._reader = self._db = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        lock = self.path.with_name(self.path.name + ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise StorageError(
                f"another process{f' ({owner})' if owner else ''} is writing this journal",
                place=str(self.path),
                cure="wait until it ends: one run at a time spends one budget",
            ) from None
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}")
        lock.flush()
        self._lock = lock

    def _run(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        assert self._db is not None, "the journal is closed"
        return self._db.execute(statement, values)

    def _read(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        assert self._reader is not None, "the journal is closed"
        return self._reader.execute(statement, values)

    # -- writing -----------------------------------------------------------------------------------------------

    def send(self, key: str, family: str, model: str, max_tokens: int, reserve: Reserve) -> int:
        """Note an attempt; its number. It may leave once that is committed."""
        if (batched := self._batched.pop((key, max_tokens), None)) is not None:
            self._open[batched] = key
            return batched
        self._last += 1
        cost = (reserve.prompt_tokens, reserve.completion_tokens, reserve.dollars)
        self._noted[_INSERT].append((self._last, key, family, model, max_tokens, *cost))
        self._open[self._last] = key
        totals = self.spent
        totals.sent += 1
        totals.in_flight += 1
        totals.prompt_tokens += cost[0]
        totals.completion_tokens += cost[1]
        totals.dollars += cost[2]
        return self._last

    def answer(
        self, attempt: int, text: str, finish_reason: str, cost: Reserve, reserve: Reserve, *, counted: bool
    ) -> None:
        """Note an attempt's answer and its true cost, in place of its reserve."""
        values = (text, finish_reason, cost.prompt_tokens, cost.completion_tokens, cost.dollars, counted, attempt)
        self._noted[_ANSWER].append(values)
        self.spent.answered += 1
        self.spent.uncounted += not counted
        key = self._settle(attempt, cost, reserve)
        # Charge earlier attempts of the same request what its prompt is now known to cost.
        for other in self._charged.get(key, ()) if counted else ():
            if other[1] > cost.prompt_tokens:
                self.spent.prompt_tokens -= other[1] - cost.prompt_tokens
                other[1] = cost.prompt_tokens
                self._noted[_CORRECT].append((cost.prompt_tokens, other[0]))

    def fail(self, attempt: int, kind: str, detail: str, reserve: Reserve, *, free: bool) -> None:
        """Note an attempt's failure; unless it was ``free``, it stays charged at its reserve."""
        cost = Reserve(0, 0, 0.0) if free else reserve
        self._noted[_FAIL].append((kind, detail, cost.prompt_tokens, cost.completion_tokens, cost.dollars, attempt))
        self.spent.error += 1
        key = self._settle(attempt, cost, reserve)
        if cost.prompt_tokens:
            self._charged.setdefault(key, []).append([attempt, cost.prompt_tokens])

    def _settle(self, attempt: int, cost: Reserve, reserve: Reserve) -> str:
        totals = self.spent
        totals.in_flight -= 1
        totals.prompt_tokens += cost.prompt_tokens - reserve.prompt_tokens
        totals.completion_tokens += cost.completion_tokens - reserve.completion_tokens
        totals.dollars += cost.dollars - reserve.dollars
        return self._open.pop(attempt)

    def give_up(self, failed: Sequence[tuple[str, int, str]]) -> None:
        """Note a closed round's failed requests, as (key, max_tokens, kind): they are not tried again."""
        self._noted[_GIVE_UP] += failed

    def write(self) -> bool:
        """Hand what was noted to SQLite as one transaction; False if there is nothing. ``sync`` makes it last."""
        if not any(self._noted.values()):
            return False
        with _guard(self.path):
            self._run("BEGIN IMMEDIATE")
            assert self._db is not None
            for statement, rows in self._noted.items():
                if rows:
                    self._db.executemany(statement, rows)
                    rows.clear()
        self._written = True
        return True

    def sync(self) -> None:
        """Make what was written last: one flush of the disk for all of it. From any thread."""
        with _guard(self.path):
            self._run("COMMIT")
        self._written = False

    def commit(self) -> None:
        """Make everything noted last."""
        if self._written:
            self.sync()
        if self.write():
            self.sync()

    # -- reading -----------------------------------------------------------------------------------------------

    def find(self, key: str, max_tokens: int) -> Stored | None:
        """The answer to a request with this limit, if it was received: a whole one whatever its limit was, one that
        was cut only if it was cut no earlier than this limit would."""
        with _guard(self.path):
            row = self._read(
                "SELECT text, finish_reason, prompt_tokens, completion_tokens, max_tokens, dollars FROM attempts"
                " WHERE key = ? AND state = 'answered' AND (finish_reason != 'length' OR max_tokens >= ?)"
                " ORDER BY finish_reason = 'length', max_tokens DESC, id LIMIT 1",
                (key, max_tokens),
            ).fetchone()
        return Stored(*row) if row else None

    def failure(self, key: str, max_tokens: int) -> str | None:
        """Why this request was given up, if it was, in a round that is closed: noted perhaps, and not written yet."""
        for *noted, kind in self._noted[_GIVE_UP]:
            if noted == [key, max_tokens]:
                return str(kind)
        with _guard(self.path):
            row = self._read("SELECT kind FROM failures WHERE key = ? AND max_tokens = ?", (key, max_tokens)).fetchone()
        return str(row[0]) if row else None

    def knows(self, model: str) -> bool:
        """Whether a model of that declared id ever answered."""
        with _guard(self.path):
            found = self._read("SELECT 1 FROM attempts WHERE model = ? AND state = 'answered' LIMIT 1", (model,))
            return found.fetchone() is not None

    def totals(self) -> dict[str, Any]:
        """Accounts as plain values, summed from the rows: all, ``families`` by name, ``errors`` by kind. Commits."""
        self.commit()
        with _guard(self.path):
            families = [r[0] for r in self._read("SELECT DISTINCT family FROM attempts ORDER BY family")]
            errors = self._read("SELECT kind, COUNT(*) FROM attempts WHERE state = 'error' GROUP BY kind ORDER BY kind")
            kinds = dict(errors.fetchall())
        return {
            **asdict(self._sum("1 = 1")),
            "errors": kinds,
            "families": {name: asdict(self._sum("family = ?", (name,))) for name in families},
        }

    def _sum(self, where: str, values: Sequence[object] = ()) -> Totals:
        states = ", ".join(f"COALESCE(SUM(state = '{s}'), 0)" for s in ("answered", "error", "lost", "sent"))
        costs = ", ".join(f"COALESCE(SUM({c}), 0)" for c in ("prompt_tokens", "completion_tokens", "dollars"))
        with _guard(self.path):
            row = self._read(
                f"SELECT COUNT(*), {states}, COALESCE(SUM(state = 'answered' AND NOT counted), 0), {costs}"  # noqa: S608
                f" FROM attempts WHERE {where}",
                values,
            ).fetchone()
        return Totals(*row)
