"""The `curate` command as tests run it: real processes, with their output, exit code and results."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.store.files import Store
from curate.store.latest import latest

HOST = Path(__file__).with_name("command_host.py")


@dataclass(frozen=True)
class Done:
    """A command that has ended; ``code`` is negative for a signal."""

    code: int
    out: str
    err: str

    def ok(self) -> Done:
        """Itself; fails the test unless the command succeeded."""
        assert self.code == 0, f"exit {self.code}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        return self

    @property
    def line(self) -> str:
        """The one line that an error is."""
        lines = [line for line in self.err.splitlines() if line.startswith("curate: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err + self.out
        return lines[0].removeprefix("curate: ")


class Curate:
    """Runs command lines, one at a time, each in a fork of a process that has imported curate."""

    def __init__(self) -> None:
        self._host = subprocess.Popen(
            [sys.executable, str(HOST), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "1", "COLUMNS": "200"},
        )

    def close(self) -> None:
        """End the host."""
        assert self._host.stdin
        self._host.stdin.close()
        self._host.wait(20)

    def _read(self, name: str) -> int:
        assert self._host.stdout
        return int(json.loads(self._host.stdout.readline())[name])

    def __call__(
        self,
        *argv: str | Path | float,
        env: dict[str, str] | None = None,
        cwd: Path | str = "/",
        meanwhile: Callable[[int], None] | None = None,
    ) -> Done:
        """Run one command line to its end; ``meanwhile`` gets its pid while it runs. Killed if a test gives it up."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            # Here, not by the fork: a signal may end it before it has opened them.
            out.touch()
            err.touch()
            request = {"env": env or {}, "cwd": str(cwd), "in": os.devnull, "out": str(out), "err": str(err)}
            code = self._ask(argv, request, meanwhile)
            return Done(code, out.read_text(), err.read_text())

    def _ask(self, argv: Sequence[object], request: dict[str, Any], meanwhile: Callable[[int], None] | None) -> int:
        """Have the host run a command line; its exit code."""
        assert self._host.stdin
        self._host.stdin.write(json.dumps({"argv": [str(a) for a in argv], **request, "exit": True}) + "\n")
        self._host.stdin.flush()
        pid = self._read("pid")
        try:
            if meanwhile is not None:
                meanwhile(pid)
            return self._read("code")
        except BaseException:
            # A test that failed, or took too long: the next command must find a host that waits for it.
            _kill_session(pid)
            self._read("code")
            raise

    def on_terminal(self, *argv: str | Path, columns: int, **env: str) -> str:
        """All that a command writes to a terminal of that width."""
        driver, terminal = pty.openpty()
        written = bytearray()

        def read() -> None:
            with suppress(OSError):  # how Linux says that nobody has the terminal open any more
                while more := os.read(driver, 1 << 16):
                    written.extend(more)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            env = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "50", **env}
            name = os.ttyname(terminal)
            self._ask(argv, {"env": env, "cwd": str(Path.cwd()), "in": name, "out": name, "err": name}, None)
        finally:
            os.close(terminal)
            reader.join()
            os.close(driver)
        return written.decode()

    def run(self, recipe: Path, store: Path | str, *argv: str | Path | float, workers: int = 0, **how: Any) -> Done:
        """``curate run``; ``workers`` of this machine, where no cluster is named."""
        size = () if "--cluster" in argv else ("--workers", workers)
        return self("run", recipe, "--store", store, *size, *argv, **how)


def fresh(*argv: str | Path | float, env: dict[str, str] | None = None) -> Done:
    """The same in an interpreter of its own, for what is settled when Python starts."""
    done = subprocess.run(
        [sys.executable, str(HOST), *map(str, argv)],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def results(store: Path | str, *, card: bool = True) -> dict[str, str]:
    """What a run promises to be the same bytes: the manifest, the card, and every file of every dataset; of a folder, or
    of an object store's address."""
    files = Store(store)
    keys = {name: name for name in ("manifest.json", "README.md") if card or name == "manifest.json"}
    for made in json.loads(files.read("manifest.json") or b"")["steps"]:
        if made["shards"]:
            folder = latest(files, made["id"])
            keys |= {e.key.replace(folder, made["id"], 1): e.key for e in files.list(folder)}
    read = {name: files.read(key) for name, key in keys.items()}
    return {name: hashlib.sha256(data).hexdigest() for name, data in read.items() if data is not None}


def dataset(store: Path, name: str = "out") -> list[dict[str, Any]]:
    """The rows of all shards of a dataset, in their order."""
    shards = sorted((store / name).glob("*.arrow"))
    return [row for shard in shards for row in pa.ipc.open_stream(shard.read_bytes()).read_all().to_pylist()]


def texts_by_own_id(store: Path, name: str = "out") -> dict[str, str]:
    """The texts of a dataset by the ids that its documents brought with them."""
    return {row["origin"].partition("#")[2]: row["text"] for row in dataset(store, name)}


def manifest(store: Path) -> dict[str, Any]:
    """The manifest, with steps by id."""
    value = json.loads((store / "manifest.json").read_bytes())
    value["steps"] = {step["id"]: step for step in value["steps"]}
    return value


def record(store: Path, step: str) -> dict[str, Any]:
    """A step's newest record."""
    where = json.loads((store / "steps.json").read_bytes())[step]
    value = json.loads((store / where).read_bytes())
    assert isinstance(value, dict)
    return value


def receipts(store: Path) -> dict[str, int]:
    """Every committed receipt (of tasks and of steps) with its mtime: unchanged means that nothing was done."""
    found = [*store.glob("steps/*/*/receipts/*.json"), *store.glob("steps/*/*/done-*.json")]
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in found}


def _kill_session(pid: int) -> None:
    """End a command with all its children, also before it has made a session of its own."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Pids of the children of a process, their children and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def gone(pids: list[int], seconds: float = 8) -> list[int]:
    """Those of some processes that are still there after so many seconds; returns as soon as there are none."""
    end = time.monotonic() + seconds
    left = [p for p in pids if alive(p)]
    while left and time.monotonic() < end:
        time.sleep(0.05)
        left = [p for p in left if alive(p)]
    return left
