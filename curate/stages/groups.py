"""Groups of documents that hang together through links of any kind: connected components. No stage, used by those that group.

A node is a uint64, a *name*. A document's is the first 60 bits of its id; whatever else joins documents (a repository, a
site) is a *joint*, with its highest bit set. A group's name is the smallest name in it: that of a document, whatever the
order of the work, and whether or not all of its documents are there.

Names are found by contraction (Lacki, Mirrokni and Wlodarczyk, "Connected components at scale via local contractions",
2018): every node moves to the smallest of itself and its neighbours, edges follow, and what has no edge left is a group.
Names are hashes, so a chain of nodes is in random order, and nodes get fewer by a factor each time. One contraction is two
rounds: in the first a node chooses, and tells its neighbours; in the second edges are renamed at their other end. Who moved
where is a forest; its roots then tell those that moved to them what the group is called, those tell theirs, and so on.

All rows of a node come in order, the one that decides first, so that a node with as many neighbours as the corpus has
documents (a site of ten million pages) is gone through in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import AGAIN, KEY, Context, Phase, Read, Rounds, Span
from curate.stages.sorted_rows import changes, firsts
from curate.text.batch import Batch

U64 = npt.NDArray[np.uint64]

DIGITS: Final = 15
"""Hex digits of a document's name: the first ones of its id, by which ``curate explain`` finds it. Of a billion documents
about one in two billion pairs shares them: a handful of pairs, which are then of one group."""
NOBODY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
"""No node's name."""
_JOINT: Final = np.uint64(1 << 63)

_EDGE: Final = 0
_CHOICE: Final = 1
_HALF: Final = 2
_MOVE: Final = 3
_TOP: Final = 4
_UP: Final = 5
_DOWN: Final = 6
LINKS: Final = pa.schema([("label", pa.uint64()), ("kind", pa.uint8()), ("other", pa.uint64())])
"""``_EDGE``: two nodes, from both sides. ``_CHOICE``: a node, and where it moves; ``_HALF``: a node, and where a neighbour of it
moves; ``_MOVE``: a node, and where it moved. ``_TOP``: a node, and its group's name; ``_UP``: a node that moved to another one;
``_DOWN``: a node, and one that moved to it. What phase ``names`` gives at the end: a group's name, and a node of it."""
_ORDER: Final = ("label", "kind", "other")


def names_of(ids: pa.Array) -> U64:
    """uint64[n]: names of documents, from their ids (binary16)."""
    from curate.text.arrow import fixed

    first = np.ascontiguousarray(fixed(ids)[:, :8]).view(">u8")[:, 0]
    return first.astype(np.uint64) >> np.uint64(4)


def joints_of(kind: str, values: pa.Array) -> U64:
    """uint64[n]: names of the joints that some values are, as strings; equal for equal values of one kind."""
    from curate.text.hashing import xxh64_rows

    seed = int(xxh64_rows(pa.array([kind], pa.large_string()))[0])
    return (xxh64_rows(values, seed) | _JOINT) & ~np.uint64(1)


def shown(names: U64) -> pa.StringArray:
    """Names of documents in DIGITS hex digits."""
    from curate.text.arrow import from_fixed
    from curate.text.hashing import hex_ids

    raw = (names << np.uint64(4)).astype(">u8").view(np.uint8).reshape(-1, 8)
    return pc.utf8_slice_codeunits(hex_ids(from_fixed(np.ascontiguousarray(raw))), 0, DIGITS)


def edges(one: U64, two: U64) -> pa.Table:
    """Rows of phase ``links``: edges between two nodes each, from both sides; of a node to itself there is none."""
    differ = one != two
    one, two = one[differ], two[differ]
    return _keyed(_links([(_EDGE, np.concatenate([one, two]), np.concatenate([two, one]))]))


