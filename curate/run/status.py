"""Where a run stands: a small object in its store that the driver replaces every few seconds, and what others make of it.

``status.json`` says what the driver knew when it was written; whether there is a driver at all, the lease says (run/lease.py).
On the same machine its process is looked for. Elsewhere a lease that looks fresh is believed; one that does not, by clocks that
may differ, is watched for as long as it would hold: who lives renews it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from typing import Any, Final

from curate.environment import redacted
from curate.errors import CurateError, RecipeError
from curate.run.events import when
from curate.run.lease import Owner, holder, waiters
from curate.run.progress import Stretch
from curate.run.submit import Submitted
from curate.spent import Work
from curate.store.files import Store
from curate.store.records import Counts, StepRecord

NAME: Final = "status.json"
RUN: Final = "curate run"
"""What a lease says of a command that says where it stands."""
RUNNING: Final = "running"
SUBMITTED: Final = "submitted.json"
"""What runs beside a scheduler, or waits there, and has not begun yet (run/submit.py)."""
_RECENT: Final = 8
_REASONS: Final = 8
_JOBS: Final = {"SLURM_JOB_ID": "Slurm job", "PBS_JOBID": "PBS job", "JOB_COMPLETION_INDEX": "Kubernetes job"}
_POLL_SECONDS: Final = 0.5

CpuByStep = dict[str, dict[str, list[float]]]
"""By step and kind of work: CPU seconds, bytes gone through."""


class Status(Stretch):
    """A reporter that sums up.

    Args:
        steps: all of the run, in order.

    Attributes:
        cpu: where CPU time went.
        retries: attempts that ended with their worker.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        super().__init__()
        self.cpu: CpuByStep = {}
        self.retries = self.committed = 0
        self.models: dict[str, dict[str, float]] = {}
        self.crew = {"workers": 0, "threads": 0}
        self.spent = {"prompt_tokens": 0, "completion_tokens": 0, "dollars": 0.0, "in_flight": 0}
        self.changes = 0
        self._order = tuple(steps)
        self._ended: dict[str, dict[str, Any]] = {}
        self._facts: dict[str, Any] = {}
        self._outcome = RUNNING
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self._commit_at = self._alone_since = 0.0
        self._beats = 0
        # What is told comes from the driver's main thread; what it comes to is asked for by others.
        self._lock = threading.RLock()

    # -- told --------------------------------------------------------------------------------------------------

    def begin(self, facts: Mapping[str, Any]) -> None:
        """A command begins: its Session's facts, and its lease's token."""
        job = next((f"{said} {os.environ[name]}" for name, said in _JOBS.items() if os.environ.get(name)), "")
        with self._lock:
            self._facts = {**facts, **({"job": job} if job else {})}
            self.changes += 1

    def end(self, outcome: str) -> None:
        """It ends."""
        with self._lock:
            self._outcome = outcome
            self._facts["ended"] = when(time.time())
            if outcome == "finished":
                self._steps = ()  # else it is worth knowing where it was

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """A stretch of work begins."""
        with self._lock:
            super().step(steps, what, total_bytes, tasks, done)
            self.changes += 1

    def expect(self, tasks: int) -> None:
        """It takes another number of tasks."""
        with self._lock:
            super().expect(tasks)

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """A task was committed."""
        with self._lock:
            super().advance(bytes_done, counts)
            self._commit_at = time.time()
            self.changes += 1

    def worked(self, steps: tuple[str, ...], work: Work, counts: dict[str, Counts]) -> None:
        """What it took: what no single step did is the first one's where it is reading, else the last one's."""
        with self._lock:
            self.committed += 1
            for (step, kind), (seconds, size) in work.by.items():
                name = step or steps[0 if kind == "read" else -1]
                sums = self.cpu.setdefault(name, {}).setdefault(kind, [0.0, 0])
                sums[0] += seconds
                sums[1] += size

    def charged(self, prompt_tokens: int, completion_tokens: int, dollars: float, in_flight: int) -> None:
        """What models have cost by now."""
        with self._lock:
            self.spent = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
            self.spent |= {"dollars": round(dollars, 6), "in_flight": in_flight}
            self.changes += 1

    def event(self, what: str, /, **facts: Any) -> None:
        """Something happened."""
        with self._lock:
            self.changes += 1
            if what == "workers":
                self.crew = {"workers": facts["workers"], "threads": facts["threads"]}
                self._alone_since = 0.0 if facts["workers"] else self._alone_since or time.time()
            elif what == "retry":
                self.retries += 1
            elif what == "round":
                sums = self.models.setdefault(facts["model"], {})
                for name in ("requests", "failed", "prompt_tokens", "completion_tokens", "dollars"):
                    sums[name] = sums.get(name, 0) + facts[name]
            if what != "workers" or facts["lost"]:
                self._recent.append({"at": when(time.time()), "event": what, **facts})

    def note(self, line: str) -> None:
        """Something was said."""
        self.event("note", text=redacted(line))

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """A step is complete."""
        with self._lock:
            super().finished(record, seconds, reused)
            self._ended[record.step] = _counts(record.counts) | {
                "state": "done before" if reused else "done",
                "seconds": round(self.seconds[record.step], 3),
            }
            self.changes += 1

    # -- asked -------------------------------------------------------------------------------------------------

    def cpu_table(self) -> CpuByStep:
        """A copy of ``cpu``, rounded, in the order of the steps."""
        with self._lock:
            named = {name: self.cpu[name] for name in (*self._order, *self.cpu) if name in self.cpu}
            return {
                step: {kind: [round(sums[0], 3), int(sums[1])] for kind, sums in sorted(kinds.items())}
                for step, kinds in named.items()
            }

    def value(self, reasons: int | None = _REASONS) -> dict[str, Any]:
        """All of it as plain values; of each step the most frequent ``reasons``, None: all."""
        with self._lock:
            self._beats += 1
            under_way = {
                name: _counts(counts) | {"state": RUNNING}
                for name, counts in self._counts.items()
                if name not in self._ended and name in self._steps
            }
            steps = [
                _trimmed({"id": name, **(self._ended.get(name) or under_way.get(name) or {"state": "to do"})}, reasons)
                for name in self._order
            ]
            return {
                **self._facts,
                "outcome": self._outcome,
                "at": when(time.time()),
                "beat": self._beats,
                "now": self._now(),
                "steps": steps,
                "models": {**self.spent, "by_model": {name: dict(sums) for name, sums in self.models.items()}},
                **self.crew,
                "no_workers_since": when(self._alone_since) if self._alone_since else None,
                "tasks_committed": self.committed,
                "last_commit": when(self._commit_at) if self._commit_at else None,
                "retries": self.retries,
                "cpu": self.cpu_table(),
                "recent": list(self._recent),
            }

    def _now(self) -> dict[str, Any] | None:
        if not self._steps:
            return None
        rate, left = self.rate(), self.left()
        return {
            "steps": list(self._steps),
            "what": self._what,
            "tasks": self._tasks,
            "done": self._done,
            "total_bytes": self._total_bytes,
            "bytes": self._bytes,
            "rate": round(rate, 3),
            "rate_of": "bytes" if self._total_bytes else "tasks",
            "seconds_left": round(left / rate) if rate else None,
        }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "bytes_out": counts.bytes_out,
        "reasons": dict(sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))),
    }


