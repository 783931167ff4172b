"""The running state of a prompt family: against a slow twin, against theory where answers collapse, and on real texts."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from corpus import code, prose
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.family import WINDOW, Family, Limits, Point, Seen, seen_of, verdict
from curate.text.batch import Batch
from curate.text.near_keys import near_keys

WORDS = [
    "tree",
    "node",
    "graph",
    "list",
    "sort",
    "find",
    "path",
    "sum",
    "count",
    "value",
    "key",
    "table",
    "row",
    "cell",
    "loop",
    "branch",
    "leaf",
    "root",
    "edge",
    "weight",
]


def texts_of(rows: list[str]) -> pa.Array:
    return pa.array(rows, pa.large_string())


def keyed(species: list[int], opening: str = "") -> Seen:
    """A round whose texts are copies of numbered ones."""
    keys = np.array([[1 + s * 10 + band for band in range(10)] for s in species], np.uint64).reshape(-1, 10)
    return Seen(
        keys * np.uint64(0x9E3779B97F4A7C15), tuple(opening or f"text {s}" for s in species), (9,) * len(species), 0, 0
    )


class SlowFamily:
    """The same with Python's sets over all texts."""

    def __init__(self):
        self.texts, self.of, self.rounds, self.answers = [], [], [], 0

    def add(self, seen, answers):
        found = []
        for keys in seen.keys.tolist():
            like = [
                n
                for n, (other, first) in enumerate(self.texts)
                if first == -1 and any(a == b for a, b in zip(keys, other, strict=True))
            ]
            found.append(min(like, default=-1))
            self.texts.append((keys, found[-1]))
        self.answers += answers
        self.rounds.append((seen, found))
        return found

    def point(self):
        firsts = [first if first >= 0 else n for n, (_, first) in enumerate(self.texts)]
        counts = Counter(firsts)
        last, openings = [], []
        for seen, found in reversed(self.rounds):
            if sum(len(f) for _, f in last) < WINDOW:
                last.append((seen, found))
        for seen, found in self.rounds:
            openings += [o for o, first in zip(seen.openings, found, strict=True) if first < 0]
        openings = openings[-WINDOW:]
        most = max(openings, key=lambda o: (openings.count(o), [-ord(c) for c in o])) if openings else ""
        n, gone = sum(len(f) for _, f in last), sum(first >= 0 for _, f in last for first in f)
        packed = sum(s.packed for s, _ in last)
        return Point(
            self.answers, len(self.texts), len(counts), gone / n if n else None,
            sum(c == 1 for c in counts.values()) / len(firsts) if firsts else None,
            openings.count(most) / len(openings) if openings else None, most,
            sum(s.sliced for s, _ in last) / packed if packed else None,
        )  # fmt: skip


BANDED = st.lists(st.tuples(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.sampled_from("abc")), max_size=12)


@settings(max_examples=40, deadline=None)
@given(st.lists(BANDED, min_size=1, max_size=30))
def test_is_its_slow_twin(rounds):
    """Whom each text repeats, and every point, for rounds of any size, empty ones too."""
    fast, slow = Family(), SlowFamily()
    for number, round_ in enumerate(rounds):
        keys = np.array([[k + 100 * band for band, k in enumerate(ks)] for ks, _ in round_], np.uint64).reshape(-1, 3)
        seen = Seen(
            keys, tuple(o for _, o in round_), (5,) * len(round_), 4096 * len(round_), 1000 + number if round_ else 0
        )
        assert fast.add(seen, len(round_) + 1) == slow.add(seen, len(round_) + 1)
        assert fast.points[-1] == slow.point()


