"""Global stages that take text out of rows instead of rows out of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import ID_TYPE
from curate.stages.base import PART, ROW, Context, Filter, Global, Stage
from curate.text.batch import Batch

CUTS: Final = pa.schema(
    [
        pa.field(PART, pa.uint32()),
        pa.field(ROW, pa.uint32()),
        pa.field("start", pa.uint32()),
        pa.field("stop", pa.uint32()),
        pa.field("kept", ID_TYPE),
        pa.field("kept_start", pa.uint32()),
        pa.field("mark", pa.uint64()),
        pa.field("documents", pa.uint32()),
        pa.field("cut", pa.uint64()),
        pa.field("bytes", pa.uint64()),
    ]
)
"""What the phase that decides gives: spans that go, each from ``start`` to ``stop`` of its row's text, which may overlap.

``kept`` is the document before this one in keep order (or this one) in which the same stands, from ``kept_start`` on; null
where it stays nowhere. The rest is said of equal spans (``mark``) by one of them, and null in others: how many
``documents`` have such a one, how many are ``cut`` and how many bytes that is. The most frequent are reported.
"""


class Spans(NamedTuple):
    """Spans of the rows of a batch: int64[m] each, sorted by owner, then by start. They may overlap.

    Attributes:
        owner: the row's number in the batch.
        starts, stops: bytes of its text.
    """

    owner: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]


class CutsSpans(Global):
    """Cuts spans out of rows that stay; ids stay, later steps see, measure and count what is left.

    The phase that decides gives rows of schema CUTS. What was cut is kept beside the rows, so that ``explain`` can show it.
    """

    reasons: ClassVar[Mapping[str, str]] = {
        "little_left": "without what was cut, fewer than min_left_chars characters, or less than min_left_share of them, "
        "are left"
    }

    min_left_chars: int = Field(1, ge=0, description="characters that a document is left with, at least, or it goes")
    min_left_share: float = Field(
        0.0, ge=0, le=1, description="share of its characters that is left, at least; 1 drops all that would be cut"
    )

    def bytes_of(self, docs: Batch, spans: Spans) -> Spans:
        """Spans of the rows' texts in bytes, from what ``start`` and ``stop`` count in; as many, in the same order."""
        return spans

    def spans(self, docs: Batch, cuts: Spans, ctx: Context) -> Spans:
        """The bytes of each row's text that go, whole characters, from what CUTS says of them."""
        return cuts

    def leaves(self, docs: Batch, left: pa.Array, ctx: Context) -> tuple[pa.Array, pa.Array]:
        """Which rows have too little left: ``docs`` are rows as they were, ``left`` is their text without the spans.

        Returns for each a reason to drop it, null to keep it, and a detail (JSON), strings. White space at both ends of a
        text does not count.
        """
        had, has = (pc.utf8_length(pc.utf8_trim_whitespace(text)).cast(pa.int64()) for text in (docs.text, left))
        share = pc.multiply(pc.cast(had, pa.float64()), self.min_left_share)
        few = pc.or_(pc.less(has, self.min_left_chars), pc.less(pc.cast(has, pa.float64()), share))
        said = pc.binary_join_element_wise(
            '{"chars": ', had.cast(pa.string()), ', "left": ', has.cast(pa.string()), "}", ""
        )
        nothing = pa.scalar(None, pa.string())
        return pc.if_else(few, pa.scalar("little_left"), nothing), pc.if_else(few, said, nothing)


def edits(stage: Stage) -> bool:
    """Whether a stage gives rows that stay another text."""
    return isinstance(stage, CutsSpans) or (isinstance(stage, Filter) and stage.edits())
