"""The counts behind filter.massivetext against their twins: word counts, lines and paragraphs, n-grams."""

from __future__ import annotations

import itertools
import time
import unicodedata
from collections.abc import Sequence

import massivetext_twins as twin
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import ROW, ROWS, beside, strings

from curate.text import line_counts, repetition, word_counts
from curate.text.batch import Batch
from curate.text.massivetext import ALPHA, COUNTINGS, MARK, WORD, classes
from curate.text.spaces import chars, stripped
from curate.text.swar import SEED
from curate.text.words import Words

KERNELS = settings(max_examples=40)  # the first example compiles
SMALL = ("a", "b", "ab", "aa", "ba", "aaa", "11", "1", "é", "中")
PHRASES = (
    *("the cat sat on the mat and that", "to be with", "- x", "• y", "* z", "● q", "etc...", "so…", "a . . .", "..."),
    *(
        "\n",
        "\n\n",
        "\n\n\n",
        "\n \n",
        "\r\n",
        "\r",
        "\x0b",
        "\x1c",
        "\x85",
        "\u2028",
        " ",
        "\u3000",
        "\n- x",
        "\n\n- x",
    ),
    *(
        "###",
        "#",
        "12 34 5",
        "1 2 3 4 5 6",
        "11 2 34 5 6",
        "don't",
        "of\x00 the\x00 ",
        "word, word.",
        "中文中文 ",
        "é",
        "\udcff",
        "\udc80 ",
    ),
    *("the cat sat on the mat and that one two three four five six\n", "HAVE", "That,", "x" * 40),
)
TEXT = st.lists(st.sampled_from(PHRASES), max_size=30).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogateescape")
)
LONG = [
    b"word " * 70_000,
    ("ab" * 100_000).encode(),
    b"same\n" * 20_000,
    "\n".join(f"line {i}" for i in range(70_000)).encode(),
    "中文" * 5_000,
    b"0123456789 " * 500,
    b"\xff\xfe " * 1000,
    b" \t\n\xc2\xa0" * 3000,
]


def batch(rows: Sequence[bytes]) -> Batch:
    return Batch(pa.RecordBatch.from_arrays([beside(list(rows))], ["text"]))


def words_in(docs: Batch, words: Words, row: int) -> list[str]:
    """A row's words as strings."""
    offsets, data = docs.utf8
    base = int(offsets[row])
    spans = range(int(words.rows[row]), int(words.rows[row + 1]))
    return [twin.text_of(bytes(data[base + int(words.starts[i]) : base + int(words.stops[i])])) for i in spans]


def counted(docs: Batch, counting: str, policy: str | None = None) -> tuple[list[dict[str, int]], list[list[str]]]:
    """Everything counted in each row, and its words."""
    way = COUNTINGS.index(counting)  # type: ignore[arg-type]
    words = docs.words(policy or ("tokens" if counting in ("datatrove", "dclm") else "gopher"))  # type: ignore[arg-type]
    counts, lengths = word_counts.word_counts(*docs.utf8, words.rows, words.starts, words.stops, way)
    found = {
        **counts,
        **line_counts.line_counts(*docs.utf8, docs.lines.rows, docs.lines.starts, way),
        **repetition.repetition(*docs.utf8, words.rows, words.hashes, words.starts, words.stops, lengths, way),
    }
    rows = [{name: int(values[i]) for name, values in found.items()} for i in range(len(docs))]
    return rows, [words_in(docs, words, i) for i in range(len(docs))]


def compare(rows: Sequence[bytes], counting: str, policy: str | None = None) -> None:
    found, words = counted(batch(rows), counting, policy)
    for row, own, split in zip(rows, found, words, strict=True):
        expected = {
            **twin.word_counts(counting, row, split),
            **twin.line_counts(counting, row),
            **twin.repetition(counting, split),
        }
        assert own == expected, (counting, row[:200])


@pytest.mark.parametrize("counting", COUNTINGS)
@KERNELS
@given(rows=st.lists(st.one_of(TEXT, ROW), max_size=6))
def test_counts_are_the_twins(counting: str, rows: list[bytes]) -> None:
    """Word, line and n-gram counts of any bytes are those of the definitions restated in Python."""
    compare(rows, counting)


@pytest.mark.parametrize("counting", COUNTINGS)
@KERNELS
@given(rows=st.lists(st.lists(st.sampled_from(SMALL), max_size=60), max_size=4))
def test_repetition_of_few_words(counting: str, rows: list[list[str]]) -> None:
    """Texts of very few different words: everything repeats, ties everywhere, words that glue to the same string."""
    docs = batch([" ".join(row).encode() for row in rows])
    found, words = counted(docs, counting, "gopher")
    assert words == rows
    for own, row in zip(found, rows, strict=True):
        expected = twin.repetition(counting, row)
        assert {name: own[name] for name in expected} == expected


@pytest.mark.parametrize("counting", COUNTINGS)
def test_one_batch_of_many_rows(counting: str) -> None:
    """A row's counts don't depend on the rows before it: tables are used again without being cleared."""
    rows = [
        f"row {i % 7} of the {i % 3} same words in the same order as before\n".encode() * (i % 5) for i in range(60)
    ]
    whole, _ = counted(batch(rows), counting)
    single = [counted(batch([row]), counting)[0][0] for row in rows]
    assert whole == single


