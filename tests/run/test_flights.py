"""How receipts come back: those that are done at once are fetched at once, and none is held up, or lost, for another's sake."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.run import flights
from curate.run.bundle import Bundle
from curate.run.flights import Landings, Outcome
from curate.run.task import Task
from curate.store.files import Store


class Future:
    """A future of Dask's, as far as it is asked."""

    def __init__(self, key: str, error: Exception | None = None) -> None:
        self.key, self._error = key, error
        self.status = "error" if error else "finished"

    async def _exception(self) -> Exception | None:
        return self._error


class Client:
    """Has the receipts of all but those that are lost; of some they never come."""

    def __init__(self, lost: str = "", never: str = "") -> None:
        self._lost, self._never = lost, never
        self.asked: list[str] = []
        self.loop = self
        self._running = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._running.run_forever)
        self._thread.start()

    def add_callback(self, call: Any, *what: Any) -> None:
        self._running.call_soon_threadsafe(call, *what)

    async def gather(self, futures: list[Future], asynchronous: bool) -> list[str]:
        assert asynchronous
        keys = "".join(future.key for future in futures)
        self.asked.append(keys)
        if set(keys) & set(self._never):
            await asyncio.sleep(3600)
        if set(keys) & set(self._lost):
            raise KeyError(keys)
        return [f"receipt of {key}" for key in keys]

    def close(self) -> None:
        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._running).result(10)
        self._running.call_soon_threadsafe(self._running.stop)
        self._thread.join(10)
        self._running.close()


@pytest.fixture
def clients() -> Iterator[Any]:
    made: list[Client] = []

    def make(**how: str) -> Client:
        made.append(Client(**how))
        return made[-1]

    yield make
    for client in made:
        client.close()


def landed(landings: Landings, number: int) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    while len(found) < number:
        some = landings.next(10)
        assert some, "none came"
        found |= dict(some)
    assert landings.next(0.01) == []
    return found


def test_receipts_come_together(clients: Any) -> None:
    """Of a hundred that are done one request; a task's own error needs none."""
    client, failed = clients(), ValueError("its own")
    landings = Landings(client)
    landings.add([*map(Future, "abcdefghij"), Future("k", failed)])
    found = landed(landings, 11)
    assert client.asked == ["abcdefghij"]
    assert found["c"] == Outcome("receipt of c", ended=True)
    assert found["k"] == Outcome(error=failed)


def test_one_that_is_lost_takes_no_other_along(clients: Any) -> None:
    """Where a request fails each is asked for alone, and the one that can't be had is said to be lost."""
    client = clients(lost="b")
    landings = Landings(client)
    landings.add([*map(Future, "abc")])
    found = landed(landings, 3)
    assert (found["a"].ended, found["c"].ended) == (True, True)
    assert found["b"].lost
    assert isinstance(found["b"].error, KeyError)
    assert sorted(client.asked) == ["a", "abc", "b", "c"]


def test_one_that_does_not_come_holds_up_no_other(clients: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is gone may have it: what is done meanwhile is fetched beside it, and in the end it is lost."""
    monkeypatch.setattr(flights, "_SLOW_SECONDS", 0.05)
    monkeypatch.setattr(flights, "RESULT_SECONDS", 1.0)
    client = clients(never="a")
    landings = Landings(client)
    landings.add([Future("a")])
    while not client.asked:
        time.sleep(0.001)
    landings.add([*map(Future, "bc")])
    found = landed(landings, 3)
    assert [*found] == ["b", "c", "a"]
    assert found["b"].ended and found["c"].ended
    assert found["a"].lost and isinstance(found["a"].error, TimeoutError)


def test_one_whose_worker_dies_as_it_is_done_is_waited_for(clients: Any) -> None:
    """Dask does it again; that is no lost scheduler."""

    class Again(Future):
        status = "lost"
        waited = 0

        def __init__(self, key: str) -> None:
            self.key = key

        async def _exception(self) -> None:
            self.waited += 1
            self.status = ("lost", "pending", "finished")[self.waited - 1]

    landings = Landings(clients())
    landings.add([Again("a")])
    assert landed(landings, 1) == {"a": Outcome("receipt of a", ended=True)}


def test_messages_are_of_so_many_tasks(tmp_path: Path) -> None:
    """Those in bundles count, too."""
    one = Task(Store(tmp_path), "f", "k")
    many = Bundle(one.store, "f", "b", (one,) * 64)
    flown = [flights.Flight(task, task) for task in (*[one] * 1500, *[many] * 40)]
    lots = list(flights._messages(flown))
    assert list(itertools.chain.from_iterable(lots)) == flown
    sizes = [sum(flight.sent.commits for flight in lot) for lot in lots]
    assert max(sizes) <= flights._MESSAGE
    assert min(sizes[:-1]) > flights._MESSAGE - 64
    assert [*flights._messages([])] == []