def _trimmed(step: dict[str, Any], reasons: int | None) -> dict[str, Any]:
    return {**step, "reasons": dict(list(step["reasons"].items())[:reasons])} if "reasons" in step else step


# -- from anywhere ---------------------------------------------------------------------------------------------


def look(store: Store, note: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Where a run stands, seen from any machine that sees its store: ``status.json`` with ``state`` and ``waiting``.

    States: running, finished, failed, interrupted, killed, unknown (its own last word is not there), and ``in use`` where
    another command has the store.

    Args:
        note: is told, once, that a lease is watched, which takes up to a minute.

    Raises RecipeError where nothing ever ran.
    """
    held, value, job = holder(store), said(store), submitted(store)
    if held is None and value is None and job is None:
        raise RecipeError("nothing ran here yet", place=str(store), cure="give what 'curate run' had as --store")
    value = value or {"outcome": "unknown"}
    owner = held[1] if held is not None else None
    alive = owner is not None and not owner.released and lives(store, owner, note)
    state = _outcome(value, owner, alive=alive)
    if job is not None and not alive:
        value = {**value, "submitted": f"{job.kind} {job.id}{f' on {job.host}' if job.host else ''}"}
        state = "queued" if job.alive() is not False else "failed"
        if state == "failed":
            value["outcome"] = (
                f"failed: {value['submitted']} ended before it began the run; see curate logs {quote(str(store))}"
            )
    return {
        **value,
        "store": str(store),
        "state": state,
        "lease": None if owner is None else vars(owner),
        "waiting": [vars(one) for one in waiters(store)],
    }


def submitted(store: Store) -> Submitted | None:
    """Where a run was sent to that has not begun yet."""
    try:
        value = store.read_json(SUBMITTED)
        job = None if value is None else Submitted.load(value)
    except (CurateError, TypeError, ValueError):
        return None
    return None if job is None or _has_begun(job, said(store) or {}) else job


def _has_begun(job: Submitted, value: Mapping[str, Any]) -> bool:
    """Whether the newest run is that one: it may have been faster than the note of where it was sent."""
    if job.kind == "process":
        return (str(value.get("pid")), value.get("host")) == (job.id, job.host)
    if job.kind == "kubernetes":
        return str(value.get("host")).startswith(f"{job.id}-")  # a pod's host is called as the pod, after its Job
    return job.kind == "slurm" and value.get("job") == f"{_JOBS['SLURM_JOB_ID']} {job.id}"


class Going:
    """Whether more may be said by a run; asked again and again.

    Attributes:
        gone: who held the store, where it is another machine's and renewed its lease no more: it is dead, or cut off.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen, self._since = ("", -1), 0.0
        self.gone: Owner | None = None

    def __call__(self) -> bool:
        """Whether a command holds the store, or one was sent that has not begun."""
        held, job = holder(self._store), submitted(self._store)
        if job is not None and job.alive() is not False:
            return True
        if held is None or held[1].released or held[1].dead():
            return False
        owner = held[1]
        if self._seen != (owner.token, owner.renewals):
            self._seen, self._since = (owner.token, owner.renewals), time.monotonic()
        if owner.here() or time.monotonic() - self._since <= owner.seconds:
            return True
        self.gone = owner
        return False


def _outcome(value: Mapping[str, Any], owner: Owner | None, *, alive: bool) -> str:
    word = str(value.get("outcome", "unknown"))
    mine = owner is not None and value.get("token") == owner.token
    if alive and owner is not None:
        return RUNNING if owner.what == RUN else "in use"
    if word == RUNNING or (owner is not None and owner.what == RUN and not owner.released and not mine):
        return "killed"
    return word.partition(":")[0]


def said(store: Store) -> dict[str, Any] | None:
    """The newest run's own words; of one that said nothing, as of an older version, what run.json has."""
    for name in (NAME, "run.json"):
        try:
            value = store.read_view(name)
        except CurateError:
            continue
        if isinstance(value, dict):
            sessions = value.get("sessions") if name != NAME else [value]
            if isinstance(sessions, list) and sessions and isinstance(sessions[-1], dict):
                return sessions[-1]
    return None


def lives(store: Store, owner: Owner, note: Callable[[str], None]) -> bool:
    """Whether the owner of a lease that was not given back runs."""
    if owner.here():
        return not owner.dead()
    if owner.fresh():
        return True
    note(f"the lease ({owner}) looks old, if both clocks are right: watching it for {owner.seconds:g} s at most")
    end = time.monotonic() + owner.seconds
    while time.monotonic() < end:
        time.sleep(_POLL_SECONDS if not store.remote else 4 * _POLL_SECONDS)
        now = holder(store)
        if now is None or now[1].token != owner.token or now[1].renewals != owner.renewals:
            return now is not None and not now[1].released
    return False
