"""pair.answers: of the answers to one query a better and a worse one, side by side in a row."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.schema import ID_TYPE
from curate.stages.base import AT, DOCUMENTS, KEY, VERDICTS, Context, Global, Phase, Read, Span
from curate.stages.chat import last_answers
from curate.stages.compared import BY, ORDER, SCORED, answers_of
from curate.stages.edges import addresses, parts_and_rows
from curate.stages.registry import register
from curate.stages.shortcuts import FEATURES, features, shortcuts
from curate.stages.sorted_rows import changes, first_alike, id_changes
from curate.stages.stated import TERMS, stated_terms, strictest_of
from curate.stages.strata import NONE, columns_of, fields_of
from curate.stages.terms import UNSTATED
from curate.stages.tiers import Tiers
from curate.text.batch import Batch
from curate.text.opponents import Pairing, Rule

_NO_ANSWER: Final = -1
"""Characters of a document that is no answer."""
_SAMPLE: Final = 8_000
"""Pairs, drawn by hash of their chosen answers' ids, that shortcuts are measured on: shares to about 1 %."""
_DRAW: Final = 0x7061697273
_PAIR: Final = pa.schema(
    [
        ("gap", pa.float64()),
        ("tier", pa.string()),
        ("chosen_score", pa.float64()),
        ("rejected_score", pa.float64()),
        ("rejected_id", ID_TYPE),
    ]
)
"""What is known of a pair before its texts are, and is a column afterwards."""
_WHO: Final = ("chosen_by", "rejected_by")
"""Strings: who answered, as ``by`` says; for the report alone."""
_CHOSEN: Final = 0
_REJECTED: Final = 1


