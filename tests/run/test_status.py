"""What others see of a run: while it runs, after it was killed, from another machine; and how they stop it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from command import Curate, manifest
from object_store import Proxy, settings
from prometheus_client.parser import text_string_to_metric_families
from recipes import step, write

from curate.errors import CANCELLED, BusyError, DamagedError, EndpointError, RecipeError
from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.run import lease
from curate.run.events import lines_from, read_event
from curate.run.lease import FOLDER, Lease, Owner, holder
from curate.run.metrics import address_of, served
from curate.run.progress import Silent
from curate.run.session import Session
from curate.run.status import SUBMITTED, Going, Status, lives, look, submitted
from curate.run.stop import Stop
from curate.run.submit import Submitted
from curate.run.watch import CANCEL, Watch, ask_to_stop
from curate.spent import Work
from curate.store.files import Store
from curate.store.records import Counts


class Held:
    """A model that answers some requests, and the others when it is let."""

    def __init__(self, first: int) -> None:
        self.let, self._left, self._lock = threading.Event(), first, threading.Lock()

    def __call__(self, call: Call) -> Say:
        with self._lock:
            self._left -= 1
            wait = self._left < 0
        if wait:
            self.let.wait(60)
        return default_script(call)


@pytest.fixture
def held() -> Iterator[tuple[Held, Teacher]]:
    script = Held(8)
    with Teacher(script) as teacher:
        yield script, teacher
        script.let.set()


def recipe(folder: Path, teacher: Teacher) -> Path:
    steps = [
        step("textbooks", "generate.textbooks", passages=12, round=4, max_tokens=200, min_chars=20),
        step("out", "write.text"),
    ]
    model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", "concurrency": 4}
    return write(folder / "r.yaml", steps, models={"writer": {**model, "prompt_price": 1, "completion_price": 2}})


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """What it finds, once it does."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "never"
        time.sleep(0.1)
    return value


def told(store: Path) -> list[dict[str, Any]]:
    return [event for _, line in lines_from(Store(store), "events") if (event := read_event(line)) is not None]


def test_a_run_that_runs_is_killed_and_goes_on(curate: Curate, held: tuple[Held, Teacher], tmp_path: Path) -> None:
    """Status, metrics and record say where it is; after kill -9 that it was killed; in the end that it has finished."""
    script, teacher = held
    asked, root = recipe(tmp_path, teacher), tmp_path / "run"
    seen: dict[str, Any] = {}

    def meanwhile(pid: int) -> None:
        def under_way() -> dict[str, Any] | None:
            try:
                value = look(Store(root))
            except RecipeError:
                return None
            # A round that closed, and its tokens, are told one after the other.
            models = value.get("models", {})
            return value if value.get("now") and models.get("by_model") and models.get("completion_tokens") else None

        seen["running"] = until(under_way)
        address = next(e["text"] for e in told(root) if e["event"] == "note" and "metrics" in e["text"])
        with urllib.request.urlopen(address.removeprefix("metrics: "), timeout=10) as answer:
            seen["metrics"] = answer.read().decode()
        os.kill(pid, signal.SIGKILL)

    assert curate.run(asked, root, "--metrics", "0", meanwhile=meanwhile).code == -signal.SIGKILL
    running = seen["running"]
    assert (running["state"], running["now"]["steps"], running["steps"][1]["state"]) == (
        "running",
        ["textbooks"],
        "to do",
    )
    assert running["host"] == running["lease"]["host"]
    assert running["models"]["completion_tokens"] > 0
    sums = {
        (s.name, *s.labels.values()): s.value
        for f in text_string_to_metric_families(seen["metrics"])
        for s in f.samples
    }
    assert sums["curate_llm_requests_total", "answered", "teacher"] >= 4
    assert sums["curate_llm_dollars_total", "teacher"] > 0
    assert sums["curate_llm_requests_in_flight",] >= 1
    assert sums["curate_queue_tasks",] >= 1
    assert look(Store(root))["state"] == "killed"
    said = curate("status", root).ok().out
    assert "killed" in said.splitlines()[0]
    assert "textbooks" in said
    assert curate("cancel", root).code == 2
    script.let.set()
    curate.run(asked, root).ok()
    value = json.loads(curate("status", root, "--json").ok().out)
    assert value["state"] == "finished"
    assert [s["state"] for s in value["steps"]] == ["done", "done"]
    assert value["steps"][0]["rows_out"] == manifest(root)["steps"]["textbooks"]["rows_out"]
    kinds = [event["event"] for event in told(root)]
    assert kinds.count("begin") == 2
    assert (kinds[0], kinds[-1], kinds.count("end")) == ("begin", "end", 1)
    assert kinds.count("round") >= 2  # what came in the last second was not written yet
    assert {"step", "task", "finished"} <= set(kinds)
    session = json.loads((root / "run.json").read_text())["sessions"][-1]
    assert session["cpu"]["out"]["write"][0] >= 0
    assert "cpu" not in (root / "manifest.json").read_text()
    # What is told is nobody's garbage, and damage to it is no concern of a run.
    before = len(told(root))
    assert "nothing else is there" in curate("gc", root).ok().out
    assert len(told(root)) == before
    (root / "status.json").write_bytes(b"\xff{")
    assert curate("status", root).code == 0
    assert "finished" in curate("logs", root, "--events", "-n", 3).ok().out


