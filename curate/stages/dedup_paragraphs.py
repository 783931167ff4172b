"""Paragraphs that many documents share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from curate.stages.registry import register
from curate.stages.repeated_units import RepeatedUnits


@register("dedup.paragraphs")
class DedupParagraphs(RepeatedUnits):
    """Cut paragraphs that occur in several documents: notices, licences, quoted passages.

    A paragraph ends at a line of white space alone, or at the text's end. As with ``dedup.lines`` two are the same if
    their normal forms are (NFC, lower case, each run of white space, line ends included, as one space), and one counts
    once for each document. It goes, with the blank lines behind it, from all documents but the first in keep order, since
    what stands in few documents is text as often as boilerplate (``cut: all`` leaves none).

    Keep order is what ``keep`` says. The result is a function of the set of documents, not of their order or partitioning.
    """

    revision: ClassVar[int] = 2
    paragraphs: ClassVar[bool] = True

    cut: Literal["all", "all_but_first"] = Field(
        "all_but_first", description="every occurrence, or all but the first one in the first document in keep order"
    )
    least: int = Field(3, ge=2, le=1 << 31, description="documents in which a paragraph occurs, at least, to be cut")
    min_chars: int = Field(
        50, ge=1, description="shorter paragraphs (characters of the normal form) are never counted or cut"
    )
