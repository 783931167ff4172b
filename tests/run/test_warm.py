"""What filters need is loaded once a process, before its first row, and by one process of a machine at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from curate.run import warm as warming
from curate.run.row_step import RowStep
from curate.stages.base import Context, Filter

SHOW = """
import json, os, sys
from numba.core.dispatcher import Dispatcher
from test_stages import WEIRD, Batch, Context, documents, stage_class
def compiled():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("curate."):
            found.update({f"{name}.{k}": len(v.signatures) for k, v in vars(module).items() if isinstance(v, Dispatcher)})
    return found
def look(name, settings):
    stage = stage_class(name).model_validate(settings)
    rows = documents(WEIRD, stage)
    stage.warm(Context("warm", None))
    before = compiled()
    for batch in (rows, rows.slice(3, 9), rows.slice(0, 0)):
        stage.decide(stage.measure(Batch(batch), Context("warm", None)))
    after = compiled()
    print(json.dumps([name, sum(before.values()), {k: v for k, v in after.items() if v != before.get(k, 0)}]), flush=True)
for name, settings in json.loads(sys.argv[1]).items():
    if os.fork() == 0:
        look(name, settings)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"{name} failed")
"""
"""Each filter in a fork of its own, of a process that has no kernel yet."""


class Counting(Filter):
    """Counts how often it was warmed."""

    def warm(self, ctx: Context) -> None:
        SEEN.append(ctx.step)


SEEN: list[str] = []


def test_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is measured: the same under another name, or another time, is warm already."""
    monkeypatch.setattr(warming, "_warm", set())
    SEEN.clear()
    one, same, other = (
        RowStep(name, Counting(), Context(name, None), measure)
        for name, measure in (("one", "a"), ("same", "a"), ("other", "b"))
    )
    for step in (one, one, same, same, other, other):
        warming.warm(step)
    assert SEEN == ["one", "other"]


def test_no_lock_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, or a folder that can't be written to, costs the order, not the run."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    for module, name in ((warming.fcntl, "flock"), (warming.os, "open")):
        monkeypatch.setattr(module, name, refuse)
        with warming._one_at_a_time():
            pass
        with pytest.raises(ValueError, match="its own"), warming._one_at_a_time():
            raise ValueError("its own")


def _hold(path: str, seconds: float) -> None:
    with warming._one_at_a_time():
        start = time.time()
        time.sleep(seconds)
        Path(path).write_text(json.dumps([start, time.time()]))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Two at once wait for each other."""
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=_hold, args=(str(tmp_path / str(i)), 0.5)) for i in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    first, second = sorted(json.loads((tmp_path / str(i)).read_text()) for i in range(2))
    assert first[1] <= second[0]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone else's file is not opened; there is no lock then, and nothing stops."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"curate-{os.getuid()}.lock").symlink_to(tmp_path / "elsewhere")
    with warming._one_at_a_time():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_warm_filter_compiles_nothing_more() -> None:
    """Slices, odd text, no rows: all by the kernels that two rows have loaded."""
    root = Path(__file__).parents[1]
    rules = ("massivetext", "c4", "fineweb", "refinedweb", "code_rules")
    filters = {**{f"filter.{name}": {} for name in rules}, "decontaminate": {"against": ["humaneval"]}}
    places = os.pathsep.join((str(root.parent), str(root), str(root / "contract")))
    done = subprocess.run(
        [sys.executable, "-c", SHOW, json.dumps(filters)],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _, _ in shown] == list(filters)
    for name, loaded, more in shown:
        assert loaded > 0, name
        assert more == {}, name
