"""A classifier's card: what it was trained on and how far it can be trusted, from a training report.

The card has no clock, host or path in it: the same training gives the same card.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Row = Sequence[object]
_BAR: Final = 20


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return _plain(value) if isinstance(value, str) else str(value).replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Text of others (a source's or a model's name) as one line that is only text: no HTML, no link, no control."""
    shown = " ".join(text.split())
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown)
    for mark in "`[|":
        shown = shown.replace(mark, f"\\{mark}")
    return shown.replace("<", "&lt;")


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(c) for c in line) + " |" for line in lines] + [""]


def _bar(share: float | None) -> str:
    """A share in [0, 1] as a bar."""
    if share is None:
        return ""
    filled = round(max(0.0, min(1.0, share)) * _BAR)
    return "█" * filled + "░" * (_BAR - filled)


def _names(values: Sequence[str]) -> str:
    return ", ".join(values) or "not stated"


def _data(report: Mapping[str, Any]) -> list[str]:
    rows, groups = report["rows"], report["groups"]
    lines = ["## Data", ""]
    steps = {
        "rows seen": "seen",
        "taken (distinct contents, smallest keyed hashes)": "taken",
        "trained on": "train",
        "held out": "held_out",
        "groups of near copies": "groups",
        "only tested on": "tested",
    }
    lines += _table(["", "good", "bad"], [[t, rows[f"{n}_good"], rows[f"{n}_bad"]] for t, n in steps.items()])
    lines += [
        (
            f"The split is by group: near copies (in one of 22 bands their MinHash sketches agree) are on one side. {groups['rows_with_copies']} of "
            f"the contents have near copies, in {groups['with_copies']} groups, the largest of {groups['largest']}; "
            f"{groups['mixed']} groups have both labels. {rows['contradictory']} contents had both labels in the column that "
            f"counts and were left out; for {rows['overruled']} a less trusted column says the opposite."
        ),
        "",
        "Labels by column, in order of trust:",
        "",
    ]
    lines += _table(
        ["column", "scale", "good from", "contents", "good", "labels", "made by", "licence of the labels"],
        [
            [name, c["scale"], c["good_from"], c["rows"], c["good"], _marks(c["marks"]), ", ".join(c["models"]) or "-",
             _names(c["licences"] or [x for x in [report["labels_licence"]] if x])]
            for name, c in report["columns"].items()
        ],
    )  # fmt: skip
    if report["agreements"]:
        lines += ["How far the columns agree, where two have a label:", ""]
        lines += _table(
            ["columns", "contents", "agreement", "Cohen's kappa"],
            [[name, p["rows"], p["agreement"], p["cohen_kappa"]] for name, p in report["agreements"].items()],
        )
    lines += ["Labels by source:", ""]
    lines += _table(["source", "good", "bad"], [[s, c["good"], c["bad"]] for s, c in report["labels"].items()])
    stated = any(c["licences"] for c in report["columns"].values())
    lines += [f"Licence of the labels: {report['labels_licence'] or ('see above' if stated else 'not stated')}.", ""]
    return lines


