"""pair.answers: who is chosen over whom, what becomes of the others, and what the report says gives a pair away."""

from __future__ import annotations

import json
import random
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pytest
from exchange import documents, in_parts, results, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.stages.answered import query_id
from curate.stages.base import PART, ROW, Context
from curate.stages.pair_answers import PairAnswers
from curate.stages.shortcuts import shortcuts
from curate.text.batch import Batch

CONTEXT = Context("pair", None)


def answer(query: str, said: str, model: str | None = None, score: Any = None, **meta: Any) -> dict[str, Any]:
    """An answered query's ``meta``."""
    messages = [{"role": "user", "content": query}, {"role": "assistant", "content": said}]
    told = {"messages": messages, "query": query_id(messages), "license": "MIT", **meta}
    return {**told, **({"model": model} if model else {}), **({} if score is None else {"score": score})}


def table(metas: list[dict[str, Any]]) -> pa.Table:
    """Documents of some ``meta``; the text is what was said."""
    docs = documents(["\n\n".join(m["content"] for m in meta.get("messages", [])) for meta in metas])
    at = docs.schema.get_field_index("meta")
    return docs.set_column(at, "meta", pa.array([json.dumps(meta) for meta in metas], pa.string()))


def said(stage: PairAnswers, metas: list[dict[str, Any]], **how: Any) -> list[dict[str, Any]]:
    """The verdict on each document, in their order."""
    docs = table(metas)
    found = {row["id"]: row for row in verdicts(stage, docs, ctx=CONTEXT, **how).to_pylist()}
    return [found[i] for i in docs.column("id").to_pylist()]


def test_the_best_and_the_worst_make_a_pair() -> None:
    """The chosen row has the other answer, whose it was, its terms, both scores, lengths and the tier; each other row a reason."""
    rows = said(
        PairAnswers(score="meta.score"),
        [
            answer("q", "the best answer", "big", 5),
            answer("q", "bad", "small", 1, license="CC-BY-NC-4.0"),
            answer("q", "middling", "mid", 4),
            answer("alone", "words", "big", 3),
            answer("equal", "a", "big", 3),
            answer("equal", "b", "small", 3),
            answer("same", "the same", "big", 4),
            answer("same", "the same", "small", 2),
            answer("silent", "x", "big"),
            answer("silent", " ", "small", 3),
            {"note": "no chat"},
        ],
    )
    best, bad = rows[0], rows[1]
    assert best["reason"] is None and best["rejected"] == "bad" and best["rejected_model"] == "small"
    assert best["rejected_id"] == bad["id"]
    assert (best["chosen_score"], best["rejected_score"], best["gap"], best["tier"]) == (5, 1, 4, "easy")
    assert (best["rejected_terms"], best["terms"]) == ("CC-BY-NC-4.0", "CC-BY-NC-4.0")
    assert (best["chosen_chars"], best["rejected_chars"]) == (15, 3)
    assert json.loads(bad["detail"]) == {"chosen": best["id"].hex(), "gap": 4, "tier": "easy"}
    assert [row["reason"] for row in rows[1:]] == [
        *("rejected", "unpaired", "unpaired", "no_gap", "no_gap", "unpaired", "same_answer", "unranked", "no_answer"),
        "no_answer",
    ]
    assert json.loads(rows[7]["detail"]) == {"kept": rows[6]["id"].hex()}
    assert all(row["rejected"] is None and row["tier"] is None for row in rows[1:])


FOUR = [
    answer("q", word, model, score)
    for word, model, score in zip("abcd", ("w", "x", "y", "z"), (9, 7, 6, 2), strict=True)
]


