"""Cluster files: what is wrong is one line with its place, and what is right becomes what the packages are given."""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from curate.errors import CurateError, EndpointError, RecipeError
from curate.run import deploy_slurm
from curate.run.cluster_file import Kubernetes, Mpi, Slurm, read_cluster, seconds_of
from curate.run.deploy import deploy, exposed, warning
from curate.run.deploy_mpi import mpi_command
from curate.run.deploy_slurm import OnSlurm, job_options, jobs, slurm_time
from curate.run.submit import Submitted, began, sbatch_script, submit


def cluster(folder: Path, text: str):
    """What a file of this text says."""
    (folder / "c.yaml").write_text(text)
    return read_cluster(str(folder / "c.yaml"))


SLURM = "kind: slurm\nmemory: 4GB\n"
K8S = "kind: kubernetes\nimage: a\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("kind: slrm\n", 1, "there is no kind of cluster 'slrm'; did you mean 'slurm'?"),
        ("[]\n", 1, "a cluster file is a mapping with 'kind:'; one of slurm, kubernetes, mpi, scheduler"),
        (SLURM + "workers: 2\nwaltime: 1h\n", 4, "has no setting 'waltime'; did you mean 'walltime'?"),
        (
            SLURM + "groups:\n  a: {workers: 1, resource: {}}\n",
            4,
            "has no setting 'resource'; did you mean 'resources'?",
        ),
        ("kind: slurm\nworkers: 2\n", 1, "needs 'memory'; add it"),
        (SLURM, 1, "it needs one of workers, adaptive and groups"),
        (SLURM + "workers: 2\nadaptive: {maximum: 3}\n", 1, "it needs one of workers, adaptive and groups"),
        (SLURM + "adaptive: {minimum: 5, maximum: 2}\n", 3, "minimum is more than maximum"),
        (SLURM + "adaptive: {maximum: 2}\ngroups: {a: {workers: 1}}\n", 1, "it needs one of"),
        (SLURM + "workers: 2\ngroups: {worker: {workers: 1}}\n", 1, "a group can't be called 'worker'"),
        (SLURM + "workers: 2\nwalltime: soon\n", 4, "a time is written as 90s, 30m, 2h, or hh:mm:ss (given: 'soon')"),
        (SLURM + "workers: 2\nwalltime: 2m\n", 1, "walltime must be longer than drain and stagger together"),
        (SLURM + "workers: 2\ncores: 3\nprocesses: 2\n", 1, "processes must divide cores"),
        (
            "kind: slurm\nmemory: much\nworkers: 2\n",
            2,
            "memory is written with its unit, as 500MB, 4GB or 4GiB (given: 'much')",
        ),
        ("kind: scheduler\n", 1, "it needs address or scheduler_file, one of them"),
        ("kind: scheduler\naddress: tls://a:1\ntls: {ca: no.pem, cert: b, key: c}\n", 3, "can't be read (No such file"),
        ("kind: mpi\nranks: 1\n", 2, "greater than or equal to 2"),
        ("kind: kubernetes\nworkers: 2\n", 1, "needs 'image'; add it"),
        ("kind: [slurm]\n", 1, "there is no kind of cluster '['slurm']'"),
        ("kind: {a: 1}\n", 1, "there is no kind of cluster '{'a': 1}'"),
        (SLURM + "workers: 2\nwalltime: 30\n", 4, "'walltime': a time is written as 90s, 30m, 2h, or in quotes as"),
        (SLURM + "workers: 2\ndriver: {walltime: 1.5}\n", 4, "'driver.walltime': a time is written as 90s"),
        ("kind: slurm\nmemory: 4000\nworkers: 2\n", 2, "memory is written with its unit, as 500MB, 4GB or 4GiB (given"),
        (SLURM + "workers: 2\ntls: temporay\n", 4, "'tls': is temporary or plain, or names files"),
        (SLURM + "workers: 2\ntls: {ca: a, key: b}\n", 4, "needs 'tls.cert'; add it"),
        (SLURM + "workers: 2\ninterface: ib0; reboot\n", 4, "'interface': String should match pattern"),
        (
            SLURM + "groups:\n  a:\n    {workers: 1, resources: {sandbox: 0.5}}\n",
            5,
            "'groups.a.resources.sandbox': Input sh",
        ),
        (SLURM + "groups: {My Sand; touch x: {workers: 1}}\n", 3, "a name is of small letters, digits, '-' and '_'"),
        (SLURM + "groups: {a: {workers: 1, resources: {a b;c: 1}}}\n", 3, "'groups.a.resources.a b;c': a name is of"),
        (SLURM + "groups: {a: {workers: 1, resources: {Sandbox: 1}}}\n", 3, "a name is of small letters"),
        (K8S + "workers: 1\nenv: {A: true}\n", 4, "'env.A': write it in quotes (given: True)"),
        (K8S + "groups: {sand_box: {workers: 1}}\n", 1, "Kubernetes takes no group 'sand_box'"),
    ],
)
def test_mistakes(tmp_path, text, line, said):
    """Each is one line: the file's own, what is wrong, and the nearest right name."""
    with pytest.raises(RecipeError) as found:
        cluster(tmp_path, text)
    assert str(found.value).startswith(f"{tmp_path}/c.yaml:{line}: ")
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_times():
    """Our own forms and Slurm's."""
    said = {"90s": 90, "30m": 1800, "2h": 7200, "1d": 86400, "30": 1800, "10:30": 630, "01:00:30": 3630, "1-12": 129600}
    assert {text: seconds_of(text) for text in said} == said
    assert slurm_time(3630.5) == "01:00:31"


