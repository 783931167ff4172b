"""What ``--cluster`` may name: an address, a scheduler file, or a YAML file that says how a cluster is started or reached.

========== ============================================================================================
kind       the cluster
========== ============================================================================================
slurm      workers are Slurm jobs, one scheduler in the driver's process (dask-jobqueue)
kubernetes a DaskCluster resource, which dask-kubernetes' operator makes scheduler and workers of
mpi        ranks of one MPI program, started inside the job that the driver runs in (dask-mpi)
scheduler  somebody else's: an address or a scheduler file, with the certificates that it asks for
========== ============================================================================================

Nothing here imports Dask; ``deploy.py`` does what is written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from curate.errors import EndpointError, RecipeError, did_you_mean
from curate.recipe.document import Source, read_yaml, validated

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME: Final = r"[a-z][a-z0-9_-]{0,31}"
_KUBERNETES_NAME: Final = r"[a-z]([a-z0-9-]*[a-z0-9])?"
_TAKEN: Final = frozenset({"worker", "default"})
"""Names of groups: what jobs, and on Kubernetes the operator's group, of the other workers are called."""


def seconds_of(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h``, ``1d``, or of Slurm's own forms: minutes, ``mm:ss``, ``hh:mm:ss``, ``d-hh[:mm[:ss]]``.

    Raises ValueError for anything else.
    """
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return float(found[1]) * _UNITS[found[2]]
    if found := re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text):
        days, *rest = found.groups()
        numbers = [int(one) for one in rest if one is not None]
        if days is not None:
            hours, minutes, seconds = (*numbers, 0, 0)[:3]
            return int(days) * 86400.0 + hours * 3600 + minutes * 60 + seconds
        if len(numbers) == 3:
            return numbers[0] * 3600.0 + numbers[1] * 60 + numbers[2]
        return numbers[0] * 60.0 + (numbers[1] if len(numbers) == 2 else 0)
    raise ValueError("a time is written as 90s, 30m, 2h, or hh:mm:ss")


def _time(given: Any) -> Any:
    if isinstance(given, int | float):
        raise ValueError("a time is written as 90s, 30m, 2h, or in quotes as Slurm does")  # noqa: TRY004 - pydantic's
    if isinstance(given, str):
        seconds_of(given)
    return given


def _memory(given: Any) -> Any:
    if not isinstance(given, str) or not re.fullmatch(r"\d+(\.\d+)?\s?([kMGT]i?B)", given):
        raise ValueError("memory is written with its unit, as 500MB, 4GB or 4GiB")
    return given


def _amount(given: Any) -> Any:
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _value(given: Any) -> Any:
    if isinstance(given, bool | float):
        raise ValueError("write it in quotes")  # noqa: TRY004 - as _time; true or True, 1.10 or 1.1?
    return _amount(given)


def _name(given: str) -> str:
    if not re.fullmatch(_NAME, given):
        raise ValueError("a name is of small letters, digits, '-' and '_', at most 32, and begins with a letter")
    return given


def _files_or(*words: str) -> BeforeValidator:
    def known(given: Any) -> Any:
        if isinstance(given, dict | Tls) or given in words:
            return given
        raise ValueError(f"is {' or '.join(words)}, or names files: {{ca: ..., cert: ..., key: ...}}")

    return BeforeValidator(known)


Time = Annotated[str, BeforeValidator(_time)]
Memory = Annotated[str, BeforeValidator(_memory)]
Name = Annotated[str, AfterValidator(_name)]
Amount = Annotated[str, BeforeValidator(_amount)]
Value = Annotated[str, BeforeValidator(_value)]
Interface = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@-]+$")]
Resources = dict[Name, Annotated[float, Field(ge=1)]]
"""Less than one of a kind is none: a task takes one."""
_DIRECTIVES: Final = AliasChoices("directives", "job_extra_directives")
"""Ours, and what dask-jobqueue calls them: both everywhere."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(_Part):
    """Certificates as files: of who signs, of this driver (and of the workers that it starts), and its key."""

    ca: str = Field(description="certificate of who signs")
    cert: str = Field(description="our certificate")
    key: str = Field(description="its key")


class Adaptive(_Part):
    """Workers come while there is work for them, and go when there is none."""

    minimum: int = Field(0, ge=0, description="workers that are always there")
    maximum: int = Field(ge=1, description="workers at most")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is more than maximum")
        return self


class Group(_Part):
    """Workers of one kind: what they offer, and what is different from the cluster's other workers."""

    workers: int = Field(ge=1, description="how many")
    resources: Resources = Field(default_factory=dict, description="what a worker offers, as {sandbox: 1}")
    cores: int | None = Field(None, ge=1, description="see the cluster's")
    memory: Memory | None = Field(None, description="see the cluster's")
    partition: str | None = Field(None, description="see the cluster's")
    directives: list[str] = Field(
        default_factory=list, validation_alias=_DIRECTIVES, description="added to the cluster's"
    )


class Driver(_Part):
    """The job, or the pod, in which ``curate run --detach`` runs."""

    cores: int = Field(1, ge=1)
    memory: Memory = "4GB"
    walltime: Time | None = None
    partition: str | None = None
    directives: list[str] = Field(default_factory=list, validation_alias=_DIRECTIVES)


class _Cluster(_Part):
    """What all have.

    Attributes:
        extra: of this distribution, that its package comes with.
    """

    extra: ClassVar[str] = ""
    package: ClassVar[str] = "distributed"

    _given: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """As the user named it."""
        return self._given

    @property
    def folder(self) -> Path:
        """Where relative paths of a cluster file start."""
        return Path(self._given).absolute().parent

    def given(self, name: str) -> Self:
        """The same, called as the user did."""
        self._given = name
        return self

    def file(self, given: str) -> Path:
        """A path of the cluster file."""
        return self.folder / Path(given).expanduser()

    @property
    def certificates(self) -> Tls | None:
        """Of TLS, as absolute paths; None where no files are named."""
        tls = getattr(self, "tls", None)
        if not isinstance(tls, Tls):
            return None
        return Tls(**{what: str(self.file(path)) for what, path in tls.model_dump().items()})


class Scheduler(_Cluster):
    """A scheduler that is running already."""

    kind: Literal["scheduler"] = "scheduler"
    address: str | None = Field(None, pattern=r"^[a-z]+://", description="tcp://host:port or tls://host:port")
    scheduler_file: str | None = Field(None, description="the file that 'dask scheduler --scheduler-file' wrote")
    tls: Tls | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.address is None) == (self.scheduler_file is None):
            raise ValueError("it needs address or scheduler_file, one of them")
        if self.tls and self.address and not self.address.startswith("tls://"):
            raise ValueError("certificates are for an address that begins with tls://")
        return self

    def where(self) -> str:
        """The scheduler's address; raises EndpointError where a file has none."""
        if self.address is not None:
            return self.address
        assert self.scheduler_file is not None
        try:
            found = json.loads(self.file(self.scheduler_file).read_bytes())["address"]
        except FileNotFoundError:
            raise EndpointError("there is no such scheduler file", place=self.name) from None
        except (OSError, ValueError, KeyError, TypeError):
            raise EndpointError(
                "is no scheduler file", place=self.name, cure="give the one that 'dask scheduler' wrote"
            ) from None
        return str(found)


