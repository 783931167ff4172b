"""How receipts come back: those that are done at once are fetched at once, and none is held up, or lost, for another's sake."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from curate.run import flights
from curate.run.flights import Landings, Outcome


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
        pass
    landings.add([*map(Future, "bc")])
    assert {key: outcome.ended for key, outcome in landings.next(10)} == {"b": True, "c": True}
    assert {key: (outcome.lost, type(outcome.error)) for key, outcome in landings.next(10)} == {
        "a": (True, TimeoutError)
    }