def elsewhere(store: Store, owner: Owner) -> None:
    store.replace_json(f"{FOLDER}/00000001.json", asdict(owner))


def test_a_driver_on_another_machine(tmp_path: Path) -> None:
    """Its clock is not believed when it says that it is dead: it is watched for as long as its lease holds."""
    store, now = Store(tmp_path), time.time()
    old = Owner("t" * 32, "curate run", "far", 4711, "another kernel", 1, now - 999, now - 999, 7, 1)
    elsewhere(store, old)
    notes: list[str] = []
    assert not lives(store, old, notes.append)
    assert "looks old" in notes[0]
    assert look(store)["state"] == "killed"
    fresh = replace(old, renewed=time.time(), seconds=20)
    elsewhere(store, fresh)
    assert lives(store, fresh, notes.append)
    slow = replace(old, seconds=30)
    elsewhere(store, slow)
    renewing = threading.Timer(0.3, elsewhere, (store, replace(slow, renewals=8)))
    renewing.start()
    assert lives(store, slow, notes.append)
    renewing.join()
    elsewhere(store, replace(fresh, what="curate gc"))
    assert look(store)["state"] == "in use"


def test_who_waits_is_seen(tmp_path: Path) -> None:
    """As long as it waits."""
    store = Store(tmp_path)
    with Lease(store, "curate run"):
        waiting = threading.Thread(
            target=lambda: Lease(store, "curate run", wait=True).__enter__().__exit__(None, None, None)
        )
        waiting.start()
        found = until(lambda: look(store)["waiting"])
        assert (found[0]["what"], found[0]["pid"]) == ("curate run", os.getpid())
        with pytest.raises(BusyError):
            lease.check_free(store)
    waiting.join(20)
    assert look(store)["waiting"] == []
    lease.check_free(store)


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_stopped_from_another_machine(where: str, s3: Proxy, tmp_path: Path) -> None:
    """A request in the store, for the driver that is meant and for no other one; twice as fast with --now."""
    store = Store(tmp_path) if where == "disk" else Store(f"s3://{s3.bucket}/run")
    said: list[str] = []
    with Lease(store, "curate run") as mine, Watch(store, mine, "tried", ["a"], 0.1) as watch:
        ask_to_stop(store, "f" * 32, now=False)
        with pytest.raises(SystemExit), Stop(60, said.append) as stop:
            time.sleep(0.5)
            assert not stop.asked
            ask_to_stop(store, mine.token, now=False)
            until(lambda: stop.asked)
            ask_to_stop(store, mine.token, now=True)
            time.sleep(30)
        assert "at once" in said[-1]
        watch.status.end("interrupted")
    assert not store.exists(CANCEL)
    events = [read_event(line) for _, line in lines_from(store, "events")]
    assert [event["now"] for event in events if event and event["event"] == "cancel"] == [False, True]
    assert look(store)["state"] == "interrupted"
    if where == "s3":
        # A status, and a file of the record, are put again and again: a few small objects are there.
        assert len(list(store.list("events"))) == 1
        assert s3.count("PUT", "/events/") <= 3


