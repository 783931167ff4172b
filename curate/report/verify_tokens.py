"""Whether sequences hold what the table beside them says: ids, positions, masks, segments, and every token of every source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import DamagedError
from curate.report.checks import Checks
from curate.report.pieces import Expected, Pieces, copies, expected, meeting, read_pieces, side_files, untiled
from curate.report.spot_checks import Spots
from curate.store.dataset import SHARDS, Dataset, Shard, side_table

__all__ = ["AGAIN", "check_sums", "check_tokens"]

AGAIN: Final = "run the recipe again with --verify, or copy the dataset again from its run"
_AT_ONCE: Final = 1 << 20
"""Tokens that are compared at once."""
_GROUPS: Final = 1024
"""Groups of documents whose pieces are summed up apart: where pieces do not meet, one group is looked through."""


class _Meeting:
    """Whether the pieces of each copy of a document meet: sums of hashes of where pieces begin and end, by group.

    Every piece that does not begin a document goes on where another one ended. Both sums are over the same places then,
    whatever the order; a difference shows in the group of the document (by chance not in one of 2^64).
    """

    def __init__(self) -> None:
        self._sums = np.zeros(_GROUPS, np.uint64)
        self.begun = 0

    def add(self, pieces: Pieces, final: npt.NDArray[np.bool_]) -> None:
        """Some pieces; ``final``: those that end their document."""
        copy = copies(pieces)
        group = (copy % np.uint64(_GROUPS)).astype(np.int64)
        on, over = pieces.start > 0, ~final
        with np.errstate(over="ignore"):
            np.add.at(self._sums, group[on], meeting(copy, pieces.start)[on])
            np.subtract.at(self._sums, group[over], meeting(copy, pieces.start + pieces.length)[over])
        self.begun += int((~on).sum())

    def misses(self, group: int, copy: int, stop: int) -> bool:
        """Whether all that is missing in a group is what a copy of a document goes on with behind a token."""
        end = meeting(np.array([copy], np.uint64), np.array([stop], np.int64))
        return bool((self._sums[group : group + 1] + end == 0).all())

    def groups(self) -> npt.NDArray[np.int64]:
        """Groups in which pieces do not meet."""
        return np.flatnonzero(self._sums)


def check_tokens(
    dataset: Dataset, checks: Checks, schema: pa.Schema, spots: Spots, done: Callable[[int], None], *, chat: bool
) -> None:
    """Check packed sequences with the table beside them.

    Args:
        schema: what shards should have, as was checked.
        spots: collects pieces whose text is to be compared.
        done: told the bytes of each shard that was read.
        chat: whether some tokens of documents are not trained on, which only the documents say.
    """
    table = side_table(dataset.folder)
    names = side_files(table)
    if len(names) != len(dataset.shards):
        checks.wrong(
            "side table",
            str(table),
            f"has {len(names):,} files for {len(dataset.shards):,} shards",
            "it belongs beside the dataset's folder, with the same name and .sequences; copy it from the run",
        )
    meets, sums, first = _Meeting(), Counter[str](), 0
    for number, shard in enumerate(dataset.shards):
        part = _Part(dataset, checks, shard, schema, spots, first, chat=chat)
        pieces = _side(table, names[number], checks) if number < len(names) else None
        try:
            rows, tokens = part.check(pieces, meets, sums)
            _count(checks, dataset, shard, rows, tokens if pieces is not None else None)
        except DamagedError as error:
            checks.wrong("files", error.place, error.cause, error.cure)
        first += max(0, shard.rows)
        done(max(0, shard.size))
    if len(names) == len(dataset.shards) and not checks.problems:
        _check_meeting(dataset, checks, meets)
        _check_sources(dataset, checks, sums, meets.begun)


def _side(table: Any, name: str, checks: Checks) -> Pieces | None:
    """A file of the side table as a whole: as large as a sixth of its shard or less."""
    try:
        found = [pieces.table for pieces in read_pieces(table, name)]
    except DamagedError as error:
        checks.wrong("side table", error.place, error.cause, error.cure)
        return None
    pieces = Pieces.of(pa.concat_tables(found)) if found else None
    if pieces is None or (np.diff(pieces.sequence) < 0).any():
        checks.wrong("side table", table.name(name), "its rows are not in the order of sequences", AGAIN)
        return None
    checks.saw("side table", len(pieces), "pieces")
    return pieces


def _count(checks: Checks, dataset: Dataset, shard: Shard, rows: int, tokens: int | None) -> None:
    place = dataset.folder.name(shard.name)
    checks.saw("counts", rows, "rows")
    if rows != shard.rows:
        checks.wrong("counts", place, f"has {rows:,} rows, and shards.json says {shard.rows:,}", AGAIN)
    if tokens is not None and tokens != shard.tokens:
        checks.wrong("counts", place, f"has {tokens:,} tokens, and shards.json says {shard.tokens:,}", AGAIN)


class _Part:
    """One shard's sequences, and the part of the side table beside them."""

    def __init__(
        self, dataset: Dataset, checks: Checks, shard: Shard, schema: pa.Schema, spots: Spots, first: int, *, chat: bool
    ) -> None:
        self.dataset, self.checks, self.shard, self.spots, self.first, self.chat = (
            dataset,
            checks,
            shard,
            spots,
            first,
            chat,
        )
        self.place = dataset.folder.name(shard.name)
        self.size = dataset.sequence
        self.schema = schema

    def check(self, pieces: Pieces | None, meets: _Meeting, sums: Counter[str]) -> tuple[int, int]:
        """Rows, and tokens without padding; raises DamagedError for a shard that can't be read."""
        rows = tokens = 0
        for batch in self._groups():
            ids = _flat(batch.column("input_ids"))
            self._ids(ids, rows)
            if pieces is not None:
                here = pieces.between(self.first + rows, self.first + rows + batch.num_rows)
                tokens += int(here.length.sum())
                self._compare(batch, ids, here, rows, meets)
            rows += batch.num_rows
        if pieces is not None:
            groups = pieces.table.select(["component", "length"]).group_by("component").aggregate([("length", "sum")])
            sums.update(dict(zip(*(groups.column(n).to_pylist() for n in ("component", "length_sum")), strict=True)))
            outside = len(pieces) - len(pieces.between(self.first, self.first + rows))
            if outside:
                cause = f"the table beside it has {outside:,} pieces of other sequences"
                self.checks.wrong("side table", self.place, cause, AGAIN)
        return rows, tokens

    def _groups(self) -> Iterator[pa.RecordBatch]:
        per, held, rows = max(1, _AT_ONCE // self.size), list[pa.RecordBatch](), 0
        for batch in self.dataset.batches(self.shard):
            if batch.schema != self.schema:
                raise DamagedError("has other columns than shards.json says", place=self.place, cure=AGAIN)
            held.append(batch)
            rows += batch.num_rows
            if rows >= per:
                yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]
                held, rows = [], 0
        if rows:
            yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]

    def _ids(self, ids: npt.NDArray[Any], row: int) -> None:
        self.checks.saw("ids", len(ids), "tokens")
        self._all(ids < self.dataset.vocab_size, "ids", row, lambda i: f"has id {ids[i]:,}, and the vocabulary is "
                  f"{self.dataset.vocab_size:,}")  # fmt: skip

    def _all(self, good: npt.NDArray[np.bool_], check: str, row: int, cause: Callable[[int], str]) -> bool:
        """Whether all are; else the first that is not is told, of each row that has any."""
        if good.all():
            return True
        bad = np.flatnonzero(~good)
        _, firsts = np.unique(bad // self.size, return_index=True)
        for i in bad[firsts].tolist():
            self.checks.wrong(
                check, self.place, f"token {i % self.size:,} {cause(i)}", AGAIN, self.first + row + i // self.size
            )
        return False

    def _compare(self, batch: pa.RecordBatch, ids: npt.NDArray[Any], pieces: Pieces, row: int, meets: _Meeting) -> None:
        first, count = self.first + row, batch.num_rows
        if bad := untiled(pieces, first, count, self.size):
            self.checks.wrong("side table", self.place, bad[1], AGAIN, bad[0])
            return
        wanted = expected(pieces, first, count, self.size)
        final = self._ends(ids, pieces, wanted, row)
        if final is None:
            return
        meets.add(pieces, final)
        self._columns(batch, wanted, row)
        self.spots.add(pieces, first, self.size, ids)

    def _ends(self, ids: npt.NDArray[Any], pieces: Pieces, wanted: Expected, row: int) -> npt.NDArray[np.bool_] | None:
        """Which pieces end their document, as end-of-text in the sequences says; None where that can't be."""
        end, check = self.dataset.end_of_text, "ends of documents"
        self.checks.saw(check, len(pieces), "pieces")
        padding = ids[wanted.padding] == self.dataset.padding
        if not padding.all():
            at = np.flatnonzero(wanted.padding)[np.argmin(padding)]
            where = self.first + row + int(at) // self.size
            self.checks.wrong(
                "padding", self.place, f"token {at % self.size:,} is no padding, and no piece is there", AGAIN, where
            )
        self.checks.saw("padding", len(padding), "tokens")
        inside = (ids == end) & ~wanted.padding & ~wanted.last
        if not self._all(~inside, check, row, lambda _: "is end-of-text inside of a document"):
            return None
        final = ids[np.flatnonzero(wanted.last)] == end
        cut = ~(final & (pieces.start == 0))
        said = pieces.column("cut").to_numpy(zero_copy_only=False)
        if (cut != said).any():
            i = int(np.argmax(cut != said))
            why = "whole, and is not: it has no end-of-text, or begins later" if cut[i] else "cut, and it is whole"
            self.checks.wrong(check, self.place, f"the side table calls the piece at {pieces.at[i]:,} {why}", AGAIN,
                              int(pieces.sequence[i]))  # fmt: skip
            return None
        return final

    def _columns(self, batch: pa.RecordBatch, wanted: Expected, row: int) -> None:
        names = batch.schema.names
        if "position_ids" in names:
            found = _flat(batch.column("position_ids"))
            self.checks.saw("position_ids", len(found), "tokens")
            self._all(found == wanted.position, "position_ids", row, lambda i: f"has position {found[i]:,} instead of "
                      f"{wanted.position[i]:,}")  # fmt: skip
        if "loss_mask" in names:
            self._mask(_flat(batch.column("loss_mask")), wanted, row)
        if "segments" in names:
            self._segments(batch.column("segments"), wanted, row)

    def _mask(self, mask: npt.NDArray[np.uint8], wanted: Expected, row: int) -> None:
        self.checks.saw("loss_mask", len(mask), "tokens")
        target = (wanted.position > 0) & ~wanted.padding
        self._all((mask == 0) | ((mask == 1) & target), "loss_mask", row, lambda i: f"is a target (mask {mask[i]}), and is "
                  + ("padding" if wanted.padding[i] else "the first of its document's piece"))  # fmt: skip
        if not self.chat:
            self._all(
                (mask > 0) | ~target, "loss_mask", row, lambda _: "is no target, and all documents are trained on"
            )

    def _segments(self, lists: pa.Array, wanted: Expected, row: int) -> None:
        self.checks.saw("segments", len(lists), "sequences")
        counts = lists.value_lengths().to_numpy(zero_copy_only=False)
        bad = np.flatnonzero(counts != wanted.counts)
        if len(bad):
            i = int(bad[0])
            cause = f"has {counts[i]:,} segments, and {wanted.counts[i]:,} belong there"
            self.checks.wrong("segments", self.place, cause, AGAIN, self.first + row + i)
            return
        found = lists.flatten().to_numpy(zero_copy_only=False)
        bad = np.flatnonzero(found != wanted.lengths)
        if len(bad):
            i = int(bad[0])
            where = int(np.searchsorted(np.cumsum(wanted.counts), i, side="right"))
            cause = f"has a segment of {found[i]:,} tokens instead of {wanted.lengths[i]:,}"
            self.checks.wrong("segments", self.place, cause, AGAIN, self.first + row + where)


def _flat(column: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return values


# -- the whole -----------------------------------------------------------------------------------------------


def _dropped(dataset: Dataset) -> int:
    return sum(int(said.get("dropped", 0)) for said in dataset.sources.values())


def _check_meeting(dataset: Dataset, checks: Checks, meets: _Meeting) -> None:
    """Name the documents whose pieces do not meet; one may have no end: the rest of it was dropped with the unfilled
    sequence."""
    checks.saw("pieces meet", meets.begun, "documents")
    endless = [which for group in meets.groups() for which in _look_through(dataset, checks, int(group), meets)]
    if checks.of("pieces meet") or len(endless) <= (1 if _dropped(dataset) else 0):
        return
    for document, end, sequence in endless:
        cause = f"document {document[:12]} ends at its token {end:,} without end-of-text, and nothing says that its rest was dropped"
        checks.wrong("pieces meet", str(side_table(dataset.folder)), cause, AGAIN, sequence)


def _look_through(dataset: Dataset, checks: Checks, group: int, meets: _Meeting) -> list[tuple[str, int, int]]:
    """Tell of each gap in the copies of documents of one group; what may have no end: document, last token, sequence."""
    table = side_table(dataset.folder)
    found: dict[tuple[str, int], list[tuple[int, int, int, int]]] = {}
    for name in side_files(table):
        for pieces in read_pieces(table, name):
            copy = copies(pieces)
            some = np.flatnonzero(copy % np.uint64(_GROUPS) == group)
            for values, key in zip(pieces.table.take(pa.array(some)).to_pylist(), copy[some].tolist(), strict=True):
                place = values["start"], values["start"] + values["length"], values["sequence"], key
                found.setdefault((values["document"], values["epoch"]), []).append(place)
    endless = []
    for (document, epoch), places in sorted(found.items()):
        places.sort()
        before = 0
        for start, stop, sequence, _ in places:
            if start != before:
                cause = (
                    f"a piece of document {document[:12]} (epoch {epoch}) begins at its token {start:,}, "
                    f"and what stands before it ends at {before:,}"
                )
                checks.wrong("pieces meet", str(table), cause, AGAIN, sequence)
            before = stop
        _, stop, sequence, key = places[-1]
        if meets.misses(group, key, stop):
            endless.append((document, stop, sequence))
    if not endless and not checks.of("pieces meet"):
        cause = "several copies of documents end without end-of-text"
        checks.wrong("pieces meet", str(table), cause, AGAIN)
    return endless


def _check_sources(dataset: Dataset, checks: Checks, sums: Counter[str], begun: int) -> None:
    """Also padding: rows times the sequence's length, less all tokens."""
    check_sums(dataset, checks, sums, begun)
    padding = sum(shard.rows for shard in dataset.shards) * dataset.sequence - sum(sums.values())
    said = int(dataset.said.get("padding_tokens", padding))
    if said != padding:
        cause = f"{said:,} tokens of padding, it says, and {padding:,} are there"
        checks.wrong("reconciliation", dataset.folder.name(SHARDS), cause, AGAIN)


def check_sums(dataset: Dataset, checks: Checks, sums: Counter[str], begun: int) -> None:
    """In = out + dropped, by component, to the last token.

    Args:
        sums: tokens by component that were found.
        begun: copies of documents whose beginning was found.
    """
    place = dataset.folder.name(SHARDS)
    checks.saw("reconciliation", len(dataset.sources), "components")
    for name, said in dataset.sources.items():
        taken, tokens, dropped = (int(said[key]) for key in ("tokens_taken", "tokens", "dropped"))
        if tokens != sums.get(name, 0):
            cause = f"{name}: {tokens:,} tokens were written, it says, and {sums.get(name, 0):,} are there"
            checks.wrong("reconciliation", place, cause, AGAIN)
        if taken != tokens + dropped:
            cause = f"{name}: {taken:,} tokens taken are not {tokens:,} written and {dropped:,} dropped"
            checks.wrong("reconciliation", place, cause, AGAIN)
    for name in sorted(set(sums) - set(dataset.sources)):
        checks.wrong("reconciliation", place, f"{sums[name]:,} tokens are of '{name}', which is no component", AGAIN)
    copies_taken = sum(int(said["copies"]) for said in dataset.sources.values())
    if begun > copies_taken or (begun < copies_taken and not _dropped(dataset)):
        cause = f"{copies_taken:,} copies of documents were taken, it says, and {begun:,} begin"
        checks.wrong("reconciliation", place, cause, AGAIN)
