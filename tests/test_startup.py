"""What curate/startup.py leaves out, and that it is there for whoever asks for it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

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


def test_libraries_nobody_asks_for_are_not_loaded() -> None:
    """pandas for no list, scipy's linear algebra for no kernel; both are there once they are needed."""
    run(CODE)


def test_pandas_is_understood_again() -> None:
    """Code of plugins may hand over its series: missing values are nulls, as without us."""
    run(GIVEN)


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
