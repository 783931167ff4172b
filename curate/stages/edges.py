"""From edges between like documents to verdicts: who stays, greedy in keep order, in rounds. No stage, used by those that find edges.

An edge leads from a document to one behind it in keep order that is like it. A document goes when one that stays leads to it:
who stays is the lexicographically first maximal independent set, which is one set whatever the order of the work.

In a round every document that has edges to others looks at those that lead to it. If one comes from a document that is known
to stay, it goes, and what it leads to is dropped. If none is left, it stays, and tells those that it leads to. Else it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import AGAIN, KEY, PART, ROW, VERDICTS, Context, Phase, Read, Rounds, Span
from curate.stages.keep_order import descending, details
from curate.stages.sorted_rows import changes, firsts, with_heads
from curate.text.batch import Batch

EARLIER: Final = "earlier"
LATER: Final = "later"
EDGES: Final = pa.schema(
    [
        (EARLIER, pa.uint64()),
        (LATER, pa.uint64()),
        ("similarity", pa.float64()),
        ("kept", pa.binary(16)),
        ("known", pa.bool_()),
    ]
)
"""An edge: addresses of both documents (see ``addresses``), their similarity, the id of the earlier one, and whether that is
known to stay: false in what finds edges."""

_TOLD: Final = 0
_WAITS: Final = 1
_LEADS: Final = 2


def addresses(rows: Any) -> npt.NDArray[np.uint64]:
    """PART and ROW of each row of a batch or table as one uint64."""
    part, row = rows.column(PART), rows.column(ROW)
    return (part.to_numpy().astype(np.uint64) << np.uint64(32)) | row.to_numpy().astype(np.uint64)


def parts_and_rows(found: npt.NDArray[np.uint64]) -> dict[str, pa.Array]:
    """PART and ROW of addresses."""
    low = np.uint64(0xFFFFFFFF)
    return {
        PART: pa.array((found >> np.uint64(32)).astype(np.uint32)),
        ROW: pa.array((found & low).astype(np.uint32)),
    }


@dataclass(frozen=True)
class Settling:
    """The last phases of a stage that finds edges.

    Attributes:
        edges: name of the phase whose rows are EDGES.
        reason: of the verdicts. They name the most similar document that stays and leads to the one that goes; of several
            the one with the lowest id.
        few: edges that are settled at once, see Rounds.
        of: addresses of documents to names of indexes, and which of these each is from; None: there are none.
    """

    edges: str
    reason: str
    few: int = Rounds.few
    of: Callable[[npt.NDArray[np.uint64], Context], tuple[list[str], npt.NDArray[np.uint32]]] | None = None

    def phases(self) -> tuple[Phase, Phase]:
        """Rounds until it is known which edges hold, and verdicts."""
        rounds = Rounds(self._rest, self.few)
        settle = Phase(
            "settle",
            (Read(self._at_both_ends, self.edges),),
            self._decide,
            ("side", EARLIER, LATER),
            rounds=rounds,
            streamed=True,
        )
        return settle, self.verdicts("settle")

    def verdicts(self, edges: str) -> Phase:
        """Verdicts from the rows of a phase that are EDGES of which each is reason enough."""
        return Phase("verdicts", (Read(self._at_later, edges),), self._choose, (LATER, "rank_similarity", "kept"))

    def _at_both_ends(self, rows: Batch, ctx: Context) -> pa.Table:
        """An edge stands at both of its documents; one that is known to hold just at the later one."""
        from curate.text.pairs import spread

        known = np.asarray(rows.column("known").to_numpy(zero_copy_only=False), bool)
        sides = np.concatenate([np.where(known, _TOLD, _WAITS), np.full(int((~known).sum()), _LEADS)]).astype(np.uint8)
        at = np.concatenate([np.arange(len(rows)), np.flatnonzero(~known)])
        earlier, later = (rows.column(name).to_numpy()[at] for name in (EARLIER, LATER))
        taken = rows.rows.take(pa.array(at))
        return pa.table(
            {
                KEY: pa.array(spread(np.where(sides == _LEADS, earlier, later))),
                "side": pa.array(sides),
                **{name: taken.column(name) for name in (EARLIER, LATER, "similarity", "kept")},
            }
        )

    def _decide(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """What each document knows of itself after what it was told; see the module."""
        # A document's first row says all that the others need to know.
        for rows, known in with_heads(tables, lambda some: some.slice(0, 1)):
            yield self._decided(rows, known)

    def _decided(self, rows: pa.Table, known: int) -> pa.Table:
        side = rows.column("side").to_numpy()
        begins = np.flatnonzero(changes(rows, KEY))
        # Rows of a document are sorted by side: the first one says the most.
        state = np.repeat(side[begins], np.diff(np.append(begins, len(side))))
        leading = side == _LEADS
        leading[:known] = False
        leads = rows.filter(pa.array(leading)).select([EARLIER, LATER, "similarity", "kept"])
        state = state[leading]

        def said(which: npt.NDArray[np.bool_], *, holds: bool, again: bool) -> pa.Table:
            some = leads.filter(pa.array(which))
            some = some.append_column("known", pa.repeat(pa.scalar(holds), some.num_rows))
            return some.append_column(AGAIN, pa.repeat(pa.scalar(again), some.num_rows))

        stays = state == _LEADS
        return pa.concat_tables(
            [
                said(state == _WAITS, holds=False, again=True),
                said(stays, holds=True, again=True),
                said(stays, holds=True, again=False),
            ]
        )

    def _rest(self, rows: pa.Table, ctx: Context) -> pa.Table:
        """All at once."""
        from curate.text.settle import kept_edges

        known = rows.column("known")
        edges = rows.filter(pc.invert(known))
        gone = rows.filter(known).column(LATER).to_numpy()
        stays = kept_edges(edges.column(EARLIER).to_numpy(), edges.column(LATER).to_numpy(), gone)
        return edges.filter(pa.array(stays))

    def _at_later(self, rows: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        similarity = rows.column("similarity")
        return pa.table(
            {
                KEY: pa.array(spread(rows.column(LATER).to_numpy())),
                EARLIER: rows.column(EARLIER),
                LATER: rows.column(LATER),
                "rank_similarity": pa.array(descending(similarity), pa.uint64()),
                "similarity": similarity,
                "kept": rows.column("kept"),
            }
        )

    def _choose(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        best = firsts(rows, LATER)
        names, ages = ([], None) if self.of is None else self.of(best.column(EARLIER).to_numpy(), ctx)
        return pa.table(
            {
                **parts_and_rows(best.column(LATER).to_numpy()),
                "reason": pa.repeat(pa.scalar(self.reason), best.num_rows),
                "detail": details(best.column("kept"), best.column("similarity").to_numpy(), names, ages),
            },
            VERDICTS,
        )
