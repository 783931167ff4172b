"""The embedded server: how it fails, how it ends, and one real chat."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.errors import EndpointError
from curate.llm.ask import Asker, Round
from curate.llm.local import LocalServer
from curate.llm.model import Budget, Model


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_weights_that_are_no_model_are_said_with_the_log(tmp_path):
    """llama.cpp's refusal becomes one line with cause and place; no process stays."""
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    server = LocalServer(Model(model="mine", weights=str(path)), log=tmp_path / "logs" / "server.log")
    with pytest.raises(EndpointError, match=r"'mine' did not start: .*Failed to init server") as caught, server:
        pass
    assert caught.value.place.endswith("server.log")
    assert (tmp_path / "logs" / "server.log").stat().st_size > 0
    assert server.pid is None


def test_weights_that_are_missing_or_differ_start_nothing(tmp_path):
    """Said before any process is started."""
    model = Model(model="mine", weights=str(tmp_path / "none.gguf"))
    with pytest.raises(EndpointError, match="No such file"), LocalServer(model, log=tmp_path / "log"):
        pass
    (tmp_path / "x.gguf").write_bytes(b"GGUF....")
    model = Model(model="mine", weights=str(tmp_path / "x.gguf"), weights_sha256="0" * 64)
    with pytest.raises(EndpointError, match="weights differ"), LocalServer(model, log=tmp_path / "log"):
        pass
    assert not (tmp_path / "log").exists()


def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path):
    """The time-out is an error of its own, and the child does not stay."""
    (tmp_path / "x.gguf").write_bytes(b"GGUF....")
    server = LocalServer(Model(model="mine", weights=str(tmp_path / "x.gguf")), log=tmp_path / "log", start_seconds=0.0)
    with pytest.raises(EndpointError, match="not ready after 0 s"), server:
        pass
    assert server.pid is None


@pytest.mark.local_model
def test_the_real_model_writes_a_function(tmp_path, request_of):
    """One short chat; the second time the journal answers; the server's log is in its file."""
    prompt = "Write a Python function `double(n)` that returns 2 * n. Answer with one fenced code block only."
    request = request_of(prompt, max_tokens=60, temperature=0)

    def run():
        budget, paths = Budget(completion_tokens=60), {"journal": tmp_path / "j", "local_log": tmp_path / "log"}
        with Asker({"writer": Model()}, budget=budget, **paths) as asker:
            asker.put(Round("writer", (request,)))
            return asker.take().answers

    answers = run()
    (answer,) = answers
    assert "def double" in answer.text
    assert 0 < answer.completion_tokens <= 60
    assert answer.licence == "Apache-2.0"
    assert run() == answers
    assert (tmp_path / "log").stat().st_size > 0


@pytest.mark.local_model
def test_a_killed_driver_leaves_no_server_behind(tmp_path):
    """kill -9 of the process that started it ends the server; no secret was in its environment."""
    code = f"""
import time
from pathlib import Path
from curate.llm.local import LocalServer
from curate.llm.model import Model
with LocalServer(Model(), log=Path({str(tmp_path / "log")!r})) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""
    env = {**os.environ, "OPENAI_API_KEY": "sk-secret", "HF_TOKEN": "hf-secret"}
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
    pid = int(driver.stdout.readline())
    assert alive(pid)
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PATH=" in environ
    assert b"secret" not in environ
    driver.kill()
    driver.wait()
    driver.stdout.close()
    assert gone(pid)
