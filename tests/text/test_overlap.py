"""Overlaps of rows and units of word n-grams: as the slow twin finds them; formatting changes nothing."""

from __future__ import annotations

import html
import json
import random
from itertools import chain

import numpy as np
import overlap_twins
import pyarrow as pa
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.arrow import buffers
from curate.text.overlap import Index, Overlaps, overlaps, spans
from curate.text.overlap_units import PARTS, build
from curate.text.words import Words, words

NAMES = [twins.mix64(i + 1) for i in range(64)]
LEAST = (0.2, 16, 0.5)
WORD = st.integers(0, 63)
TEXT = st.one_of(
    st.lists(WORD, min_size=1, max_size=20),
    st.lists(WORD, min_size=70, max_size=100),
    st.lists(WORD, min_size=155, max_size=165),
    st.lists(st.integers(0, 1), min_size=8, max_size=30),
)
ITEM = st.fixed_dictionaries(
    {"prompt": st.lists(TEXT, min_size=1, max_size=1)},
    optional={part: st.lists(TEXT, max_size=2 if part == "choices" else 1) for part in PARTS[1:5]},
)


def view(rows: list[list[int]]) -> Words:
    """Words of rows of numbers, each as if it were three bytes and a space."""
    ends = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    starts = np.concatenate([4 * np.arange(len(row)) for row in [*rows, []]]).astype(np.uint32)
    hashes = np.array([NAMES[word] for row in rows for word in row], np.uint64)
    return Words(ends, hashes, starts, starts + np.uint32(3))


def indexed(items: list[dict[str, list[list[int]]]]) -> Index:
    texts = [
        (text, item, PARTS.index(part)) for item, parts in enumerate(items) for part in parts for text in parts[part]
    ]
    return build(view([text for text, _, _ in texts]), [item for _, item, _ in texts], [part for _, _, part in texts])


def listed(found: Overlaps) -> dict[tuple[int, int], tuple[float, float, int]]:
    columns = (found.share, found.of_row, found.run)
    values = zip(*(column.tolist() for column in columns), strict=True)
    return dict(zip(zip(found.row.tolist(), found.unit.tolist(), strict=True), values, strict=True))


