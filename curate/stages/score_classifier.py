"""score.classifier: a trained classifier's score for every document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.quality import classifier
from curate.quality.classifier import VECTORS
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch


@register("score.classifier")
class ScoreClassifier(Filter):
    """Add a classifier's score; every row stays. Cut with ``select.where``.

    The score is in [0, 1], but for fastText models whose labels are numbers and none is named: those give the expected
    value (0 to 5 for FineWeb-Edu's). It is a probability as the model computes it, without the 1e-5 that fastText's
    ``predict`` adds. It ranks documents: what share of real data is good differs from the training set, so a threshold
    belongs to a recipe and its calibration report, not to the classifier.
    """

    revision: ClassVar[int] = 2
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"classifier": "classifiers"}

    signals: ClassVar[Mapping[str, pa.DataType]] = {"score": pa.float32()}

    classifier: str = Field(
        description="a 'train.classifier' step of this recipe, a folder in classifiers/ with a model, or the path of a "
        "fastText model (.bin, .ftz)"
    )
    label: str | None = Field(
        None, description="the label whose probability is the score, for a fastText model by path"
    )

    vectors: str | None = Field(
        None, description="column with embeddings, such as 'embedded.vector', for a classifier that scores those"
    )

    def reads(self) -> frozenset[str]:
        """The column of embeddings."""
        return frozenset({self.vectors} if self.vectors else set())

    def adds(self) -> Mapping[str, pa.DataType]:
        """The score."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``score``: the classifier's. Raises InputError where ``vectors`` is named for a classifier of texts."""
        if self.vectors:
            if classifier.scores_texts(ctx.assets["classifier"]):
                raise InputError(
                    f"'{self.classifier}' scores texts, not vectors",
                    place=f"step '{ctx.step}'",
                    cure="leave 'vectors' out, or name a classifier trained on embeddings (forest, ridge, logistic)",
                )
            docs = Batch(docs.rows.append_column(VECTORS, docs.column(self.vectors)))
        return {"score": pa.array(classifier.load(ctx.assets["classifier"], self.label).score(docs), pa.float32())}
