"""A real S3 server on loopback, in a process of its own, and a proxy before it that can be slow, throttle and cut.

with S3Server() as server:                       # one for a whole session: see conftest.py's `s3_server`
    with Proxy(server.url, seed=1) as proxy:     # one for each test
        bucket = server.new_bucket()
        proxy.add(Fault("slow_down", first=3))   # 503 SlowDown to the first three requests
        curate.run(recipe, f"s3://{bucket}/run", env=settings(proxy.url))
        proxy.requests                           # every request that came, with what became of it
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, Self

from served import Served, serve, unused_name

_SLOW_DOWN: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)


def settings(url: str) -> dict[str, str]:
    """Environment by which a process finds the server, with keys that open nothing."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # What a developer's machine may have set.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class S3Server(Served):
    """moto's server, which keeps objects in its memory and answers If-None-Match as S3 does."""

    def __init__(self) -> None:
        super().__init__(__file__, {**os.environ, **settings("")})

    def new_bucket(self) -> str:
        """The name of a bucket that nobody has used."""
        name = unused_name()
        assert self.request("PUT", f"/{name}")[0] == 200
        return name

    def fill(self, place: str, number: int) -> None:
        """Put many small objects ``00000.json``, ``00001.json``, ... below BUCKET/FOLDER."""
        assert self.request("POST", f"/_fill/{place}/{number}")[0] == 200

    def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """A plain request, past every proxy. Status and body."""
        return request(self.url, method, path, body)