def _marks(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{mark}: {count}" for mark, count in counts.items())


def _quality(held: Mapping[str, Any], grades: Mapping[str, Any] | None, target: str) -> list[str]:
    counts = held["confusion"]
    names = {
        "roc_auc": "ROC AUC", "length_matched_auc": "length-matched", "length_alone_auc": "length alone", "pr_auc": "PR AUC",
        "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1",
        "calibration_error": "calibration error",
    }  # fmt: skip
    lines = [f"{held['rows']} documents, {held['good']} of them good.", ""]
    lines += _table(list(names.values()), [[held[name] for name in names]])
    lines += [
        (
            "Length-matched: only pairs of a good and a bad document of about the same length count. Length alone: the ROC "
            "AUC of the length in bytes as a score."
        ),
        "",
        f"Confusion at {held['threshold']}:",
        "",
    ]
    lines += _table(
        ["", "said good", "said bad"],
        [
            ["is good", counts["true_positive"], counts["false_negative"]],
            ["is bad", counts["false_positive"], counts["true_negative"]],
        ],
    )
    if grades:
        lines += _grades(grades, target)
    if soft := held.get("shares"):
        lines += [
            (
                f"Against the soft labels: Spearman {_cell(soft['spearman'])}, mean squared difference "
                f"{_cell(soft['squared_error'])} (of the mean label said of each: {_cell(soft['squared_error_of_mean'])})."
            ),
            "",
        ]
    lines += ["Reliability (a calibrated score has mean score = share of good):", ""]
    bins = [b for b in held["reliability"] if b["rows"]]
    lines += _table(
        ["score", "documents", "mean score", "share of good", ""],
        [[f"{b['from']:.1f}-{b['to']:.1f}", b["rows"], b["mean_score"], b["good"], _bar(b["good"])] for b in bins],
    )
    for title, name in (("source", "by_source"), ("length in bytes", "by_length")):
        lines += [f"Scores by {title}:", ""]
        lines += _table(
            [title, "documents", "share of good", "mean score", "said good", "ROC AUC", ""],
            [
                [g, *(v[k] for k in ("rows", "good", "mean_score", "said_good", "roc_auc")), _bar(v["mean_score"])]
                for g, v in held[name].items()
            ],
        )
    return lines


def _grades(grades: Mapping[str, Any], target: str) -> list[str]:
    how = "five times the score, rounded" if target == "grade" else "the score's sixth of [0, 1]"
    lines = [
        (
            f"Against the grades 0-5 of {grades['rows']} documents ({how}): quadratic weighted kappa "
            f"{_cell(grades['quadratic_kappa'])}, Spearman {_cell(grades['spearman'])}."
        ),
        "",
    ]
    head = ["", *(f"said {j}" for j in range(len(grades["confusion"])))]
    return lines + _table(head, [[f"is {i}", *row] for i, row in enumerate(grades["confusion"])])


def _folds(found: Mapping[str, Any] | None, folds: int) -> list[str]:
    if not found:
        return []
    lines = [
        "## On documents that were trained on",
        "",
        (
            f"`score.classifier` gives each of these {found['rows']} documents the score of one of {folds} more models, which "
            "has seen neither it nor its near copies. What the model itself says is the first line: the difference is memory."
        ),
        "",
    ]
    names = {"roc_auc": "ROC AUC", "accuracy": "accuracy", "mean_good": "mean of good", "mean_bad": "mean of bad"}
    return lines + _table(
        ["score by", *names.values()],
        [
            [title, *(found[kind][name] for name in names)]
            for title, kind in (("the model that learned it", "in_sample"), ("one that did not", "cross_fitted"))
        ],
    )


def _confused(held: Mapping[str, Any]) -> list[str]:
    wrong, pairs = held["most_wrong"], held["confused_sources"]
    if wrong:
        lines = ["What is most wrong (`curate explain RUN ID` shows a document):", ""]
        lines += _table(
            ["id", "source", "label", "score"], [[w["id"], w["source"], w["label"], w["score"]] for w in wrong]
        )
    else:
        lines = ["No document is on the wrong side of the threshold.", ""]
    if pairs:
        lines += ["Pairs of sources, good against bad, that it tells apart worst:", ""]
        lines += _table(
            ["good documents of", "bad documents of", "documents", "ROC AUC"],
            [[p["good"], p["bad"], p["rows"], p["roc_auc"]] for p in pairs],
        )
    return lines


def _tests(found: Mapping[str, Any] | None, grades: Mapping[str, Any] | None, target: str) -> list[str]:
    if not found:
        return []
    lines = [
        "## On sources it has never seen",
        "",
        (
            "Nothing of these sources was trained on, nor any near copy of it, and no setting was chosen by them. This is "
            "what to expect of a corpus of one's own."
        ),
        "",
    ]
    return lines + _quality(found, grades, target) + ["### What it confuses there", ""] + _confused(found)


def _judge(judge: Mapping[str, Any] | None, target: str) -> list[str]:
    if not judge:
        return []
    lines = [
        f"## Against the judge, `{judge['column']}`",
        "",
        (
            f"{judge['rows']} judged documents, by {_plain(', '.join(judge['models'])) or 'whoever wrote that column'} (licence of the "
            f"judgements: {_names(judge['licences'])}); {judge['good_from']} and above counts as good. {judge['in_training']} "
            "were trained on; each is scored by a model that has not seen it."
        ),
        "",
    ]
    lines += _table(["label", "documents"], sorted(judge["scores"].items()))
    lines += _table(
        ["pair", "documents", "agreement", "Cohen's kappa"],
        [[name, p["rows"], p["agreement"], p["cohen_kappa"]] for name, p in judge["pairs"].items()],
    )
    lines += [f"ROC AUC of the classifier with the judge as the truth: {_cell(judge['roc_auc'])}.", ""]
    return lines + (_grades(judge, target) if "spearman" in judge else [])


def _route(route: Mapping[str, Any] | None) -> list[str]:
    """A router's section: what it recovers of the large model's lead at which share of its calls."""
    if not route:
        return []
    lines = [
        "## As a router",
        "",
        (
            f"{route['rows']} queries, each scored by a model that has not seen it: the small model's answers have a mean score "
            f"of {_cell(route['small'])}, the large one's of {_cell(route['large'])}; for {route['needed']:.0%} of the queries "
            "the large one's is better. Recovered: (quality - small's) / (large's - small's). APGR: its mean over all shares of "
            "calls of the large model (lots drawn: 0.5). CPT: the least share of calls that recovers so much. In brackets 95 % "
            "intervals by bootstrap over queries; lead: of the router's APGR over chance, else of the router over this line."
        ),
        "",
    ]
    names = {"apgr": "APGR", "lead": "lead", "cpt50": "CPT 50 %", "cpt80": "CPT 80 %", "cpt95": "CPT 95 %"}
    lines += _table(
        ["calls by", *names.values()],
        [
            [title, *(_interval(route["routers"][name].get(each)) for each in names)]
            for name, title in (
                ("router", "router"),
                ("length", "length of the query"),
                ("oracle", "who knows both answers"),
            )
        ],
    )
    units = [unit for unit, both in route["costs"].items() if None not in both]
    ends = {"small only": ("-", 0.0, route["small"], 0), "large only": ("-", 1.0, route["large"], 1)}
    rows: list[Row] = [
        [name, at, share, quality, float(end), *(route["costs"][unit][end] for unit in units)]
        for name, (at, share, quality, end) in ends.items()
    ]
    rows[1:1] = [
        [
            name,
            f"{route['thresholds'][name]:.6g}",
            each["share"],
            each["quality"],
            _interval(each["pgr"]),
            *(each["costs"][unit] for unit in units),
        ]
        for name, each in route["at"].items()
    ]
    return lines + _table(
        ["asked", "score from", "large's calls", "quality", "recovered", *(f"{u} a query" for u in units)], rows
    )


def _interval(value: Sequence[float | None] | None) -> str:
    """A value with its interval, or an interval alone."""
    if value is None or None in value:
        return "-"
    shown = [f"{each:.2f}" for each in value]
    return f"{shown[0]} to {shown[1]}" if len(shown) == 2 else f"{shown[0]} ({shown[1]} to {shown[2]})"


def _trials(trials: Mapping[str, Any] | None) -> list[str]:
    if not trials:
        return []
    lines = [
        "## Search",
        "",
        (
            f"Settings were chosen by {trials['measure']} on {trials['rows']} documents that are neither trained on in the "
            "search nor held out."
        ),
        "",
    ]
    names = sorted(trials["tried"][0]["settings"])
    return lines + _table(
        [*names, trials["measure"], ""],
        [
            [*(t["settings"][n] for n in names), t["value"], "chosen" if t["chosen"] else ""]
            for t in trials["tried"]
        ],
    )  # fmt: skip


def render(report: Mapping[str, Any]) -> str:
    """The card in Markdown, from the report that ``train.classifier`` returns."""
    lines = [f"# Classifier `{report['name']}`", ""]
    if report["about"]:
        lines += [report["about"], ""]
    learned = {
        "good": "good against bad",
        "grade": "grades 0-5; the score is the expected grade / 5",
        "share": "soft labels; the score is the expected share",
    }[report["target"]]
    lines += [f"A {report['model']} model of {report['bytes']:,} bytes that learned {learned}.", ""]
    held, target = report["held_out"], report["target"]
    lines += [
        *_data(report),
        *_tests(report["tests"], report["tests_grades"], target),
        "## On held-out documents",
        "",
        "Of the sources that were trained on: documents of a source are more alike than a group of near copies is.",
        "",
        *_quality(held, report["grades"], target),
        "## What it confuses",
        "",
        *_confused(held),
        *_route(report.get("route")),
        *_folds(report["cross_fitted"], report["folds"]),
        *_judge(report["judge"], target),
        *_trials(report.get("search")),
    ]
    lines += ["## How it reads and was trained", ""]
    lines += _table(["setting", "value"], sorted(report["settings"].items()))
    return "\n".join(lines).rstrip("\n") + "\n"
