"""What `curate calibrate` says: how scores are distributed, and what each of some thresholds would keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, RecipeError
from curate.quality.calibrate import Ranking, Rate, precision_recall
from curate.quality.routing import measure
from curate.report.inspect import Distribution, distribution
from curate.report.scored_rows import ScoredRows, Shown
from curate.stages.amounts import parse_count, parse_share, short_count

GRID: Final = ("50%", "30%", "20%", "10%", "5%", "1%")
"""Shares that are looked at unless others are asked for."""
ROUTED: Final = ("70%", "50%", "30%", "20%", "10%")
"""Of a router: shares of queries that go to the large model."""
ROUTING_KEY: Final = 0x726F757465
"""Of the draws that intervals are from: the same every time."""
MOST_SOURCES: Final = 20
"""Sources that are told apart; the others are taken together."""
BYTES_PER_TOKEN: Final = 4.0
"""Unless a tokenizer says otherwise: English prose under vocabularies of 50,000 pieces; code has about 3."""


@dataclass(frozen=True)
class Tokens:
    """How tokens are counted: from a column, or as bytes / ``bytes_per_token``; ``why`` says where that is from."""

    column: str | None = None
    bytes_per_token: float = BYTES_PER_TOKEN
    why: str = "the default"


@dataclass(frozen=True)
class Candidate:
    """A threshold, and what it would keep.

    Attributes:
        asked: as it was asked for: ``10%``, ``0.62``, ``6B``.
        at_least: keeps these rows; of a share or tokens, with the last of them all that have its score (``equal`` more).
        documents, bytes, tokens: kept; ``_share`` of all rows with a score.
        precision, recall: on labelled rows, None without labels.
        sources: by source, the share of its rows that is kept (None where it has no row with a score).
        recipe: settings of ``select.where`` that keep these rows.
        routed: what quality and cost are when these rows go to the large model (routing.measure); None where nobody asked.
        above, below: the documents nearest to it on either side, from high to low.
    """

    asked: str
    at_least: float
    equal: int
    documents: int
    documents_share: float
    bytes: int
    bytes_share: float
    tokens: int
    tokens_share: float
    precision: Rate | None
    recall: Rate | None
    sources: dict[str, float | None]
    recipe: str
    above: list[Shown]
    below: list[Shown]
    routed: dict[str, Any] | None = None


@dataclass(frozen=True)
class Calibration:
    """All of it.

    Attributes:
        rows: rows with a score; ``missing`` have none (null or NaN).
        labelled: good and bad ones among the rows with a score; None without labels.
        overall, sources: how scores are distributed, in all and by source, the largest first, with one pair of ends.
        bytes_per_token: None where tokens were counted.
        route: what the scores are worth as a router's (routing.measure, without what the candidates have); None where nobody asked.
    """

    column: str
    rows: int
    missing: int
    bytes: int
    tokens: int
    bytes_per_token: float | None
    tokens_from: str
    labelled: dict[str, int] | None
    set_aside: dict[str, int]
    overall: Distribution
    sources: list[Distribution]
    candidates: list[Candidate]
    notes: list[str] = field(default_factory=list)
    route: dict[str, Any] | None = None


def calibrate(rows: ScoredRows, at: Sequence[str], documents: int, tokens: Tokens) -> Calibration:
    """Look at some thresholds: a share (``10%``), a score (``0.62``), tokens (``6B``); none asked for: those of GRID.

    Args:
        rows: scored rows.
        at: thresholds, as people write them.
        documents: how many to show around each.
        tokens: how tokens are counted.

    Raises RecipeError for what is no threshold, InputError where no row has a score.
    """
    ranking = Ranking(rows.score, rows.tie)
    missing = len(rows.score) - len(ranking)
    if not len(ranking):
        said = f"none of {len(rows.score):,} documents has a score" if len(rows.score) else "there are no documents"
        raise InputError(said, place=rows.column, cure="see 'curate inspect' for what the step measured")
    view = _View(rows, ranking, tokens, *_groups(rows, ranking))
    overall = distribution("", "all", ranking.scores)
    if overall is None:
        raise InputError("all scores are infinite", place=rows.column, cure="look at what the step measured")
    ends = (overall.low, overall.high)
    sources = [distribution("", name, rows.score[view.group == i], ends=ends) for i, name in enumerate(view.names)]
    candidates = [view.candidate(each, documents) for each in at or (GRID if rows.answers is None else ROUTED)]
    route = _routed(rows, candidates)
    return Calibration(
        column=rows.column,
        rows=len(ranking),
        missing=missing,
        bytes=int(rows.size[ranking.order].sum()),
        tokens=view.tokens(np.ones(len(rows.score), bool)),
        bytes_per_token=tokens.bytes_per_token if rows.tokens is None else None,
        tokens_from=tokens.column or tokens.why,
        labelled=_labelled(rows),
        set_aside=rows.set_aside,
        overall=overall,
        sources=[s for s in sources if s is not None],
        candidates=[replace(c, routed=route["at"][c.asked]) if route else c for c in candidates],
        notes=_notes(rows, missing),
        route={name: value for name, value in route.items() if name != "at"} if route else None,
    )


def _routed(rows: ScoredRows, candidates: Sequence[Candidate]) -> dict[str, Any] | None:
    """What the scores are worth as a router's: on rows with a score to which both models' answers have one, too."""
    if rows.answers is None:
        return None
    mine = rows.answers.known & np.isfinite(rows.score)
    if not mine.any():
        raise InputError(
            "no document has a score, and two answers with scores",
            place=rows.column,
            cure="see 'curate stages route.answers'",
        )
    score, size = rows.score[mine], rows.size[mine].astype(np.float64)
    strong = {each.asked: score >= each.at_least for each in candidates}
    return measure({"score": score, "length": size}, rows.answers.only(mine), strong, ROUTING_KEY)


def _notes(rows: ScoredRows, missing: int) -> list[str]:
    lost = int(np.isinf(rows.score).sum())
    return [
        *([f"{missing:,} documents have no score (null or NaN); select.where drops them"] if missing else []),
        *([f"{lost:,} scores are infinite, and in no distribution"] if lost else []),
        *rows.notes,
    ]


def _labelled(rows: ScoredRows) -> dict[str, int] | None:
    if rows.label is None:
        return None
    there = ~np.isnan(rows.score)
    return {name: int((there & (rows.label == mark)).sum()) for name, mark in (("good", 1), ("bad", 0))}


def _groups(rows: ScoredRows, ranking: Ranking) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The largest sources by name, the rest as one, and which of them each row with a score has (-1: no score)."""
    counts = np.bincount(rows.source[ranking.order], minlength=len(rows.sources))
    order = [i for i in sorted(range(len(counts)), key=lambda i: (-counts[i], rows.sources[i])) if counts[i]]
    shown = order if len(order) <= MOST_SOURCES else order[: MOST_SOURCES - 1]
    names = [rows.sources[i] for i in shown]
    place = np.full(len(rows.sources), len(shown), np.int64)
    place[shown] = np.arange(len(shown))
    if len(order) > len(shown):
        names.append(f"{len(order) - len(shown)} others")
    group = place[rows.source]
    group[np.isnan(rows.score)] = -1
    return names, group


