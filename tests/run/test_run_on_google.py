"""A run that reads from Google Cloud Storage and keeps its store there: killed, gone on with, the same bytes as on a disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from command import Curate, results
from corpus import lines, prose, rows
from recipes import step, write

from curate.store.files import Store

SPLIT = ("--split-mb", 0.05)


def test_killed_and_gone_on_with(curate: Curate, google: str, tmp_path: Path) -> None:
    """Reports and checks read it."""
    texts = prose(8)
    data = lines(rows(texts + texts[:2], "a"))
    Store(f"gs://{google}/in").replace("docs.jsonl", data)
    steps = [
        step("docs", "read.jsonl", paths=[f"gs://{google}/in/*.jsonl"]),
        step("rules", "filter.massivetext", min_words=30),
        step("unique", "dedup.exact"),
        step("out", "write.text", documents_per_shard=20),
    ]
    recipe = write(tmp_path / "r.yaml", steps)
    env = {
        "CURATE_SCRATCH": str(tmp_path / "scratch"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        **{name: os.environ[name] for name in ("STORAGE_EMULATOR_HOST", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT")},
    }
    curate.run(recipe, tmp_path / "disk", *SPLIT, env=env).ok()
    store = f"gs://{google}/deep/run"
    once = {"CURATE_CRASH_AT": f"reduce.before-receipt={tmp_path / 'once'}"}
    (tmp_path / "once").touch()
    done = curate.run(recipe, store, *SPLIT, env={**env, **once})
    assert done.code == -signal.SIGKILL
    curate.run(recipe, store, *SPLIT, env=env).ok()
    whole = results(tmp_path / "disk")
    assert sum("out/" in name for name in whole) > 2
    assert results(store) == whole
    assert "exact_duplicate" in curate("inspect", "--plain", store, env=env).ok().out
    assert "OK" in curate("check", store, env=env).ok().out