@pytest.mark.parametrize(
    ("how", "pairs"),
    [
        ({"pairs": 1}, {"a": "d"}),
        ({"pairs": 4}, {"a": "d", "b": "c"}),
        ({"opponent": "adjacent", "pairs": 9}, {"a": "b", "b": "c", "c": "d"}),
        ({"opponent": "adjacent", "pairs": 9, "min_gap": 2}, {"a": "b", "b": "d"}),
        (
            {"opponent": "tiers", "pairs": 3, "tiers": {"easy": 5, "medium": 4, "hard": 0}},
            {"a": "d", "c": "d", "b": "c"},
        ),
        ({"opponent": "tiers", "pairs": 2, "tiers": {"easy": 5, "hard": 0}}, {"a": "d", "b": "c"}),
        ({"pairs": 4, "min_gap": 6}, {"a": "d"}),
        ({"pairs": 4, "tiers": {"only": ["x > *", "w > y"]}}, {"b": "d", "a": "c"}),
        ({"pairs": 4, "strength": ["z", "y", "x", "w"]}, {}),
        ({"pairs": 4, "strength": ["x", "[yz]"]}, {"b": "d"}),
    ],
    ids=str,
)
def test_which_pairs_a_query_has(how: dict[str, Any], pairs: dict[str, str]) -> None:
    """By rule, number, gap, tiers of models, and strength beside scores."""
    rows = said(PairAnswers(score="meta.score", **how), FOUR)
    words = dict(zip((row["id"] for row in rows), "abcd", strict=True))
    assert {words[row["id"]]: row["rejected"] for row in rows if row["reason"] is None} == pairs


def test_strength_alone_makes_pairs() -> None:
    """Contrastive pairs by model alone: the gap is the distance in the list; of several answers of one model content decides."""
    metas = [
        answer("q", word, model) for word, model in (("s1", "small"), ("b1", "big"), ("b2", "big"), ("o", "other"))
    ]
    rows = said(PairAnswers(strength=["big", "mid", "small"], pairs=2), metas)
    chosen = [n for n, row in enumerate(rows) if row["reason"] is None]
    assert len(chosen) == 1 and chosen[0] in (1, 2)
    assert (rows[chosen[0]]["rejected"], rows[chosen[0]]["gap"], rows[chosen[0]]["tier"]) == ("s1", 2, "easy")
    assert rows[3]["reason"] == "unranked"
    assert [row["reason"] for row in said(PairAnswers(strength=["big", "mid", "small"], pairs=2), metas[1:3])] == [
        "no_gap"
    ] * 2


def test_one_model_pairs_with_itself_if_told() -> None:
    """Best of n: two answers of one model by their scores; answers of nobody known always may."""
    own = [answer("q", "a", "m", 2), answer("q", "b", "m", 1)]
    assert [row["reason"] for row in said(PairAnswers(score="meta.score"), own)] == ["no_gap"] * 2
    assert [row["reason"] for row in said(PairAnswers(score="meta.score", same_model=True), own)] == [None, "rejected"]
    nobody = [answer("q", "a", None, 2), answer("q", "b", None, 1)]
    rows = said(PairAnswers(score="meta.score"), nobody)
    assert [row["reason"] for row in rows] == [None, "rejected"] and rows[0]["rejected_model"] is None


def test_answers_are_compared_by_what_the_assistant_said() -> None:
    """Where texts are the queries alone (chats.text), different answers are no equal ones."""
    docs = table([answer("q", "a", "m", 2), answer("q", "b", "n", 1)])
    docs = docs.set_column(docs.schema.get_field_index("text"), "text", pa.array(["q", "q"], pa.large_string()))
    same = docs.column("content_hash").combine_chunks().take(pa.array([0, 0]))
    docs = docs.set_column(docs.schema.get_field_index("content_hash"), "content_hash", same)
    found = verdicts(PairAnswers(score="meta.score"), docs, ctx=CONTEXT).column("reason").to_pylist()
    assert sorted(found, key=str) == [None, "rejected"]


