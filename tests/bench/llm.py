"""What the layer between rounds and an endpoint costs, and how well it keeps to what an endpoint allows.

* ``client-overhead 64``, ``500``: so many requests in flight to a server in a process of its own that answers after a
  while, through an Asker (limiter, budget, journal) and in a bare loop over AsyncOpenAI, in turns.
* ``journal 64``, ``500``: so many in flight: answers and the next attempts, noted and committed by one flush of the disk;
  the reference commits each alone.
* ``memory 1e6``: as many short answers through an Asker without HTTP; the peak of the process after a tenth, and of all.
* ``limiter ...``: a server that allows R requests a minute, as a bucket and in windows, declared, by its headers, or told
  by nothing but refusals: the share of R that was answered once it was warm, and the share that was refused.

Sizes: BENCH_REQUESTS (4000), BENCH_ANSWERS (1e6), BENCH_SECONDS (40, of each limiter).
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import openai

from curate.llm import client, limiter
from curate.llm.ask import Asker, Round
from curate.llm.journal import Journal, Reserve
from curate.llm.model import Budget, Model
from curate.llm.outcome import Reply
from curate.llm.request import Request
from tests.bench.measure import ROOT, Row, peak_mb

WORDS = "word " * 60
BUDGET = Budget(completion_tokens=10**12, dollars=1e9)


def requests(count: int, run: int) -> list[Request]:
    text = "Write a passage about loops for a student in the second year. " * 4
    return [Request(({"role": "user", "content": f"{text}{run}.{i}"},), "family", 0, 100) for i in range(count)]


# -- a server, in a process of its own ------------------------------------------------------------------------------


class _Quick(asyncio.Protocol):
    """One canned chat completion for whatever arrives, after a while: less work than any client has."""

    def __init__(self, reply: bytes, latency: float) -> None:
        self._reply, self._latency, self._got = reply, latency, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, self._reply)


async def _serve(latency: float) -> None:
    usage = {"prompt_tokens": 70, "completion_tokens": 60, "total_tokens": 130}
    choice = {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}
    whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    body = json.dumps(whole).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reply = head.encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Quick(reply, latency), "127.0.0.1", 0, backlog=1024)
    print(f"base_url: http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


@contextmanager
def process(*argv: str) -> Iterator[str]:
    """A server's base_url while it runs."""
    child = subprocess.Popen([sys.executable, "-m", *argv], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1]
    finally:
        child.kill()
        child.wait()


# -- overhead -------------------------------------------------------------------------------------------------------


def _bare(url: str, asked: list[Request], flying: int) -> float:
    """The loop that anybody writes: so many at once, answers kept in a list; seconds."""

    async def run() -> float:
        todo, answers = iter(asked), []

        async def work(api: openai.AsyncOpenAI) -> None:
            for request in todo:
                messages: Any = list(request.messages)
                reply = await api.chat.completions.create(model="m", messages=messages, max_tokens=request.max_tokens)
                answers.append(reply.choices[0].message.content)

        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as api:
            begin = time.perf_counter()
            await asyncio.gather(*(work(api) for _ in range(flying)))
            assert len(answers) == len(asked)
            return time.perf_counter() - begin

    return asyncio.run(run())


def _ours(url: str, asked: list[Request], flying: int, folder: Path) -> float:
    model = Model(model="m", base_url=url, concurrency=flying)
    with Asker({"m": model}, budget=BUDGET, journal=folder / "journal", local_log=folder / "log") as asker:
        begin = time.perf_counter()
        for first in range(0, len(asked), 100):
            asker.put(Round("m", tuple(asked[first : first + 100])))
        found = sum(len(closed.answers) for closed in iter(asker.take, None))
        taken = time.perf_counter() - begin
    assert found == asker.bought == len(asked)
    return taken


def overhead() -> Iterator[Row]:
    count = int(os.environ.get("BENCH_REQUESTS", "4000"))
    with process("tests.bench.llm", "serve", "0.05") as url, tempfile.TemporaryDirectory() as temporary:
        _ours(url, requests(500, -1), 64, Path(temporary))  # imports, and opens the limiter
        for flying in (64, 500):
            ours, bare, work = list[float](), list[float](), [0.0, 0.0]
            for run in range(5):
                asked, cpu = requests(count, run), time.process_time()
                with tempfile.TemporaryDirectory(dir=ROOT / "runs") as folder:
                    ours.append(_ours(url, asked, flying, Path(folder)))
                work[0] += time.process_time() - cpu
                cpu = time.process_time()
                bare.append(_bare(url, asked, flying))
                work[1] += time.process_time() - cpu
            yield _row(f"client-overhead {flying}", count, ours) | {
                "cores": 2,
                "cpu_us": work[0] / count / 5 * 1e6,
                "reference": "bare AsyncOpenAI loop",
                "reference_seconds": bare,
                "reference_per_s": count / statistics.median(bare),
                "reference_cpu_us": work[1] / count / 5 * 1e6,
                "ratio": statistics.median(bare) / statistics.median(ours),
            }


def _row(name: str, count: int, seconds: list[float]) -> Row:
    return {
        "name": name,
        "cores": 1,
        "clock": "wall",
        "count": count,
        "seconds": seconds,
        "per_s": count / statistics.median(seconds),
        "peak_rss_mb": peak_mb(),
    }


