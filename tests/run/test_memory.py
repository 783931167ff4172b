"""Memory of one process, held against what it was before. Files of many times a worker's memory: ``make memory``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import memory

RUN = """
import json, re, sys
from pathlib import Path
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.store.files import Store

status = lambda name: int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 1024

def run(name):
    with Runner(0) as runner:
        engine = Engine(make_plan(load_recipe(Path(name + ".yaml"))), Store(Path(name)), runner, Silent(),
                        Settings(split_bytes=2_000_000))
        return engine.run()["docs"].counts

run("small")
found = []
for name in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    counts = run(name)
    found.append([status("VmHWM") - before, counts.rows_out, counts.reasons])
print(json.dumps(found))
"""


def more_than_before(home: Path, files: list[str], **settings: Any) -> list[tuple[float, int, dict[str, int]]]:
    """For each file, read, deduplicated and written by one process: MiB more than before, rows, reasons."""
    # Enough that all kernels are loaded, or compiled, before anything is measured.
    memory.many_tiny(home / "small.jsonl", 20_000)
    for file in ["small.jsonl", *files]:
        steps = [
            {"id": "docs", "use": "read.jsonl", "with": {"paths": [file], **settings}},
            {"id": "one", "use": "dedup.exact"},
            {"id": "out", "use": "write.text", "with": {"documents_per_shard": 500}},
        ]
        name = file.partition(".jsonl")[0]
        (home / f"{name}.yaml").write_text(json.dumps({"recipe": name, "steps": steps}))
    names = [f.partition(".jsonl")[0] for f in files]
    done = subprocess.run([sys.executable, "-c", RUN, *names], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [tuple(one) for one in json.loads(done.stdout)]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_a_document_too_large_is_never_held_whole(tmp_path: Path) -> None:
    """60 MB in one line, where 1 MB is the most: set aside, with 24 MiB at most; its neighbours stay."""
    files = [f"large{i}.{form}" for i, form in enumerate(memory.TEXT_FORMATS[:2])]
    for file in files:
        memory.one_large(tmp_path / file, 60_000_000)
    for more, rows, reasons in more_than_before(tmp_path, files, max_document_bytes=1 << 20):
        assert (rows, reasons) == (400, {"too_large": 1})
        assert more < 24, "MiB"
