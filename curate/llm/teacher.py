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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Literal, Self

from curate.fingerprint import fingerprint
from curate.llm.embedding import encode

__all__ = ["DIMENSIONS", "Call", "Say", "Script", "Teacher", "bag_of_words", "default_script"]

DIMENSIONS: Final = 64
"""Length of its embeddings where a request does not name one."""

Fault = Literal["", "drop", "cut_body", "drip", "html", "garbage", "no_choices"]


@dataclass(frozen=True)
class Call:
    """A request as the server sees it.

    Attributes:
        key: the X-Client-Request-Id that curate sends (its journal's key), else 32 hex digits of the body without
            its limit: equal for a retry.
        nth: how many requests with this key came before.
        body: the JSON body.
        embeddings: whether it was sent to ``/v1/embeddings``.
        authorization: the header, to test that keys go where they should, and nowhere else.
    """

    key: str
    nth: int
    body: Mapping[str, Any]
    authorization: str
    embeddings: bool = False

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        given = self.body.get("input", "")
        return [str(text) for text in given] if isinstance(given, list) else [str(given)]

    @property
    def prompt(self) -> str:
        if self.embeddings:
            return "\n".join(self.texts)
        return "\n".join(str(m.get("content", "")) for m in self.body.get("messages", []))

    @property
    def max_tokens(self) -> int:
        return int(self.body.get("max_tokens") or self.body.get("max_completion_tokens") or 1024)


@dataclass(frozen=True)
class Say:
    """What to answer. Words stand for tokens: an answer is cut after ``max_tokens`` of them.

    To a request for embeddings the answer is a vector of each text (see ``bag_of_words``), whatever ``text`` is.

    Attributes:
        status: of HTTP; other than 200 it comes with ``text`` as the error's message.
        latency: seconds before anything is sent.
        fault: ``drop`` resets the connection, ``cut_body`` ends it early, ``drip`` sends a byte every tenth of a second,
            ``html`` is a page with status 200, ``garbage`` is no JSON, ``no_choices`` is JSON of another shape.
        raw: a body to send as it is, with status 200.
        vectors: in place of those that the texts would get.
    """

    text: str = ""
    finish_reason: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    fault: Fault = ""
    raw: bytes = b""
    code: str | None = None
    usage: bool = True
    refusal: bool = False
    vectors: Sequence[Sequence[float]] | None = None


Script = Callable[[Call], Say]


class Teacher:
    """Context manager: serves on loopback from a thread.

    Attributes:
        base_url: ``http://127.0.0.1:PORT/v1``.
        received: requests by key, counted when they arrive.
        answered: requests by key, counted when a 200 was written without an error.
        peak: most requests served at one moment.
    """

    def __init__(self, script: Script | None = None, *, port: int = 0) -> None:
        self.script = script or default_script
        self.received: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.peak = self._active = 0
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
        self._send(200, json.dumps({"object": "list", "data": [{"id": "teacher", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        teacher = self.server.teacher
        call = teacher.arrived(
            json.loads(raw),
            self.headers.get("x-client-request-id", ""),
            self.headers.get("authorization", ""),
            embeddings=self.path.split("?")[0].endswith("/embeddings"),
        )
        answered = False
        try:
            say = teacher.script(call)
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


# -- the default script ------------------------------------------------------------------------------------------

# (name, signature, docstring, body, a body that is wrong, asserts)
_EXERCISES: Sequence[tuple[str, str, str, str, str, Sequence[str]]] = (
    ("count_over", "numbers, limit", "how many of `numbers` are greater than `limit`",
     "return sum(1 for number in numbers if number > limit)", "return len(numbers)",
     ("{f}([1, 5, 9], 4) == 2", "{f}([], {n}) == 0", "{f}([{n}], {n}) == 0")),
    ("shift_all", "numbers", "a list with {n} added to each of `numbers`",
     "return [number + {n} for number in numbers]", "return [number + {n} + 1 for number in numbers]",
     ("{f}([0, 1]) == [{n}, {n} + 1]", "{f}([]) == []")),
    ("every_other", "text", "every second character of `text`, from the first",
     "return text[::2]", "return text[1::2]",
     ("{f}('abcde') == 'ace'", "{f}('') == ''", "{f}('x') == 'x'")),
    ("longest_word", "sentence", "the longest word of `sentence`, the first of equals",
     "return max(sentence.split(), key=len, default='')", "return min(sentence.split(), key=len, default='')",
     ("{f}('a bird sings') == 'sings'", "{f}('') == ''", "{f}('one two') == 'one'")),
)  # fmt: skip


def default_script(call: Call) -> Say:
    """Plausible answers by what the prompt asks for: a score, an exercise, else a passage."""
    if call.embeddings:
        return Say()
    prompt = call.prompt.lower()
    # The key, not the prompt: draws of one prompt get different answers, as they would from a model.
    dice = int(fingerprint(call.key)[:12], 16)
    if "score" in prompt or "rate " in prompt:
        return Say(f"The extract was read with a student in mind.\n\nEducational score: {dice % 6}")
    if dice % 23 == 0:
        return Say("I'm sorry, but I can't help with that.", refusal=dice % 2 == 0)
    if "exercise" in prompt or "function" in prompt:
        asked = re.findall(r"function `(\w+)`", call.prompt)
        return _exercise(dice, asked[-1] if asked else "")
    return Say(_passage(call.prompt, dice))


def _exercise(dice: int, asked: str) -> Say:
    base, arguments, what, right, wrong, asserts = _EXERCISES[dice % len(_EXERCISES)]
    number = 2 + dice // 7 % 90
    name, variant = asked or f"{base}_{number}", dice // 11 % 10
    code = f'def {name}({arguments}):\n    """Return {what}."""\n    {wrong if variant == 0 else right}\n\n'
    code += "assert True\n" if variant == 1 else "".join(f"assert {line}\n" for line in asserts)
    # {f} and {n} only: other braces in the templates would be Python's own.
    code = code.replace("{f}", name).replace("{n}", str(number))
    if variant == 2:
        return Say(f"```python\n{code[: len(code) // 2]}", finish_reason="length")
    return Say(f"{'Sure! Here it is.' if variant == 3 else ''}\n```python\n{code}```\n".lstrip())


def _passage(prompt: str, dice: int) -> str:
    words = [w.strip(".,:;!?\"'`") for w in prompt.split() if len(w) > 4] or ["programming"]
    topic = words[dice % len(words)]
    name = f"value_{dice % 97}"
    return (
        f"# About {topic}\n\nA program is easier to read when each part has one task. Take {topic} as an example: we "
        f"give the idea a name, say what goes in and what comes out, and only then write it down.\n\n"
        f"```python\n{name} = [n * {dice % 9 + 2} for n in range({dice % 5 + 3})]\nprint({name})\n```\n\n"
        f"The list above is built in one line. Change the factor, predict the result, then run it: a wrong guess about "
        f"{topic} teaches more than a right one.\n"
    )


def main() -> None:
    """Serve the default script until interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()
    with Teacher(port=args.port) as teacher, contextlib.suppress(KeyboardInterrupt):
        print(f"base_url: {teacher.base_url}", flush=True)  # noqa: T201  # a command of its own
        teacher.wait()


if __name__ == "__main__":
    main()
