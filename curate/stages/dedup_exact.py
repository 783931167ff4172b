"""Documents that are the same text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.stages.base import KEY, PART, ROW, VERDICTS, Context, Phase, Read, Span
from curate.stages.keep_order import KeepsFirst, details
from curate.stages.registry import register
from curate.text.batch import Batch


@register("dedup.exact")
class DedupExact(KeepsFirst):
    r"""Keep one of the documents whose text is the same but for white space.

    Texts are compared by a 128-bit hash of their normal form: NFC, line ends as LF, and by ``profile``

    - ``prose``: any run of white space is one space.
    - ``code``: white space at line ends and blank lines at the end do not count, but indentation does.
    - ``maths``: white space around operators and inside brackets, spacing and sizing commands of LaTeX do not count;
      ``\le``, ``\leq`` and the sign itself are the same, and so are ``$`` and ``\(`` (``curate.text.maths`` has the
      whole table).

    Case, punctuation, digits and brackets are never folded: ``3+4`` and ``5-70``, ``a[i]`` and ``a(i)`` stay different.

    Among equal texts stays the one that comes first in the order that ``keep`` says. So who stays depends on content alone.
    """

    revision: ClassVar[int] = 2
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "exact_duplicate": "another document has the same text; the detail names the one that was kept"
    }

    profile: Literal["prose", "code", "maths"] = Field("prose", description="what is not compared: see above")

    def phases(self) -> tuple[Phase, ...]:
        """One: by hash, then in keep order."""
        return (Phase("hash", (Read(self._map),), self._reduce, ("hash", *self.rank_names)),)

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        from curate.text.arrow import fixed
        from curate.text.hashing import hash128
        from curate.text.maths import maths_profile
        from curate.text.normal import code_profile, prose_profile

        normal = {"prose": prose_profile, "code": code_profile, "maths": maths_profile}[self.profile]
        hashes = hash128(normal(docs.text))
        key = np.ascontiguousarray(fixed(hashes)).view(np.uint64)[:, 0]
        columns = {KEY: pa.array(key, pa.uint64()), "hash": hashes, **self.ranks(docs)}
        return pa.table({**columns, PART: docs.column(PART), ROW: docs.column(ROW)})

    def _reduce(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        from curate.text.arrow import fixed

        hashes = np.ascontiguousarray(fixed(rows.column("hash"))).view(np.uint64)
        count = len(hashes)
        repeat = np.zeros(count, np.bool_)
        repeat[1:] = (hashes[1:] == hashes[:-1]).all(axis=1)
        first = np.maximum.accumulate(np.where(repeat, 0, np.arange(count)))
        ids = rows.column("id").combine_chunks()
        kept = ids.take(pa.array(first[repeat], pa.int64()))
        gone = rows.filter(pa.array(repeat))
        return pa.table(
            {
                PART: gone.column(PART),
                ROW: gone.column(ROW),
                "reason": pa.repeat(pa.scalar("exact_duplicate"), gone.num_rows),
                "detail": details(kept, np.ones(gone.num_rows)),
            },
            VERDICTS,
        )
