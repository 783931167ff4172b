"""One token of a written dataset: which document it is of, and where in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import DamagedError, InputError, RecipeError
from curate.report.dataset_folder import decoder
from curate.store.dataset import Dataset, Shard, side_table
from curate.store.tables import open_data

__all__ = ["Token", "token_at"]

_AROUND: Final = 40
"""Tokens of the sequence that are shown before and after, of the same document."""


@dataclass(frozen=True)
class Token:
    """A token of a sequence, or of an encoded document.

    Attributes:
        sequence, token: where it stands in the dataset.
        id: its number in the vocabulary.
        target: whether the loss counts it; None where the dataset has no masks.
        document, source, component, epoch: what it is of; empty, and -1, in padding.
        at: which token of the document it is.
        begins, ends: tokens [begins, ends) of the sequence are of this piece.
        whole: whether the piece is all of the document.
        before, here, after: the text around it, of the piece; numbers where nothing can decode them, and ``note`` says why.
    """

    sequence: int
    token: int
    id: int
    target: bool | None
    document: str
    source: str
    component: str
    epoch: int
    at: int
    begins: int
    ends: int
    whole: bool
    before: str
    here: str
    after: str
    note: str


def token_at(dataset: Dataset, sequence: int, token: int) -> Token:
    """The token of that number in that sequence (for encoded documents: in that row), both from 0 on.

    Raises:
        RecipeError: there is no such sequence or token, or the dataset has texts.
        InputError: the table that says which documents sequences are made of is not there.
    """
    if dataset.kind == "text":
        raise RecipeError(
            "this dataset has texts, no tokens", place=str(dataset.folder), cure="give the id of a document"
        )
    shard, row = _shard(dataset, sequence)
    values = _row(dataset, shard, row)
    ids = values["input_ids"]
    if not 0 <= token < len(ids):
        raise RecipeError(
            f"sequence {sequence:,} has {len(ids):,} tokens", place="--token", cure=f"give 0 to {len(ids) - 1}"
        )
    piece = _piece(dataset, shard, sequence, token, values)
    begins, ends = (piece["at"], piece["at"] + piece["length"]) if piece else (token, token + 1)
    decode, note = decoder(dataset.folder)
    ranges = ((max(begins, token - _AROUND), token), (token, token + 1), (token + 1, min(ends, token + 1 + _AROUND)))
    before, here, after = (_text(ids[a:b], decode) for a, b in ranges)
    mask, known = values.get("loss_mask"), piece or _PADDING
    return Token(
        sequence,
        token,
        ids[token],
        bool(mask[token]) if mask else None,
        known["document"],
        known["source"],
        known["component"],
        known["epoch"],
        known["start"] + token - begins if piece else -1,
        begins,
        ends,
        not known["cut"],
        before,
        here,
        after,
        note,
    )


_PADDING: Final[dict[str, Any]] = {"document": "", "source": "", "component": "", "epoch": -1, "cut": True}


def _text(ids: list[int], decode: Any) -> str:
    return str(decode(ids)) if decode is not None else " ".join(map(str, ids))


def _shard(dataset: Dataset, sequence: int) -> tuple[Shard, int]:
    """The shard that has a row of the dataset, and which of its rows that is."""
    ends = np.cumsum([shard.rows for shard in dataset.shards])
    total = int(ends[-1]) if len(ends) else 0
    if not 0 <= sequence < total:
        cure = f"give 0 to {total - 1:,}"
        raise RecipeError(f"the dataset has {total:,} sequences", place="--sequence", cure=cure)
    number = int(np.searchsorted(ends, sequence, side="right"))
    shard = dataset.shards[number]
    return shard, sequence - int(ends[number]) + shard.rows


def _row(dataset: Dataset, shard: Shard, row: int) -> dict[str, Any]:
    for batch in dataset.batches(shard):
        if row < batch.num_rows:
            return dict(batch.slice(row, 1).to_pylist()[0])
        row -= batch.num_rows
    raise DamagedError(
        "has fewer rows than shards.json says", place=dataset.folder.name(shard.name), cure="see 'curate verify'"
    )


def _piece(dataset: Dataset, shard: Shard, sequence: int, token: int, values: dict[str, Any]) -> dict[str, Any] | None:
    """What the side table says of the piece that a token is in; None for padding."""
    if dataset.kind == "documents":
        known = {name: values[name] for name in ("source", "component", "epoch")}
        return {
            "at": 0,
            "length": len(values["input_ids"]),
            "start": 0,
            "document": values["id"],
            "cut": False,
            **known,
        }
    table = side_table(dataset.folder)
    name = shard.name.replace("data-", "sequences-", 1).removesuffix(".arrow") + ".parquet"
    if not table.exists(name):
        raise InputError(
            "the table that says which documents sequences are made of is not here",
            place=table.name(name),
            cure="copy it from the run, beside the dataset's folder",
        )
    try:
        with open_data(table.data(name)) as source:
            found = pq.read_table(source, filters=pc.field("sequence") == sequence).to_pylist()
    except (OSError, pa.ArrowException) as error:
        why = str(error).splitlines()[0][:200]
        raise DamagedError(
            f"can't be read as Parquet ({why})", place=table.name(name), cure="see 'curate verify'"
        ) from None
    return next((piece for piece in found if piece["at"] <= token < piece["at"] + piece["length"]), None)
