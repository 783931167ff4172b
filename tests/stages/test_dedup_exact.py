"""dedup.exact: what counts as equal, who stays, and that partitioning changes nothing."""

from __future__ import annotations

import json
from functools import partial

import pyarrow as pa
import pytest
from exchange import documents, dropped, ids, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import in_memory, joined

from curate.stages.dedup_exact import DedupExact


def test_prose_folds_white_space_and_unicode_form_and_nothing_else():
    """White space and NFC do not tell texts apart; case, signs and digits do."""
    docs = documents(["a  b\r\n", " a b", "A b", "3+4", "5-70", "a[i]", "a(i)", "e\u0301", "é", "a\u00a0b"])
    gone = dropped(DedupExact(), docs)
    assert len(gone & {0, 1, 9}) == 2
    assert len(gone & {7, 8}) == 1
    assert not gone & {2, 3, 4, 5, 6}


def test_code_keeps_indentation():
    """In code only line ends and the end of the file do not count."""
    docs = documents(["if x:\n    y\n", "if x:   \r\n    y\n\n\n", "if x:\n  y\n", "if x:\n\n    y\n"])
    gone = dropped(DedupExact(profile="code"), docs)
    assert len(gone) == 1
    assert gone < {0, 1}


def test_maths_folds_how_a_formula_is_set():
    """Spacing, sizes and synonyms of LaTeX do not count; numbers, signs and scripts do."""
    docs = documents(
        [r"$\left(x+1\right) \le 3$", r"\((x + 1)\leq3\)", "$(x+1) \u2264 4$", "3 -4", "3-4", "x^2", "x_2"]
    )
    gone = dropped(DedupExact(profile="maths"), docs)
    assert len(gone) == 1
    assert gone < {0, 1}


@pytest.mark.parametrize("profile", ["prose", "code", "maths"])
def test_no_profile_folds_what_other_engines_fold(profile):
    """Numbers, signs and brackets tell exercises apart (engines that fold them lose all but one)."""
    texts = ["What is 3+4? Answer: 7.", "What is 5-70? Answer: 65.", "x = a[i] + b", "x = a(i) - b", "US", "us"]
    assert dropped(DedupExact(profile=profile), documents(texts)) == set()


@pytest.mark.parametrize("partitions", [1, 2, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_result_does_not_depend_on_partitions_or_order(partitions, seed):
    """The same verdicts from any cut of the documents."""
    docs = documents([f"text {i % 37}" for i in range(300)])
    expected = verdicts(DedupExact(), docs)
    assert expected.num_rows == 300 - 37
    assert verdicts(DedupExact(), docs, parts=5, partitions=partitions, seed=seed, batch_rows=17).equals(expected)


def test_keep_order_is_value_then_source_then_content_then_id():
    """The highest value stays, null and NaN last; then the wanted source; then the lowest id."""
    score = pa.array([0.1, 0.9, None, float("nan"), 0.9, -5.0], pa.float64())
    docs = documents(["same"] * 6, {"value.score": score}, ["a", "a", "b", "b", "b", "b"])
    stage = DedupExact(keep=["value.score", {"sources": ["b"]}])
    assert stage.reads() == {"value.score"}
    assert dropped(stage, docs) == {0, 1, 2, 3, 5}
    assert dropped(DedupExact(keep=["value.score"]), docs) >= {0, 2, 3, 5}
    ids = docs.column("id").to_pylist()
    assert dropped(DedupExact(), docs) == set(range(6)) - {ids.index(min(ids))}


@given(
    st.lists(st.lists(st.sampled_from(["a b", "a  b", "c", "d e", "g", ""]), max_size=9), min_size=3, max_size=4),
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from([None, "chat.before"]),
)
@settings(max_examples=20)
def test_snapshots_in_a_row_are_all_at_once(tmp_path_factory, texts, partitions, seed, within):
    """Each against the indexes of those before it: the same documents go as from all together, the earlier ones preferred."""
    snapshots = [
        documents(some, {"chat.before": pa.array(["x", None, "y"] * 3)[: len(some)]}, [f"s{n}"] * len(some)).set_column(
            0, "id", ids(n, len(some))
        )
        for n, some in enumerate(texts)
    ]
    how = {"partitions": partitions, "batch_rows": 3, "seed": seed}
    make = partial(DedupExact, within=within)
    each, every = in_memory(tmp_path_factory.mktemp("index"), make, snapshots, **how)
    assert joined(each) == every


def test_within_a_column_alone():
    """With `within` the same text under another value is another document; an index was made with the same."""
    before = pa.array(["a", "a", "b", None, None, "b"])
    docs = documents(["go on", "go  on", "go on", "go on", "go on", "a go on"], {"chat.before": before})
    stage = DedupExact(within="chat.before")
    assert stage.reads() == {"chat.before"}
    gone = dropped(stage, docs)
    assert len(gone) == 2 and len(gone & {0, 1}) == len(gone & {3, 4}) == 1
    assert len(dropped(DedupExact(), docs)) == 4
    assert "within" not in DedupExact().all_index_settings() and stage.all_index_settings()["within"] == "chat.before"


def test_detail_names_the_document_that_stays():
    """The verdict says which document was kept and that it is the same."""
    docs = documents(["x y", "x  y"])
    (verdict,) = verdicts(DedupExact(), docs).to_pylist()
    kept = next(i for i in docs.column("id").to_pylist() if i != verdict["id"])
    assert json.loads(verdict["detail"]) == {"kept": kept.hex(), "similarity": 1.0}
    assert verdict["reason"] == "exact_duplicate"


def test_documents_without_text_are_equal_to_each_other_only():
    """Empty and null texts form one group."""
    assert len(dropped(DedupExact(), documents(["", None, "  ", "a"]))) == 2
    assert dropped(DedupExact(), documents([])) == set()
