"""Phases of Global stages on the engine: rows by address, tables from outside, rounds; the same wherever rows are cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from corpus import lines
from recipes import step, write

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run import phases as phases_of
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.stages.base import (
    AGAIN,
    AT,
    KEY,
    OUTSIDE,
    PART,
    ROW,
    VERDICTS,
    Context,
    Global,
    Phase,
    Read,
    Rounds,
    Span,
)
from curate.stages.registry import register, remove
from curate.store.files import CRASH_POINTS, Store
from curate.store.records import StepRecord
from curate.store.tables import read_table, table_writer
from curate.text.batch import Batch

FEW = 3


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 keys that are spread evenly."""
    with np.errstate(over="ignore"):
        return values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


class Countdown(Global):
    """A text is a number. Each round takes one off; who comes to nothing, and has a friend outside, goes.

    The detail says how many rounds it took, what the text was, read again, and the friend's name.
    """

    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {"nothing": "it came to nothing"}
    friends: str = ""
    few: int = 0

    def tables(self, ctx: Context) -> Mapping[str, Sequence[Path]]:
        return {"friends": sorted(Path(self.friends).glob("*.arrow"))}

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("numbers", (Read(self._number),), lambda rows, *_: rows.drop_columns([KEY]), (PART, ROW)),
            Phase("down", (Read(self._key, "numbers"),), self._down, (PART, ROW), rounds=Rounds(self._rest, self.few)),
            Phase(
                "meet", (Read(self._down_to, "down"), Read(self._friend, "friends")), self._meet, ("named", PART, ROW)
            ),
            Phase(
                "wanted", (Read(self._both, "meet"),), lambda rows, *_: rows.drop_columns([KEY]), (PART, ROW, "to_part")
            ),
            Phase(
                "told", (Read(self._text, at="wanted"), Read(self._name, "friends", at="wanted")), self._tell, ("kind",)
            ),
        )

    def _number(self, docs: Batch, ctx: Context) -> pa.Table:
        number = pa.array([int(t) for t in docs.text.to_pylist()], pa.int64())
        columns = {
            KEY: pa.array(mixed(np.asarray(number))),
            "number": number,
            "rounds": pa.array(np.zeros(len(docs), np.int64)),
        }
        return pa.table({**columns, PART: docs.column(PART), ROW: docs.column(ROW)})

    def _key(self, rows: Batch, ctx: Context) -> pa.Table:
        return pa.Table.from_batches([rows.rows]).append_column(KEY, pa.array(mixed(rows.column("number").to_numpy())))

    def _down(self, rows: pa.Table, span: Span, ctx: Context) -> list[pa.Table]:
        """In two tables, as a reduce may."""
        number, count = rows.column("number").to_numpy() - 1, rows.column("rounds").to_numpy() + 1
        number, again = np.maximum(number, 0), number > 0
        out = pa.table(
            {
                "number": pa.array(number),
                "rounds": pa.array(count),
                PART: rows.column(PART),
                ROW: rows.column(ROW),
                AGAIN: pa.array(again),
            }
        )
        half = out.num_rows // 2
        return [out.slice(0, half), out.slice(half)]

    def _rest(self, rows: pa.Table, ctx: Context) -> pa.Table:
        number = rows.column("number").to_numpy()
        count = rows.column("rounds").to_numpy() + np.maximum(number, 1)
        rows = rows.set_column(rows.schema.get_field_index("rounds"), "rounds", pa.array(count))
        return rows.set_column(rows.schema.get_field_index("number"), "number", pa.array(number * 0))

    def _down_to(self, rows: Batch, ctx: Context) -> pa.Table:
        rounds = rows.column("rounds")
        columns = {
            KEY: pa.array(mixed(rounds.to_numpy())),
            "named": pa.array(np.zeros(len(rows), np.int8)),
            "count": rounds,
        }
        return pa.table({**columns, PART: rows.column(PART), ROW: rows.column(ROW)})

    def _friend(self, rows: Batch, ctx: Context) -> pa.Table:
        count = rows.column("count").to_numpy()
        columns = {
            KEY: pa.array(mixed(count)),
            "named": pa.array(np.ones(len(rows), np.int8)),
            "count": rows.column("count"),
        }
        return pa.table({**columns, PART: rows.column(PART), ROW: rows.column(ROW)})

    def _meet(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        out = []
        values = rows.select([KEY, "named", "count", PART, ROW]).to_pylist()
        for mine in values:
            friend = [v for v in values if v["named"] and v["count"] == mine["count"]]
            if not mine["named"] and friend:
                out.append({**mine, "to_part": friend[0][PART], "to_row": friend[0][ROW]})
        kinds = [
            ("count", pa.int64()),
            (PART, pa.uint32()),
            (ROW, pa.uint32()),
            ("to_part", pa.uint32()),
            ("to_row", pa.uint32()),
        ]
        return pa.Table.from_pylist(out, pa.schema(kinds))

    def _both(self, rows: Batch, ctx: Context) -> pa.Table:
        """One row names the document, one its friend."""
        table = pa.Table.from_batches([rows.rows])
        there = table.rename_columns(["count", "to_part", "to_row", PART, ROW]).select(table.column_names)
        both = pa.concat_tables([table, there])
        return both.append_column(KEY, pa.array(mixed(both.column("count").to_numpy())))

    def _text(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        at = named.column(AT)
        texts = docs.text.cast(pa.string()).take(at.combine_chunks())
        return self._said(named.column(PART), named.column(ROW), texts, 0, named.column("count"))

    def _name(self, rows: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        names = rows.column("name").take(named.column(AT).combine_chunks())
        return self._said(named.column("to_part"), named.column("to_row"), names, 1, named.column("count"))

    def _said(self, part: Any, row: Any, said: Any, kind: int, count: Any) -> pa.Table:
        key = mixed(part.to_numpy().astype(np.uint64) << np.uint64(32) | row.to_numpy())
        kinds = pa.array(np.full(len(said), kind, np.int8))
        return pa.table({KEY: pa.array(key), PART: part, ROW: row, "said": said, "kind": kinds, "count": count})

    def _tell(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        found: dict[tuple[int, int], dict[int, Any]] = {}
        for row in rows.to_pylist():
            found.setdefault((row[PART], row[ROW]), {})[row["kind"]] = row
        out = [
            {PART: p, ROW: r, "reason": "nothing", "detail": json.dumps([s[0]["count"], s[0]["said"], s[1]["said"]])}
            for (p, r), s in found.items()
        ]
        return pa.Table.from_pylist(out, VERDICTS)

    def reported(self) -> tuple[str, ...]:
        return ("wanted",)

    def report(self, rows: Mapping[str, pa.Table], ctx: Context) -> Mapping[str, Any]:
        return {"named": rows["wanted"].num_rows}


NUMBERS = [5, 1, 4, 4, 2, 7, 3, 1, 9, 2, 2, 6, 8, 5, 5, 1]
FRIENDS = {1: "ann", 2: "bob", 5: "eve", 7: "joe"}
WANTED = sorted([n, str(n), FRIENDS[n]] for n in NUMBERS if n in FRIENDS)


@pytest.fixture(scope="module", autouse=True)
def stage() -> Any:
    """The stage is known for these tests alone."""
    register("test.countdown")(Countdown)
    yield
    remove("test.countdown")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Numbers in three files, friends in two tables, the second with addresses of its own."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(3):
        rows = [{"id": f"{i}", "text": str(NUMBERS[i])} for i in range(n, len(NUMBERS), 3)]
        (folder / f"{n}.jsonl").write_bytes(lines(rows))
    (folder / "friends").mkdir()
    names = list(FRIENDS.items())
    for file, some in (("a.arrow", names[:2]), ("b.arrow", names[2:])):
        table = pa.table({"count": [c for c, _ in some], "name": [n for _, n in some]})
        if file == "b.arrow":
            table = table.append_column(ROW, pa.array([70, 30], pa.uint32()))
            table = table.append_column(PART, pa.array([OUTSIDE + 1] * 2, pa.uint32()))
        with table_writer(folder / "friends" / file, table.schema) as out:
            for batch in table.to_batches(max_chunksize=1):
                out.write(batch)
    return folder


def run(inputs: Path, store: Path, few: int, partitions: int | None = None) -> StepRecord:
    """The step's record."""
    steps = [
        step("docs", "read.jsonl", paths=[str(inputs / "*.jsonl")]),
        step("down", "test.countdown", friends=str(inputs / "friends"), few=few),
    ]
    recipe = write(store.parent / f"{store.name}.yaml", steps)
    with Runner(0) as runner:
        plan = make_plan(load_recipe(recipe))
        return Engine(plan, Store(store), runner, Silent(), Settings(split_bytes=60, partitions=partitions)).run()[
            "down"
        ]


def told(store: Path, record: StepRecord) -> list[Any]:
    """Details of the rows that went."""
    found = [
        json.loads(d) for key in record.dropped for d in read_table(Store(store).data(key)).column("detail").to_pylist()
    ]
    return sorted(found)


@pytest.mark.parametrize(("few", "partitions"), [(0, None), (FEW, 3), (1000, 1), (0, 3)])
def test_every_kind_of_input(inputs: Path, tmp_path: Path, few: int, partitions: int | None, monkeypatch) -> None:
    """Rounds to the end, cut short by a rest, or nothing but the rest; inputs alone or packed: what goes is the same."""
    monkeypatch.setattr(phases_of, "PACK_ITEMS", 1 if partitions == 3 else 32)
    record = run(inputs, tmp_path / "store", few, partitions)
    assert told(tmp_path / "store", record) == WANTED
    assert record.report == {"named": 2 * len(WANTED)}
    assert record.counts.rows_out == len(NUMBERS) - len(WANTED)
    assert not list(tmp_path.glob("store/steps/*/*/pieces*")), "an index goes with its use"


def test_a_round_is_gone_on_with(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at any map or reduce of any round, a run goes on after what is committed, and does each task once."""
    from curate.run import task

    assert {"map.after-receipt", "reduce.after-receipt"} <= set(CRASH_POINTS)
    done: list[str] = []
    real = task.Task.run
    stop_at = [0]

    def once(self: task.Task) -> Any:
        if self.store.read_whole(self.receipt) is None:
            if len(done) == stop_at[0]:
                raise KeyboardInterrupt
            done.append(f"{type(self).__name__} {self.key}")
        return real(self)

    monkeypatch.setattr(task.Task, "run", once)
    ended = 0
    while True:
        stop_at[0] = len(done) + 3
        try:
            record = run(inputs, tmp_path / "store", 0, 2)
        except KeyboardInterrupt:
            ended += 1
            continue
        break
    assert ended > 15
    assert len(set(done)) == len(done)
    assert told(tmp_path / "store", record) == WANTED


def test_killed_in_a_round(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed before a reduce of a round is committed, then after a map of one: the result is the same."""
    from curate.run import phases

    real = phases.Exchange.run

    def up_to_round_3(self: phases.Exchange) -> Any:
        if self.name == "down, round 3":
            raise KeyboardInterrupt
        return real(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(phases.Exchange, "run", up_to_round_3)
        run(inputs, tmp_path / "store", 0, 2)
    here = Path(__file__)
    script = (
        "import pathlib, test_global_phases as t; t.register('test.countdown')(t.Countdown); "
        f"t.run(pathlib.Path({str(inputs)!r}), pathlib.Path({str(tmp_path / 'store')!r}), 0, 2)"
    )
    path = os.pathsep.join([str(here.parent), str(here.parents[1]), *sys.path])
    for point in ("reduce.before-receipt", "map.after-receipt"):
        (tmp_path / point).touch()
        env = {**os.environ, "PYTHONPATH": path, "CURATE_CRASH_AT": f"{point}={tmp_path / point}"}
        done = subprocess.run([sys.executable, "-c", script], env=env, check=False, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
    record = run(inputs, tmp_path / "store", 0, 2)
    assert told(tmp_path / "store", record) == WANTED
