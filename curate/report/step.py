"""One step of a run that has been made: what was asked of it, and its stage, if there still is one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from curate.errors import CurateError
from curate.schema import KILLS_WORKER, KILLS_WORKER_WHY
from curate.stages.base import Filter, Stage
from curate.stages.bounds import Bound
from curate.stages.cuts_spans import edits
from curate.stages.registry import stage_class
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.removals import SENTENCE
from curate.store.records import StepRecord


def stage_of(use: str) -> type[Stage] | None:
    """A stage by name, or None when this version of curate does not have it any more."""
    try:
        return stage_class(use)
    except CurateError:
        return None


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        id, use, settings: as in the recipe.
        inputs: ids of the steps it read.
        uses: by setting, the trained step it used.
        record: what came of it.
    """

    id: str
    use: str
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    uses: dict[str, str]
    record: StepRecord

    @cached_property
    def stage(self) -> type[Stage] | None:
        """Its stage, or None when this version of curate does not have it any more."""
        return stage_of(self.use)

    def is_a(self, *kinds: type[Stage]) -> bool:
        """Whether its stage is of one of the kinds."""
        return self.stage is not None and issubclass(self.stage, kinds)

    def sentence(self, reason: str) -> str:
        """What a reason of this step means, as its stage says; empty when it says nothing."""
        said = self.stage.reasons.get(reason, "") if self.stage is not None else ""
        return said or {TAKEDOWN: SENTENCE, KILLS_WORKER: KILLS_WORKER_WHY}.get(reason, "")

    def bounds(self, reason: str) -> list[Bound]:
        """The lines of its stage's table that a reason stands for; none where it has rules that no table can say."""
        bounds = self.stage.bounds if self.stage is not None and issubclass(self.stage, Filter) else ()
        return [b for b in bounds if b.reason == reason]

    def deciding_settings(self, reason: str) -> dict[str, Any]:
        """The settings that a reason is about: those of its bounds, else those that its sentence names, else all."""
        names = {b.setting for b in self.bounds(reason)}
        sentence = self.sentence(reason)
        found = {k: v for k, v in self.settings.items() if (k in names if names else k in sentence)}
        return found or self.settings

    @cached_property
    def made(self) -> Stage | None:
        """Its stage with the step's settings, or None where this version does not know the stage or its settings."""
        try:
            return self.stage.model_validate(self.settings) if self.stage is not None else None
        except ValueError:
            return None

    @property
    def filter(self) -> Filter | None:
        """The same, where it is a filter."""
        return self.made if isinstance(self.made, Filter) else None

    @property
    def edits(self) -> bool:
        """Whether it gives rows that stay another text."""
        return self.made is not None and edits(self.made)

    def added(self) -> list[str]:
        """Columns it adds to rows, by short name."""
        return list(self.made.adds()) if self.made is not None else []
