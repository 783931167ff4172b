"""`curate run --detach`: the same command in a process, a job or a pod of its own, which goes on when this one's machine is closed."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from curate.cli.progress import shown
from curate.environment import restored, secret
from curate.errors import CurateError, RecipeError

if TYPE_CHECKING:
    from curate.recipe.recipe import Recipe
    from curate.run.cluster_file import Cluster
    from curate.run.submit import Submitted
    from curate.store.files import Store

_START_SECONDS: Final = 120.0
"""How long a driver may take until it has the store, or waits for it: a busy machine imports slowly."""
_LOG_BYTES: Final = 16 << 20
"""A log with more is put away when a run begins: ``driver.log.old`` is the one before."""
_SAID: Final = 4000


def detach(store: Store, cluster: Cluster | None, recipe: Recipe, *, wait: bool, as_json: bool = False) -> None:
    """Start this command line again without ``--detach``, beside the cluster's scheduler; say how to look at it, or ``as_json``
    where it was sent.

    A driver that is a process of this machine is waited for until it has the store: if it ends before, its words and its exit code
    are ours. Raises BusyError when another command has the store and it is not to ``wait``, and RecipeError where a key would
    have to travel in a job's environment.
    """
    from curate.run.cluster_file import Kubernetes
    from curate.run.lease import check_free
    from curate.run.status import SUBMITTED
    from curate.run.submit import submit
    from curate.run.watch import LOG
    from curate.store.disk import make_folder, storage_errors

    if store.remote and str(store).startswith("memory://"):
        raise RecipeError("a store in memory is one process's alone", place=str(store), cure="leave --detach out")
    if not wait:
        check_free(store)
    _check_keys(cluster, recipe)
    log = store.state(LOG)
    with storage_errors(str(log)):
        make_folder(log.parent)
    if log.is_file() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.old"))
    begin = log.stat().st_size if log.is_file() else 0
    same = [word for word in sys.argv[1:] if word not in ("--detach", "--json")]  # its log is for people
    # -P: no module of the folder that it is run in.
    argv = [sys.executable, "-P", "-m", "curate", *same, "--driver-log", f"{log}:{begin}"]
    if isinstance(cluster, Kubernetes):
        # An image has another Python, and what it prints its pod's log has. A pod in place of one that was killed finds a lease
        # that looks held for as long as it was to hold.
        argv = ["curate", *same, *([] if wait else ["--wait"])]
    job = submit(cluster, argv, f"curate {recipe.name}", log, env=restored())
    store.replace_json(SUBMITTED, job.dump())
    if job.kind == "process":
        _wait(store, job, log, begin)
    if as_json:
        print(json.dumps({"store": str(store), "detached": job.dump()}))
    else:
        _say(store, job)


def _check_keys(cluster: Cluster | None, recipe: Recipe) -> None:
    from curate.run.submit import as_batch_job

    if not as_batch_job(cluster):
        return
    names = {model.key_env for model in recipe.models.values() if model.key_env}
    if names := {name for name in names if secret(name) and not os.environ.get(f"{name}_FILE")}:
        first = min(names)
        raise RecipeError(
            f"{first} is in this command's environment, which a batch system would keep on its disks",
            cure=f"put the key into a file that only you can read, on a disk that the job sees, and set {first}_FILE",
        )


def _wait(store: Store, job: Submitted, log: Path, begin: int) -> None:
    """Until the driver has the store, or waits for it."""
    from curate.run.lease import holder, waiters

    pid, end = int(job.id), time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        held = holder(store)
        owners = [*([held[1]] if held is not None else []), *waiters(store)]
        if any(owner.pid == pid and owner.here() for owner in owners):
            return
        if job.alive() is False:
            raise _ended(store, pid, log, begin)
        time.sleep(0.1)
    raise CurateError(f"pid {pid} has not begun after {_START_SECONDS:g} s", place=str(log), cure="see what it says")


def _ended(store: Store, pid: int, log: Path, begin: int) -> SystemExit:
    """What it said goes where ours would; with its exit code."""
    from curate.report.plain import escaped
    from curate.run.status import SUBMITTED

    store.remove(SUBMITTED)
    with log.open("rb") as file:
        file.seek(begin)
        said = file.read().decode("utf-8", "replace")
    print(escaped(said[-_SAID:]), end="", file=sys.stderr)
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        code = 1
    return SystemExit(code if code >= 0 else 128 - code)


def _say(store: Store, job: Submitted) -> None:
    where = {"process": f"pid {job.id} on {job.host}", "slurm": f"Slurm job {job.id}"}
    name = shown(store)
    short = shlex.quote(name.removeprefix("runs/") if name.count("/") == 1 else name)
    print(f"detached: {where.get(job.kind, f'Kubernetes job {job.id}')}; results: {name}")
    for said, command in (("Where it stands:", "status"), ("What it says:", "logs -f"), ("Stop it:", "cancel")):
        print(f"  {said:<17}curate {command} {short}")