class _Started(_Cluster):
    """A cluster that the driver starts and ends."""

    workers: int | None = Field(None, ge=1, description="worker processes, over all jobs")
    adaptive: Adaptive | None = None
    groups: dict[Name, Group] = Field(default_factory=dict)
    driver: Driver = Driver()

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if sum((self.workers is not None, self.adaptive is not None)) + bool(self.groups and not self.workers) != 1:
            raise ValueError("it needs one of workers, adaptive and groups (groups and workers may stand together)")
        if taken := sorted(_TAKEN & set(self.groups)):
            raise ValueError(f"a group can't be called '{taken[0]}': the cluster's other workers are")
        return self


class Slurm(_Started):
    """Workers as Slurm jobs."""

    extra: ClassVar[str] = "slurm"
    package: ClassVar[str] = "dask_jobqueue"

    kind: Literal["slurm"]
    cores: int = Field(1, ge=1, description="cores of a job")
    processes: int | None = Field(None, ge=1, description="workers of a job; default: one for each core")
    memory: Memory = Field(description="memory of a job")
    walltime: Time = Field("01:00:00", description="of a job: others come in place of those that it ended")
    partition: str | None = Field(None, description="as sbatch -p")
    account: str | None = Field(None, description="as sbatch -A")
    interface: Interface | None = Field(None, description="network interface of scheduler and workers, as ib0")
    host: str | None = Field(None, description="address of this machine that workers reach")
    local_directory: str | None = Field(None, description="node-local scratch of the workers")
    directives: list[str] = Field(
        default_factory=list, validation_alias=_DIRECTIVES, description="more lines after #SBATCH"
    )
    prologue: list[str] = Field(default_factory=list, description="shell lines before the worker: modules, environment")
    python: str | None = Field(None, description="Python of the workers; default: this one's path")
    log_directory: str = Field("slurm-logs", description="jobs' output, and the certificates of tls: temporary")
    tls: Annotated[Tls | Literal["temporary", "plain"], _files_or("temporary", "plain")] = Field(
        "temporary", description="made for this run, files, or plain: whoever reaches the scheduler can run code as you"
    )
    drain: Time = Field("2m", description="a worker begins no task so long before its job's limit")
    stagger: Time = Field("1m", description="each a random part of it earlier, so that not all go at once")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.adaptive and self.groups:
            raise ValueError("adaptive has workers of one kind: leave groups out")
        if seconds_of(self.walltime) <= seconds_of(self.drain) + seconds_of(self.stagger):
            raise ValueError("walltime must be longer than drain and stagger together")
        if self.cores % (self.processes or self.cores):
            raise ValueError("processes must divide cores")
        return self


