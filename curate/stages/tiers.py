"""Tiers of pairs, from easy to hard: by their gap, or by whose answers they are. No stage, a setting of those that make pairs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

__all__ = ["Tier", "Tiers"]

_OVER: Final = ">"
"""Between the models of a pair: ``gpt-4* > opt-*``."""


class Tier(BaseModel):
    """Pairs that are alike hard to tell apart: those of a gap, or those of some models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="what its pairs are called")
    gap: float | None = Field(None, ge=0, allow_inf_nan=False, description="the least gap of its pairs")
    models: tuple[str, ...] = Field(
        (), description="in place of a gap: pairs of models, as `STRONG > WEAK`, with patterns"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Tier:
        if (self.gap is None) == (not self.models):
            raise ValueError(f"tier '{self.name}' has a least gap, or pairs of models: one of the two")
        for pair in self.models:
            if len([part for part in pair.split(_OVER) if part.strip()]) != 2:
                raise ValueError(f"tier '{self.name}': '{pair}' is no pair of models; write 'STRONG {_OVER} WEAK'")
        return self


class Tiers(RootModel[tuple[Tier, ...]]):
    """Tiers in their order, the easiest first; in short ``{easy: 2, medium: ["gpt-4* > opt-*"], hard: 0}``."""

    model_config = ConfigDict(frozen=True)

    root: tuple[Tier, ...] = Field(min_length=1, description="the tiers, from easy to hard")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return [
            {"name": str(n), **({"models": said} if isinstance(said, list) else {"gap": said})}
            for n, said in given.items()
        ]

    @model_validator(mode="after")
    def _can_be_reached(self) -> Tiers:
        if len(set(self.names)) < len(self.names):
            raise ValueError("tiers have different names")
        gaps = [tier.gap for tier in self.root if tier.gap is not None]
        if any(later >= earlier for earlier, later in itertools.pairwise(gaps)):
            raise ValueError(f"gaps fall from tier to tier, and {', '.join(f'{gap:g}' for gap in gaps)} do not")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(tier.name for tier in self.root)

    def rules(
        self, models: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Bounds float64[r], tiers int64[r], and which of m models may be chosen and rejected, bool[r, m]; see opponents.Pairing.

        The first rule that fits a pair says its tier.
        """
        bounds, of = list[float](), list[int]()
        better, worse = list[list[bool]](), list[list[bool]]()
        for number, tier in enumerate(self.root):
            for strong, weak in [_sides(pair) for pair in tier.models] or [("*", "*")]:
                bounds.append(-np.inf if tier.gap is None else tier.gap)
                of.append(number)
                better.append([fnmatchcase(name, strong) for name in models])
                worse.append([fnmatchcase(name, weak) for name in models])
        return np.array(bounds), np.array(of, np.int64), np.array(better), np.array(worse)


def _sides(pair: str) -> tuple[str, str]:
    strong, weak = pair.split(_OVER)
    return strong.strip(), weak.strip()
