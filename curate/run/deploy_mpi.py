"""Ranks of one MPI program as scheduler and workers, by dask-mpi."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from curate.errors import EndpointError
from curate.run.cluster_file import Mpi
from curate.run.deploy import CONFIG, LOOPBACK, Deployment, Note, connect, nested, warning

_MEET_SECONDS: Final = 60.0
"""How long the ranks may take until their scheduler is there."""


def mpi_command(cluster: Mpi, meeting: Path) -> list[str]:
    """What starts the ranks."""
    options = {"dashboard_address": LOOPBACK}
    command = [*cluster.launcher, *(["-n", str(cluster.ranks)] if cluster.ranks else [])]
    command += [
        cluster.python or sys.executable,
        "-P",  # no module of the folder that it is run in
        "-m",
        "dask_mpi.cli",
        "--scheduler-file",
        str(meeting),
        "--nthreads",
        "1",
    ]
    command += ["--no-dashboard", "--dashboard-address", LOOPBACK, "--worker-options", json.dumps(options)]
    for name, value in (("interface", cluster.interface), ("local-directory", cluster.local_directory)):
        command += [f"--{name}", value] if value else []
    command += ["--memory-limit", cluster.memory] if cluster.memory else []
    return [*command, "--protocol", "tls"] if cluster.certificates else command


class OnMpi(Deployment):
    """An MPI program that lives as long as the driver."""

    def __init__(self, cluster: Mpi, note: Note) -> None:
        from dask.config import serialize

        self.where = cluster.name
        self._meeting = cluster.file(f".curate-mpi-{uuid.uuid4().hex[:12]}.json")
        tls = cluster.certificates
        config: dict[str, Any] = dict(CONFIG)
        if tls:
            config |= {"distributed.comm.require-encryption": True, "distributed.comm.tls.ca-file": tls.ca}
            for role in ("scheduler", "worker", "client"):
                config |= {f"distributed.comm.tls.{role}.cert": tls.cert, f"distributed.comm.tls.{role}.key": tls.key}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the ranks
        env = {**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": serialize(nested(config))}
        command = mpi_command(cluster, self._meeting)
        try:
            self._ranks = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said, env=env, start_new_session=True
            )
        except OSError as error:
            raise EndpointError(
                f"{command[0]} can't be started ({error.strerror})", place=self.where, cure="see 'launcher'"
            ) from None
        try:
            address = self._meet()
            super().__init__(connect(address, tls, self.where, "see docs/clusters.md"))
            if said := warning([address]):
                note(said)
        except BaseException:
            self._end()
            raise

    def _meet(self) -> str:
        end = time.monotonic() + _MEET_SECONDS
        while time.monotonic() < end:
            with suppress(OSError, ValueError, KeyError):
                return str(json.loads(self._meeting.read_bytes())["address"])
            self.mend()
            time.sleep(0.1)
        raise EndpointError(f"no scheduler after {_MEET_SECONDS:g} s", place=self.where, cure="see 'interface'")

    def mend(self) -> None:
        """Ranks that ended are not started again: MPI ends all of them together."""
        if (code := self._ranks.poll()) is not None:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            raise EndpointError(
                f"the MPI program ended with code {code} ({lines[-1].strip() if lines else 'without a word'})",
                place=self.where,
                cure="run again: what is committed is kept",
            )

    def close(self) -> None:
        """End the ranks."""
        try:
            with suppress(OSError, TimeoutError, RuntimeError):
                self.client.shutdown()
            super().close()
        finally:
            self._end()

    def _end(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._ranks.wait(10)
        for end in (self._ranks.terminate, self._ranks.kill):
            if self._ranks.poll() is None:
                end()
                with suppress(subprocess.TimeoutExpired):
                    self._ranks.wait(30)
        self._said.close()
        self._meeting.unlink(missing_ok=True)
