"""A real Slurm of one node for a test: munged, slurmctld and slurmd of Debian's packages, with folders of their own."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

PROGRAMS: Final = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
LACKS: Final = (
    "needs root"
    if os.geteuid()
    else ", ".join(name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin"))
)
"""Why there can be none here; empty where there can. Debian: apt-get install slurm-wlm munge."""

_CONFIGURATION: Final = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=10
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Starts in a context; ``env`` is what its commands need in their environment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.env = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._end()  # nobody else would
            raise
        return self

    def _begin(self) -> None:
        here = self._folder
        for name in ("state", "spool"):
            (here / name).mkdir()
        key = here / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        host = platform.node().partition(".")[0]
        (here / "slurm.conf").write_text(_CONFIGURATION.format(host=host, folder=here, ports=_free_ports(2)))
        munge = [
            "/usr/sbin/munged",
            "--foreground",
            "--force",
            "--key-file",
            str(key),
            "--socket",
            str(here / "munge.socket"),
        ]
        munge += [f"--{name}-file={here / name}" for name in ("pid", "log", "seed")]
        for command in (munge, ["/usr/sbin/slurmctld", "-D", "-c"], ["/usr/sbin/slurmd", "-D"]):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self._running.append(subprocess.Popen(command, env={**os.environ, **self.env}, cwd=here, **quiet))
            if command is munge:
                _until((here / "munge.socket").exists)
        _until(lambda: self("sinfo", "--noheader", "--format=%T").strip() == "idle")

    def __call__(self, *command: str) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(command, env={**os.environ, **self.env}, capture_output=True, text=True, check=False)
        return done.stdout

    def __exit__(self, *_: object) -> None:
        self("scancel", "--full", f"--user={os.getuid()}")
        end = time.monotonic() + 15
        while self("squeue", "--noheader") and time.monotonic() < end:
            time.sleep(0.2)
        self._end()

    def _end(self) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _until(there, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "Slurm did not come up"
        time.sleep(0.1)
