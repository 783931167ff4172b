"""What filters need is loaded once a process, before its first row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
