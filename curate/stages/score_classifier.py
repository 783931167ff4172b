"""score.classifier: a trained classifier's score for every document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.quality import classifier
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch


@register("score.classifier")
class ScoreClassifier(Filter):
    """Add a classifier's score in [0, 1]; every row stays. Cut with ``select.where``.

    The score ranks documents. What share of real data is good differs from the training set, so a threshold belongs to
    a recipe and its calibration report, not to the classifier.
    """

    revision: ClassVar[int] = 2
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"classifier": "classifiers"}

    signals: ClassVar[Mapping[str, pa.DataType]] = {"score": pa.float32()}

    classifier: str = Field(
        description="a 'train.classifier' step of this recipe, or a folder in classifiers/ with a model"
    )

    def adds(self) -> Mapping[str, pa.DataType]:
        """The score."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``score``: the classifier's, from the first bytes of the text."""
        return {"score": pa.array(classifier.load(ctx.assets["classifier"]).score(docs), pa.float32())}