def test_what_yaml_takes_for_numbers(tmp_path):
    """Times to base 60 are times; numbers are words where Kubernetes wants words."""
    made = cluster(tmp_path, SLURM + "workers: 1\nwalltime: 12:00:00\ndriver: {walltime: 1:30:00}\n")
    assert (made.walltime, made.driver.walltime) == ("12:00:00", "1:30:00")
    made = cluster(
        tmp_path, K8S + "workers: 1\nresources: {limits: {cpu: 1}, requests: {cpu: 0.5}}\nenv: {A: 1, B: 8:30}\n"
    )
    assert made.resources == {"limits": {"cpu": "1"}, "requests": {"cpu": "0.5"}}
    assert made.env == {"A": "1", "B": "8:30"}


def test_open_schedulers_are_told_of():
    """A plain scheduler that other machines reach: who reaches it can run code."""
    assert [exposed(a) for a in ("tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "tls://10.0.0.1:1")] == [
        False
    ] * 4
    assert [exposed(a) for a in ("tcp://10.0.0.1:1", "tcp://head:1", "tcp://[fe80::1]:1")] == [True] * 3
    assert warning(["tls://a:1"]) is None
    assert "can run code as you" in (warning(["tcp://a:1"]) or "")


def test_a_package_that_is_missing(tmp_path, monkeypatch):
    """One line with the extra that brings it."""
    monkeypatch.setitem(sys.modules, "dask_kubernetes", None)
    with pytest.raises(
        RecipeError, match=r"needs dask_kubernetes, which is not installed; pip install 'phi-curate\[kubernetes\]'$"
    ):
        deploy(cluster(tmp_path, "kind: kubernetes\nimage: a\nworkers: 1\n"), 0, "auto", print)


# -- what is made of them ------------------------------------------------------------------------------------------


def test_jobs_of_slurm(tmp_path):
    """The batch script that dask-jobqueue writes: directives, drain before the limit, dashboards on loopback."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    made = cluster(
        tmp_path,
        SLURM + "workers: 6\ncores: 4\nwalltime: 2h\npartition: cpu\naccount: lab\ninterface: lo\n"
        "job_extra_directives: [--qos=low]\nprologue: [module load python]\n"
        "groups:\n  sand: {workers: 1, cores: 1, memory: 2GB, resources: {sandbox: 1}, directives: [--exclusive]}\n",
    )
    assert isinstance(made, Slurm)
    options = job_options(made, None)
    found = jobs(made)
    # One of four processes, one of the two that are left, and one of another kind.
    assert {name: (job["processes"], job.get("memory")) for name, job in found.items()} == {
        "worker-0": (4, None),
        "worker-1": (2, "2000000000B"),
        "sand-0": (1, "2GB"),
    }
    assert found["worker-1"]["cores"] == 2
    script = jobqueue.slurm.SLURMJob("tcp://a:1", name="n", **options).job_script()
    for line in ("-p cpu", "-A lab", "--qos=low", "-t 02:00:00", "--cpus-per-task=4"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load python\nexport PYTHONSAFEPATH=1\n" in script
    assert "+ 7080 - RANDOM % 61 ))" in script
    assert "--no-dashboard --dashboard-address 127.0.0.1:0" in script
    assert "--nworkers 4" in script
    sand = jobqueue.slurm.SLURMJob("tcp://a:1", name="n", **{**options, **found["sand-0"]}).job_script()
    assert "--resources sandbox=1" in sand
    assert "--nworkers" not in sand
    assert "#SBATCH --exclusive\n" in sand
    assert "#SBATCH --qos=low\n" in sand
    assert f"#SBATCH -e {tmp_path}/slurm-logs/curate-sand-%J.err\n" in sand


def test_paths_with_spaces(tmp_path):
    """Each is one word of the shell that runs a job, and of sbatch; a node's variables stand for their values."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    folder = tmp_path / "my 100% proj"
    folder.mkdir()
    for name in "abc":
        (folder / name).touch()
    made = cluster(
        folder,
        SLURM + "workers: 1\ntls: {ca: a, cert: b, key: c}\npython: /opt/my env/python\n"
        "local_directory: $SCRATCH/a b`x`\ndirectives: [--qos=low]\ndriver: {job_extra_directives: [--qos=high]}\n",
    )
    script = jobqueue.slurm.SLURMJob("tls://a:1", name="n", **job_options(made, made.certificates)).job_script()
    header = [shlex.split(line.removeprefix("#SBATCH ")) for line in script.splitlines() if line.startswith("#SBATCH")]
    logs = str(folder / "slurm-logs" / "curate-worker-").replace("%", "%%")
    for directive in (["-e", f"{logs}%J.err"], ["-o", f"{logs}%J.out"], ["--qos=low"]):
        assert directive in header
    command = script.strip().splitlines()[-1]
    said = subprocess.run(
        ["bash", "-c", f"set -- {command}; printf '%s\\n' \"$@\""],
        capture_output=True,
        text=True,
        check=True,
        env={"SCRATCH": "/node"},
    )
    words = said.stdout.splitlines()
    assert words[:3] == ["/opt/my env/python", "-m", "distributed.cli.dask_worker"]
    for name, value in (("ca-file", "a"), ("cert", "b"), ("key", "c")):
        assert words[words.index(f"--tls-{name}") + 1] == str(folder / value)
    assert words[words.index("--local-directory") + 1] == "/node/a b`x`"
    assert made.driver.directives == ["--qos=high"]
    driver = sbatch_script(made, ["curate"], "curate x", folder / "driver.log")
    assert ["-o", str(folder / "driver.log").replace("%", "%%")] in [
        shlex.split(line.removeprefix("#SBATCH ")) for line in driver.splitlines() if line.startswith("#SBATCH")
    ]


def test_the_drivers_job(tmp_path):
    """It hears of its end a minute before it comes; the command stands in place of the shell, which would not pass it on."""
    made = cluster(
        tmp_path, SLURM + "workers: 1\nprologue: [module load python]\ndriver: {walltime: 1d, memory: 8GiB}\n"
    )
    script = sbatch_script(made, ["curate", "run", "a b.yaml"], "curate my run", Path("/shared/run.log"))
    assert "#SBATCH --signal=B:TERM@60\n" in script
    assert "#SBATCH -t 24:00:00\n" in script
    assert "#SBATCH --mem=8192M\n" in script
    assert script.endswith("module load python\nexec curate run 'a b.yaml'\n")


def test_ranks(tmp_path):
    """The command line of dask-mpi; certificates make it speak TLS."""
    made = cluster(tmp_path, "kind: mpi\nranks: 4\nlauncher: [srun, --mpi=pmix]\ninterface: ib0\n")
    assert isinstance(made, Mpi)
    command = mpi_command(made, Path("/shared/s.json"))
    assert command[:4] == ["srun", "--mpi=pmix", "-n", "4"]
    assert command[5:10] == ["-P", "-m", "dask_mpi.cli", "--scheduler-file", "/shared/s.json"]
    assert "--no-dashboard" in command
    assert "tls" not in command
    for name in "abc":
        (tmp_path / name).touch()
    made = cluster(tmp_path, "kind: mpi\ntls: {ca: a, cert: b, key: c}\n")
    assert mpi_command(made, Path("/s"))[-2:] == ["--protocol", "tls"]
    assert str(made.certificates.ca) == str(tmp_path / "a")


KUBERNETES = """
kind: kubernetes
image: registry.example/curate:0.1.0
namespace: data
adaptive: {minimum: 1, maximum: 50}
resources: {limits: {memory: 4Gi, cpu: "1"}}
env: {AWS_REGION: eu-1, AWS_SECRET_ACCESS_KEY: {secret: store, key: secret}}
volumes: [{name: scratch, emptyDir: {}}]
mounts: [{name: scratch, mountPath: /scratch}]
service_account: curate
"""


def test_pods(tmp_path):
    """The resources that Kubernetes is given fit the operator's own schema; no secret is in them by value."""
    kubernetes = pytest.importorskip("dask_kubernetes.operator")
    jsonschema = pytest.importorskip("jsonschema")
    from curate.run.deploy_pods import cluster_spec, group_specs

    made = cluster(tmp_path, KUBERNETES.replace("adaptive: {minimum: 1, maximum: 50}", "groups: {sand: {workers: 3, memory: 2GiB, resources: {sandbox: 1}}}"))  # fmt: skip
    assert isinstance(made, Kubernetes)
    schemas = Path(kubernetes.__file__).parent / "deployment/helm/dask-kubernetes-operator/crds"
    spec = cluster_spec(made, "curate-1")

    def fits(name: str, value: object) -> None:
        definition = yaml.safe_load((schemas / f"{name}.yaml").read_text())
        jsonschema.validate(value, definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])

    fits("daskcluster", spec)
    group = group_specs(made, "curate-1")["sand"]
    worker = {"replicas": group["replicas"], "spec": group["spec"]}
    fits("daskworkergroup", {"apiVersion": spec["apiVersion"], "kind": "DaskWorkerGroup", "metadata": {"name": "g"}, "spec": {"cluster": "curate-1", "worker": worker}})  # fmt: skip
    container = group["spec"]["containers"][0]
    assert container["args"][-2:] == ["--resources", "sandbox=1"]
    assert container["resources"]["limits"] == {"memory": "2Gi", "cpu": "1"}
    assert "127.0.0.1:0" in container["args"]
    key = next(one for one in container["env"] if one["name"] == "AWS_SECRET_ACCESS_KEY")
    assert key["valueFrom"] == {"secretKeyRef": {"name": "store", "key": "secret"}}


