"""Rounds that depend on what came: tried again, given to another model, stopped; killed anywhere they come out the same."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Curate, manifest, results
from recipes import step, write

from curate.fingerprint import fingerprint
from curate.llm.teacher import Call, Say, Teacher

IN_FLIGHT = 4
GOOD = '```python\ndef {name}(n: int) -> int:\n    """Return {what}."""\n    return n * {k}\n\n\nassert {name}(1) == {k}\nassert {name}(2) == {k} * 2\n```'


def dice(call: Call) -> int:
    """Of its messages: the same in every run, another one for another try."""
    return int(fingerprint([dict(m) for m in call.body["messages"]])[:8], 16)


def teacher_of(call: Call) -> Say:
    """The small model writes prose first in half of its answers and still in a third when told so; the large one never."""
    time.sleep(0.02)
    k = dice(call)
    again = "That will not do" in call.body["messages"][-1]["content"]
    if call.body["model"] == "small" and k % (3 if again else 2) == 0:
        return Say("A function is a fine thing, and I like to write about it.")
    if call.body["model"] == "small" and k % 11 == 0:
        return Say("I'm sorry, but I can't help with that.")
    first = next(m["content"] for m in reversed(call.body["messages"]) if m["role"] == "user" and "`" in m["content"])
    return Say(
        GOOD.format(name=first.split("`")[1], k=k % 97, what=f"what {fingerprint(k)} says of {fingerprint(k, 1)}")
    )


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    """A server with counts of its own."""
    with Teacher(teacher_of) as served:
        yield served


def recipe(
    folder: Path, teacher: Teacher, *, exercises: int = 24, budget: dict | None = None, **settings: object
) -> Path:
    asked = {
        "exercises": exercises,
        "round": 4,
        "tries": 2,
        "then": "large",
        "ahead": 1,
        "max_tokens": 200,
        "against": [],
        **settings,
    }
    steps = [step("exercises", "generate.exercises", **asked), step("out", "write.text", documents_per_shard=8)]
    served = {"base_url": teacher.base_url, "licence": "CC0-1.0", "concurrency": IN_FLIGHT}
    models = {
        "writer": {"model": "small", "prompt_price": 1, "completion_price": 2, **served},
        "large": {"model": "large", "prompt_price": 10, "completion_price": 20, **served},
    }
    return write(folder / "r.yaml", steps, models=models, **({"budget": budget} if budget else {}))


@pytest.fixture(scope="module")
def whole(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """Digests of an undisturbed run, and how many requests it took; another server's address is no part of them."""
    folder = tmp_path_factory.mktemp("conducted")
    with Teacher(teacher_of) as teacher:
        curate.run(recipe(folder, teacher), folder / "run").ok()
        assert set(teacher.received.values()) == {1}
        received = len(teacher.received)
    told = manifest(folder / "run")["steps"]["exercises"]["report"]["families"]
    (family,) = told.values()
    assert family["asked"] == received == 24 + family["again"] + family["then"]
    assert family["again"] >= 6 and family["then"] >= 1
    assert family["reasons"]["accepted"] >= 20
    assert sum(family["reasons"].values()) == received
    return results(folder / "run"), received


def test_all_is_told(curate: Curate, teacher: Teacher, tmp_path: Path) -> None:
    """Every request is a line of the ledger, by family; what the second model cost is told beside what it would have alone."""
    curate.run(recipe(tmp_path, teacher), tmp_path / "run").ok()
    told = json.loads(curate("ledger", str(tmp_path / "run"), "--json").ok().out)
    (line,) = told["families"]
    assert line["sent"] == sum(teacher.received.values()) == sum(line["counts"].values())
    assert line["counts"]["accepted"] == manifest(tmp_path / "run")["steps"]["exercises"]["rows_out"]
    assert line["counts"]["unparsable"] > 0 and line["counts"]["lost"] == line["counts"]["unused"] == 0
    assert line["dollars"] > 0 and line["dollars_per_1k"] > 0
    (cascade,) = told["cascades"]
    assert (cascade["first"], cascade["then"]) == ("small", "large")
    assert sum(cascade["asked"]) == line["sent"]
    assert cascade["spent"] == pytest.approx(line["dollars"])
    assert cascade["spent"] < cascade["alone"]
    shown = curate("ledger", str(tmp_path / "run")).ok().out
    assert "large was asked for" in shown and "unparsable" in shown


