"""signals.text: what filters measure, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import pyarrow as pa
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from curate.errors import RecipeError
from curate.fingerprint import fingerprint
from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Threshold
from curate.stages.registry import register, stage_class
from curate.text.batch import Batch

PROSE: Final = ("filter.massivetext", "filter.c4", "filter.fineweb", "filter.refinedweb")
"""Filters for prose, which are measured unless ``of`` says otherwise."""


@register("signals.text")
class SignalsText(Filter):
    """Measure what filters measure, drop nothing, and write every number and flag as a column.

    For choosing thresholds: look at a column with ``curate inspect RUN --signal STEP.COLUMN``, cut on it with
    ``select.where`` (flags are 0 and 1 there). A signal that one filter of ``of`` measures is a column of its own name
    (``words``); one that several measure has each filter's name before it (``massivetext_words``,
    ``fineweb_words``). Signals that are text are left out. A signal that is null stays null.
    """

    revision: ClassVar[int] = 1

    of: list[str] = Field(
        default_factory=lambda: list(PROSE), min_length=1, description="filters whose signals are measured"
    )
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="a filter's settings where the defaults won't do, by its name; thresholds change no column",
    )

    _filters: tuple[Filter, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _known(self) -> Self:
        if len(set(self.of)) < len(self.of):
            raise ValueError("'of' names a filter twice")
        for name in self.settings:
            if name not in self.of:
                raise ValueError(f"there are settings for '{name}', which is not in 'of'")
        self._filters = tuple(_filter(name, self.settings.get(name, {})) for name in self.of)
        if not self.signals:
            raise ValueError("these filters measure no numbers")
        return self

    @property
    def signals(self) -> Mapping[str, pa.DataType]:  # type: ignore[override]  # depends on `of`: no class attribute
        """Numbers and flags of all filters by column."""
        return {column: each.signals[signal] for column, each, signal in self._columns()}

    def _columns(self) -> list[tuple[str, Filter, str]]:
        """(column, filter, its signal), filter by filter."""
        every = [(f, s) for f in self._filters for s, kind in f.signals.items() if _is_number(kind)]
        names = [signal for _, signal in every]
        return [
            (s if names.count(s) == 1 else f"{f.name.partition('.')[2].replace('.', '_')}_{s}", f, s) for f, s in every
        ]

    def adds(self) -> Mapping[str, pa.DataType]:
        """All of them."""
        return self.signals

    def reads(self) -> frozenset[str]:
        """What the filters read."""
        return frozenset().union(*(f.reads() for f in self._filters))

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Each filter's signals, by column; the batch's words and lines are found once for all of them."""
        found = {f.name: f.measure(docs, ctx) for f in self._filters}
        return {column: found[each.name][signal] for column, each, signal in self._columns()}

    def warm(self, ctx: Context) -> None:
        """Each filter by itself: some load otherwise than by measuring."""
        for each in self._filters:
            each.warm(ctx)

    def thresholds(self) -> Sequence[Threshold]:
        """The thresholds that the filters would apply to the columns."""
        where = {(f.name, signal): column for column, f, signal in self._columns()}
        return [
            threshold._replace(signal=where[f.name, threshold.signal])
            for f in self._filters
            for threshold in f.thresholds()
            if (f.name, threshold.signal) in where
        ]

    def fingerprint(self) -> str:
        """By what the filters measure: their thresholds change nothing here, their revisions do."""
        return fingerprint(self.name, self.revision, self.of, [f.measure_fingerprint() for f in self._filters])

    def measure_fingerprint(self) -> str:
        """The same: it decides nothing."""
        return self.fingerprint()


def _filter(name: str, settings: Mapping[str, Any]) -> Filter:
    """A filter by name; raises ValueError, in a user's words, for what can't be measured here."""
    try:
        stage = stage_class(name).model_validate(settings).concrete()
    except RecipeError as error:
        raise ValueError(f"{error.cause}; {error.cure}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        said = f"has no setting '{at}'" if first["type"] == "extra_forbidden" else f"'{at}': {first['msg']}"
        raise ValueError(f"{name} {said}") from None
    if not isinstance(stage, Filter) or stage.name == SignalsText.name:
        raise ValueError(f"{name} is no filter that measures text")
    if any(getattr(stage, setting) is not None for setting in stage.asset_settings):
        raise ValueError(f"{name} needs files of its own; make it a step, its signals can be looked at there")
    return stage


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
