"""Global stages that take text out of rows instead of rows out of the corpus."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.base import PART, ROW, Context, Filter, Global, Stage
from curate.text.batch import Batch

CUTS: Final = pa.schema(
    [
        pa.field(PART, pa.uint32()),
        pa.field(ROW, pa.uint32()),
        pa.field("start", pa.uint32()),
        pa.field("stop", pa.uint32()),
        pa.field("mark", pa.uint64()),
        pa.field("documents", pa.uint32()),
    ]
)
"""What the phase that decides gives: spans that go, each from ``start`` to ``stop`` of its row's text, which may overlap.

``mark`` is equal for equal spans, and ``documents`` says how many have such a one: the most frequent are reported. Both are
null where that says nothing.
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

    def spans(self, docs: Batch, cuts: Spans, ctx: Context) -> Spans:
        """The bytes of each row's text that go, whole characters, from what CUTS says of them."""
        return cuts

    def leaves(self, docs: Batch, left: pa.Array, ctx: Context) -> tuple[pa.Array, pa.Array]:
        """Which rows have too little left: ``docs`` are rows as they were, ``left`` is their text without the spans.

        Returns for each a reason to drop it, null to keep it, and a detail (JSON), strings.
        """
        return pa.nulls(len(docs), pa.string()), pa.nulls(len(docs), pa.string())


def edits(stage: Stage) -> bool:
    """Whether a stage gives rows that stay another text."""
    return isinstance(stage, CutsSpans) or (isinstance(stage, Filter) and stage.edits())
