"""Functions of Python in a normal form that is blind to how they are written, and which known ones they are nearly.

The form is a sequence of symbols, from a token stream of our own: never from the running interpreter's, whose grammar
differs between versions. Gone are: layout, comments, documentation strings, annotations, decorators, imports, parentheses
that only group, commas before a closing bracket or a line end, the kind of quotes, where a string is cut in two. A name is
one symbol, whatever it is; but keywords keep theirs, and the built-in functions and the methods of built-in types that
``syntax_symbols`` lists keep theirs where they are called, since no writer chooses those. Numbers and strings count by
their value (what an f-string's fields hold does not). What a block holds stands between a colon and a sign for its end,
wherever its lines are cut.

A function is known by its body: its name and its parameters are the writer's. So a body without a head, as benchmarks
have them for answers, is compared in the same way: one is read where a text or a fence's content begins, and where an
indented line follows an empty one.

The *match rate* tau of two bodies is 1 less their edit distance over the longer one's length; or, if that is more, the
symbols of the statements that both have, at the same depth, in any order, over those of all statements of the larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from curate.text.arrow import Bytes, Offsets
from curate.text.syntax_functions import found_functions
from curate.text.syntax_lexemes import plain_name
from curate.text.syntax_match import Bodies, Known, found_matches, known_keys, slots_of

__all__ = [
    "FEWEST", "GRAMMAR", "Functions", "Matches", "TreeIndex", "Trees", "functions", "joined_trees",
    "main_functions", "name_hash", "tree_index", "tree_matches", "trees",
]  # fmt: skip

Ints = npt.NDArray[np.int64]
Longs = npt.NDArray[np.uint64]

GRAMMAR: Final = 3
"""Version of the normal form, of the lists of symbols and of ``Trees``; what was made under another one is not comparable."""
FEWEST: Final = 4
"""Symbols of a body that is known at all (``return a + b``); what a shorter one does, ``return a``, is nothing."""


@dataclass(frozen=True)
class Functions:
    """Functions found in n rows, in the order of the text, but those inside strings behind the others.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the functions ``rows[i]:rows[i + 1]``.
        starts, stops: int64[f]; byte ranges in the row's own text, from the line of the def to the body's end.
        names: uint64[f]; ``name_hash`` of the function's own name, 0 for a body without a head.
        signatures: uint64[f]; hash of the names of its parameters, in order, blind as ``name_hash`` is; 0 for fewer than two.
        heads, bodies, ends: int64[f]; its head's symbols are ``symbols[heads:bodies]``, its body's ``symbols[bodies:ends]``;
            a function inside another is part of that one's, too.
        symbols: uint32[t].
        first, last: int64[f]; its body has the statements ``first:last``.
        depths: int64[f]; depth of blocks of its body.
        statements: uint64[s]; hashes of the symbols of each statement, or of what stands before the block it opens.
        statement_depths, sizes: int64[s]; depth of blocks and number of symbols.
    """

    rows: Offsets
    starts: Ints
    stops: Ints
    names: Longs
    signatures: Longs
    heads: Ints
    bodies: Ints
    ends: Ints
    symbols: npt.NDArray[np.uint32]
    first: Ints
    last: Ints
    depths: Ints
    statements: Longs
    statement_depths: Ints
    sizes: Ints


@dataclass(frozen=True)
class Trees:
    """Bodies that are looked for: m of them, sorted by length; what an index keeps of benchmarks' functions.

    Attributes:
        owners: int64[m]; whose each is.
        names, signatures: uint64[m]; hashes of its name and of its parameters' names, see Functions.
        symbols_at: int64[m + 1]; symbols: uint32[t].
        statements_at: int64[m + 1]; statements: uint64[s]; depths: int64[s], below the body's own; sizes: int64[s].
    """

    owners: Ints
    names: Longs
    signatures: Longs
    symbols_at: Ints
    symbols: npt.NDArray[np.uint32]
    statements_at: Ints
    statements: Longs
    depths: Ints
    sizes: Ints


@dataclass(frozen=True)
class TreeIndex:
    """Bodies for look-up, made of ``trees``.

    Attributes:
        lengths, weights: int64[m]; symbols of each body, and of its statements.
        table: uint64[2^j]; numbers: int64[2^j]; see ``syntax_match.slots_of``.
        postings_at: int64[k + 1]; postings: int64[p]; the bodies that have a key.
    """

    trees: Trees
    lengths: Ints
    weights: Ints
    table: Longs
    numbers: Ints
    postings_at: Ints
    postings: Ints


@dataclass(frozen=True)
class Matches:
    """Pairs of a function and a known body that are alike, by row and function.

    Attributes:
        rows, functions: int64[k]; where.
        owners: int64[k]; whose the body is.
        tau: float64[k]; the match rate.
        lengths: int64[k]; symbols of the known body.
        named: bool[k]; whether the function has the body's own name.
        moved: bool[k]; whether tau is that of the statements in any order, being more than the sequence's.
    """

    rows: Ints
    functions: Ints
    owners: Ints
    tau: npt.NDArray[np.float64]
    lengths: Ints
    named: npt.NDArray[np.bool_]
    moved: npt.NDArray[np.bool_]


def name_hash(name: str) -> int:
    """What a function's name is known by: a hash of it in lower case (ASCII), without underscores."""
    data = np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
    return int(plain_name(data, 0, len(data)))


