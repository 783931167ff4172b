"""route.answers: what a small and a large model said to the same queries, and which queries need the large one."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.quality.sample import ranks_within
from curate.stages.base import AT, KEY, PART, ROW, VERDICTS, Context, Global, Phase, Read, Span
from curate.stages.chat import last_answers
from curate.stages.compared import BY, ORDER, SCORED, answers_of
from curate.stages.edges import addresses, parts_and_rows
from curate.stages.registry import register
from curate.stages.stated import stated_terms, strictest_of
from curate.stages.strata import columns_of, fields_of
from curate.stages.terms import UNSTATED
from curate.text.batch import Batch

Mask = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]

DRAWS: Final = 64
"""Of a model's answers to one query at most so many count, those with the lowest content hash: pairs grow with their square."""
_BYTES_PER_TOKEN: Final = 4
"""Where nobody counted the tokens of an answer: English prose under vocabularies of 50,000 pieces."""
_QUERIES: Final = "queries"
_NAMED: Final = "named"
_SIDES: Final = ("small", "large")
_DECISION: Final = 2
_NUMBERS: Final[Mapping[str, pa.DataType]] = {
    "small_score": pa.float64(),
    "large_score": pa.float64(),
    "gap": pa.float64(),
    "label": pa.int8(),
    "soft": pa.float64(),
    "small_tokens": pa.float64(),
    "large_tokens": pa.float64(),
    "small_dollars": pa.float64(),
    "large_dollars": pa.float64(),
}
_TEXTS: Final[Mapping[str, pa.DataType]] = {
    "small_model": pa.string(),
    "large_model": pa.string(),
    "small_answer": pa.large_string(),
    "large_answer": pa.large_string(),
    "terms": pa.string(),
}
_DECIDED: Final = pa.schema([*VERDICTS, ("kept", pa.bool_()), ("large", pa.uint64()), *_NUMBERS.items()])
"""What became of each answer: ``kept`` where it stands for its query; ``large``: then the address of the large model's."""
_SAID: Final = pa.schema([("model", pa.string()), ("answer", pa.large_string()), ("terms", pa.string())])
"""Of an answer that is shown: the model, its words and terms."""
_MET: Final = pa.schema([(KEY, pa.uint64()), ("kind", pa.uint8()), *_SAID, *_DECIDED])
"""What comes to a row that is decided: ``kind`` _DECISION, what became of it; else an answer that it shows, by number of _SIDES."""