def own_pids() -> bool:
    """Whether a process can be started that sees none of ours: root in a container can't always."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not own_pids(), reason="a pid namespace needs root and unshare")
def test_a_detached_run_on_an_object_store(
    curate: Curate, held: tuple[Held, Teacher], s3: Proxy, tmp_path: Path
) -> None:
    """Its state, its words and the way to stop it are in the store: for a machine that has other processes and other folders."""
    address, asked = f"s3://{s3.bucket}/run", recipe(tmp_path, held[1])
    driver, away = ({**settings(s3.url), "XDG_STATE_HOME": str(tmp_path / name)} for name in ("driver", "away"))
    sent = json.loads(curate.run(asked, address, "--detach", "--json", "--grace", 1, env=driver).ok().out)
    try:
        assert sent["store"] == address

        def under_way() -> bool:
            value = json.loads(curate("status", address, "--json", env=away).ok().out)
            return (value["state"], str(value.get("pid"))) == ("running", sent["detached"]["id"]) and bool(value["now"])

        until(under_way, 120)
        cancel = [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            sys.executable,
            "-m",
            "curate",
            "cancel",
            address,
            "--wait",
        ]
        done = subprocess.run(
            cancel, env={**os.environ, **away}, capture_output=True, text=True, check=True, timeout=200
        )
        first, last = done.stdout.splitlines()
        assert first.startswith(f"{address}: left a request for pid {sent['detached']['id']} on ")
        assert last == f"{address}: interrupted"
        assert "the same command goes on from there" in curate("logs", address, "-f", env=away).ok().out
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(sent["detached"]["id"]), signal.SIGKILL)


def test_followed_from_another_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The words of a driver that is killed there end when its lease was due, and a line says why."""
    from curate.cli.logs import logs

    store, now = Store(tmp_path), time.time()
    elsewhere(store, Owner("t" * 32, "curate run", "far", 4711, "another kernel", 1, now, now, 7, 1))
    logs(str(tmp_path), follow=True, lines=2, events=True, tasks=False, as_json=False)
    assert "its driver (curate run, pid 4711 on far, " in capsys.readouterr().err