@dataclass
class _View:
    rows: ScoredRows
    ranking: Ranking
    how: Tokens
    names: list[str]
    group: npt.NDArray[np.int64]

    def tokens(self, keeps: npt.NDArray[np.bool_]) -> int:
        """Tokens of the rows that are kept and have a score."""
        here = keeps & ~np.isnan(self.rows.score)
        if self.rows.tokens is not None:
            return int(self.rows.tokens[here].sum())
        return math.floor(int(self.rows.size[here].sum()) / Fraction(repr(self.how.bytes_per_token)))

    def candidate(self, asked: str, documents: int) -> Candidate:
        """What a threshold keeps."""
        count, at_least, recipe = self._place(asked)
        rows, ranking = self.rows, self.ranking
        keeps = np.zeros(len(rows.score), bool)
        keeps[ranking.order[:count]] = True
        size, everything = int(rows.size[keeps].sum()), int(rows.size[ranking.order].sum())
        tokens, all_tokens = self.tokens(keeps), self.tokens(np.ones(len(keeps), bool))
        rates: tuple[Rate, Rate] | tuple[None, None] = (None, None)
        if rows.label is not None:
            rates = precision_recall(np.where(np.isnan(rows.score), np.int8(-1), rows.label), keeps)
        first, half = max(0, count - documents // 2), documents - documents // 2
        near = rows.show(ranking.order[first : count + half].tolist()) if documents else []
        return Candidate(
            asked=asked,
            at_least=at_least,
            equal=ranking.at_least(at_least) - count,
            documents=count,
            documents_share=count / len(ranking),
            bytes=size,
            bytes_share=size / everything if everything else 0.0,
            tokens=tokens,
            tokens_share=tokens / all_tokens if all_tokens else 0.0,
            precision=rates[0],
            recall=rates[1],
            sources=self._sources(keeps),
            recipe=recipe,
            above=near[: count - first],
            below=near[count - first :],
        )

    def _place(self, asked: str) -> tuple[int, float, str]:
        """How many rows what was asked for keeps, the threshold there, and how a recipe asks for it."""
        said = asked.strip()
        column = f"column: {self.rows.column}"
        try:
            if said.endswith("%"):
                share = parse_share(said)
                if share > 0:
                    kept = self.ranking.top(share)
                    return kept, self.ranking.threshold(kept), f"{{{column}, top: {said}}}"
            elif said[-1:].upper() in "KMBGT" and said[:-1]:
                count = parse_count(said)
                if count > 0:
                    kept = self._budget(count)
                    return kept, self.ranking.threshold(kept), f"{{{column}, tokens: {said}{self._unit()}}}"
            elif math.isfinite(value := float(said.removeprefix("="))):
                return self.ranking.at_least(value), value, f"{{{column}, at_least: {value!r}}}"
        except ValueError:
            pass
        raise RecipeError(
            f"--at '{said[:40]}' is no threshold", cure="give a share (10%), a score (0.62) or tokens (6B)"
        )

    def _unit(self) -> str:
        if self.how.column is not None:
            return f", tokens_column: {self.how.column}"
        return f", bytes_per_token: {self.how.bytes_per_token!r}"

    def _budget(self, count: int) -> int:
        if self.rows.tokens is not None:
            return self.ranking.budget(self.rows.tokens, count)
        return self.ranking.budget(self.rows.size, math.floor(count * Fraction(repr(self.how.bytes_per_token))))

    def _sources(self, keeps: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        there = self.group >= 0
        whole = np.bincount(self.group[there], minlength=len(self.names))
        kept = np.bincount(self.group[there & keeps], minlength=len(self.names))
        return {n: int(k) / int(w) if w else None for n, k, w in zip(self.names, kept, whole, strict=True)}


def tokens_of(run: Any, wanted: str | None) -> Tokens:
    """Bytes per token as a run's tokenizer measured them: of the step that is named, else of the only one there is.

    Raises RecipeError where the named step is no tokenizer.
    """
    measured = {
        s.id: float(found["all"]["bytes_per_token"])
        for s in run.steps.values()
        if (found := s.record.report.get("bytes_per_token")) and found["all"]["bytes_per_token"]
    }
    if wanted is not None and wanted not in measured:
        raise RecipeError(
            f"the run has no tokenizer '{wanted}'",
            place=str(run.store),
            cure=f"it has: {', '.join(measured) or 'none'}",
        )
    step = wanted or (next(iter(measured)) if len(measured) == 1 else None)
    if step is None:
        return Tokens()
    return Tokens(None, round(measured[step], 2), f"as the run's step '{step}' measured")


def tokens_line(found: Calibration) -> str:
    """How tokens were counted, as a sentence."""
    if found.bytes_per_token is None:
        return f"tokens from column {found.tokens_from}"
    return f"tokens estimated: {found.bytes_per_token:g} bytes each, {found.tokens_from}"


__all__ = ["BYTES_PER_TOKEN", "GRID", "Calibration", "Candidate", "Tokens", "calibrate", "short_count", "tokens_of"]
