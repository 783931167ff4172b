"""The embedded OpenAI-compatible server: llama.cpp in a child process, on loopback, for one model."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import curate
from curate import environment
from curate.errors import EndpointError
from curate.llm.model import LOCAL_MODEL, Model
from curate.llm.weights import Progress, check, local_weights

__all__ = ["CONTEXT", "SLOTS", "KeptServer", "LocalServer"]

SLOTS: Final = 4
"""Requests the server works on at once."""

EMBEDDED: Final = 1024
"""Tokens of a text that the server embeds at once; longer ones are refused. Twice as many take a gigabyte more."""

CONTEXT: Final = 2048
"""Tokens of prompt and answer together that one slot holds; beyond that the server answers 400, or cuts."""


class LocalServer:
    """Context manager: weights found and checked, server started on entry; stopped for certain on exit.

    Attributes:
        embeddings: whether it serves ``/v1/embeddings`` (mean of the last layer over a text's tokens, length 1) or chat.
        base_url: ``http://127.0.0.1:PORT/v1`` while it runs.
        pid: of the child while it runs.
    """

    def __init__(
        self,
        model: Model,
        *,
        log: Path,
        progress: Progress | None = None,
        start_seconds: float = 120.0,
        embeddings: bool = False,
    ) -> None:
        self.model, self.log, self.progress, self.start_seconds = model, log, progress, start_seconds
        self.embeddings = embeddings
        self.base_url = ""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def __enter__(self) -> Self:
        if importlib.util.find_spec("xllamacpp") is None:
            raise EndpointError("the embedded server is not installed", cure="pip install xllamacpp, or set a base_url")
        weights = self._weights()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._child = self._spawn(weights, log)
            self.base_url = self._await_ready() + "/v1"
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _weights(self) -> Path:
        if self.model.model == LOCAL_MODEL:
            return local_weights(self.model.weights, progress=self.progress)
        # A model of the user's own: its hash is checked if the recipe states one.
        assert self.model.weights is not None
        return check(
            Path(self.model.weights).expanduser(),
            self.model.weights_sha256,
            cure=f"see `weights` of {self.model.model}",
        )

    def _spawn(self, weights: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        threads = self.model.threads or min(2, os.cpu_count() or 1)
        options = {
            "weights": weights.resolve(),
            "alias": self.model.model,
            "threads": threads,
            "slots": SLOTS,
            "context": EMBEDDED if self.embeddings else CONTEXT,
            "parent": os.getpid(),
        }
        arguments = ["--embeddings"] if self.embeddings else []
        arguments += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        env = environment.bare()
        # The package this very code is from, wherever the driver found it; -P: never from the working folder.
        env["PYTHONPATH"] = str(Path(curate.__file__).parents[1])
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "curate.llm.local_server", *arguments],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )

    def _await_ready(self) -> str:
        """The server's address once the model is loaded; raises EndpointError if it says otherwise, dies or hangs."""
        assert self._child is not None
        assert self._child.stdout is not None
        until = time.monotonic() + self.start_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            ready = selector.select(max(0.0, until - time.monotonic()))
        # One short line, written at once: readable means whole, or end of file.
        line = self._child.stdout.readline() if ready else b""
        message = json.loads(line) if line else {}
        if "url" in message:
            return str(message["url"])
        if not ready:
            cause = f"not ready after {self.start_seconds:.0f} s"
        elif "error" in message:
            cause = str(message["error"])
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(10)  # until its log is written
        else:
            cause = f"it ended with status {self._child.wait(10)}"
        raise EndpointError(
            f"the embedded server of '{self.model.model}' did not start: {cause}",
            place=str(self.log),
            cure="its log says more; less memory is needed with smaller weights, or set a base_url",
        )

    def _stop(self) -> None:
        child, self._child, self.base_url = self._child, None, ""
        if child is None:
            return
        # Nothing of the child's needs saving, and an answer in progress would delay SIGTERM: straight to SIGKILL.
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


class KeptServer:
    """Async context manager around a LocalServer: its address on entry, and it stops on exit.

    A thread of its own starts it, waits and stops it: a download takes minutes, and the kernel ends the child with the
    very thread that made it.
    """

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._ended = threading.Event()
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._keep, name="embedded server", daemon=True)

    async def __aenter__(self) -> str:
        self._thread.start()
        try:
            return await asyncio.wrap_future(self._ready)
        except BaseException:
            self._ended.set()  # who gave up waiting does not wait for a download
            raise

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        told = self._server.progress

        def progress(done: int, total: int, what: str) -> None:
            if self._ended.is_set():
                raise EndpointError("given up")
            if told is not None:
                told(done, total, what)

        self._server.progress = progress
        try:
            with self._server as server:
                self._say(server.base_url)
                self._ended.wait()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the server is told, whatever it is
            self._say(error)

    def _say(self, what: str | BaseException) -> None:
        if self._ready.set_running_or_notify_cancel() if not self._ready.done() else False:
            if isinstance(what, str):
                self._ready.set_result(what)
            else:
                self._ready.set_exception(what)
