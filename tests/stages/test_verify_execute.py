"""verify.execute: rows in, verdicts out, whatever the rows hold."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from curate.errors import CurateError
from curate.stages.base import Context
from curate.stages.registry import stage_class
from curate.stages.verify_execute import VerifyExecute, sandbox
from curate.text.batch import Batch

GOOD = "def add(a, b):\n    return a + b\nassert add(1, 2) == 3\nassert add(2, 2) == 4\n"
ROWS = {
    GOOD: None,
    GOOD.replace("== 4", "== 5"): "wrong",
    "": "no_function",
    " \n": "no_function",
    "Once upon a time.": "syntax_error",
    "x\0": "syntax_error",
    "x = 1\n": "no_function",
    GOOD + "#" * 70000: "too_large",
    "(" * 10000: "syntax_error",
    "def f(x):\n    return x + 0\nassert f(1) == 1\nassert f(2) == 2\n": "stub_passes",
}
CONTEXT = Context("proof", 1)


def batch(texts, **columns) -> Batch:
    return Batch(pa.record_batch({"text": pa.array(texts, pa.large_string()), **columns}))


def reasons(stage: VerifyExecute, docs: Batch) -> list[str | None]:
    signals = stage.measure(docs, CONTEXT)
    assert {len(column) for column in signals.values()} == {len(docs)}
    decided = stage.decide(signals)
    assert decided.type == pa.string()
    return decided.to_pylist()


def test_rows_get_their_reasons():
    stage = VerifyExecute()
    found = reasons(stage, batch(list(ROWS)))
    assert found == list(ROWS.values())
    assert set(filter(None, found)) <= set(stage.reasons)


def test_signals_say_more():
    signals = VerifyExecute().measure(batch([GOOD, "x = "]), CONTEXT)
    assert {name: str(column.type) for name, column in signals.items()} == {
        "verdict": "string",
        "asserts": "int32",
        "detail": "string",
        "mutants": "int32",
        "killed": "int32",
        "survivors": "string",
    }
    assert signals["verdict"].to_pylist() == ["passed", "syntax_error"]
    assert signals["asserts"].to_pylist() == [2, 0]
    assert "line 1" in signals["detail"][1].as_py()


def test_nulls_invalid_bytes_and_no_rows_do_not_raise():
    assert reasons(VerifyExecute(), batch([])) == []
    assert reasons(VerifyExecute(), batch([None, GOOD])) == ["no_function", None]
    data = pa.array([b"x = '\xff\xfe'", GOOD.encode()], pa.large_binary())
    invalid = pa.Array.from_buffers(pa.large_string(), len(data), data.buffers())
    assert reasons(VerifyExecute(), Batch(pa.record_batch({"text": invalid}))) == ["syntax_error", None]
    nothing = Batch(pa.record_batch({"text": pa.nulls(2, pa.large_string())}))
    assert reasons(VerifyExecute(), nothing) == ["no_function"] * 2


def test_tests_in_a_column_of_their_own():
    solution, tests = GOOD.split("assert", 1)
    stage = VerifyExecute(column="solution", tests_column="tests")
    docs = batch(["x", "x"], solution=pa.array([solution] * 2), tests=pa.array(["assert" + tests, None]))
    assert stage.reads() == {"solution", "tests"}
    assert VerifyExecute().reads() == set()
    assert reasons(stage, docs) == [None, "no_tests"]


def test_settings_reach_the_gate():
    assert reasons(VerifyExecute(min_asserts=3), batch([GOOD])) == ["too_few_asserts"]
    identity = list(ROWS)[-1]
    assert reasons(VerifyExecute(stubs=False), batch([identity])) == [None]
    hungry = "def f(n):\n    return n * 2\nx = bytearray(120 << 20)\nassert f(2) == 4\nassert f(1) == 2\n"
    assert reasons(VerifyExecute(), batch([hungry])) == [None]
    assert reasons(VerifyExecute(memory_mb=100), batch([hungry])) == ["memory"]


def test_results_do_not_depend_on_order_or_threads():
    stage = pickle.loads(pickle.dumps(VerifyExecute()))
    texts = list(ROWS)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda text: reasons(stage, batch([text]))[0], reversed(texts)))
    assert found == list(reversed(ROWS.values()))


def test_one_sandbox_per_process_and_limits():
    assert sandbox(VerifyExecute().limits()) is sandbox(VerifyExecute(stubs=False).limits())
    assert sandbox(VerifyExecute().limits()) is not sandbox(VerifyExecute(cpu_seconds=3).limits())


def test_it_is_registered_and_explains_its_reasons():
    assert stage_class("verify.execute") is VerifyExecute
    assert all(sentence.endswith(".") for sentence in VerifyExecute.reasons.values())
    with pytest.raises(ValueError, match="memory_mb"):
        VerifyExecute(memory_mb=1)
    assert issubclass(CurateError, Exception)
