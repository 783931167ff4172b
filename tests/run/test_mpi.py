"""A real MPI: the same bytes from ranks as on a laptop, and one line when MPI ends them.

``make clusters`` runs these: they need an MPI's ``mpirun`` (Debian: openmpi-bin), dask-mpi and mpi4py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from command import Curate, alive, results
from recipes import step, write
from small_run import MAY_REPEAT, prose

pytestmark = pytest.mark.skipif(
    shutil.which("mpirun") is None or "CURATE_CLUSTERS" not in os.environ, reason="needs mpirun; make clusters runs it"
)


def ranks() -> list[int]:
    """Processes of dask-mpi, the launcher not among them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"dask_mpi.cli" in words and not words[0].endswith(b"mpirun"):
            found.append(int(folder.name))
    return found


def test_the_same_bytes_from_ranks(curate: Curate, tmp_path: Path) -> None:
    """A rank is killed in the middle, and MPI ends them all: one line with its last words; the same command goes on. None of them
    is left, nor the file by which they met."""
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": prose(n)}) + "\n" for n in range(300)))
    made = write(
        tmp_path / "r.yaml",
        [
            step("docs", "read.jsonl", paths=["docs.jsonl"]),
            step("rules", "filter.massivetext", min_words=20, **MAY_REPEAT),
            step("unique", "dedup.exact"),
            step("out", "write.text", documents_per_shard=100),
        ],
    )
    split = ("--split-mb", 0.001)
    curate.run(made, tmp_path / "laptop", *split).ok()
    file = tmp_path / "mpi.yaml"
    root = ", --allow-run-as-root" if os.geteuid() == 0 else ""
    file.write_text(f"kind: mpi\nranks: 3\nlauncher: [mpirun, --oversubscribe{root}]\ninterface: lo\n")
    store = tmp_path / "run"

    def kill_one(pid: int) -> None:
        while alive(pid) and not list(store.glob("steps/*/*/receipts/*")):
            time.sleep(0.05)
        os.kill(max(ranks()), signal.SIGKILL)

    env = dict(os.environ)
    ended = curate("run", made, "--store", store, "--cluster", file, *split, env=env, meanwhile=kill_one)
    assert ended.code == 4, ended.err
    assert "mpi.yaml: the MPI program ended with code" in ended.line or "went away" in ended.line
    curate("run", made, "--store", store, "--cluster", file, *split, env=env).ok()
    assert results(store) == results(tmp_path / "laptop")
    assert ranks() == []
    assert not list(tmp_path.glob(".curate-mpi-*"))
