"""What curate/startup.py leaves out, and that it is there for whoever asks for it; kernels are compiled once a machine."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from curate import startup
from tests.bench.measure import ROOT

CODE = """
    import sys
    from curate import startup
    startup.prepare()
    startup.without_pandas()
    import numpy as np
    import pyarrow as pa
    from curate.text.hashing import hash128
    hash128(pa.array(["a list"], pa.large_string()))
    assert "pandas" not in sys.modules, "pandas"
    assert "scipy.linalg" not in sys.modules, "scipy.linalg"
    import numba
    assert numba.njit(lambda a: np.dot(a, a))(np.array([3.0, 4.0])) == 25
    assert "scipy.linalg" in sys.modules
    assert pa.table({"a": [1]}).to_pandas().a[0] == 1
"""
GIVEN = """
    import sys
    from curate import startup
    startup.without_pandas()
    assert "pandas" not in sys.modules
    startup.with_pandas()
    import pandas as pd
    import pyarrow as pa
    assert pa.array(pd.Series([1.0, float("nan")])).null_count == 1
"""
KERNELS = """
    from numba import njit

    @njit(cache=True)
    def down(n):
        return n if n < 1 else down(n - 1)

    @njit(cache=True)
    def both(n):
        return down(n) + 1
"""
AT_ONCE = """
    import json, sys
    import curate.text
    import kernels
    print(flush=True)
    sys.stdin.readline()
    kernels.both(3)
    print(json.dumps([sum(k.stats.cache_misses.values()) for k in (kernels.both, kernels.down)]))
"""


def test_libraries_nobody_asks_for_are_not_loaded() -> None:
    """pandas for no list, scipy's linear algebra for no kernel; both are there once they are needed."""
    run(CODE)


def test_pandas_is_understood_again() -> None:
    """Code of plugins may hand over its series: missing values are nulls, as without us."""
    run(GIVEN)


def test_kernels_are_compiled_once(tmp_path: Path) -> None:
    """Two processes need the same at once: one compiles, the other loads what it stored; also what calls another, or itself."""
    (tmp_path / "kernels.py").write_text(textwrap.dedent(KERNELS))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(AT_ONCE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout
        process.stdout.readline()
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    compiled = [json.loads(process.communicate(timeout=100)[0]) for process in both]
    assert [sum(each) for each in zip(*compiled, strict=True)] == [1, 1], compiled


def test_no_lock_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, or a folder that can't be written to, costs the order, nothing else."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    for module, name in ((startup.fcntl, "flock"), (startup.os, "open")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse)
            with startup._alone(str(tmp_path / "kernel")):
                pass
            with pytest.raises(ValueError, match="its own"), startup._alone(str(tmp_path / "kernel")):
                raise ValueError("its own")


def test_who_holds_a_lock_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped while it compiled."""
    monkeypatch.setattr(startup, "PATIENCE", 0.1)
    with (tmp_path / "kernel.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        start = time.monotonic()
        with startup._alone(str(tmp_path / "kernel")):
            assert time.monotonic() >= start + 0.1


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
