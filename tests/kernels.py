"""Before all tests: the kernels that most of them need are compiled, on all CPUs. ``python -m tests.kernels``

In a fresh clone all processes that pytest starts need the same ones at the same moment, and all but one would wait.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

FILTERS: Final[dict[str, dict[str, Any]]] = {
    "decontaminate": {"against": ["humaneval"]},
    "filter.c4": {},
    "filter.python_syntax": {},
    "filter.refinedweb": {},
    "filter.fineweb": {},
    "filter.code_rules": {},
    "filter.massivetext": {},
}
"""With settings; those that the run of everything has, too, come last."""


def prepare() -> None:
    """The path of tests, in a process that compiles."""
    sys.path.insert(0, str(Path(__file__).parent))
    from curate.stages import load_all

    load_all()


def everything() -> None:
    """A run with every kind of step that needs no model."""
    from command_host import warm

    warm()


def warmed(name: str, settings: dict[str, Any]) -> None:
    """What a worker does before its first batch."""
    from curate.stages.base import Context, Filter
    from curate.stages.registry import stage_class

    stage = stage_class(name).model_validate(settings)
    assert isinstance(stage, Filter)
    stage.warm(Context("kernels", None))


def main() -> None:
    """Compile; what fails is for a test to tell."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), prepare) as pool,
    ):
        os.environ["CURATE_BENCHMARKS"] = folder
        jobs = [pool.submit(everything), *(pool.submit(warmed, *one) for one in FILTERS.items())]
        for job in jobs:
            if error := job.exception():
                print(f"kernels: {error!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
