"""A step that asks a model, with its store on S3: the journal stays here and copies of it go there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from command import Curate
from object_store import Proxy
from recipes import step, write

from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.store.files import Store
from curate.store.latest import latest


def slowly(call: Call) -> Say:
    """The default script's answer, after a moment."""
    time.sleep(0.03)
    return default_script(call)


def test_another_machine_goes_on(curate: Curate, s3: Proxy, tmp_path: Path) -> None:
    """Killed while it asks: the same machine asks nothing again that it received; another one goes on from about the
    last closed round, and what is made in the end is the same."""
    with Teacher(slowly) as teacher:
        steps = [
            step("textbooks", "generate.textbooks", passages=16, round=4, max_tokens=200, min_chars=20),
            step("out", "write.text", documents_per_shard=8),
        ]
        model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", "concurrency": 2}
        recipe = write(tmp_path / "r.yaml", steps, models={"writer": model})
        address = f"s3://{s3.bucket}/run"
        env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        env["CURATE_SCRATCH"] = str(tmp_path / "scratch")

        def run(machine: str, **more: str):
            return curate.run(recipe, address, env={**env, "XDG_STATE_HOME": str(tmp_path / machine), **more})

        token = tmp_path / "token"
        token.touch()
        killed = run("one", CURATE_CRASH_AT=f"round.after-publish={token}")
        assert killed.code == -signal.SIGKILL
        received = sum(teacher.received.values())
        assert 4 <= received < 16
        done = run("two").ok()
        assert "written to" in done.out
        store = Store(address)
        assert store.exists("journal.sqlite")
        # The round that was published is not asked again; of the rest the other machine may know nothing.
        assert len(teacher.received) == 16
        assert list(teacher.received.values()).count(1) >= 4
        received = sum(teacher.received.values())
        assert received <= 16 + 12
        run("one").ok()
        assert sum(teacher.received.values()) == received
        assert any(entry.key.endswith(".arrow") for entry in store.list(latest(store, "out")))
