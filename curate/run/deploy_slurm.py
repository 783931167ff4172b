"""Workers as Slurm jobs, by dask-jobqueue; the scheduler is in the driver's process."""

from __future__ import annotations

import logging
import math
import os
import platform
import re
import resource
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from curate.errors import EndpointError
from curate.run.cluster_file import Slurm, Tls, seconds_of
from curate.run.deploy import CONFIG, CONNECT, LOOPBACK, Deployment, Note, nested, security, warning, why
from curate.run.leaving import ENDS
from curate.run.submit import began

_EARLY: Final = 3
"""Jobs that end one after the other before a worker of theirs has come: something is wrong with all of them."""
_ASK_SECONDS: Final = 10.0
"""How often Slurm is asked which jobs there are."""
_MOST_SECONDS: Final = 300.0
"""How long jobs wait that sbatch turned down, before they are submitted again: at first as above, then twice as long, and so on."""
_PASSES: Final = re.compile(
    "timed out|temporarily|unable to contact|zero bytes|connection (refused|reset)|standby mode|try again",
    re.IGNORECASE,
)
"""In what Slurm says when it can't be reached, or can't take jobs, for now (slurm_errno.c)."""


def _word(text: str) -> str:
    """One word of a job's shell line; the node's variables in it, as $TMPDIR, stand for their values."""
    if "$" not in text:
        return shlex.quote(text)
    return '"' + re.sub(r'["`\\]|\$(?![A-Za-z_{])', r"\\\g<0>", text) + '"'


def _directives(cluster: Slurm, name: str, more: Sequence[str] = ()) -> list[str]:
    """Where a job's words go, which dask-jobqueue would not quote, and what is asked for beside."""
    log = f"{cluster.file(cluster.log_directory)}/{name}-".replace("%", "%%")  # Slurm's patterns
    words = [f"-{kind} {shlex.quote(f'{log}%J.{end}')}" for kind, end in (("e", "err"), ("o", "out"))]
    return [*words, *cluster.directives, *more]


def _shell_security(tls: Tls | None) -> Any:
    """Dask's security by these files. Of workers it is asked by dask-jobqueue alone, for a shell line."""
    from distributed.security import Security

    class Quoted(Security):
        def get_tls_config_for_role(self, role: str) -> dict[str, Any]:
            said: dict[str, Any] = super().get_tls_config_for_role(role)
            return {name: shlex.quote(value) for name, value in said.items() if value} if role == "worker" else said

    return security(tls, Quoted)


def job_options(cluster: Slurm, tls: Tls | None) -> dict[str, Any]:
    """What dask_jobqueue.SLURMCluster is given for a job, without what a group changes."""
    from dask.config import serialize

    last = seconds_of(cluster.walltime) - seconds_of(cluster.drain)
    settings = nested({**CONFIG, "distributed.deploy.lost-worker-timeout": "5s"})
    return {
        "cores": cluster.cores,
        "processes": cluster.processes or cluster.cores,
        "memory": cluster.memory,
        "walltime": slurm_time(seconds_of(cluster.walltime)),
        "queue": cluster.partition,
        "account": cluster.account,
        "local_directory": _word(cluster.local_directory) if cluster.local_directory else None,
        "python": _word(cluster.python) if cluster.python else shlex.quote(sys.executable),
        "job_name": "curate-worker",
        "death_timeout": 60,
        "job_extra_directives": _directives(cluster, "curate-worker"),
        "job_script_prologue": [
            *cluster.prologue,
            "export PYTHONSAFEPATH=1",  # a worker loads no module of the folder that it is run in
            # All processes of one job go together; jobs at different times.
            f"export {ENDS}=$(( $(cut -d. -f1 /proc/uptime) + {int(last)} - RANDOM % {int(seconds_of(cluster.stagger)) + 1} ))",
            f"export DASK_INTERNAL_INHERIT_CONFIG={serialize(settings)}",
        ],
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", LOOPBACK],
        "security": _shell_security(tls),
        "protocol": "tls://" if tls else "tcp://",
        "interface": cluster.interface,
    }


