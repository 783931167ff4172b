"""Lines that many documents share."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from curate.stages.registry import register
from curate.stages.repeated_units import RepeatedUnits


@register("dedup.lines")
class DedupLines(RepeatedUnits):
    """Cut lines that occur in many documents: menus, notices, licence headers.

    Two lines are the same if their normal forms are: NFC, in lower case, each run of white space as one space and
    none at the ends. Digits and signs count: ``3+4`` and ``5-70`` differ. A line counts once for each document, however
    often it stands there. One that occurs in ``least`` documents is cut out of all of them, with the line end behind
    it, or of all but the first in keep order.

    Lines shorter than ``min_chars`` stay, and are not counted: ``}``, ``Yes.`` and headings are in many documents for good reasons.

    Keep order is what ``keep`` says. The result is a function of the set of documents, not of their order or partitioning.
    The manifest and ``curate inspect --step`` name the lines that stood in most documents.

    Of prose and web pages: in program code ``return self`` and the like stand in many files because they must.
    """

    revision: ClassVar[int] = 2
    paragraphs: ClassVar[bool] = False

    least: int = Field(6, ge=2, le=1 << 31, description="documents in which a line occurs, at least, to be cut")
    min_chars: int = Field(
        20, ge=1, description="shorter lines (characters of the normal form) are never counted or cut"
    )
