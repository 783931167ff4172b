"""The kind of stage that asks a model, and what its answers become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from curate.llm.request import Answer, Request
from curate.stages.base import Context, Stage
from curate.text.batch import Batch

NO_ANSWER: Final = "no_answer"
"""Why a request whose every attempt failed became no document."""
LEDGER: Final = (
    "accepted", "refused", "truncated", "unparsable", "wrong_format", "failed_execution", "duplicate", "contaminated",
    "low_score", "error", "lost",
)  # fmt: skip
"""What becomes of requests: each is counted as one of these."""


@dataclass(frozen=True)
class Rejected:
    """An answer that did not become a document: a documented reason, a line that says more, and what the stage's
    ``report`` needs of it (plain values), if anything."""

    reason: str
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Accepted:
    """A document made from an answer: its text, the fields of its ``meta``, and the columns of ``adds``.

    ``source``: of the document that the text comes from; empty for a text that the model wrote: then it is the step.
    A text that was made of documents names them in ``meta``: their hex ids as a list ``made_from``, or one as ``document``.
    That is how a takedown tells what was made of what.

    Where a stage that ``reads_documents`` gives the hex id of one that it read as ``document``, text and source are
    that one's, whole, and ``text`` is empty: requests need not carry it.
    """

    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    document: str | None = None


def not_asked(counts: Mapping[str, int]) -> str:
    """What was passed over, by what is true of it, as a line."""
    return f"not asked: {', '.join(f'{count:,} {what}' for what, count in counts.items())}"


class Generator(Stage):
    """Asks a model and turns its answers into documents, or into labels of documents it was shown."""

    reads_documents: ClassVar[bool] = False
    """Whether it needs rows of an earlier step (``label.llm``) or starts from an asset (topics)."""
    may_read: ClassVar[bool] = False
    """Whether one that needs none reads the rows of the steps that ``from`` names, where it names some."""

    ledger: ClassVar[Mapping[str, str]] = {}
    """For each of ``reasons`` what the ledger counts it as, one of LEDGER."""

    model: str = Field("writer", description="which of the recipe's models to ask")

    def models(self) -> tuple[str, ...]:
        """Names of all models that it may ask."""
        return (self.model,)

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Iterable[list[Request]]:
        """Rounds of requests, a pure function of settings, assets and rows; ``Request.subject`` carries what
        ``accept`` needs later. A round counts only as a whole. The rows may be gone through more than once, each time in
        the same order; who gives rounds one after the other has few requests in memory. A generator function may return,
        in the end, how many rows were passed over, by what is true of them ("longer than ..."): the report tells it."""
        raise NotImplementedError

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected | list[Accepted]:
        """The document that an answer becomes (or several), or why it becomes none."""
        raise NotImplementedError

    def told(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """What ``report`` needs of accepted documents; all of them are in memory then. By default all but their texts, which
        are ``chars`` (int64) already."""
        return rows

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Plain values for the manifest about the accepted documents, and what was noted (``facts``) of other answers.

        ``docs``: what ``told`` says of each.
        """
        return {}
