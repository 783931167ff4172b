"""A real Slurm: the same bytes as on a laptop, jobs that end at their limit, a driver that ends at its own.

``make slurm`` runs these, or says what they need: they start some twenty processes, too many for every run of all tests.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm as one_node
from command import Curate, results
from recipes import step, write
from small_run import MAY_REPEAT, ROOT, prose

from curate.run.cluster_file import read_cluster
from curate.run.submit import submit

pytestmark = pytest.mark.skipif(
    bool(one_node.LACKS) or "CURATE_SLURM" not in os.environ, reason=one_node.LACKS or "make slurm runs it"
)
SPLIT = ("--split-mb", 0.001)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[one_node.Slurm]:
    """Slurm's commands find it by the environment, here and in what is started."""
    with one_node.Slurm(tmp_path_factory.mktemp("slurm")) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", running.env["SLURM_CONF"])
        path = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "killing")]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        yield running


def cluster(folder: Path, text: str) -> Path:
    """A cluster file for one machine."""
    (folder / "slurm.yaml").write_text(f"kind: slurm\nmemory: 1GB\nhost: 127.0.0.1\n{text}")
    return folder / "slurm.yaml"


def recipe(folder: Path, slow: int = 0) -> Path:
    """60 documents, some of which take a second each."""
    texts = [("SLOW " if n < slow else "") + prose(n) for n in range(60)]
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("rules", "filter.massivetext", min_words=20, **MAY_REPEAT),
        step("unique", "dedup.exact"),
        step("out", "write.text", documents_per_shard=20),
    ]
    return write(folder / "r.yaml", steps)


def test_the_same_bytes_from_a_driver_that_its_limit_ends(
    curate: Curate, slurm: one_node.Slurm, tmp_path: Path
) -> None:
    """Jobs of two kinds, TLS by certificates of the run. The driver is a job, too: told to stop in the middle, as Slurm does a
    minute before its limit, it commits what runs; the same command goes on. Nothing is left in Slurm, nor the certificates.
    """
    made = recipe(tmp_path, slow=12)
    curate.run(made, tmp_path / "laptop", *SPLIT).ok()
    file = cluster(
        tmp_path, "workers: 1\ngroups: {sand: {workers: 1, resources: {sandbox: 1}}}\ndriver: {memory: 1GB}\n"
    )
    argv = ["curate", "run", str(made), "--store", str(tmp_path / "run"), "--cluster", str(file), *map(str, SPLIT)]

    def drive(log: str, *, stop: bool) -> str:
        job = submit(read_cluster(str(file)), argv, "curate test", tmp_path / log, tmp_path)
        while job.alive():
            if stop and list((tmp_path / "run").glob("steps/rules/*/receipts/*")):
                assert slurm("squeue", "--noheader", "--format=%j").split().count("curate-worker") == 1
                assert slurm("squeue", "--noheader", "--format=%j").split().count("curate-sand") == 1
                stop = False
                job.cancel()
            time.sleep(0.1)
        return (tmp_path / log).read_text()

    first = drive("first.log", stop=True)
    assert "SIGTERM: finishing what runs, for 25 s at most" in first
    assert "the same command goes on from there" in first
    assert not (tmp_path / "run" / "manifest.json").exists()
    drive("second.log", stop=False)
    assert results(tmp_path / "run") == results(tmp_path / "laptop")
    assert not list((tmp_path / "slurm-logs").glob("tls-*"))
    assert "tls://" in "".join(log.read_text() for log in (tmp_path / "slurm-logs").glob("curate-worker-*.err"))


def test_jobs_that_end_at_their_limit(curate: Curate, slurm: one_node.Slurm, tmp_path: Path) -> None:
    """Workers of a minute, which begin nothing after twenty seconds: others come in their place until the work is done. With
    them adaptive: as many as there is work for."""
    made = recipe(tmp_path, slow=60)
    curate.run(made, tmp_path / "laptop", *SPLIT).ok()
    for name, size in (("fixed", "workers: 2"), ("adaptive", "adaptive: {minimum: 0, maximum: 3}")):
        file = cluster(tmp_path, f"{size}\nwalltime: 1m\ndrain: 40s\nstagger: 2s\nlog_directory: {name}\n")
        curate("run", made, "--store", tmp_path / name, "--cluster", file, *SPLIT, env=dict(os.environ)).ok()
        assert results(tmp_path / name) == results(tmp_path / "laptop")
        assert len(list((tmp_path / name).parent.glob(f"{name}/curate-worker-*.err"))) >= 3


def test_jobs_that_never_come(curate: Curate, slurm: one_node.Slurm, tmp_path: Path) -> None:
    """What sbatch turns down is one line with its reason, and nothing waits."""
    file = cluster(tmp_path, "workers: 1\npartition: nowhere\n")
    done = curate("run", recipe(tmp_path), "--store", tmp_path / "run", "--cluster", file, env=dict(os.environ))
    assert done.code == 4
    assert "slurm.yaml: sbatch: " in done.line
    assert "invalid partition" in done.line.lower()
