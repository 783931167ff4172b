"""The order of rounds: the same whatever the order of arrival, other tries, a second model, families that are stopped."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.llm.request import Answer, Request
from curate.stages.base import Context
from curate.stages.conductor import Asked, Conductor, Judged
from curate.stages.family import Limits, seen_of
from curate.stages.generator import Accepted, Rejected
from curate.stages.written import Written

CTX = Context("step", 1)


class Writes(Written):
    """Not registered: judged by the test."""

    name = "writes"
    ledger: ClassVar = {**Written.ledger, "wrong": "wrong_format", "held": "contaminated"}
    reasons: ClassVar = {"wrong": "it is wrong.", "held": "it holds an item"}


def request(text: str, family: str = "plain", draw: int = 0) -> Request:
    return Request(({"role": "user", "content": text},), family, draw, 100)


def plan(rounds: int, size: int, families: int = 1) -> list[list[Request]]:
    return [[request(f"r{r} n{n}", f"family {r % families}", n) for n in range(size)] for r in range(rounds)]


def said(one: Request) -> str:
    """The first prompt and how often it was corrected."""
    return f"{one.messages[0]['content']} x{(len(one.messages) - 1) // 2}"


def judge(stage: Writes, asked: Asked, reasons: dict[str, str], texts: dict[str, str]) -> Judged:
    """By what each request says: rejected for a reason, else a document with a text."""
    found, again, accepted = [], [], []
    for one in asked.requests:
        reason = reasons.get(f"{said(one)} {asked.model}", reasons.get(said(one), ""))
        found.append(reason)
        answer = Answer("k", "bad", "stop", "m", 1, 1, "")
        again.append(stage.again(one, answer, Rejected(reason, "why"), CTX) if reason else None)
        accepted.append([] if reason else [Accepted(texts.get(said(one), said(one)))])
    return Judged(
        found, again, accepted, seen_of(pa.array([a.text for some in accepted for a in some], pa.large_string()))
    )


def conduct(stage: Writes, rounds: list[list[Request]], reasons=None, texts=None, late: random.Random | None = None):
    """All that is asked, as (model, family, tries, prompts); ``late`` says how many rounds are judged together."""
    conductor = Conductor(stage, rounds, CTX)
    asked: list[Asked] = []
    judged = 0
    while True:
        while (one := conductor.next()) is not None:
            asked.append(one)
            if late is not None and late.random() < 0.3:
                break
        if judged == len(asked):
            break
        many = 1 if late is None else late.randint(1, len(asked) - judged)
        for one in asked[judged : judged + many]:
            conductor.judged(judge(stage, one, reasons or {}, texts or {}))
        judged += many
    conductor.end()
    return conductor, [(a.model, a.family, a.tries, [said(r) for r in a.requests]) for a in asked]


def test_without_rejections_the_plan_is_asked():
    conductor, asked = conduct(Writes(), plan(5, 3))
    assert [prompts for *_, prompts in asked] == [[said(r) for r in round_] for round_ in plan(5, 3)]
    assert conductor.report()["family 0"]["reasons"] == {"accepted": 15}


def test_what_failed_is_asked_again_then_the_other_model():
    """Twice of the first, its error shown; then the other model gets the request as it was. What no try mends is left."""
    stage = Writes(tries=2, then="large", round=2, ahead=0)
    wrong = ("r0 n0 x0 writer", "r0 n0 x1 writer", "r0 n1 x0 writer")
    reasons: ClassVar = {**dict.fromkeys(wrong, "wrong"), "r1 n0 x0 writer": "held"}
    conductor, asked = conduct(stage, plan(2, 2), reasons)
    assert asked == [
        ("writer", "family 0", 1, ["r0 n0 x0", "r0 n1 x0"]),
        ("writer", "family 0", 2, ["r0 n0 x1", "r0 n1 x1"]),
        ("writer", "family 0", 1, ["r1 n0 x0", "r1 n1 x0"]),
        ("large", "family 0", 1, ["r0 n0 x0"]),
    ]
    told = conductor.report()["family 0"]
    assert (told["asked"], told["again"], told["then"]) == (7, 2, 1)
    assert told["reasons"] == {"accepted": 3, "held": 1, "wrong": 3}


def test_a_correction_says_what_was_wrong():
    stage = Writes(tries=2)
    again = stage.again(request("a"), Answer("k", "bad", "stop", "m", 1, 1, ""), Rejected("wrong", "no def"), CTX)
    assert [m["role"] for m in again.messages] == ["user", "assistant", "user"]
    assert again.messages[1]["content"] == "bad"
    assert "it is wrong (no def)" in again.messages[2]["content"]


@settings(max_examples=25)
@given(st.data())
def test_the_order_of_arrival_changes_nothing(data):
    """However late rounds are judged, and however many at once, the same rounds are asked in the same order."""
    rounds = plan(data.draw(st.integers(1, 8)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)))
    stage = Writes(
        tries=data.draw(st.integers(1, 3)), ahead=data.draw(st.integers(0, 3)), round=data.draw(st.integers(1, 4)),
        then=data.draw(st.sampled_from([None, "large"])), limits=Limits(least=4),
    )  # fmt: skip
    known = [f"{r.messages[0]['content']} x{x}" for round_ in rounds for r in round_ for x in range(3)]
    reasons: ClassVar = {one: "wrong" for one in known if data.draw(st.booleans())}
    texts = {one: "the same" for one in known if data.draw(st.booleans())}
    seed = data.draw(st.integers(0, 99))
    conductor, asked = conduct(stage, rounds, reasons, texts)
    other, late = conduct(stage, rounds, reasons, texts, random.Random(seed))
    assert asked == late
    assert conductor.report() == other.report()
    assert conductor.repeats == other.repeats
    told = conductor.report().values()
    assert sum(t["asked"] - t["again"] - t["then"] + t["skipped"] for t in told) >= sum(map(len, rounds))
    assert all(sum(t["reasons"].values()) == t["asked"] for t in told)


def test_a_family_that_repeats_itself_is_stopped():
    """The others go on; what is left of the plan is told as skipped."""
    rounds = plan(40, 4, families=2)
    texts = {said(r): "over and over" for round_ in rounds for r in round_ if r.family == "family 1"}
    conductor, _ = conduct(Writes(limits=Limits(least=8), ahead=1), rounds, texts=texts)
    told = conductor.report()
    assert told["family 0"]["asked"] == 80 and not told["family 0"]["stopped"]
    assert told["family 1"]["asked"] + told["family 1"]["skipped"] == 80
    assert told["family 1"]["asked"] <= 24
    assert "near duplicates" in told["family 1"]["stopped"]
    assert told["family 1"]["reasons"] == {"accepted": 1, "duplicate": told["family 1"]["asked"] - 1}


def test_repeats_name_the_first():
    """By its place, across rounds and within one."""
    texts = {"r0 n1 x0": "same", "r1 n0 x0": "same", "r1 n1 x0": "same"}
    conductor, _ = conduct(Writes(), plan(2, 2), texts=texts)
    assert conductor.repeats == [{}, dict.fromkeys((0, 1), "family 0#0.1")]


def test_what_grows_is_asked():
    """More requests because of what was accepted, in their order; documents that the fold turns down are duplicates."""

    class Tree:
        def add(self, accepted, answers):
            stay = [len(a.text) < 30 for a in accepted]
            return stay, [
                request(f"{a.text} child {i}", "plain") for a in accepted for i in range(2) if "child" not in a.text
            ]

    class Grows(Writes):
        def grown(self, ctx):
            return Tree()

    conductor, asked = conduct(Grows(round=3), [[request("a"), request("b" * 40)]])
    assert [prompts for *_, prompts in asked][1:] == [
        ["a x0 child 0 x0", "a x0 child 1 x0", f"{'b' * 40} x0 child 0 x0"],
        [f"{'b' * 40} x0 child 1 x0"],
    ]
    assert conductor.repeats[0] == {1: ""}


def test_the_second_model_is_another():
    with pytest.raises(ValidationError, match="asked first"):
        Writes(then="writer")
    assert replace(request("a"), draw=1).draw == 1


def test_how_many_are_expected():
    """The plan at first; what is asked again comes on top as it is known, what a stopped family leaves goes."""
    stage = Writes(tries=2, then="large", round=2, ahead=0)
    rounds = plan(3, 2)
    conductor = Conductor(stage, rounds, CTX)
    assert conductor.expected(6) == 6
    seen = []
    while (one := conductor.next()) is not None:
        seen.append(conductor.expected(6))
        conductor.judged(judge(stage, one, dict.fromkeys(["r0 n0 x0 writer", "r0 n0 x1 writer"], "wrong"), {}))
    conductor.end()
    assert seen == sorted(seen)
    assert conductor.expected(6) == conductor.report()["family 0"]["asked"] == 8
    stopped, _ = conduct(
        Writes(limits=Limits(least=8), ahead=1), plan(40, 4), texts={said(r): "again" for p in plan(40, 4) for r in p}
    )
    told = stopped.report()["family 0"]
    assert stopped.expected(160) == told["asked"] == 160 - told["skipped"]
