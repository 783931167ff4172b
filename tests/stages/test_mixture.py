"""The mixture against a slow twin that writes each tape out, pass by pass."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from curate.fingerprint import fingerprint
from curate.stages.mixture import Mix
from curate.stages.settings import settings_of
from curate.stages.takes import Taken, copies, stated, takes
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash
from curate.text.packing import best_fit, concat
from curate.text.tape import KEYS, sequence_keys

THERE = {"code": (60, 600), "exercises": (10, 50), "web": (90, 1000)}


def mix(**given) -> Mix:
    return Mix.model_validate(given)


def key(epoch: int) -> int:
    """A key for each epoch, far from that of the tape."""
    return 0x9E3779B97F4A7C15 * (epoch + 1) % KEYS


def amounts(taken) -> dict[tuple[int, str], int]:
    return {(t.phase, t.component): t.stop - t.start for t in taken}


class Corpus:
    """Documents with random ids, each with a component and tokens."""

    def __init__(self, documents: list[tuple[str, int]], seed: int = 5) -> None:
        raw = np.random.default_rng(seed).integers(0, 256, (len(documents), 16), np.uint8)
        self.ids = pa.array([row.tobytes() for row in raw], pa.binary(16))
        self.components = [c for c, _ in documents]
        self.tokens = [n for _, n in documents]
        order = np.argsort(keyed_hash(self.ids, 77)).tolist()
        self.tapes = {c: [i for i in order if self.components[i] == c] for c in set(self.components)}
        self.totals, before = {}, np.zeros(len(documents), np.int64)
        for name, rows in self.tapes.items():
            sums = np.cumsum([0, *(self.tokens[i] for i in rows)])
            before[rows] = sums[:-1]
            self.totals[name] = (len(rows), int(sums[-1]))
        self.before = before

    def copies(self, taken, rows=None):
        """(Row, epoch, phase, key) of each copy of all rows, or of some."""
        rows = list(range(len(self.tokens))) if rows is None else rows
        component = pa.array([self.components[i] for i in rows], pa.string())
        found = copies(taken, self.totals, component, self.before[rows], self.ids.take(pa.array(rows, pa.int64())), key)
        assert (found.row.dtype, found.epoch.dtype, found.phase.dtype, found.key.dtype) == tuple(
            map(np.dtype, ("i8", "i4", "i4", "u8"))
        )
        assert ((found.first <= found.key) & (found.key <= found.last)).all()
        columns = (np.array(rows, np.int64)[found.row], found.epoch, found.phase, found.key)
        return list(zip(*(c.tolist() for c in columns), strict=True))

    def twin(self, taken):
        """(Row, epoch, phase) of each copy: every tape is walked, document by document."""
        found = []
        for name, rows in self.tapes.items():
            mine = [t for t in taken if t.component == name]
            place = epoch = 0
            while place < max((t.stop for t in mine), default=0):
                for row in rows:
                    found += [(row, epoch, t.phase) for t in mine if t.start <= place < t.stop]
                    place += self.tokens[row]
                epoch += 1
        return sorted(found)


DOCUMENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), min_size=1, max_size=40)
EPOCHS = st.sampled_from([0, 0.1, 0.5, 1, 1.25, 2, 2.7, 3])


@given(DOCUMENTS, st.lists(st.dictionaries(st.sampled_from("abc"), EPOCHS, min_size=1), min_size=1, max_size=3))
def test_copies_are_those_of_the_twin(documents, phases):
    """Phase after phase: without replacement, floor(e) or floor(e) + 1 of each, budgets kept to less than a document."""
    corpus = Corpus(documents)
    phases = [{c: e for c, e in p.items() if c in corpus.totals} for p in phases]
    phases = [p for p in phases if any(int(e * corpus.totals[c][1]) for c, e in p.items())]
    if not phases:
        return
    taken = takes(mix(phases=[{"epochs": p} for p in phases]), corpus.totals)
    found = corpus.copies(taken)
    assert [f[:3] for f in found] == corpus.twin(taken)
    assert len({f[:2] for f in found}) == len(found), "no document twice in a pass"
    for name, (_, size) in corpus.totals.items():
        epochs = Fraction(sum(t.stop - t.start for t in taken if t.component == name), size)
        longest = max(n for c, n in documents if c == name)
        for row in corpus.tapes[name]:
            assert sum(f[0] == row for f in found) in (int(epochs), int(epochs) + 1)
        got = sum(corpus.tokens[f[0]] for f in found if corpus.components[f[0]] == name)
        assert 0 <= got - epochs * size < longest
        for t in (t for t in taken if t.component == name):
            here = sum(corpus.tokens[f[0]] for f in found if f[2] == t.phase and corpus.components[f[0]] == name)
            assert abs(here - (t.stop - t.start)) < longest
    for t in taken:
        # Its phase's range of the stream; pass after pass in it.
        mine = [f for f in found if f[2] == t.phase and corpus.components[f[0]] == t.component]
        assert all(t.opens * KEYS // t.length <= k <= t.closes * KEYS // t.length for *_, k in mine)
        by_epoch = [[k for _, e, _, k in mine if e == epoch] for epoch in sorted({e for _, e, *_ in mine})]
        assert all(max(a) <= min(b) for a, b in pairwise(by_epoch))


@given(DOCUMENTS, st.integers(1, 7), st.randoms(use_true_random=False))
def test_batches_and_their_order_change_nothing(documents, size, random):
    """What is taken of a row, and its key, is a matter of that row alone."""
    corpus = Corpus(documents)
    taken = takes(mix(tokens=40, max_epochs=None), corpus.totals)
    rows = random.sample(range(len(documents)), len(documents))
    parts = [corpus.copies(taken, rows[i : i + size]) for i in range(0, len(rows), size)]
    assert sorted(f for part in parts for f in part) == sorted(corpus.copies(taken))


def test_every_document_once():
    """No settings; nothing of nothing."""
    corpus = Corpus([("a", 3), ("b", 1), ("a", 2)])
    taken = takes(Mix(), corpus.totals)
    assert amounts(taken) == {(0, "a"): 5, (0, "b"): 1}
    assert [f[:3] for f in corpus.copies(taken)] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert takes(Mix(), {}) == []
    assert Corpus([]).copies([]) == []


def test_the_mixture_is_the_same_everywhere():
    """20,000 documents: in each twentieth of the stream every component has its share, and keys fill their range evenly.

    Copies of a document are a pass apart, and each pass has an order of its own.
    """
    random = np.random.default_rng(8)
    names = np.array(["web", "code", "exercises"])[random.choice(3, 20_000, p=[0.5, 0.4, 0.1])].tolist()
    corpus = Corpus(list(zip(names, random.geometric(1 / 300, 20_000).tolist(), strict=True)))
    taken = takes(mix(components={"web": {"epochs": 0.3}, "exercises": {"epochs": 3.5}}), corpus.totals)
    found = corpus.copies(taken)
    rows, epochs, _, keys = (np.array(c) for c in zip(*found, strict=True))
    tokens = np.array(corpus.tokens)[rows]
    twentieth = (keys.astype(np.float64) / KEYS * 20).astype(int)
    assert twentieth.max() == 19
    for t in taken:
        mine = np.array([corpus.components[r] == t.component for r in rows.tolist()])
        share = np.bincount(twentieth[mine], tokens[mine], 20) / (tokens[mine].sum() / 20)
        # About 350 copies in each: five standard deviations of the sum of as many lengths (geometric: as large as their mean).
        assert abs(share - 1).max() < 5 * np.sqrt(2 / (mine.sum() / 20))
    orders = []
    for epoch in (0, 1):
        which = [
            r for r, e, _, k in sorted(found, key=lambda f: f[3]) if e == epoch and corpus.components[r] == "exercises"
        ]
        orders.append({r: i for i, r in enumerate(which)})
    both = np.array([[orders[0][r], orders[1][r]] for r in orders[0]]).T
    assert abs(np.corrcoef(both)[0, 1]) < 0.1
    by_row: dict[int, list[float]] = {}
    for r, _, _, k in (f for f in found if f[1] < 3):  # the last pass is half a one
        by_row.setdefault(r, []).append(k / KEYS)
    gaps = [b - a for ks in by_row.values() for a, b in pairwise(ks)]
    assert np.mean(gaps) == pytest.approx(1 / 3.5, rel=0.05)
    assert epochs.max() == 3


def test_ten_trillion_tokens_and_many_epochs():
    """Nothing overflows: places and keys as Python's integers say, at the ends of the tape."""
    size = 10**13
    totals = {"a": (10**10, size), "b": (1, 7)}
    taken = takes(mix(components={"a": {"epochs": 1000.5}}), totals)
    before = np.array([0, size // 2 - 1, size // 2, size - 1, 0], np.int64)
    ids = pa.array([bytes([i] * 16) for i in range(5)], pa.binary(16))
    found = copies(taken, totals, pa.array(["a"] * 4 + ["b"]), before, ids, key)
    assert np.bincount(found.row).tolist() == [1001, 1001, 1000, 1000, 1]
    length = 1000 * size + size // 2 + 7
    for row, epoch, k in zip(found.row.tolist(), found.epoch.tolist(), found.key.tolist(), strict=True):
        place, within = (epoch * size, size if epoch < 1000 else size // 2) if row < 4 else (0, 7)
        stream = length - 7 if row < 4 else 7  # tokens of the component's take, which is spread over all of the stream
        first, stop = place * KEYS // stream, (place + within) * KEYS // stream
        hashed = int(keyed_hash(ids, key(epoch))[row])
        assert abs(k - (first + hashed * (stop - first) // KEYS)) <= 1


@given(DOCUMENTS, st.lists(EPOCHS, min_size=3, max_size=3), st.integers(4, 20), st.booleans())
def test_shuffled_sequences_keep_passes_and_phases_apart(documents, epochs, size, fitted):
    """Every document of a sequence stays in its range of keys, unless documents of it have none in common."""
    corpus = Corpus(documents)
    by = {c: e for c, e in zip("abc", epochs, strict=True) if c in corpus.totals and int(e * corpus.totals[c][1])}
    if not by:
        return
    taken = takes(mix(phases=[{"epochs": by}, {"epochs": dict.fromkeys(by, 1)}]), corpus.totals)
    found = copies(taken, corpus.totals, pa.array(corpus.components), corpus.before, corpus.ids, key)
    order = np.argsort(found.key, kind="stable")
    lengths = np.array(corpus.tokens, np.int64)[found.row[order]]
    spans = best_fit(lengths, size) if fitted else concat(lengths, size)
    first, last = found.first[order], found.last[order]
    hashes = np.random.default_rng(len(documents)).integers(0, KEYS, spans.sequences, np.uint64, endpoint=False)
    keys = sequence_keys(spans, first, last, hashes).tolist()
    for number, (place, hashed) in enumerate(zip(keys, hashes.tolist(), strict=True)):
        rows = spans.row[spans.sequence == number]
        low, high = int(first[rows].max()), int(last[rows].min())
        assert place == (low + hashed * (high - low + 1) // KEYS if low < high else low)
    # Where every document is taken once, that is their hash.
    once = copies(
        takes(Mix(), corpus.totals), corpus.totals, pa.array(corpus.components), corpus.before, corpus.ids, key
    )
    spans = concat(np.array(corpus.tokens, np.int64), size)
    hashes = hashes[:1].repeat(spans.sequences)
    assert sequence_keys(spans, once.first, once.last, hashes).tolist() == hashes.tolist()


TAKEN = [
    ({"web": 0.6, "code": 0.4}, {"web": 960, "code": 640}),
    ({"tokens": 500}, {"code": 181, "exercises": 15, "web": 304}),
    ({"components": {"exercises": {"epochs": 4}}}, {"code": 600, "exercises": 200, "web": 1000}),
    ({"components": {"exercises": {"epochs": 10}}}, {"code": 600, "exercises": 500, "web": 1000}),
    ({"components": {"exercises": {"epochs": 0}}}, {"code": 600, "web": 1000}),
    ({"components": {"exercises": {"epochs": 4}}, "tokens": "1K"}, {"code": 333, "exercises": 111, "web": 556}),
    ({"components": {"exercises": {"tokens": 120}}, "tokens": "1K"}, {"code": 330, "exercises": 120, "web": 550}),
    ({"temperature": 2}, {"code": 639, "exercises": 185, "web": 826}),
    ({"temperature": 1, "tokens": 165}, {"code": 60, "exercises": 5, "web": 100}),
    (
        {"components": {"web": 0.7, "code": 0.3, "exercises": {"tokens": 100}}, "tokens": "2K"},
        {"code": 570, "exercises": 100, "web": 1330},
    ),
    (
        {"components": {"web": 0.7, "code": 0.3, "exercises": {"epochs": 2}}},
        {"code": 480, "exercises": 100, "web": 1120},
    ),
]


@pytest.mark.parametrize(("given", "wanted"), TAKEN)
def test_amounts_are_exact(given, wanted):
    """Tokens by component, to the last one."""
    taken = takes(mix(**given), THERE)
    assert {t.component: t.stop - t.start for t in taken} == wanted
    assert taken[0].length == sum(wanted.values())


def test_phases_go_on_where_the_tape_was_left():
    """Shares of all tokens, weights of their own, and epochs: no phase replaces what an earlier one took."""
    given = mix(
        components={"web": 0.7, "code": 0.3, "exercises": 0},
        tokens=1000,
        phases=[{"share": "90%", "name": "broad"}, {"share": "10%", "weights": {"exercises": 0.5, "code": 0.5}}],
    )
    taken = takes(given, THERE)
    assert given.ordered
    assert amounts(taken) == {(0, "code"): 270, (0, "web"): 630, (1, "code"): 50, (1, "exercises"): 50}
    assert [(t.start, t.opens, t.closes) for t in taken if t.component == "code"] == [(0, 0, 900), (270, 900, 1000)]
    assert [t.name for t in taken] == ["broad", "broad", "2", "2"]
    lengths = [{"tokens": 800, "weights": {"web": 1}}, {"tokens": 500, "weights": {"web": 0.5, "code": 0.5}}]
    taken = takes(mix(phases=[*lengths, {"epochs": {"exercises": 1.5}}]), THERE)
    assert amounts(taken) == {(0, "web"): 800, (1, "code"): 250, (1, "web"): 250, (2, "exercises"): 75}
    assert taken[-1].closes == taken[-1].length == 1375
    tempered = takes(mix(temperature=2, phases=[{"share": 0.5}, {"share": 0.5}]), THERE)
    assert sum(amounts(tempered).values()) == 1650


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 50), st.integers(50, 10**12)), min_size=2),
    st.integers(1, 10**12),
    st.data(),
)
@settings(max_examples=25)
def test_realised_shares_are_the_stated_ones(totals, tokens, data):
    """Of any totals, weights and budgets: takes sum to the budget, each is its share of it to less than a token."""
    parts = {name: data.draw(st.integers(1, 100)) for name in totals}
    whole = sum(parts.values())
    weights = {name: n / whole for name, n in parts.items()}
    taken = takes(mix(components=weights, tokens=tokens, max_epochs=None), totals)
    assert sum(t.stop - t.start for t in taken) == tokens
    for name, share in weights.items():
        got = sum(t.stop - t.start for t in taken if t.component == name)
        assert abs(got - tokens * share) <= 1 + tokens * 1e-15 * whole


REFUSED = [
    ({"web": 0.6, "code": 0.4, "tokens": 5}, "Extra inputs are not permitted"),
    ({"web": 0.6, "code": 0.3}, "shares sum to 0.9 instead of 1 (web 0.6, code 0.3)"),
    ({"components": {"web": {"weight": 0.5, "epochs": 2}}}, "weight and epochs are two ways to say how much is taken"),
    ({"components": {"web": 1, "code": {}}}, "component 'code' has no weight, but others have"),
    ({"components": {"web": 1}, "temperature": 2}, "temperature makes the weights: component 'web'"),
    ({"components": {"web": {"tokens": 5}}, "phases": [{"share": 1}]}, "component 'web' can have a weight only"),
    ({"phases": [{"share": 1}]}, "phase 1 has no weights, and neither have the components"),
    ({"phases": [{"weights": {"web": 1}}]}, "a phase has a length"),
    ({"phases": [{"epochs": {"web": 1}, "tokens": 5}]}, "a phase has a length"),
    ({"phases": [{"epochs": {"web": -1}}]}, "epochs are 0 or more"),
    ({"components": {"web": 1}, "phases": [{"share": 0.5}]}, "shares sum to 0.5 instead of 1"),
    ({"components": {"web": 1}, "phases": [{"share": 1, "weights": {"wep": 1}}]}, "phase 1: no component 'wep'; did you mean 'web'?"),
    ({"components": {"web": 1}, "phases": [{"tokens": 5}, {"share": 1}]}, "all in tokens, or all as shares"),
    ({"components": {"web": 1}, "tokens": 9, "phases": [{"tokens": 5}]}, "leave out `tokens`"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_settings_that_contradict_themselves_are_refused(given, said):
    """When the recipe is read."""
    with pytest.raises(ValueError) as error:
        mix(**given)
    assert said in str(error.value)


IMPOSSIBLE = [
    ({"webb": 1}, "component 'webb' has no documents: no source is webb; name values of 'source', or patterns"),
    ({"components": {"x": {"match": ["y*", "z"], "epochs": 1}}}, "no source is y*, z; there are: code, exercises, web"),
    ({"phases": [{"tokens": 5, "weights": {"x": 1}}]}, "component 'x' has no documents"),
    (
        {"web": "50%", "exercises": "50%"},
        "'exercises' has 50 tokens, and 525 are to be taken: 10.5 epochs, more than max_epochs (4); take less of it (a share of 0.19), fewer tokens in all (400), or raise",
    ),
    ({"tokens": "1M"}, "more than max_epochs (4)"),
    (
        {"components": {"web": 1}, "tokens": "9K", "phases": [{"share": 1, "weights": {"web": 1}}]},
        "'web' has 1,000 tokens, and 9,000",
    ),
    ({"components": {"web": {"tokens": 500}, "code": {"tokens": 600}}, "tokens": 1000}, "1,100 tokens of their own, more"),
    ({"phases": [{"epochs": {"web": 0}}]}, "mix: takes no token"),
    ({"components": {c: {"epochs": 0} for c in THERE}, "tokens": 5}, "are to be taken of nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), IMPOSSIBLE)
def test_mixtures_that_cannot_be_are_refused(given, said):
    """Before anything is written, from what is there, with what would be possible."""
    with pytest.raises(RecipeError) as error:
        takes(mix(**given), THERE)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_caps_can_be_lifted():
    """``max_epochs: null``, or more of them; epochs that a component states are no matter of it."""
    with pytest.raises(RecipeError):
        takes(mix(components={"web": 0.5, "exercises": 0.5}), THERE)
    for most in (None, 10.5):
        taken = takes(mix(components={"web": 0.5, "exercises": 0.5}, max_epochs=most), THERE)
        assert amounts(taken) == {(0, "exercises"): 525, (0, "web"): 525}


# -- which documents -------------------------------------------------------------------------------------------------


def batch(sources, metas=None) -> Batch:
    metas = metas or [{} for _ in sources]
    rows = {"source": pa.array(sources, pa.string()), "meta": pa.array([json.dumps(m) for m in metas], pa.string())}
    return Batch(pa.RecordBatch.from_pydict(rows))


def test_components_by_names_and_patterns():
    """The pattern that says most wins; what none names is left out where weights are the whole, else taken once."""
    given = {
        "web": {"match": ["web-*"], "weight": 0.5},
        "best": {"match": ["web-edu*", "pes2o"], "weight": 0.3},
        "rest": {"match": "*", "weight": 0.2},
    }
    sources = ["web-a", "web-edu-1", "pes2o", "books", "web-a", "rest"]
    assert mix(**given).component_of(batch(sources)).to_pylist() == ["web", "best", "best", "rest", "web", "rest"]
    assert mix(web=1).component_of(batch(["web", "code"])).to_pylist() == ["web", None]
    assert Mix().component_of(batch(["web", "code", ""])).to_pylist() == ["web", "code", "(none)"]
    upsampled = mix(components={"s": {"match": ["a?"], "epochs": 2}})
    assert upsampled.component_of(batch(["ab", "abc"])).to_pylist() == ["s", "abc"]
    twice = mix(
        a={"match": "web-?", "weight": 0.5}, b={"match": "?-web", "weight": 0.4}, c={"match": "web-*", "weight": 0.1}
    )
    with pytest.raises(RecipeError, match="mix: 'web-1' belongs to 'a' as much as to 'c'; name 'web-1' under 'match'"):
        twice.component_of(batch(["web-1"]))


def test_components_by_a_field_of_meta_or_a_column():
    """``by``; rows without the field are one more value; a column must be asked for."""
    by = mix(by="meta.language", components={"de": 0.5, "other": {"match": ["(none)", "f?"], "weight": 0.5}})
    metas = [{"language": "de"}, {}, {"language": "fr"}, {"language": "en"}]
    assert by.component_of(batch(["s"] * 4, metas)).to_pylist() == ["de", "other", "other", None]
    assert (by.reads(), mix(by="split.side").reads()) == (frozenset(), {"split.side"})
    with pytest.raises(RecipeError, match="can't be told apart by column 'meta'"):
        mix(by="meta").component_of(batch(["s"]))


def test_short_and_long_form_are_one_identity():
    """And so is the order in which components are written."""
    short = mix(web="60%", code=0.4)
    long = mix(components={"code": {"weight": 0.4}, "web": {"weight": 0.6}})
    assert fingerprint(short.model_dump()) == fingerprint(long.model_dump())
    assert takes(short, THERE) == takes(long, THERE)


def test_who_wrote_a_document_is_in_its_meta():
    """What a generator made, judged since or not; a judge's row of a real document is real; components may say otherwise."""
    made = {"model": "m", "licence": "MIT", "family": "f", "draw": 0, "answer": "ab12"}
    metas = [
        {"license": "MIT"},
        made,
        {**made, "document": "00", "judgement": "4"},  # label.llm of a real document
        {**made, "document": "00", "judgement": "4", "writer": "w"},  # and of one that a model wrote
        {**made, "document": "00", "grade": {**made, "judgement": "4"}},  # keep_meta
        {"document": "00", "grade": made},  # keep_meta, of a real document
        {"question": "q", "answer": "a", "model": 3},  # somebody's own fields
    ]
    docs = batch(["a"] * 6 + ["b"], metas)
    component = pa.array(["a"] * 6 + ["b"])
    assert Mix().synthetic_of(docs, component).to_pylist() == [False, True, False, True, True, False, False]
    said = mix(components={"b": {"synthetic": True}})
    assert said.synthetic_of(docs, component).to_pylist()[5:] == [False, True]
    assert mix(components={"a": {"synthetic": False}}).synthetic_of(docs, component).to_pylist() == [False] * 7


def test_what_is_stated():
    """Planned and taken, epochs, shares, the real and the synthetic share, what was left out."""
    given = mix(
        components={"web": 0.8, "exercises": 0.2}, phases=[{"share": 0.5, "name": "a"}, {"share": 0.5}], tokens=100
    )
    taken = takes(given, {**THERE, "exercises": (10, 50)})
    found = {
        (0, "web"): Taken(4, 41), (0, "exercises"): Taken(2, 10, 10), (1, "web"): Taken(4, 39), (1, "exercises"): Taken(3, 13, 13),
    }  # fmt: skip
    totals = {name: THERE[name] for name in ("web", "exercises")}
    said = stated(taken, totals, found, (60, 600))
    assert json.loads(json.dumps(said)) == said
    assert said["tokens"] == 103
    assert said["components"]["exercises"] == {
        "documents": 10, "tokens": 50, "planned_tokens": 20, "taken_documents": 5, "taken_tokens": 23, "epochs": 0.46,
        "share": 0.223301, "synthetic": 1.0,
        "by_phase": [{"phase": "a", "tokens": 10, "share": 0.196078}, {"phase": "2", "tokens": 13, "share": 0.25}],
    }  # fmt: skip
    assert said["phases"][0] == {"name": "a", "planned_tokens": 50, "taken_tokens": 51}
    assert (said["real"], said["synthetic"]) == (0.776699, 0.223301)
    assert said["left_out"] == {"documents": 60, "tokens": 600}
    assert "by_phase" not in stated(takes(Mix(), totals), totals, {})["components"]["web"]


def test_docs_show_the_settings_inside():
    """By dotted names, each with what it is."""
    about = {one.name: one.about for one in settings_of(Mix, "mix.")}
    assert {"mix.tokens", "mix.components.NAME.weight", "mix.phases[].share"} <= set(about)
    assert all(about.values())