class SecretKey(_Part):
    """A key of a Kubernetes secret."""

    secret: str
    key: str


class Kubernetes(_Started):
    """Scheduler and workers as pods, by dask-kubernetes' operator."""

    extra: ClassVar[str] = "kubernetes"
    package: ClassVar[str] = "dask_kubernetes"

    kind: Literal["kubernetes"]
    image: str = Field(description="with curate, the same version, and what the recipe's stages need")
    namespace: str | None = Field(None, description="default: that of the context")
    resources: dict[Literal["limits", "requests"], dict[str, Amount]] = Field(
        default_factory=dict, description="of each worker's pod"
    )
    env: dict[str, Value | SecretKey] = Field(default_factory=dict, description="values, or {secret: NAME, key: KEY}")
    volumes: list[dict[str, Any]] = Field(default_factory=list, description="of scheduler and workers, as in a pod")
    mounts: list[dict[str, Any]] = Field(default_factory=list, description="volumeMounts of their containers")
    service_account: str | None = Field(None, description="of the driver's pod: it makes DaskClusters")
    reach: Literal["inside", "forward"] = Field("inside", description="forward: from a laptop, through a port-forward")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if wrong := next((name for name in self.groups if not re.fullmatch(_KUBERNETES_NAME, name)), None):
            raise ValueError(f"Kubernetes takes no group '{wrong}': no '_', and no '-' at its end")
        return self


class Mpi(_Cluster):
    """Ranks of one MPI program, inside the allocation in which the driver runs: rank 0 is the scheduler."""

    extra: ClassVar[str] = "mpi"
    package: ClassVar[str] = "dask_mpi"

    kind: Literal["mpi"]
    ranks: int | None = Field(
        None, ge=2, description="the scheduler's and the workers'; None: what the launcher chooses"
    )
    launcher: list[str] = Field(default=["mpirun"], min_length=1, description="as [srun] or [mpirun, --bind-to, none]")
    interface: Interface | None = Field(None, description="network interface, as ib0")
    memory: Memory | None = Field(None, description="of each worker")
    local_directory: str | None = Field(None, description="node-local scratch of the workers")
    python: str | None = Field(None, description="Python of the ranks; default: this one's path")
    tls: Annotated[Tls | Literal["plain"], _files_or("plain")] = Field("plain", description="files that all ranks see")
    driver: Driver = Driver()


Cluster = Scheduler | Slurm | Kubernetes | Mpi
KINDS: Final[dict[str, type[Scheduler | Slurm | Kubernetes | Mpi]]] = {
    "slurm": Slurm,
    "kubernetes": Kubernetes,
    "mpi": Mpi,
    "scheduler": Scheduler,
}


def read_cluster(given: str) -> Cluster:
    """What ``--cluster`` says. Raises RecipeError with line and nearest name for a cluster file that is wrong.

    Args:
        given: ``tcp://host:port``, ``tls://host:port``, a file that ends in .yaml, or a scheduler file.
    """
    if not given.strip():
        raise RecipeError("--cluster is empty", cure="is a variable not set? Without --cluster it runs on this machine")
    if "://" in given:
        return Scheduler.model_construct(address=given).given(given)
    if not given.endswith((".yaml", ".yml")):
        if re.fullmatch(r"\[?[\w.:-]+\]?:\d+", given) and not Path(given).exists():
            raise RecipeError("there is no such scheduler file", place=given, cure=f"an address is tcp://{given}")
        return Scheduler(scheduler_file=str(Path(given).absolute())).given(given)
    source = read_yaml(Path(given), "cluster file")
    if not isinstance(source.values, dict) or "kind" not in source.values:
        raise RecipeError(
            "a cluster file is a mapping with 'kind:'", place=source.place(), cure=f"one of {', '.join(KINDS)}"
        )
    kind = source.values["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecipeError(
            f"there is no kind of cluster '{kind}'", place=source.place(("kind",)), cure=did_you_mean(str(kind), KINDS)
        )
    found: Any = validated(KINDS[kind], source.values, source, (), f"a cluster of kind {kind}")
    cluster: Cluster = found.given(given)
    _check_files(cluster, source)
    return cluster


def _check_files(cluster: Cluster, source: Source) -> None:
    for what, path in (cluster.certificates.model_dump() if cluster.certificates else {}).items():
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise RecipeError(
                f"{what}: {path} can't be read ({error.strerror})", place=source.place(("tls", what))
            ) from None
