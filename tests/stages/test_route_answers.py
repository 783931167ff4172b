"""route.answers: which row stays, what it says of both models, and that no cut of the documents changes it."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest
from exchange import documents, verdicts
from pydantic import ValidationError

from curate.stages.answered import query_id
from curate.stages.route_answers import DRAWS, RouteAnswers


def answers(*rows: tuple[str | None, str, float | str | None], **more: object) -> pa.Table:
    """Documents of (query, model, score): the answer says who gave it and how often that model answered before."""
    texts, metas, seen = [], [], {}
    for query, model, score in rows:
        n = seen[query, model] = seen.get((query, model), -1) + 1
        said = f"{model} says {n}"
        messages = [{"role": "user", "content": query or "?"}, {"role": "assistant", "content": said}]
        meta = {"messages": messages, "model": model, "score": score, "terms": f"{model} terms", **more}
        texts.append(f"{query}\n\n{said}")
        metas.append(json.dumps({**meta, **({"query": query_id(messages)} if query else {})}))
    table = documents(texts)
    return table.set_column(table.schema.get_field_index("meta"), "meta", pa.array(metas, pa.string()))


def routed(stage: RouteAnswers, docs: pa.Table, **how: object) -> tuple[list[dict], dict[str, list[dict]]]:
    """Rows that stay, and those that go by reason, each with its ``text``."""
    texts = dict(zip(docs.column("id").to_pylist(), docs.column("text").to_pylist(), strict=True))
    stay, go = [], {}
    for row in verdicts(stage, docs, **how).to_pylist():
        row["text"] = texts[row["id"]]
        if row["reason"] is None:
            stay.append(row)
        else:
            go.setdefault(row["reason"], []).append(row)
    return sorted(stay, key=lambda row: row["text"]), go


TWO = RouteAnswers(small="mini", large="maxi")


def test_one_row_a_query_says_what_both_models_did():
    """The small model's answer stays with scores, labels, costs, both answers and the stricter terms beside it."""
    docs = answers(("easy", "mini", 4), ("easy", "maxi", 4), ("hard", "mini", 1), ("hard", "maxi", 5))
    (easy, hard), go = routed(TWO, docs)
    assert (easy["text"], hard["text"]) == ("easy\n\nmini says 0", "hard\n\nmini says 0")
    assert [(r["small_score"], r["large_score"], r["gap"], r["label"], r["soft"]) for r in (easy, hard)] == [
        (4, 4, 0, 0, 0),
        (1, 5, 4, 1, 1),
    ]
    assert (hard["small_answer"], hard["large_answer"]) == ("mini says 0", "maxi says 0")
    assert (hard["small_model"], hard["large_model"]) == ("mini", "maxi")
    assert "mini terms" in hard["terms"]
    assert "maxi terms" in hard["terms"]
    assert hard["small_tokens"] == len("mini says 0") / 4
    assert hard["small_dollars"] is None
    assert {row["text"] for row in go.pop("compared")} == {"easy\n\nmaxi says 0", "hard\n\nmaxi says 0"}
    assert not go


def test_what_goes_says_why_and_names_who_stays():
    """A query that one model answered, other models, answers without score or query, and the row that stands for a query."""
    docs = answers(
        ("a", "mini", 1), ("a", "maxi", 2), ("a", "other", 9), ("a", "mini", None), ("b", "mini", 3), ("b", "maxi", "good"),
        (None, "mini", 3), (None, "maxi", 3),
    )  # fmt: skip
    (kept,), go = routed(TWO, docs)
    assert {reason: len(rows) for reason, rows in go.items()} == {
        "compared": 1, "other_model": 1, "no_score": 2, "one_sided": 1, "no_query": 2,
    }  # fmt: skip
    assert json.loads(go["compared"][0]["detail"]) == {"kept": kept["id"].hex()}
    assert all(row["detail"] is None for reason, rows in go.items() if reason != "compared" for row in rows)


def test_draws_are_averaged_and_soft_labels_count_pairs():
    """Soft is the share of pairs of draws in which the large model is better; with a width each pair is a logistic chance."""
    draws = [("q", "mini", s) for s in (1, 3)] + [("q", "maxi", s) for s in (2, 3)]
    (row,), _ = routed(TWO, answers(*draws))
    assert (row["small_score"], row["large_score"], row["gap"], row["label"]) == (2, 2.5, 0.5, 1)
    assert row["soft"] == 2 / 4  # 2 > 1 and 3 > 1; not 2 > 3, nor 3 > 3
    (row,), _ = routed(RouteAnswers(small="mini", large="maxi", width=0.5), answers(*draws))
    chances = [1 / (1 + math.exp(-(large - small) / 0.5)) for small in (1, 3) for large in (2, 3)]
    assert row["soft"] == pytest.approx(sum(chances) / 4)


