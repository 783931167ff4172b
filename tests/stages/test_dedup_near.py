"""dedup.near against planted truth: recall follows theory, nothing else goes, partitioning changes nothing."""

from __future__ import annotations

import json
import random
import unicodedata
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from exchange import documents, dropped, verdicts
from exchange import ids as ids_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from snapshots import in_memory, joined

from curate.errors import RecipeError
from curate.stages.base import Context
from curate.stages.dedup_near import DedupNear
from curate.stages.train_tokenizer import TrainTokenizer
from curate.text import minhash
from curate.text import ngrams as grams_of
from curate.text.arrow import buffers
from curate.text.banding import banding
from curate.text.batch import Batch
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


def versions(rng: random.Random, count: int, size: int, each: int, apart: int) -> list[str]:
    """A text, and so many less one that come from it, ``each`` words replaced every time."""
    words_, found = [f"w{rng.randrange(10**6)}" for _ in range(size)], []
    for step in range(count):
        found.append(" ".join(words_))
        for k in range(step * each, (step + 1) * each):
            words_[k * apart % size] = f"z{rng.randrange(10**6)}"
    return found


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
    chain = versions(random.Random(4), 12, size=400, each=4, apart=8)
    gone = dropped(DedupNear(similarity=0.8), documents(chain))
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


MIXED = ["forêt ", "Ångström ", "한국어 ", "ề", "क़", "\u212b", "a < b\u0338 ", "x"]


@given(
    st.lists(
        st.lists(
            st.sampled_from(MIXED)
            | st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs", "Cn")), max_size=9),
            max_size=12,
        ),
        max_size=8,
    ),
    st.data(),
)
@settings(max_examples=60)
def test_normal_forms_of_a_text_are_one_text(rows, data):
    """What a text is compared by does not depend on the normal form that each row happens to be written in."""
    texts = ["".join(row) for row in rows]
    written = [
        unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), t) if data.draw(st.booleans()) else t
        for t in texts
    ]
    ctx = Context("near", None)
    for stage in (
        DedupNear(n=2),
        DedupNear(n=2, profile="code", verify="estimate"),
        DedupNear(n=4, units="characters"),
    ):
        one, other = (Batch.of(pa.array(some, pa.large_string())) for some in (texts, written))
        for a, b in zip(*(vars(stage.bucketed(docs, ctx)).values() for docs in (one, other)), strict=True):
            assert np.array_equal(a, b)
        assert stage.verifier().describe(one, ctx) == stage.verifier().describe(other, ctx)


@pytest.mark.parametrize("how", [{}, {"profile": "code"}, {"verify": "estimate"}], ids=["prose", "code", "estimate"])
def test_a_copy_in_another_normal_form_goes(how):
    """Accents and syllables written in parts, and a word more."""
    rng = random.Random(5)
    texts = [" ".join("".join(chr(rng.randrange(0xAC00, 0xD7A4)) for _ in range(3)) for _ in range(80))]
    texts.append(" ".join(f"forêt{rng.randrange(99)} élève naïf" for _ in range(40)))
    copies = [unicodedata.normalize("NFD", t) + " fin" for t in texts]
    gone = dropped(DedupNear(**how), documents([*texts, "another text that has seven words", *copies]))
    assert len(gone & {0, 3}) == len(gone & {1, 4}) == 1
    assert len(gone) == 2


class Older(DedupNear):
    """Of words in the normal form that they were written in."""

    def index_settings(self):
        return {name: value for name, value in super().index_settings().items() if name != "form"}


def test_an_index_of_words_as_they_were_written_is_refused(tmp_path):
    """Its signatures are not those of today."""
    in_memory(tmp_path, Older, [documents(["one two three four five six"])])
    with pytest.raises(RecipeError, match=r"made with other settings: form None \(here NFC\)"):
        DedupNear(against=[str(tmp_path / "0")]).earlier_indexes()


