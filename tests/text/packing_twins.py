"""Slow, obvious Python versions of the packing kernels: one token at a time, lists of sequences."""

from __future__ import annotations

from itertools import pairwise

Piece = tuple[int, int, int, int, int]
"""Sequence, at, row, start, length."""


def concat(lengths: list[int], size: int, before: int, start: int, stop: int) -> list[Piece]:
    """One token at a time; neighbours of one document in one sequence are a piece."""
    pieces: list[Piece] = []
    place = before
    for row, length in enumerate(lengths):
        for token in range(length):
            if start <= place < stop:
                sequence, at = divmod(place - start, size)
                last = pieces[-1] if pieces else None
                if last and last[0] == sequence and last[2] == row:
                    pieces[-1] = (*last[:4], last[4] + 1)
                else:
                    pieces.append((sequence, at, row, token, 1))
            place += 1
    return pieces


def best_fit(lengths: list[int], size: int) -> tuple[int, list[Piece]]:
    """Every sequence is looked at for each document, the longest rest first."""
    pieces: list[Piece] = []
    rests = []
    for row, length in enumerate(lengths):
        pieces += [(len(pieces) + i, 0, row, i * size, size) for i in range(length // size)]
        if length % size:
            rests.append((-(length % size), row))
    bins: list[list[int]] = []
    changed: list[int] = []
    for clock, (negative, row) in enumerate(sorted(rests)):
        rooms = [size - sum(lengths[r] % size for r in rows) for rows in bins]
        fits = [(room, -changed[b], b) for b, room in enumerate(rooms) if room >= -negative]
        if fits:
            bins[min(fits)[2]].append(row)
            changed[min(fits)[2]] = clock
        else:
            bins.append([row])
            changed.append(clock)
    full = len(pieces)
    for b, rows in enumerate(bins):
        at = 0
        for row in sorted(rows):
            rest = lengths[row] % size
            pieces.append((full + b, at, row, lengths[row] - rest, rest))
            at += rest
    return full + len(bins), pieces


class Grid:
    """Sequences as lists of (row, token of the document), None for padding."""

    def __init__(self, pieces: list[Piece], sequences: int, size: int) -> None:
        self.cells: list[list[tuple[int, int] | None]] = [[None] * size for _ in range(sequences)]
        for sequence, at, row, start, length in pieces:
            for i in range(length):
                assert self.cells[sequence][at + i] is None, "two pieces in one place"
                self.cells[sequence][at + i] = (row, start + i)

    def tokens(self, documents: list[list[int]], padding: int) -> list[list[int]]:
        """The ids."""
        return [[padding if c is None else documents[c[0]][c[1]] for c in cells] for cells in self.cells]

    def positions(self) -> list[list[int]]:
        """Counted up as long as the document stays the same."""
        out = []
        for cells in self.cells:
            row: list[int] = []
            for i, cell in enumerate(cells):
                same = i and (cells[i - 1] and cells[i - 1][0]) == (cell and cell[0])
                row.append(row[-1] + 1 if same else 0)
            out.append(row)
        return out

    def mask(self, trained: list[list[bool]]) -> list[list[int]]:
        """By looking at every pair (token before, token)."""
        return [
            [0]
            + [
                int(a is not None and b is not None and a[0] == b[0] and trained[b[0]][b[1]])
                for a, b in pairwise(cells)
            ]
            for cells in self.cells
        ]

    def segments(self) -> list[list[int]]:
        """Runs of one document, or of padding."""
        out = []
        for cells in self.cells:
            runs: list[list] = []
            for cell in cells:
                who = cell and cell[0]
                if runs and runs[-1][0] == who:
                    runs[-1][1] += 1
                else:
                    runs.append([who, 1])
            out.append([n for _, n in runs])
        return out
