"""A command line that runs beside the scheduler, so that a laptop may close: a process, a Slurm job, a Kubernetes Job."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from curate.errors import EndpointError
from curate.run.cluster_file import Cluster, Kubernetes, Mpi, Slurm, seconds_of

GRACE_SECONDS: Final = 60
"""A Slurm job's driver is told to stop so long before its limit: what runs is finished and committed."""


ASK_SECONDS: Final = 10.0
"""An answer of a scheduler holds so long: it has many to answer."""
_IDS: Final = {"process": r"[1-9][0-9]{0,9}", "slurm": r"[0-9]{1,20}", "kubernetes": r"[a-z0-9][a-z0-9.-]{0,252}"}
"""What numbers and names of each kind look like."""


@dataclass(frozen=True)
class Submitted:
    """Where a command line runs.

    Attributes:
        kind: of what.
        id: a process's number, a job's number, a Job's name.
        host: of a process: only there can it be asked.
        began: of a process, when the kernel started it: another one may get its number.
        namespace: of a Kubernetes Job.
    """

    kind: Literal["process", "slurm", "kubernetes"]
    id: str
    host: str = ""
    began: str = ""
    namespace: str = ""

    def dump(self) -> dict[str, str]:
        """As JSON says it."""
        return asdict(self)

    @classmethod
    def load(cls, said: Mapping[str, Any]) -> Self:
        """What ``dump`` gave; raises TypeError or ValueError for anything else: commands get the id as an argument."""
        found = cls(**said)
        if not all(isinstance(word, str) for word in asdict(found).values()):
            raise TypeError("words")
        if not re.fullmatch(_IDS.get(found.kind, "(?!)"), found.id) or found.namespace[:1] == "-":
            raise ValueError("no id")
        return found

    def alive(self, within: float = ASK_SECONDS) -> bool | None:
        """Whether it runs, or waits to, as of so many seconds ago at most; None where that can't be told from here."""
        if self.kind == "process":
            return None if self.host != platform.node() else bool(self.began) and began(int(self.id)) == self.began
        at, answer = _answers.get(self, (-math.inf, None))
        if time.monotonic() - at >= within:
            answer = self._asked()
            _answers[self] = time.monotonic(), answer
        return answer

    def _asked(self) -> bool | None:
        if self.kind == "slurm":
            said = _ask(["squeue", "--noheader", "--me", "--format=%A %T"])
            if said is None:
                return None
            # A job that its driver has left is COMPLETING for as long as its node cleans up.
            return any(
                line.split()[0] == self.id and line.split()[1] != "COMPLETING" for line in said.splitlines() if line
            )
        said = _ask(["kubectl", "get", "job", self.id, *self._there(), "-o", "jsonpath={.status.conditions[*].type}"])
        return None if said is None else not {"Complete", "Failed"} & set(said.split())

    def cancel(self) -> None:
        """Let it stop as it does at SIGTERM: what runs is finished and committed. Raises EndpointError where it can't be told."""
        if self.kind == "process":
            if self.alive() is None:
                raise EndpointError(f"it runs on {self.host}", cure="cancel it there")
            if self.alive():
                with suppress(ProcessLookupError):
                    os.kill(int(self.id), signal.SIGTERM)
            return
        command = ["kubectl", "delete", "job", self.id, *self._there(), "--wait=false"]
        if self.kind == "slurm":
            # Of a job that waits there is nobody to tell.
            command = ["scancel", "--state=PENDING", self.id]
            _ask(command)
            command = ["scancel", "--batch", "--signal=TERM", self.id]
        if _ask(command) is None and self.alive(0) is not False:
            raise EndpointError(f"{shlex.join(command)} did not work", cure="try it by hand")

    def _there(self) -> list[str]:
        return ["--namespace", self.namespace] if self.namespace else []


_answers: dict[Submitted, tuple[float, bool | None]] = {}
"""What was said last, and when."""