@pytest.mark.parametrize("mode", ["greedy", "components"])
def test_within_a_column_alone(mode):
    """With `within` copies under another value stay, short ones too."""
    long = " ".join(f"word{i}" for i in range(60))
    before = pa.array(["a", "b", "a", None, "a", "b", "b"])
    docs = documents([long, long, f"{long} more", long, "Yes", "yes", "YES"], {"chat.before": before})
    gone = dropped(DedupNear(mode=mode, within="chat.before"), docs)
    assert len(gone) == 2 and len(gone & {0, 2}) == len(gone & {5, 6}) == 1
    assert len(dropped(DedupNear(mode=mode), docs)) == 5


def test_code_profile_sees_signs():
    """With signs as words, programs that differ in their operators alone are not the same."""
    a = "\n".join(f"x{i} = a[{i}] + b[{i}]" for i in range(40))
    b = a.replace("[", "(").replace("]", ")").replace("+", "-")
    assert len(dropped(DedupNear(), documents([a, b]))) == 1
    assert dropped(DedupNear(profile="code"), documents([a, b])) == set()
    assert len(dropped(DedupNear(profile="code"), documents([a, a + "\n"]))) == 1


def test_detail_and_keep_order():
    """The preferred one stays; the detail names it, with their similarity."""
    a, b = pair(random.Random(8), 1)
    docs = documents([a, b], {"s": pa.array([1.0, 2.0], pa.float32())})
    (verdict,) = verdicts(DedupNear(keep=["s"]), docs).to_pylist()
    assert verdict["id"] == docs.column("id")[0].as_py()
    detail = json.loads(verdict["detail"])
    assert detail["kept"] == docs.column("id")[1].as_py().hex()
    assert detail["similarity"] == round(jaccard(a, b), 4)
    assert verdict["reason"] == "near_duplicate"


def split(text: str, units: str) -> list[str]:
    """Words, or characters, of a test's text."""
    return text.lower().split() if units == "words" else list(" ".join(text.lower().split()))


def grams(text: str, units: str, n: int) -> frozenset[tuple[str, ...]]:
    """Its shingles."""
    said = split(text, units)
    return frozenset(tuple(said[i : i + n]) for i in range(len(said) - n + 1))


def twin(stage: DedupNear, docs: pa.Table) -> dict[int, tuple[int, float]]:
    """Who goes, for whom and how similar, by all pairs: the slow and obvious way.

    Bands are those of the kernel, which has tests of its own; all else is done again.
    """
    texts, hashes, ids = (docs.column(name).to_pylist() for name in ("text", "content_hash", "id"))
    units = (
        grams_of.characters(docs.column("text").combine_chunks())
        if stage.units == "characters"
        else words(*buffers(docs.column("text")), "folded")
    )
    bands = minhash.signatures(grams_of.ngrams(units, stage.n), 0, *stage.banding()).bands
    sketch = minhash.signatures(grams_of.ngrams(units, stage.n), 0, *stage.banding(), bits=2).sketch
    sets = [grams(t, stage.units, stage.n) for t in texts]
    order = sorted(range(len(texts)), key=lambda i: (hashes[i], ids[i]))
    buckets: dict[object, list[int]] = {}
    for i in order:
        for key in (
            [("text", " ".join(texts[i].lower().split()))] if not sets[i] else list(enumerate(bands[i].tolist()))
        ):
            buckets.setdefault(key, []).append(i)
    before: dict[int, set[int]] = {}
    for rows in buckets.values():
        for place, j in enumerate(rows):
            before.setdefault(j, set()).update(rows[: min(place, stage.bound)])
    gone: dict[int, tuple[int, float]] = {}
    for j in order:
        found = []
        for i in before.get(j, set()) - gone.keys():
            if not sets[i] or not sets[j]:
                similarity = 1.0 if sets[i] == sets[j] else 0.0
            elif stage.verify == "true":
                similarity = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
            else:
                similarity = float(minhash.estimate(sketch[i], sketch[j], 2))
            if similarity >= stage.similarity:
                found.append((-similarity, ids[i], i))
        if found:
            gone[j] = (min(found)[2], -min(found)[0])
    return gone


