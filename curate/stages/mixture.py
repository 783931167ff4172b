"""What a dataset is mixed of: settings that say which documents make a component, and how much of each is taken.

``curate.stages.takes`` makes exact numbers of them. No stage; the writers of tokens have it as their setting ``mix``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curate.errors import RecipeError, did_you_mean
from curate.stages.amounts import Count, Share
from curate.stages.strata import NONE, columns_of, fields_of, strata
from curate.text.batch import Batch

__all__ = ["Component", "CurriculumPhase", "Mix", "exact"]

NEARLY_ONE: Final = Fraction(1, 1000)
"""By how much shares may miss the whole: three thirds written as 0.333."""
_WILD: Final = "*?[]"


class Component(BaseModel):
    """Documents that are mixed as one, and how much of them is taken: at most one of ``weight``, ``epochs``, ``tokens``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: tuple[str, ...] = Field(
        (), description="values it is made of, with * and ?; its own name where none is given"
    )
    weight: Share | None = Field(None, ge=0, description="its share of the tokens, as 20% or 0.2")
    epochs: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="how often each document is taken; 1.5: half of them twice"
    )
    tokens: Count | None = Field(None, ge=0, description="how many tokens of it, as 180M")
    synthetic: bool | None = Field(
        None, description="whether a model wrote it; null: as the documents' `meta` says (what this tool generated)"
    )

    @field_validator("match", mode="before")
    @classmethod
    def _one_pattern(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_amount(self) -> Component:
        given = [name for name in ("weight", "epochs", "tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are two ways to say how much is taken: keep one")
        return self


class CurriculumPhase(BaseModel):
    """A part of the stream with a mixture of its own: so many ``tokens``, a ``share`` of all, or ``epochs`` of components."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="what reports call it; its number where none is given")
    tokens: Count | None = Field(None, gt=0, description="its length in tokens, as 500M")
    share: Share | None = Field(None, gt=0, description="its length as a share of all tokens, as 10%")
    weights: dict[str, Share] = Field(
        default_factory=dict, description="shares of its tokens by component; {}: the components' own weights"
    )
    epochs: dict[str, float] = Field(
        default_factory=dict, description="in place of a length: how often each document of a component is taken"
    )

    @model_validator(mode="after")
    def _one_length(self) -> CurriculumPhase:
        given = [name for name in ("tokens", "share", "epochs") if getattr(self, name) not in (None, {})]
        if len(given) != 1 or (self.epochs and self.weights):
            raise ValueError("a phase has a length (tokens or share) and weights, or else epochs: one of the two")
        if any(not 0 <= e < float("inf") for e in self.epochs.values()):
            raise ValueError("epochs are 0 or more")
        _check_whole(self.weights)
        return self


class Mix(BaseModel):
    """How much of what the dataset is mixed of.

    Without any setting every document is taken once. Components are named with a weight (their share of the tokens), with
    epochs, or with tokens; short, ``{web: 0.6, code: 0.4}`` is components and their weights. Components with weights share
    what the others leave of ``tokens``, and what none of them names is left out. Where none has a weight, each value that
    no component names is a component of its own, taken once.

    No document is drawn twice before all of its component were drawn once. All amounts are computed from what is there before
    anything is written, and kept to the last document.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field("source", description="column, or meta.FIELD, by whose values components are told apart")
    components: dict[str, Component] = Field(
        default_factory=dict, description="by name: a weight, or {match, weight | epochs | tokens, synthetic}"
    )
    tokens: Count | None = Field(
        None,
        gt=0,
        description="tokens in all, as 6B; null: as many as the documents have, and components with tokens or epochs say",
    )
    temperature: float | None = Field(
        None, gt=0, le=1000, description="weights are tokens^(1/temperature): 1 as they are, large ones all alike"
    )
    max_epochs: float | None = Field(
        4.0,
        gt=0,
        allow_inf_nan=False,
        description="weights and budgets that would take documents more often are refused (4: Muennighoff et al. 2023); null: none is",
    )
    phases: tuple[CurriculumPhase, ...] = Field((), description="a curriculum: parts of the stream, in this order")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        """``{web: 0.6, code: 0.4}`` is components; so is one of them, ``{match: ..., weight: ...}``, and a bare weight."""
        if not isinstance(given, Mapping):
            return given
        if given and not any(name in cls.model_fields for name in given):
            given = {"components": dict(given)}
        components = given.get("components")
        if isinstance(components, Mapping):
            each = {
                name: {"weight": said} if isinstance(said, int | float | str) else {} if said is None else said
                for name, said in components.items()
            }
            given = {**given, "components": each}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Mix:
        weights = {n: c.weight for n, c in self.components.items() if c.weight is not None}
        own = [n for n, c in self.components.items() if c.epochs is not None or c.tokens is not None]
        _check_whole(weights)
        if self.temperature is not None and (weights or own):
            raise ValueError(
                f"temperature makes the weights: component '{[*weights, *own][0]}' can't say how much of it is taken"
            )
        if weights and len(weights) + len(own) < len(self.components):
            silent = next(n for n in self.components if n not in weights and n not in own)
            raise ValueError(f"component '{silent}' has no weight, but others have; give it one, or epochs, or tokens")
        if self.phases:
            self._check_phases(bool(weights) or self.temperature is not None, own)
        return self

    def _check_phases(self, weighted: bool, own: list[str]) -> None:
        if own:
            raise ValueError(f"phases say how much is taken: component '{own[0]}' can have a weight only")
        for number, phase in enumerate(self.phases, 1):
            if not (weighted or phase.weights or phase.epochs):
                raise ValueError(f"phase {phase.name or number} has no weights, and neither have the components")
            for name in (*phase.weights, *phase.epochs):
                if self.components and name not in self.components:
                    cure = f"{did_you_mean(name, self.components)} Else add it with a weight of 0"
                    raise ValueError(f"phase {phase.name or number}: no component '{name}'; {cure}")
        shares = {str(i): p.share for i, p in enumerate(self.phases) if p.share is not None}
        tokens = [p.tokens for p in self.phases if p.tokens is not None]
        if shares and tokens:
            raise ValueError("phases have lengths all in tokens, or all as shares")
        _check_whole(shares)
        if self.tokens is not None and not shares:
            raise ValueError("phases say how many tokens there are: leave out `tokens`, or write them as shares of it")

    # -- which documents ---------------------------------------------------------------------------------------

    def reads(self) -> frozenset[str]:
        """The columns that it must be given, beyond those of every document."""
        return columns_of(self.by)

    @property
    def ordered(self) -> bool:
        """Whether the order of the dataset says more than chance: a trainer is to read it as it lies."""
        return bool(self.phases)

    @property
    def closed(self) -> bool:
        """Whether what no component names is left out: components with weights, or phases, are the whole."""
        named = any(c.weight is not None for c in self.components.values())
        return named or any(p.weights or p.epochs for p in self.phases)

    def named(self) -> dict[str, Component]:
        """The components that settings name, phases among them."""
        told = dict(self.components)
        for phase in self.phases:
            for name in (*phase.weights, *phase.epochs):
                told.setdefault(name, Component())
        return told

    def component(self, value: str) -> str | None:
        """The component that a value belongs to, by its name; None: it is left out.

        Of several that match it is the one with the most characters that stand for themselves: a name before ``web-*``, that
        before ``*``. Raises RecipeError where two are equal.
        """
        best: dict[str, int] = {}
        for name, told in self.named().items():
            for pattern in told.match or (name,):
                if pattern == value:
                    best[name] = len(value) + 1
                elif fnmatchcase(value, pattern):
                    literal = sum(c not in _WILD for c in pattern)
                    best[name] = max(best.get(name, 0), literal)
        if not best:
            return None if self.closed else value or NONE
        top = max(best.values())
        found = sorted(name for name, literal in best.items() if literal == top)
        if len(found) > 1:
            raise RecipeError(
                f"mix: '{value}' belongs to '{found[0]}' as much as to '{found[1]}'",
                cure=f"name '{value}' under 'match' of one of them",
            )
        return found[0]

    def component_of(self, docs: Batch) -> pa.StringArray:
        """Each row's component; null: it is left out. Raises RecipeError for a column that no one can tell rows apart by."""
        values = strata(docs, self.by).dictionary_encode()
        names = [self.component(value) for value in values.dictionary.to_pylist()]
        return pa.array(names, pa.string()).take(values.indices)

    def synthetic_of(self, docs: Batch, component: pa.StringArray) -> pa.BooleanArray:
        """Whether a model wrote each row's text: as its component says, else as its ``meta`` does."""
        said = component.dictionary_encode()
        told = self.named()
        flags = [told[n].synthetic if n in told else None for n in said.dictionary.to_pylist()]
        stated = pa.array(flags, pa.bool_()).take(said.indices)
        return pc.coalesce(stated, _generated(docs.column("meta"))) if stated.null_count else stated


def _generated(metas: pa.StringArray) -> pa.BooleanArray:
    """Whether a document was made from a model's answer: then its ``meta`` names model, family and answer.

    What a model judged has these fields of its judge beside ``judgement``; a ``writer`` there is the model that wrote it.
    """
    maybe = pc.match_substring(metas, '"answer"').to_numpy(zero_copy_only=False)
    out = maybe.copy()
    if maybe.any():
        names = ("model", "family", "answer", "judgement", "writer")
        found = fields_of(metas.filter(pa.array(maybe)), names)
        model, family, answer, judgement, writer = (pc.is_valid(f).to_numpy(zero_copy_only=False) for f in found)
        out[maybe] = model & family & answer & (~judgement | writer)
    return pa.array(out)


def exact(said: float) -> Fraction:
    """The decimal that was written, exactly: 0.1 as a tenth, not as the nearest binary number."""
    return Fraction(repr(said)) if isinstance(said, float) else Fraction(said)


def _check_whole(weights: Mapping[str, float]) -> None:
    """Raise ValueError for shares that are not the whole."""
    total = sum(map(exact, weights.values()), Fraction(0))
    if weights and abs(total - 1) > NEARLY_ONE:
        parts = _listed(f"{name} {share:g}" for name, share in weights.items())
        raise ValueError(f"shares sum to {float(total):g} instead of 1 ({parts})")


def _listed(parts: Iterable[str], most: int = 8) -> str:
    found = list(parts)
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")
