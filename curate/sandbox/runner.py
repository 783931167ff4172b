"""Running hostile Python: ``Sandbox.run(Program) -> Outcome``, thousands of times, from any thread of any process.

Time is CPU time: a program is out of time after ``cpu_seconds`` of it, however busy the machine is. Only a program
that waits for ever, or a machine that gives it no CPU, meets the clock on the wall; that is the status ``stalled``,
which says nothing about the program and may be tried again.

What an outcome depends on: the program, its seed, the limits, the Python. The seed is the hash seed and the random
seed; addresses are not randomised where the kernel allows. Time of day and getrandom are as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, cast, get_args

from curate.errors import CurateError
from curate.sandbox import wire
from curate.sandbox.harness import FIELDS, Order
from curate.sandbox.turns import Turns
from curate.sandbox.zygote import OUT_OF_MEMORY, PIECE_BYTES, SEAL_BYTES
from curate.spent import program as spent_by_program

Status = Literal[
    "ok",
    "assertion",
    "exception",
    "import",
    "unlisted",
    "syntax",
    "forbidden",
    "memory",
    "timeout",
    "crashed",
    "stalled",
]
_OWN_WORD: Final = frozenset(get_args(Status)) - {"crashed", "stalled"}

_MODULES: Final = """
    abc array ast base64 binascii bisect builtins calendar cmath collections collections.abc colorsys contextlib
    copy csv dataclasses datetime decimal difflib enum errno fractions functools hashlib heapq hmac html inspect io
    itertools json keyword locale logging math numbers operator os os.path pprint queue random re reprlib secrets
    statistics string struct sys textwrap threading time timeit traceback types typing unicodedata unittest
    urllib.parse uuid warnings weakref zlib zoneinfo __future__ encodings.idna linecache
"""
MODULES: Final = tuple(sorted(_MODULES.split()))
"""What programs may import. A child behind the walls opens no files, so the zygote imports these before."""

_START_SECONDS: Final = 60
_LAST_FIELDS: Final = 8
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from curate.sandbox.zygote import main; sys.path.pop(); main()"
)


@dataclass(frozen=True)
class Limits:
    """What one program may use. The wall clock is generous: it is there for programs that wait for ever."""

    memory_mb: int = 256
    cpu_seconds: int = 2
    wall_seconds: float = 30.0
    output_bytes: int = 4096

    def __post_init__(self) -> None:
        if self.memory_mb < 64 or self.cpu_seconds < 1 or self.wall_seconds <= self.cpu_seconds:
            raise CurateError(
                f"sandbox limits make no sense: {self}",
                cure="take at least 64 MB, 1 CPU second and more wall time than CPU time",
            )


@dataclass(frozen=True)
class Program:
    """Python source to run.

    Attributes:
        code: a module, or a text with fenced Python blocks; see ``parts`` for how tests in it are found and called.
        tests: more of the same, run after ``code`` in the same module; its lines count on from those of ``code``.
        stub: one of ``harness.STUBS`` to run it with every solution body replaced; "" to run it as it is.
        seed: hash seed and random seed. Each seed in use costs a process.
        needs_tests: don't run it at all without a real function and an assert.
        steps: count rounds of loops and calls of functions; with a number above 0 it ends after so many: ``timeout``.
        variants: run its variants instead, one after the other in one process: each stub (unless not ``stubs``) until one
            passes, then at most ``mutants`` of its mutants.
        after: variants that need not be run again.
    """

    code: str
    tests: str = ""
    stub: str = ""
    seed: int = 0
    needs_tests: bool = False
    steps: int | None = None
    variants: bool = False
    stubs: bool = True
    mutants: int = 0
    after: int = 0


@dataclass(frozen=True)
class Variant:
    """How one variant went: its number, what it is in a few words, a status; "" for one that did not come to its end."""

    number: int
    what: str
    status: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a program went.

    Attributes:
        status: ok, or the way in which it failed: ``assertion``; another ``exception``; ``import`` of what is not
            there; ``unlisted``, an import of what is there and not on offer; ``syntax``; something ``forbidden``; out of
            ``memory``; ``timeout`` (CPU, steps); ``crashed`` (a signal, an exit before the end, a forged result);
            ``stalled`` (wall clock or killed from outside).
        detail: one line about it.
        asserts: executed asserts that involve the solution.
        calls: calls of solution functions.
        functions, real, tests: solution functions, those that are no stubs, asserts in the source; 0 when unknown.
        steps: rounds of loops and calls, where they were counted.
        variants: those that were run, the last one perhaps not to its end.
        output: the first bytes of stdout and stderr.
        cpu: CPU seconds it took; never part of a result.
    """

    status: Status
    detail: str = ""
    asserts: int = 0
    calls: int = 0
    functions: int = 0
    real: int = 0
    tests: int = 0
    steps: int = 0
    variants: tuple[Variant, ...] = ()
    output: bytes = b""
    cpu: float = 0.0


