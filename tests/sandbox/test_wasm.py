"""The WebAssembly mode: the same verdicts, no files, no network, time that is counted. Needs the extra ``wasm``."""

from __future__ import annotations

import pytest

from curate.errors import CurateError
from curate.sandbox import wasm
from curate.sandbox.exercise import PASSED, verify
from curate.sandbox.runner import Limits, Program
from curate.sandbox.wasm import WasmSandbox
from tests.sandbox import escape

ADD = "def add(a, b):\n    return a + b\n"
there = pytest.mark.skipif(not escape.has_wasm(), reason="the extra wasm is not installed")


@pytest.fixture(scope="module")
def box():
    with WasmSandbox(Limits(cpu_seconds=1)) as made:
        yield made


@there
def test_verdicts_are_those_of_the_other_sandbox(box):
    good = verify(box, ADD, "assert add(1, 2) == 3\nassert add(2, 2) == 4\n")
    assert (good.reason, good.mutants, good.killed) == (PASSED, 2, 2)
    bad = verify(box, ADD, "assert add(1, 2) == 3\nassert add(2, 2) == 5\n")
    assert (bad.reason, bad.detail) == ("wrong", "line 4: assert add(2, 2) == 5: got 4")
    assert verify(box, "import socket\n" + ADD, "assert add(1, 2) == 3\n").reason == "import_not_allowed"


@there
def test_time_is_counted_and_memory_capped(box):
    """Who loops is out of fuel, who sleeps is forbidden, who takes too much has no memory; the next one runs right."""
    for code, status in (
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(1000)", "forbidden"),
        ("x = []\nwhile True:\n    x.append('a' * 10**6)", "memory"),
        ("print(6 * 7)", "ok"),
    ):
        assert box.run(Program(code)).status == status


@there
def test_nothing_gets_out(box, capsys):
    quick = {kind: tried for kind, tried in escape.ATTEMPTS.items() if kind not in escape._USED}
    few = {kind: dict(list(tried.items())[:1]) for kind, tried in quick.items()}
    assert escape.main(few, mode="wasm") == 0


def test_another_interpreter_or_none_is_refused(monkeypatch):
    monkeypatch.setattr(wasm, "SHA256", "0" * 64)
    with pytest.raises(CurateError, match=r"the wasm sandbox did not start .*; pip install 'phi-curate\[wasm\]'"):
        WasmSandbox().run(Program(""))
