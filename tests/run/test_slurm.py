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

pytestmark = [
    pytest.mark.skipif(
        bool(one_node.LACKS) or "CURATE_SLURM" not in os.environ, reason=one_node.LACKS or "make slurm runs it"
    ),
    pytest.mark.timeout(1200),
]
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


def recipe(folder: Path, slow: int = 0, number: int = 60) -> Path:
    """Documents, some of which take a second each."""
    texts = [("SLOW " if n < slow else "") + prose(n) for n in range(number)]
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
    """Jobs of two kinds, TLS by certificates of the run. The driver is a job, too, of two minutes: told to stop a minute before
    its limit it commits what runs, and the same command goes on. Nothing is left in Slurm, nor the certificates.
    """
    made = recipe(tmp_path, slow=150, number=180)
    curate.run(made, tmp_path / "laptop", *SPLIT).ok()
    file = cluster(
        tmp_path,
        "workers: 1\ngroups: {sand: {workers: 1, resources: {sandbox: 1}}}\ndriver: {memory: 1GB, walltime: 2m}\n",
    )
    argv = ["curate", "run", str(made), "--store", str(tmp_path / "run"), "--cluster", str(file), *map(str, SPLIT)]

    def drive(log: str) -> str:
        job = submit(read_cluster(str(file)), argv, "curate test", tmp_path / log, tmp_path)
        seen = set[str]()
        while job.alive():
            seen |= set(slurm("squeue", "--noheader", "--format=%j").split())
            time.sleep(0.5)
        assert {"curate-worker", "curate-sand"} <= seen
        assert not slurm("squeue", "--noheader", "--format=%j %T").replace("COMPLETING", "").strip()
        return (tmp_path / log).read_text()

    first = drive("first.log")
    assert "SIGTERM: finishing what runs, for 25 s at most" in first
    assert "the same command goes on from there" in first
    assert not (tmp_path / "run" / "manifest.json").exists()
    for number in range(5):
        if (tmp_path / "run" / "manifest.json").exists():
            break
        drive(f"next{number}.log")
    assert results(tmp_path / "run") == results(tmp_path / "laptop")
    assert not list((tmp_path / "slurm-logs").glob("tls-*"))
    assert "tls://" in "".join(log.read_text() for log in (tmp_path / "slurm-logs").glob("curate-worker-*.err"))


@pytest.mark.parametrize("size", ["workers: 2", "adaptive: {minimum: 0, maximum: 3}"], ids=["fixed", "adaptive"])
def test_jobs_that_end_at_their_limit(curate: Curate, slurm: one_node.Slurm, tmp_path: Path, size: str) -> None:
    """Workers of a minute, which begin nothing after twenty seconds: others come in their place until the work is done, fixed in
    number or as many as there is work for."""
    made = recipe(tmp_path, slow=100, number=100)
    curate.run(made, tmp_path / "laptop", *SPLIT).ok()
    file = cluster(tmp_path, f"{size}\nwalltime: 1m\ndrain: 40s\nstagger: 1s\n")
    curate("run", made, "--store", tmp_path / "run", "--cluster", file, *SPLIT, env=dict(os.environ)).ok()
    assert results(tmp_path / "run") == results(tmp_path / "laptop")
    assert len(list((tmp_path / "slurm-logs").glob("curate-worker-*.err"))) >= 3
    if "adaptive" in size:
        lines = (line for path in (tmp_path / "run").glob("events/*") for line in path.read_text().splitlines())
        assert max(event["workers"] for event in map(json.loads, lines) if event["event"] == "workers") == 3


def test_a_job_that_its_limit_kills(curate: Curate, slurm: one_node.Slurm, tmp_path: Path) -> None:
    """In the middle of a task of twenty seconds, with no time to drain, as its limit is made shorter: another worker does the
    task, a job comes in its place, and no row is suspected."""
    split, store = ("--split-mb", 0.015), tmp_path / "run"
    made = recipe(tmp_path, slow=200, number=200)
    curate.run(made, tmp_path / "laptop", *split).ok()

    def shorten(_: int) -> None:
        while not list(store.glob("steps/rules/*/receipts/*")):
            time.sleep(0.2)
        first = min(map(int, slurm("squeue", "--noheader", "--name=curate-worker", "--format=%A").split()))
        slurm("scontrol", "update", f"JobId={first}", "TimeLimit=1")

    file = cluster(tmp_path, "workers: 2\n")
    curate("run", made, "--store", store, "--cluster", file, *split, env=dict(os.environ), meanwhile=shorten).ok()
    assert results(store) == results(tmp_path / "laptop")
    said = [log.read_text() for log in (tmp_path / "slurm-logs").glob("curate-worker-*.err")]
    assert sum("DUE TO TIME LIMIT" in one for one in said) == 1
    assert json.loads((store / "status.json").read_text())["retries"] == 0


def test_a_shipped_recipe(curate: Curate, slurm: one_node.Slurm, tmp_path: Path) -> None:
    """As it is, on three workers in jobs of two; where the cluster file lies is no plain word of a shell, nor of sbatch."""
    curate.run("harvest-mini", tmp_path / "laptop").ok()
    env, folder = dict(os.environ), tmp_path / "my 100% own"
    folder.mkdir()
    file = cluster(folder, "workers: 3\ncores: 2\nlocal_directory: $HOME/a b\nprologue: [export HOME=$PWD]\n")
    curate("run", "harvest-mini", "--store", tmp_path / "run", "--cluster", file, env=env, cwd=folder).ok()
    assert results(tmp_path / "run") == results(tmp_path / "laptop")
    said = [log.read_text() for log in (folder / "slurm-logs").glob("curate-worker-*.err")]
    assert len(said) == 2
    assert (folder / "a b").is_dir()


def test_jobs_that_never_come(curate: Curate, slurm: one_node.Slurm, tmp_path: Path) -> None:
    """What sbatch turns down is one line with its reason, and nothing waits."""
    file = cluster(tmp_path, "workers: 1\npartition: nowhere\n")
    done = curate("run", recipe(tmp_path), "--store", tmp_path / "run", "--cluster", file, env=dict(os.environ))
    assert done.code == 4
    assert "slurm.yaml: sbatch: " in done.line
    assert "invalid partition" in done.line.lower()