def test_no_name_stops_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that are no text, in an argument and in what is said: status, record and run.json have them as escapes."""
    from curate.cli.status import status

    store = Store(tmp_path)
    with Lease(store, "curate run") as mine, Watch(store, mine, "tried", ["a"], 0.1) as watch:
        session = Session(store, ["curate", "run", "a\udcff.yaml"], watch=watch)
        with session:
            watch.beside(Silent()).note("reads b\udcff")
            until(lambda: b"reads b" in (store.read("status.json") or b""))
            session.finished({})
    assert look(store)["argv"][2] == "a\udcff.yaml"
    assert json.loads((tmp_path / "run.json").read_text())["sessions"][0]["argv"][2] == "a\udcff.yaml"
    status(str(tmp_path))
    assert "reads b\\udcff" in capsys.readouterr().out
    (tmp_path / "status.json").write_text('{"outcome": "finished", "state": "mine", "steps": [{"id": 1}], "now": [3]}')
    assert look(store)["state"] == "finished"
    with pytest.raises(DamagedError, match=r"status\.json is not what this curate writes"):
        status(str(tmp_path))


def test_who_was_sent_away_and_has_begun(tmp_path: Path) -> None:
    """A driver may be faster than the note of where it was sent; of a note that nobody wrote so, nothing is run."""
    store, sent = Store(tmp_path), Submitted("process", "4711", "far", "1")
    store.replace_json(SUBMITTED, sent.dump())
    assert submitted(store) == sent
    assert look(store)["state"] == "queued"
    store.replace("status.json", b'{"outcome": "finished", "pid": 4711, "host": "far"}')
    assert submitted(store) is None
    assert look(store)["state"] == "finished"
    pod = Submitted("kubernetes", "mine-x7k2p")
    store.replace_json(SUBMITTED, pod.dump())
    for host, waits in (("mine-x7k2q-9z8y7", pod), ("mine-x7k2p-9z8y7", None)):
        store.replace_json("status.json", {"outcome": "running", "pid": 1, "host": host})
        assert submitted(store) == waits
    for wrong in ({"id": "--me"}, {"id": 7}, {"kind": "shell"}, {"namespace": "--all-namespaces"}, {"more": "1"}):
        store.replace_json(SUBMITTED, {**Submitted("slurm", "12").dump(), **wrong})
        assert submitted(store) is None, wrong


@pytest.mark.parametrize("now", [False, True])
def test_who_asks_twice_asks_once(*, now: bool, tmp_path: Path) -> None:
    """A driver of this machine is asked as any other; it ends with an exit code of its own, and its record says who asked."""
    from curate.cli.cancel import cancel

    store, said = Store(tmp_path), list[str]()
    with (
        pytest.raises(SystemExit) as left,
        Lease(store, "curate run") as mine,
        Watch(store, mine, "tried", ["a"], 0.1) as watch,
        Session(store, ["curate", "run"], watch=watch),
        Stop(60, said.append) as stop,
    ):
        for _ in range(2):
            cancel(str(tmp_path), now=False, wait=False)
        assert stop.asked
        if now:
            cancel(str(tmp_path), now=True, wait=False)
            time.sleep(30)
        stop.leave()
    assert left.value.code == CANCELLED
    assert ("at once" in said[-1]) == now
    asked = [event for event in told(tmp_path) if event["event"] == "cancel"]
    assert [event["now"] for event in asked] == [False, True][: 1 + now]
    assert asked[0]["by"].startswith(f"pid {os.getpid()} on ")
    assert not store.exists(CANCEL)
    assert look(store)["state"] == "interrupted"


def test_what_fails_after_it_was_asked_to_stop(tmp_path: Path) -> None:
    """It is not to be begun again either; a run that ends all the same has ended well, and a signal has its own code."""
    store, codes = Store(tmp_path), list[int]()
    for ask, end in ((True, EndpointError("went away")), (False, EndpointError("went away")), (True, None)):
        try:
            with (
                Lease(store, "curate run") as mine,
                Watch(store, mine, "tried", ["a"], 0.1),
                Stop(60) as stop,
            ):
                if ask:
                    ask_to_stop(store, mine.token, now=False)
                    until(lambda stop=stop: stop.asked)
                if end is not None:
                    raise end
            codes.append(0)
        except EndpointError as error:
            codes.append(error.exit_code)
    assert codes == [CANCELLED, EndpointError.exit_code, 0]
    with (
        pytest.raises(SystemExit) as left,
        Lease(store, "curate run") as mine,
        Watch(store, mine, "tried", ["a"], 0.1),
        Stop(60) as stop,
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        stop.leave()
    assert left.value.code == 128 + signal.SIGTERM


def test_why_it_failed_is_said_in_one_form(tmp_path: Path) -> None:
    """Whoever says it: an error of ours as the screen has it, of others the class, too."""
    said = []
    for error in (EndpointError("went away", place="there", cure="start it"), ZeroDivisionError("by zero")):
        with suppress(EndpointError, ZeroDivisionError), Session(Store(tmp_path), ["curate", "run"]):
            raise error
        said.append(json.loads((tmp_path / "run.json").read_text())["sessions"][-1]["outcome"])
    assert said == ["failed: there: went away; start it", "failed: ZeroDivisionError: by zero"]


def test_who_waits_for_workers_says_so() -> None:
    """Until one comes; and a status of nothing yet is not one of a run."""
    from curate.cli.status import _state

    status = Status(["docs"])
    assert status.changes == 0
    status.begin({"recipe": "tried"})
    assert status.changes == 1
    assert _state({**status.value(), "state": "running"}) == "running"
    for workers, waits in ((0, True), (2, False), (0, True)):
        status.event("workers", workers=workers, threads=workers, joined=[], lost=[])
        said = _state({**status.value(), "state": "running"})
        assert said.startswith("running; waits for workers since 20") == waits
    assert _state({**status.value(), "state": "finished"}) == "finished"


def test_a_scheduler_is_not_asked_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows a job that waits asks squeue once in ten seconds."""
    from curate.run import submit

    asked: list[list[str]] = []
    monkeypatch.setattr(submit, "_ask", lambda command: asked.append(command) or f"{4711 + len(asked)} PENDING\n")
    monkeypatch.setattr(submit, "_answers", {})
    store = Store(tmp_path)
    store.replace_json(SUBMITTED, Submitted("slurm", "4712").dump())
    going = Going(store)
    assert [going() for _ in range(20)] == [True] * 20
    assert look(store)["state"] == "queued"
    assert len(asked) == 1
    assert Submitted("slurm", "4712").alive(0) is False
    assert going() is False
    assert len(asked) == 2