@pytest.mark.parametrize(("better", "worse"), [(0.3, 0.2), (0.4, 0.3), (1.1, 1.0), (9.4, 9.3)])
def test_a_gap_at_a_bound_is_no_matter_of_binary_fractions(better: float, worse: float) -> None:
    """Scores that lie apart by a bound reach it, whichever they are; the gap is written as one would."""
    metas = [answer("q", "a", "m", better), answer("q", "b", "n", worse)]
    for how in ({"min_gap": 0.1}, {"tiers": {"easy": 0.2, "medium": 0.1, "hard": 0}}):
        chosen, gone = said(PairAnswers(score="meta.score", **how), metas)
        assert (chosen["reason"], chosen["gap"], gone["reason"]) == (None, 0.1, "rejected")
    assert chosen["tier"] == "medium"
    assert said(PairAnswers(score="meta.score", min_gap=0.100001), metas)[0]["reason"] == "no_gap"
    noise = [answer("q", "a", "m", 0.1 + 0.2), answer("q", "b", "n", 0.3)]
    assert [row["reason"] for row in said(PairAnswers(score="meta.score"), noise)] == ["no_gap", "no_gap"]


def test_white_space_around_an_answer_makes_no_other_one() -> None:
    """Nobody learns from an answer that is preferred over itself; white space inside of it counts."""
    metas = [answer("q", "an answer", "m", 2), answer("q", " an answer\n", "n", 1), answer("q", "an  answer", "o", 0)]
    rows = said(PairAnswers(score="meta.score"), metas)
    assert [row["reason"] for row in rows] == [None, "same_answer", "rejected"]
    assert rows[0]["rejected"] == "an  answer"


def test_answers_under_other_system_messages_are_to_other_queries() -> None:
    """ "Translate to German." and "Translate to French." make two queries of one question, and no pair."""
    metas = []
    for tongue, there, score in (("German", "Dort.", 5), ("French", "Là.", 2), ("German", "Da.", 1)):
        asked = [{"role": "system", "content": f"Translate to {tongue}."}, {"role": "user", "content": "There."}]
        messages = [*asked, {"role": "assistant", "content": there}]
        metas.append({**answer("", "", there, score), "messages": messages, "query": query_id(messages)})
    rows = said(PairAnswers(score="meta.score"), metas)
    assert [(row["reason"], row["rejected"]) for row in rows] == [
        (None, "Da."),
        ("unpaired", None),
        ("rejected", None),
    ]


def test_lengths_that_differ_too_much_make_no_pair() -> None:
    """With ``max_length_ratio`` another opponent is looked for, and what has none says why."""
    metas = [answer("q", "x" * 40, "a", 3), answer("q", "y" * 10, "b", 1), answer("q", "z" * 30, "c", 2)]
    rows = said(PairAnswers(score="meta.score", max_length_ratio=2), metas)
    assert rows[0]["rejected"] == "z" * 30 and [row["reason"] for row in rows[1:]] == ["length_ratio", "rejected"]


@pytest.mark.parametrize(
    ("given_", "wrong"),
    [
        ({}, "how better is told"),
        ({"strength": ["one"]}, "at least two"),
        ({"strength": ["a", "b"], "same_model": True}, "needs a 'score'"),
        ({"score": "meta.score", "tiers": {"easy": 1, "hard": 2}}, "fall from tier to tier"),
        ({"score": "meta.score", "tiers": {}}, "at least 1 item"),
        ({"score": "meta.score", "tiers": {"easy": ["a b"]}}, "no pair of models"),
    ],
)
def test_mistakes_in_settings(given_: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        PairAnswers.model_validate(given_)


# -- against the obvious way --------------------------------------------------------------------------------------

ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["q1", "q2"]),
        st.sampled_from(["a", "bb", "ccc", "dddd", "eeeee"]),
        st.sampled_from(["big", "mid", "small", None]),
        st.sampled_from([1, 2, 3.5, None, 0.2, 0.3, 0.4, 0.6, 0.9]),
    ),
    max_size=14,
)
HOW = st.fixed_dictionaries(
    {
        "score": st.sampled_from(["meta.score", None]),
        "strength": st.sampled_from([[], ["big", "mid", "small"], ["big", "s*"]]),
        "opponent": st.sampled_from(["widest", "adjacent", "tiers"]),
        "pairs": st.integers(1, 4),
        "min_gap": st.sampled_from([0, 0.1, 0.3, 1, 1.5]),
        "same_model": st.booleans(),
        "max_length_ratio": st.sampled_from([None, 2.0]),
        "tiers": st.sampled_from(
            [{"easy": 2, "hard": 0}, {"far": ["big > s*"], "near": 1}, {"easy": 0.3, "hard": 0.1}]
        ),
    }
)


