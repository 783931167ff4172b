"""The record of a run, as JSON lines in its store: what happened when, for people and their tools. No part of any result.

Each line is an object with ``at`` (UTC, by the driver's clock), ``event`` and what belongs to it:

=========== ==========================================================================================
event       facts
=========== ==========================================================================================
begin       argv, host, pid, recipe, versions: a command began
end         outcome, seconds by step
step        steps, what, tasks, done, bytes: a stretch of work began
task        steps, key, worker, seconds, cpu, rows, kept, bytes, bytes_out: a task was committed
finished    step, use, rows, kept, seconds, reused: a step is complete
workers     workers, threads, joined, lost
retry       task, how: its worker died, it is sent again; ``how`` it is done now
bisected    steps, key, rows: rows of a task killed their workers, each by itself, and were set aside
round       step, model, family, requests, failed, prompt_tokens, completion_tokens, dollars: a round was closed
note        text: what was said on the screen
cancel      by, now: somebody asked it to stop
lost        lines: of so many there was no room to write them down
=========== ==========================================================================================

Lines are kept in numbered files below ``events/``. On a disk they are appended to; on an object store, which can't append,
the newest object is replaced while it is small. The oldest go when there are too many. Nothing is flushed to the disk by
force: what a power cut takes is the end of a story. Nor does anything that goes wrong here stop a run.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from curate.environment import redacted
from curate.errors import CurateError
from curate.run.progress import Silent
from curate.schema import KILLS_WORKER
from curate.spent import Work
from curate.store.files import Store
from curate.store.records import Counts, StepRecord

FOLDER: Final = "events"
FILE_BYTES: Final = 4 << 20
"""A file with more is not appended to."""
OBJECT_BYTES: Final = 64 << 10
"""The same of an object, which is put whole again each time."""
MOST_BYTES: Final = 64 << 20
"""Of all files of a folder together: about 300,000 tasks."""
MOST_WAITING: Final = 50_000
"""Lines that wait to be written; a store that is away must not fill the memory."""
_NAME: Final = re.compile(r"[a-z]+/(\d{8})\.[a-z]+")
_OURS: Final = frozenset({"event", "outcome", "state", "token", "host", "job", "at", "since", "ended", "last_commit"})
"""Facts that are our own words, by which programs tell what is what: never anybody's text."""

Place = tuple[int, int]
"""In a trail: a file's number, and the bytes of it that were read."""


class Trail:
    """Lines that are kept in numbered files of a folder of the store; written by one thread of one process.

    Args:
        suffix: what the files' names end with.
    """

    def __init__(self, store: Store, folder: str, suffix: str) -> None:
        self._store, self._folder, self._suffix = store, folder, suffix
        self._number, self._size = 0, 0
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Append whole lines. Raises OSError or CurateError; what could not be written is lost."""
        full = FILE_BYTES if not self._store.remote else OBJECT_BYTES
        if not self._number or self._size > full:
            self._next()
        key = f"{self._folder}/{self._number:08d}.{self._suffix}"
        if self._store.remote:
            whole = self._tail + data
            self._store.replace(key, whole)
            self._tail = whole
        else:
            path = self._store.path(key)
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(data)
        self._size += len(data)

    def _next(self) -> None:
        """Begin a file: never one that was there before, whose last line may be half a line."""
        there = trail(self._store, self._folder)
        full = FILE_BYTES if not self._store.remote else OBJECT_BYTES
        for _, key in there[: max(0, len(there) - MOST_BYTES // full + 1)]:
            self._store.remove(key)
        self._number, self._size, self._tail = max((n for n, _ in there), default=0) + 1, 0, b""


def trail(store: Store, folder: str) -> list[tuple[int, str]]:
    """Number and key of a trail's files, in order."""
    found = ((_NAME.fullmatch(entry.key), entry.key) for entry in store.list(folder))
    return sorted((int(match[1]), key) for match, key in found if match)


def lines_from(store: Store, folder: str, place: Place = (0, 0)) -> Iterator[tuple[Place, bytes]]:
    """Whole lines behind a place, each with the place behind it; files that went meanwhile are passed over."""
    for number, key in trail(store, folder):
        if number < place[0]:
            continue
        begin = place[1] if number == place[0] else 0
        for line in _whole_lines((store.read(key) or b"")[begin:]):
            begin += len(line)
            yield (number, begin), line


