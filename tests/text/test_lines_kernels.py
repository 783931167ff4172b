"""The kernels on lines against their slow twins, on made-up, odd and real documents."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path
from typing import Any

import line_twins as twins
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twins import beside, strings

from curate.text.arrow import buffers
from curate.text.bad_words import bad_words, holds
from curate.text.batch import Batch
from curate.text.capitals import capitals
from curate.text.line_corrections import CORRECTION_COUNTS, corrected_lines
from curate.text.line_rules import C4_COUNTS, Edited, c4_lines, unpunctuated_lines
from curate.text.line_shapes import line_shapes
from curate.text.sentences import sentence_counts

ODD: list[bytes] = [
    b"",
    b"word",
    b"A sentence of five words.",
    "你好世界。".encode() * 40,
    b"0123456789 " * 500,
    b"A line of words. " * 60_000,
    b"x" * 5000 + b" and more words here.",
    b" \t\r\n\xe2\x80\xa8\n",
    b"\xff\xfe\x80\x80.\n\xe2\x80\n\xe2\x80\xa8\xe2",
    b"short one.\n" * 5000,
    b"a\n" * 5000,
    b"One line of text here.\r\nAnother line of text here.\r\n\r\nThe last line of text here.",
    "One line of text here.\u2028Another line of text here.\u2029The last \x85line of text is this.".encode(),
    b"\n" * 5000,
    b"[1]",
    b"A line that ends in a citation. [12]\nA line that ends in a citation.[12]\n",
]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"terminal": False},
    {"citations": False, "javascript": False, "policy": False, "min_words": 0, "terminal": False},
    {"max_word_chars": 8, "paragraph_chars": 20, "min_words": 2},
]


def c4(rows: list[bytes], counting: str, **asked: Any) -> Edited:
    array = beside(rows)
    given = {
        "terminal": True,
        "min_words": 5 if counting == "paper" else 3,
        "paragraph_chars": 200,
        **{k: v for k, v in asked.items() if k in ("terminal", "min_words", "paragraph_chars")},
    }
    found = Batch(pa.RecordBatch.from_arrays([array], ["text"])).words("gopher")
    words = (found.rows, found.starts, found.stops)
    if counting == "dolma":
        return unpunctuated_lines(*buffers(array), words, **given)
    more = {"citations": True, "javascript": True, "policy": True, "max_word_chars": 1000}
    return c4_lines(
        *buffers(array),
        words,
        apostrophe=counting == "datatrove",
        recount=counting == "paper",
        **given,
        **{k: asked.get(k, v) for k, v in more.items()},
    )


def left(edited: Edited) -> list[bytes]:
    return edited.text.cast(pa.large_binary()).to_pylist()


def check_c4(rows: list[bytes], counting: str, **asked: Any) -> None:
    edited = c4(rows, counting, **asked)
    found = edited.columns(C4_COUNTS)
    for i, (row, text) in enumerate(zip(rows, left(edited), strict=True)):
        expected, counts = twins.c4(row, counting, **asked)
        assert text == expected
        assert {name: int(column[i]) for name, column in found.items()} == counts


def check_corrected(rows: list[bytes], **asked: Any) -> None:
    lists = {
        k: list(asked.get(k, v))
        for k, v in (("anywhere", ["items in cart"]), ("end", ["read more..."]), ("begin", ["sign-in"]))
    }
    numbers = {"max_upper": 0.5, "max_numeric": 0.999999, "short_words": 10}
    edited = corrected_lines(*buffers(beside(rows)), **{k: asked.get(k, v) for k, v in numbers.items()}, **lists)
    found = edited.columns(CORRECTION_COUNTS)
    for i, (row, text) in enumerate(zip(rows, left(edited), strict=True)):
        expected, counts = twins.corrected(row, **asked)
        assert text == expected
        assert {name: int(column[i]) for name, column in found.items()} == counts


def check_shapes(rows: list[bytes], **asked: Any) -> None:
    found = line_shapes(
        *buffers(beside(rows)), asked.get("short", 30), **{k: v for k, v in asked.items() if k == "ends"}
    )
    for i, row in enumerate(rows):
        assert {k: int(v[i]) for k, v in found.items()} == twins.shapes(row, **{"short": 30, **asked})


@pytest.mark.parametrize("counting", ["paper", "datatrove", "dolma"])
@given(rows=twins.ROWS, asked=st.sampled_from(VARIANTS))
@settings(max_examples=40)
def test_c4(counting: str, rows: list[bytes], asked: dict[str, Any]) -> None:
    """Text that is left and every count are the twin's, whatever the bytes."""
    check_c4(rows, counting, **asked)


