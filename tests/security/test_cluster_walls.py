"""Who can reach the processes of a run: this machine alone, or who holds a certificate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from recipes import step, write
from small_run import prose

from curate.errors import EndpointError
from curate.run.cluster import Runner
from curate.store.files import Store

_LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp."""


def listening(pids: list[int]) -> dict[str, list[str]]:
    """Addresses on which processes listen, by kind (tcp, tcp6, udp...), from the kernel's tables."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                name = str(link.readlink())
            except OSError:
                continue
            if name.startswith("socket:["):
                inodes.add(name[8:-1])
    found: dict[str, list[str]] = {}
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == _LISTEN or kind.startswith("udp")):
                found.setdefault(kind, []).append(fields[1])
    return found


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    below = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            below += [int(child), *descendants(int(child))]
    return below


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux which sockets listen")
def test_the_embedded_cluster_listens_on_loopback_alone(tmp_path: Path) -> None:
    """Scheduler, nannies, workers, dashboards: whoever could reach them could run code as this user."""
    before = listening([os.getpid()])
    with Runner(1) as runner:
        runner._connect(Store(tmp_path))
        found = listening([os.getpid(), *descendants(os.getpid())])
    addresses = [address for kind, held in found.items() for address in held if address not in before.get(kind, [])]
    assert len(addresses) >= 3  # the scheduler, a nanny, a worker
    # 127.0.0.1 in the byte order of this machine.
    loopback = f"{int.from_bytes(bytes((127, 0, 0, 1)), sys.byteorder):08X}"
    assert [a for a in addresses if a.partition(":")[0] != loopback] == []


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Dask's own variables for a key and a certificate that signs itself."""
    from distributed.security import Security

    pytest.importorskip("cryptography")
    made = Security.temporary()
    (tmp_path / "key.pem").write_text(made.tls_client_key)
    (tmp_path / "cert.pem").write_text(made.tls_client_cert)
    names = {"CA_FILE": "cert"}
    names |= {f"{who}__{what}": kind for who in ("SCHEDULER", "WORKER", "CLIENT") for what, kind in (("KEY", "key"), ("CERT", "cert"))}  # fmt: skip
    found = {f"DASK_DISTRIBUTED__COMM__TLS__{n}": str(tmp_path / f"{kind}.pem") for n, kind in names.items()}
    return {**found, "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}


@pytest.fixture
def cluster(tmp_path: Path, certificates: dict[str, str]) -> Iterator[str]:
    """A scheduler and a worker that speak TLS alone; the scheduler's address."""
    meeting, env = tmp_path / "scheduler.json", {**os.environ, **certificates}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": env}
    call = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--protocol", "tls", "--host", "127.0.0.1"]
    running = [subprocess.Popen([*call, "--port", "0", "--no-dashboard", "--scheduler-file", str(meeting)], **quiet)]
    try:
        call = [sys.executable, "-m", "distributed.cli.dask_worker", "--protocol", "tls", "--nthreads", "1"]
        running.append(subprocess.Popen([*call, "--no-dashboard", "--scheduler-file", str(meeting)], **quiet))
        for _ in range(600):
            if meeting.exists() and meeting.read_text().strip():
                break
            time.sleep(0.1)
        yield json.loads(meeting.read_text())["address"]
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def test_a_cluster_may_ask_for_certificates(tmp_path: Path, cluster: str, certificates: dict[str, str]) -> None:
    """tls:// with Dask's own settings works, the variables that name files included; without them it is one line."""
    assert cluster.startswith("tls://")
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": prose(n)}) + "\n" for n in range(9)))
    recipe = write(tmp_path / "r.yaml", [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("out", "write.text")])
    call = [sys.executable, "-m", "curate", "run", str(recipe), "--store", str(tmp_path / "run"), "--cluster", cluster]
    done = subprocess.run(
        call, env={**os.environ, **certificates}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run" / "out").glob("*.arrow"))
    with pytest.raises(EndpointError, match="no Dask scheduler"), Runner(1, cluster) as runner:
        runner._connect(Store(tmp_path / "run"))
