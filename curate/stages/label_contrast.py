"""label.contrast: labels from where a document comes from."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import RecipeError
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch


@register("label.contrast")
class LabelContrast(Filter):
    """Label documents by their source: 1 for sources that are good by and large, 0 for those that are not.

    The cheapest labels there are, and the most misleading: a classifier trained on them may learn what tells the
    sources apart (a licence header, a site's footer) instead of what makes a text good. Compare with a judge's labels.
    """

    reasons: ClassVar[Mapping[str, str]] = {
        "unlabelled": "the source is neither among the positive nor the negative ones"
    }

    decide_settings: ClassVar[frozenset[str]] = frozenset({"only_labelled"})
    signals: ClassVar[Mapping[str, pa.DataType]] = {"label": pa.int8()}

    positive: list[str] = Field(min_length=1, description="sources whose documents are good; patterns (*, ?) allowed")
    negative: list[str] = Field(min_length=1, description="sources whose documents are not; patterns (*, ?) allowed")
    only_labelled: bool = Field(True, description="drop documents of other sources; else they stay, without a label")

    @model_validator(mode="after")
    def _one_side(self) -> LabelContrast:
        for ours, theirs in ((self.positive, self.negative), (self.negative, self.positive)):
            for name in ours:
                match = next((p for p in theirs if p == name or fnmatchcase(name, p)), None)
                if match is not None:
                    also = "" if match == name else f" (it matches '{match}')"
                    raise ValueError(f"source '{name}' is in positive and in negative{also}")
        return self

    def adds(self) -> Mapping[str, pa.DataType]:
        """The label."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``label``: 1, 0, or null for a source in neither list."""
        sources = docs.column("source").dictionary_encode()
        labels = pa.array([self._label(name, ctx) for name in sources.dictionary.to_pylist()], pa.int8())
        return {"label": labels.take(sources.indices)}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Drops what has no label, where only labelled documents are wanted."""
        return [("unlabelled", pc.is_null(signals["label"]))] if self.only_labelled else []

    def _label(self, source: str, ctx: Context) -> int | None:
        good = any(fnmatchcase(source, p) for p in self.positive)
        bad = any(fnmatchcase(source, p) for p in self.negative)
        if good and bad:
            raise RecipeError(
                f"step '{ctx.step}': source '{source}' matches patterns in positive and in negative",
                cure="make the patterns narrower",
            )
        return 1 if good else 0 if bad else None
