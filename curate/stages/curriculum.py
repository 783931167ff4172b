"""The order of a dataset of texts by a column: phase after phase, shuffled inside each. No stage, a setting of write.text."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.errors import InputError
from curate.stages.amounts import Share
from curate.stages.mixture import NEARLY_ONE, exact
from curate.stages.strata import columns_of, strata
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash

__all__ = ["Curriculum"]

_KEYS: Final = 1 << 64


class Curriculum(BaseModel):
    """In which order rows stand, by the value of a column: ``values`` one after the other, or ``phases`` with shares of each.

    Which phase a row of a value is in is drawn by its id, so a phase has its share of them but for chance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field(description="a column, as pair.tier, or meta.FIELD")
    values: tuple[str, ...] = Field((), description="all its values in the order in which their rows stand")
    phases: tuple[dict[str, Share], ...] = Field(
        (), description="in place of values: of each phase the share of each value's rows, as {easy: 80%, medium: 20%}"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Curriculum:
        if bool(self.values) == bool(self.phases):
            raise ValueError("order says 'values', or 'phases' with shares of them: one of the two")
        if len(set(self.values)) < len(self.values):
            raise ValueError("order names a value twice")
        for name, shares in self._shares().items():
            if abs(sum(shares, Fraction(0)) - 1) > NEARLY_ONE:
                whole = float(sum(shares, Fraction(0)))
                raise ValueError(f"the shares of '{name}' in all phases sum to {whole:g} instead of 1")
        return self

    def _shares(self) -> Mapping[str, list[Fraction]]:
        """Of each value the share in each phase."""
        phases: tuple[Mapping[str, Any], ...] = self.phases or tuple({name: 1} for name in self.values)
        names = list(dict.fromkeys(name for phase in phases for name in phase))
        return {name: [exact(phase.get(name, 0)) for phase in phases] for name in names}

    def reads(self) -> frozenset[str]:
        """The column."""
        return columns_of(self.by)

    def places(self, docs: Batch, draw: int, shuffle: int) -> npt.NDArray[np.uint64]:
        """uint64[n], a key for each row: those of a phase come before those of the next one, in an order by hash.

        Args:
            docs: rows with ``id`` and the column.
            draw: key of the hash that says which phase a row is in.
            shuffle: key of the hash that orders the rows of a phase.

        Raises InputError for a row whose value has no place.
        """
        shares = self._shares()
        found = strata(docs, self.by)
        place = pc.index_in(found, pa.array(list(shares), pa.string()))
        if place.null_count:
            value = found[pc.index(place.is_null(), True).as_py()].as_py()
            raise InputError(
                f"order: '{value[:60]}' in {self.by} has no place",
                cure=f"name it among the values ({', '.join(shares)}), or leave such rows out above",
            )
        phases = len(next(iter(shares.values())))
        # Ends of each value's phases, in [0, 2^64): the last one's is behind all.
        ends = np.array([_ends(each) for each in shares.values()], np.uint64)
        drawn = keyed_hash(docs.column("id"), draw)
        phase = (drawn[:, None] >= ends[place.to_numpy(), : phases - 1]).sum(axis=1).astype(np.uint64)
        width = min(_KEYS // phases, _KEYS - 1)
        inside = keyed_hash(docs.column("id"), shuffle) // np.uint64(phases)
        return phase * np.uint64(width) + np.minimum(inside, np.uint64(width - 1))


def _ends(shares: list[Fraction]) -> list[int]:
    whole, upto, found = sum(shares, Fraction(0)), Fraction(0), []
    for share in shares:
        upto += share
        found.append(min(int(upto / whole * _KEYS), _KEYS - 1))
    return found
