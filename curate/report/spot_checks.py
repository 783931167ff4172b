"""A few pieces of documents, chosen by hash, whose tokens are held against the documents' own text."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.report.checks import Checks
from curate.report.dataset_folder import tokenizer_of
from curate.report.pieces import Pieces, copies, meeting
from curate.report.read_back import read_back
from curate.report.run_folder import RunFolder
from curate.store.dataset import Dataset
from curate.text.hashing import xxh64_rows

__all__ = ["Spot", "Spots", "check_texts"]

SPOTS: Final = 24
"""Documents whose text is read again and encoded."""
_AGAIN: Final = "run the recipe again with --verify; if it stays so, tell who makes the tokenizer"


@dataclass(frozen=True)
class Spot:
    """Tokens [start, start + len(ids)) of a document, and the row of the dataset in which they stand."""

    document: str
    start: int
    ids: list[int]
    row: int


class Spots:
    """The pieces with the smallest hashes of document, epoch and place: the same ones each time.

    Args:
        most: how many; 0 for none.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._found: list[tuple[int, Spot]] = []

    def add(self, pieces: Pieces, first: int, size: int, ids: npt.NDArray[Any]) -> None:
        """Look at some pieces, of sequences from ``first`` on, whose tokens are ``ids``."""
        if not self.most or not len(pieces):
            return
        hashed = meeting(copies(pieces), pieces.start)
        for i in np.argsort(hashed, kind="stable")[: self.most].tolist():
            if len(self._found) == self.most and int(hashed[i]) >= self._found[-1][0]:
                break
            begin = (int(pieces.sequence[i]) - first) * size + int(pieces.at[i])
            tokens = ids[begin : begin + int(pieces.length[i])].tolist()
            document = pieces.table.column("document")[i].as_py()
            spot = Spot(document, int(pieces.start[i]), tokens, int(pieces.sequence[i]))
            self._found = sorted([*self._found, (int(hashed[i]), spot)], key=lambda found: found[0])[: self.most]

    def add_documents(self, ids: pa.Array, tokens: pa.Array, first: int) -> None:
        """Look at whole documents, in rows from ``first`` on."""
        hashed = xxh64_rows(ids)
        for i in np.argsort(hashed, kind="stable")[: self.most].tolist():
            spot = Spot(ids[i].as_py(), 0, tokens[i].as_py(), first + i)
            self._found.append((int(hashed[i]), spot))
        self._found = sorted(self._found, key=lambda found: found[0])[: self.most]

    @property
    def spots(self) -> list[Spot]:
        """Those that were chosen."""
        return [spot for _, spot in self._found]


def check_texts(dataset: Dataset, run: RunFolder, spots: Spots, checks: Checks, *, chat: bool) -> None:
    """Encode the text of some documents again, and decode what stands in the dataset: both must be the same."""
    if chat:
        checks.notes.append("documents are chats, so their text is not what is encoded: it was not compared")
        return
    with tokenizer_of(dataset.folder) as tokenizer:
        ids = [bytes.fromhex(document) for document in dict.fromkeys(spot.document for spot in spots.spots)]
        rows = run.rows(ids)
        missing = read_back(run, rows.values())
        for spot in spots.spots:
            row = rows[bytes.fromhex(spot.document)]
            place = str(dataset.folder)
            if row.text is None:
                why = missing.get(row.id, "the run does not know it")
                checks.wrong(
                    "text",
                    place,
                    f"the text of document {spot.document[:12]} can't be had: {why}",
                    f"give the run of this dataset as --run, or see 'curate explain {quote(str(run.store))} {spot.document[:12]}'",
                    spot.row,
                )
                continue
            checks.saw("text", 1, "documents")
            whole = [*tokenizer.encode(pa.array([row.text], pa.large_string()))[0].as_py(), dataset.end_of_text]
            stop = spot.start + len(spot.ids)
            if whole[spot.start : stop] != spot.ids:
                cause = f"tokens {spot.start:,} to {stop:,} of document {spot.document[:12]} are not those of its text"
                checks.wrong("text", place, cause, _AGAIN, spot.row)
            elif spot.ids == whole and tokenizer.decode(whole[:-1]) != row.text:
                cause = f"the tokens of document {spot.document[:12]} do not decode to its text"
                checks.wrong("text", place, cause, _AGAIN, spot.row)
