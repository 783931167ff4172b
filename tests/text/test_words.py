"""The Unicode tables, the atoms and the views derived from them, against twins and the libraries they follow."""

from __future__ import annotations

import itertools
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import twins
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_kernels import KERNELS, sliced

from curate.text import atoms, unicode
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.lines import lines, paragraphs
from curate.text.words import POLICIES, words

DERIVED = [policy for policy in POLICIES if policy != "tokens"]  # tokens are cut, and tested, on their own
TEXT = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=80), max_size=6)
HOSTILE = [
    b"",
    b"one",
    b"no newline at all, just words",
    "\u6f22\u5b57\u304b\u306a".encode() * 400,
    b"0123456789" * 50,
    b"x" * 1_000_000,
    b"a long line " * 90_000,
    b"\xed\xa0\x80 lone \xed\xb0\x80 surrogates \xff\xfe",
    b" \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f" * 40,
    b"ab\n" * 100_000,
    b"\x00" * 300,
    "\u0e01\u0e33\u0e01\u0e34a".encode() * 99,
    b"a" * 63 + "\u00e9".encode() + b"b" * 63 + "\u4e2d".encode() * 30,
    b"trailing high \xe4\xb8",
]


def test_tables_are_unicodes():
    """Category groups and white space are those of Python's own tables, where these know the code point."""
    kinds = unicode.kinds()
    spaces = [point for point in range(0x110000) if chr(point).isspace()]
    assert np.flatnonzero(kinds & unicode.SPACE).tolist() == spaces
    assert unicode.version() == "15.0.0"
    group = {"L": unicode.WORD | unicode.ALPHA, "M": unicode.WORD | unicode.MARK, "N": unicode.WORD}
    group |= {"P": unicode.PUNCTUATION, "S": unicode.SYMBOL}
    asked = unicode.WORD | unicode.ALPHA | unicode.MARK | unicode.PUNCTUATION | unicode.SYMBOL
    differ = []
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if category == "Cn" or (not kinds[point] and category[0] != "C"):
            continue  # assigned in one of the two versions only
        want = group.get(category[0], 0) | (unicode.DIGIT if category == "Nd" else 0)
        if kinds[point] & (asked | unicode.DIGIT) != want:
            differ.append(hex(point))
    # Versions rarely change a category: a handful of points in all of Unicode's history since 5.0.
    assert len(differ) <= 5, differ
    assert np.count_nonzero(kinds) > 140_000


def test_a_text_without_unstable_points_is_in_nfc():
    """Each such code point is in NFC by itself and beside any other; the unstable ones are those that NFC touches."""
    unstable = unicode.unstable()
    stable = [
        chr(p) for p in np.flatnonzero(~unstable) if not 0xD800 <= p < 0xE000 and unicodedata.category(chr(p)) != "Cn"
    ]
    text = "".join(stable)
    assert unicodedata.normalize("NFC", text) == text
    assert unicodedata.normalize("NFC", text[::-1]) == text[::-1]
    assert {0x300, 0x212B, 0x1161, 0x9BE} <= set(np.flatnonzero(unstable).tolist())
    assert 1_000 < np.count_nonzero(unstable) < 3_000


def test_folding_is_simple_case_folding():
    """One code point for one: what str.casefold gives where that is one character."""
    table = unicode.folding()
    for point in range(len(table)):
        folded = chr(point).casefold() if not 0xD800 <= point < 0xE000 else chr(point)
        if len(folded) == 1 and table[point] != point:
            assert chr(table[point]) == folded, hex(point)
    assert [chr(table[ord(c)]) for c in "\u1e9e\u0130\u212a\u03c2A\u0410"] == [
        "\u00df",
        "\u0130",
        "k",
        "\u03c3",
        "a",
        "\u0430",
    ]


