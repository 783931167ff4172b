"""What a worker of a cluster must be: the same curate, libraries, assets and kind of machine, and able to see the store.

A cluster is somebody else's: its workers may have been started last month, in another environment, on machines
without the folder. Every worker is asked before the first task; one that comes later is asked at its first one. (Dask's
plugins are no place for it: one that fails is only logged, and it stays on somebody else's scheduler when we are killed.)
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from curate.errors import CurateError, StorageError, VersionError
from curate.run.leaving import settle
from curate.run.needs import Needs, lacking
from curate.run.task import Task
from curate.run.versions import library_versions
from curate.spent import Work, metered
from curate.store import near
from curate.store.files import Store

MARK: Final = "workers.json"
"""A file of the store while a run uses a cluster: who reads in it what the driver wrote sees the same store."""
_SHOWN: Final = 3
_suited: set[str] = set()
"""Runs, by token, that this worker may work for."""


def our_facts() -> dict[str, str]:
    """Versions of what bears on results or on understanding a task; of the machine what instructions it has."""
    import distributed

    import curate

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "curate": curate.__version__,
        "python": python,
        "machine": platform.machine(),
        "distributed": distributed.__version__,
        **library_versions(),
    }


def put_token(store: Store, token: str, ours: Mapping[str, str] | None = None, needs: Needs | None = None) -> None:
    """What workers must find in the store, and in it what they are asked for: so it does not travel with every task."""
    store.replace_json(MARK, {"token": token, "versions": dict(ours or {}), "needs": (needs or Needs()).dump()})


def remove_token(store: Store) -> None:
    """The run is over."""
    with suppress(OSError, CurateError):
        store.remove(MARK)


def sees(store: Store, token: str) -> str:
    """Empty, or why the store that a worker sees under this name is not the driver's."""
    try:
        found = store.read_json(MARK)
    except (OSError, CurateError) as error:
        return f"can't read it ({error})"
    if found is None:
        return "does not have it"
    return "" if found["token"] == token else "has another one there"


def check_versions(theirs: Mapping[str, Mapping[str, str]], ours: Mapping[str, str]) -> None:
    """Raise VersionError for workers, by address, that have other versions than the driver."""
    wrong = {
        address: ", ".join(
            f"{name} {facts.get(name, 'absent')} instead of {version}"
            for name, version in ours.items()
            if facts.get(name) != version and (name == "curate" or "python" in facts)  # without curate none is known
        )
        for address, facts in theirs.items()
    }
    cure = "install the same in both, from one constraints.txt"
    _complain({a: w for a, w in wrong.items() if w}, VersionError, cure, "have other versions")


def check_sight(store: Store, said: Mapping[str, str]) -> None:
    """Raise StorageError for workers, by address, that said why they do not see the store."""
    cure = "give --store a folder that all machines share, or an object store"
    _complain({a: f"{why}: {store}" for a, why in said.items() if why}, StorageError, cure, "do not see the store")


def check_needs(said: Mapping[str, list[str]]) -> None:
    """Raise VersionError for workers, by address, that said what they lack of what a plan needs."""
    cure = "install the same in both, and put files where all machines see them"
    wrong = {address: ", ".join(what[:_SHOWN]) + _more(what) for address, what in said.items() if what}
    _complain(wrong, VersionError, cure, "lack what the recipe needs")


def check_here(store: Store, token: str) -> None:
    """In a worker, before its first task of a run: raise what would have been raised had it been there from the start."""
    if token in _suited:
        return
    from distributed import get_worker

    here = get_worker()
    address = str(here.address)
    check_sight(store, {address: sees(store, token)})
    asked = store.read_json(MARK) or {}
    check_versions({address: our_facts()}, asked["versions"])
    check_needs({address: lacking(Needs.load(asked["needs"]))})
    settle(here)
    near.use()
    _suited.add(token)


def execute(task: Task, name: str = "", *, alone: bool = True) -> tuple[Any, list[Work]]:
    """Run a task; its receipt, and what it took: of a bundle each of its tasks."""
    with metered(name, alone=alone) as meter:
        receipt = task.run()
        if not meter.works:
            meter.lap(task.key)
    return receipt, meter.works


def execute_on_worker(pickled: bytes) -> tuple[Any, list[Work]]:
    """The same on a worker."""
    from distributed import get_worker
    from distributed.protocol.pickle import loads

    here = get_worker()
    return execute(loads(pickled), str(here.address), alone=here.state.nthreads == 1)


def execute_there(token: str, store: Store, pickled: bytes) -> tuple[Any, list[Work]]:
    """The same on a worker that is not ours, once it is known to be fit for it: another curate may not know such a task."""
    check_here(store, token)
    return execute_on_worker(pickled)


def _complain(wrong: dict[str, str], kind: type[VersionError | StorageError], cure: str, what: str) -> None:
    if not wrong:
        return
    first = "; ".join(f"{address}: {why}" for address, why in sorted(wrong.items())[:_SHOWN])
    raise kind(f"workers of the cluster {what} ({first}{_more(list(wrong))})", cure=cure)


def _more(said: list[str]) -> str:
    return f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""


async def beside(question: Callable[..., Any], *what: Any) -> Any:
    """A worker's answer to what takes time, as digests of large models: in a thread, since its messages must go on."""
    return await asyncio.to_thread(question, *what)


def ask_versions() -> Any:
    """A function that says a worker's versions even where there is no curate: nothing of curate is needed to load it."""

    def facts() -> dict[str, str]:
        try:
            from curate.run.worker import our_facts as found
        except ImportError as error:
            return {"curate": f"absent ({error})"}
        return found()

    return facts