def request(url: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """A plain request on a connection of its own, tried once: moto checks no signatures. Status and body."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    try:
        signed = "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, Signature=none"
        connection.request(method, urllib.parse.quote(path, "/?&=%"), body, {"Authorization": signed})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


Kind = Literal["delay", "slow_down", "drop_before", "drop_after", "cut"]


@dataclass
class Fault:
    """What goes wrong with some requests.

    Attributes:
        kind: ``delay`` by ``seconds``; ``slow_down``: 503 SlowDown; ``drop_before``: the connection is cut and the server
            never heard of it; ``drop_after``: cut after the server has done what was asked; ``cut``: half of the answer's
            body comes, then nothing.
        first: only the first so many requests that match; None for all.
        share: of those, so many, drawn by the proxy's seed.
        methods, contains: which requests match: of these methods (none: any), with this text in path and query.
        seconds: of a delay.
    """

    kind: Kind
    first: int | None = None
    share: float = 1.0
    methods: tuple[str, ...] = ()
    contains: str = ""
    seconds: float = 0.05
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether it is about such a request."""
        return (not self.methods or method in self.methods) and self.contains in path


@dataclass
class Away(Fault):
    """The store goes away: from the ``after``-th request that matches on, whatever comes next is hit."""

    after: int = 1

    def matches(self, method: str, path: str) -> bool:
        """Whether enough have matched before."""
        away = self.after <= 0
        self.after -= super().matches(method, path)
        return away


@dataclass(frozen=True)
class Seen:
    """A request that came to the proxy: what was asked, the server's status (0: it never heard of it), what went wrong,
    bytes of the request's body and of the answer's."""

    method: str
    path: str
    status: int
    faults: tuple[Kind, ...] = ()
    sent: int = 0
    got: int = 0


@dataclass
class Proxy:
    """Passes HTTP requests on to a server, with faults. Threads of this process.

    Attributes:
        upstream: the server's URL.
        seed: of the draw of requests that a fault's ``share`` hits.
        requests: all requests so far, in the order in which they ended.
        bucket: a new one of the server's, where a fixture made one.
    """

    upstream: str
    seed: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)
    bucket: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, fault: Fault) -> Fault:
        """From now on, this too."""
        with self._lock:
            self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """No more faults."""
        with self._lock:
            self.faults.clear()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """While in it, every connection is cut before anything is heard."""
        fault = self.add(Fault("drop_before"))
        try:
            yield
        finally:
            with self._lock:
                if fault in self.faults:
                    self.faults.remove(fault)

    def put(self, key: str, data: bytes) -> bool:
        """Put an object into the bucket, past all faults; whether the server took it."""
        return request(self.upstream, "PUT", f"/{self.bucket}/{key}", data)[0] == 200

    def environment(self) -> dict[str, str]:
        """By which a child finds the server through this proxy."""
        return settings(self.url)

    def count(self, method: str = "", contains: str = "") -> int:
        """Requests so far of a method, with some text in path and query."""
        with self._lock:
            return sum((not method or r.method == method) and contains in r.path for r in self.requests)

    def chosen(self, method: str, path: str) -> list[Fault]:
        """The faults that hit this request."""
        with self._lock:
            hit = []
            for fault in self.faults:
                if not fault.matches(method, path) or (fault.first is not None and fault.hits >= fault.first):
                    continue
                if fault.share >= 1 or self._random.random() < fault.share:
                    fault.hits += 1
                    hit.append(fault)
            return hit

    def note(self, seen: Seen) -> None:
        """A request has ended."""
        with self._lock:
            self.requests.append(seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or went away, is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each body waits 40 ms, until the client has acknowledged its headers
    owner: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _pass_on(self) -> None:
        body = self._body()
        hit = self.owner.chosen(self.command, self.path)
        kinds = tuple(f.kind for f in hit)
        for fault in hit:
            if fault.kind == "delay":
                time.sleep(fault.seconds)
        if "drop_before" in kinds:
            self.owner.note(Seen(self.command, self.path, 0, kinds, len(body)))
            self._hang_up()
            return
        if "slow_down" in kinds:
            self.owner.note(Seen(self.command, self.path, 0, kinds, len(body)))
            self._answer(503, {"Content-Type": "application/xml"}, _SLOW_DOWN)
            return
        status, headers, answer = self._upstream(body)
        self.owner.note(Seen(self.command, self.path, status, kinds, len(body), len(answer)))
        if "drop_after" in kinds:
            self._hang_up()
        elif "cut" in kinds and answer:
            self._answer(status, headers, answer, len(answer) // 2)
            self._hang_up()
        else:
            self._answer(status, headers, answer)

    # The names that BaseHTTPRequestHandler looks for.
    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

    def _upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.owner.upstream).netloc, timeout=120)
        try:
            dropped = ("transfer-encoding", "expect", "connection", "content-length")
            headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
            connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, upto: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        size = len(body)
        if self.command == "HEAD":
            size = next((int(v) for k, v in headers.items() if k.lower() == "content-length"), 0)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:upto])
        self.wfile.flush()

    def _hang_up(self) -> None:
        # A reset, not an orderly end: linger for no time.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _fill(path: str, start: Any) -> list[bytes]:
    """``/_fill/BUCKET/FOLDER/NUMBER``: so many small objects at once, where one request each would take minutes."""
    from moto.s3.models import s3_backends

    _, _, bucket, *folder, number = path.split("/")
    backend = next(iter(s3_backends["123456789012"].values()))
    for n in range(int(number)):
        backend.put_object(bucket, f"{'/'.join(folder)}/{n:05d}.json", b"{}")
    start("200 OK", [("Content-Length", "0")])
    return []


def _serve() -> None:
    """The server process."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        disable_nagle_algorithm = True

        def log(self, *_: object) -> None:
            pass

    moto = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def application(environ: dict[str, Any], start: Any) -> Any:
        if environ["PATH_INFO"].startswith("/_fill/"):
            return _fill(environ["PATH_INFO"], start)
        if environ.get("HTTP_IF_NONE_MATCH"):
            # moto looks whether the object is there, and puts it, in two steps; S3 does so in one.
            with one_at_a_time:
                return moto(environ, start)
        return moto(environ, start)

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    serve(server.server_port, server.serve_forever)


if __name__ == "__main__":
    _serve()
