"""The plan of a step that asks: written round by round, read from any round on, and what it passed over."""

from __future__ import annotations

from collections.abc import Generator as Rounds
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from curate.llm.request import Answer, Request
from curate.run import accept
from curate.run.published import Published
from curate.stages.base import Context
from curate.stages.generator import Generator
from curate.store.files import Store
from curate.text.batch import Batch


class Asks(Generator):
    """Rounds of one to five requests, twenty-three of them, and three rows that are not asked about."""

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Rounds[list[Request], None, Mapping[str, int]]:
        for number in range(23):
            message = {"role": "user", "content": f"{number} " + "x" * 1000}
            yield [Request((message,), "f", draw, 9) for draw in range(number % 5 + 1)]
        return {"too long": 3, "empty": 0}


def test_rounds_are_read_from_any_one_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever batches the plan is written in, whether a round lies in one of them or a batch holds several."""
    store, ctx = Store(tmp_path), Context("asks", None)
    whole = list(Asks().requests([], ctx))
    for size in (1, 3000, 1 << 20):
        monkeypatch.setattr(accept, "_PLAN_BYTES", size)
        told = accept.RequestsTask(store, "steps/asks", f"key{size}", Asks(), ctx, ()).work()
        plan = accept.RoundsOfPlan(store, **told)
        assert (plan.rounds, plan.requests, dict(plan.passed_over)) == (23, sum(map(len, whole)), {"too long": 3})
        assert list(plan) == whole
        for start in range(24):
            assert list(plan.between(start, start + 4)) == whole[start : start + 4]


def test_answers_of_earlier_rounds_are_found_by_key(tmp_path: Path) -> None:
    """Of whatever settings they were; the last of several; none of what was given up or never asked."""
    store = Store(tmp_path)
    keys = [f"{n:032x}" for n in (1, 2, 1 << 70, (1 << 70) + 1, 5)]

    def answer(key: str, text: str) -> dict[str, object]:
        return {
            "key": key, "text": text, "finish_reason": "stop", "model": "m", "prompt_tokens": 1,
            "completion_tokens": 1, "licence": "CC0", "dollars": 0.0,
        }  # fmt: skip

    store.put_if_absent("steps/asks/a/rounds/000000.json", [answer(keys[0], "one"), None, answer(keys[1], "two")])
    store.put_if_absent("steps/asks/b/rounds/000000.json", [answer(keys[2], "three"), answer(keys[0], "one again")])
    store.put_if_absent("steps/asks/b/receipts/x.json", {"no": "round"})
    store.put_if_absent("steps/other/a/rounds/000000.json", [answer(keys[4], "another step's")])
    found = Published(store, "asks")
    assert {key: found[key].text for key in found} == {keys[0]: "one again", keys[1]: "two", keys[2]: "three"}
    assert isinstance(found[keys[1]], Answer) and len(found) == 4
    assert found.get(keys[3]) is None  # its first half is another one's
    assert found.get(keys[4]) is None and Published(store, "nobody").get(keys[0]) is None
