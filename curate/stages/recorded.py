"""What generators have in common whose documents say who wrote them, under which terms, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from curate.llm.request import Answer, Request
from curate.stages import answers
from curate.stages.screened import Screened
from curate.stages.terms import strictest
from curate.stages.written import Written

_NOT_KEPT: Final = frozenset({"asked", "expects", "shown", "seed_terms"})
"""What a request's subject says for who makes the record, and the record does not keep under that name."""
RECORDED: Final = _NOT_KEPT | {
    *("model", "licence", "terms", "family", "draw", "answer", "sampling", "corrections", "prompt_tokens"),
    *("completion_tokens", "dollars", "checks", "trimmed"),
}
"""Names that mean something in a request's subject or a record: a seed's field of that name is none to carry."""


class Recorded(Screened, Written):
    """How such a generator writes its records."""

    def record(self, request: Request, answer: Answer, checks: Sequence[str], **more: Any) -> dict[str, Any]:
        """``meta`` of a document made from an answer.

        Who wrote it and under which terms, of which seeds, with which parameters, by which request, at what cost, and which
        checks it passed; then what the request's subject says. ``asked`` there is the place of the turn that asked: what
        comes after it are corrections.
        """
        subject = dict(request.subject)
        at = int(subject.get("asked", len(request.messages) - 1))
        seed_terms = subject.get("seed_terms", [])
        corrections = (len(request.messages) - 1 - at) // 2
        passed = [*checks, *(["uncontaminated"] if self.against else [])]
        return {
            "model": answer.model,
            "licence": answer.licence,
            "terms": strictest([answer.licence, *seed_terms]),
            "family": request.family,
            "draw": request.draw,
            "answer": answer.key,
            "sampling": {**request.sampling, "max_tokens": request.max_tokens},
            **({"seed_terms": seed_terms} if seed_terms else {}),
            **({"corrections": corrections} if corrections else {}),
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "dollars": answer.dollars,
            "checks": passed,
            "trimmed": answer.finish_reason == "length",
            **{name: value for name, value in subject.items() if name not in _NOT_KEPT},
            **more,
        }

    def refused(self, given: str, finish_reason: str) -> bool:
        """Whether an answer is a refusal, as it came or without what stands before it."""
        return answers.refused(given, finish_reason) or answers.refused(answers.unwrap(given), finish_reason)
