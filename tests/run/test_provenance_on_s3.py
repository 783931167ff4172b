"""gc, diff and takedown of runs on an object store: as of runs on a disk. Runs with ``make s3``."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command import Curate
from corpus import lines, prose, rows
from object_store import Proxy
from recipes import step, write

from curate.store.files import Store


@pytest.mark.skipif(not os.environ.get("CURATE_S3_ALL"), reason="a minute long: make s3")
def test_as_on_a_disk(curate: Curate, s3: Proxy, tmp_path: Path) -> None:
    """A run is killed and gone on with; it is the same as on a disk, is cleaned, and a document is taken out of it."""
    env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    env |= {"CURATE_SCRATCH": str(tmp_path / "scratch"), "XDG_STATE_HOME": str(tmp_path / "state")}
    there, here = f"s3://{s3.bucket}/deep/run", tmp_path / "run"
    (tmp_path / "a.jsonl").write_bytes(lines(rows(prose(12), "a")))
    steps = [
        step("docs", "read.jsonl", paths=["a.jsonl"]),
        step("long", "filter.massivetext", min_words=30, max_symbol_ratio=0.5),
        step("unique", "dedup.exact"),
        step("out", "write.text"),
    ]
    recipe = write(tmp_path / "r.yaml", steps)

    def said(*argv: str | Path, code: int = 0) -> dict[str, Any]:
        done = curate(*argv, "--json", env=env)
        assert done.code == code and not done.err, done.err
        return json.loads(done.out)

    (tmp_path / "token").touch()
    killed = curate.run(recipe, there, env={**env, "CURATE_CRASH_AT": f"reduce.before-receipt={tmp_path / 'token'}"})
    assert killed.code == -signal.SIGKILL
    for store in (there, here):
        curate.run(recipe, store, env=env).ok()
    assert said("diff", here, there)["same"]
    # Exactly what the killed attempt left, and what is planted.
    left = said("gc", there, "--yes")["files"]
    assert left.keys() == {"unnamed"} and all("/unique/" in key for key in left["unnamed"])
    store = Store(there)
    store.replace("steps/unique/0000000000000000/map0-0123456789ab.arrow", b"x")
    assert said("gc", there)["files"] == {"unnamed": ["steps/unique/0000000000000000/map0-0123456789ab.arrow"]}
    # A takedown, and the older files.
    (tmp_path / "list.txt").write_text("origin:a.jsonl#a-1\n")
    one = said("takedown", there, tmp_path / "list.txt", code=1)
    assert [hit["origin"] for hit in one["named"]] == ["a.jsonl#a-1"] and one["writers"] == {"out": 1}
    write(recipe, steps, takedown="list.txt")
    curate.run(recipe, there, env=env).ok()
    found = said("diff", here, there, code=1)
    assert found["cause"] == "docs" and found["rows"]["only_a"] == 1
    assert [(m["step"], m["reason"]) for m in found["rows"]["missing_in_b"]] == [("docs", "takedown")]
    older = said("gc", there, "--newest", "--yes")
    assert (
        older["files"].keys() == {"older"}
        and "steps/unique/0000000000000000/map0-0123456789ab.arrow" in older["files"]["older"]
    )
    assert said("takedown", there, tmp_path / "list.txt")["removed"] == {"origin:a.jsonl#a-1": 1}
    before = {entry.key for entry in store.list("steps")}
    curate.run(recipe, there, env=env).ok()
    assert {entry.key for entry in store.list("steps")} == before