@register("route.answers")
class RouteAnswers(Global):
    """Put the answers of a small and a large model to the same query into one row, and label which queries need the large one.

    Answers are of one query when ``meta.query`` says so. Several answers of a model to a query are draws, and averaged. Of
    each query stays the small model's answer with the lowest content_hash (then id): its text, with both models' mean scores
    beside it, ``gap`` (large minus small), what an answer costs (``tokens``: those that ``meta.completion_tokens`` says, else a
    fourth of the answer's bytes; ``dollars``), both answers' words, and ``terms``, the strictest of both. ``chats.text`` with
    ``show: query`` then makes the text the query, which is what a router reads.

    Labels are those of Hybrid LLM (arXiv 2404.14618), 1 where it says 0: there a query is easy.

    - ``label`` (hard): 1 where the large model's mean score is better by more than ``relax``; gaps are
      rounded to nine digits behind the point.
    - ``soft``: the share of pairs of draws, one of each model, in which it is. With one draw each it is the label; with a
      ``width`` each pair counts 1 / (1 + exp(-(gap - relax) / width)) instead, the chance that a Bradley-Terry model gives.
    - relaxed: either of them with ``relax`` above 0: the small model's answer may be worse by so much. Hybrid LLM takes the
      value at which labels differ most; for hard labels that is the median gap (``curate inspect --signal`` shows it).
    """

    revision: ClassVar[int] = 2
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "no_query": "`meta.query` does not say what was answered",
        "other_model": "it is neither the small model's answer nor the large one's",
        "no_score": "it has no score",
        "one_sided": "only one of the two models has an answer with a score to its query",
        "compared": "another answer to its query stands for both, the detail names it",
    }

    small: str = Field(min_length=1, description="the small model: a value of `by`; a pattern (*, ?) for several")
    large: str = Field(min_length=1, description="the large model")
    by: str = Field(
        BY,
        description="what tells who answered: `meta.FIELD`, or `source`, which is the step where models wrote the answers",
    )
    score: str = Field(
        SCORED,
        description="how good an answer is, more is better: a column such as 'judge.score', or `meta.FIELD` (true: 1)",
    )
    relax: float = Field(0.0, description="the small model's answer is good enough if it is worse by at most so much")
    width: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="soft labels by a logistic curve of this width instead of by counting",
    )

    @model_validator(mode="after")
    def _two(self) -> RouteAnswers:
        if self.small == self.large:
            raise ValueError(
                f"'{self.small}' can't be both models: where they have one name, tell them apart 'by: source'"
            )
        return self

    def reads(self) -> frozenset[str]:
        """The columns of the score, and of who answered."""
        return columns_of(self.score) | columns_of(self.by)

    def adds(self) -> Mapping[str, pa.DataType]:
        """Scores, labels, costs and answers; see the class."""
        return {**_NUMBERS, **_TEXTS}

    def phases(self) -> tuple[Phase, ...]:
        """By query; then where the answers that are shown lie; then those come to the row that stays."""
        read = tuple(sorted({"id", "content_hash", "meta", *(columns_of(self.by) | columns_of(self.score))}))
        shown = Read(self._shown, at=_NAMED, columns=("meta", "text"), row_bytes=4096)
        return (
            Phase(_QUERIES, (Read(self._map, columns=read),), self._compare, ORDER),
            Phase(_NAMED, (Read(self._names, _QUERIES),), self._as_they_are, (PART, ROW)),
            Phase("verdicts", (shown, Read(self._decisions, _QUERIES)), self._verdicts, (PART, ROW, "kind")),
        )

    # -- by query ------------------------------------------------------------------------------------------------

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        return answers_of(docs, self.score, self.by)

    def _compare(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        rows = rows.combine_chunks()
        side = self._sides(rows.column("by").combine_chunks())
        there = np.asarray(rows.column("query").combine_chunks().is_valid())
        scored = np.asarray(rows.column("score").combine_chunks().is_valid())
        usable = there & scored & (side >= 0)
        group = np.cumsum(_begins(rows)) - 1
        counted = np.flatnonzero(usable)
        counted = counted[np.lexsort((counted, side[counted], group[counted]))]  # query by query, small before large
        counted = counted[ranks_within([group[counted], side[counted]], len(counted)) < DRAWS]
        draws = np.zeros((int(group[-1]) + 1 if len(group) else 0, 2), np.int64)
        np.add.at(draws, (group[counted], side[counted]), 1)
        both = (draws[:, 0] > 0) & (draws[:, 1] > 0)
        counted = counted[both[group[counted]]]
        starts = counted[_changed(group[counted], side[counted])].reshape(-1, 2)
        reason = np.full(len(side), "compared", object)
        for why, holds in (
            ("one_sided", ~both[group]),
            ("no_score", ~scored),
            ("other_model", side < 0),
            ("no_query", ~there),
        ):
            reason[holds] = why
        reason[starts[:, 0]] = None
        return self._table(rows, group, reason, starts, self._labels(rows, counted, group, side))

    def _sides(self, by: pa.StringArray) -> I64:
        """int64[n]: 0 for the small model, 1 for the large one, -1 for others."""
        coded = by.dictionary_encode()
        names = [
            next((n for n, wanted in enumerate((self.small, self.large)) if fnmatchcase(name, wanted)), -1)
            for name in coded.dictionary.to_pylist()
        ]
        return np.array([*names, -1], np.int64)[np.asarray(pc.fill_null(coded.indices, -1))]

    def _labels(self, rows: pa.Table, counted: I64, group: I64, side: I64) -> dict[str, npt.NDArray[Any]]:
        """Means over draws and labels of each query that both answered, in order; rows of ``counted`` stand query by query."""
        from curate.text.opponents import gap_of

        at = np.cumsum(_changed(group[counted])) - 1
        queries = int(at[-1]) + 1 if len(at) else 0
        cell = at * 2 + side[counted]
        draws = np.bincount(cell, minlength=2 * queries).reshape(-1, 2)

        def means(name: str) -> npt.NDArray[np.float64]:
            """float64[queries, 2], NaN where no draw says it."""
            values = pc.fill_null(rows.column(name), float("nan")).to_numpy()[counted]
            known = ~np.isnan(values)
            sums, counts = (
                np.bincount(cell[known], weights, 2 * queries).reshape(-1, 2) for weights in (values[known], None)
            )
            return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

        score, tokens, dollars = means("score"), means("tokens"), means("dollars")
        gap = gap_of(score[:, 1], score[:, 0])
        return {
            "small_score": score[:, 0], "large_score": score[:, 1], "gap": gap,
            "label": (gap > gap_of(self.relax, 0.0)).astype(np.int8),
            "soft": self._soft(rows.column("score").to_numpy()[counted], draws, queries),
            "small_tokens": tokens[:, 0], "large_tokens": tokens[:, 1],
            "small_dollars": dollars[:, 0], "large_dollars": dollars[:, 1],
        }  # fmt: skip

    def _soft(self, scores: npt.NDArray[np.float64], draws: I64, queries: int) -> npt.NDArray[np.float64]:
        """float64[queries]: the share of pairs in which the large model is needed. Scores stand as small ones of a query,
        then its large ones."""
        from curate.text.opponents import gap_of

        first = np.concatenate(([0], np.cumsum(draws.sum(axis=1))[:-1])) if queries else np.zeros(0, np.int64)
        pairs = draws[:, 0] * draws[:, 1]
        query = np.repeat(np.arange(queries), pairs)
        number = np.arange(len(query)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
        large = draws[query, 1]
        high, low = first[query] + draws[query, 0] + number % large, first[query] + number // large
        beyond = gap_of(gap_of(scores[high], scores[low]), self.relax)
        counts = (beyond > 0).astype(np.float64)
        if self.width:
            counts = 1 / (1 + np.exp(np.minimum(-beyond / self.width, 700)))
        return np.bincount(query, counts, queries) / np.maximum(pairs, 1)

    def _table(
        self, rows: pa.Table, group: I64, reason: npt.NDArray[Any], starts: I64, found: Mapping[str, npt.NDArray[Any]]
    ) -> pa.Table:
        """_DECIDED, from what each query is labelled and the first answer of each model to it (``starts``)."""
        from curate.text.hashing import hex_ids

        place = np.full(int(group[-1]) + 1 if len(group) else 0, -1, np.int64)
        place[group[starts[:, 0]]] = np.arange(len(starts))
        query = place[group]
        kept = np.zeros(len(group), np.bool_)
        kept[starts[:, 0]] = True
        ids = hex_ids(rows.column("id").combine_chunks().take(pa.array(starts[:, 0])))
        named = pa.array(np.where(query >= 0, query, 0), mask=(query < 0) | (reason != "compared"))
        at = pa.array(np.where(kept, query, 0), mask=~kept)
        values = {name: pa.array(v, from_pandas=True).take(at).cast(_NUMBERS[name]) for name, v in found.items()}
        return pa.table(
            {
                PART: rows.column(PART),
                ROW: rows.column(ROW),
                "reason": pa.array(reason, pa.string()),
                "detail": pc.binary_join_element_wise(pa.scalar('{"kept": "'), ids.take(named), pa.scalar('"}'), ""),
                "kept": kept,
                "large": pa.array(addresses(rows)[starts[:, 1]]).take(at),
                **values,
            },
            _DECIDED,
        )

    # -- the answers that are shown ------------------------------------------------------------------------------

    def _names(self, decided: Batch, ctx: Context) -> pa.Table:
        """The address of each answer that is shown, with whose it is and the address of the row that stays."""
        kept = decided.rows.filter(decided.column("kept"))
        stays = addresses(kept)
        shown = np.concatenate([stays, kept.column("large").to_numpy()])
        kind, stays = np.repeat(np.arange(2, dtype=np.uint8), len(stays)), np.tile(stays, 2)
        return pa.table({KEY: _spread(stays), **parts_and_rows(shown), "kind": kind, "stays": stays})

    def _as_they_are(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return rows.drop_columns([KEY])

    def _shown(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        at = named.column(AT).combine_chunks()
        meta = docs.column("meta")
        said = {
            "model": fields_of(meta, ("model",))[0],
            "answer": pc.coalesce(last_answers(meta), docs.text),
            "terms": pc.fill_null(stated_terms(meta), UNSTATED),
        }
        columns = {name: each.take(at) for name, each in said.items()}
        return _met(named.column("stays").to_numpy(), {"kind": named.column("kind"), **columns})

    def _decisions(self, decided: Batch, ctx: Context) -> pa.Table:
        kind = pa.array(np.full(len(decided), _DECISION), pa.uint8())
        columns = {name: decided.column(name) for name in _DECIDED.names}
        return _met(addresses(decided.rows), {"kind": kind, **columns})

    def _verdicts(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        rows = rows.combine_chunks()
        kind = rows.column("kind").to_numpy()
        decided = rows.filter(pa.array(kind == _DECISION))
        kept = np.asarray(decided.column("kept").combine_chunks())
        at = pa.array(np.where(kept, np.cumsum(kept) - 1, 0), mask=~kept)
        small, large = (rows.filter(pa.array(kind == n)).combine_chunks() for n in range(2))
        columns: dict[str, Any] = {name: decided.column(name) for name in (*VERDICTS.names, *_NUMBERS)}
        for name, side in zip(_SIDES, (small, large), strict=True):
            answer = side.column("answer").combine_chunks()
            guess = pc.divide(pc.binary_length(answer).cast(pa.float64()), float(_BYTES_PER_TOKEN))
            columns[f"{name}_tokens"] = pc.coalesce(columns[f"{name}_tokens"], guess.take(at))
            columns[f"{name}_answer"] = answer.take(at)
            columns[f"{name}_model"] = side.column("model").combine_chunks().take(at)
        columns["terms"] = strictest_of([small.column("terms"), large.column("terms")]).take(at)
        return pa.table({name: columns[name] for name in self.verdicts().names}, self.verdicts())


def _begins(rows: pa.Table) -> Mask:
    """bool[n]: answers at which another query begins; one without a query is alone."""
    from curate.text.arrow import fixed

    query = rows.column("query").combine_chunks()
    there = np.asarray(query.is_valid())
    halves = np.ascontiguousarray(fixed(pc.fill_null(query, b"\0" * 16))).view(np.uint64)
    found = ~there
    found[:1] = True
    found[1:] |= (halves[1:] != halves[:-1]).any(axis=1) | ~there[:-1]
    return found


def _changed(*keys: npt.NDArray[Any]) -> Mask:
    """bool[n]: where one of some arrays differs from the place before; at the first place, too."""
    found = np.zeros(len(keys[0]), np.bool_)
    found[:1] = True
    for key in keys:
        found[1:] |= key[1:] != key[:-1]
    return found


def _spread(stays: npt.NDArray[np.uint64]) -> pa.Array:
    from curate.text.pairs import spread

    return pa.array(spread(stays), pa.uint64())


def _met(stays: npt.NDArray[np.uint64], columns: Mapping[str, Any]) -> pa.Table:
    """_MET: what comes to the rows with some addresses, null where nothing is said."""
    known = {KEY: _spread(stays), **parts_and_rows(stays), **columns}
    return pa.table({f.name: known[f.name] if f.name in known else pa.nulls(len(stays), f.type) for f in _MET}, _MET)
