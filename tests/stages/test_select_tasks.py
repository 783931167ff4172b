"""select.tasks: the process of the paper draw by draw, whatever the cuts; what each task gives, in the mean and exactly."""

import json
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, documents, verdicts
from pydantic import ValidationError

from curate.stages.base import Context
from curate.stages.select_tasks import SelectTasks
from curate.text.hashing import keyed_hash
from curate.text.urns import MOST_URNS, drawn

SIZES = {"a": 3, "b": 40, "c": 1, "d": 200, "e": 12, "f": 90, "(none)": 7}
MASK = (1 << 64) - 1


def corpus(sizes=SIZES, seed=1):
    """Rows of each task, in any order."""
    tasks = [task for task, size in sizes.items() for _ in range(size)]
    random.Random(seed).shuffle(tasks)
    metas = [json.dumps({} if task == "(none)" else {"task": task}) for task in tasks]
    table = documents([f"{task} {i}" for i, task in enumerate(tasks)])
    return table.set_column(4, "meta", pa.array(metas)), tasks


def gone(stage, table, **how):
    """Reasons by row number."""
    number = {one: i for i, one in enumerate(table.column("id").to_pylist())}
    found = verdicts(stage, table, **how)
    return {
        number[one]: why
        for one, why in zip(found.column("id").to_pylist(), found.column("reason").to_pylist(), strict=True)
    }


def kept(stage, table, **how):
    return sorted(set(range(table.num_rows)) - set(gone(stage, table, **how)))


def mixed(x):
    """The dice, of numbers of Python."""
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & MASK
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ x >> 33


def by_hand(table, tasks, rows, cap, ctx=CONTEXT):
    """Rows that are drawn: urns of rows in the order of a hash, one draw after the other."""
    order = keyed_hash(table.column("id").combine_chunks(), ctx.key(ctx.step, "order")).tolist()
    urns = {
        task: sorted((i for i, t in enumerate(tasks) if t == task), key=lambda i: order[i])[:cap]
        for task in sorted(set(tasks))
    }
    full, key, taken = list(urns), ctx.key(ctx.step, "tasks"), []
    for draw in range(rows if rows is not None else 0):
        if not full:
            break
        at = (mixed(key + draw * 0x9E3779B97F4A7C15 & MASK) >> 14) * len(full) >> 50
        taken.append(urns[full[at]].pop(0))
        if not urns[full[at]]:
            full[at] = full[-1]
            full.pop()
    return sorted(taken if rows is not None else [i for urn in urns.values() for i in urn])


@pytest.mark.parametrize(
    ("rows", "cap"), [(1, None), (25, None), (150, None), (10_000, None), (60, 5), (None, 5), (20, 100)]
)
def test_as_by_hand(rows, cap):
    """The rows of a plain loop over urns, in any number of parts and partitions; what goes for the cap says so."""
    table, tasks = corpus()
    stage = SelectTasks(rows=rows, per_task=cap)
    expected = by_hand(table, tasks, rows, cap)
    assert kept(stage, table) == expected
    assert kept(stage, table, parts=4, partitions=5, seed=3, batch_rows=7) == expected
    assert len(expected) == min(rows or 10**9, sum(min(size, cap or 10**9) for size in SIZES.values()))
    for why, number in Counter(gone(stage, table).values()).items():
        over = sum(max(size - (cap or 10**9), 0) for size in SIZES.values())
        assert number == (over if why == "over_cap" else table.num_rows - len(expected) - over)


def test_fewer_are_among_more():
    """A sample of fewer rows is part of one of more; another seed draws others."""
    table, _ = corpus()
    few, more = (set(kept(SelectTasks(rows=n), table)) for n in (40, 120))
    assert len(few) == 40 and few < more
    assert set(kept(SelectTasks(rows=40), table, ctx=Context("test", 8))) != few


def test_in_the_mean():
    """Over many seeds each task gives what independent dice give it, and each of its rows is as likely as the others."""
    sizes, rows, runs = np.array([3, 40, 1, 200, 12, 90]), 100, 3000
    found = np.array([drawn(sizes, rows, Context("s", seed).key("tasks")) for seed in range(runs)])
    assert (found.sum(axis=1) == rows).all() and (found <= sizes).all()
    dice = random.Random(5)
    expected = np.zeros((runs, len(sizes)))
    for run in range(runs):
        left = {i: int(n) for i, n in enumerate(sizes)}
        for _ in range(rows):
            one = dice.choice(list(left))
            expected[run, one] += 1
            left[one] -= 1
            if not left[one]:
                del left[one]
    error = np.sqrt((found.var(axis=0) + expected.var(axis=0)) / runs)
    assert (np.abs(found.mean(axis=0) - expected.mean(axis=0)) <= 4.5 * error + 1e-9).all()
    large = [1, 3, 5]
    assert (abs(found[:, large].var(axis=0) / expected[:, large].var(axis=0) - 1) < 0.15).all()
    assert (found[:, [0, 2]] == sizes[[0, 2]]).all() and abs(found[:, 3].mean() - found[:, 5].mean()) < 0.5


def test_rows_of_a_task_alike():
    """Which rows of a task are taken does not follow from where they stand."""
    table, _ = corpus({"a": 50, "b": 50})
    counts: Counter = Counter()
    for seed in range(200):
        counts.update(kept(SelectTasks(rows=20), table, ctx=Context("test", seed)))
    assert sum(counts.values()) == 4000
    assert all(40 - 5 * 5.7 < counts[i] < 40 + 5 * 5.7 for i in range(100))


def test_by_a_column():
    """The task may be a column, numbers too; what is neither drawn nor capped says nothing."""
    table, tasks = corpus()
    by_column = table.append_column("number.task", pa.array([ord(t[0]) for t in tasks]))
    assert SelectTasks(rows=30, task="number.task").reads() == {"number.task"}
    counts = Counter(tasks[i] for i in kept(SelectTasks(per_task=2, task="number.task"), by_column))
    assert counts == {task: min(size, 2) for task, size in SIZES.items()}
    with pytest.raises(ValidationError, match="neither rows nor per_task"):
        SelectTasks()


def test_urns():
    """Empty ones are not drawn; more than the dice can tell apart are refused."""
    assert drawn(np.array([0, 5, 0]), 3, 1).tolist() == [0, 3, 0]
    assert drawn(np.array([], np.int64), 3, 1).tolist() == []
    assert drawn(np.array([2, 2]), 10**12, 1).tolist() == [2, 2]
    with pytest.raises(ValueError, match="urns"):
        drawn(np.ones(MOST_URNS + 1, np.int64), 1, 1)