def slurm_time(seconds: float) -> str:
    """As sbatch -t reads it."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def jobs(cluster: Slurm) -> dict[str, dict[str, Any]]:
    """Jobs by name, each with what is different from job_options: ``processes`` of it are workers. Where those that are asked for
    do not fill whole jobs, the last one is smaller."""
    from dask.utils import parse_bytes

    found: dict[str, dict[str, Any]] = {}
    kinds: list[tuple[str, int, dict[str, Any]]] = [("worker", cluster.workers or 0, {})]
    for name, group in cluster.groups.items():
        job = f"curate-{name}"
        other: dict[str, Any] = {
            "job_name": job,
            "job_extra_directives": _directives(cluster, job, group.directives),
        }
        if group.cores:
            other |= {"cores": group.cores, "processes": group.cores}
        other |= {"memory": group.memory} if group.memory else {}
        other |= {"queue": group.partition} if group.partition else {}
        if group.resources:
            offered = ",".join(f"{kind}={amount:g}" for kind, amount in sorted(group.resources.items()))
            other["worker_extra_args"] = ["--no-dashboard", "--dashboard-address", LOOPBACK, "--resources", offered]
        kinds.append((name, group.workers, other))
    for name, workers, other in kinds:
        each = other.get("processes", cluster.processes or cluster.cores)
        whole, rest = divmod(workers, each)
        for number in range(whole):
            found[f"{name}-{number}"] = {"processes": each, **other}
        if rest:
            cores = other.get("cores", cluster.cores) // each * rest
            memory = -(-parse_bytes(other.get("memory", cluster.memory)) * rest // each)
            found[f"{name}-{whole}"] = {**other, "processes": rest, "cores": cores, "memory": f"{memory}B"}
    return found


def _many_connections() -> None:
    """The scheduler, which is in this process, has three to four connections to each worker: at the usual 1,024 open files it
    would break at some 290. (Where it is a program of its own it raises its limit itself.)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _submitting(refused: Callable[[str], None]) -> Any:
    """Dask-jobqueue's jobs; why sbatch turned one down is told, which else only the log has where Dask asks for it itself."""
    from dask_jobqueue.slurm import SLURMJob
    from distributed.core import Status

    class Job(SLURMJob):
        async def _submit_job(self, script: str) -> Any:
            try:
                return await super()._submit_job(script)
            except (OSError, RuntimeError) as error:
                self.status = Status.closed  # else Dask finds, when it ends, that it never began
                lines = [line for line in str(error).splitlines() if line.startswith("sbatch: error")]
                refused(f"sbatch: {lines[-1].partition('error: ')[2] if lines else why(error)}")
                raise

    return Job


