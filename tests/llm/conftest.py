from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curate.llm import limiter
from curate.llm.ask import Asker, Failed, Round
from curate.llm.model import Budget, Model
from curate.llm.request import Answer, Request


@dataclass(frozen=True)
class Asked:
    """What came of rounds that were all put at once."""

    rounds: list[list[Answer | None]]
    failed: list[Failed]
    stopped: str
    rounds_not_asked: int
    accounts: dict[str, Any]
    bought: int
    seconds: float


Ask = Callable[..., Asked]


def ask(rounds: Any, model: Model, **settings: Any) -> Asked:
    """Put all rounds, take until there are no more."""
    answers, failed = [], []
    with Asker({"writer": model}, **settings) as asker:
        for requests in rounds:
            asker.put(Round("writer", tuple(requests)))
        while (closed := asker.take()) is not None:
            assert closed.number == len(answers)
            answers.append(closed.answers)
            failed += closed.failed
    left = len(rounds) - len(answers)
    return Asked(answers, failed, asker.stopped, left, asker.accounts, asker.bought, asker.seconds)


def make_request(word: str, draw: int = 0, *, max_tokens: int = 50, family: str = "fam", **sampling: Any) -> Request:
    return Request(({"role": "user", "content": word},), family, draw, max_tokens, sampling)


@pytest.fixture(autouse=True)
def _fresh_limiters() -> None:
    # Ports are used again: what one test's endpoint taught must not slow the next one down.
    limiter._limiters.clear()


@pytest.fixture
def request_of() -> Callable[..., Request]:
    return make_request


@pytest.fixture
def ask_at(tmp_path: Path) -> Ask:
    """ask(rounds, base_url, budget={...}, progress=..., **model settings) with one journal per test."""

    def call(rounds: Any, base_url: Any, *, budget: Any = None, progress: Any = None, **settings: Any) -> Asked:
        model = Model(**{"model": "teacher", "base_url": base_url, "timeout_seconds": 5.0, **settings})
        return ask(
            rounds,
            model,
            budget=Budget(**(budget or {})),
            journal=tmp_path / "journal.sqlite",
            progress=progress,
            local_log=tmp_path / "server.log",
        )

    return call


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"
