"""A scripted teacher: a real OpenAI-compatible HTTP server on loopback, for tests, documentation and dry runs.

What it answers, and what goes wrong, is a function of the request. ``python -m curate.llm.teacher --port 8080`` runs
one whose answers are plausible and, on purpose, sometimes wrong, vacuous, cut or refused; they are a pure function of
the messages, so a run against it can be repeated anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from curate.fingerprint import fingerprint
from curate.llm.embedding import encode
from curate.llm.script import Call, Say, Script, default_script, repeating, troubled
from curate.llm.teacher_batches import Batching, BatchServer

__all__ = [
    "DIMENSIONS", "Allowance", "Batching", "Call", "Say", "Script", "Teacher", "bag_of_words", "default_script", "repeating", "troubled",
]  # fmt: skip

DIMENSIONS: Final = 64
"""Length of its embeddings where a request does not name one."""


@dataclass(frozen=True)
class Allowance:
    """What a server takes a minute; None: any number.

    Attributes:
        window: seconds of the windows in which it counts; 0: a bucket that fills evenly.
        bucket: seconds' worth that a bucket holds.
        silent: whether it keeps the headers to itself that say what is left (``x-ratelimit-...``).
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    window: float = 0.0
    bucket: float = 60.0
    silent: bool = False


class _Meter:
    """One limit of an Allowance, as time goes by."""

    def __init__(self, per_minute: float, window: float, bucket: float) -> None:
        self.rate, self.window = per_minute / 60.0, window
        self.most = self.rate * (window or bucket)
        self.left, self._at = self.most, 0.0

    def fill(self, now: float) -> None:
        if not self.window:
            self.left = min(self.most, self.left + self.rate * (now - self._at))
        elif now // self.window > self._at // self.window:
            self.left = self.most
        self._at = now

    def reset(self, now: float) -> float:
        """Seconds until all of it is there again."""
        return self.window - now % self.window if self.window else (self.most - self.left) / self.rate

    def wait(self, now: float, cost: float) -> float:
        """Seconds until there is so much; 0 if there is."""
        if self.left >= min(cost, self.most):
            return 0.0
        return self.reset(now) if self.window else (min(cost, self.most) - self.left) / self.rate


