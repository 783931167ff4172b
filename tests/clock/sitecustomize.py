"""Imported by Python when this folder is on PYTHONPATH: the wall clock of the process jumps by days, there and back.

Monotonic clocks go on as they are, as they do when a machine's clock is set.
"""

import time

_DAY = 86_400
_JUMPS = (0, _DAY, -_DAY, 400 * _DAY, 3)
"""Seconds that the clock is wrong by, one after the other."""
_SECONDS = 1.0
"""After which it jumps."""
_time, _monotonic = time.time, time.monotonic


def _wrong() -> float:
    return _time() + _JUMPS[int(_monotonic() / _SECONDS) % len(_JUMPS)]


time.time = _wrong
time.time_ns = lambda: int(_wrong() * 1e9)
