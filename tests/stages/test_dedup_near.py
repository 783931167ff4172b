"""dedup.near against planted truth: recall follows theory, nothing else goes, partitioning changes nothing."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from exchange import documents, dropped, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.dedup_near import DedupNear
from curate.text import minhash
from curate.text.arrow import buffers
from curate.text.ngrams import ngrams
from curate.text.words import words


def shingles(text: str) -> set[tuple[str, ...]]:
    split = text.lower().split()
    return {tuple(split[i : i + 5]) for i in range(len(split) - 4)}


def jaccard(a: str, b: str) -> float:
    x, y = shingles(a), shingles(b)
    return len(x & y) / len(x | y)


def pair(rng: random.Random, changes: int, size: int = 400) -> tuple[str, str]:
    """A text and a copy with some words replaced, far apart."""
    base = [f"w{rng.randrange(10**6)}" for _ in range(size)]
    copy = list(base)
    for k in range(changes):
        copy[(k * size) // changes + 2] = f"z{rng.randrange(10**6)}"
    return " ".join(base), " ".join(copy)


@pytest.mark.parametrize(("changes", "least"), [(2, 0.7), (5, 0.7), (9, 0.7), (14, 0.5)])
def test_recall_follows_theory(changes, least):
    """Of pairs at Jaccard J the share 1 - (1 - J^8)^14 is found, within the error of 300 pairs."""
    rng = random.Random(changes)
    texts, values = [], []
    for _ in range(300):
        a, b = pair(rng, changes)
        texts += [a, b]
        values.append(jaccard(a, b))
    j = np.array(values)
    expected = (1 - (1 - j**8) ** 14).mean()
    recall = len(dropped(DedupNear(similarity=least), documents(texts))) / 300
    assert abs(recall - expected) < 4 * max(expected * (1 - expected) / 300, 1e-3) ** 0.5


def test_nothing_unlike_goes():
    """Texts that share up to a third of their shingles all stay, and so do 2000 unrelated ones."""
    rng = random.Random(3)
    texts = []
    for _ in range(300):
        texts += pair(rng, 45)
    assert max(jaccard(texts[i], texts[i + 1]) for i in range(0, 600, 2)) < 0.4
    texts += [pair(rng, 1, 60)[0] for _ in range(2000)]
    assert dropped(DedupNear(), documents(texts)) == set()


def test_a_chain_of_small_changes_does_not_remove_its_far_end():
    """A like B, B like C, A unlike C: whoever goes is like one that stays."""
    rng = random.Random(4)
    words_ = [f"w{rng.randrange(10**6)}" for _ in range(400)]
    chain = []
    for step in range(12):
        chain.append(" ".join(words_))
        for k in range(4):
            words_[(step * 4 + k) * 8] = f"z{rng.randrange(10**6)}"
    docs = documents(chain)
    gone = dropped(DedupNear(similarity=0.8), docs)
    stay = set(range(12)) - gone
    assert len(stay) >= 3
    assert all(max(jaccard(chain[g], chain[s]) for s in stay) > 0.65 for g in gone)


@pytest.mark.parametrize("bound", [64, 4])
def test_result_does_not_depend_on_partitions_or_order(bound):
    """The same verdicts, details included, from any cut; also where buckets are larger than the bound."""
    rng = random.Random(6)
    texts = ["Yes.", "yes.", "No."]
    for _ in range(12):
        base = pair(rng, 1, 80)[0].split()
        for _ in range(rng.randrange(1, 15)):
            copy = list(base)
            for _ in range(rng.randrange(4)):
                copy[rng.randrange(80)] = "other"
            texts.append(" ".join(copy))
    docs = documents(texts)
    expected = verdicts(DedupNear(bound=bound), docs)
    assert expected.num_rows > 20
    for partitions in (1, 2, 7):
        for seed in (0, 1):
            got = verdicts(DedupNear(bound=bound), docs, parts=4, partitions=partitions, seed=seed, batch_rows=13)
            assert got.equals(expected)


def test_short_documents_are_compared_whole():
    """Under five words only equal texts (but for case and white space) are duplicates; signs count."""
    docs = documents(["Yes", "yes ", "No", "3+4", "3-4", "", " ", "one two three four", "one two three five", "機械"])
    gone = dropped(DedupNear(), docs)
    assert len(gone & {0, 1}) == 1
    assert len(gone & {5, 6}) == 1
    assert len(gone) == 2


def test_code_profile_sees_signs():
    """With signs as words, programs that differ in their operators alone are not the same."""
    a = "\n".join(f"x{i} = a[{i}] + b[{i}]" for i in range(40))
    b = a.replace("[", "(").replace("]", ")").replace("+", "-")
    assert len(dropped(DedupNear(), documents([a, b]))) == 1
    assert dropped(DedupNear(profile="code"), documents([a, b])) == set()
    assert len(dropped(DedupNear(profile="code"), documents([a, a + "\n"]))) == 1


def test_detail_and_keep_order():
    """The preferred one stays; the detail names it, with the estimated similarity."""
    a, b = pair(random.Random(8), 1)
    docs = documents([a, b], {"s": pa.array([1.0, 2.0], pa.float32())})
    (verdict,) = verdicts(DedupNear(keep=["s"]), docs).to_pylist()
    assert verdict["id"] == docs.column("id")[0].as_py()
    detail = json.loads(verdict["detail"])
    assert detail["kept"] == docs.column("id")[1].as_py().hex()
    assert abs(detail["similarity"] - jaccard(a, b)) < 0.1
    assert verdict["reason"] == "near_duplicate"


@given(st.lists(st.lists(st.integers(0, 3), min_size=0, max_size=12), max_size=25))
@settings(max_examples=25, deadline=None)
def test_greedy_choice_by_brute_force(rows):
    """Whole stage against: all pairs that share a band and are similar enough, then one pass in keep order."""
    docs = documents([" ".join(f"w{w}" for w in row) for row in rows])
    view = words(*buffers(docs.column("text")), "folded")
    found = minhash.signatures(ngrams(view, 5))
    keep_order = sorted(
        range(len(rows)), key=lambda i: (docs.column("content_hash")[i].as_py(), docs.column("id")[i].as_py())
    )
    stay: list[int] = []
    for i in keep_order:
        similar = [
            j
            for j in stay
            if (found.short[i] and found.short[j] and rows[i] == rows[j])
            or (
                not found.short[i]
                and not found.short[j]
                and (found.bands[i] == found.bands[j]).any()
                and minhash.estimate(found.sketch[i], found.sketch[j]) >= 0.7
            )
        ]
        if not similar:
            stay.append(i)
    assert dropped(DedupNear(), docs) == set(range(len(rows))) - set(stay)
