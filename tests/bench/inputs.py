"""What a million input files cost before the first row is read: ``python -m tests.bench inputs``.

INPUTS_FILES=100000 makes fewer of them. They are made once, below the temporary folder, and removed at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import ROOT, Row

_A_FOLDER = 1000


def _write(root: Path, count: int) -> None:
    for start in range(0, count, _A_FOLDER):
        folder = root / f"d{start // _A_FOLDER:04d}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + _A_FOLDER, count)):
            text = b'{"id":"k%d","text":"document number %d of many tiny ones"}\n' % (number, number)
            (folder / f"f{number - start:03d}.jsonl").write_bytes(text)


def _plan(recipe: Path, store: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak RSS in MB of ``curate plan``, in a process of its own."""
    script = (
        "import resource, sys, time; began = time.monotonic()\n"
        "from curate.recipe.plan import make_plan; from curate.recipe.recipe import load_recipe\n"
        "from curate.run.foresight import foresee; from curate.store.files import Store; from pathlib import Path\n"
        "foresee(make_plan(load_recipe(Path(sys.argv[1]))), Store(Path(sys.argv[2])))\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(recipe), str(store)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wall, cpu, peak = map(float, re.findall(r"[\d.]+", done.stdout))
    return wall, cpu, peak


def inputs() -> Iterator[Row]:
    """``curate plan`` over a million files of one line: when nothing is known of them, and again."""
    count = int(os.environ.get("INPUTS_FILES", "1000000"))
    with tempfile.TemporaryDirectory(prefix="curate-inputs-") as name:
        folder = Path(name)
        _write(folder / "in", count)
        recipe = folder / "r.yaml"
        recipe.write_text(
            "recipe: inputs\nseed: 1\nsteps:\n"
            "  - {id: docs, use: read.jsonl, with: {paths: [in]}}\n  - {id: out, use: write.text}\n"
        )
        for case in ("plan-cold", "plan-warm"):
            wall, cpu, peak = _plan(recipe, folder / "run")
            yield {
                "name": case,
                "cores": 1,
                "files": count,
                "clock": "wall",
                "seconds": [wall],
                "cpu_seconds": cpu,
                "per_s": count / wall,
                "peak_rss_mb": peak,
            }
