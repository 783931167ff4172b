"""What gives the chosen answer of a pair away without being better: length, opening words, lists, refusals. No stage.

A student that is trained on pairs learns whatever tells them apart, and the cheapest first (length: Singhal et al., arXiv
2310.03716). So each of these is asked alone to tell the chosen answer: of a pair, and of all answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.answers import refused
from curate.stages.strata import NONE

__all__ = ["FEATURES", "STRONG", "features", "shortcuts"]

FEATURES: Final = ("begin", "listed")
_OPENING: Final = r"^[\s#*>\-_\x60\"']*(?P<words>[^\s]+(?:\s+[^\s]+){0,2})"
"""Three words: "as an ai", "sure, here is", "here are some"."""
_MOST_OPENING: Final = 48
"""Characters of an opening that count."""
_LIST: Final = r"(?m)^\s*(?:[-*\x{2022}]|\d+[.)])\s+\S"
_BEGIN_CHARS: Final = 400
"""Characters of an answer in which its opening is, and a refusal if it is one."""
STRONG: Final = 0.65
"""How often a shortcut alone may be right of pairs before the report warns; at least with the lower end of its interval."""
_BAD_INTERVAL: Final = 0.5
_LEAST: Final = 8
"""Answers with an opening before it is listed."""
_ONE_SIDED: Final = 0.75
_MOST: Final = 12
"""Openings, and pairs of models, that are listed."""
_FEW: Final = 20
"""Pairs below which nothing is warned of."""

Bools = npt.NDArray[np.bool_]


def features(texts: pa.LargeStringArray | pa.ChunkedArray) -> dict[str, pa.Array]:
    """FEATURES of each answer: its first characters (large_string), and whether it has a list (bool); null of a null."""
    return {
        "begin": pc.utf8_slice_codeunits(texts, 0, _BEGIN_CHARS),
        "listed": pc.match_substring_regex(texts, _LIST),
    }


def _opening(begins: pa.ChunkedArray) -> list[str]:
    """The first words of each answer, in lower case, without marks in front."""
    words = pc.struct_field(pc.extract_regex(begins, _OPENING), "words")
    plain = pc.utf8_lower(pc.replace_substring_regex(words, r"\s+", " "))
    found: list[str] = pc.fill_null(pc.utf8_slice_codeunits(plain, 0, _MOST_OPENING), "").to_pylist()
    return found


def shortcuts(rows: pa.Table | None, tiers: Sequence[str]) -> dict[str, Any]:
    """What some pairs show, as plain values for a report.

    ``pairs`` and ``measured`` (how many these are of all); ``length``, ``opening``, ``list`` and ``refusal``: ``right``, how often it
    alone tells the chosen answer of a pair (where it says nothing, half), with a 95 % interval (``low``, ``high``), and ``auc``
    over all answers; ``longest_chosen``: share of pairs; ``tiers`` and ``models`` (``chosen > rejected``), each with ``pairs``,
    ``longest_chosen`` and ``opening``; ``openings`` that one side has far more often; ``warnings``, sentences.

    ``list`` and ``refusal`` are asked in the direction that is right more often; an opening by how often it was chosen among the
    other half of the pairs.

    Args:
        rows: a column ``tier``; ``id``; for ``chosen`` and ``rejected`` columns ``_by``, ``_chars`` and FEATURES; ``total``.
        tiers: their names, from easy to hard.
    """
    if rows is None or not rows.num_rows:
        return {"pairs": 0, "measured": 0, "warnings": []}
    sides = ("chosen", "rejected")
    chars = [rows.column(f"{side}_chars").to_numpy().astype(np.float64) for side in sides]
    longer = _half(chars[0], chars[1])
    begins = [rows.column(f"{side}_begin") for side in sides]
    opened = [_opening(begin) for begin in begins]
    scores = _opening_scores(opened, _folds(rows))
    by_opening = _half(*scores)
    listed = [_bools(rows, f"{side}_listed") for side in sides]
    refusals = [np.array([refused(text, "") for text in begin.to_pylist()], np.bool_) for begin in begins]
    found: dict[str, Any] = {
        "pairs": int(rows.column("total")[0].as_py()),
        "measured": rows.num_rows,
        "longest_chosen": _rounded(float((chars[0] > chars[1]).mean())),
        "length": _told(longer, *chars),
        "opening": _told(by_opening, *scores),
        "list": _flag(*listed),
        "refusal": _flag(*refusals),
        "openings": _openings(opened),
        "tiers": _split(rows.column("tier").to_pylist(), longer, by_opening, tiers),
        "models": _split(_models(rows), longer, by_opening, ()),
    }
    return {**found, "warnings": warnings(found)}


def _half(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 where the first is higher, a half where both are equal."""
    return np.where(first > second, 1.0, np.where(first == second, 0.5, 0.0))


