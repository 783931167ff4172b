"""Promises 1 and 2 on an object store: the same bytes as on a disk, whoever dies, and however bad the store is."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command import Curate, results
from corpus import code, lines, one_frame, prose, rows
from object_store import Away, Fault, Proxy
from recipes import Steps, step, write

from curate.store.files import CRASH_POINTS, Store
from curate.store.latest import latest

SPLIT = ("--split-mb", 0.013)
SUITE = ("cut.after-piece", "reduce.after-receipt", "publish.before-manifest")
"""Crash points of the suite, in the order in which a run comes to them; ``make s3`` tries all, one by one."""
ALL = (
    CRASH_POINTS
    if os.environ.get("CURATE_S3_ALL")
    else [pytest.param("", marks=pytest.mark.skip(reason="minutes long: make s3"))]
)


def steps() -> Steps:
    """A file that is cut into pieces, an exchange, a model that later steps read whole, a writer."""
    return [
        step("prose", "read.jsonl", paths=["prose.jsonl"]),
        step("rules", "filter.massivetext", min_words=30, max_symbol_ratio=0.02),
        step("code", "read.jsonl", paths=["code.jsonl.zst"]),
        step("unique", "dedup.exact", ["rules", "code"], index=True),
        step("words", "train.tokenizer", vocab_size=512),
        step("encoded", "encode.tokens", "unique", tokenizer="words"),
        step("tokens", "write.tokens", tokens="encoded", sequence=64, tail="pad"),
    ]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe beside its inputs."""
    folder = tmp_path_factory.mktemp("s3")
    english = prose(8)
    (folder / "prose.jsonl").write_bytes(lines(rows(english + english[:2], "a")))
    (folder / "code.jsonl.zst").write_bytes(one_frame(lines(rows(code(8, 8000), "c"))))
    return write(folder / "s3.yaml", steps(), name="s3")


@pytest.fixture(scope="module")
def whole(curate: Curate, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of what a run on a disk gives."""
    store = tmp_path_factory.mktemp("disk")
    curate.run(recipe, store, *SPLIT).ok()
    found = results(store)
    assert sum("tokens/" in name for name in found) >= 2
    return found


class Run:
    """A run on S3 that is begun again and again."""

    def __init__(self, curate: Curate, recipe: Path, s3: Proxy, folder: Path) -> None:
        self.address, self._curate, self._recipe = f"s3://{s3.bucket}/deep/run", curate, recipe
        self.env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        self.env |= {"CURATE_SCRATCH": str(folder / "scratch"), "XDG_STATE_HOME": str(folder / "state")}

    def __call__(self, workers: int = 0, **env: str) -> Any:
        return self._curate.run(self._recipe, self.address, *SPLIT, workers=workers, env={**self.env, **env})

    def command(self, *argv: str) -> Any:
        """Another command."""
        return self._curate(*argv, env=self.env)

    @property
    def store(self) -> Store:
        """Its store."""
        return Store(self.address)


@pytest.fixture
def run(curate: Curate, recipe: Path, s3: Proxy, tmp_path: Path) -> Run:
    """A run that is not begun."""
    return Run(curate, recipe, s3, tmp_path)


def test_same_bytes_as_on_a_disk(run: Run, whole: dict[str, str], s3: Proxy, tmp_path: Path) -> None:
    """With a worker; a second run does nothing; reports read it; a training job opens it; no scratch stays."""
    run(workers=1).ok()
    assert results(run.address) == whole
    receipts = [e for e in run.store.list() if "/receipts/" in e.key]
    puts = s3.count("PUT", "/receipts/")
    assert "done before" in run().ok().out
    assert results(run.address) == whole
    assert [e for e in run.store.list() if "/receipts/" in e.key] == receipts
    assert s3.count("PUT", "/receipts/") == puts
    assert list((tmp_path / "scratch").rglob("*.arrow")) == []
    assert "unique" in run.command("inspect", "--plain", run.address).ok().out
    assert "OK" in run.command("check", run.address).ok().out
    assert "input_ids" in run.command("inspect", "--plain", f"{run.address}/tokens").ok().out
    import datasets

    opened = datasets.load_from_disk(run.store.address(latest(run.store, "tokens")))
    assert opened.num_rows == sum(s["rows"] for s in _shards(run.store))


def _shards(store: Store) -> list[dict[str, Any]]:
    steps = json.loads(store.read("manifest.json") or b"")["steps"]
    return [shard for made in steps for shard in made["shards"]]


def test_killed_again_and_again(run: Run, whole: dict[str, str], tmp_path: Path) -> None:
    """The only process is killed at one point after the other, each time a little further; the bytes are the same."""
    for point in SUITE:
        (tmp_path / point).touch()
        assert run(CURATE_CRASH_AT=f"{point}={tmp_path / point}").code == -signal.SIGKILL, point
    run().ok()
    assert results(run.address) == whole
    # What the dead left on their way into the store is gone with the next command that writes there.
    assert [p for p in (tmp_path / "scratch").rglob("*") if p.is_file() and p.suffix == ".arrow"] == []


@pytest.mark.parametrize("point", ALL)
def test_killed_at(run: Run, whole: dict[str, str], tmp_path: Path, point: str) -> None:
    """The same at every point alone; at those of steps that ask a model this recipe has nothing to kill."""
    (tmp_path / point).touch()
    done = run(CURATE_CRASH_AT=f"{point}={tmp_path / point}")
    assert done.code == (0 if point.startswith("round.") else -signal.SIGKILL)
    run().ok()
    assert results(run.address) == whole


@pytest.mark.skipif(not os.environ.get("CURATE_S3_ALL"), reason="make s3; one that goes away is tested here")
def test_a_bad_store(run: Run, whole: dict[str, str], s3: Proxy) -> None:
    """Throttled, cut off and answered by halves all the way: the run gets through, with the same bytes."""
    for kind in ("slow_down", "drop_before", "drop_after", "cut"):
        s3.add(Fault(kind, share=0.04))
    run(CURATE_STORE_SECONDS="60").ok()
    s3.heal()
    assert results(run.address) == whole
    assert sum(bool(r.faults) for r in s3.requests) > 20


def test_store_goes_away(run: Run, whole: dict[str, str], s3: Proxy) -> None:
    """A store that goes away in the middle: one line and its exit code; when it is back the run goes on."""
    s3.add(Away("drop_before", methods=("PUT",), contains="/receipts/"))
    done = run(CURATE_STORE_SECONDS="1")
    assert done.code == 6
    assert "the object store does not answer" in done.line
    assert "run again when it does: what is committed is kept" in done.line
    s3.heal()
    run().ok()
    assert results(run.address) == whole
