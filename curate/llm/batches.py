"""Requests that leave together as one batch (OpenAI's files and batches): half the price, and an answer within a day.

What is handed over within a moment is written to one file, uploaded, and submitted with a token in its metadata. Token
and members lie on the disk before the batch is made, its id before anybody waits for it: whoever comes after a kill finds
it by its id, or by its token at the endpoint, and reads it instead of submitting it again. What a batch that expired, was
cancelled or failed validation has no answer to costs nothing and may be asked again.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from curate.llm.batch_book import BatchBook, Place
from curate.llm.client import BY_STATUS, Client, read_chat, read_vector
from curate.llm.model import Model
from curate.llm.outcome import Failure, Reply
from curate.llm.request import Request
from curate.store.files import crash_point

__all__ = ["MOST_REQUESTS", "Batches"]

MOST_REQUESTS: Final = 50_000
"""Of one batch, as OpenAI has it; its files may have 200 MB."""
_MOST_BYTES: Final = 150_000_000
_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_MOMENT: Final = 1.0
"""Seconds without a further request after which those that were handed over leave."""
_LATER: Final = frozenset({"connect", "timeout", "dropped", "server_error", "rate_limited", "unavailable"})
"""What looking at a batch may fail with and still be tried again, for as long as it takes: the batch goes on."""


class Batches:
    """A transport to one endpoint; use as an async context manager, inside of that of its client.

    Args:
        note: is told of each batch that is submitted, or found again.
    """

    def __init__(self, model: Model, url: str, client: Client, book: BatchBook, note: Callable[[str], None]) -> None:
        self._model, self._url, self._client, self._book, self._note = model, url, client, book, note
        self._moment = min(_MOMENT, model.batch_seconds)
        # The batch that a request is in: those of earlier runs, and those of this one that are not over.
        self._batch: dict[Place, str] = {}
        self._requests: dict[Place, Request] = {}
        self._collected: dict[Place, None] = {}
        self._waiting: dict[Place, asyncio.Future[Reply | Failure]] = {}
        self._results: dict[Place, Reply] = {}
        self._watched: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._batch = self._book.newest(self._url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, request: Request, max_tokens: int, key: str) -> Reply | Failure:
        """One attempt, with those that leave at the same time; waits until its batch is over."""
        place = (key, max_tokens)
        if (known := self._results.pop(place, None)) is not None:
            return known
        waiting = self._waiting[place] = asyncio.get_running_loop().create_future()
        self._requests[place] = request
        token = self._batch.get(place)
        if token is None:
            self._collect([place])
        elif token not in self._watched:
            self._watched.add(token)
            self._start(self._resume(token))
        try:
            return await waiting
        finally:
            del self._waiting[place], self._requests[place]

    # -- submitting --------------------------------------------------------------------------------------------------

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The book can't be written, or a mistake of ours: whoever waits is told.
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(error)

    def _collect(self, places: Iterable[Place]) -> None:
        """Let them leave with the next batch."""
        self._collected.update(dict.fromkeys(places))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._moment, self._leave)

    def _leave(self) -> None:
        """Submit what was collected, in order, as few batches as can be."""
        collected, self._collected, self._timer = list(self._collected), {}, None
        lines: dict[str, list[tuple[Place, bytes]]] = {}
        for place in collected:
            if place in self._requests:
                path, line = self._line(place)
                lines.setdefault(path, []).append((place, line))
        for path, some in lines.items():
            batch: list[tuple[Place, bytes]] = []
            size = 0
            for place, line in some:
                if batch and (len(batch) == MOST_REQUESTS or size + len(line) > _MOST_BYTES):
                    self._start(self._submit(path, batch))
                    batch, size = [], 0
                batch.append((place, line))
                size += len(line)
            self._start(self._submit(path, batch))

    def _line(self, place: Place) -> tuple[str, bytes]:
        key, limit = place
        path, body = self._client.body(self._requests[place], limit)
        # The SDK's base_url ends in /v1; the file names whole paths.
        url = f"/v1{path}"
        return url, json.dumps({"custom_id": key, "method": "POST", "url": url, "body": body}).encode() + b"\n"

    async def _submit(self, path: str, batch: list[tuple[Place, bytes]]) -> None:
        places = [place for place, _ in batch]
        token = secrets.token_hex(16)
        self._book.begin(token, self._url, places)
        self._watched.add(token)
        self._batch.update(dict.fromkeys(places, token))
        api, id_ = self._client.api, None
        try:
            content = b"".join(line for _, line in batch)
            file = await api.files.create(file=("curate.jsonl", content), purpose="batch")
            crash_point("batch.before-create")
            made = await api.batches.create(
                input_file_id=file.id, endpoint=path, completion_window="24h", metadata={"curate": token}  # type: ignore[arg-type]
            )  # fmt: skip
            id_ = made.id
        except Exception as error:  # noqa: BLE001 - whatever an endpoint can cause
            failure = self._client.failure(error)
            # No answer to its creation: it may have been made all the same.
            if failure.kind in {"timeout", "dropped", "bad_reply"}:
                id_ = await self._look_for(token)
                failure = Failure("connect", failure.detail)
            if id_ is None:
                self._over(token, dict.fromkeys(places, failure))
                return
        crash_point("batch.before-id")
        self._book.made(token, id_)
        crash_point("batch.after-id")
        self._note(f"{self._model.model}: {len(places):,} requests are in batch {id_}")
        await self._watch(token, id_, places)

    async def _resume(self, token: str) -> None:
        """Go on with a batch of an earlier run."""
        places = self._book.members(token)
        id_ = self._book.id_of(token)
        if id_ is None and (id_ := await self._look_for(token)) is not None:
            self._book.made(token, id_)
        if id_ is None:
            # It was never made.
            for place in places:
                self._batch.pop(place, None)
            self._collect(place for place in places if place in self._waiting)
            return
        self._note(f"{self._model.model}: goes on with batch {id_}")
        await self._watch(token, id_, places)

    async def _look_for(self, token: str) -> str | None:
        """The id of the batch with this token in its metadata, if there is one at the endpoint."""

        async def find() -> str | None:
            async for one in self._client.api.batches.list(limit=100):
                if (one.metadata or {}).get("curate") == token:
                    return one.id
            return None

        found = await self._patiently(find)
        return found if isinstance(found, str) else None

    # -- waiting -----------------------------------------------------------------------------------------------------

    async def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What it gives, tried again for as long as the endpoint is only away; else the Failure."""
        while True:
            try:
                return await ask()
            except Exception as error:  # noqa: BLE001 - whatever an endpoint can cause
                failure = self._client.failure(error)
                if failure.kind not in _LATER:
                    return failure
                await asyncio.sleep(max(self._model.batch_seconds, failure.retry_after or 0.0))

    async def _watch(self, token: str, id_: str, places: list[Place]) -> None:
        """Wait until a batch is over, and hand its results to whom they are for."""
        while True:
            batch = await self._patiently(partial(self._client.api.batches.retrieve, id_))
            if isinstance(batch, Failure):
                # The account may not see it any more (auth), or it is gone: what it did is not known, and stays charged.
                gone = Failure("dropped", f"batch {id_}: {batch.detail}") if batch.kind == "not_found" else batch
                self._over(token, dict.fromkeys(places, gone))
                return
            if batch.status in _OVER:
                break
            await asyncio.sleep(self._model.batch_seconds)
        if batch.status == "failed":
            self._over(token, self._invalid(batch, places))
            return
        found: dict[str, Reply | Failure] = {}
        for file in (batch.output_file_id, batch.error_file_id):
            if file is not None:
                content = await self._patiently(partial(self._client.api.files.content, file))
                if isinstance(content, Failure):
                    lost = Failure("dropped", f"batch {id_}: {content.detail}")
                    self._over(token, dict.fromkeys(places, lost))
                    return
                found |= dict(self._read(line) for line in content.text.splitlines() if line.strip())
        missing = Failure("expired", f"batch {id_} is {batch.status} without an answer to it")
        self._over(token, {place: found.get(place[0], missing) for place in places})

    def _over(self, token: str, results: Mapping[Place, Reply | Failure]) -> None:
        for place, result in results.items():
            if self._batch.get(place) == token:
                del self._batch[place]
            waiting = self._waiting.get(place)
            if waiting is not None and not waiting.done():
                waiting.set_result(result)
            elif isinstance(result, Reply):
                self._results[place] = result

    def _invalid(self, batch: Any, places: list[Place]) -> dict[Place, Failure]:
        """Validation failed, and nothing of the batch was asked: lines that were found wrong are, the others may come again."""
        errors = list((batch.errors.data if batch.errors else None) or ())
        wrong = {error.line: f"{error.code}: {error.message}" for error in errors if error.line}
        whole = "; ".join(f"{error.code}: {error.message}" for error in errors if not error.line) or "validation failed"
        other = Failure("expired", "another line of its batch is wrong") if wrong else Failure("server_error", whole)
        return {
            place: Failure("refused_request", self._client.clean(wrong[number])) if number in wrong else other
            for number, place in enumerate(places, 1)
        }

    def _read(self, line: str) -> tuple[str, Reply | Failure]:
        """A line of a result file: the request's key, and what came of it."""
        try:
            value = json.loads(line)
            key, response, error = str(value["custom_id"]), value.get("response"), value.get("error")
        except (ValueError, TypeError, KeyError, AttributeError):
            return "", Failure("bad_reply", "a line of the batch's output is no result")
        if error:
            code, message = (error.get(name, "") if isinstance(error, dict) else error for name in ("code", "message"))
            # What was not begun when the day was over, or when it was cancelled.
            kind = "expired" if str(code) in {"batch_expired", "batch_cancelled"} else "server_error"
            return key, Failure(kind, self._client.clean(f"{code}: {message}"))
        status, body = (response or {}).get("status_code"), (response or {}).get("body")
        if status != 200:
            told = body.get("error", {}).get("message", "") if isinstance(body, dict) else body
            kind = BY_STATUS.get(status or 0, "server_error" if not status or status >= 500 else "refused_request")
            return key, Failure(kind, self._client.clean(f"HTTP {status}: {told}"))
        vector = isinstance(body, dict) and "data" in body
        outcome = read_vector(body) if vector else read_chat(body)
        if isinstance(outcome, Failure):
            outcome = Failure(outcome.kind, self._client.clean(outcome.detail))
        return key, outcome