@KERNELS
@given(twins.ROWS)
@example(HOSTILE[:4] + HOSTILE[7:])
def test_atoms(rows):
    """Each byte's bits, in sliced arrays, at every position in a block."""
    array = sliced(rows)
    offsets, data = buffers(array)
    masks = atoms.atoms(offsets, data)
    flat = np.unpackbits(masks.view(np.uint8), axis=1, bitorder="little")
    size = int(offsets[-1] - offsets[0])
    assert not flat[:6, size:].any()
    at = 0
    for row in rows:
        for point, first, width in twins.points(row):
            bits = flat[:, at + first : at + first + width]
            kind = twins.kind(point)
            assert bits[atoms.WORD].all() == bool(kind & unicode.WORD)
            assert bits[atoms.SPACE].all() == bool(kind & unicode.SPACE)
            assert bits[atoms.SIGN, 0] == twins.is_sign(point)
            assert bits[atoms.RAW, 0] == (point in (0, 9, 10, 11, 12, 13, 32))
            assert bits[atoms.NEWLINE, 0] == (point == 10)
            assert bits[atoms.HIGH].all() == (point < 0 or point > 127)
            assert bits[atoms.UNSTABLE].sum() == bits[atoms.UNSTABLE, 0] == (point >= 0 and unicode.unstable()[point])
        at += len(row)
    ends = offsets - offsets[0]
    blocks = [range(start // 64, (stop + 63) // 64) for start, stop in itertools.pairwise(ends.tolist())]
    near = [
        row for row, own in enumerate(blocks) if len(rows[row]) and masks[atoms.UNSTABLE, own.start : own.stop].any()
    ]
    found = atoms.rows_with(offsets, masks, atoms.UNSTABLE).tolist()
    assert [row for row in found if len(rows[row])] == near


@KERNELS
@given(twins.ROWS, st.sampled_from(DERIVED))
@example([rb"a\nb\\tc\x \r", b"\\", rb"\n\n\nn"], "alphanumeric")
@example([b"n", b"\\", b"n"], "alphanumeric")
@example([rb"don\u2019t \x27a\\u00e9b\u12", rb"\u123", b"4 \\x4"], "alphanumeric")
@example([b"a&lt;b &#39;c&#x2f;d &#x;e &amp &foo; &", b"&quot", b"; &#;&#x123456;"], "alphanumeric")
@example(["\u4e2d".encode(), b"a", "\u201c".encode(), b"b-c"], "folded")
@example(["\u4e2d".encode(), b"a", "\u201c".encode(), b"b-c"], "gopher")
def test_words(rows, policy):
    """Ranges and hashes of words under each policy."""
    view = words(*buffers(sliced(rows)), policy)
    want = [twins.words(row, policy) for row in rows]
    assert twins.as_lists(view.rows, view.starts) == [[a for a, _, _ in row] for row in want]
    assert twins.as_lists(view.rows, view.stops) == [[b for _, b, _ in row] for row in want]
    assert twins.as_lists(view.rows, view.hashes) == [[h for _, _, h in row] for row in want]


@pytest.mark.parametrize("policy", DERIVED)
def test_words_of_hostile_documents(policy):
    """Nothing, one word, no end, no letter, no sense: as the twin sees them, all in one batch."""
    rows = [row if len(row) < 20_000 else row[:20_000] for row in HOSTILE]
    view = words(*buffers(sliced(rows)), policy)
    assert twins.as_lists(view.rows, view.hashes) == [[h for _, _, h in twins.words(row, policy)] for row in rows]
    whole = words(*buffers(sliced(HOSTILE)), policy)
    assert np.diff(whole.rows)[9] == 100_000


@KERNELS
@given(TEXT)
def test_gopher_words_are_those_of_str_split(texts):
    """Equal to Python's own, for any valid text."""
    view = words(*buffers(pa.array(texts, pa.large_string())), "gopher")
    for text, starts, stops in zip(
        texts, twins.as_lists(view.rows, view.starts), twins.as_lists(view.rows, view.stops), strict=True
    ):
        assert [text.encode()[a:b].decode() for a, b in zip(starts, stops, strict=True)] == text.split()


def test_raw_words_are_those_of_fasttext():
    """Split as fasttext.tokenize does, for which a line end is a word of its own, hashed as its dictionary does."""
    import fasttext

    text = "The caf\u00e9's\tend, \u4e2d\u6587\u00a0x \x1c a\x0bb  c\x0c\rlonger-than-eight-bytes"
    view = words(*buffers(pa.array([text], pa.large_string())), "raw")
    got = [text.encode()[a:b].decode() for a, b in zip(view.starts, view.stops, strict=True)]
    assert got == [word for word in fasttext.tokenize(text) if word != "</s>"]
    # From fastText's own tests of FNV-1a with signed bytes: 'a' is the published value of the 32-bit function.
    assert view.hashes[got.index("a")] == 0xE40C292C


def test_equal_words_hash_alike_wherever_they_lie():
    """Short or long, folded to ASCII or not, at the end of the buffer or within it."""
    rows = [
        "kelvin KELVIN \u212aelvin",
        "kelvin",
        "STRASSENBAHNHALTESTELLE strassenbahnhaltestelle",
        "\u03a3\u03c2\u03c3",
    ]
    view = words(*buffers(pa.array(rows, pa.large_string())), "folded")
    first, second, third, fourth = twins.as_lists(view.rows, view.hashes)
    assert len({*first, *second}) == 1
    assert len(set(third)) == 1
    assert len(fourth) == 1
    greek = words(*buffers(pa.array(["\u03c3\u03c3\u03c3"], pa.large_string())), "folded")
    assert greek.hashes.tolist() == fourth


def test_words_of_scripts_without_spaces():
    """Ideographs, kana and Thai letters are words of their own, with their marks; Hangul and Cyrillic are not."""
    text = [
        "\u6a5f\u68b0\u5b66\u7fd2",
        "\u3072\u3089\u304c\u306a",
        "\u0e44\u0e17\u0e22",
        "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    ]
    text += [
        "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440",
        "na\u00efve caf\u00e9",
        "don't",
        "\u0e01\u0e34\u0e19",
        "3\u5e74",
    ]
    counts = np.diff(words(*buffers(pa.array(text, pa.large_string())), "folded").rows).tolist()
    assert counts == [4, 4, 3, 2, 2, 2, 2, 2, 2]


def test_one_huge_word_and_one_row_of_many_words():
    """Rows beyond any fixed buffer: 3 MB without a break, and a million words."""
    rows = ["x" * 3_000_000, "a " * 1_100_000, "b", "\u023a" * 1_000_000]
    view = words(*buffers(pa.array(rows, pa.large_string())), "folded")
    assert np.diff(view.rows).tolist() == [1, 1_100_000, 1, 1]


@pytest.mark.skipif(sys.maxsize < 2**33, reason="needs 64 bits")
def test_a_row_of_2_gib_is_refused():
    """Kernels count in 32 bits with a sign: a larger row is an error, not a wrong answer."""
    with pytest.raises(ValueError, match="2 GiB"):
        words(np.array([0, 1 << 31], np.int64), np.zeros(1, np.uint8), "folded", np.zeros((8, 1), np.uint64))


@KERNELS
@given(twins.ROWS)
@example([b"a\n\nb\n\n\nc\n", b"\r\n\r\na\r\nb\r\n\r\nc", b"\n" * 70, b"x" * 64 + b"\r\n" + b"y" * 62 + b"\r\n"])
def test_lines_and_paragraphs(rows):
    """Ranges of lines without their ends, and of runs of lines that are not empty."""
    view = lines(*buffers(sliced(rows)))
    for found, twin in ((view, twins.lines), (paragraphs(view), twins.paragraphs)):
        starts, stops = twins.as_lists(found.rows, found.starts), twins.as_lists(found.rows, found.stops)
        got = [[row[a:b] for a, b in zip(x, y, strict=True)] for row, x, y in zip(rows, starts, stops, strict=True)]
        assert got == [twin(row) for row in rows]


@settings(max_examples=10)
@given(st.lists(st.sampled_from(HOSTILE[:9]), min_size=1, max_size=4), st.sampled_from(POLICIES))
def test_words_do_not_depend_on_neighbours(rows, policy):
    """A row alone, among others with nulls, in a slice, and as a string with 32-bit offsets: the same words."""
    alone = [words(*buffers(twins.strings([row])), policy).hashes.tolist() for row in rows]
    array = twins.strings([None, *rows, None])
    view = words(*buffers(array), policy)
    assert twins.as_lists(view.rows, view.hashes) == [[], *alone, []]
    part = words(*buffers(array.slice(1, len(rows))), policy)
    assert twins.as_lists(part.rows, part.hashes) == alone
    valid = [row.decode("utf-8", "ignore") for row in rows]
    large, small = (words(*buffers(pa.array(valid, kind)), policy) for kind in (pa.large_string(), pa.string()))
    assert np.array_equal(large.rows, small.rows)
    assert np.array_equal(large.hashes, small.hashes)


def test_policies_are_a_closed_set():
    """Another name is an error that says which there are."""
    with pytest.raises(ValueError, match="no policy 'lemmas'; there are: folded, "):
        words(*buffers(pa.array(["a"])), "lemmas")


@KERNELS
@given(twins.ROWS, st.lists(st.booleans(), min_size=8, max_size=8))
def test_views_of_the_rows_that_stay_are_those_of_the_rows(rows, keep):
    """A batch that was filtered knows the words and lines that it would find itself; one with other columns shares them."""
    mask = pa.array(keep[: len(rows)], pa.bool_())
    docs = Batch(pa.RecordBatch.from_arrays([sliced(rows)], ["text"]))
    seen = [docs.words(policy) for policy in POLICIES] + [docs.lines, docs.paragraphs]
    again = docs.with_rows(docs.rows.append_column("more", pa.nulls(len(rows))))
    assert again.words("gopher") is docs.words("gopher")
    part = docs.filter(mask)
    fresh = Batch(part.rows)
    views = [part.words(policy) for policy in POLICIES] + [part.lines, part.paragraphs]
    found = [fresh.words(policy) for policy in POLICIES] + [fresh.lines, fresh.paragraphs]
    for one, other in zip(views, found, strict=True):
        for name, values in vars(one).items():
            assert values.tolist() == getattr(other, name).tolist(), name
            assert values.dtype == getattr(other, name).dtype
    assert len(seen) == len(views)
