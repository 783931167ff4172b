"""A training's report: everything that the card says, as plain values, from examples, their division and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.quality import evaluate, routing
from curate.quality.calibrate import Ranking
from curate.quality.classifier import Classifier, Scores
from curate.quality.examples import Examples
from curate.quality.label_columns import GRADES, NONE, SHARES, LabelColumn, Marks, pair
from curate.quality.lessons import Division, Mask
from curate.quality.sample import HASH
from curate.text.batch import Batch

NAMES: Final = {1: "good", 0: "bad"}
SHARES_SHOWN: Final = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Shares of queries that go to the large model, at which a card says what a router keeps."""
_ROWS_AT_ONCE: Final = 1024


def score_rows(model: Classifier, rows: pa.Table, step: str) -> Scores:
    """float32[n]: the model's score of each row; raises InputError if one is no number."""
    parts = [
        model.score(Batch(part))
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE)
        for part in rows.slice(start, _ROWS_AT_ONCE).combine_chunks().to_batches()
    ]
    scores = np.concatenate([np.zeros(0, np.float32), *parts])
    wrong = int(np.isnan(scores).sum())
    if wrong:
        raise InputError(
            f"step '{step}': the trained model's score is NaN for {wrong} of {len(scores)} documents",
            cure="lower the learning rate, and look for vectors or labels that are no numbers",
        )
    return scores


def counts(examples: Examples, division: Division) -> dict[str, int]:
    """Rows and contents by class, from what was seen to what is trained on."""
    labels = examples.labels
    result = {
        "contradictory": int(labels.contradictory.sum()),
        "overruled": int(labels.overruled.sum()),
    }
    for mark, name in NAMES.items():
        result[f"tested_{name}"] = int(((labels.good == mark) & examples.tests).sum())
        mine = (labels.good == mark) & ~division.apart
        result[f"seen_{name}"] = examples.seen[mark]
        result[f"taken_{name}"] = int(mine.sum())
        result[f"held_out_{name}"] = int((mine & division.held).sum())
        result[f"train_{name}"] = int((mine & division.used).sum())
        result[f"groups_{name}"] = len(np.unique(division.group[mine]))
        result[f"train_groups_{name}"] = len(np.unique(division.group[mine & division.used]))
    return result


def groups(examples: Examples, division: Division) -> dict[str, int]:
    """How much of the data is near copies, and how often near copies are labelled differently."""
    known = examples.labels.good != NONE
    group, good = division.group[known], examples.labels.good[known]
    _, place, sizes = np.unique(group, return_inverse=True, return_counts=True)
    goods = np.bincount(place, weights=good, minlength=len(sizes))
    return {
        "groups": len(sizes),
        "largest": int(sizes.max(initial=0)),
        "with_copies": int((sizes > 1).sum()),
        "rows_with_copies": int(sizes[sizes > 1].sum()),
        "mixed": int(((goods > 0) & (goods < sizes)).sum()),
    }


def by_column(examples: Examples, columns: Sequence[LabelColumn]) -> dict[str, dict[str, Any]]:
    """For each column that labels come from: how many contents count by it, how they are labelled, its licence."""
    result = {}
    for place, column in enumerate(columns):
        mine = examples.labels.column == place
        marks = examples.labels.mark[mine]
        result[column.column] = {
            "scale": column.scale,
            "good_from": 0.5 if column.scale == "share" else column.least_good,
            "rows": int(mine.sum()),
            "good": int((examples.labels.good[mine] == 1).sum()),
            "marks": _counted(marks, column),
            "licences": _licences(examples, column),
            "models": sorted({model for model, _ in examples.makers[column.column] if model}),
        }
    return result