def submit(
    cluster: Cluster | None,
    argv: Sequence[str],
    name: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Submitted:
    """Start a command line beside a cluster's scheduler, or where it will be; raises EndpointError when that fails.

    Args:
        cluster: as its file says; None, or one that runs already: a process of this machine.
        argv: the command and its arguments.
        name: of the job, for people.
        log: where its output goes, appended; on Kubernetes its pod's log has it.
        cwd: where it runs; default: here.
        env: of a process; default: ours. Jobs and pods have what Slurm and Kubernetes give them.
    """
    cwd = cwd or Path.cwd()
    if isinstance(cluster, Kubernetes):
        return _pod(cluster, list(argv), name)
    if not as_batch_job(cluster):
        return _process(argv, log, cwd, os.environ if env is None else env)
    if isinstance(cluster, Slurm):
        return _job(sbatch_script(cluster, argv, name, log), cwd)
    assert isinstance(cluster, Mpi)
    return _job(_script(cluster, argv, name, log, [f"#SBATCH -n {cluster.ranks}"] if cluster.ranks else []), cwd)


def as_batch_job(cluster: Cluster | None) -> bool:
    """Whether a driver is submitted to Slurm. One with MPI ranks where its cluster file says for how long, unless this is a
    job already."""
    if isinstance(cluster, Mpi):
        return bool(cluster.driver.walltime) and "SLURM_JOB_ID" not in os.environ
    return isinstance(cluster, Slurm)


def sbatch_script(cluster: Slurm, argv: Sequence[str], name: str, log: Path) -> str:
    """The batch script of a driver: it is the command itself that hears Slurm's SIGTERM."""
    more = [f"#SBATCH -A {cluster.account}"] if cluster.account else []
    return _script(cluster, argv, name, log, more, cluster.prologue)


def _script(
    cluster: Slurm | Mpi, argv: Sequence[str], name: str, log: Path, more: list[str], prologue: Sequence[str] = ()
) -> str:
    driver = cluster.driver
    partition = driver.partition or (cluster.partition if isinstance(cluster, Slurm) else None)
    lines = [
        "#!/usr/bin/env bash",
        f"#SBATCH -J {re.sub(r'[^A-Za-z0-9_.-]', '-', name)}",
        f"#SBATCH -o {shlex.quote(str(log).replace('%', '%%'))}",
        "#SBATCH --open-mode=append",
        f"#SBATCH --cpus-per-task={driver.cores}",
        f"#SBATCH --mem={_megabytes(driver.memory)}M",
        f"#SBATCH --signal=B:TERM@{GRACE_SECONDS}",
        *more,
    ]
    lines += [f"#SBATCH -p {partition}"] if partition else []
    if driver.walltime:
        from curate.run.deploy_slurm import slurm_time

        lines.append(f"#SBATCH -t {slurm_time(seconds_of(driver.walltime))}")
    lines += [f"#SBATCH {directive}" for directive in driver.directives]
    return "\n".join([*lines, *prologue, f"exec {shlex.join(argv)}", ""])


def _megabytes(memory: str) -> int:
    from dask.utils import parse_bytes

    return -(-int(parse_bytes(memory)) // 2**20)


def _job(script: str, cwd: Path) -> Submitted:
    said = _run(["sbatch", "--parsable", f"--chdir={cwd}"], script)
    return Submitted("slurm", said.strip().partition(";")[0])


def _pod(cluster: Kubernetes, argv: list[str], name: str) -> Submitted:
    from curate.run.deploy_pods import job_manifest

    named = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:50]
    manifest = job_manifest(cluster, argv, named)
    del manifest["metadata"]["name"]
    manifest["metadata"]["generateName"] = f"{named}-"
    said = _run(["kubectl", "create", "-f", "-", "-o", "jsonpath={.metadata.name}"], json.dumps(manifest))
    return Submitted("kubernetes", said.strip(), namespace=cluster.namespace or "")


def _process(argv: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str]) -> Submitted:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            # A session of its own: no terminal that closes takes it along.
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
            )
        except OSError as error:
            raise EndpointError(f"{argv[0]} can't be started ({error.strerror})") from None
    return Submitted("process", str(child.pid), platform.node(), began(child.pid))


def began(pid: int) -> str:
    """When a process was started, in the kernel's own words; empty when there is none, or it is dead and not yet waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if sys.platform == "linux" else "unknown"
    return "" if fields[0] == "Z" else fields[19]


def _run(command: list[str], text: str) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
        )
    except FileNotFoundError:
        raise EndpointError(f"there is no {command[0]} on this machine", cure="run where it is") from None
    except subprocess.TimeoutExpired:
        raise EndpointError(f"{command[0]} does not answer") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise EndpointError(f"{command[0]} said no ({said[-1] if said else done.returncode})")
    return done.stdout


def _ask(command: list[str]) -> str | None:
    """What a command says; None where it can't be asked, or fails."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=True, env=dict(os.environ)
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