def told(stage: DedupNear, docs: pa.Table, **how: int) -> dict[int, tuple[int, float]]:
    """The same of the stage."""
    where = {i: n for n, i in enumerate(docs.column("id").to_pylist())}
    found = {}
    for row in verdicts(stage, docs, **how).to_pylist():
        detail = json.loads(row["detail"])
        found[where[row["id"]]] = (where[bytes.fromhex(detail["kept"])], detail["similarity"])
    return found


STAGES = [
    DedupNear(),
    DedupNear(verify="estimate", similarity=0.5),
    DedupNear(n=2, bands=30, rows=1, similarity=0.3),
    DedupNear(n=2, bands=30, rows=1, similarity=0.4, bound=2),
    DedupNear(units="characters", n=6, bins=60, similarity=0.5),
]


@pytest.mark.parametrize("stage", STAGES, ids=["default", "estimate", "many", "bound", "characters"])
@given(st.lists(st.lists(st.integers(0, 3), min_size=0, max_size=12), max_size=25), st.integers(1, 3))
@settings(max_examples=12)
def test_by_brute_force(stage, rows, partitions):
    """The whole stage against all pairs that share a bucket, their true similarity, and one pass in keep order."""
    docs = documents([" ".join(f"w{w}" for w in row) for row in rows])
    wanted = {j: (i, round(s, 4)) for j, (i, s) in twin(stage, docs).items()}
    assert told(stage, docs, partitions=partitions, parts=2, batch_rows=7) == wanted


def test_true_similarity_takes_no_wrong_pair():
    """Of pairs around the threshold those go that are above it, and no others; an estimate is wrong about some."""
    rng = random.Random(9)
    texts = [t for changes in range(8, 20) for _ in range(12) for t in pair(rng, changes, 200)]
    docs = documents(texts)
    real = {frozenset((i, i + 1)): jaccard(texts[i], texts[i + 1]) for i in range(0, len(texts), 2)}
    many = {"bands": 60, "rows": 2, "similarity": 0.6}
    found = told(DedupNear(**many), docs)
    assert {frozenset((j, i)) for j, (i, _) in found.items()} == {p for p, s in real.items() if s >= 0.6}
    assert all(s == round(real[frozenset((j, i))], 4) for j, (i, s) in found.items())
    guessed = told(DedupNear(**many, verify="estimate"), docs)
    wrong = [p for p in {frozenset((j, i)) for j, (i, _) in guessed.items()} if real[p] < 0.6]
    assert wrong
    assert min(real[p] for p in wrong) > 0.45


def test_the_threshold_itself_is_similar():
    """Two of four words in common are a similarity of a half, which is at least a half."""
    docs = documents(["a b c", "a b d", "e f g", "e h i"])
    how = {"n": 1, "bands": 60, "rows": 1}
    assert set(told(DedupNear(similarity=0.5, **how), docs).values()) <= {(0, 0.5), (1, 0.5)}
    assert len(dropped(DedupNear(similarity=0.5, **how), docs)) == 1
    assert not dropped(DedupNear(similarity=0.51, **how), docs)


def test_a_long_chain_of_small_changes():
    """A thousand versions, each a little from the last: whoever goes is like one that stays, and many stay."""
    texts = versions(random.Random(11), 1000, size=120, each=1, apart=7)
    found = told(DedupNear(similarity=0.75), documents(texts), partitions=3)
    assert all(jaccard(texts[j], texts[i]) >= 0.75 for j, (i, _) in found.items())
    assert not found.keys() & {i for i, _ in found.values()}
    assert 200 < len(found) < 950


