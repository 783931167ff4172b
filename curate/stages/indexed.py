"""Deduplication against earlier data: the settings, what an index must have in common with a step, and whose row is whose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator

from curate import assets
from curate.errors import RecipeError
from curate.schema import ID_BYTES, ID_TYPE
from curate.stages.base import OUTSIDE, Context, Global
from curate.stages.strata import columns_of
from curate.store.files import Store
from curate.store.index import Index, check_whole, index_at, open_index
from curate.store.object_file import ObjectFile

AGE: Final = "age"
"""uint32 column of mapped rows: which of the indexes they come from; for the step's own documents their number. What sorts by
it first has all earlier documents before the new ones, in the order of their indexes."""

MADE_BY: Final = "made_by"
"""Among an index's settings: what made each of the columns of ``compared_by``."""


@dataclass(frozen=True)
class Left:
    """A table of the index that a step leaves, made of rows of one of its phases.

    Attributes:
        phase: which one; its files become the table's, one for one, in their order.
        rows: some of its rows, as rows of the table, without nulls; row by row, so that no batch bears on it.
        schema: of these.
        content: columns that say what is indexed, as against where it lies: the same however rows were split.
    """

    phase: str
    rows: Callable[[pa.Table], pa.Table]
    schema: pa.Schema
    content: tuple[str, ...]


class Indexed(Global):
    """A Global that can leave an index of what it kept, and compare its documents with earlier ones.

    Earlier documents come before all new ones in the order in which it is decided who stays, those of the first index first.
    They are what was decided then: only those that were kept can make a new one go.
    """

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"against": "earlier"}

    found: ClassVar[frozenset[str]] = frozenset()
    """Names of what ``found_in`` gives."""

    index: bool = Field(False, description="leave an index of what was kept, as <run>/<step>, for later data")
    against: list[str] = Field(
        [],
        description="indexes of earlier data (<run>/<step>, folders or addresses), oldest first: what is in them is a "
        "duplicate here",
    )
    within: str | None = Field(
        None, description="a column, or `meta.FIELD`: only documents that have the same in it are compared"
    )

    @field_validator("against")
    @classmethod
    def _named_once(cls, paths: list[str]) -> list[str]:
        if len(set(paths)) < len(paths):
            raise ValueError("an index is named twice")
        return paths

    def reads(self) -> frozenset[str]:
        """The column of ``within``, too."""
        return super().reads() | columns_of(self.within)

    def index_settings(self) -> Mapping[str, Any]:
        """What decides which documents meet and how alike they are."""
        raise NotImplementedError

    def all_index_settings(self) -> Mapping[str, Any]:
        """``index_settings`` and ``within``, where it is set: an index must have been made with the same."""
        return {**self.index_settings(), **({"within": self.within} if self.within else {})}

    def compared_by(self) -> tuple[str, ...]:
        """Columns that it compares documents by: those of an index must have been made as its own are."""
        return ()

    def found_in(self, table: str, rows: pa.Table) -> Mapping[str, Any]:
        """Plain values that rows of an index's table have in common, which stand among the index's settings."""
        return {}

    def leaves(self) -> Mapping[str, Left]:
        """The tables of an index by name; the first one has a row for each document that was kept."""
        raise NotImplementedError

    def indexes(self, ctx: Context) -> list[Index]:
        """Those of ``against``, opened."""
        return [earlier.open() for earlier in ctx.earlier]

    def tables(self, ctx: Context) -> Mapping[str, Sequence[Path | ObjectFile]]:
        """The tables of all indexes, index after index."""
        if not self.against:
            return {}
        found = self.indexes(ctx)
        return {name: [file for index in found for file in index.files(name)] for name in self.leaves()}

    def ages(self, part: npt.NDArray[np.integer], table: str, ctx: Context) -> npt.NDArray[np.uint32]:
        """AGE from the PART of rows of an index's table, and of documents: uint32[n]."""
        indexes = self.indexes(ctx)
        ends = np.cumsum([len(index.tables[table]) for index in indexes], dtype=np.int64)
        found = np.searchsorted(ends, part.astype(np.int64) - OUTSIDE, side="right")
        return np.where(part < OUTSIDE, len(indexes), found).astype(np.uint32)

    def earlier_indexes(self, base: Path | None = None) -> list[Index]:
        """Those of ``against``, each an index that can be compared with, and whole."""
        found = [
            index_at(given) if "://" in given else Store(assets.locate(given, base).resolve()) for given in self.against
        ]
        indexes = [open_index(at) for at in found]
        self._check(indexes)
        for index in indexes:
            check_whole(index)
        return indexes

    def check_makers(self, indexes: Sequence[Index], makers: Sequence[str]) -> None:
        """Raise RecipeError for an index whose columns of ``compared_by`` were made otherwise than these."""
        for index in indexes:
            before = index.settings.get(MADE_BY, [])
            if makers and list(makers) != before:
                was = ", ".join(before) or "an unknown model"
                raise RecipeError(
                    f"against: {index.at} was made of {was}, and '{', '.join(self.compared_by())}' is of {', '.join(makers)}",
                    cure="use the same model and settings here, or index the earlier data anew with these",
                )

    def _check(self, indexes: Sequence[Index]) -> None:
        """Raise RecipeError for one that was made by another stage or with other settings, or without one that it builds on."""
        wanted = dict(self.all_index_settings())
        before: dict[str, str] = {}
        for index in indexes:
            if index.stage != self.name:
                raise RecipeError(
                    f"against: {index.at} is an index of {index.stage}, and this is {self.name}",
                    cure=f"name one that a {self.name} step left",
                )
            named = {**wanted, **{n: v for n, v in index.settings.items() if n != MADE_BY and n not in self.found}}
            other = [name for name in named if index.settings.get(name) != wanted.get(name)]
            if other:
                said = ", ".join(f"{n} {index.settings.get(n)} (here {wanted.get(n)})" for n in sorted(other))
                raise RecipeError(
                    f"against: {index.at} was made with other settings: {said}",
                    cure="use the same settings here, or index the earlier data anew with these",
                )
            if index.content in before:
                raise RecipeError(
                    f"against: {index.at} and {before[index.content]} are the same index", cure="name it once"
                )
            missing = [content for content in index.against if content not in before]
            if missing:
                raise RecipeError(
                    f"against: {index.at} builds on an index that is not named before it ({missing[0][:12]})",
                    cure="name the indexes of all earlier data, oldest first",
                )
            before[index.content] = str(index.at)


def unranked(names: Sequence[str], ids: pa.Array) -> dict[str, pa.Array]:
    """The rank columns of rows of indexes, among which AGE alone decides."""
    rows = len(ids)
    columns = {name: pa.array(np.zeros(rows, np.uint64)) for name in names}
    return {**columns, "content_hash": pa.repeat(pa.scalar(bytes(ID_BYTES), ID_TYPE), rows), "id": ids}