@st.composite
def cases(draw):
    """Items, and rows made of pieces of their parts and of anything else."""
    items = draw(st.lists(ITEM, min_size=1, max_size=4))
    texts = [text for item in items for part in item.values() for text in part]
    piece = st.sampled_from(texts).flatmap(
        lambda t: st.tuples(st.integers(0, len(t) // 2), st.integers(0, len(t) // 2)).map(
            lambda c: t[c[0] : len(t) - c[1]]
        )
    )
    piece = st.one_of(st.sampled_from(texts), piece, st.lists(WORD, max_size=5))
    rows = draw(st.lists(st.lists(piece, max_size=6).map(lambda p: list(chain.from_iterable(p))), max_size=5))
    return items, rows


@settings(max_examples=40)
@given(cases())
def test_overlaps_are_those_of_sets_of_tuples(case):
    """Units, shares both ways, runs and spans, by brute force over word sequences."""
    items, rows = case
    index, units = indexed(items), overlap_twins.units(items)
    assert index.item.tolist() == [unit[0] for unit in units]
    assert [PARTS[part] for part in index.part] == [unit[1] for unit in units]
    assert index.totals.tolist() == [len(unit[2]) for unit in units]
    seen = view(rows)
    found = overlaps(seen, index, *LEAST)
    want = {}
    for i, row in enumerate(rows):
        for number, unit in enumerate(units):
            hit = overlap_twins.overlap(row, unit, LEAST)
            if hit:
                want[i, number] = hit
    got = listed(found)
    assert got.keys() == want.keys()
    for key, values in got.items():
        assert values == pytest.approx(want[key], rel=1e-6)
    order = list(zip(found.row.tolist(), (-found.share).tolist(), strict=True))
    assert order == sorted(order)
    where = spans(seen, index, found)
    for k, (row, unit) in enumerate(got):
        ranges = slice(where.hits[k], where.hits[k + 1])
        pieces = list(zip(where.starts[ranges].tolist(), where.stops[ranges].tolist(), strict=True))
        assert pieces == [(4 * a, 4 * b - 1) for a, b in overlap_twins.spans(rows[row], units[unit])]


def test_what_many_items_share_is_no_items_own():
    """Grams of more than 16 items do not count, unless an item has little else."""
    form = list(range(12))
    items = [{"prompt": [form + [20 + (i * k + k * k) % 37 for k in range(1, 15)]]} for i in range(17)] + [
        {"prompt": [form]}
    ]
    index = indexed(items)
    assert index.totals.tolist()[:17] == [14] * 17  # 19 grams, 5 of them the form's
    assert len(overlaps(view([form]), index, *LEAST).row) == 1  # the item that is nothing else
    assert overlaps(view([items[3]["prompt"][0]]), index, *LEAST).share.tolist()[0] == 1.0


def test_a_third_of_an_item_that_is_all_of_a_document_is_found():
    """The share of the row says what the share of the item does not."""
    prompt = random.Random(1).choices(range(64), k=150)
    found = overlaps(view([prompt[:50], prompt[:20] + list(range(60))]), indexed([{"prompt": [prompt]}]), *LEAST)
    assert found.row.tolist() == [0, 1]
    assert found.of_row.tolist() == pytest.approx([1.0, 0.25])
    assert found.run.tolist() == [50, 20]


def test_a_changed_word_does_not_end_a_run():
    """A name or a number changed leaves one passage, and the words around it count."""
    prompt = random.Random(1).choices(range(63), k=60)
    row = [*prompt[:25], 63, 63, *prompt[27:]]
    index = indexed([{"prompt": [prompt]}])
    found = overlaps(view([row]), index, *LEAST)
    assert found.run.tolist() == [58]
    assert spans(view([row]), index, found).hits.tolist() == [0, 1]


def test_a_table_of_zeros_is_no_run():
    """What repeats one gram of an item over and over holds that gram once."""
    zeros = [*range(1, 30), *[0] * 12, *range(30, 60)]
    index = indexed([{"prompt": [zeros]}])
    found = overlaps(view([[0] * 200, [61, 62, 63, *[0] * 40, *range(30, 50)]]), index, *LEAST)
    assert found.row.tolist() == [0, 1]
    assert found.run.tolist() == [8, 8 + 7 + 20]


def test_an_index_is_the_same_whatever_the_order_of_texts():
    """Arrays alone, equal to the last."""
    texts = [([1] * 20, 0, 0), (list(range(9)), 0, 1), (list(range(3)), 1, 0), ([5], 1, 1), (list(range(40)), 1, 3)]
    one, two = (
        build(view([t for t, _, _ in some]), [i for _, i, _ in some], [p for _, _, p in some])
        for some in (texts, texts[::-1])
    )
    for name in Index.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_nothing_of_nothing():
    """Rows without words, no rows, no items, a prompt without words."""
    index = indexed([{"prompt": [[1, 2, 3]]}])
    for rows in ([], [[]], [[], [1, 2]]):
        assert not len(overlaps(view(rows), index, *LEAST).row)
    empty = build(view([]), [], [])
    assert not len(overlaps(view([[1, 2, 3]]), empty, *LEAST).row)
    with pytest.raises(ValueError, match="prompt of item 1 has no words"):
        indexed([{"prompt": [[1]]}, {"prompt": [[]]}])


def _seen(text: str) -> Words:
    return words(*buffers(pa.array([text], pa.large_string())), "alphanumeric")


PROMPTS = [
    "What is the tallest mountain that isn't in Asia?",
    'Natalia sold 48 "clips" to her friends in April, and then she sold half as many in May. How many clips did she sell?',
    "from typing import List\n\ndef below_zero(operations: List[int]) -> bool:\n    return any(x < 0 for x in operations)\n",
    "What is 3+4?",
]
FORMS = [
    str.upper, str.lower, str.swapcase, json.dumps, lambda t: json.dumps(json.dumps(t)), repr, html.escape,
    lambda t: t.replace(" ", "\n"), lambda t: t.replace(" ", " \t "), lambda t: t.replace("\n", "\r\n"),
    lambda t: t.replace("'", "\u2019"), lambda t: "> " + t.replace("\n", "\n> "), lambda t: t.replace(" ", " **"),
    lambda t: t.replace("?", " \u2026"), lambda t: "<p>" + t.replace(" ", "&nbsp;") + "</p>", lambda t: t.replace(",", ";"),
]  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(PROMPTS), st.lists(st.sampled_from(FORMS), max_size=4), st.sampled_from(["", "lorem ipsum. "]))
def test_formatting_never_changes_a_verdict(prompt, forms, before):
    """Case, white space, signs, quotes, markup and escapes, one on top of the other."""
    answer = "7" if len(prompt) < 20 else ""
    texts = [text for prompt_ in PROMPTS for text in (prompt_, "7")]
    index = build(
        words(*buffers(pa.array(texts, pa.large_string())), "alphanumeric"), [0, 0, 1, 1, 2, 2, 3, 3], [0, 1] * 4
    )
    text = before + prompt + answer
    for form in forms:
        text = form(text)
    plain, formed = (overlaps(_seen(some), index, *LEAST) for some in (before + prompt + " " + answer, text))
    assert formed.unit.tolist() == plain.unit.tolist()
    assert set(index.item[formed.unit].tolist()) == {PROMPTS.index(prompt)}
    assert set(formed.share.tolist()) == set(plain.share.tolist()) == {1.0}