def test_the_drivers_pod(tmp_path):
    """A Job that runs the command as the account that may make DaskClusters, with the same secrets and volumes."""
    from curate.run.deploy_pods import job_manifest, quantity

    made = cluster(tmp_path, KUBERNETES)
    job = job_manifest(made, ["curate", "run", "r.yaml"], "curate-r")
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "curate"
    assert pod["containers"][0]["command"] == ["curate", "run", "r.yaml"]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "scratch", "mountPath": "/scratch"}]
    assert job["metadata"]["namespace"] == "data"
    # Kubernetes takes codes in order, each once, no 0, and only of pods that are never restarted in place.
    assert pod["restartPolicy"] == "Never"
    final, preempted = job["spec"]["podFailurePolicy"]["rules"]
    assert (final["action"], final["onExitCodes"]["operator"]) == ("FailJob", "In")
    assert final["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert final["onExitCodes"]["values"] == [2, 3, 5, 7, 8, 12]
    assert preempted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert [quantity(one) for one in ("500MB", "4GB", "1.5GiB", "4 GiB")] == ["500M", "4G", "1.5Gi", "4Gi"]


# -- submit --------------------------------------------------------------------------------------------------------


def test_a_process_of_its_own(tmp_path):
    """It outlives its terminal, is told to stop by SIGTERM, and is not taken for another with its number."""
    program = (
        "import signal, sys, time; print('here', flush=True); signal.signal(15, lambda *_: sys.exit(3)); time.sleep(60)"
    )
    told = submit(None, [sys.executable, "-u", "-c", program], "x", tmp_path / "logs" / "out")
    again = Submitted.load(json.loads(json.dumps(told.dump())))
    assert again == told
    assert told.alive()
    assert Submitted(told.kind, told.id, told.host, "1").alive() is False
    assert Submitted(told.kind, "2147483647", told.host, "").alive() is False
    assert Submitted(told.kind, told.id, "another host", told.began).alive() is None
    while "here" not in (tmp_path / "logs" / "out").read_text():
        pass
    told.cancel()
    for _ in range(500):
        if not told.alive():
            break
        time.sleep(0.01)
    assert told.alive() is False
    told.cancel()  # nobody is there: nothing happens
    with pytest.raises(EndpointError, match="it runs on another host"):
        Submitted(told.kind, told.id, "another host", told.began).cancel()


def test_certificates_of_a_driver_that_was_killed(tmp_path):
    """They go with the next driver of that machine; those of one that lives, or of another machine, stay."""
    pytest.importorskip("cryptography")
    here, pid = platform.node(), os.getpid()
    names = (f"tls-{here}-{pid}-1-aa", f"tls-{here}-{pid}-{began(pid)}-bb", f"tls-x{here}-{pid}-1-cc")
    for name in names:
        (tmp_path / name).mkdir()
    driver = OnSlurm.__new__(OnSlurm)
    driver._logs, driver._made = tmp_path, None
    made = Path(driver._temporary().key).parent
    assert {one.name for one in tmp_path.iterdir()} == {*names[1:], made.name}
    assert {oct(one.stat().st_mode & 0o777) for one in made.iterdir()} == {"0o600"}
    driver._forget()
    assert {one.name for one in tmp_path.iterdir()} == set(names[1:])


def test_no_slurm_here(tmp_path, monkeypatch):
    """A machine without sbatch: one line, from the driver and from submit."""
    monkeypatch.setenv("PATH", str(tmp_path))
    made = cluster(tmp_path, SLURM + "workers: 1\n")
    for attempt in (lambda: submit(made, ["x"], "x", tmp_path / "l"), lambda: deploy(made, 0, "auto", print)):
        with pytest.raises(CurateError, match="there is no sbatch on this machine"):
            attempt()


@pytest.fixture
def queue(tmp_path, monkeypatch) -> Iterator[Path]:
    """Slurm's commands as far as a driver asks them: what sbatch turns jobs down with stands in the file that is given."""
    commands, said = tmp_path / "commands", tmp_path / "said"
    commands.mkdir()
    said.touch()
    sbatch = (
        f'test -s {said} && {{ cat {said} >&2; exit 1; }}\necho $$ >> {tmp_path}/jobs\necho "Submitted batch job $$"'
    )
    for name, script in (("sbatch", sbatch), ("squeue", f"cat {tmp_path}/jobs"), ("scancel", "true")):
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    (tmp_path / "jobs").touch()
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setattr(deploy_slurm, "_ASK_SECONDS", 0.05)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield said
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)  # a driver raises it