class OnSlurm(Deployment):
    """Jobs that live as long as the driver, and others in place of those that end before."""

    queued = True

    def __init__(self, cluster: Slurm, note: Note) -> None:
        from dask_jobqueue import SLURMCluster
        from distributed import Client

        self._early, self._problem, self._refusal = 0, "", ""
        self._ask_at, self._submit_at, self._wait = 0.0, 0.0, _ASK_SECONDS
        self._whole = False
        self._seen: set[str] = set()
        self._note = note
        self.where = cluster.name
        self.on_demand = cluster.adaptive is not None and not cluster.adaptive.minimum
        self.most = cluster.adaptive.maximum if cluster.adaptive else 0
        self.kinds = frozenset(kind for group in cluster.groups.values() for kind in group.resources)
        self._logs = cluster.file(cluster.log_directory)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._made: Path | None = None
        if shutil.which("sbatch") is None:
            raise EndpointError(
                "there is no sbatch on this machine", place=self.where, cure="run where jobs are submitted"
            )
        _many_connections()
        tls = cluster.certificates if cluster.tls != "temporary" else self._temporary()
        options = job_options(cluster, tls)
        scheduler: dict[str, Any] = {"dashboard_address": LOOPBACK}
        scheduler |= {"host": cluster.host} if cluster.host else {}
        try:
            self._cluster = SLURMCluster(
                n_workers=0,
                scheduler_options=scheduler,
                silence_logs=logging.CRITICAL,
                job_cls=_submitting(self._refused),
                **options,
            )
        except (OSError, RuntimeError, ValueError) as error:
            self._forget()
            raise EndpointError(f"no scheduler could be started ({why(error)})", place=self.where) from None
        if said := warning([self._cluster.scheduler_address]):
            note(said)
        if cluster.adaptive:
            self._cluster.adapt(minimum=cluster.adaptive.minimum, maximum=cluster.adaptive.maximum)
        else:
            template = self._cluster.new_spec["options"]
            for name, other in jobs(cluster).items():
                spec = {"cls": self._cluster.job_cls, "options": {**template, **other}}
                if other["processes"] > 1:
                    spec["group"] = [f"-{n}" for n in range(other["processes"])]
                self._cluster.worker_spec[f"{self._cluster.name}-{name}"] = spec
            self._cluster.loop.add_callback(self._state)
        try:
            client = Client(self._cluster, security=self._cluster.security)
        except BaseException as error:
            self._end()
            if not isinstance(error, CONNECT):
                raise
            raise EndpointError(f"its scheduler does not answer ({why(error)})", place=self.where) from None
        super().__init__(client)

    def _temporary(self) -> Tls:
        """Certificates of this run, in files that only this user can read, and jobs can. Those go that drivers of this machine
        left which were killed."""
        from distributed.security import Security

        for left in self._logs.glob("tls-*"):
            owner = re.fullmatch(rf"tls-{re.escape(platform.node())}-(\d+)-(\w*)-\w+", left.name)
            if owner and began(int(owner[1])) != owner[2]:
                shutil.rmtree(left, ignore_errors=True)
        made, pid = Security.temporary(), os.getpid()
        self._made = self._logs / f"tls-{platform.node()}-{pid}-{began(pid)}-{uuid.uuid4().hex[:12]}"
        self._made.mkdir(mode=0o700)
        for name, text in (("cert.pem", made.tls_client_cert), ("key.pem", made.tls_client_key)):
            with os.fdopen(os.open(self._made / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(text)
        cert = str(self._made / "cert.pem")
        return Tls(ca=cert, cert=cert, key=str(self._made / "key.pem"))

    def _end(self) -> None:
        with suppress(TimeoutError, OSError, RuntimeError):
            self._cluster.close(timeout=20)
        self._forget()

    def _forget(self) -> None:
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def _refused(self, said: str) -> None:
        self._refusal = said

    async def _state(self) -> None:
        """Have the jobs that there should be."""
        self._refusal = ""
        with suppress(OSError, RuntimeError):  # sbatch said no
            await self._cluster._correct_state()  # noqa: SLF001 - scale() does the same, for workers of one kind

    def mend(self) -> None:
        """Submit jobs in place of those that ended: Slurm is asked which there are. Those that it turns down are submitted
        again where it may take them later, or others of ours do the work."""
        if said := self._refusal:
            self._refusal = ""
            if not _PASSES.search(said) and not (self._whole and self._connected()):
                self._problem = said
            else:
                self._note(f"{self.where}: {said}; trying again in {self._wait:g} s")
            self._submit_at, self._wait = time.monotonic() + self._wait, min(2 * self._wait, _MOST_SECONDS)
        if self._problem:
            raise EndpointError(self._problem, place=self.where, cure="mend the cluster file and run again")
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + _ASK_SECONDS
            self._cluster.loop.add_callback(self._mend)

    def _connected(self) -> set[str]:
        """Names of the workers that are there."""
        return {str(info["name"]) for info in self._cluster.scheduler_info.get("workers", {}).values()}

    async def _mend(self) -> None:
        cluster, ask = self._cluster, ["squeue", "--noheader", "--me", "--format=%A"]
        before = {name: job for name, job in cluster.workers.items() if job.job_id}
        try:
            said = await cluster.job_cls._call(ask)  # noqa: SLF001 - as it asks sbatch and scancel
        except (OSError, RuntimeError):
            return  # slurmctld is away for now
        there = set(said.split())
        connected = self._connected()
        for name, job in before.items():
            came = any(one == name or one.startswith(f"{name}-") for one in connected)
            if came:
                self._seen.add(job.job_id)
                self._early = 0
            elif job.job_id not in there and cluster.workers.get(name) is job:
                del cluster.workers[name]
                if job.job_id not in self._seen:
                    self._early += 1
        if self._early >= _EARLY:
            self._problem = f"{self._early} jobs ended before a worker of theirs came ({self._last_words()})"
            return
        if time.monotonic() < self._submit_at or self._refusal:
            return
        for name, job in list(cluster.workers.items()):
            if not job.job_id and job.status.name == "closed":
                del cluster.workers[name]  # turned down
        if set(cluster.worker_spec) - set(cluster.workers):
            await self._state()
        if cluster.workers and all(job.job_id for job in cluster.workers.values()):
            self._whole, self._wait = True, _ASK_SECONDS

    def _last_words(self) -> str:
        """The last line that the newest job wrote."""
        for log in sorted(self._logs.glob("curate-*.err"), key=lambda one: one.stat().st_mtime, reverse=True)[:1]:
            lines = log.read_text("utf-8", "replace").strip().splitlines()
            if lines:
                return f"{log}: {lines[-1]}"
        return f"they wrote nothing to {self._logs}"

    def close(self) -> None:
        """Cancel the jobs, and forget the certificates."""
        try:
            super().close()
        finally:
            self._end()