def _told(
    right: npt.NDArray[np.float64], chosen: npt.NDArray[np.float64], rejected: npt.NDArray[np.float64]
) -> dict[str, Any]:
    from curate.quality.evaluate import roc_auc

    labels = np.repeat([1, 0], len(chosen))
    auc = roc_auc(labels, np.concatenate([chosen, rejected]))
    return {**_share(right), "auc": _rounded(auc if auc is not None else 0.5)}


def _share(right: npt.NDArray[np.float64]) -> dict[str, Any]:
    """How often something is right, with Wilson's interval; halves count as halves."""
    from curate.quality.calibrate import wilson

    rate = wilson(round(float(right.sum())), len(right))
    return {
        "right": _rounded(float(right.mean())) if len(right) else None,
        "low": _rounded(rate.low),
        "high": _rounded(rate.high),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _bools(rows: pa.Table, name: str) -> Bools:
    return np.asarray(pc.fill_null(rows.column(name), False).to_numpy(), np.bool_)


def _flag(chosen: Bools, rejected: Bools) -> dict[str, Any]:
    """Of something that an answer has or has not."""
    sides = [chosen.astype(np.float64), rejected.astype(np.float64)]
    way = 1 if sides[0].sum() >= sides[1].sum() else -1
    told = _told(_half(way * sides[0], way * sides[1]), way * sides[0], way * sides[1])
    return {**told, "chosen": _rounded(float(sides[0].mean())), "rejected": _rounded(float(sides[1].mean()))}


# -- openings ----------------------------------------------------------------------------------------------------


def _folds(rows: pa.Table) -> Bools:
    """Two halves of the pairs, by their ids."""
    from curate.text.arrow import fixed

    return (fixed(rows.column("id"))[:, 15] & 1).astype(np.bool_)


def _opening_scores(opened: Sequence[Sequence[str]], fold: Bools) -> list[npt.NDArray[np.float64]]:
    """How much each answer's opening speaks for it: the log odds of being chosen among pairs of the other half."""
    counts = [(Counter[str](), Counter[str]()) for _ in range(2)]
    for side, texts in enumerate(opened):
        for half, text in zip(fold.tolist(), texts, strict=True):
            counts[half][side][text] += 1

    def score(text: str, half: int) -> float:
        chosen, rejected = counts[1 - half]
        return float(np.log((chosen[text] + 0.5) / (rejected[text] + 0.5)))

    return [np.array([score(text, half) for text, half in zip(texts, fold.tolist(), strict=True)]) for texts in opened]


def _openings(opened: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Openings that stand on one side far more often than on the other, those of most answers first."""
    chosen, rejected = (Counter(texts) for texts in opened)
    found: list[dict[str, Any]] = []
    for text in sorted({*chosen, *rejected}):
        both = chosen[text] + rejected[text]
        if text and both >= _LEAST and max(chosen[text], rejected[text]) >= _ONE_SIDED * both:
            found.append({"opening": text, "chosen": chosen[text], "rejected": rejected[text]})
    found.sort(key=lambda one: (-abs(one["chosen"] - one["rejected"]), one["opening"]))
    return found[:_MOST]


# -- by tier and models --------------------------------------------------------------------------------------------


def _models(rows: pa.Table) -> list[str]:
    pairs = (pc.fill_null(rows.column(f"{side}_by"), NONE).to_pylist() for side in ("chosen", "rejected"))
    return [f"{chosen} > {rejected}" for chosen, rejected in zip(*pairs, strict=True)]


def _split(
    of: Sequence[str | None], longer: npt.NDArray[np.float64], opening: npt.NDArray[np.float64], order: Sequence[str]
) -> list[dict[str, Any]]:
    """By group, its ``name``: pairs, and how often length and opening are right; in an order, or the largest first."""
    where: dict[str, list[int]] = {}
    for row, name in enumerate(of):
        where.setdefault(name or "", []).append(row)
    names = [name for name in order if name in where] or sorted(where, key=lambda n: (-len(where[n]), n))[:_MOST]
    return [
        {
            "name": name,
            "pairs": len(where[name]),
            "length": _share(longer[where[name]]),
            "opening": _share(opening[where[name]]),
        }
        for name in names
    ]


def warnings(found: Mapping[str, Any]) -> list[str]:
    """Shortcuts that are right too often, each in a sentence."""
    if found["measured"] < _FEW:
        return []
    said = []
    for name, what in (
        ("length", "the longer answer"),
        ("opening", "the first words"),
        ("list", "a list, or none"),
        ("refusal", "a refusal"),
    ):
        right, low = found[name]["right"], found[name]["low"]
        if right >= STRONG and low > _BAD_INTERVAL:
            said.append(f"{name} alone tells the chosen answer of {right:.0%} of pairs ({what})")
        elif name == "length" and right <= 1 - STRONG and found[name]["high"] < _BAD_INTERVAL:
            said.append(f"length alone tells the chosen answer of {1 - right:.0%} of pairs (the shorter answer)")
    return said
