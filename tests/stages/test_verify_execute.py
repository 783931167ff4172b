"""verify.execute: rows in, verdicts out, whatever the rows hold."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from curate.errors import CurateError
from curate.sandbox.exercise import Verdict
from curate.stages import verify_execute
from curate.stages.base import Context
from curate.stages.registry import stage_class
from curate.stages.verify_execute import VerifyExecute, sandbox
from curate.store import kept as kept_files
from curate.store.files import Store
from curate.store.kept import Kept
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


def test_what_was_executed_is_not_executed_again(tmp_path, monkeypatch):
    """Equal rows once; in another step, run or process of the same store not at all; other settings are something else."""
    executed = []
    real = verify_execute.verify
    monkeypatch.setattr(verify_execute, "verify", lambda *a, **k: executed.append(a[1]) or real(*a, **k))
    kept = Kept(Store(tmp_path))
    docs = batch([GOOD, *ROWS, GOOD])
    first = VerifyExecute().measure(docs, Context("proof", 1, kept=kept))
    assert executed.count(GOOD) == 1
    count = len(executed)
    kept_files._read.clear()  # as in another process
    again = VerifyExecute(mutants_killed=1.0, column="text").measure(docs, Context("other", 2, kept=kept))
    assert len(executed) == count
    assert all(first[name].equals(again[name]) for name in first)
    assert all(first[name].equals(VerifyExecute().measure(docs, CONTEXT)[name]) for name in first)
    executed.clear()
    solution, tests = GOOD[: GOOD.index("assert")], GOOD[GOOD.index("assert") :]
    programs = [(GOOD.encode(), b""), (solution.encode(), tests.encode()), (GOOD.encode(), b"")]
    for stage in (VerifyExecute(), VerifyExecute(mutants=2), VerifyExecute(imports=["math"])):
        assert [v.reason for v in stage.verdicts(programs, Context("x", 1, kept=kept))] == ["passed"] * 3
    assert len(executed) == 5
    monkeypatch.setattr(VerifyExecute, "_which", lambda self: "another Python")
    VerifyExecute().measure(batch([GOOD]), Context("proof", 1, kept=kept))
    assert len(executed) == 6


def test_what_says_nothing_about_the_program_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(verify_execute, "verify", lambda *a, **k: Verdict("stalled"))
    VerifyExecute().measure(batch([GOOD]), Context("proof", 1, kept=Kept(Store(tmp_path))))
    assert not list(tmp_path.rglob("*.json"))


def test_the_share_of_mutants_is_a_threshold():
    """What was measured is used again with another share."""
    easy = "def f(n):\n    return 's' if 0 <= n < 10 else 'm' if n < 100 else 'l'\nassert f(5) == 's'\nassert f(6) != 'l'\n"
    signals = VerifyExecute().measure(batch([GOOD, easy]), CONTEXT)
    assert signals["verdict"].to_pylist() == ["passed", "passed"]
    assert signals["mutants"][1].as_py() > signals["killed"][1].as_py() > 0
    assert VerifyExecute().decide(signals).to_pylist() == [None, "mutants_survive"]
    assert VerifyExecute(mutants_killed=0).decide(signals).to_pylist() == [None, None]
    assert VerifyExecute(mutants_killed=0).measure_fingerprint() == VerifyExecute().measure_fingerprint()


def test_modules_are_of_the_standard_library():
    with pytest.raises(ValueError, match="'numpy' is no module of the standard library"):
        VerifyExecute(imports=["math", "numpy"])
    code = "import math\ndef f(n):\n    return math.floor(n)\nassert f(1.5) == 1\nassert f(-1.5) == -2\n"
    assert reasons(VerifyExecute(imports=["math"]), batch([code])) == [None]
    assert reasons(VerifyExecute(imports=["json"]), batch([code])) == ["import_not_allowed"]