@pytest.mark.parametrize("seed", range(2))
def test_killed_while_asking(
    curate: Curate, teacher: Teacher, whole: tuple[dict[str, str], int], tmp_path: Path, seed: int
) -> None:
    """Killed three times at random moments: only what is in flight is asked again, and charged as lost; nothing else differs."""
    path, store, rng = recipe(tmp_path, teacher), tmp_path / "run", random.Random(seed)
    digests, received = whole

    def kill(pid: int) -> None:
        end, already = time.monotonic() + 30, sum(teacher.received.values())
        while sum(teacher.received.values()) < already + rng.randrange(1, 12) and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)

    kills = 3
    for _ in range(kills):
        assert curate.run(path, store, meanwhile=kill).code == -signal.SIGKILL
    curate.run(path, store).ok()
    assert results(store) == digests
    assert len(teacher.received) == received
    assert sum(teacher.received.values()) <= received + kills * 2 * IN_FLIGHT
    (line,) = json.loads(curate("ledger", str(store), "--json").ok().out)["families"]
    assert line["sent"] == sum(line["counts"].values()) >= sum(teacher.received.values())
    assert line["sent"] - line["counts"]["lost"] == received
    assert line["counts"]["unused"] == 0


def test_the_cap_holds(curate: Curate, teacher: Teacher, tmp_path: Path) -> None:
    """With several requests in flight: what the server made is within it; what complete rounds are there is used."""
    cap = 900
    path = recipe(tmp_path, teacher, budget={"completion_tokens": cap})
    done = curate.run(path, tmp_path / "run").ok()
    assert "stopped by the budget" in done.out
    report = manifest(tmp_path / "run")["steps"]["exercises"]["report"]
    assert report["stopped"] == "budget"
    assert 0 < report["completion_tokens"] <= cap
    (line,) = json.loads(curate("ledger", str(tmp_path / "run"), "--json").ok().out)["families"]
    assert line["sent"] == sum(line["counts"].values()) == sum(teacher.received.values())
    assert line["completion_tokens"] <= cap


def test_a_teacher_that_collapses_is_stopped(curate: Curate, tmp_path: Path) -> None:
    """Of nine answers over and over the family has its fill long before its plan is asked; the curve shows why."""

    def nine(call: Call) -> Say:
        asked = call.body["messages"][-1]["content"].split("`")[1]
        k = int(call.key[:8], 16) % 9
        text = " ".join(fingerprint("answer", k, i)[:6] for i in range(300))
        return Say(
            f'```python\ndef {asked}(n):\n    """{text}"""\n    return n\n\n\nassert {asked}(1) == 1\nassert {asked}(2) == 2\n```'
        )

    with Teacher(nine) as teacher:
        limits = {"least": 16}
        path = recipe(tmp_path, teacher, exercises=200, round=8, tries=1, then=None, limits=limits, max_tokens=600)
        done = curate.run(path, tmp_path / "run").ok()
        assert len(teacher.received) <= 72
        (family,) = manifest(tmp_path / "run")["steps"]["exercises"]["report"]["families"].values()
        assert family["asked"] == len(teacher.received)
        assert family["asked"] + family["skipped"] == 200
        assert family["stopped"] and family["stopped"] in done.out
        assert family["reasons"]["accepted"] <= 9
        rates = [point["recent"] for point in family["points"]]
        assert rates[0] < rates[-1]