def _counted(marks: Marks, column: LabelColumn) -> dict[str, int]:
    """How many contents have each label; of shares, each tenth."""
    if column.scale != "share":
        return {str(m): int((marks == m).sum()) for m in range(column.top + 1)}
    tenths = np.bincount(np.minimum(marks // (SHARES // 10), 9), minlength=10)
    return {f"{i / 10:.1f}-{(i + 1) / 10:.1f}": int(n) for i, n in enumerate(tenths)}


def by_source(examples: Examples) -> dict[str, dict[str, int]]:
    """Labels that count, by source."""
    known = examples.labels.good != NONE
    sources = examples.sources[known].tolist()
    found = Counter(zip(sources, examples.labels.good[known].tolist(), strict=True))
    return {s: {name: found[s, mark] for mark, name in NAMES.items()} for s in sorted(set(sources))}


def measured(examples: Examples, scores: Scores, mine: Mask, *, threshold: float, most_wrong: int) -> dict[str, Any]:
    """How good the scores of some labelled rows are: measures, what is most wrong, which sources are confused."""
    labels = examples.labels.good[mine]
    scores = scores[mine]
    rows = examples.rows.filter(pa.array(mine))
    sources = [str(s) for s in rows.column("source").to_pylist()]
    lengths = rows.column("bytes").to_numpy()
    wrong = np.where(labels == 1, scores < threshold, scores >= threshold)
    miss = np.abs(labels - scores.astype(np.float64))
    ids = rows.column("document")
    worst = [i for i in np.argsort(-miss, kind="stable").tolist() if wrong[i]][:most_wrong]
    return {
        **evaluate.evaluate(labels, scores, sources=sources, lengths=lengths, threshold=threshold),
        "most_wrong": [
            {"id": ids[i].as_py().hex(), "source": sources[i], "label": int(labels[i]), "score": float(scores[i])}
            for i in worst
        ],
        "confused_sources": evaluate.confused_sources(labels, scores, sources),
    }


def grades(marks: npt.NDArray[np.int8], scores: Scores, *, as_grade: bool) -> dict[str, Any]:
    """Scores against grades 0-5: as a grade the score's fifth, rounded, if the model learned grades; else its sixth."""
    said = np.rint(scores * (GRADES - 1)) if as_grade else np.floor(np.minimum(scores * GRADES, GRADES - 1))
    return {
        "rows": len(marks),
        "confusion": evaluate.table_of(marks, said, GRADES),
        "quadratic_kappa": evaluate.quadratic_kappa(marks, said),
        "spearman": evaluate.spearman(marks, scores),
    }


def shares(marks: Marks, scores: Scores) -> dict[str, Any]:
    """Scores against soft labels (``marks``, hundredths): how they rank, and the mean squared difference, beside that of
    the mean label said of every row."""
    truth = marks / SHARES
    return {
        "rows": len(marks),
        "spearman": evaluate.spearman(truth, scores),
        "squared_error": float(np.mean((truth - scores) ** 2)),
        "squared_error_of_mean": float(np.var(truth)),
    }


def cross_fitted(examples: Examples, plain: Scores, fitted: Scores, mine: Mask, threshold: float) -> dict[str, Any]:
    """Rows that were trained on: scores of the model that learned them beside those of a model that did not."""
    labels = examples.labels.good[mine]
    result: dict[str, Any] = {"rows": int(mine.sum())}
    for name, scores in (("in_sample", plain[mine]), ("cross_fitted", fitted[mine])):
        result[name] = {
            "roc_auc": evaluate.roc_auc(labels, scores),
            "accuracy": evaluate.rates(evaluate.confusion(labels, scores, threshold))["accuracy"],
            **{f"mean_{n}": float(scores[labels == m].mean(dtype=np.float64)) for m, n in NAMES.items()},
        }
    return result


def against_judge(
    examples: Examples, judge: LabelColumn, scores: Scores, division: Division, *, threshold: float, as_grade: bool
) -> dict[str, Any] | None:
    """How far judge and model agree on judged documents: with folds on all of them, each scored by a model that has not
    seen it or a near copy; without, on those that nobody has learned from."""
    marks = examples.judge
    mine = (marks != NONE) & (~division.touched | (division.fold >= 0))
    if not (marks != NONE).any():
        return None
    by_judge = judge.good(marks[mine]) == 1
    by_model = scores[mine] >= threshold
    return {
        "column": judge.column,
        "good_from": judge.least_good,
        "rows": int(mine.sum()),
        "in_training": int(((marks != NONE) & division.used).sum()),
        "models": sorted({model for model, _ in examples.makers[judge.column] if model}),
        "licences": _licences(examples, judge),
        "scores": {str(g): int((marks == g).sum()) for g in range(judge.top + 1)},
        "pairs": {"judge, classifier": pair(by_judge, by_model)},
        "roc_auc": evaluate.roc_auc(by_judge, scores[mine]),
        **(grades(marks[mine], scores[mine], as_grade=as_grade) if judge.scale == "0-5" else {}),
    }


def routed(examples: Examples, scores: Scores, mine: Mask, key: int) -> dict[str, Any] | None:
    """What the scores are worth as a router's, on rows whose score is by a model that has not seen them; None where no row has
    the scores of both models' answers."""
    columns = {name: examples.rows.column(name).to_numpy() for name in routing.COLUMNS}
    answers = routing.Answers.of(columns)
    mine = mine & answers.known
    if not mine.any():
        return None
    score, length = scores[mine].astype(np.float64), examples.rows.column("bytes").to_numpy()[mine].astype(np.float64)
    ranking = Ranking(score, examples.rows.column(HASH).to_numpy()[mine])
    at = {f"{share:.0%}": ranking.threshold(ranking.top(share)) for share in SHARES_SHOWN}
    strong = {name: score >= threshold for name, threshold in at.items()}
    found = routing.measure({"router": score, "length": length}, answers.only(mine), strong, key)
    return {**found, "thresholds": at}


def _licences(examples: Examples, column: LabelColumn) -> list[str]:
    found = {licence for _, licence in examples.makers[column.column] if licence}
    return [column.licence] if column.licence else sorted(found)
