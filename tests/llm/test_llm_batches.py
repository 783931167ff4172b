"""Batches: submitted once whatever is killed when, results by custom_id, what expired costs nothing and is asked again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.errors import EndpointError
from curate.llm.batch_book import BatchBook
from curate.llm.journal import attempts_of
from curate.llm.request import Request
from curate.llm.teacher import Batching, Call, Say, Teacher, bag_of_words

BATCH = {"batch": True, "batch_seconds": 0.15, "prompt_price": 1.0, "completion_price": 10.0}


def answer(call: Call) -> Say:
    return Say(f"answer to {call.prompt}")


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher(answer) as served:
        yield served


@pytest.fixture
def rounds(request_of: Callable[..., Request]) -> list[list[Request]]:
    """Five rounds of four."""
    return [[request_of(f"word{4 * r + n}") for n in range(4)] for r in range(5)]


def texts(asked: Any) -> list[list[str | None]]:
    return [[a and a.text for a in round_] for round_ in asked.rounds]


def test_what_leaves_together_is_one_batch(ask_at: Any, teacher: Teacher, rounds: list[list[Request]]) -> None:
    """The same answers as one by one, charged at what was counted; a second asker sends nothing."""
    asked = ask_at(rounds, teacher.base_url, **BATCH)
    assert texts(asked) == [[f"answer to word{4 * r + n}" for n in range(4)] for r in range(5)]
    assert teacher.batches.created == 1 and set(teacher.received.values()) == {1} and len(teacher.received) == 20
    accounts = asked.accounts
    assert (accounts["answered"], accounts["error"], accounts["lost"], accounts["in_flight"]) == (20, 0, 0, 0)
    assert accounts["dollars"] == pytest.approx((20 * 1 * 1.0 + 20 * 3 * 10.0) / 1e6)
    assert texts(ask_at(rounds, teacher.base_url, **BATCH)) == texts(asked) and teacher.batches.created == 1


def test_what_expired_costs_nothing_and_is_asked_again(
    ask_at: Any, teacher: Teacher, rounds: list[list[Request]]
) -> None:
    """Of the first batch seven answers came in time, of the second none."""
    teacher.batches.batching = Batching(looks=2, expire_after=(7, 0))
    asked = ask_at(rounds, teacher.base_url, **BATCH)
    assert texts(asked) == [[f"answer to word{4 * r + n}" for n in range(4)] for r in range(5)]
    assert teacher.batches.created == 3 and set(teacher.received.values()) == {1}
    accounts = asked.accounts
    assert (accounts["sent"], accounts["answered"], accounts["errors"]) == (20 + 13 + 13, 20, {"expired": 26})
    assert accounts["completion_tokens"] == 60 and accounts["dollars"] == pytest.approx(620e-6)


def test_errors_of_single_requests(ask_at: Any, teacher: Teacher, rounds: list[list[Request]]) -> None:
    """A 400 is final, a 500 is tried again in another batch."""
    teacher.script = lambda call: (
        Say("no", status=400) if call.prompt == "word3"
        else Say(status=500) if call.prompt == "word5" and not call.nth
        else answer(call)
    )  # fmt: skip
    asked = ask_at(rounds, teacher.base_url, **BATCH)
    assert [(f.round, f.index, f.kind) for f in asked.failed] == [(0, 3, "refused_request")]
    assert texts(asked)[1][1] == "answer to word5" and teacher.batches.created == 2


def test_failed_validation(ask_at: Any, teacher: Teacher, rounds: list[list[Request]]) -> None:
    """A line that is wrong fails the batch: it is refused, the others go into the next one; all of it is free."""
    teacher.batches.batching = Batching(
        invalid=lambda body: "bad word" if body["messages"][0]["content"] == "word6" else ""
    )
    asked = ask_at(rounds, teacher.base_url, **BATCH)
    assert [(f.round, f.index, f.kind) for f in asked.failed] == [(1, 2, "refused_request")]
    assert teacher.batches.created == 2 and asked.accounts["answered"] == 19
    assert asked.accounts["completion_tokens"] == 57


def test_a_full_account_is_waited_for(ask_at: Any, teacher: Teacher, rounds: list[list[Request]]) -> None:
    """Validation that refuses the whole batch is tried again; one that always does is told of."""
    teacher.batches.batching = Batching(full=("token_limit_exceeded",))
    assert ask_at(rounds[:1], teacher.base_url, **BATCH).accounts["answered"] == 4
    teacher.batches.batching = Batching(full=("token_limit_exceeded",) * 99)
    with pytest.raises(EndpointError, match="token_limit_exceeded"):
        ask_at(rounds[1:], teacher.base_url, attempts=2, **BATCH)


def test_the_budget_holds(ask_at: Any, teacher: Teacher, rounds: list[list[Request]]) -> None:
    """What does not fit with its reserve does not go into the batch."""
    asked = ask_at(rounds, teacher.base_url, budget={"completion_tokens": 500}, **BATCH)
    assert asked.accounts["completion_tokens"] <= 500 and asked.rounds_not_asked == 0
    asked = ask_at(rounds, teacher.base_url, budget={"completion_tokens": 60}, **BATCH)
    assert not asked.rounds_not_asked


def test_embeddings(ask_at: Any, teacher: Teacher) -> None:
    request = Request(({"role": "user", "content": "a b"},), "fam", 0, 0, {}, kind="embeddings")
    (answers,) = ask_at([[request]], teacher.base_url, **BATCH).rounds
    from curate.llm.embedding import decode

    assert list(decode(answers[0].text)) == pytest.approx(bag_of_words("a b", 64), abs=1e-6)


@pytest.mark.parametrize("point", ["batch.before-create", "batch.before-id", "batch.after-id"])
def test_killed_at(ask_at: Any, tmp_path: Path, teacher: Teacher, rounds: list[list[Request]], point: str) -> None:
    """Killed beside the submission: what was submitted is found again, by its id or its token; nothing is paid twice."""
    teacher.batches.batching = Batching(looks=3)
    (tmp_path / "token").touch()
    child = os.fork()  # a process of its own costs seconds of imports
    if child == 0:
        os.environ["CURATE_CRASH_AT"] = f"{point}={tmp_path / 'token'}"
        ask_at(rounds, teacher.base_url, **BATCH)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    made = 0 if point == "batch.before-create" else 1
    assert teacher.batches.created == made and len(list(attempts_of(tmp_path / "journal.sqlite"))) == 20
    assert len(BatchBook(tmp_path / "journal.sqlite").places()) == 20
    # A cap that has room for what is under way, and for nothing beside it.
    asked = ask_at(rounds, teacher.base_url, budget={"completion_tokens": 20 * 50}, **BATCH)
    assert texts(asked) == [[f"answer to word{4 * r + n}" for n in range(4)] for r in range(5)]
    assert teacher.batches.created == 1 and set(teacher.received.values()) == {1}
    accounts = asked.accounts
    assert (accounts["sent"], accounts["answered"], accounts["lost"], accounts["in_flight"]) == (20, 20, 0, 0)
    assert accounts["completion_tokens"] == 60