@pytest.mark.parametrize("counting", COUNTINGS)
def test_long_rows(counting: str) -> None:
    """A row of 350 kB, of 70,000 lines, of one word, of nothing but white space or invalid bytes: as the twin has it."""
    rows = [row if isinstance(row, bytes) else row.encode() for row in LONG]
    found, words = counted(batch([*rows, b"after all this"]), counting)
    for row, own, split in zip([*rows, b"after all this"], found, words, strict=True):
        expected = {**twin.word_counts(counting, row, split), **twin.line_counts(counting, row)}
        assert {name: own[name] for name in expected} == expected
        some = (5, 10) if len(split) < 50_000 else (7,)
        for n in some:
            assert own[f"repeated_{n}"] == twin.repeated(counting, split, n)
        assert own["top_2"] == twin.top(counting, split, 2)


@pytest.mark.parametrize("counting", COUNTINGS)
def test_marks_that_run_out(counting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the marks of a table reach their end it is emptied and goes on from the beginning."""
    rows = np.array([0, 40, 80, 120], np.int64)
    hashes = np.tile(np.arange(10, dtype=np.uint64), 12)
    lengths = np.ones(120, np.int32)
    starts = np.tile(np.arange(40, dtype=np.uint32), 3)
    data = np.frombuffer(bytes(range(48, 58)) * 12, np.uint8)
    offsets = np.array([0, 40, 80, 120], np.int64)
    way = COUNTINGS.index(counting)  # type: ignore[arg-type]
    arguments = (offsets, data, rows, hashes, starts, starts + 1, lengths, way, SEED)
    usual = repetition._repetition.py_func(*arguments)
    monkeypatch.setattr(repetition, "_MOST", 500)
    assert np.array_equal(repetition._repetition.py_func(*arguments), usual)
    assert np.array_equal(repetition._repetition(*arguments), usual)
    docs = batch([b"a\nb\na\n\n\nb"] * 5)
    more = (*docs.utf8, docs.lines.rows, docs.lines.starts, way, SEED)
    lines = line_counts._line_counts(*more)
    monkeypatch.setattr(line_counts, "_MOST", 20)
    assert np.array_equal(line_counts._line_counts.py_func(*more), lines)
    assert (lines == lines[0]).all()


def test_a_line_end_at_a_blocks_end() -> None:
    """Its bytes lie on both sides of the last 64 that are looked at together: counted alike, whatever stands behind."""
    row = b"a" * 63 + "\u2028- x".encode()
    for behind in ([], [b"b" * 500]):
        docs = Batch(pa.RecordBatch.from_arrays([strings([row, *behind])], ["text"]))
        counts = line_counts.line_counts(*docs.utf8, docs.lines.rows, docs.lines.starts, COUNTINGS.index("datatrove"))
        assert (counts["lines"][0], counts["bullet_lines"][0]) == (2, 1)


def test_strings_made_to_have_equal_sums() -> None:
    """5-grams that differ, of one number modulo 2^61 - 1: counted right, and not each compared with all."""
    swaps = [bytes(x) for x in itertools.product(b"ab", repeat=10)]
    # Bytes 61 apart count the same: a sign moved from one place to the other leaves the sum as it is.
    words = [b"h" * 40 + s + b"-" * (61 - 10) + s.translate(bytes.maketrans(b"ab", b"ba")) for s in swaps]
    row = b" ".join(b" ".join((w, b"one", b"two", b"three", b"four")) for w in words)
    docs = batch([row])
    found = docs.words("gopher")
    way = COUNTINGS.index("datatrove")
    lengths = word_counts.word_counts(*docs.utf8, found.rows, found.starts, found.stops, way).lengths
    begin = time.process_time()
    grams = repetition.repetition(*docs.utf8, found.rows, found.hashes, found.starts, found.stops, lengths, way)
    taken = time.process_time() - begin
    assert {name: int(grams[name][0]) for name in ("repeated_5", "repeated_6")} == {"repeated_5": 0, "repeated_6": 0}
    assert taken < 1


@KERNELS
@given(rows=ROWS)
def test_spaces_and_characters(rows: list[bytes]) -> None:
    """White space at both ends is what str.strip removes; characters are bytes that continue nothing."""
    for row in rows:
        data = np.frombuffer(row, np.uint8)
        start, stop = stripped(data, 0, len(data))
        text = twin.text_of(row)
        assert twin.text_of(row[start:stop]) == text.strip()
        assert chars(data, 0, len(data)) == twin.size(text)


def test_classes() -> None:
    """Letters and numbers are str's where both have the code point; marks are datatrove's."""
    table = classes()
    known = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    assert sum((table[c] & ALPHA > 0) != chr(c).isalpha() for c in known) < 50
    assert all((table[c] & ALPHA > 0) == chr(c).isalpha() for c in range(0x400))
    assert all((table[c] & WORD > 0) == chr(c).isalnum() for c in range(0x80))
    assert {chr(c) for c in np.flatnonzero(table & MARK)} == twin.MARKS
    assert {"…", "?", "。", "»", "\x00"} <= twin.MARKS
    assert not {"a", "é", " ", "•", "\n"} & twin.MARKS