@given(ANSWERS, HOW, st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_pairs_are_those_of_the_obvious_way(answers: list[tuple], how: dict[str, Any], seed: int) -> None:
    """Whatever the parts and partitions: the same pairs as by looking at all of a query's pairs one after the other."""
    if how["score"] is None:
        how["strength"], how["same_model"] = how["strength"] or ["big", "small"], False
    stage = PairAnswers(**how)
    metas = [answer(*each) for each in answers]
    rows = said(stage, metas, parts=1 + seed % 3, partitions=1 + seed % 4, seed=seed, batch_rows=1 + seed % 5)
    docs = table(metas).to_pylist()
    expected: dict[int, int] = {}
    for query in ("q1", "q2"):
        expected |= obvious(
            stage, [(n, *answers[n][1:], docs[n]) for n in range(len(answers)) if answers[n][0] == query]
        )
    at = {row["id"]: n for n, row in enumerate(rows)}
    assert {at[r["id"]]: at[r["rejected_id"]] for r in rows if r["reason"] is None} == expected
    for row in rows:
        assert (row["reason"] is None) == (row["rejected"] is not None)
        if row["reason"] == "rejected":
            assert expected[at[bytes.fromhex(json.loads(row["detail"])["chosen"])]] == at[row["id"]]


def obvious(stage: PairAnswers, answers: list[tuple]) -> dict[int, int]:
    """Chosen to rejected, of one query's ``(number, text, model, score, document)``."""
    ranked = []
    for number, text, model, score, doc in answers:
        place = next((i for i, p in enumerate(stage.strength) if fnmatchcase(model or "(none)", p)), -1)
        if (stage.strength and place < 0) or (stage.score and score is None):
            continue
        value = score if stage.score else -place
        ranked.append(((-value, place, doc["content_hash"], doc["id"]), number, text, model, value, place))
    ranked.sort()
    distinct = [one for i, one in enumerate(ranked) if one[2] not in [other[2] for other in ranked[:i]]]

    def tier(a: tuple, b: tuple) -> int | None:
        for n, one in enumerate(stage.tiers.root):
            pairs = [pair.split(" > ") for pair in one.models]
            if any(fnmatchcase(a[3] or "(none)", s) and fnmatchcase(b[3] or "(none)", w) for s, w in pairs):
                return n
            if one.gap is not None and round(a[4] - b[4], 9) >= one.gap:
                return n
        return None

    def good(a: tuple, b: tuple) -> bool:
        gap, ratio = round(a[4] - b[4], 9), stage.max_length_ratio or float("inf")
        stronger = not stage.strength or a[5] < b[5]
        other = stage.same_model or a[3] is None or a[3] != b[3]
        long, short = max(len(a[2]), len(b[2])), min(len(a[2]), len(b[2]))
        return (
            gap > 0 and gap >= stage.min_gap and stronger and other and long <= ratio * short and tier(a, b) is not None
        )

    left = [(i, j) for i, a in enumerate(distinct) for j, b in enumerate(distinct) if i < j and good(a, b)]
    found: dict[int, int] = {}
    turn, missed, count = 0, 0, len(stage.tiers.root)
    while len(found) < stage.pairs and missed < count:
        some = [(i, j) for i, j in left if stage.opponent != "tiers" or tier(distinct[i], distinct[j]) == turn]
        turn = (turn + 1) % count
        if not some:
            missed += 1
            continue
        missed = 0

        def first(pair: tuple[int, int]) -> tuple:
            gap = round(distinct[pair[0]][4] - distinct[pair[1]][4], 9)
            return {"widest": (-gap, *pair), "adjacent": (pair[0], gap, pair[1])}.get(
                stage.opponent, (pair[0], -gap, pair[1])
            )

        i, j = min(some, key=first)
        found[distinct[i][1]] = distinct[j][1]
        left = [(k, m) for k, m in left if k != i and (m != j or stage.opponent == "tiers")]
    return found


def test_a_query_with_very_many_answers() -> None:
    """The best and the worst count, and nothing is quadratic."""
    metas = [answer("hello", f"answer {n}", f"model {n}", n) for n in range(3000)]
    rows = said(PairAnswers(score="meta.score", pairs=2), metas)
    assert [(n, row["rejected"]) for n, row in enumerate(rows) if row["reason"] is None] == [
        (2998, "answer 1"),
        (2999, "answer 0"),
    ]
    assert {row["reason"] for row in rows} == {None, "rejected", "unpaired"}


# -- shortcuts ------------------------------------------------------------------------------------------------


WORDS = [f"{chr(97 + n % 26) * (2 + n % 5)}{n}" for n in range(40)]


def planted(count: int, *, longer: float = 0.5, opening: float = 0.0, refusals: float = 0.0) -> dict[str, Any]:
    """The report on pairs of which so many are told by length, by an opening of the weak model, and by its refusals."""
    rng, metas = random.Random(3), []

    def marked(share: float) -> list[bool]:
        flags = [n < round(share * count) for n in range(count)]
        rng.shuffle(flags)
        return flags

    for n, flags in enumerate(zip(marked(longer), marked(opening), marked(refusals), strict=True)):
        sides = [" ".join(rng.choices(WORDS, k=size)) for size in ((30, 20) if flags[0] else (20, 30))]
        sides[1] = "Sure, here is " * flags[1] + "I'm sorry, but I can't help with that. " * flags[2] + sides[1]
        metas += [answer(f"query {n}", sides[0], "big", 2), answer(f"query {n}", sides[1], "small", 1)]
    stage = PairAnswers(score="meta.score", tiers={"near": 0})
    docs = [Batch(b) for piece in in_parts(table(metas), 2, rng) for b in piece.combine_chunks().to_batches()]
    assert all({PART, ROW} <= set(batch.rows.schema.names) for batch in docs)
    found = results(stage, docs, 3, rng, ctx=CONTEXT)
    report = stage.report({"sample": found["sample"]}, CONTEXT)["pairs"]
    json.dumps(report)
    return report


def test_pairs_without_shortcuts_are_told_by_none() -> None:
    """On pairs that differ by nothing each shortcut is right half of the time, within its interval, and nothing is warned of."""
    report = planted(800)
    assert report["pairs"] == report["measured"] == 800
    for name in ("length", "opening", "list", "refusal"):
        assert report[name]["low"] < 0.5 < report[name]["high"], name
        assert abs(report[name]["auc"] - 0.5) < 0.05
    assert report["warnings"] == [] and report["openings"] == []
    assert [tier["name"] for tier in report["tiers"]] == ["near"] and report["models"][0]["name"] == "big > small"


def test_planted_shortcuts_are_found_at_their_strength() -> None:
    """Of 800 pairs 85 % are told by length, 60 % by an opening (the rest by chance: 80 %), 20 % by a refusal (60 %)."""
    length = planted(800, longer=0.85)
    assert abs(length["length"]["right"] - 0.85) < 0.03 and length["longest_chosen"] == length["length"]["right"]
    assert any("the longer answer" in said for said in length["warnings"])
    assert abs(length["opening"]["right"] - 0.5) < 0.04
    opening = planted(800, opening=0.6)
    assert abs(opening["opening"]["right"] - 0.8) < 0.04
    assert opening["openings"][0]["opening"] == "sure, here is" and opening["openings"][0]["chosen"] == 0
    assert opening["models"][0]["opening"]["right"] == opening["opening"]["right"]
    assert any("first words" in said for said in opening["warnings"])
    refusals = planted(800, refusals=0.2)
    assert abs(refusals["refusal"]["right"] - 0.6) < 0.03 and abs(refusals["refusal"]["rejected"] - 0.2) < 0.03


def test_no_pair_gives_a_report_too() -> None:
    assert shortcuts(None, ("easy",)) == {"pairs": 0, "measured": 0, "warnings": []}