def test_boilerplate_with_different_bodies_stays():
    """A third of the text in common, on every page of a site, is no reason to go."""
    rng = random.Random(12)
    frame = [f"menu{i}" for i in range(60)]
    texts = [" ".join([*frame, *(f"b{rng.randrange(10**6)}" for _ in range(120))]) for _ in range(80)]
    copies = [t + " read more" for t in texts[:10]]
    gone = dropped(DedupNear(), documents([*texts, *copies]))
    assert len(gone) == 10
    assert all(len(gone & {i, 80 + i}) == 1 for i in range(10))


@pytest.mark.parametrize("verify", ["true", "estimate"])
def test_a_clique_larger_than_the_bound(verify):
    """Three hundred copies, each with one word of its own: one stays, though each is compared with eight at most."""
    rng = random.Random(13)
    base = pair(rng, 1, 300)[0].split()
    texts = []
    for _ in range(300):
        copy = list(base)
        copy[rng.randrange(300)] = f"z{rng.randrange(10**6)}"
        texts.append(" ".join(copy))
    gone = dropped(DedupNear(bound=8, verify=verify), documents(texts), partitions=3)
    assert len(gone) >= 298


def test_shingles_of_tokens(tmp_path):
    """A tokenizer's tokens are units, too: a copy with one word changed goes, signs count."""
    texts = [pair(random.Random(i), 1, 60)[0] for i in range(3)]
    texts += [texts[0] + " end", *("a+b-c" * 20, "a-b+c" * 20)]
    docs = documents(texts)
    rows = docs.combine_chunks().to_batches()
    TrainTokenizer(vocab_size=400).train([Batch(rows[0])], tmp_path, Context("tokenizer", 1))
    stage = DedupNear(units="tokens", n=8, tokenizer="tokenizer")
    gone = dropped(stage, docs, ctx=Context("near", None, {"tokenizer": tmp_path}))
    assert len(gone) == 1
    assert gone < {0, 3}


def test_settings():
    """What can't be together is refused in a sentence."""
    assert DedupNear(verify=True).verify == "true"
    assert DedupNear(bins=112, similarity=0.8).banding() == banding(0.8, 112)
    for wrong, why in (
        ({"units": "tokens"}, "go together"),
        ({"units": "characters", "profile": "code"}, "leave it out"),
        ({"bins": 100, "rows": 4}, "leave them out"),
        ({"bands": 100, "rows": 100}, "4096"),
        ({"prefer": "value.score"}, r"write keep: \[value.score\]"),
        ({"sources": ["a", "b"]}, r"write keep: \[\{sources: \[a, b\]\}\]"),
        ({"keep": [{"oldest": "x"}]}, "is none"),
        ({"keep": ["meta.x"]}, "is none"),
        ({"mode": "components", "index": True}, "joins clusters"),
        ({"keep": ["a.b", "a.b"]}, "twice"),
    ):
        with pytest.raises(ValidationError, match=why):
            DedupNear.model_validate(wrong)


@given(
    st.lists(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=11), max_size=10), min_size=2, max_size=4),
    st.sampled_from([True, "estimate"]),
    st.integers(2, 5),
    st.sampled_from([0.4, 0.7]),
    st.integers(1, 3),
    st.integers(0, 9),
)
@settings(max_examples=25)
def test_snapshots_in_a_row_are_all_at_once(tmp_path_factory, texts, verify, bound, similarity, partitions, seed):
    """Each against the indexes of those before it, buckets larger than the bound included: the same documents go, for the
    same ones and with the same similarity, as from all together with the earlier ones preferred."""
    snapshots = [
        documents([" ".join(f"w{w}" for w in row) for row in some], source=[f"s{n}"] * len(some)).set_column(
            0, "id", ids_of(n, len(some))
        )
        for n, some in enumerate(texts)
    ]
    how = {"partitions": partitions, "batch_rows": 5, "seed": seed}
    make = partial(DedupNear, similarity=similarity, verify=verify, bound=bound, n=2, bands=6, rows=1)
    each, every = in_memory(tmp_path_factory.mktemp("index"), make, snapshots, **how)
    assert joined(each) == every
