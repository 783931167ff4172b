"""What a worker of a running cluster must be: the same curate, the same libraries, and able to see the store.

A cluster is somebody else's: its workers may have been started last month, in another environment, on machines
without the folder. Every worker is asked before the first task; one that comes later is asked at its first one. (Dask's
plugins are no place for it: one that fails is only logged, and it stays on somebody else's scheduler when we are killed.)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from curate.errors import CurateError, StorageError, VersionError
from curate.run.versions import library_versions
from curate.store.files import Store

MARK: Final = "workers.json"
"""A file of the store while a run uses a cluster: who reads in it what the driver wrote sees the same store."""
_SHOWN: Final = 3
_suited: set[str] = set()
"""Runs, by token, that this worker may work for."""


def our_facts() -> dict[str, str]:
    """Versions of what bears on results or on understanding a task."""
    import distributed

    import curate

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "curate": curate.__version__,
        "python": python,
        "distributed": distributed.__version__,
        **library_versions(),
    }


def put_token(store: Store, token: str) -> None:
    """What workers must find in the store."""
    store.replace_json(MARK, {"token": token})


def remove_token(store: Store) -> None:
    """The run is over."""
    with suppress(OSError):
        store.remove(MARK)


def sees(store: Store, token: str) -> str:
    """Empty, or why the store that a worker sees under this name is not the driver's."""
    try:
        found = store.read_json(MARK)
    except (OSError, CurateError) as error:
        return f"can't read it ({error})"
    if found is None:
        return "does not have it"
    return "" if found == {"token": token} else "has another one there"


def check_versions(theirs: Mapping[str, Mapping[str, str]], ours: Mapping[str, str]) -> None:
    """Raise VersionError for workers, by address, that have other versions than the driver."""
    wrong = {
        address: ", ".join(
            f"{name} {facts.get(name, 'absent')} instead of {version}"
            for name, version in ours.items()
            if facts.get(name) != version
        )
        for address, facts in theirs.items()
    }
    _complain({a: w for a, w in wrong.items() if w}, VersionError, "install the same in both, from one constraints.txt")


def check_sight(store: Store, said: Mapping[str, str]) -> None:
    """Raise StorageError for workers, by address, that said why they do not see the store."""
    cure = "give --store a folder that all machines share, or an object store"
    _complain({a: f"{why}: {store}" for a, why in said.items() if why}, StorageError, cure)


def check_here(store: Store, token: str, ours: Mapping[str, str]) -> None:
    """In a worker, before its first task of a run: raise what would have been raised had it been there from the start."""
    if token in _suited:
        return
    from distributed import get_worker

    address = str(get_worker().address)
    check_versions({address: our_facts()}, ours)
    check_sight(store, {address: sees(store, token)})
    _suited.add(token)


def _complain(wrong: dict[str, str], kind: type[VersionError | StorageError], cure: str) -> None:
    if not wrong:
        return
    first = "; ".join(f"{address}: {what}" for address, what in sorted(wrong.items())[:_SHOWN])
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    what = "have other versions" if kind is VersionError else "do not see the store"
    raise kind(f"workers of the cluster {what} ({first}{more})", cure=cure)


def ask_versions() -> Any:
    """A function that says a worker's versions even where there is no curate: nothing of curate is needed to load it."""

    def facts() -> dict[str, str]:
        try:
            from curate.run.worker import our_facts as found
        except ImportError as error:
            return {"curate": f"absent ({error})"}
        return found()

    return facts
