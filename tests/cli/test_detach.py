"""A run whose terminal closes: it goes on, says what it says to a log, and can be looked at and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from command import Curate, alive, gone
from recipes import step, write

from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.run.lease import holder
from curate.store.files import Store

KEY = "sk-nobody-but-the-endpoint"


@pytest.fixture
def held() -> Iterator[tuple[threading.Event, Teacher]]:
    """A model that answers when it is let."""
    let = threading.Event()

    def script(call: Call) -> Say:
        let.wait(90)
        return default_script(call)

    with Teacher(script) as teacher:
        yield let, teacher
        let.set()


def recipe(folder: Path, teacher: Teacher, **settings: Any) -> Path:
    asked = {"passages": 4, "round": 4, "max_tokens": 200, "min_chars": 20, **settings}
    steps = [step("textbooks", "generate.textbooks", **asked), step("out", "write.text")]
    model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", "key_env": "TEACHER_KEY"}
    return write(folder / "r.yaml", steps, models={"writer": model})


def test_it_outlives_the_session_that_began_it(
    curate: Curate, held: tuple[threading.Event, Teacher], tmp_path: Path
) -> None:
    """The session is killed; the run has its key and shows it nowhere; its words are followed to the end."""
    let, teacher = held
    root, asked = tmp_path / "run", recipe(tmp_path, teacher)
    command = [sys.executable, "-m", "curate", "run", str(asked), "--store", str(root), "--workers", "0", "--detach"]
    session = subprocess.Popen(
        ["sh", "-c", '"$@"; exec sleep 300', "sh", *command],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TEACHER_KEY": KEY},
    )
    driver = 0
    try:
        assert session.stdout
        said = [session.stdout.readline() for _ in range(4)]
        assert said[0].startswith("detached: pid ")
        assert f"curate logs -f {root}" in said[2]
        found = holder(Store(root))
        assert found is not None
        driver = found[1].pid
        os.killpg(session.pid, signal.SIGKILL)
        session.wait()
        refused = curate.run(asked, root, "--detach")
        assert (refused.code, f"pid {driver}" in refused.line) == (11, True)
        end = time.monotonic() + 200  # where nothing is compiled yet the first request takes a minute or two
        while not teacher.calls and time.monotonic() < end:
            time.sleep(0.1)
        assert alive(driver)
        for name in ("environ", "cmdline"):
            assert KEY.encode() not in Path(f"/proc/{driver}/{name}").read_bytes()
        value = json.loads(curate("status", root, "--json").ok().out)
        assert (value["state"], value["pid"]) == ("running", driver)
        threading.Timer(1.0, let.set).start()
        followed = curate("logs", root, "-f", "-n", 1000).ok().out
        assert "textbooks" in followed
        assert "Look at it:" in followed
        assert gone([driver], 20) == []
        assert teacher.calls
    finally:
        for pid in (driver, session.pid):
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert json.loads(curate("status", root, "--json").ok().out)["state"] == "finished"
    for path in root.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_mistakes_are_told_before(curate: Curate, held: tuple[threading.Event, Teacher], tmp_path: Path) -> None:
    """In a recipe, or in options: one line, its exit code, and nobody was sent away."""
    _, teacher = held
    done = curate.run(recipe(tmp_path, teacher, pasages=3), tmp_path / "run", "--detach")
    assert done.code == 2
    assert "pasages" in done.line
    assert curate.run(recipe(tmp_path, teacher), tmp_path / "run", "--detach", "--metrics", "no").code == 2
    assert not (tmp_path / "run").exists()


def test_no_module_of_the_folder_is_loaded(curate: Curate, tmp_path: Path) -> None:
    """Not by a detached driver, which has the user's keys, nor by workers; and commands can be copied as they are printed."""
    (tmp_path / "a.jsonl").write_text('{"text": "A few words of prose."}\n')
    asked = write(
        tmp_path / "r.yaml", [step("docs", "read.jsonl", paths=[str(tmp_path / "a.jsonl")]), step("out", "write.text")]
    )
    for name in ("yaml", "pickle", "numpy", "distributed"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of this folder was run')")
    curate.run(asked, tmp_path / "with-workers", cwd=tmp_path, workers=1).ok()
    root = tmp_path / "runs" / "a b'c"
    said = curate.run(asked, root, "--detach", cwd=tmp_path).ok().out
    assert "Stop it:         curate cancel 'a b'\"'\"'c'\n" in said
    followed = curate("logs", root, "-f", "-n", 1000).ok().out
    assert "of this folder was run" not in followed
    assert "curate explain 'runs/a b'\"'\"'c' ID" in followed
    assert json.loads(curate("status", root, "--json").ok().out)["state"] == "finished"


def test_no_key_goes_into_a_batch_job(
    held: tuple[threading.Event, Teacher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is in the environment alone; from a file that the job sees it may come."""
    from curate.cli.detach import _check_keys
    from curate.errors import RecipeError
    from curate.recipe.recipe import load_recipe
    from curate.run.cluster_file import read_cluster

    loaded = load_recipe(recipe(tmp_path, held[1]))
    (tmp_path / "slurm.yaml").write_text("kind: slurm\nworkers: 1\ncores: 1\nmemory: 1GB\nwalltime: 1h\n")
    cluster = read_cluster(str(tmp_path / "slurm.yaml"))
    monkeypatch.setenv("TEACHER_KEY", KEY)
    _check_keys(None, loaded)
    (tmp_path / "mpi.yaml").write_text("kind: mpi\n")
    _check_keys(read_cluster(str(tmp_path / "mpi.yaml")), loaded)  # a process, which gets its key as others do
    with pytest.raises(RecipeError, match="TEACHER_KEY_FILE") as refused:
        _check_keys(cluster, loaded)
    assert KEY not in str(refused.value)
    monkeypatch.setenv("TEACHER_KEY_FILE", str(tmp_path / "key"))
    _check_keys(cluster, loaded)


def test_a_pod_has_its_own_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that a Job runs is the image's, not a path of this machine; nor is its log a file here. For scripts it is told as JSON."""
    from curate.cli.detach import detach
    from curate.run import submit
    from curate.run.cluster_file import read_cluster

    ran: list[list[str]] = []
    monkeypatch.setattr(submit, "_pod", lambda _, argv, __: ran.append(argv) or submit.Submitted("kubernetes", "c-1"))
    monkeypatch.setattr(sys, "argv", ["/here/curate", "run", "r.yaml", "--detach", "--json", "--cluster", "k.yaml"])
    (tmp_path / "k.yaml").write_text("kind: kubernetes\nimage: i\nworkers: 1\n")
    recipe = type("Recipe", (), {"name": "r", "models": {}})()
    detach(Store(tmp_path / "run"), read_cluster(str(tmp_path / "k.yaml")), recipe, wait=False, as_json=True)
    assert ran == [["curate", "run", "r.yaml", "--cluster", "k.yaml", "--wait"]]
    said = json.loads(capsys.readouterr().out)
    assert (said["store"], said["detached"]["kind"], said["detached"]["id"]) == (
        str(tmp_path / "run"),
        "kubernetes",
        "c-1",
    )
