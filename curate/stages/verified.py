"""From candidate pairs to edges: what the documents at both ends are meets, and is compared. No stage, used by those that find pairs.

Shingle sets are as large as texts, and a document may be in many pairs. So they are not sent to pairs but to *blocks* of
pairs (curate/text/pairs.py): a document's goes once to each block in which it has a pair that is in no lower block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.base import AT, KEY, PART, ROW, Context, Phase, Read, Span
from curate.stages.edges import EARLIER, EDGES, LATER, addresses, parts_and_rows
from curate.stages.sorted_rows import firsts
from curate.text.batch import Batch

I64 = npt.NDArray[np.int64]

BLOCK: Final = "block"
PAIRS: Final = pa.schema([(EARLIER, pa.uint64()), (LATER, pa.uint64()), (BLOCK, pa.uint64())])
"""A candidate pair: addresses of both documents, and a block of pairs that are compared together."""
_END: Final = (PART, ROW, BLOCK)
NODE_BYTES: Final = 8 << 20
"""Of what a map gives at once."""
_ROW_BYTES: Final = 64
"""Of a document where it is compared, without what it is compared by."""
_NODE: Final = 0
_PAIR: Final = 1


@dataclass(frozen=True)
class Verifier:
    """How documents are compared.

    Attributes:
        kind: type of what stands for a document: a list (shingles) or bytes (a sketch).
        describe: documents to that, and to a hash of the text (binary16) of each that is too short for it, else null: short
            ones are like those with the same hash, and like no others.
        compare: what stands for some documents, and two arrays of places in it, to the similarity of each pair, 0 to 1.
        least: similarity from which a pair is an edge.
        about: more columns that pairs have, each pair once, and that edges have from them.
    """

    kind: pa.DataType
    describe: Callable[[Batch, Context], tuple[pa.Array, pa.Array]]
    compare: Callable[[pa.Array, I64, I64], npt.NDArray[np.float64]]
    least: float
    about: pa.Schema = pa.schema([])  # noqa: RUF009 - a schema does not change

    def phases(self, candidates: str, more: tuple[Read, ...] = (), prefix: str = "") -> tuple[Phase, ...]:
        """Phases from the rows of phase ``candidates`` (PAIRS, repeated or not) to EDGES, which phase ``verify`` gives.

        Args:
            more: reads what is at the ends of pairs and no document; its maps give what ``nodes`` gives.
            prefix: of the phases' names.
        """
        pairs, ends, verify = (f"{prefix}{name}" for name in ("pairs", "ends", "verify"))
        least = self.kind.byte_width if pa.types.is_fixed_size_binary(self.kind) else 0
        reads = (
            Read(self._nodes, at=ends, row_bytes=_ROW_BYTES + least if least else 0),
            Read(self._paired, pairs),
            *more,
        )
        return (
            Phase(pairs, (Read(self._by_pair, candidates),), self._distinct, (EARLIER, LATER, BLOCK)),
            Phase(ends, (Read(self._ends, pairs),), self._distinct, _END),
            Phase(verify, reads, self._compare, ("kind", EARLIER, LATER)),
        )

    def _nodes(self, docs: Batch, named: pa.Table, ctx: Context) -> Iterator[pa.Table]:
        for rows in nodes(*self.describe(docs, ctx), docs.column("id"), named):
            for field in self.about:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
            yield rows

    def _by_pair(self, pairs: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        key = spread(pairs.column(EARLIER).to_numpy(), pairs.column(LATER).to_numpy())
        return pa.Table.from_batches([pairs.rows]).append_column(KEY, pa.array(key))

    def _distinct(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Each pair once, in its lowest block; each address once for a block."""
        return firsts(rows.drop_columns([KEY]), *((EARLIER, LATER) if EARLIER in rows.schema.names else _END))

    def _ends(self, pairs: Batch, ctx: Context) -> pa.Table:
        """Both ends of every pair, with its block."""
        from curate.text.pairs import spread

        ends = np.concatenate([pairs.column(EARLIER).to_numpy(), pairs.column(LATER).to_numpy()])
        block = np.tile(pairs.column(BLOCK).to_numpy(), 2)
        return pa.table({KEY: pa.array(spread(ends, block)), **parts_and_rows(ends), BLOCK: pa.array(block)})

    def _paired(self, pairs: Batch, ctx: Context) -> pa.Table:
        """Pairs, in the form of ``nodes``."""
        from curate.text.pairs import spread

        count = len(pairs)
        return pa.table(
            {
                KEY: pa.array(spread(pairs.column(BLOCK).to_numpy())),
                "kind": pa.array(np.full(count, _PAIR, np.uint8)),
                EARLIER: pairs.column(EARLIER),
                LATER: pairs.column(LATER),
                "described": pa.nulls(count, self.kind),
                "whole": pa.nulls(count, pa.binary(16)),
                "kept": pa.nulls(count, pa.binary(16)),
                **{name: pairs.column(name) for name in self.about.names},
            }
        )

    def _compare(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Edges among the pairs of some blocks."""
        from curate.text.arrow import fixed
        from curate.text.gathered import gathered
        from curate.text.pairs import located

        kind = rows.column("kind").to_numpy()
        there, pairs = (gathered(rows, np.flatnonzero(kind == k)).combine_chunks() for k in (_NODE, _PAIR))
        keys, names = there.column(KEY).to_numpy(), there.column(EARLIER).to_numpy()
        ends = [
            located(keys, names, pairs.column(KEY).to_numpy(), pairs.column(n).to_numpy()) for n in (EARLIER, LATER)
        ]
        if any((end < 0).any() for end in ends):
            raise ValueError("a document of a pair did not come to where it is compared")
        short, whole = np.asarray(there.column("whole").is_valid()), fixed(there.column("whole"))
        one, two = (short[end] for end in ends)
        same = one & two
        same[same] = (whole[ends[0][same]] == whole[ends[1][same]]).all(axis=1)
        similarity = self.compare(there.column("described").combine_chunks(), *ends)
        similarity = np.where(one | two, same.astype(np.float64), similarity)
        good = similarity >= self.least
        found = pairs.filter(pa.array(good))
        columns = {
            EARLIER: found.column(EARLIER),
            LATER: found.column(LATER),
            "similarity": pa.array(similarity[good]),
            "kept": there.column("kept").take(pa.array(ends[0][good])),
            "known": pa.array(np.zeros(found.num_rows, np.bool_)),
            **{name: found.column(name) for name in self.about.names},
        }
        return pa.table(columns, pa.schema([*EDGES, *self.about]))


def nodes(described: pa.Array, whole: pa.Array, ids: pa.Array, named: pa.Table) -> Iterator[pa.Table]:
    """What each of some rows is, for every block that names it; NODE_BYTES or little more at a time.

    Args:
        described, whole: see Verifier.describe; ``ids`` are the rows' ids, binary16.
        named: rows of phase ``ends`` with AT.
    """
    from curate.text.gathered import gathered
    from curate.text.pairs import spread

    what = pa.table({"described": described, "whole": whole, "kept": ids})
    at = named.column(AT).to_numpy()
    address, block = addresses(named), named.column(BLOCK).to_numpy()
    upto = np.cumsum(_bytes(described)[at])
    start = 0
    while start < len(at):
        before = int(upto[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(upto, before + NODE_BYTES, side="right")))
        count = stop - start
        taken = gathered(what, at[start:stop])
        yield pa.table(
            {
                KEY: pa.array(spread(block[start:stop])),
                "kind": pa.array(np.full(count, _NODE, np.uint8)),
                EARLIER: pa.array(address[start:stop]),
                LATER: pa.array(np.zeros(count, np.uint64)),
                **{name: taken.column(name) for name in what.schema.names},
            }
        )
        start = stop


def _bytes(described: pa.Array) -> I64:
    """Of what stands for each document."""
    if pa.types.is_fixed_size_binary(described.type):
        return np.full(len(described), described.type.byte_width, np.int64)
    return np.diff(described.offsets.to_numpy()) * (described.type.value_type.bit_width // 8)
