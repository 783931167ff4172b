"""Rephrased prompts: found by names, numbers and rare words; measured as slow twins measure them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import assets
from curate.text import rephrased as r
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.rephrased_joined import fault, joined
from curate.text.stems import _NAMES, _NUMBERS, background, stems
from curate.text.words import words

HUMANEVAL = [
    json.loads(line) for line in (assets.find("data", "benchmarks") / "humaneval.jsonl").open(encoding="utf-8")
]
PROMPTS = [item["prompt"] for item in HUMANEVAL]
STORIES = [
    "Marta had 17 marbles and her cousin Ivo had 5 fewer. They lost a third of all of them in the canal. How many are left?",
    "A baker in Lisbon bakes 240 custard tarts a day and sells them in boxes of 6 for $9. What does she earn in a week?",
]
FILLER = (Path(sysconfig.get_paths()["stdlib"]) / "textwrap.py").read_text(encoding="utf-8")
REPHRASED = {
    0: "Given numbers, tell whether any two in the list are closer to each other than a given threshold. "
    "has_close([1.0, 2.0, 3.0], 0.5) is False",
    1: "The input is a string with several groups of nested parentheses. Separate those groups into separate strings and "
    "return the list of them. Each group is balanced, every open brace is properly closed, and groups are not nested "
    "within each other. Ignore spaces in the input.",
    13: "Compute the greatest common divisor of two integers a and b. gcd(3, 5) gives 1, gcd(25, 15) gives 5",
    164: "Ivo owned five marbles less than Marta, his cousin, who owned 17. In the canal a third of their marbles was lost. "
    "How many marbles do they still have?",
    165: "In Lisbon there is a baker who makes 240 custard tarts daily. A box of 6 tarts costs $9. How much money does the "
    "baker make weekly?",
}


@cache
def index() -> r.RephraseIndex:
    """Of HumanEval's prompts and the stories."""
    return r.build(PROMPTS + STORIES, range(166))


def of(*texts: str, least: float = 0.0) -> r.Rephrasings:
    return r.rephrased(Batch.of(pa.array(texts, pa.large_string())), index(), least)


def stem(word: str) -> bytes:
    """What is left of a word, plainly."""
    if not word.isascii() or word.isdigit():
        return word.encode()
    word = word.lower()
    if len(word) > 3 and word.endswith("s"):
        word = word[:-1]
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
    elif len(word) > 4 and word.endswith("ed"):
        word = word[:-2]
    elif len(word) > 4 and word[-1] in "ey":
        word = word[:-1]
    return word[:6].encode()


CLOSED = {word.removesuffix("s") for word in f"{_NUMBERS} {_NAMES}".split()}


@settings(max_examples=40)
@given(st.lists(st.from_regex(r"\A[a-zA-Z]{1,9}(s|ing|ed|y|e|ies)?\Z|\A[0-9]{1,8}\Z", fullmatch=True), max_size=8))
def test_stems_are_those_of_a_plain_rule(some):
    """Hashes of what the rule leaves; numbers are said to be numbers."""
    some = [word for word in some if word.lower().removesuffix("s") not in CLOSED]
    text = buffers(pa.array([" ".join(some)], pa.large_string()))
    hashes, numbers = stems(*text, words(*text, "alphanumeric"))
    want = [twins.mix64(int.from_bytes(bytes(byte | 32 for byte in stem(word)), "big") + 1) for word in some]
    assert hashes.tolist() == want
    assert numbers.tolist() == [word.isdigit() for word in some]


def test_words_that_belong_together_have_one_stem():
    """Endings of English; what is longer than eight digits or beyond ASCII stays whole."""
    text = buffers(
        pa.array(["distribute distributed distribution Distributing", "123456789 naïve", "12345678"], pa.large_string())
    )
    seen = words(*text, "alphanumeric")
    hashes, _ = stems(*text, seen)
    assert len(set(hashes[:4].tolist())) == 1
    assert hashes[4:6].tolist() == seen.hashes[4:6].tolist()
    assert hashes[6] != seen.hashes[6]