def last_lines(store: Store, folder: str, most: int) -> tuple[list[bytes], Place]:
    """The newest lines of a trail, and the place behind them; only as many files are read as hold them."""
    found: list[bytes] = []
    place: Place = (0, 0)
    for number, key in reversed(trail(store, folder)):
        lines = _whole_lines(store.read(key) or b"")
        place = max(place, (number, sum(map(len, lines))))
        found = [*lines, *found][-most:] if most else []
        if len(found) >= most:
            break
    return found, place


def _whole_lines(data: bytes) -> list[bytes]:
    """Lines with the line feeds that end them, and no others: a carriage return, as of a progress bar, ends none."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def read_event(line: bytes) -> dict[str, Any] | None:
    """A line's object; None for what is none, as where a machine lost its power in the middle of it."""
    try:
        value = json.loads(line)  # which takes half a character, too
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


class Events(Silent):
    """A reporter that writes them down. ``flush`` is another thread's; all else only puts a line into a queue."""

    def __init__(self, store: Store) -> None:
        self._trail = Trail(store, FOLDER, "jsonl")
        self._waiting: deque[tuple[float, dict[str, Any]]] = deque(maxlen=MOST_WAITING)
        self._lost = 0

    def event(self, what: str, /, **facts: Any) -> None:
        """Note something."""
        self._lost += len(self._waiting) == MOST_WAITING
        self._waiting.append((time.time(), {"event": what, **facts}))

    def note(self, line: str) -> None:
        """What was said."""
        self.event("note", text=line)

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """A stretch of work begins."""
        self.event("step", steps=steps, what=what, tasks=tasks, done=done, bytes=total_bytes)

    def worked(self, steps: tuple[str, ...], work: Work, counts: dict[str, Counts]) -> None:
        """A task was committed."""
        facts: dict[str, Any] = {"steps": steps, "key": work.key, "worker": work.worker}
        facts |= {"seconds": round(work.seconds, 4), "cpu": round(work.cpu, 4)}
        if counts:
            first, last = counts[next(iter(counts))], counts[next(reversed(counts))]
            facts |= {"rows": first.rows_in, "kept": last.rows_out}
            facts |= {"bytes": first.bytes_in, "bytes_out": last.bytes_out}
        self.event("task", **facts)
        if lethal := sum(each.reasons.get(KILLS_WORKER, 0) for each in counts.values()):
            self.event("bisected", steps=steps, key=work.key, rows=lethal)

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """A step is complete."""
        counts = record.counts
        facts = {"step": record.step, "use": record.use, "rows": counts.rows_in, "kept": counts.rows_out}
        self.event("finished", **facts, seconds=round(seconds, 3), reused=reused)

    def flush(self) -> None:
        """Write what waits; where that fails it is lost, and said to be by the next line that can be written."""
        lines = []
        while self._waiting:
            lines.append(_line(*self._waiting.popleft()))
        if not lines:
            return
        if self._lost:
            lines.append(_line(time.time(), {"event": "lost", "lines": self._lost}))
        try:
            self._trail.write(b"".join(lines))
            self._lost = 0
        except (OSError, CurateError):
            self._lost += len(lines)


def _line(at: float, facts: dict[str, Any]) -> bytes:
    """One line of ASCII: whatever text is in it, nothing breaks it or reaches a terminal as a command."""
    value = {"at": when(at), **facts}
    if facts["event"] == "task":  # most are, and their facts are numbers and names
        with suppress(TypeError, ValueError):
            line = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
            if line.isascii():
                return line
    return plain_json(value)


def plain_json(value: Any, indent: int | None = None) -> bytes:
    """JSON in ASCII with a line feed at its end: half characters, as names of files may have, are escapes in it, and keys that
    were withheld are blotted out of its texts; never out of names, numbers and what is in ``_OURS``."""
    return (json.dumps(_blotted(value), indent=indent) + "\n").encode().replace(b"\x7f", b"\\u007f")


def _blotted(value: Any) -> Any:
    # Before it is JSON: there a key with a quote in it is written otherwise, and a number may hold one that is digits.
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        kept = {name for name in _OURS & value.keys() if isinstance(value[name], str)}
        return {name: each if name in kept else _blotted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_blotted(each) for each in value]
    return redacted(str(value))


def when(at: float) -> str:
    """A moment in UTC, to the millisecond."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