def test_relaxed_labels_let_the_small_model_be_a_little_worse():
    """A gap up to `relax` needs no large model; one draw's soft label is its hard one."""
    docs = answers(("q", "mini", 3), ("q", "maxi", 4))
    found = [routed(RouteAnswers(small="mini", large="maxi", relax=t), docs)[0][0] for t in (0, 0.5, 1, 2)]
    assert [(row["label"], row["soft"]) for row in found] == [(1, 1), (1, 1), (0, 0), (0, 0)]
    assert {row["gap"] for row in found} == {1.0}


@pytest.mark.parametrize(("small", "large"), [(0.2, 0.3), (0.3, 0.4), (1.0, 1.1), (9.3, 9.4)])
def test_a_gap_of_relax_is_no_matter_of_binary_fractions(small, large):
    """Scores that lie apart by `relax` are good enough, whichever they are, by hard label and by pairs of draws."""
    docs = answers(("q", "mini", small), ("q", "maxi", large))
    (row,), _ = routed(RouteAnswers(small="mini", large="maxi", relax=0.1), docs)
    assert (row["gap"], row["label"], row["soft"]) == (0.1, 0, 0)
    (row,), _ = routed(RouteAnswers(small="mini", large="maxi", relax=0.09), docs)
    assert (row["label"], row["soft"]) == (1, 1)
    (row,), _ = routed(RouteAnswers(small="mini", large="maxi", relax=0.1, width=1), docs)
    assert row["soft"] == 0.5


def test_models_by_step_by_pattern_and_by_truth():
    """Where both models have one name, the step tells them apart; scores may be true and false; tokens are those counted."""
    docs = answers(("q", "m", "true"), ("q", "m", "false"), completion_tokens=7)
    docs = docs.set_column(docs.schema.get_field_index("source"), "source", pa.array(["weak-a", "strong"]))
    stage = RouteAnswers(small="weak-*", large="strong", by="source")
    (row,), _ = routed(stage, docs)
    assert (row["small_score"], row["large_score"], row["label"], row["small_tokens"]) == (1, 0, 0, 7)
    with pytest.raises(ValidationError, match="by: source"):
        RouteAnswers(small="m", large="m")


def test_a_column_of_scores_counts_before_what_meta_says():
    """`score` may name a judge's column; null there is no score."""
    docs = answers(("q", "mini", 5), ("q", "maxi", 1), ("r", "mini", 5), ("r", "maxi", 1))
    docs = docs.append_column("judge.score", pa.array([0, 4, None, 4], pa.int8()))
    stage = RouteAnswers(small="mini", large="maxi", score="judge.score")
    assert stage.reads() == {"judge.score"}
    (row,), go = routed(stage, docs)
    assert (row["small_score"], row["large_score"]) == (0, 4)
    assert sorted(go) == ["compared", "no_score", "one_sided"]


@pytest.mark.parametrize("seed", [1, 2])
def test_result_does_not_depend_on_partitions_or_order(seed):
    """The same verdicts from any cut of the documents, with hundreds of draws of one query among them."""
    rows = [(f"q{i % 17}", ("mini", "maxi", "other")[i % 3], (i * 7) % 5) for i in range(240)]
    rows += [("often", ("mini", "maxi")[i % 2], i % 9) for i in range(4 * DRAWS)]
    docs = answers(*rows)
    expected = verdicts(TWO, docs)
    assert expected.num_rows == docs.num_rows
    assert expected.column("reason").null_count == 18
    again = verdicts(TWO, docs, parts=4, partitions=5, seed=seed, batch_rows=13)
    assert again.equals(expected)


def test_hostile_meta_stops_nothing():
    """Meta that is no object, messages that are no messages, and NaN scores are rows without what they lack."""
    metas = [
        '{"query": 7, "model": "mini", "score": 1, "messages": "x"}',
        '{"query": 7, "model": "maxi", "score": 2, "messages": [3]}',
        '{"query": {"a": 1}, "model": "mini", "score": NaN}',
        "[]",
        "{",
    ]
    docs = documents([f"text {i}" for i in range(len(metas))])
    docs = docs.set_column(docs.schema.get_field_index("meta"), "meta", pa.array(metas, pa.string()))
    (row,), go = routed(TWO, docs)
    assert (row["small_answer"], row["large_answer"], row["terms"]) == ("text 0", "text 1", "unstated")
    assert {reason: sorted(row["text"] for row in rows) for reason, rows in go.items()} == {
        "compared": ["text 1"],
        "no_score": ["text 2"],
        "no_query": ["text 3", "text 4"],
    }
