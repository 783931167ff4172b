from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.llm import limiter
from curate.llm.ask import Asked, ask
from curate.llm.model import Budget, Model
from curate.llm.request import Request

Ask = Callable[..., Asked]


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

    def call(rounds: Any, base_url: str | None, *, budget: Any = None, progress: Any = None, **settings: Any) -> Asked:
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