@register("pair.answers")
class PairAnswers(Global):
    """Make pairs of answers to one query: the chosen one stays, with the rejected one beside it.

    Documents are answers as ``meta.query``, ``meta.messages`` and ``meta.model`` say. Which of two is better is told by
    ``score`` (a column as ``judge.score``, or ``meta.FIELD``: the higher one), by ``strength`` (models, the strongest first), or
    by both: then the stronger model's answer must have the higher score, too. The gap of a pair is the difference of its
    scores, to nine digits behind the point; without scores that of the models' places in ``strength``. Equal scores, equal texts, and answers of one model
    (unless ``same_model``) never pair.

    An answer is chosen in one pair at most, and rejected in one at most; it may be either in different pairs, and with ``tiers``
    be rejected in several. Which pairs a query has, up to ``pairs`` of them, ``opponent`` says:

    - ``widest``: the widest gap of all first, then the widest of what is left.
    - ``adjacent``: the best answer with the next one that is at least ``min_gap`` below it, then the second best.
    - ``tiers``: one of each tier in turn, the easiest first, each of the best answer that is left, with the widest gap there.

    Where gaps are equal the better answer comes first, and of equal answers the one with the lower content_hash, then the lower id:
    what is made depends on content alone. Of a query with more than 64 different answers the 32 best and the 32 worst count.

    ``tiers`` are named from easy to hard, each with its least gap, or with the models that make it (``easy: ["gpt-4* > opt-*"]``).
    The first one that fits a pair is its tier; a pair that fits none is not made.

    A chosen row gets ``rejected`` (the text of the answer), ``rejected_id``, ``rejected_model``, ``rejected_terms``, ``terms`` (as
    strict as those of both answers: writers refuse by them), ``chosen_score``, ``rejected_score``, ``gap``, ``tier``, ``chosen_chars`` and
    ``rejected_chars``. The report says how well length, the opening words, lists and refusals alone tell chosen from rejected.
    """

    revision: ClassVar[int] = 2
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "no_answer": "its `meta` names no query, or its messages do not end with something that the assistant said",
        "unranked": "it has no score, or its model is none of `strength`",
        "same_answer": "a better ranked answer to its query has the same text; the detail names it",
        "rejected": "it stands beside the answer that was chosen over it, which the detail names with gap and tier",
        "no_gap": "no other answer to its query is better or worse by `min_gap`, of another model and of a tier",
        "length_ratio": "but for `max_length_ratio` it would make a pair",
        "unpaired": "no other answer to its query is left, it has as many `pairs` as it may have, or it is in the middle of"
        " more than 64",
    }

    score: str | None = Field(
        None,
        description="how good an answer is: a column of numbers as judge.score, or meta.FIELD; the higher the better",
    )
    strength: list[str] = Field(
        [], description="models from the strongest to the weakest, as `by` names them; patterns (*, ?) allowed"
    )
    by: str = Field(
        BY,
        description="what tells who answered: `meta.FIELD`, or `source`, which is the step where models wrote the answers",
    )
    min_gap: float = Field(0.0, ge=0, allow_inf_nan=False, description="least gap of a pair; 0: any, but not none")
    pairs: int = Field(1, ge=1, le=32, description="pairs of a query, at most")
    opponent: Rule = Field("widest", description="which pairs come first: see above")
    same_model: bool = Field(False, description="whether two answers of one model may be a pair, by their scores")
    tiers: Tiers = Field(
        Tiers.model_validate({"easy": 2.0, "medium": 1.0, "hard": 0.0}),
        description="tiers from easy to hard: the least gap of each, or a list of `STRONG > WEAK` with patterns of models",
    )
    max_length_ratio: float | None = Field(
        None, gt=1, description="how many times as long as the other one an answer of a pair may be; null: any"
    )

    @model_validator(mode="after")
    def _tells_better_from_worse(self) -> PairAnswers:
        if self.score is None and not self.strength:
            raise ValueError("say how better is told from worse: 'score: judge.score', or 'strength: [STRONG, WEAK]'")
        if len(set(self.strength)) < len(self.strength) or len(self.strength) == 1:
            raise ValueError("strength names at least two models, each once")
        if self.same_model and self.score is None:
            raise ValueError("same_model needs a 'score': answers of one model are equally strong")
        return self

    def reads(self) -> frozenset[str]:
        """The columns of the score, and of who answered."""
        return columns_of(self.score) | columns_of(self.by)

    def adds(self) -> Mapping[str, pa.DataType]:
        """The rejected answer, and what is known of the pair."""
        return {
            "rejected": pa.large_string(),
            **{field.name: field.type for field in _PAIR},
            "rejected_model": pa.string(),
            "rejected_terms": pa.string(),
            TERMS: pa.string(),
            "chosen_chars": pa.int64(),
            "rejected_chars": pa.int64(),
        }

    def phases(self) -> tuple[Phase, ...]:
        """Choose by scores and models alone; then fetch the texts of pairs, and of some of them say what gives them away."""
        told = ("meta", "content_hash", *sorted(self.reads()))
        return (
            Phase("choose", (Read(self._ranked, columns=told),), self._choose, ORDER),
            Phase("sides", (Read(self._both, "choose"),), _as_they_are, ("chosen", "side")),
            Phase(
                "verdicts",
                (Read(self._texts, DOCUMENTS, at="sides", columns=("meta",)), Read(self._gone, "choose")),
                self._side_by_side,
                ("chosen", "side"),
            ),
            Phase("sample", (Read(self._drawn, "verdicts"),), self._first, ("id",)),
        )

    def decides(self) -> str:
        """The phase that gives pairs; a sample for the report comes behind it."""
        return "verdicts"

    def reported(self) -> tuple[str, ...]:
        """A sample of the pairs."""
        return ("sample",)

    def report(self, rows: Mapping[str, pa.Table], ctx: Context) -> Mapping[str, Any]:
        """``pairs``: how many there are, by tier and by models, and what gives the chosen one away; see shortcuts."""
        return {"pairs": shortcuts(rows.get("sample"), self.tiers.names)}

    # -- who is chosen over whom ------------------------------------------------------------------------------

    def _ranked(self, docs: Batch, ctx: Context) -> pa.Table:
        """ANSWERS, a hash of what each says (white space around it says nothing), and how many characters it has."""
        from curate.text.hashing import content_hash

        said = last_answers(docs.column("meta"))
        chars = pc.fill_null(pc.utf8_length(said), _NO_ANSWER).cast(pa.int64())
        found = answers_of(docs, self.score or SCORED, self.by).append_column("chars", chars)
        return found.append_column("answer", content_hash(pc.utf8_trim_whitespace(pc.fill_null(said, ""))))

    def _choose(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """What becomes of each answer; of a chosen one what is known of its pair, and where its opponent is."""
        rows = rows.combine_chunks()
        codes = rows.column("by").combine_chunks().dictionary_encode()
        models, model = codes.dictionary.to_pylist(), codes.indices.to_numpy().astype(np.int64)
        value, strength = self._value(rows, models, model)
        chars = rows.column("chars").to_numpy()
        reason = np.full(rows.num_rows, None, object)
        answers = np.asarray(rows.column("query").is_valid()) & (chars != _NO_ANSWER)
        reason[~answers] = "no_answer"
        reason[answers & np.isnan(value)] = "unranked"
        # Best first within a query; rows come in the order of content, which decides among equals.
        query = np.cumsum(changes(rows, KEY) | id_changes(rows.column("query"))) - 1
        order = np.lexsort((strength, -value, query))
        order = order[answers[order] & ~np.isnan(value[order])]
        first = first_alike(query[order], rows.column("answer").take(pa.array(order)))
        reason[order[first != np.arange(len(order))]] = "same_answer"
        kept = np.full(rows.num_rows, -1, np.int64)
        kept[order] = order[first]
        order = order[first == np.arange(len(order))]
        return self._paired(rows, order, query[order], value, strength, model, models, reason, kept)

    def _value(
        self, rows: pa.Table, models: list[str], model: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """What the gap is a difference of, NaN: it has none; and the place of its model in ``strength``, -1 without one."""
        place = [next((i for i, p in enumerate(self.strength) if fnmatchcase(name, p)), -1) for name in models]
        strength = np.array(place, np.int64)[model] if models else np.zeros(0, np.int64)
        if self.score is None:
            return np.where(strength < 0, np.nan, -strength.astype(np.float64)), strength
        value = pc.fill_null(rows.column("score"), float("nan")).to_numpy()
        return (np.where(strength < 0, np.nan, value) if self.strength else value), strength

    def _paired(
        self,
        rows: pa.Table,
        order: npt.NDArray[np.int64],
        query: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        strength: npt.NDArray[np.int64],
        model: npt.NDArray[np.int64],
        models: list[str],
        reason: npt.NDArray[Any],
        kept: npt.NDArray[np.int64],
    ) -> pa.Table:
        from curate.text.opponents import opponents

        starts = np.append(np.flatnonzero(np.diff(query, prepend=-1)), len(query)).astype(np.int64)
        how = Pairing(
            self.opponent,
            self.pairs,
            self.min_gap,
            self.max_length_ratio or float("inf"),
            self.same_model,
            *self.tiers.rules(models),
        )
        nobody = models.index(NONE) if NONE in models else len(models)
        chars = rows.column("chars").to_numpy()
        found = opponents(starts, value[order], strength[order], model[order], nobody, chars[order], how)
        alone = np.repeat(np.diff(starts) < 2, np.diff(starts))
        why = np.where(found.could == 2, "unpaired", np.where(found.could == 1, "length_ratio", "no_gap")).astype(
            object
        )
        why[alone] = "unpaired"
        why[found.by >= 0] = "rejected"
        why[found.of >= 0] = None
        reason[order] = why
        opponent, tier = np.full(rows.num_rows, -1, np.int64), np.full(rows.num_rows, -1, np.int64)
        chosen = found.of >= 0
        opponent[order[chosen]], tier[order[chosen]] = order[found.of[chosen]], found.tier[chosen]
        gone = found.by >= 0
        kept[order[gone]] = order[found.by[gone]]
        return self._said(rows, value, reason, kept, opponent, tier)

    def _said(
        self,
        rows: pa.Table,
        value: npt.NDArray[np.float64],
        reason: npt.NDArray[Any],
        kept: npt.NDArray[np.int64],
        opponent: npt.NDArray[np.int64],
        tier: npt.NDArray[np.int64],
    ) -> pa.Table:
        from curate.text.hashing import hex_ids
        from curate.text.opponents import gap_of

        names = pa.array(self.tiers.names, pa.string())
        ids, score, where = rows.column("id").combine_chunks(), rows.column("score").combine_chunks(), addresses(rows)
        other = pa.array(opponent, mask=opponent < 0)
        has_gap = (reason == "rejected") & (kept >= 0)
        by = np.where(kept >= 0, kept, 0)
        gap = np.where(
            opponent >= 0, gap_of(value, value[opponent]), np.where(has_gap, gap_of(value[by], value), np.nan)
        )
        said_tier = np.where(has_gap, tier[by], tier)
        tiers = names.take(pa.array(said_tier, mask=said_tier < 0))
        gaps = pa.array(np.round(gap, 6), from_pandas=True)
        key = pc.if_else(pa.array(has_gap), pa.scalar('{"chosen": "'), pa.scalar('{"kept": "'))
        named = pc.binary_join_element_wise(key, hex_ids(ids.take(pa.array(by))), pa.scalar('"'), "")
        # A tier's name is a setting of the recipe's author; JSON's quotes are all that it may not have.
        quoted = pc.replace_substring(pc.replace_substring(tiers, "\\", "\\\\"), '"', '\\"')
        about = pc.binary_join_element_wise(', "gap": ', gaps.cast(pa.string()), ', "tier": "', quoted, '"', "")
        detail = pc.binary_join_element_wise(named, pc.fill_null(about, ""), pa.scalar("}"), "")
        told = pa.array((reason == "rejected") | (reason == "same_answer"))
        who = rows.column("by").combine_chunks()
        return pa.table(
            {
                **parts_and_rows(where),
                "id": ids,
                "reason": pa.array(reason, pa.string()),
                "detail": pc.if_else(told, detail, pa.scalar(None, pa.string())),
                "opponent": pa.array(where).take(other),
                "gap": pa.array(np.where(opponent >= 0, gap, np.nan), from_pandas=True),
                "tier": names.take(pa.array(tier, mask=tier < 0)),
                "chosen_score": score,
                "rejected_score": score.take(other),
                "rejected_id": ids.take(other),
                "chosen_by": who,
                "rejected_by": who.take(other),
            }
        )

    # -- their texts ------------------------------------------------------------------------------------------

    def _both(self, rows: Batch, ctx: Context) -> pa.Table:
        """Both addresses of each pair, so that its texts are fetched."""
        from curate.text.pairs import spread

        pairs = rows.rows.filter(pc.is_valid(rows.column("opponent")))
        chosen, other = addresses(pairs), pairs.column("opponent").to_numpy()
        at = pa.array(np.tile(np.arange(pairs.num_rows), 2))
        return pa.table(
            {
                KEY: pa.array(spread(np.tile(chosen, 2))),
                **parts_and_rows(np.concatenate([chosen, other])),
                "chosen": pa.array(np.tile(chosen, 2)),
                "side": pa.array(np.repeat([_CHOSEN, _REJECTED], pairs.num_rows).astype(np.uint8)),
                "id": pairs.column("id").take(at),
                **{name: pairs.column(name).take(at) for name in (*_PAIR.names, *_WHO)},
            }
        )

    def _texts(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        at = named.column(AT).combine_chunks()
        by = fields_of(docs.column("meta"), ("model",))[0]
        return pa.table(
            {
                KEY: pa.array(spread(named.column("chosen").to_numpy())),
                **{name: named.column(name) for name in ("chosen", "side", "id")},
                "reason": pa.nulls(named.num_rows, pa.string()),
                "detail": pa.nulls(named.num_rows, pa.string()),
                **{name: named.column(name) for name in (*_PAIR.names, *_WHO)},
                "model": by.take(at),
                "said": last_answers(docs.column("meta")).take(at),
                "stated": pc.fill_null(stated_terms(docs.column("meta")), UNSTATED).take(at),
            }
        )

    def _gone(self, rows: Batch, ctx: Context) -> pa.Table:
        """Those that go, as rows of the same columns."""
        from curate.text.pairs import spread

        gone = rows.rows.filter(pc.is_valid(rows.column("reason")))
        where, count = addresses(gone), gone.num_rows
        return pa.table(
            {
                KEY: pa.array(spread(where)),
                "chosen": pa.array(where),
                "side": pa.array(np.full(count, _CHOSEN, np.uint8)),
                **{name: gone.column(name) for name in ("id", "reason", "detail")},
                **{field.name: pa.nulls(count, field.type) for field in _PAIR},
                **{name: pa.nulls(count, pa.string()) for name in _WHO},
                "model": pa.nulls(count, pa.string()),
                "said": pa.nulls(count, pa.large_string()),
                "stated": pa.nulls(count, pa.string()),
            }
        )

    def _side_by_side(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """VERDICTS and what is added; beside that the id, who answered, and FEATURES of both sides."""
        rows = rows.combine_chunks()
        side = rows.column("side").to_numpy()
        # Behind the chosen side of each pair stands its rejected one.
        mine = rows.take(pa.array(np.flatnonzero(side == _CHOSEN)))
        behind = np.append(side[1:], _CHOSEN)[side == _CHOSEN] == _REJECTED
        at = np.flatnonzero(side == _CHOSEN) + 1
        theirs = rows.take(pa.array(np.where(behind, at, 0), mask=~behind))
        terms = theirs.column("stated")
        both = pc.if_else(pa.array(behind), strictest_of([mine.column("stated"), terms]), pa.scalar(None, pa.string()))
        columns = {
            **parts_and_rows(mine.column("chosen").to_numpy()),
            **{name: mine.column(name) for name in VERDICTS.names[2:]},
            "rejected": theirs.column("said"),
            **{field.name: mine.column(field.name) for field in _PAIR},
            "rejected_model": theirs.column("model"),
            "rejected_terms": terms,
            TERMS: both,
            "chosen_chars": pc.utf8_length(mine.column("said")).cast(pa.int64()),
            "rejected_chars": pc.utf8_length(theirs.column("said")).cast(pa.int64()),
            "id": mine.column("id"),
            **{name: mine.column(name) for name in _WHO},
        }
        for name, texts in (("chosen", mine.column("said")), ("rejected", theirs.column("said"))):
            columns |= {f"{name}_{feature}": values for feature, values in features(texts).items()}
        return pa.table(columns)

    # -- what gives them away ---------------------------------------------------------------------------------

    def _drawn(self, rows: Batch, ctx: Context) -> pa.Table:
        """Pairs, in an order by hash."""
        from curate.text.hashing import keyed_hash

        pairs = rows.rows.filter(pc.is_null(rows.column("reason")))
        both = [f"{side}_{name}" for side in ("chosen", "rejected") for name in ("by", "chars", *FEATURES)]
        table = pa.Table.from_batches([pairs]).select(["id", "tier", *both])
        return table.append_column(KEY, pa.array(keyed_hash(pairs.column("id"), _DRAW)))

    def _first(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """The first pairs of all, and how many there are."""
        some = rows.drop_columns([KEY]).slice(0, max(0, _SAMPLE - span.start_rows))
        return some.append_column("total", pa.array(np.full(some.num_rows, span.total_rows)))


def _as_they_are(rows: pa.Table, _span: Span, _ctx: Context) -> pa.Table:
    return rows
