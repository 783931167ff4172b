"""Generated exercises are run: what does not work, or proves nothing, goes."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import ClassVar, Final

import pyarrow as pa
from pydantic import Field

from curate.sandbox.exercise import REASONS, Verdict, verify
from curate.sandbox.runner import Limits, Sandbox
from curate.schema import DOCUMENT
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch

_sandboxes: Final[dict[Limits, Sandbox]] = {}


def sandbox(limits: Limits) -> Sandbox:
    """The process's sandbox for these limits; made at first use, closed when Python ends."""
    # setdefault, since a Dask worker runs tasks in threads; a Sandbox that is not used holds no process.
    if limits not in _sandboxes:
        atexit.register(_sandboxes.setdefault(limits, Sandbox(limits)).close)
    return _sandboxes[limits]


@register("verify.execute")
class VerifyExecute(Filter):
    """Keep documents whose code runs and whose tests prove it.

    A row is one exercise: a Python file, or a text with fenced Python blocks, with functions and asserts, at top level
    or in ``test...`` functions; the tests may stand in a column of their own. It is run in a sandbox (no files, no
    network, no processes, little memory and CPU), twice with different hash seeds and random numbers, then with every
    body replaced by stubs, where the tests must fail.

    A row kept has the verdict ``passed``. The verdict depends on code, settings and Python; programs that look at the
    clock, or need within a few per cent of ``cpu_seconds``, may be judged differently another time.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "too_large": "The code has more bytes than max_bytes; it was not run.",
        **REASONS,
    }

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "verdict": pa.string(),
        "asserts": pa.int32(),
        "detail": pa.string(),
    }

    column: str = Field("text", description="where the code is")
    tests_column: str | None = Field(None, description="where the tests are, when they are not in the code's column")
    min_asserts: int = Field(2, ge=1, description="asserts that involve the solution and must be executed")
    stubs: bool = Field(True, description="turn down what passes its tests with stubbed bodies")
    memory_mb: int = Field(256, ge=64, description="address space of a program")
    cpu_seconds: int = Field(2, ge=1, le=600, description="CPU time of a program")
    max_bytes: int = Field(65536, ge=1, description="larger code is `too_large`")

    def reads(self) -> frozenset[str]:
        """The two columns, where they are not among a document's own."""
        return frozenset({self.column, self.tests_column or self.column} - set(DOCUMENT.names))

    def limits(self) -> Limits:
        """What a program may use; the wall clock leaves a busy machine ten times the CPU time and more."""
        return Limits(self.memory_mb, self.cpu_seconds, wall_seconds=20.0 + 10.0 * self.cpu_seconds)

    def warm(self, ctx: Context) -> None:
        """Nothing: a sandbox is started when there is something to run."""

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``verdict``, ``asserts`` (executed, int32), ``detail`` (one line)."""
        code = _bytes(docs, self.column)
        tests = _bytes(docs, self.tests_column) if self.tests_column else [b""] * len(docs)
        verdicts = [self._judge(c or b"", t or b"") for c, t in zip(code, tests, strict=True)]
        return {
            "verdict": pa.array([v.reason for v in verdicts], pa.string()),
            "asserts": pa.array([v.asserts for v in verdicts], pa.int32()),
            "detail": pa.array([v.detail for v in verdicts], pa.string()),
        }

    def _judge(self, code: bytes, tests: bytes) -> Verdict:
        size = len(code) + len(tests)
        if size > self.max_bytes:
            return Verdict("too_large", f"{size} bytes")
        if not code.strip():
            return Verdict("no_function")
        try:
            source, source_of_tests = code.decode(), tests.decode()
        except UnicodeDecodeError as error:
            return Verdict("syntax_error", f"not UTF-8 at byte {error.start}")
        box = sandbox(self.limits())
        verdict = verify(box, source, source_of_tests, min_asserts=self.min_asserts, stubs=self.stubs)
        # A counter in a loop may have passed what a column holds.
        return Verdict(verdict.reason, verdict.detail, min(verdict.asserts, 2**31 - 1))

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """The verdict is the reason, but ``passed``."""
        import pyarrow.compute as pc

        return [(reason, pc.equal(signals["verdict"], reason)) for reason in self.reasons]


def _bytes(docs: Batch, column: str) -> list[bytes | None]:
    # Binary: a column that claims to be UTF-8 and is not must not raise.
    values: list[bytes | None] = docs.column(column).cast(pa.large_binary()).to_pylist()
    return values