# -- journal --------------------------------------------------------------------------------------------------------


def journal() -> Iterator[Row]:
    reserve, cost = Reserve(300, 100, 0.001), Reserve(70, 60, 0.0001)

    def run(count: int, group: int) -> float:
        with tempfile.TemporaryDirectory(dir=ROOT / "runs") as folder, Journal(Path(folder) / "journal") as book:
            keys = [f"{i * 2654435761 % 2**64:032x}" for i in range(count)]
            begin = time.perf_counter()
            sent: list[int] = []
            for first in range(0, count + group, group):
                for attempt in sent:
                    book.answer(attempt, WORDS, "stop", cost, reserve, counted=True)
                sent = [book.send(key, "family", "m", 100, reserve) for key in keys[first : first + group]]
                book.commit()
            return time.perf_counter() - begin

    for group in (64, 500):
        grouped, alone = [run(50_000, group) for _ in range(3)], [run(200, 1) for _ in range(3)]
        yield _row(f"journal {group}", 50_000, grouped) | {
            "reference": "a flush for each row",
            "reference_per_s": 200 / statistics.median(alone),
            "ratio": 50_000 / statistics.median(grouped) / (200 / statistics.median(alone)),
        }


# -- memory ---------------------------------------------------------------------------------------------------------


class _Echo:
    """A transport that answers at once."""

    def __init__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, request: Request, max_tokens: int, key: str) -> Reply:
        await asyncio.sleep(0)
        return Reply("short answer", "stop", 9, 2)


def memory() -> Iterator[Row]:
    count = int(float(os.environ.get("BENCH_ANSWERS", "1e6")))
    client.Client = _Echo  # type: ignore[misc, assignment]
    models = {"m": Model(model="m", base_url="http://127.0.0.1:9/v1", concurrency=500)}
    # In memory, where there is such a place: this is not about the disk.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112
        Path("/proc/self/clear_refs").write_text("5")
        begin, taken, tenth = time.perf_counter(), 0, None
        with Asker(models, budget=BUDGET, journal=Path(folder) / "journal", local_log=Path(folder) / "log") as asker:
            put = 0
            while taken < count:
                while put < count and put < taken + 4000:
                    asker.put(Round("m", tuple(_short(i) for i in range(put, put + 100))))
                    put += 100
                closed = asker.take()
                assert closed is not None
                taken += len(closed.answers)
                if tenth is None and taken >= count // 10:
                    tenth = peak_mb()
        row = _row(f"memory {count:.0e}".replace("+0", ""), count, [time.perf_counter() - begin])
        yield row | {"peak_rss_mb_of_a_tenth": tenth, "ratio": (row["peak_rss_mb"] or 0) / (tenth or 1)}


def _short(i: int) -> Request:
    return Request(({"role": "user", "content": f"request {i}"},), "family", 0, 10)


# -- limiter --------------------------------------------------------------------------------------------------------


def limits() -> Iterator[Row]:
    seconds, rate = float(os.environ.get("BENCH_SECONDS", "40")), 1200.0
    for form, options in (("bucket", ("--bucket", "5")), ("windows", ("--window", "5"))):
        for how in ("declared", "headers", "refusals"):
            argv = ["--port", "0", "--requests-per-minute", str(rate), "--latency", "0.2", *options]
            argv += ["--silent"] if how == "refusals" else []
            with process("curate.llm.teacher", *argv) as url, tempfile.TemporaryDirectory() as folder:
                yield _limited(f"limiter {form}, {how}", url, rate, seconds, Path(folder), declared=how == "declared")


def _limited(name: str, url: str, rate: float, seconds: float, folder: Path, *, declared: bool) -> Row:
    model = Model(
        model="m", base_url=url, concurrency=64, requests_per_minute=rate if declared else None, timeout_seconds=30
    )
    times: deque[float] = deque()
    begin = time.monotonic()
    leave = lambda: time.monotonic() - begin > seconds  # noqa: E731
    with Asker({"m": model}, budget=BUDGET, journal=folder / "j", local_log=folder / "log", leave=leave) as asker:
        for i in range(int(rate / 60 * seconds * 2)):
            asker.put(Round("m", (_short(i),)))
        while asker.take() is not None:
            times.append(time.monotonic() - begin)
    # A bucket is full at first: what it gives away is no rate. After a third the limiter knows what it will know.
    warm = seconds / 3
    late = sum(warm < t <= seconds for t in times)
    refused = asker.accounts["errors"].get("rate_limited", 0)
    return _row(name, late, [seconds - warm]) | {
        "limit_per_minute": rate,
        "reference": "what the server allows",
        "reference_per_s": rate / 60,
        "ratio": late / (seconds - warm) / (rate / 60),
        "refused": refused / asker.accounts["sent"],
    }


def llm() -> Iterator[Row]:
    """Client overhead, journal, memory, limiter."""
    parts: tuple[Callable[[], Iterator[Row]], ...] = (overhead, journal, limits, memory)
    (ROOT / "runs").mkdir(exist_ok=True)
    named = os.environ.get("BENCH_PARTS", "").split()
    for part in parts:
        if not named or part.__name__ in named:
            limiter._limiters.clear()
            yield from part()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[2])))
