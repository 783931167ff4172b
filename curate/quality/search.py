"""A search for settings: a few trainings with other ones, compared on documents that none of them has seen.

fastText has an autotune of its own, which runs for so many seconds: how far it comes depends on the machine and what
else runs on it, so the same recipe would give other models. Here a number of trials is given instead of a time, the
trials are the same everywhere, and they are compared on groups of near copies that are neither trained on in the search
nor held out for the card.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curate.quality import evaluate
from curate.quality.classifier import Classifier, Scores, load
from curate.quality.kinds import Job, Lesson, train_all
from curate.quality.lessons import Mask

_CHOICES: Final = {"lr": (0.1, 0.3, 0.8), "epoch": (5, 10, 25), "word_ngrams": (1, 2, 3)}
_STRIDE: Final = 10
"""Has no divisor in common with the number of combinations, so that few trials are already spread over all of them."""


class Search(BaseModel):
    """How settings are searched for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(8, ge=2, le=27, description="trainings, the first with the settings as given")
    held_out: float = Field(
        0.2, gt=0, lt=1, description="share of what is trained on by which trials are compared, near copies together"
    )


def variants(given: BaseModel, trials: int) -> list[BaseModel]:
    """Settings to try, at most so many, distinct: those given, then other values of lr, epoch and word_ngrams."""
    grid = [dict(zip(_CHOICES, values, strict=True)) for values in product(*_CHOICES.values())]
    found = [given]
    for i in range(len(grid)):
        one = grid[(4 + i * _STRIDE) % len(grid)]
        if one["word_ngrams"] > 1 and not getattr(given, "bucket", 0):
            continue  # longer features need a table
        other = given.model_copy(update=one)
        if other not in found:
            found.append(other)
    return found[:trials]


def search(
    kind: str,
    lesson: Lesson,
    given: BaseModel,
    how: Search,
    among: Mask,
    validation: Mask,
    score: Callable[[Classifier, Mask], Scores],
) -> tuple[BaseModel, dict[str, Any]]:
    """The best settings, and what was tried.

    Args:
        kind: of the model.
        lesson: rows to learn from.
        given: settings to start from.
        how: how many trials.
        among: bool[n], those of its rows that may be trained on in the end.
        validation: bool[n], those of ``among`` by which trials are compared: by ROC AUC, for grades by Spearman's
            correlation. Of equals the first wins.
        score: a model's scores of some of the lesson's rows.
    """
    tried = variants(given, how.trials)
    measure = "ROC AUC" if lesson.top == 1 else "Spearman"
    truth = lesson.marks[validation]
    values = []
    with tempfile.TemporaryDirectory(prefix="curate-search-") as temporary:
        jobs = [Job(~validation & among, one, Path(temporary) / str(i)) for i, one in enumerate(tried)]
        train_all(kind, lesson, jobs)
        for job in jobs:
            scores = score(load(job.folder), validation)
            value = evaluate.roc_auc(truth, scores) if lesson.top == 1 else evaluate.spearman(truth, scores)
            values.append(-1.0 if value is None else value)
    best = int(np.argmax(values))
    report = {
        "measure": measure,
        "rows": int(validation.sum()),
        "tried": [
            {
                "settings": {name: getattr(one, name) for name in _CHOICES},
                "value": value,
                "chosen": i == best,
            }
            for i, (one, value) in enumerate(zip(tried, values, strict=True))
        ],
    }
    return tried[best], report