def functions(offsets: Offsets, data: Bytes) -> Functions:
    """The functions in n rows of text, whatever the text is."""
    rows, table, names, symbols, statements, hashes, filled = found_functions(offsets, data)
    many, some, count = filled[:3].tolist()
    # Copies: what was not written of the arrays is not kept.
    start, stop, head, body, end, first, last, depth = table[:count].T.copy()
    name, signature = names[:count].T.copy()
    _, depths, sizes = statements[:some].T.copy()
    return Functions(
        rows, start, stop, name, signature, head, body, end, symbols[:many].copy(), first, last, depth,
        hashes[:some].copy(), depths, sizes,
    )  # fmt: skip


def main_functions(found: Functions, names: Sequence[str | None]) -> Ints:
    """int64[n]: for each row the last function with the name that is given for it; else, and for None, the one with the
    longest body, a body without a head only if there is nothing else. -1 where that has fewer than FEWEST symbols.
    """
    result = np.full(len(names), -1, np.int64)
    lengths = found.ends - found.bodies
    for row, name in enumerate(names):
        inside = range(int(found.rows[row]), int(found.rows[row + 1]))
        wanted = name_hash(name) if name else 0
        called = [f for f in inside if wanted and int(found.names[f]) == wanted]
        best = called[-1] if called else max(inside, key=lambda f: (bool(found.names[f]), int(lengths[f])), default=-1)
        if best >= 0 and lengths[best] >= FEWEST:
            result[row] = best
    return result


def trees(found: Functions, chosen: Ints, owners: Ints) -> Trees:
    """The bodies of the functions ``chosen`` (int64[m], numbers of functions), each with its owner (int64[m])."""
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(found.names)):
        raise ValueError("no function has such a number")
    order = np.argsort((found.ends - found.bodies)[chosen], kind="stable")
    chosen, owners = chosen[order], owners[order]
    symbols_at, symbols = _ranges(found.bodies[chosen], found.ends[chosen])
    statements_at, statements = _ranges(found.first[chosen], found.last[chosen])
    below = np.repeat(found.depths[chosen], np.diff(statements_at))
    return Trees(
        owners.astype(np.int64),
        found.names[chosen],
        found.signatures[chosen],
        symbols_at,
        found.symbols[symbols],
        statements_at,
        found.statements[statements],
        found.statement_depths[statements] - below,
        found.sizes[statements],
    )