def test_a_numbers_name_is_the_number():
    """Names of numbers, days, months and planets count among numbers; their prefixes do not."""
    text = buffers(
        pa.array(["Seven 7 twenty 20 Friday fridays Wednesdays wednesday one seventh Mayday"], pa.large_string())
    )
    hashes, numbers = stems(*text, words(*text, "alphanumeric"))
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3]
    assert hashes[4] == hashes[5]
    assert hashes[6] == hashes[7]
    assert numbers.tolist() == [True] * 8 + [False] * 3


def test_the_background_knows_ordinary_words():
    """6,000 stems, the most frequent first in the file, each hash once."""
    names, counts = background()
    assert len(set(names.tolist())) == len(names) == 6000
    text = buffers(pa.array(["the marble"], pa.large_string()))
    the, marble = stems(*text, words(*text, "alphanumeric"))[0]
    assert counts[names == the] > 10_000
    assert marble not in names


@pytest.mark.parametrize("number", REPHRASED)
def test_a_rephrased_prompt_is_found_in_a_page(number):
    """Alone, and in the middle of a file; the window is where it is."""
    text = REPHRASED[number]
    inside = FILLER[:3000] + "\n\n" + text + "\n\n" + FILLER[3000:6000]
    found = of(text, inside, least=-3.0)
    assert number in found.item[found.row == 0]
    hit = int(np.nonzero((found.row == 1) & (found.item == number))[0][0])
    window = inside.encode()[found.starts[hit] : found.stops[hit]].decode()
    assert len(set(re.findall(r"\w+", window)) & set(re.findall(r"\w+", text))) >= 0.6 * len(
        set(re.findall(r"\w+", text))
    )


def test_most_rephrased_prompts_are_sure_and_files_are_not():
    """At a score of 0.5: most of those above, none of the standard library's files but copies of what it documents."""
    assert len(set(of(*REPHRASED.values(), least=0.5).row.tolist())) >= 4
    files = [
        f.read_text(encoding="utf-8", errors="replace")
        for f in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-m]*.py"))
    ]
    assert len(of(*files, least=0.5).row) <= 1


def test_a_prompt_itself_is_found():
    """Every prompt says what it says; of a row's items the best comes first."""
    found = of(*PROMPTS, least=0.0)
    first = dict(zip(found.row[::-1].tolist(), found.item[::-1].tolist(), strict=True))
    assert sum(first.get(i) == i for i in range(164)) >= 155
    assert (np.diff(found.row) >= 0).all()
    assert all(np.diff(found.score[found.row == row]).max(initial=0.0) <= 0 for row in range(164))


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 12), max_size=60),
    st.sets(st.integers(0, 11), min_size=1),
    st.integers(1, 12),
)
def test_a_window_is_the_one_that_carries_most(row, wanted, size):
    """By trying all of them."""
    places = np.array([word if word < 12 else -1 for word in row], np.int32)
    weights = np.linspace(1.0, 3.0, 12).astype(np.float32)
    mark, inside = np.full(12, -1, np.int64), np.zeros(12, np.int64)
    mark[list(wanted)] = 7
    first, stop = r._window(places, weights, mark, inside, 7, 0, len(row), size)

    def carried(a: int, b: int) -> float:
        return sum(float(weights[word]) for word in set(row[a:b]) & wanted)

    assert carried(first, stop) == pytest.approx(max((carried(a, a + size) for a in range(len(row))), default=0.0))
    assert stop - first <= size
    assert not inside.any()


