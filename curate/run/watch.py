"""What a run tells others while it runs, and how they ask it to stop: its record, its status, a request object.

A thread of the driver writes what its main thread only counted, every second or two on a disk, every ten on an object
store, where a request costs money: at most 720 small PUTs and 360 GETs an hour, less than half a cent at S3's prices.
Nothing that goes wrong here stops a run, and nothing of it is part of any result.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import curate
from curate.errors import CANCELLED, CurateError, StorageError
from curate.run.events import Events, Trail, plain_json
from curate.run.lease import Lease
from curate.run.progress import Reporter, Several
from curate.run.status import NAME, SUBMITTED, Status
from curate.store.files import Store

CANCEL: Final = "cancel.json"
"""A request: the token of the lease whose owner is meant, whether it is to stop at once, and who asks."""
LOGS: Final = "logs"
"""Below it an object store has what a detached driver prints."""
LOG: Final = "driver.log"
"""Where that goes on the driver's machine."""
DISK_SECONDS: Final = 1.0
REMOTE_SECONDS: Final = 10.0
_IDLE_BEATS: Final = 10
"""A status in which nothing is new is written so seldom."""
_BETWEEN_SIGNALS: Final = 0.5


class Watch:
    """Tells, as long as the block lasts, which lies inside of the lease's. Where a request stopped the run, the block is left
    with the exit code CANCELLED.

    Args:
        steps: of the run, in order.
        recipe: its name.
        log: ``FILE:OFFSET`` where the driver's own output goes, from where on; empty for a terminal.
        seconds: how often; default: by the kind of store.

    Attributes:
        status: what it comes to.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        recipe: str,
        steps: Sequence[str],
        seconds: float | None = None,
        *,
        log: str = "",
    ) -> None:
        self._store, self._lease, self._recipe = store, lease, recipe
        self._seconds = seconds or (REMOTE_SECONDS if store.remote else DISK_SECONDS)
        self.status, self._events = Status(steps), Events(store)
        self._written, self._beats = -1, 0
        self._asked: set[bool] = set()
        self._log = _Copy(store, log)
        self._logs = bool(log)
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._woken.set()
        self._beating.join()
        away = isinstance(error, StorageError) if self._store.remote else not self._store.root.is_dir()
        if not away and not self._lease.lost:
            self._tell(last=True)
        if self._asked and isinstance(error, SystemExit):
            error.code = CANCELLED
        elif self._asked and isinstance(error, CurateError):
            error.exit_code = CANCELLED  # whatever it failed of then: it was not to go on

    def beside(self, view: Reporter) -> Reporter:
        """A reporter that tells the view, and us."""
        return Several(view, self._events, self.status)

    def begin(self, facts: Mapping[str, Any]) -> None:
        """A Session begins, with these facts."""
        who = {"host": facts["host"], "pid": os.getpid(), "argv": facts["argv"], "since": facts["started"]}
        versions = {"curate": curate.__version__, "python": facts["python"]}
        said = {"recipe": self._recipe, **who, **versions, "token": self._lease.token, "log": self._logs}
        self.status.begin(said)
        self._woken.set()  # who asks from now on should hear of this run, not of the one before
        with suppress(OSError, CurateError):
            self._store.remove(SUBMITTED)
        self._events.event("begin", recipe=self._recipe, **who, versions=versions)

    def end(self, facts: Mapping[str, Any]) -> None:
        """It ends."""
        self.status.end(facts["outcome"])
        self._events.event("end", outcome=facts["outcome"], seconds=facts.get("seconds", {}))

    # -- the thread --------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        while True:
            if self._lease.lost:
                return
            self._tell()
            self._hear()
            self._woken.wait(self._seconds)
            self._woken.clear()
            if self._stop.is_set():
                return

    def _tell(self, *, last: bool = False) -> None:
        with suppress(Exception):  # whatever it is, no run ends for it
            self._events.flush()
        with suppress(Exception):
            self._log.copy()
        changes, self._beats = self.status.changes, self._beats + 1
        if changes and (last or changes != self._written or self._beats % _IDLE_BEATS == 0):
            with suppress(Exception):
                self._store.replace(NAME, plain_json(self.status.value(), indent=2))
                self._written = changes

    def _hear(self) -> None:
        """Do what a request asks for that is meant for us: signals to ourselves, once of each kind. It is taken away first: who
        asked sees by that that it was heard."""
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            return  # not yet, or no more, in a block that leaves as it should
        try:
            asked = self._store.read_json(CANCEL)
        except (OSError, CurateError):
            return
        if not isinstance(asked, dict) or asked.get("token") != self._lease.token:
            return
        with suppress(OSError, CurateError):
            self._store.remove(CANCEL)
        now = asked.get("now") is True
        if now in self._asked:
            return
        self._events.event("cancel", by=str(asked.get("by", ""))[:200], now=now)
        self.status.event("cancel", by=str(asked.get("by", ""))[:200], now=now)
        if not self._asked:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_BETWEEN_SIGNALS * now)
        if now:
            os.kill(os.getpid(), signal.SIGTERM)
        self._asked.add(now)


def ask_to_stop(store: Store, token: str, *, now: bool) -> None:
    """Leave a request for the owner of a lease, on whatever machine it is."""
    by = f"pid {os.getpid()} on {platform.node()}"
    store.replace_json(CANCEL, {"token": token, "now": now, "by": by})


class _Copy:
    """A driver's log on its way to an object store, which other machines see; on a disk it lies there already."""

    def __init__(self, store: Store, log: str) -> None:
        path, _, begin = log.rpartition(":")
        self._log = Path(path) if path and store.remote else None
        # What earlier drivers printed has been copied by them.
        self._trail, self._read = Trail(store, LOGS, "log"), int(begin) if begin.isdecimal() else 0

    def copy(self) -> None:
        """Put what is new; whole lines."""
        if self._log is None:
            return
        with suppress(OSError, CurateError):
            with self._log.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            if data:
                self._trail.write(data)
                self._read += len(data)