def joined_trees(parts: Sequence[Trees], first: Sequence[int]) -> Trees:
    """The bodies of several, as one: ``first`` is added to the numbers of each one's owners."""
    owners = np.concatenate([part.owners + shift for part, shift in zip(parts, first, strict=True)])
    sizes = [
        np.concatenate([np.diff(getattr(part, name)) for part in parts]) for name in ("symbols_at", "statements_at")
    ]
    order = np.argsort(sizes[0], kind="stable")
    ends = [np.cumsum(size) for size in sizes]
    symbols_at, symbols = _ranges((ends[0] - sizes[0])[order], ends[0][order])
    statements_at, statements = _ranges((ends[1] - sizes[1])[order], ends[1][order])
    return Trees(
        owners[order],
        np.concatenate([part.names for part in parts])[order],
        np.concatenate([part.signatures for part in parts])[order],
        symbols_at,
        np.concatenate([part.symbols for part in parts])[symbols],
        statements_at,
        np.concatenate([part.statements for part in parts])[statements],
        np.concatenate([part.depths for part in parts])[statements],
        np.concatenate([part.sizes for part in parts])[statements],
    )


def _ranges(starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
    """Where each of the ranges begins when they are put one behind the other, int64[m + 1], and all that they hold."""
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(stops - starts)])
    return ends, np.arange(ends[-1]) + np.repeat(starts - ends[:-1], stops - starts)


def tree_index(known: Trees) -> TreeIndex:
    """Bodies for look-up; raises ValueError where the arrays don't fit together (they may come from a file)."""
    many, symbols, statements = len(known.owners), len(known.symbols), len(known.statements)
    lengths = np.diff(known.symbols_at)
    for ends, size in ((known.symbols_at, symbols), (known.statements_at, statements)):
        if len(ends) != many + 1 or ends[0] != 0 or ends[-1] != size or (np.diff(ends) < 0).any():
            raise ValueError("the offsets of an index of trees are not in order")
    if not len(known.names) == len(known.signatures) == many or not len(known.depths) == len(known.sizes) == statements:
        raise ValueError("the columns of an index of trees differ in length")
    if (np.diff(lengths) < 0).any():
        raise ValueError("the bodies of an index of trees are not in the order of their lengths")
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(known.sizes, dtype=np.int64)])
    weights = np.diff(total[known.statements_at])
    keys, whose = known_keys(known.symbols_at, known.symbols, known.statements_at, known.statements, known.depths)
    order = np.argsort(keys, kind="stable")
    distinct, at = np.unique(keys[order], return_index=True)
    table, numbers = slots_of(distinct)
    return TreeIndex(
        known, lengths, weights, table, numbers, np.append(at, len(keys)).astype(np.int64), whose[order]
    )  # fmt: skip


def tree_matches(found: Functions, index: TreeIndex, least: float) -> Matches:
    """Pairs whose match rate is at least ``least`` (above 0, at most 1), by row and function.

    From 0.8 on none is missed (see ``syntax_match.GRAM``); below, those that have no three symbols in a row in common are, and
    it takes long: bodies that are merely as long have to be compared.
    """
    if not 0 < least <= 1:
        raise ValueError(f"a match rate of {least}")
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(found.sizes, dtype=np.int64)])
    weights = total[found.last] - total[found.first]
    spans = np.stack([found.bodies, found.ends, found.first, found.last, found.depths, weights], axis=1)
    bodies = Bodies(np.ascontiguousarray(spans), found.symbols, found.statements, found.statement_depths, found.sizes)
    known = Known(
        index.lengths, index.weights, index.trees.symbols_at, index.trees.symbols, index.table, index.numbers,
        index.postings_at, index.postings,
    )  # fmt: skip
    pairs, tau = found_matches(bodies, known, least)
    function, body, edits = pairs.T
    lengths = index.lengths[body]
    same = (found.names[function] == index.trees.names[body]) & (found.names[function] != 0)
    longer = np.maximum(found.ends[function] - found.bodies[function], lengths)
    moved = (edits < 0) | (tau > 1 - edits / longer + 1e-9)
    rows = np.searchsorted(found.rows, function, side="right") - 1
    return Matches(rows, function.copy(), index.trees.owners[body], tau, lengths, same, moved)