@given(rows=twins.ROWS)
@settings(max_examples=40)
def test_corrections(rows: list[bytes]) -> None:
    """RefinedWeb's corrections are the twin's."""
    check_corrected(rows)
    check_corrected(rows, short_words=3, anywhere=("a", "end", ""), end=("b c", "."), begin=("use", "["), max_upper=0.1)


@given(rows=twins.ROWS)
@settings(max_examples=40)
def test_shapes(rows: list[bytes]) -> None:
    """FineWeb's counts are the twin's."""
    check_shapes(rows)
    check_shapes(rows, short=4, ends=tuple(map(ord, ".'\"!?\u3002")))


@given(
    rows=twins.ROWS, entries=st.lists(st.sampled_from(["bad", "Bad word", "b\u00e4d", "e.g.", "...", "a", " ", "word"]))
)
@example(rows=[b"lorem\x80bad", b"\xc3\xa9\x80bad"], entries=["bad"])
@settings(max_examples=40)
def test_bad_words(rows: list[bytes], entries: list[str]) -> None:
    """An entry is found where the twin's expression finds it."""
    found = holds(*buffers(beside(rows)), bad_words(entries))
    assert found.tolist() == [twins.bad_words(row, entries) for row in rows]


def test_odd_documents() -> None:
    """Empty, one word, no line end, CJK, digits, 1 MB, bytes that are no text, white space, thousands of lines."""
    for counting in ("paper", "datatrove", "dolma"):
        check_c4(ODD, counting)
    check_corrected(ODD)
    check_shapes(ODD)


def test_one_hundred_thousand_lines() -> None:
    """Many short lines in one row: the set of lines grows, nothing overflows."""
    many = b"".join(b"%d is a line of text.\n" % (i % 60_000) for i in range(100_000))
    found = line_shapes(*buffers(strings([many])), 30)
    assert found["duplicate_lines"][0] == 40_000
    edited = c4([many], "datatrove")
    assert left(edited)[0] == many.strip()
    assert edited.counts[0, C4_COUNTS.index("sentences")] == 100_000


def test_samples() -> None:
    """The twin's results on the shipped web sample."""
    import json

    import zstandard

    path = Path(__file__).parents[2] / "data" / "samples" / "web.jsonl.zst"
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["text"].encode() for line in itertools.islice(lines, 150)]
    for counting in ("paper", "datatrove", "dolma"):
        check_c4(rows, counting)
    check_c4(rows, "datatrove", terminal=False)
    check_corrected(rows)
    check_shapes(rows)


@given(rows=twins.ROWS)
@settings(max_examples=40)
def test_edits_settle(rows: list[bytes]) -> None:
    """What is left of what is left is the same, where no citation within a citation remains and no line is cut."""
    for counting in ("paper", "datatrove", "dolma"):
        once = c4(rows, counting, citations=False)
        assert left(c4(left(once), counting, citations=False)) == left(once)


SENTENCES = {
    "Hello there. This is Dr. Smith's U.S. car! Really?? Yes... no.": 4,
    "wait... what. No": 2,
    "i.e. e.g. etc. Foo": 2,
    'he said "hi." Then left.': 2,
    "end.Next one": 2,
    "vitamin C. Next": 1,
    "the USA. Next": 2,
    "v1.2 a": 1,
    "v1.2. a": 2,
    "it's 3.5. OK.)": 2,
    "": 1,
    "...": 1,
    "what?no": 1,
    "?no": 2,
}


def test_sentences_of_examples() -> None:
    """The rule does what its description says."""
    array = strings([line.encode() for line in SENTENCES])
    assert sentence_counts(*buffers(array)).tolist() == list(SENTENCES.values())


def test_capitals() -> None:
    """Every capital of the table is one in this Python; where the versions are the same, no other is."""
    table = capitals()
    assert all(chr(point).isupper() for point in np.flatnonzero(table))
    if unicodedata.unidata_version == "14.0.0":
        assert table.sum() == sum(chr(point).isupper() for point in range(0x110000))
