"""Scheduler and workers as pods, by dask-kubernetes' operator."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from curate.errors import CANCELLED, BudgetError, EndpointError, GuardError, InputError, RecipeError, VersionError
from curate.run.cluster_file import Driver, Kubernetes, Memory, SecretKey
from curate.run.deploy import CONFIG, LOOPBACK, Deployment, Note, nested, why

_SIZES: Final = {"kB": "k", "MB": "M", "GB": "G", "TB": "T", "kiB": "Ki", "MiB": "Mi", "GiB": "Gi", "TiB": "Ti"}

_TRIES: Final = 3
_FINAL: Final = sorted(
    {CANCELLED, *(kind.exit_code for kind in (RecipeError, InputError, BudgetError, GuardError, VersionError))}
)
"""Exit codes of a driver that is not run again: it was asked to stop, or another try would fail as it did."""


def quantity(memory: Memory) -> str:
    """Memory as Kubernetes writes it."""
    number = memory.rstrip("BkMGTi ")
    return number + _SIZES[memory[len(number) :].strip()]


def environment(cluster: Kubernetes) -> list[dict[str, Any]]:
    """``env`` of a container; values of secrets by reference, never by value."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
        if isinstance(value, SecretKey)
        else {"name": name, "value": value}
        for name, value in cluster.env.items()
    ]


def cluster_spec(cluster: Kubernetes, name: str) -> dict[str, Any]:
    """The DaskCluster resource: one process of one thread in each worker's pod; no dashboard, but the scheduler's page of its
    health, which the operator asks for."""
    from dask.config import serialize
    from dask_kubernetes.operator import make_cluster_spec

    config = {"name": "DASK_INTERNAL_INHERIT_CONFIG", "value": serialize(nested(CONFIG))}
    env = [*environment(cluster), config]
    least = cluster.adaptive.minimum if cluster.adaptive else cluster.workers or 0
    spec: dict[str, Any] = make_cluster_spec(name, image=cluster.image, n_workers=least, env=env)
    scheduler, workers = spec["spec"]["scheduler"]["spec"], spec["spec"]["worker"]["spec"]
    scheduler["containers"][0]["args"] += ["--no-dashboard", "--dashboard-address", ":8787"]
    scheduler["containers"][0].pop("resources")
    _fill(workers, cluster, cluster.resources, {})
    scheduler["volumes"] = workers["volumes"]
    scheduler["containers"][0]["volumeMounts"] = list(cluster.mounts)
    return spec


def _fill(pod: dict[str, Any], cluster: Kubernetes, resources: Mapping[Any, Any], offers: Mapping[str, float]) -> None:
    """What make_cluster_spec has no words for."""
    container = pod["containers"][0]
    container["args"] = ["dask-worker", "--name", "$(DASK_WORKER_NAME)", "--nthreads", "1", "--no-dashboard"]
    container["args"] += ["--dashboard-address", LOOPBACK]
    container["ports"] = []
    if offers:
        container["args"] += ["--resources", ",".join(f"{kind}={amount:g}" for kind, amount in sorted(offers.items()))]
    container["resources"] = dict(resources)
    container["volumeMounts"] = list(cluster.mounts)
    pod["volumes"] = list(cluster.volumes)
    # Enough to give its task back: a worker that is told to go does not finish it.
    pod["terminationGracePeriodSeconds"] = 30


def group_specs(cluster: Kubernetes, name: str) -> dict[str, dict[str, Any]]:
    """The pods of each group of workers: ``replicas`` and ``spec`` of a DaskWorkerGroup."""
    found = {}
    for group_name, group in cluster.groups.items():
        spec = cluster_spec(cluster, name)["spec"]["worker"]
        resources: dict[Any, Any] = {kind: dict(values) for kind, values in cluster.resources.items()}
        for kind in ("limits", "requests") if group.memory or group.cores else ():
            each = resources.setdefault(kind, {})
            each |= {"memory": quantity(group.memory)} if group.memory else {}
            each |= {"cpu": str(group.cores)} if group.cores else {}
        _fill(spec["spec"], cluster, resources, group.resources)
        found[group_name] = {"replicas": group.workers, "spec": spec["spec"]}
    return found


def job_manifest(cluster: Kubernetes, argv: list[str], name: str) -> dict[str, Any]:
    """A Job in whose pod a command line runs. One that fails is run again, up to three times, which goes on with it, and one
    whose node goes as often as that happens; not one that was asked to stop, or that no other try mends."""
    driver: Driver = cluster.driver
    size = {"cpu": str(driver.cores), "memory": quantity(driver.memory)}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "containers": [
            {
                "name": "driver",
                "image": cluster.image,
                "command": argv,
                "env": environment(cluster),
                "resources": {"requests": size, "limits": size},
                "volumeMounts": list(cluster.mounts),
            }
        ],
        "volumes": list(cluster.volumes),
    }
    if cluster.service_account:
        pod["serviceAccountName"] = cluster.service_account
    metadata: dict[str, Any] = {"name": name, "labels": {"app": "curate"}}
    if cluster.namespace:
        metadata["namespace"] = cluster.namespace
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": _TRIES,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "driver", "operator": "In", "values": _FINAL},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": {"app": "curate"}}, "spec": pod},
        },
    }


class OnKubernetes(Deployment):
    """A DaskCluster that lives as long as the driver."""

    queued = True

    def __init__(self, cluster: Kubernetes, note: Note) -> None:
        from dask_kubernetes.operator import KubeCluster
        from distributed import Client

        name = f"curate-{uuid.uuid4().hex[:8]}"
        self.where = cluster.name
        self.on_demand = cluster.adaptive is not None and not cluster.adaptive.minimum
        self.most = cluster.adaptive.maximum if cluster.adaptive else 0
        self.kinds = frozenset(kind for group in cluster.groups.values() for kind in group.resources)
        try:
            self._cluster = KubeCluster(
                custom_cluster_spec=cluster_spec(cluster, name),
                namespace=cluster.namespace,
                port_forward_cluster_ip=cluster.reach == "forward",
                shutdown_on_close=True,
                resource_timeout=600,
                quiet=True,
            )
            for group, spec in group_specs(cluster, name).items():
                self._cluster.add_worker_group(f"{name}-{group}", n_workers=spec["replicas"], custom_spec=spec["spec"])
            if cluster.adaptive:
                self._cluster.adapt(minimum=cluster.adaptive.minimum, maximum=cluster.adaptive.maximum)
        except Exception as error:  # noqa: BLE001 - kr8s', httpx's and the operator's own kinds, none of them Dask's
            raise EndpointError(
                f"Kubernetes gave no cluster ({why(error)})",
                place=self.where,
                cure="is the operator of dask-kubernetes there? see docs/clusters.md",
            ) from None
        note(
            f"{name}: whoever reaches the scheduler's service can run code in its pods; keep others out with a NetworkPolicy"
        )
        super().__init__(Client(self._cluster))

    def close(self) -> None:
        """Delete the DaskCluster, and with it the pods."""
        super().close()
        logging.getLogger("kr8s").setLevel(logging.CRITICAL)
        with suppress(Exception):
            self._cluster.close(timeout=30)