def test_window_of_openings_and_rounds():
    """What lies more than WINDOW texts back says nothing, and is not kept."""
    fast, slow = Family(), SlowFamily()
    draw = random.Random(1)
    for number in range(60):
        species = [draw.randrange(10**6) for _ in range(draw.randrange(12))] + [number]
        seen = keyed(species, "ab"[number // 25 % 2])
        assert fast.add(seen, len(species)) == slow.add(seen, len(species))
    assert fast.points[-1] == slow.point()
    assert len(fast._openings) == WINDOW


@pytest.mark.parametrize("k", [50, 400, 3000])
def test_collapse_follows_theory_and_is_stopped(k):
    """K distinct answers drawn at random: copies are 1 - (1 - 1/K)^N at the N-th draw, unseen mass (1 - 1/K)^(N - 1)."""
    draw = random.Random(k)
    family, size = Family(), 20
    for _ in range(10 * k // size):
        family.add(keyed([draw.randrange(k) for _ in range(size)]), size)
    for point in family.points:
        n = point.accepted
        wanted = k * (1 - (1 - 1 / k) ** n)
        assert abs(point.distinct - wanted) <= 5 * math.sqrt(wanted * math.exp(-n / k)) + 2
        assert abs(point.unseen - (1 - 1 / k) ** (n - 1)) <= 5 * math.sqrt(max(math.exp(-n / k), 1 / n) / n)
    at_k = min(family.points, key=lambda point: abs(point.accepted - k))
    assert abs(1 - at_k.distinct / at_k.accepted - 0.368) < 1 / math.sqrt(k)
    stop = next(i for i in range(len(family.points)) if not verdict(family.points[: i + 1], Limits())[0])
    assert family.points[stop].accepted <= max(k + WINDOW / 2, Limits().least + size)
    assert family.verdict(Limits()) == verdict(family.points, Limits())
    assert family.verdict(Limits())[0] == 0


def test_a_stop_is_for_ever():
    """Rounds that were in flight don't wake a family up, nor does a second look."""
    family = Family()
    family.add(keyed([1] * 150), 150)
    weight, why = family.verdict(Limits())
    assert weight == 0
    assert why == "near duplicates 0.99 of the last 150, limit 0.5"
    family.add(keyed(list(range(2, 3000))), 3000)
    assert family.verdict(Limits()) == (0, why)
    assert family.verdict(Limits(least=2000)) == (1.0, "")
    assert family.verdict(Limits(max_duplicates=1, min_unseen=0)) == (1.0, "")


def test_real_texts_are_never_stopped():
    """Prose and code of packages, a few paragraphs each."""
    for texts in (prose(300), code(200, 4000)):
        family = Family()
        for at in range(0, len(texts), 8):
            part = texts[at : at + 8]
            family.add(seen_of(texts_of(part)), len(part))
            assert family.verdict(Limits(least=20))[0] == 1


def test_near_copies_meet():
    """One word of a hundred changed: nearly always; half of them: never. Short texts are compared by shorter runs."""
    draw = random.Random(3)

    def changed(words, share):
        return [draw.choice(WORDS) + "x" if draw.random() < share else w for w in words]

    same, other = [], []
    for _ in range(300):
        words = [draw.choice(WORDS) + str(draw.randrange(50)) for _ in range(100)]
        at = draw.randrange(100)
        near = [*words[:at], "changed", *words[at + 1 :]]
        keys = near_keys(Batch.of(texts_of([" ".join(w) for w in (words, near, changed(words, 0.5))])))
        same.append((keys[0] == keys[1]).any())
        other.append((keys[0] == keys[2]).any())
    assert np.mean(same) > 0.95
    assert not np.any(other)


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("Binary search trees", "binary search TREES!", True),
        ("Binary search trees", "Hash tables", False),
        ("", "", True),
        ("", "?!", False),
        ("- ?", "-  ?", True),
        ("def f(a): return a", "def f(a): return a", True),
    ],
)
def test_short_texts(one, two, alike):
    """Layout, case and signs don't count; texts without a word are compared by their signs."""
    keys = near_keys(Batch.of(texts_of([one, two])))
    assert (keys[0] == keys[1]).any() == alike


def test_seen_goes_through_json():
    """What a worker made comes back the same, also of no text."""
    for rows in ([], ["Some text.", "", "Größe der Bäume und Blätter im Wald"]):
        seen = seen_of(texts_of(rows))
        again = Seen.load(json.loads(json.dumps(seen.dump())))
        assert np.array_equal(again.keys, seen.keys)
        assert again.dump() == seen.dump()
    assert seen.openings == ("some text", "", "größe der bäume und blätter")
    assert seen.sizes == (10, 0, len("Größe der Bäume und Blätter im Wald".encode()))


def test_templates_and_forms_stop_a_family():
    """Distinct texts with one opening, and distinct ones of one form."""
    draw = random.Random(5)
    opened, formed = Family(), Family()
    for _ in range(30):
        bodies = [" ".join(draw.choice(WORDS) + str(draw.randrange(999)) for _ in range(60)) for _ in range(8)]
        opened.add(seen_of(texts_of([f"In this section we will {b}" for b in bodies])), 8)
        made = [(draw.choice(WORDS), draw.choice(WORDS), draw.randrange(10**6)) for _ in range(12)]
        formed.add(seen_of(texts_of([
            f"def {a}_{b}_{c}(items):\n    total = 0\n    for item in items:\n        if item % {c} == 0:\n            total += item\n"
            f"    return total\n\nassert {a}_{b}_{c}([{c}, 1, 2]) == {c}\nassert {a}_{b}_{c}([]) == 0\n" for a, b, c in made
        ])), 12)  # fmt: skip
    assert opened.verdict(Limits()) == (0, '"in this section we will" begins 1.00 of the last 104, limit 0.5')
    assert opened.verdict(Limits(max_template=1))[0] == 1
    weight, why = formed.verdict(Limits())
    assert weight == 0
    assert why.startswith("compression ratio")


def test_curve_is_thinned():
    """Its end is always there."""
    family = Family()
    for number in range(1000):
        family.add(keyed([number]), 2)
    curve = family.curve(50)
    assert len(curve) == 50
    assert curve[-1] == vars(family.points[-1])
    assert len(family.curve(5000)) == 1000
    assert Family().curve() == []