_ORDERED: Final = tuple(field for field in fields(Program) if field.name != "seed")


class Box(ABC):
    """What runs programs, one at a time: ``Sandbox``, or ``wasm.WasmSandbox``. A context manager."""

    def __init__(self, limits: Limits | None = None, modules: tuple[str, ...] = MODULES) -> None:
        self.limits = limits or Limits()
        self.modules = modules
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def run(self, program: Program, *, alone: bool = False) -> Outcome:
        """Run a program to its end, or to the end of its limits."""

    @abstractmethod
    def close(self) -> None:
        """End what it started. It may be used again."""


class _Gone(Exception):  # noqa: N818  a state of a process, not an error of the caller
    """The zygote died or does not answer."""


class _Zygote:
    """One process that forks children; all programs with one seed."""

    def __init__(self, limits: Limits, modules: tuple[str, ...], seed: int) -> None:
        options = {**asdict(limits), "memory": limits.memory_mb << 20, "modules": modules, "seed": seed}
        root = str(Path(__file__).resolve().parents[2])
        # -s -S -P: neither site nor user nor current folder; with an empty environment that is -I, which would also
        # ignore PYTHONHASHSEED. Its own session: Ctrl-C is for the caller.
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _BOOT, root, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONHASHSEED": str(seed)},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self.owner = os.getpid()
        self.ready: dict[str, Any] = {}

    def greet(self) -> None:
        """Wait for its word about the walls; raises CurateError when they don't stand."""
        cure = (
            "the sandbox needs Linux on x86_64 or aarch64 with seccomp (and does without landlock); "
            "run it there, or use 'sandbox: wasm' (pip install 'phi-curate[wasm]')"
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            (size,) = struct.unpack("=I", self._read(4, deadline))
            self.ready = json.loads(self._read(size, deadline))
        except _Gone:
            self.process.kill()
            said = self.process.stderr.read(4096) if self.process.stderr else b""
            self.kill()
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise CurateError(f"the sandbox did not start ({last or 'no message'})", cure=cure) from None
        if not self.ready["ok"]:
            self.kill()
            raise CurateError(f"the sandbox has holes here: {self.ready['why']}", cure=cure)

    def send(self, request: bytes) -> None:
        assert self.process.stdin
        view = memoryview(b"\0" + request)
        try:
            while view:
                view = view[self.process.stdin.write(view) or 0 :]
        except OSError:
            raise _Gone from None

    def receive(self, seconds: float) -> wire.Reply:
        deadline = time.monotonic() + seconds
        status, stalled, cpu, result, output = wire.decode_head(self._read(wire.REPLY_BYTES, deadline))
        return wire.Reply(status, stalled, cpu, self._read(result, deadline), self._read(output, deadline))

    def _read(self, size: int, deadline: float) -> bytes:
        assert self.process.stdout
        parts, watched = [], select.poll()
        watched.register(self.process.stdout, select.POLLIN)
        while size:
            if not watched.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise _Gone
            part = os.read(self.process.stdout.fileno(), size)
            if not part:
                raise _Gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def kill(self) -> None:
        """End it; in a forked copy of the caller only close the pipes, it is not ours to end."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        else:
            self.process.returncode = 0  # so that the finaliser of Popen doesn't wait for another's child
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


class Sandbox(Box):
    """Runs programs one at a time; a context manager. Starts its processes when they are needed, again if they die.

    Raises CurateError on the first run where the kernel can't put up the walls: a canary child tries to open a file,
    to stat one, to open a socket, to signal and to fork, and must fail at each.
    """

    def __init__(self, limits: Limits | None = None, modules: tuple[str, ...] = MODULES) -> None:
        super().__init__(limits, modules)
        self._zygotes: dict[int, _Zygote] = {}
        self._turns = Turns()

    def close(self) -> None:
        """End its processes. It may be used again."""
        with self._lock:
            while self._zygotes:
                self._zygotes.popitem()[1].kill()
            self._turns.close()

    def run(self, program: Program, *, alone: bool = False) -> Outcome:
        """Run a program to its end, or to the end of its limits; ``alone``: at twice the CPU time, while no other sandbox of
        this user on this machine runs a program."""
        with self._lock, self._turns.alone() if alone else self._turns.shared():
            for last in (False, True):
                zygote = self._zygote(program.seed)
                try:
                    return self._ask(zygote, program, self.limits.cpu_seconds * (2 if alone else 1))
                except _Gone:
                    self._zygotes.pop(program.seed).kill()
                    if last:
                        return Outcome("stalled", "the sandbox's process died twice")
                except BaseException:  # an interrupt between request and reply would shift all replies by one
                    self._zygotes.pop(program.seed).kill()
                    raise
        raise AssertionError  # not reached

    def _zygote(self, seed: int) -> _Zygote:
        zygote = self._zygotes.get(seed)
        if zygote and zygote.owner != os.getpid():
            self._zygotes.pop(seed).kill()
            zygote = None
        if zygote is None:
            zygote = _Zygote(self.limits, self.modules, seed)
            zygote.greet()
            self._zygotes[seed] = zygote
        return zygote

    def _ask(self, zygote: _Zygote, program: Program, cpu_seconds: int) -> Outcome:
        key, status = secrets.token_bytes(wire.KEY_BYTES), 64 + secrets.randbelow(128)
        asked = {field.name: getattr(program, field.name) for field in _ORDERED}
        order = Order(**asked, names=tuple(f"_{secrets.token_hex(8)}" for _ in range(4)))
        zygote.send(wire.encode_request(key, status, cpu_seconds, order))
        reply = zygote.receive(self.limits.wall_seconds + _START_SECONDS)
        spent_by_program(reply.cpu)
        outcome = self._judge(reply, key, status, cpu_seconds)
        if outcome.status == "stalled":
            # Its child may have been killed before it had read its request (out of memory): the zygote would take the
            # rest of that for the next one, and wait.
            self._zygotes.pop(program.seed).kill()
        return outcome

    def _judge(self, reply: wire.Reply, key: bytes, status: int, cpu_seconds: int) -> Outcome:
        ended, cpu = reply.status, reply.cpu
        rest: dict[str, Any] = {"output": reply.output, "cpu": cpu}
        variants = _variants(_pieces(reply.result, key)[0])
        if ended == -signal.SIGXCPU or (ended == -signal.SIGKILL and cpu >= cpu_seconds):
            return Outcome("timeout", f"more than {cpu_seconds} CPU seconds", variants=variants, **rest)
        if reply.stalled:
            return Outcome("stalled", f"waited for {self.limits.wall_seconds:g} seconds", **rest)
        if ended == -signal.SIGKILL:
            return Outcome("stalled", "killed from outside", **rest)
        if ended < 0:
            return Outcome("crashed", f"ended by {signal.Signals(-ended).name}", variants=variants, **rest)
        outcome = judged(ended == status, reply.result, key, rest)
        if ended == OUT_OF_MEMORY and outcome.status == "crashed":
            return replace(outcome, status="memory", detail=f"more than {self.limits.memory_mb} MB")
        return outcome


def judged(came_to_end: bool, result: bytes, key: bytes, rest: dict[str, Any]) -> Outcome:
    """The outcome that a child's sealed result tells, when it left as it was told to; else ``crashed``."""
    said, whole = _pieces(result, key)
    rest = {**rest, "variants": _variants(said)}
    last = said[-1] if said else []
    if not came_to_end or not whole or len(last) != _LAST_FIELDS or last[0] not in _OWN_WORD:
        return Outcome("crashed", "ended before its tests did", **rest)
    asserts, calls, functions, real, tests, steps = map(int, last[2:])
    return Outcome(cast("Status", last[0]), last[1], asserts, calls, functions, real, tests, steps, **rest)


def _pieces(data: bytes, key: bytes) -> tuple[list[list[str]], bool]:
    """The fields of the pieces that the child sealed, and whether that is all there is."""
    seal, at = blake2b(key=key, digest_size=SEAL_BYTES), 0
    pieces: list[list[str]] = []
    while at < len(data):
        start = at + SEAL_BYTES + PIECE_BYTES
        end = start + int.from_bytes(data[at + SEAL_BYTES : start], "big")
        seal.update(data[start:end])
        if end > len(data) or not compare_digest(data[at : at + SEAL_BYTES], seal.digest()):
            return pieces, False
        pieces.append(data[start:end].decode("utf-8", "replace").split(FIELDS))
        at = end
    return pieces, True


def _variants(pieces: list[list[str]]) -> tuple[Variant, ...]:
    found: list[Variant] = []
    for piece in pieces:
        if len(piece) == 2:
            found.append(Variant(int(piece[0]), piece[1]))
        elif len(piece) == 1 and found:
            found[-1] = Variant(found[-1].number, found[-1].what, piece[0])
    return tuple(found)
