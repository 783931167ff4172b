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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from curate.errors import DamagedError, RecipeError, StorageError
from curate.fingerprint import fingerprint
from curate.llm.request import Request

__all__ = ["Journal", "Reserve", "Stored", "Totals", "request_key", "reserve_of"]

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
class Reserve:
    """What an attempt may cost at most: tokens, US dollars."""

    prompt_tokens: int
    completion_tokens: int
    dollars: float


def reserve_of(request: Request, max_tokens: int, prices: tuple[float, float]) -> Reserve:
    """An upper bound, so that a cap holds: a token of a byte-level vocabulary is at least one byte, and a chat
    template adds a few tokens per message and perhaps a system message of its own. ``prices``: US dollars per
    million (prompt, completion) tokens."""
    prompt = 64 + sum(16 + len(m["content"].encode("utf-8", "replace")) for m in request.messages)
    return Reserve(prompt, max_tokens, (prompt * prices[0] + max_tokens * prices[1]) / 1e6)


@dataclass(frozen=True)
class Stored:
    """An answer as the journal holds it; ``max_tokens`` is the limit it was asked with."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int


@dataclass(frozen=True)
class Totals:
    """Accounts: attempts by state; tokens and dollars as charged (answers at their cost, in flight, lost and possibly
    billed failures at their reserve); ``uncounted``: answers whose server gave no token counts."""

    sent: int = 0
    answered: int = 0
    error: int = 0
    lost: int = 0
    in_flight: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0

    def plus(self, **changes: float) -> Totals:
        """These totals with some numbers added."""
        return Totals(**{**asdict(self), **{k: getattr(self, k) + v for k, v in changes.items()}})


class Journal:
    """Context manager; the file and its lock are held from entry to exit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Any = None
        self._db: sqlite3.Connection | None = None
        self._totals = Totals()

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise StorageError(f"journal: {error.strerror or error}", place=str(self.path)) from None
        try:
            with self._guard():
                db = self._db = sqlite3.connect(self.path, isolation_level=None)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.executescript(SCHEMA)
                # Nobody else can hold the lock, so nobody waits for these any more.
                db.execute("UPDATE attempts SET state = 'lost' WHERE state = 'sent'")
            self._totals = self._sum("1 = 1")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
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

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                cure = "move it away with its -wal and run again: open rounds are asked again, the budget begins anew"
                raise DamagedError(f"journal: {error}", place=str(self.path), cure=cure) from None
            raise StorageError(f"journal: {error}", place=str(self.path), cure="is the disk full?") from None

    def _run(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        assert self._db is not None, "the journal is closed"
        return self._db.execute(statement, values)

    # -- writing -----------------------------------------------------------------------------------------------

    def send(self, key: str, family: str, model: str, max_tokens: int, reserve: Reserve) -> int:
        """Write an attempt down before it leaves; its number."""
        cost = (reserve.prompt_tokens, reserve.completion_tokens, reserve.dollars)
        with self._guard():
            row = self._run(
                "INSERT INTO attempts (key, family, model, max_tokens, state, prompt_tokens, completion_tokens, dollars)"
                " VALUES (?, ?, ?, ?, 'sent', ?, ?, ?)",
                (key, family, model, max_tokens, *cost),
            )
        self._totals = self._totals.plus(
            sent=1, in_flight=1, prompt_tokens=cost[0], completion_tokens=cost[1], dollars=cost[2]
        )
        assert row.lastrowid is not None
        return row.lastrowid

    def answer(
        self, attempt: int, text: str, finish_reason: str, cost: Reserve, reserve: Reserve, *, counted: bool
    ) -> None:
        """An attempt's answer and its true cost, in place of its reserve."""
        values = (text, finish_reason, cost.prompt_tokens, cost.completion_tokens, cost.dollars, counted, attempt)
        with self._guard():
            self._run(
                "UPDATE attempts SET state = 'answered', text = ?, finish_reason = ?, prompt_tokens = ?,"
                " completion_tokens = ?, dollars = ?, counted = ? WHERE id = ?",
                values,
            )
        self._settle("answered", cost, reserve, uncounted=not counted)
        if counted:
            self._correct_prompts(attempt, cost.prompt_tokens)

    def _correct_prompts(self, attempt: int, tokens: int) -> None:
        """Charge earlier attempts of the same request what its prompt is now known to cost."""
        # The key is one of model and messages both.
        where = "key = (SELECT key FROM attempts WHERE id = ?) AND state IN ('lost', 'error') AND prompt_tokens > ?"
        values = (attempt, tokens)
        with self._guard():
            (over,) = self._run(
                f"SELECT COALESCE(SUM(prompt_tokens - ?), 0) FROM attempts WHERE {where}",  # noqa: S608
                (tokens, *values),
            ).fetchone()
            if over:
                self._run(f"UPDATE attempts SET prompt_tokens = ? WHERE {where}", (tokens, *values))  # noqa: S608
        self._totals = self._totals.plus(prompt_tokens=-over)

    def fail(self, attempt: int, kind: str, detail: str, reserve: Reserve, *, free: bool) -> None:
        """An attempt's failure; unless it was ``free``, it stays charged at its reserve."""
        cost = Reserve(0, 0, 0.0) if free else reserve
        values = (kind, detail, cost.prompt_tokens, cost.completion_tokens, cost.dollars, attempt)
        with self._guard():
            self._run(
                "UPDATE attempts SET state = 'error', kind = ?, detail = ?, prompt_tokens = ?, completion_tokens = ?,"
                " dollars = ? WHERE id = ?",
                values,
            )
        self._settle("error", cost, reserve)

    def _settle(self, state: str, cost: Reserve, reserve: Reserve, *, uncounted: bool = False) -> None:
        changes = {f.name: getattr(cost, f.name) - getattr(reserve, f.name) for f in fields(Reserve)}
        self._totals = self._totals.plus(in_flight=-1, uncounted=uncounted, **{state: 1}, **changes)

    def give_up(self, failed: Sequence[tuple[str, int, str]]) -> None:
        """Close a round's failed requests, as (key, max_tokens, kind): they are not tried again."""
        with self._guard():
            self._run("BEGIN")
            for row in failed:
                self._run("INSERT OR IGNORE INTO failures VALUES (?, ?, ?)", row)
            self._run("COMMIT")

    # -- reading -----------------------------------------------------------------------------------------------

    def find(self, key: str, max_tokens: int) -> Stored | None:
        """The answer to a request with this limit, if it was received: a whole one whatever its limit was, one that
        was cut only if it was cut no earlier than this limit would."""
        with self._guard():
            row = self._run(
                "SELECT text, finish_reason, prompt_tokens, completion_tokens, max_tokens FROM attempts"
                " WHERE key = ? AND state = 'answered' AND (finish_reason != 'length' OR max_tokens >= ?)"
                " ORDER BY finish_reason = 'length', max_tokens DESC, id LIMIT 1",
                (key, max_tokens),
            ).fetchone()
        return Stored(*row) if row else None

    def failure(self, key: str, max_tokens: int) -> str | None:
        """Why this request was given up, if it was, in a round that is closed."""
        with self._guard():
            row = self._run("SELECT kind FROM failures WHERE key = ? AND max_tokens = ?", (key, max_tokens)).fetchone()
        return str(row[0]) if row else None

    @property
    def spent(self) -> Totals:
        """Accounts of the whole run, kept up to date in memory."""
        return self._totals

    def totals(self) -> dict[str, Any]:
        """Accounts as plain values, summed from the rows: all, ``families`` by name, ``errors`` by kind."""
        with self._guard():
            families = [r[0] for r in self._run("SELECT DISTINCT family FROM attempts ORDER BY family")]
            errors = self._run("SELECT kind, COUNT(*) FROM attempts WHERE state = 'error' GROUP BY kind ORDER BY kind")
            kinds = dict(errors.fetchall())
        return {
            **asdict(self._sum("1 = 1")),
            "errors": kinds,
            "families": {name: asdict(self._sum("family = ?", (name,))) for name in families},
        }

    def _sum(self, where: str, values: Sequence[object] = ()) -> Totals:
        states = ", ".join(f"COALESCE(SUM(state = '{s}'), 0)" for s in ("answered", "error", "lost", "sent"))
        costs = ", ".join(f"COALESCE(SUM({c}), 0)" for c in ("prompt_tokens", "completion_tokens", "dollars"))
        with self._guard():
            row = self._run(
                f"SELECT COUNT(*), {states}, COALESCE(SUM(state = 'answered' AND NOT counted), 0), {costs}"  # noqa: S608
                f" FROM attempts WHERE {where}",
                values,
            ).fetchone()
        return Totals(*row)