class Teacher:
    """Context manager: serves on loopback from a thread; with an ``allowance`` it answers 429 to what is more.

    Attributes:
        base_url: ``http://127.0.0.1:PORT/v1``.
        received: requests by key, counted when they arrive.
        answered: requests by key, counted when a 200 was written without an error.
        peak: most requests served at one moment.
    """

    def __init__(self, script: Script | None = None, *, port: int = 0, allowance: Allowance | None = None) -> None:
        self.script = script or default_script
        allowed = allowance or Allowance()
        limits = {"requests": allowed.requests_per_minute, "tokens": allowed.tokens_per_minute}
        self._meters = {
            name: _Meter(limit, allowed.window, allowed.bucket) for name, limit in limits.items() if limit is not None
        }
        self._silent = allowed.silent
        self.received: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.peak = self._active = 0
        self.batches = BatchServer(self._batched)
        self._mutex = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.teacher = self
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Serve until interrupted."""
        self._thread.join()

    def arrived(self, body: Mapping[str, Any], key: str, authorization: str, *, embeddings: bool = False) -> Call:
        key = key or fingerprint({k: v for k, v in body.items() if k not in {"max_tokens", "max_completion_tokens"}})
        with self._mutex:
            call = Call(key, self.received[key], body, authorization, embeddings)
            self.received[key] += 1
            self.calls.append(call)
            self._active += 1
            self.peak = max(self.peak, self._active)
        return call

    def admit(self, call: Call) -> tuple[float, dict[str, str]]:
        """Seconds for which a request is put off, 0 if it is let through, and the headers that say so."""
        costs = {"requests": 1.0, "tokens": call.max_tokens + len(call.prompt) / 4}
        headers: dict[str, str] = {}
        with self._mutex:
            now = time.monotonic()
            for meter in self._meters.values():
                meter.fill(now)
            wait = max((meter.wait(now, costs[name]) for name, meter in self._meters.items()), default=0.0)
            for name, meter in self._meters.items():
                meter.left -= 0.0 if wait else min(costs[name], meter.most)
                headers[f"x-ratelimit-limit-{name}"] = f"{meter.rate * 60:.0f}"
                headers[f"x-ratelimit-remaining-{name}"] = f"{meter.left:.0f}"
                headers[f"x-ratelimit-reset-{name}"] = f"{meter.reset(now) * 1000:.0f}ms"
        headers = {} if self._silent else headers
        return wait, headers | ({"retry-after-ms": f"{wait * 1000:.0f}"} if wait else {})

    def _batched(self, body: dict[str, Any], key: str, url: str) -> tuple[int, Any]:
        """Status and body of the answer to a request of a batch."""
        call = self.arrived(body, key, "", embeddings=url.endswith("/embeddings"))
        say = self.script(call)
        status = 500 if say.fault else say.status
        self.left(call, answered=status == 200)
        if status != 200:
            return status, {"error": {"message": say.text or f"scripted {status}", "code": say.code}}
        return 200, _embeddings(call, say) if call.embeddings else _completion(call, say)

    def left(self, call: Call, *, answered: bool) -> None:
        with self._mutex:
            self._active -= 1
            self.answered[call.key] += answered


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    teacher: Teacher

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients here are killed on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: in two, Nagle's algorithm adds 40 ms to every answer
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name for it
        """Say nothing."""

    def do_GET(self) -> None:
        if (reply := self.server.teacher.batches.handle("GET", self.path, "", b"")) is not None:
            self._send(*reply)
            return
        self._send(200, json.dumps({"object": "list", "data": [{"id": "teacher", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        teacher = self.server.teacher
        kind = self.headers.get("content-type", "")
        if (reply := teacher.batches.handle("POST", self.path, kind, raw)) is not None:
            self._send(*reply)
            return
        call = teacher.arrived(
            json.loads(raw),
            self.headers.get("x-client-request-id", ""),
            self.headers.get("authorization", ""),
            embeddings=self.path.split("?")[0].endswith("/embeddings"),
        )
        answered = False
        try:
            wait, headers = teacher.admit(call)
            say = Say("too many", status=429) if wait else teacher.script(call)
            say = replace(say, headers={**say.headers, **headers}) if headers else say
            time.sleep(say.latency)
            self._say(call, say)
            answered = say.status == 200 and not say.fault
        finally:
            teacher.left(call, answered=answered)

    def _say(self, call: Call, say: Say) -> None:
        if say.fault == "drop":
            # Zero linger: close() sends a reset, as a crashed server does.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif say.fault == "html":
            self._send(200, b"<html><body>Sign in to the hotel's network</body></html>", kind="text/html")
        elif say.fault == "garbage":
            self._send(200, b'{"choices": [{"mess')
        elif say.fault == "no_choices":
            self._send(200, b'{"object": "something else"}')
        elif say.raw:
            self._send(200, say.raw)
        elif say.status != 200:
            error = {"error": {"message": say.text or f"scripted {say.status}", "code": say.code, "type": "scripted"}}
            self._send(say.status, json.dumps(error).encode(), headers=say.headers)
        else:
            body = json.dumps(_embeddings(call, say) if call.embeddings else _completion(call, say)).encode()
            missing = {"cut_body": len(body) // 2, "drip": len(body)}.get(say.fault, 0)
            self._send(200, body, headers=say.headers, missing=missing)
            for byte in body if say.fault == "drip" else b"":
                time.sleep(0.1)
                self.connection.sendall(bytes([byte]))

    def _send(
        self,
        status: int,
        body: bytes,
        *,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        missing: int = 0,
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) - missing])
        self.wfile.flush()
        if missing:
            self.close_connection = True


def _completion(call: Call, say: Say) -> dict[str, Any]:
    text, finish = _cut(say.text, call.max_tokens)
    finish = finish or say.finish_reason
    message: dict[str, Any] = {"role": "assistant", "content": None if say.refusal else text}
    if say.refusal:
        message["refusal"] = text
    reply = {
        "id": call.key,
        "object": "chat.completion",
        "created": 0,
        "model": call.body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if say.usage:
        counts = (len(call.prompt.split()), len(text.split()))
        reply["usage"] = dict(
            zip(("prompt_tokens", "completion_tokens", "total_tokens"), (*counts, sum(counts)), strict=True)
        )
    return reply


def _embeddings(call: Call, say: Say) -> dict[str, Any]:
    vectors = say.vectors
    if vectors is None:
        vectors = [bag_of_words(text, int(call.body.get("dimensions") or DIMENSIONS)) for text in call.texts]
    base64 = call.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": encode(v) if base64 else list(v)}
        for i, v in enumerate(vectors)
    ]
    reply: dict[str, Any] = {"object": "list", "data": data, "model": call.body.get("model", "")}
    if say.usage:
        words = len(call.prompt.split())
        reply["usage"] = {"prompt_tokens": words, "total_tokens": words}
    return reply


def bag_of_words(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 in which each lower-case word counts, with a sign, in the place that its hash names.

    So texts with the same words lie near each other, and a head can learn from them what it could from a real model's.
    """
    places = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        dice = zlib.crc32(word.encode())
        places[dice // 2 % dimensions] += 1.0 if dice % 2 else -1.0
    length = math.sqrt(sum(p * p for p in places)) or 1.0
    return [p / length for p in places]


def _cut(text: str, words: int) -> tuple[str, str]:
    """The text within its limit, with its white space, and ``length`` if it was cut."""
    position = 0
    for count, word in enumerate(text.split()):
        if count == words:
            return text[:position], "length"
        position = text.index(word, position) + len(word)
    return text, ""


def main() -> None:
    """Serve the default script until interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8080, help="0: a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--trouble", action="append", default=[], metavar="NAME=SHARE", help="drop=0.02, ...")
    parser.add_argument("--distinct", type=int, help="so many different answers to each prompt")
    parser.add_argument("--requests-per-minute", type=float, help="more are answered with 429")
    parser.add_argument("--tokens-per-minute", type=float, help="the same of tokens, counted as a request comes in")
    parser.add_argument("--window", type=float, default=0.0, help="count in windows of so many seconds")
    parser.add_argument("--bucket", type=float, default=60.0, help="else a bucket, which holds so many seconds' worth")
    parser.add_argument("--silent", action="store_true", help="no headers that tell what is left")
    args = parser.parse_args()
    script = repeating(default_script, args.distinct) if args.distinct else default_script
    script = troubled(script, {name: float(share) for name, _, share in (t.partition("=") for t in args.trouble)})
    late = args.latency
    allowance = Allowance(
        args.requests_per_minute, args.tokens_per_minute, args.window, args.bucket, silent=args.silent
    )
    served = Teacher(lambda call: _later(script(call), late), port=args.port, allowance=allowance)
    with served as teacher, contextlib.suppress(KeyboardInterrupt):
        print(f"base_url: {teacher.base_url}", flush=True)  # noqa: T201  # a command of its own
        teacher.wait()


def _later(say: Say, seconds: float) -> Say:
    return replace(say, latency=say.latency + seconds) if seconds else say


if __name__ == "__main__":
    main()
