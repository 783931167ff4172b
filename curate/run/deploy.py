"""Clusters: an embedded one, one that is reached, and those that are started as a cluster file says. See cluster_file.py."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from curate.errors import EndpointError, RecipeError
from curate.run.cluster_file import Cluster, Kubernetes, Scheduler, Slurm, Tls
from curate.run.leaving import deaf_to_signals, unmoved_by_clocks
from curate.startup import ALLOCATOR, without_pandas

CONFIG: Final = {
    # Each death is told at once: what follows from how many is decided in flights.py.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.tick.limit": "1h",
    # A worker of ours that ends is known by its connection. Heartbeats are counted by the wall clock: set forward by
    # more than this, it would condemn all workers at once, and with them the rows that they are at.
    "distributed.scheduler.worker-ttl": None,
    # After so long without its worker a nanny is dismissed, also one whose worker is just slow to start.
    "distributed.deploy.lost-worker-timeout": "60s",
    # Adaptive workers: the scheduler sees a few tasks of many, so that a second of work is enough to want another one; and
    # between two steps, when there are none for a moment, they stay.
    "distributed.adaptive.target-duration": "1s",
    "distributed.adaptive.wait-count": 60,
    # Results that are kept must not depend on how a BLAS splits its sums.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **ALLOCATOR,
    },
}
LOOPBACK: Final = "127.0.0.1:0"
"""Where dashboards listen. Where nothing is said, or that there be none, Dask listens on every interface."""
CONNECT: Final = (OSError, TimeoutError, ValueError, TypeError, RuntimeError)
"""What Dask's client raises where nobody answers, or not as he should."""

Note = Callable[[str], None]


class Deployment:
    """A cluster with a client.

    Attributes:
        where: what errors call it.
        client: Dask's.
        queued: whether its workers come when somebody's queue lets them, which may take hours.
        on_demand: whether none come before there are tasks.
        kinds: what its workers offer, where that is known before they come.
        most: threads that come while there are tasks for them: so many tasks must be there to be seen; 0: none do.
        ours: whether its workers are children of this process, with its libraries and its files.
    """

    where = "the embedded cluster"
    queued = False
    on_demand = False
    ours = False
    kinds: frozenset[str] | None = None
    most = 0

    def __init__(self, client: Any) -> None:
        self.client = client

    def mend(self) -> None:
        """Start workers in place of those that were lost; raises EndpointError when that can't help."""

    def close(self) -> None:
        """End what was started."""
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self.client.close(timeout=5)


def deploy(cluster: Cluster | None, workers: int, memory: str, note: Note) -> Deployment:
    """Start, or reach, a cluster; without one an embedded one of so many workers. ``note`` is told what a user should know."""
    import dask

    dask.config.set(CONFIG)
    unmoved_by_clocks()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    # What the client finds comes to us as an exception; its own words are a traceback.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    if cluster is None:
        return _Embedded(workers, memory)
    if isinstance(cluster, Scheduler):
        return _Reached(cluster, cluster.where(), note)
    if importlib.util.find_spec(cluster.package) is None:
        raise RecipeError(
            f"a cluster of kind {cluster.kind} needs {cluster.package}, which is not installed",
            place=cluster.name,
            cure=f"pip install 'phi-curate[{cluster.extra}]'",
        )
    if isinstance(cluster, Slurm):
        from curate.run.deploy_slurm import OnSlurm

        return OnSlurm(cluster, note)
    if isinstance(cluster, Kubernetes):
        from curate.run.deploy_pods import OnKubernetes

        return OnKubernetes(cluster, note)
    from curate.run.deploy_mpi import OnMpi

    return OnMpi(cluster, note)


def security(tls: Tls | None, kind: type | None = None) -> Any:
    """Dask's security by these files: both sides show a certificate that the same authority signed; None without. ``kind``: a
    Security of another kind."""
    if tls is None:
        return None
    from distributed.security import Security

    roles = {
        f"tls_{role}_{what}": path
        for role in ("client", "scheduler", "worker")
        for what, path in (("cert", tls.cert), ("key", tls.key))
    }
    return (kind or Security)(require_encryption=True, tls_ca_file=tls.ca, **roles)


def connect(address: str, tls: Tls | None, where: str, cure: str) -> Any:
    """A client of a scheduler; raises EndpointError in one line."""
    from distributed import Client

    try:
        return Client(address, timeout="10s", security=security(tls))
    except CONNECT as error:
        raise EndpointError(f"no Dask scheduler answers ({why(error)})", place=where, cure=cure) from None


def why(error: BaseException) -> str:
    """What was wrong with a connection: of a handshake that was refused OpenSSL's words, else the first line of Dask's."""
    import ssl

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            said = seen.verify_message if isinstance(seen, ssl.SSLCertVerificationError) else seen.reason
            return f"the TLS handshake was refused: {said}"
        seen = seen.__cause__ or seen.__context__
    return " ".join(str(error).split()) or type(error).__name__


# -- the embedded one, and one that runs ---------------------------------------------------------------------------


def _our_worker() -> Any:
    """What a worker process of ours is told once: not to hear signals to all, and not to load what it won't use."""
    from distributed import WorkerPlugin

    class OurWorker(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            deaf_to_signals()
            unmoved_by_clocks()
            without_pandas()

    return OurWorker()


class _Embedded(Deployment):
    ours = True

    def __init__(self, workers: int, memory: str) -> None:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=LOOPBACK,
            memory_limit=memory,
            silence_logs=logging.CRITICAL,
        )
        self._wanted = workers
        super().__init__(Client(self._cluster))
        self.client.register_plugin(_our_worker(), name="our-worker")

    def mend(self) -> None:
        """Start workers in place of those that Dask has given up.

        It gives one up that dies while it starts, or that is slow to start again.
        """
        cluster, wanted = self._cluster, self._wanted

        def mend() -> None:
            for name, nanny in list(cluster.workers.items()):
                if nanny.status.name in ("closed", "failed", "stopped"):
                    del cluster.workers[name]
            if len(cluster.workers) < wanted:
                cluster.scale(wanted)

        cluster.loop.add_callback(mend)

    def close(self) -> None:
        super().close()
        self._cluster.close(timeout=10)


class _Reached(Deployment):
    def __init__(self, cluster: Scheduler, address: str, note: Note) -> None:
        self.where = cluster.name
        cure = "start 'dask scheduler' and 'dask worker', or leave --cluster out"
        client = connect(address, cluster.certificates, self.where, cure)
        super().__init__(client)
        if said := warning([address]):
            note(said)


def exposed(address: str) -> bool:
    """Whether a plain scheduler's address can be reached from other machines."""
    protocol, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]") or rest
    if protocol != "tcp" or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True  # a name


def warning(addresses: Sequence[str]) -> str | None:
    """What a user is told of plain schedulers that others reach."""
    found = [address for address in addresses if exposed(address)]
    if not found:
        return None
    return (
        f"{found[0]} is not encrypted, and asks nobody who he is: whoever reaches it can run code as you; "
        "use tls:// where others are on the network (docs/clusters.md)"
    )


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Dask's configuration as it is written in files."""
    made: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        here = made
        for folder in folders:
            here = here.setdefault(folder, {})
        here[last] = value
    return made