def test_features_are_what_they_say():
    """Of the prompts' rephrasings, by sets of stems within the window."""
    texts = list(REPHRASED.values())
    found, built = of(*texts, least=-100.0), index()
    assert len(found.row) >= 5
    for k in range(len(found.row)):
        window = texts[found.row[k]].encode()[found.starts[k] : found.stops[k]].decode()
        text = buffers(pa.array([window], pa.large_string()))
        hashes, digits = stems(*text, words(*text, "alphanumeric"))
        passage = found.passage[k]
        its = built.members[built.passages_at[passage] : built.passages_at[passage + 1]]
        known = dict(
            zip(built.stems.tolist(), zip(built.weights.tolist(), built.numbers.tolist(), strict=True), strict=True)
        )
        mine = {int(built.stems[i]) for i in its if not built.numbers[i]}
        my_numbers = {int(built.stems[i]) for i in its if built.numbers[i]}
        there = set(hashes[~digits].tolist())
        both = sum(known[s][0] for s in mine & there)
        # Words that no prompt has weigh the most, each time they occur.
        other = sum(known[s][0] for s in there - mine if s in known) + 7.0 * sum(
            s not in known for s in hashes[~digits].tolist()
        )
        numbers = [s for s in hashes[digits].tolist() if s not in known] + list(
            {s for s in hashes[digits].tolist() if s in known}
        )
        shared = len(my_numbers & set(numbers))
        length = built.words[passage]
        assert found.features[k].tolist() == pytest.approx(
            [
                both / sum(known[s][0] for s in mine),
                both / (both + other),
                math.log1p(both),
                shared / max(1, len(my_numbers)),
                shared / max(1, len(numbers)),
                float(not my_numbers),
                abs(math.log((len(hashes) + 1) / (length + 1))),
                math.log1p(sum(known[s][0] > 0 for s in mine & there)),
                math.log1p(length),
            ],
            rel=1e-4,
            abs=1e-5,
        )
        score = (
            sum(a * b for a, b in zip(found.features[k].tolist(), r.COEFFICIENTS, strict=False)) + r.COEFFICIENTS[-1]
        )
        assert found.score[k] == pytest.approx(score, rel=1e-4, abs=1e-4)


def test_neither_neighbours_nor_formatting_bear_on_a_row():
    """A row has the same in any batch, whatever its layout."""
    texts = [*REPHRASED.values(), FILLER, "", "What?"]
    together = of(*texts)
    for row, text in enumerate(texts):
        mine = together.row == row
        for form in (str, str.upper, lambda t: t.replace(" ", "\n\n"), json.dumps):
            alone = of(form(text))
            assert alone.item.tolist() == together.item[mine].tolist()
            assert alone.score.tolist() == together.score[mine].tolist()


def test_a_long_prompts_question_is_a_passage_of_its_own():
    """A question about a text is asked without the text, too."""
    story = (
        "The following is of a letter.\n"
        + "It was a bright cold day in April, and the clocks were striking thirteen. " * 8
    )
    question = "Which nineteenth century reform movement does the author of the letter criticise?"
    index = r.build([story + "\n" + question, "Short.\n" + question], [4, 9])
    assert index.item.tolist() == [4, 4, 9]
    found = r.rephrased(Batch.of(pa.array([question], pa.large_string())), index, -100.0)
    assert sorted(found.item.tolist()) == [4, 9]


def test_nothing_of_nothing():
    """No rows, no words, no prompts, prompts without words."""
    assert not len(of().row)
    assert not len(of("", "?!").row)
    for index in (r.build([], []), r.build(["?!", ""], [0, 1])):
        assert not len(r.rephrased(Batch.of(pa.array(["What is it?"], pa.large_string())), index).row)


def test_indexes_joined_are_the_index_of_all():
    """Whatever they are cut into; an index is sound, and one with another array is not."""
    texts = [*PROMPTS[:40], *STORIES, "?!", PROMPTS[3]]
    whole = r.build(texts, range(len(texts)))
    parts = [r.build(texts[:10], range(10)), r.build([], []), r.build(texts[10:], range(len(texts) - 10))]
    made = joined(parts, [0, 10, 10])
    for field in dataclasses.fields(r.RephraseIndex):
        assert np.array_equal(getattr(made, field.name), getattr(whole, field.name)), field.name
    assert np.array_equal(made.weights, whole.weights)
    assert fault(made, len(texts)) == ""
    for name, bad in (
        ("item", made.item + 1),
        ("members", made.members[::-1].copy()),
        ("members", made.members.astype(np.int64)),
        ("passages_at", made.passages_at[:-1]),
        ("stems", made.stems[::-1].copy()),
        ("words", -made.words - 1),
        ("numbers", made.numbers[1:]),
    ):
        assert name in fault(dataclasses.replace(made, **{name: bad}), len(texts))
