"""filter.refinedweb: a planted text for each reason and each correction."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from curate.stages.base import Context
from curate.stages.filter_refinedweb import RefinedWeb
from curate.text.batch import Batch

GOOD = [f"This is line number {i} of a long text about cats, dogs and other animals of the house." for i in range(12)]
CONTEXT = Context("step", None)


def run(text: str, **settings: Any) -> tuple[str | None, str, dict[str, float]]:
    """(reason, what is left, signals) of one text."""
    stage = RefinedWeb(**settings)
    docs = Batch(pa.RecordBatch.from_arrays([pa.array([text], pa.large_string())], ["text"]))
    signals = stage.measure(docs, CONTEXT)
    assert {name: column.type for name, column in signals.items()} == dict(stage.signals)
    left = stage.edit(docs, CONTEXT)[0].as_py()
    return stage.decide(signals)[0].as_py(), left, {k: v[0].as_py() for k, v in signals.items()}


@pytest.mark.parametrize(
    ("line", "signal"),
    [
        ("ABOUT us AND OUR SHOP", "uppercase_chars"),
        ("\u00c9T\u00c9 \u00c0 PARIS", "uppercase_chars"),
        ("20260101", "numeric_chars"),
        ("\u0662\u0660\u0662\u0666", "numeric_chars"),
        ("3 likes", "counter_chars"),
        ("(1,204.5k   Comments)", "counter_chars"),
        ("Home", "one_word_chars"),
        ("Items in cart", "phrase_chars"),
        ("Read more...", "phrase_chars"),
    ],
)
def test_a_line_goes(line: str, signal: str) -> None:
    """Each correction removes its line and counts its characters; the text around it stays."""
    reason, left, signals = run("\n".join([*GOOD[:6], line, *GOOD[6:]]))
    assert reason is None
    assert left == "\n".join(GOOD)
    assert signals[signal] == signals["removed_chars"] == len(line)
    assert signals["removed_lines"] == 1
    assert run(left)[1] == left


@pytest.mark.parametrize(
    "line", ["12 monkeys", "3 likes and a word", "Version 2", "Mostly small LETTERS", "NASA is at it again"]
)
def test_a_line_stays(line: str) -> None:
    """What is near a rule and does not break it."""
    text = "\n".join([*GOOD, line])
    assert run(text)[1] == text


def test_phrases_are_cut_out_of_short_lines() -> None:
    """At the beginning, at the end or anywhere, with a white space; long lines keep them."""
    lines = [
        "Sign-in to see it",
        "The story goes on. Read more...",
        "There are 3 ITEMS IN CART now",
        "You may sign-in here",
    ]
    long = "Sign-in is what this line of more than ten words says: items in cart. Read more..."
    reason, left, signals = run("\n".join([*GOOD, *lines, long]), max_removed_words=0.2)
    assert reason is None
    assert left.split("\n")[12:] == ["to see it", "The story goes on.", "There are 3 now", "You may sign-in here", long]
    assert signals["phrase_chars"] == len("Sign-in  Read more... ITEMS IN CART")
    assert signals["removed_lines"] == 0
    assert signals["removed_words"] == 1 + 2 + 3


def test_each_reason() -> None:
    """A planted text for each reason, in order."""
    assert run("...\n- -\n")[0] == "empty"
    assert run("HOME\n\n12")[0] == "empty"
    menu = "\n".join([*GOOD[:4], "3 likes", "ABOUT US", "Home"])
    reason, left, signals = run(menu)
    assert reason == "removed_words"
    assert left == "\n".join(GOOD[:4])
    assert signals["removed_word_share"] == 5 / (4 * 18 + 5)
    assert run(menu, max_removed_words=0.1)[0] is None


def test_empty_lines_stay() -> None:
    """Paragraphs keep their distance; white space around the text goes."""
    text = f"\n\n{GOOD[0]}\n\n{GOOD[1]}\r\n \n{GOOD[2]}\n"
    assert run(text)[1] == f"{GOOD[0]}\n\n{GOOD[1]}\r\n{GOOD[2]}"
