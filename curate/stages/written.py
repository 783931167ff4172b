"""Generators that write text: failed answers are tried again or given to another model, families stop that repeat themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final, Protocol

from pydantic import Field, model_validator

from curate.llm.request import Answer, Request
from curate.stages.base import Context
from curate.stages.family import Limits
from curate.stages.generator import Accepted, Generator, Rejected

DUPLICATE: Final = "duplicate"
"""Why a document that was accepted goes all the same: it nearly repeats an earlier one of its family."""
MENDABLE: Final = frozenset({"refused", "truncated", "unparsable", "wrong_format", "failed_execution", "low_score"})
"""What another try, or another model, may mend, as the ledger calls it."""


class Grown(Protocol):
    """What a generator makes of all that it accepted so far: a fold over closed rounds, in their order."""

    def add(self, accepted: Sequence[Accepted], answers: int) -> tuple[list[bool], list[Request]]:
        """Which of the documents of one round, of so many requests, stay, and what else is to be asked because of them."""


class Written(Generator):
    """A generator whose next round depends on what became of the rounds before; see ``conductor.py``.

    A request is known by its prompt: what is asked again, with what was wrong shown, is a request of its own, and so is
    what another model is asked.
    """

    reasons: ClassVar[Mapping[str, str]] = {
        DUPLICATE: "nearly repeats a text of its family that was accepted before it, which is named"
    }
    ledger: ClassVar[Mapping[str, str]] = {DUPLICATE: "duplicate"}

    tries: int = Field(1, ge=1, le=10, description="how often a model is asked for what it failed, its error shown")
    then: str | None = Field(None, description="which of the recipe's models is asked for what `model` failed")
    ahead: int = Field(
        2, ge=0, description="rounds under way while one is judged: what comes next depends on the rounds before them"
    )
    round: int = Field(8, ge=1, description="requests a round; a round counts only as a whole")
    drop_duplicates: bool = Field(True, description="drop a text that nearly repeats an earlier one of its family")
    limits: Limits = Field(default_factory=Limits, description="when a prompt family that repeats itself is stopped")

    @model_validator(mode="after")
    def _another(self) -> Written:
        if self.then == self.model:
            raise ValueError(f"then: '{self.then}' is the model that is asked first")
        return self

    def models(self) -> tuple[str, ...]:
        """The model that is asked first, and the one for what it failed."""
        return (self.model,) if self.then is None else (self.model, self.then)

    def first(self, request: Request) -> str:
        """Which of its models a request of the plan is put to: one for all requests of a round."""
        return self.model

    def again(self, request: Request, answer: Answer, rejected: Rejected, ctx: Context) -> Request | None:
        """Another try: the conversation goes on with what was wrong; None where no other try can mend it."""
        said = self.correction(rejected) if self.ledger.get(rejected.reason) in MENDABLE else None
        if said is None:
            return None
        more = ({"role": "assistant", "content": answer.text}, {"role": "user", "content": said})
        return replace(request, messages=(*request.messages, *more))

    def correction(self, rejected: Rejected) -> str | None:
        """What the model is told about an answer that was rejected; None: it is not asked again."""
        why = self.reasons[rejected.reason].rstrip(".")
        detail = f" ({rejected.detail})" if rejected.detail else ""
        return f"That will not do: {why}{detail}. Answer the request again, in full."

    def grown(self, ctx: Context) -> Grown | None:
        """A new fold over what is accepted, for a generator that asks for more because of it; None: there is none."""
        return None
