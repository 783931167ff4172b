"""Who can reach the processes of a run: this machine alone, or who holds a certificate."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Curate, results

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


def authority(folder: Path) -> dict[str, str]:
    """A certificate authority, and a certificate of its making with its key: ``ca``, ``cert`` and ``key`` as files."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = dt.datetime.now(dt.UTC)
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in ("ca", "node")}
    names = {who: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{folder.name} {who}")]) for who in keys}
    for who, name in (("ca", "ca"), ("node", "cert")):
        made = (
            x509.CertificateBuilder()
            .subject_name(names[who])
            .issuer_name(names["ca"])
            .public_key(keys[who].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=who == "ca", path_length=None), critical=True)
            .sign(keys["ca"], hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(keys["node"].private_bytes(*kinds))
    return {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Dask's own variables for them."""
    made = authority(tmp_path / "ours")
    names = {"CA_FILE": "ca"}
    names |= {f"{who}__{what}": kind for who in ("SCHEDULER", "WORKER", "CLIENT") for what, kind in (("KEY", "key"), ("CERT", "cert"))}  # fmt: skip
    found = {f"DASK_DISTRIBUTED__COMM__TLS__{n}": made[kind] for n, kind in names.items()}
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


def test_a_cluster_may_ask_for_certificates(
    curate: Curate, tmp_path: Path, cluster: str, certificates: dict[str, str]
) -> None:
    """tls:// works with Dask's own settings, and with a cluster file that names certificates: the same bytes as on a laptop (``make
    clusters``: of a shipped recipe). Without any, and with certificates that another authority signed, it is one line."""
    assert cluster.startswith("tls://")
    curate.run("harvest-mini", tmp_path / "laptop").ok()
    call = [
        sys.executable,
        "-m",
        "curate",
        "run",
        "harvest-mini",
        "--store",
        str(tmp_path / "run"),
        "--cluster",
        cluster,
    ]
    done = subprocess.run(
        call, env={**os.environ, **certificates}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "run") == results(tmp_path / "laptop")
    said = {
        "kind": "scheduler",
        "address": cluster,
        "tls": {name: f"ours/{name}.pem" for name in ("ca", "cert", "key")},
    }
    (tmp_path / "c.yaml").write_text(json.dumps(said))
    call[call.index(str(tmp_path / "run"))] = str(tmp_path / "again")
    done = subprocess.run(
        [*call[:-1], str(tmp_path / "c.yaml")], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "again") == results(tmp_path / "laptop")
    with pytest.raises(EndpointError, match="no Dask scheduler"), Runner(1, cluster) as runner:
        runner._connect(Store(tmp_path / "run"))
    (tmp_path / "c.yaml").write_text(json.dumps(said | {"tls": authority(tmp_path / "theirs")}))
    with pytest.raises(EndpointError) as found, Runner(1, str(tmp_path / "c.yaml")) as runner:
        runner._connect(Store(tmp_path / "run"))
    assert "the TLS handshake was refused: " in str(found.value)
    assert "\n" not in str(found.value)