@pytest.mark.filterwarnings("ignore:Creating scratch directories")  # on a busy disk
@pytest.mark.parametrize("size", ["workers: 2", "adaptive: {minimum: 2, maximum: 3}"])
def test_jobs_that_slurm_does_not_take(tmp_path, queue, size):
    """For now: a line says so, and they are submitted again. For good: one line ends the run, with fixed and with adaptive workers."""
    pytest.importorskip("dask_jobqueue")
    pytest.importorskip("cryptography")
    made, notes = cluster(tmp_path, f"{SLURM}{size}\nhost: 127.0.0.1\n"), []
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    queue.write_text(
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 1024), limits[1]))
    driver = OnSlurm(made, notes.append)
    try:
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits[1]  # three to four for each worker
        end = time.monotonic() + 30
        while not notes:
            assert time.monotonic() < end
            driver.mend()
            time.sleep(0.02)
        assert notes[0] == (
            f"{tmp_path}/c.yaml: sbatch: Batch job submission failed: Unable to contact slurm controller (connect failure);"
            " trying again in 0.05 s"
        )
        assert not (tmp_path / "jobs").read_text()
        queue.write_text("")
        while len((tmp_path / "jobs").read_text().split()) < 2:
            assert time.monotonic() < end
            driver.mend()
            time.sleep(0.02)
    finally:
        driver.close()
    queue.write_text(
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n"
    )
    driver = OnSlurm(made, notes.append)
    try:
        with pytest.raises(EndpointError, match=r"c\.yaml: sbatch: .*Invalid account"):
            while time.monotonic() < end:
                driver.mend()
                time.sleep(0.02)
    finally:
        driver.close()
