"""A running Dask cluster, by address and by scheduler file: the same bytes as in this process."""

from __future__ import annotations

import json
import subprocess
import sys
import time

RECIPE = """recipe: elsewhere
steps:
  - {id: docs, use: read.jsonl, with: {paths: [docs.jsonl]}}
  - {id: unique, use: dedup.exact}
  - {id: out, use: write.text, with: {documents_per_shard: 20}}
"""


def test_a_running_cluster_gives_the_same_bytes(tmp_path):
    """Real scheduler and worker processes; --cluster takes the file they meet by, and the address in it."""
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": f"document {i % 50}"}) + "\n" for i in range(60)))
    (tmp_path / "r.yaml").write_text(RECIPE)
    meeting = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli"]
    scheduler = [*dask[:2], "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = [*dask[:2], "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    running = [subprocess.Popen([*scheduler, "--scheduler-file", str(meeting)], **quiet)]
    try:
        running.append(subprocess.Popen([*worker, "--scheduler-file", str(meeting)], **quiet))
        for _ in range(300):
            if meeting.exists() and meeting.read_text().strip():
                break
            time.sleep(0.1)
        address = json.loads(meeting.read_text())["address"]
        found = []
        for where in (["--workers", "0"], ["--cluster", str(meeting)], ["--cluster", address]):
            store = tmp_path / f"run{len(found)}"
            call = [sys.executable, "-m", "curate", "run", str(tmp_path / "r.yaml"), "--store", str(store), *where]
            subprocess.run(call, check=True, capture_output=True, timeout=100)
            found.append(
                [p.read_bytes() for p in sorted((store / "out").glob("*.arrow"))]
                + [(store / "manifest.json").read_bytes()]
            )
        assert len(found[0]) > 2
        assert found[0] == found[1] == found[2]
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)
