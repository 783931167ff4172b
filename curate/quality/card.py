"""A classifier's card: what it was trained on and how far it can be trusted, from a training report.

The card has no clock, host or path in it: the same training gives the same card.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Sequence[object]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(c) for c in line) + " |" for line in lines] + [""]


def _data(report: Mapping[str, Any]) -> list[str]:
    rows = report["rows"]
    lines = ["## Data", ""]
    lines += _table(
        ["", "good", "bad"],
        [
            ["rows seen", rows["seen_good"], rows["seen_bad"]],
            ["taken (distinct contents, smallest keyed hashes)", rows["taken_good"], rows["taken_bad"]],
            ["trained on", rows["train_good"], rows["train_bad"]],
            ["held out", rows["held_out_good"], rows["held_out_bad"]],
        ],
    )
    if rows["contradictory"]:
        lines += [f"{rows['contradictory']} contents had both labels and were left out.", ""]
    lines += ["Labels by source:", ""]
    lines += _table(["source", "good", "bad"], [[s, c["good"], c["bad"]] for s, c in report["labels"].items()])
    lines += [f"Licence of the labels: {report['labels_licence'] or 'not stated'}.", ""]
    return lines


def _quality(held: Mapping[str, Any], copies: Mapping[str, Any]) -> list[str]:
    counts = held["confusion"]
    lines = [
        "## On held-out rows",
        "",
        (
            f"The split is by content: exact copies are on one side. {copies['rows']} of the {held['rows']} held-out rows have a "
            f"near copy among those trained on; without them ROC AUC {_cell(copies['roc_auc_without'])}, "
            f"accuracy {_cell(copies['accuracy_without'])}."
        ),
        "",
    ]
    lines += _table(["ROC AUC", "PR AUC", "accuracy", "precision", "recall", "F1", "calibration error"], [
        [held[k] for k in ("roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "calibration_error")]
    ])  # fmt: skip
    lines += [f"Confusion at {held['threshold']}:", ""]
    lines += _table(
        ["", "said good", "said bad"],
        [
            ["is good", counts["true_positive"], counts["false_negative"]],
            ["is bad", counts["false_positive"], counts["true_negative"]],
        ],
    )
    lines += ["Reliability (a calibrated score has mean score = share of good):", ""]
    bins = [b for b in held["reliability"] if b["rows"]]
    lines += _table(
        ["score", "rows", "mean score", "share of good"],
        [[f"{b['from']:.1f}-{b['to']:.1f}", b["rows"], b["mean_score"], b["good"]] for b in bins],
    )
    for title, name in (("source", "by_source"), ("length in bytes", "by_length")):
        lines += [f"Scores by {title}:", ""]
        lines += _table(
            [title, "rows", "share of good", "mean score", "said good", "ROC AUC"],
            [
                [g, *(v[k] for k in ("rows", "good", "mean_score", "said_good", "roc_auc"))]
                for g, v in held[name].items()
            ],
        )
    return lines


def _confused(wrong: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["## What it confuses", ""]
    if not wrong:
        return [*lines, "No held-out row is on the wrong side of the threshold.", ""]
    lines += ["The held-out rows that are most wrong (`curate explain RUN ID` shows one):", ""]
    return lines + _table(
        ["id", "source", "label", "score"], [[w["id"], w["source"], w["label"], w["score"]] for w in wrong]
    )


def _judge(judge: Mapping[str, Any] | None) -> list[str]:
    if not judge:
        return []
    lines = [
        "## Against an LLM's judgement",
        "",
        (
            f"{judge['rows']} documents were scored 0-5 by {', '.join(judge['models']) or 'a model'} (licence of its outputs: "
            f"{', '.join(judge['licences']) or 'not stated'}); {judge['good_from']} and above counts as good. "
            f"{judge['in_training']} of them were trained on. Nothing was tuned to these numbers."
        ),
        "",
    ]
    lines += _table(["score", "documents"], sorted(judge["scores"].items()))
    lines += _table(
        ["pair", "documents", "agreement", "Cohen's kappa"],
        [[name, p["rows"], p["agreement"], p["cohen_kappa"]] for name, p in judge["pairs"].items()],
    )
    return [
        *lines,
        (
            f"Classifier's score, cut into 0-5, against the judge's: quadratic weighted kappa {_cell(judge['quadratic_kappa'])}; "
            f"ROC AUC of the classifier with the judge as the truth: {_cell(judge['roc_auc'])}."
        ),
        "",
    ]


def render(report: Mapping[str, Any]) -> str:
    """The card in Markdown, from the report that ``train.classifier`` returns."""
    lines = [f"# Classifier `{report['name']}`", ""]
    if report["about"]:
        lines += [report["about"], ""]
    lines += [
        *_data(report),
        *_quality(report["held_out"], report["near_copies"]),
        *_confused(report["most_wrong"]),
        *_judge(report.get("judge")),
    ]
    lines += ["## Settings", ""]
    lines += _table(["setting", "value"], sorted(report["settings"].items()))
    return "\n".join(lines).rstrip("\n") + "\n"
