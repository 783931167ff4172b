"""Who may write to a store: one command at a time, by a lease that outlives nobody.

A lease is a numbered file under ``lease/``; the highest number is the one that counts. It is taken by putting the next
number if it is absent, so of two that try at once one wins, on disks and on object stores alike; its owner alone
replaces that file, to renew it. A lease says nothing about results and no safety hangs on it: whatever two drivers do
at once, the first receipt wins (store/files.py). It spares the second one work in vain, and a reader two writers' views.

An owner that is dead is not waited for: on the same machine its pid is looked up, with the time at which that process
started; elsewhere its lease must stay unchanged for as long as it said it would, by the clock of the one who watches.
Two machines' clocks are never compared to take a lease away, so one that is wrong, or set, does no harm.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from curate.errors import BusyError, CurateError, DamagedError, StorageError
from curate.store.files import Store

FOLDER: Final = "lease"
RENEW_SECONDS: Final = 10.0
"""How often an owner renews its lease: one small write."""
EXPIRE_SECONDS: Final = 45
"""How long a lease holds without being renewed: four renewals may fail, or be slow, before anybody may take it."""
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Owner:
    """What a lease says of who holds it.

    Attributes:
        token: unlike that of any other holding.
        what: the command, in a word or two.
        host, pid: for people, and on the same machine for us; no pid where that is not known.
        machine: which kernel, since which boot, and which pids it means by its pid; empty where that can't be told.
        began: when the process started, in clock ticks since boot: a pid alone may be another process by now.
        since, renewed: seconds since the epoch, by the owner's clock.
        renewals: how often it was renewed.
        seconds: how long it holds without being renewed.
        released: whether its owner gave it back.
    """

    token: str
    what: str
    host: str
    pid: int
    machine: str
    began: int
    since: float
    renewed: float
    renewals: int
    seconds: float
    released: bool = False

    def dead(self) -> bool:
        """Whether it ran on this machine and runs no more."""
        return self.here() and _began(self.pid) != self.began

    def here(self) -> bool:
        """Whether it runs, or ran, on this machine, so that ``dead`` tells."""
        return bool(self.machine) and self.machine == _machine()

    def fresh(self) -> bool:
        """Whether it was renewed in time, as far as the clocks agree: then nothing needs to be watched."""
        return 0 <= time.time() - self.renewed <= self.seconds

    @classmethod
    def load(cls, value: Any) -> Owner:
        """What a lease's file says, what another version adds left out; raises DamagedError for what says too little."""
        try:
            return cls(**{one.name: value[one.name] for one in fields(cls) if one.name in value})
        except TypeError:
            raise DamagedError("is no lease") from None

    def __str__(self) -> str:
        if not self.pid:
            return self.what
        age = max(0, round(time.time() - self.renewed))
        since = dt.datetime.fromtimestamp(self.since, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{self.what}, pid {self.pid} on {self.host}, since {since}, renewed {age} s ago"


class Lease:
    """The right to write to a store, held as a context; renewed by a thread as long as it is held.

    Args:
        store: whose.
        what: the command, for those who are refused.
        wait: wait until it can be had, instead of refusing.
        note: is told, once, that it has to be waited for.

    Raises BusyError when another one holds it.
    """

    def __init__(
        self, store: Store, what: str, *, wait: bool = False, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store, self._what, self._wait, self._note = store, what, wait, note
        self._number, self._lost = 0, False
        self._mine: Owner | None = None
        self._sign = ""
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            self._number, self._mine = self._take()
        finally:
            if self._sign:
                self._store.remove(self._sign)
        for number in _numbers(self._store):
            if number < self._number:
                self._store.remove(_key(number))
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._renewing is not None:
            self._renewing.join()
        away = self._store.remote and isinstance(error, StorageError)
        if self._mine is not None and not self._lost and not away:
            # Never removed: numbers must not begin anew under one who still looks at an old one.
            with suppress(CurateError, OSError):
                self._write(replace(self._mine, released=True))

    @property
    def token(self) -> str:
        """Unlike that of any other holding; empty while it is not held."""
        return self._mine.token if self._mine is not None else ""

    @property
    def lost(self) -> bool:
        """Whether it was lost, as of the last renewal."""
        return self._lost

    def check(self) -> None:
        """Raise BusyError if it was lost: to be called before anything is published."""
        newest = holder(self._store)
        if newest is not None and newest[0] > self._number:
            self._lost = True
            raise BusyError(
                f"lost the store to another command ({newest[1]})",
                place=str(self._store),
                cure="this one was taken for dead, being stopped or cut off too long; run again when that one is done",
            )

    def glance(self) -> None:
        """The same as of the last renewal: costs nothing."""
        if self._lost:
            self.check()

    # -- taking ------------------------------------------------------------------------------------------------

    def _take(self) -> tuple[int, Owner]:
        watched: tuple[str, int] | None = None
        since = time.monotonic()
        told = False
        while True:
            newest = holder(self._store)
            if newest is None or newest[1].released or newest[1].dead():
                if (taken := self._put(newest[0] + 1 if newest else 1)) is not None:
                    return taken
                continue
            number, owner = newest
            if watched != (owner.token, owner.renewals):
                watched, since = (owner.token, owner.renewals), time.monotonic()
            if not owner.here() and time.monotonic() - since > owner.seconds:
                if (taken := self._put(number + 1)) is not None:
                    return taken
                continue
            if not self._wait and (owner.here() or owner.fresh()):
                raise _busy(self._store, owner)
            if not told:
                told = True
                why = "to be done" if owner.here() or owner.fresh() else f"{owner.seconds:g} s, if it is dead"
                self._note(f"{self._store} is in use ({owner}): waiting for it {why}")
                mine = self._owner()
                self._sign = f"{FOLDER}/waits-{mine.token}.json"
                self._store.replace_json(self._sign, asdict(mine))
            time.sleep(_POLL_SECONDS)

    def _owner(self) -> Owner:
        now, pid = time.time(), os.getpid()
        who = (self._what, platform.node(), pid, _machine(), _began(pid))
        return Owner(uuid.uuid4().hex, *who, now, now, 0, EXPIRE_SECONDS)

    def _put(self, number: int) -> tuple[int, Owner] | None:
        """The lease under that number, unless another one was first."""
        mine = self._owner()
        there = self._store.put_if_absent(_key(number), asdict(mine))
        newest = holder(self._store)
        # A number that was free because its successor's owner had removed it is no lease.
        return (number, mine) if there["token"] == mine.token and newest is not None and newest[0] == number else None

    # -- keeping -----------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            assert self._mine is not None
            try:
                self.check()
                self._mine = replace(self._mine, renewed=time.time(), renewals=self._mine.renewals + 1)
                self._write(self._mine)
            except BusyError:
                return
            except (CurateError, OSError):
                # A store that can't be reached now may be there the next time; who publishes will see for themselves.
                continue

    def _write(self, owner: Owner) -> None:
        self._store.replace_json(_key(self._number), asdict(owner))


def _key(number: int) -> str:
    return f"{FOLDER}/{number:08d}.json"


def _numbers(store: Store) -> list[int]:
    """Of all leases that are there, ascending."""
    found = [re.fullmatch(rf"{FOLDER}/(\d{{8}})\.json", entry.key) for entry in store.list(FOLDER)]
    return sorted(int(match[1]) for match in found if match)


def check_free(store: Store) -> None:
    """Raise BusyError when another command holds the store now, as far as one can tell without watching it."""
    newest = holder(store)
    if newest is None or newest[1].released or newest[1].dead():
        return
    if newest[1].here() or newest[1].fresh():
        raise _busy(store, newest[1])


def _busy(store: Store, owner: Owner) -> BusyError:
    return BusyError(f"is in use ({owner})", place=str(store), cure="wait for it, with --wait, or stop it")


def waiters(store: Store) -> list[Owner]:
    """Commands that wait for a store, those that are known to be dead left out."""
    found = []
    for entry in store.list(FOLDER):
        if re.fullmatch(rf"{FOLDER}/waits-[0-9a-f]{{32}}\.json", entry.key):
            with suppress(CurateError):
                if (value := store.read_json(entry.key)) is not None and not (owner := Owner.load(value)).dead():
                    found.append(owner)
    return sorted(found, key=lambda owner: owner.since)


def holder(store: Store) -> tuple[int, Owner] | None:
    """The lease that counts, with its number."""
    while numbers := _numbers(store):
        key = _key(numbers[-1])
        try:
            value: Any = store.read_json(key)
            owner = Owner.load(value) if value is not None else None
        except DamagedError:
            # Whoever holds it renews it, and it is whole again; otherwise it ends as that of a machine that died.
            what = f"{store.name(key)} is damaged, so it can't be told by whom"
            owner = Owner(f"damaged {numbers[-1]}", what, "", 0, "", -1, 0, 0, 0, EXPIRE_SECONDS)
        if owner is not None:
            return numbers[-1], owner
    return None


def _machine() -> str:
    """The kernel since its boot, and the pid namespace: two processes for which it is equal mean the same by a pid."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(pid: int) -> int:
    """When a process started, in clock ticks since boot; -1 when there is none (a zombie is none)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    # proc(5): starttime is field 22; the state is field 3.
    return -1 if state in "ZX" else int(fields[18])
