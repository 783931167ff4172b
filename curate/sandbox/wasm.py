"""The same programs in a WebAssembly interpreter, for platforms without the kernel's walls: ``pip install 'phi-curate[wasm]'``.

CPython 3.12 for WASI, pinned by SHA-256, run by wasmtime: no folder is handed in, so there are no files at all (its standard
library is inside it), no environment but the hash seed, no sockets, no processes, no threads; memory is capped, and time is
*fuel*, counted instructions: a program is out of time at the same instruction on every machine. A fresh interpreter for each
program, tens of milliseconds of it, some hundred with the harness: for what must be the same everywhere, not for speed.

A process of its own runs them, for the one thing that costs no fuel: waiting. It is ended by the clock on the wall.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from curate.errors import CurateError
from curate.sandbox.harness import Order
from curate.sandbox.runner import MODULES, Box, Limits, Outcome, Program, judged

SHA256: Final = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"
"""Of python-3.12.0.wasm: webassembly-language-runtimes, python/3.12.0+20231211-040d5a6."""
FUEL_PER_SECOND: Final = 2_000_000_000
"""What about a second of a core comes to."""
_START_FUEL: Final = 3_000_000_000
"""For the interpreter and the harness to start."""
_START_SECONDS: Final = 300
"""To compile the interpreter, once for each version of wasmtime on a machine."""
_BOOT: Final = "import sys; sys.path.append(sys.argv.pop(1)); from curate.sandbox.wasm_worker import main; main()"
_CURE: Final = "pip install 'phi-curate[wasm]'"


class WasmSandbox(Box):
    """Runs programs one at a time, as ``runner.Sandbox`` does; a context manager. Its process starts when it is needed.

    Raises CurateError on the first run where wasmtime or the interpreter is missing, or is another one.
    """

    def __init__(self, limits: Limits | None = None, modules: tuple[str, ...] = MODULES) -> None:
        super().__init__(limits, modules)
        self._worker: subprocess.Popen[bytes] | None = None
        self._owner = -1

    def close(self) -> None:
        """End its process. It may be used again."""
        with self._lock:
            self._end()

    def run(self, program: Program, *, alone: bool = False) -> Outcome:
        """Run a program to its end, or to the end of its limits; ``alone``: with twice the fuel, which no neighbour bears on."""
        seconds = self.limits.cpu_seconds * (2 if alone else 1)
        key, status = secrets.token_bytes(32), 64 + secrets.randbelow(60)
        asked = asdict(program)
        seed = asked.pop("seed")
        order = Order(**asked, names=tuple(f"_{secrets.token_hex(8)}" for _ in range(4)))
        guest = {
            "order": {**asdict(order), "imports": list(self.modules)}, "key": key.hex(), "exit": status, "seed": seed,
        }  # fmt: skip
        message = {
            "guest": guest,
            "fuel": _START_FUEL + FUEL_PER_SECOND * seconds,
            "memory": self.limits.memory_mb << 20,
            "output_bytes": self.limits.output_bytes,
        }
        with self._lock:
            try:
                reply = self._ask(message)
            except BaseException:
                self._end()
                raise
            if reply is None:
                self._end()
                return Outcome("stalled", f"waited for {self.limits.wall_seconds:g} seconds")
        if reply["fuel"]:
            return Outcome("timeout", f"more than {seconds} seconds' worth of fuel", variants=_settled(reply, key))
        ended, result, output = reply["status"], bytes.fromhex(reply["result"]), bytes.fromhex(reply["output"])
        return judged(ended == status, result, key, {"output": output})

    def _ask(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if self._worker is None or self._owner != os.getpid():
            self._start()
        assert self._worker
        assert self._worker.stdin
        data = json.dumps(message).encode()
        try:
            self._worker.stdin.write(struct.pack("=I", len(data)) + data)
            return self._receive(self.limits.wall_seconds)
        except OSError:
            return None

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        named = os.environ.get("XDG_CACHE_HOME")
        cache = (Path(named) if named else Path.home() / ".cache") / "curate" / "wasm"
        paths = [str(p) for p in sys.path if p]
        self._worker = subprocess.Popen(
            [sys.executable, "-P", "-B", "-c", _BOOT, root, json.dumps({"cache": str(cache), "sha256": SHA256, "path": paths})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, start_new_session=True, bufsize=0,
        )  # fmt: skip
        self._owner = os.getpid()
        said = self._receive(_START_SECONDS)
        if said is None or said["why"]:
            self._end()
            raise CurateError(f"the wasm sandbox did not start ({said['why'] if said else 'no answer'})", cure=_CURE)

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None when there is none in time, or no process any more."""
        deadline = time.monotonic() + seconds
        head = self._read(4, deadline)
        body = self._read(struct.unpack("=I", head)[0], deadline) if head else None
        return cast("dict[str, Any]", json.loads(body)) if body else None

    def _read(self, size: int, deadline: float) -> bytes | None:
        assert self._worker
        assert self._worker.stdout
        data, watched = b"", select.poll()
        watched.register(self._worker.stdout, select.POLLIN)
        while len(data) < size:
            if not watched.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            part = os.read(self._worker.stdout.fileno(), size - len(data))
            if not part:
                return None
            data += part
        return data

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if self._owner == os.getpid():
            worker.kill()
            worker.wait()
        else:
            worker.returncode = 0
        for pipe in (worker.stdin, worker.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


def _settled(reply: dict[str, Any], key: bytes) -> Any:
    """The variants that came to their end before the fuel did."""
    return judged(True, bytes.fromhex(reply["result"]), key, {}).variants