def test_from_another_machine_the_command_leaves_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver of this machine that does not hear gets a signal, if it is the one; of another's machine it is left in the store."""
    from curate.cli.cancel import cancel

    monkeypatch.setattr("curate.cli.cancel._HEARS_SECONDS", 0.3)
    store, held_by = Store(tmp_path), os.getpid()
    with Lease(store, "curate run") as mine:
        with Stop(60) as stop:
            cancel(str(tmp_path), now=False, wait=False)
            until(lambda: stop.asked)
        assert not store.exists(CANCEL)
        monkeypatch.setattr(lease, "_machine", lambda: "another kernel")
        cancel(str(tmp_path), now=True, wait=False)
        assert store.read_json(CANCEL) == {
            "token": mine.token,
            "now": True,
            "by": f"pid {held_by} on {holder(store)[1].host}",
        }


def test_where_metrics_are_served() -> None:
    """On loopback unless it is said otherwise; nonsense is one line."""
    assert address_of("9464") == ("127.0.0.1", 9464)
    assert address_of("0.0.0.0:1") == ("0.0.0.0", 1)
    assert address_of("[::1]:80") == ("::1", 80)
    for wrong in ("x", ":80", "70000", "", "a:b"):
        with pytest.raises(RecipeError):
            address_of(wrong)


def test_what_metrics_say() -> None:
    """Rows by reason, CPU seconds and bytes by step and kind of work, as the text format has them."""
    status = Status(["docs", "rules"])
    status.step(("docs", "rules"), "reading", 100, 2, 0)
    counts = {
        "docs": Counts(10, 10, 100, 100),
        "rules": Counts(10, 7, 100, 70, reasons={'too "short': 3, **{f"r{n}": 4 for n in range(9)}}),
    }
    status.advance(50, counts)
    by = {("docs", "read"): (0.5, 100), ("rules", "measure"): (0.25, 100), ("", "write"): (0.125, 0)}
    status.worked(("docs", "rules"), Work("k", "w", 1.0, by), counts)
    with served(status, ("127.0.0.1", 0)) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        notes: list[str] = []
        with served(status, ("127.0.0.1", port), notes.append) as other:
            assert other == 0
        assert notes == [
            f"no metrics are served at 127.0.0.1:{port} (Address already in use); choose another port, 0 takes any that is free"
        ]
    sums = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    assert sums["curate_cpu_seconds_total", "docs", "read"] == 0.5
    assert sums["curate_cpu_seconds_total", "rules", "write"] == 0.125
    assert sums["curate_work_bytes_total", "rules", "measure"] == 100
    assert sums["curate_rows_total", 'too "short', "rules"] == 3
    assert sums["curate_rows_total", "kept", "rules"] == 7
    assert sums["curate_tasks_committed_total",] == 1
    assert sums["curate_queue_tasks",] == 1
    assert sums["curate_seconds_since_commit",] < 60


def test_what_a_driver_prints_is_copied_to_an_object_store(
    s3: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From where this run began on, whole lines, so that another machine can read them."""
    from curate.cli.logs import logs

    address, printed = f"s3://{s3.bucket}/run", tmp_path / "driver.log"
    printed.write_text("an earlier run\n")
    log = f"{printed}:{printed.stat().st_size}"
    with (
        Lease(Store(address), "curate run") as mine,
        Watch(Store(address), mine, "tried", ["a"], 0.1, log=log) as watch,
    ):
        session = Session(Store(address), ["curate", "run"], watch=watch)
        with session, printed.open("a") as file:
            file.write("\x1b[31mone\ntwo\nhal")
            file.flush()
            until(lambda: list(Store(address).list("logs")))
            file.write("f\n")
            session.finished({})
    logs(address, follow=True, lines=2, events=False, tasks=False, as_json=False)
    assert capsys.readouterr().out == "two\nhalf\n"
    logs(address, follow=False, lines=10, events=False, tasks=False, as_json=False)
    assert "\x1b" not in capsys.readouterr().out
    logs(address, follow=False, lines=10, events=True, tasks=False, as_json=False)
    assert "end: finished" in capsys.readouterr().out