@dataclass(frozen=True)
class Groups:
    """The phases that find the groups.

    Attributes:
        reads: of what links are made; their maps give what ``edges`` gives.
        few: links that are followed at once, see Rounds.
    """

    reads: tuple[Read, ...]
    few: int = Rounds.few

    def phases(self) -> tuple[Phase, ...]:
        """Links, who moved where, and ``names``: a group's name (``label``) and a node of it (``other``), perhaps repeated;
        nodes that are linked with none are in no row."""
        contract, tell = Rounds(self._moved, self.few), Rounds(self._told, self.few)
        return (
            Phase("links", self.reads, self._distinct, _ORDER, streamed=True),
            Phase("moves", (Read(self._by_label, "links"),), self._contract, _ORDER, rounds=contract, streamed=True),
            Phase("names", (Read(self._by_both, "moves"),), self._tell, _ORDER, rounds=tell, streamed=True),
        )

    def _moved(self, rows: pa.Table, ctx: Context) -> pa.Table:
        """All that is left at once: any two nodes of a row are of one group."""
        names, tops = _tops(rows)
        moves = names != tops
        return _links([(_MOVE, names[moves], tops[moves])])

    def _told(self, rows: pa.Table, ctx: Context) -> pa.Table:
        """All that is left at once. Nodes whose group's name was given are in it again, as they may be."""
        names, tops = _tops(rows)
        return _links([(_TOP, tops, names)])

    def _distinct(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        for rows in tables:
            yield firsts(rows.drop_columns([KEY]), *_ORDER)

    def _by_label(self, rows: Batch, ctx: Context) -> pa.Table:
        return _keyed(pa.Table.from_batches([rows.rows]))

    def _contract(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Half of a contraction: see the module."""
        heads = Heads()
        for rows in tables:
            label, kind, other = (rows.column(name).to_numpy() for name in _ORDER)
            begins = heads.begins(label)
            if kind[0] == _EDGE:
                chosen = np.minimum(label, heads.told(label, other))
                each = changes(rows, *_ORDER)
                yield _again(_links([(_CHOICE, label[begins], chosen[begins]), (_HALF, other[each], chosen[each])]))
                continue
            named = heads.told(label, other)
            kept = (kind == _HALF) & (named != other)
            moves = begins & (named != label)
            yield _again(_links([(_EDGE, named[kept], other[kept])]))
            yield _done(_links([(_MOVE, label[moves], named[moves])]))

    def _by_both(self, rows: Batch, ctx: Context) -> pa.Table:
        """A move stands at the node that moved, and at the one that it moved to."""
        label, kind, other = (rows.column(name).to_numpy() for name in _ORDER)
        if not len(kind) or kind[0] != _MOVE:
            return self._by_label(rows, ctx)
        return _keyed(_links([(_UP, label, other), (_DOWN, other, label)]))

    def _tell(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """A node that knows its group's name tells those that moved to it; one that never moved is the group's name."""
        heads = Heads()
        for rows in tables:
            label, kind, other = (rows.column(name).to_numpy() for name in _ORDER)
            roots = heads.begins(label) & (kind == _DOWN)
            top = heads.told(label, np.where(kind == _TOP, other, np.where(kind == _UP, NOBODY, label)))
            waits, tells = top == NOBODY, (kind == _DOWN) & (top != NOBODY)
            yield _done(_links([(_TOP, label[roots], label[roots]), (_TOP, top[tells], other[tells])]))
            yield _again(_links([(_TOP, other[tells], top[tells])]))
            yield _again(rows.select(_ORDER).filter(pa.array(waits)))


def _tops(rows: pa.Table) -> tuple[U64, U64]:
    """All nodes of some rows, and the smallest one of what each hangs together with."""
    from curate.text.components import joined

    names, at = np.unique(np.concatenate([rows.column(n).to_numpy() for n in ("label", "other")]), return_inverse=True)
    at = at.reshape(2, -1)
    return names, names[joined(len(names), at[0], at[1])]


class Heads:
    """What the first row of each group of rows says, for all of its rows, of tables that come one after the other."""

    def __init__(self) -> None:
        self._label: int | None = None
        self._said = NOBODY

    def told(self, label: U64, said: U64) -> U64:
        """uint64[n]: ``said`` of the first row that has each row's label; rows with one label follow each other."""
        begins = self.begins(label)
        said_first = np.concatenate([[self._said], said[begins]]).astype(np.uint64)
        found: U64 = said_first[np.cumsum(begins)]
        self._label, self._said = int(label[-1]), found[-1]
        return found

    def begins(self, label: U64) -> npt.NDArray[np.bool_]:
        """bool[n]: the rows that are the first ones of their label; asked before ``told`` of the same rows."""
        begins = np.ones(len(label), np.bool_)
        begins[1:] = label[1:] != label[:-1]
        begins[0] = self._label is None or int(label[0]) != self._label
        return begins


def _links(rows: Sequence[tuple[int, U64, U64]]) -> pa.Table:
    """Rows of LINKS from (kind, label, other)."""
    kind = np.concatenate([np.full(len(label), k, np.uint8) for k, label, _ in rows])
    label, other = (np.concatenate([row[i] for row in rows]) for i in (1, 2))
    return pa.table({"label": label, "kind": kind, "other": other}, LINKS)


def _again(rows: pa.Table) -> pa.Table:
    return rows.append_column(AGAIN, pa.repeat(pa.scalar(True), rows.num_rows))


def _done(rows: pa.Table) -> pa.Table:
    return rows.append_column(AGAIN, pa.repeat(pa.scalar(False), rows.num_rows))


def _keyed(rows: pa.Table) -> pa.Table:
    from curate.text.pairs import spread

    return rows.append_column(KEY, pa.array(spread(rows.column("label").to_numpy())))
