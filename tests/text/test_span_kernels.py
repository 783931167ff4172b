"""Cutting spans, and the hashes of lines and paragraphs, against slow versions of themselves."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from exchange import cut_out
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import ROWS, beside, strings

from curate.text import unicode
from curate.text.batch import Batch
from curate.text.cuts import spans_of, without
from curate.text.units import units
from curate.text.written import as_written

SPACES = {0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 32, *range(9, 14), *range(0x2000, 0x200B)}
TEXT = st.text(st.sampled_from("ab \n\t\ré中🙂"), max_size=12)


def array(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def on_characters(text: str, at: int) -> int:
    """The byte at which a character begins."""
    return len(text[: at % (len(text) + 1)].encode())


@given(st.lists(st.tuples(TEXT, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5)), max_size=6))
@settings(max_examples=60)
def test_without(rows):
    """Overlapping, touching and empty spans of rows, those with none among them."""
    spans = []
    for number, (text, pairs) in enumerate(rows):
        ends = [sorted((on_characters(text, a), on_characters(text, b))) for a, b in pairs]
        spans += sorted([number, *pair] for pair in ends)
    owner, starts, stops = np.array(spans, np.int64).reshape(-1, 3).T.copy()
    texts = [t for t, _ in rows]
    found = without(beside([t.encode() for t in texts]), owner, starts, stops)
    by_row = [[(a, b) for n, a, b in spans if n == i and a < b] for i in range(len(texts))]
    assert found.text.to_pylist() == [cut_out(t, s) if s else t for t, s in zip(texts, by_row, strict=True)]
    # What went is said: cutting just that is the same.
    for i, text in enumerate(texts):
        here = slice(found.rows[i], found.rows[i + 1])
        ends = np.stack([found.starts[here], found.stops[here]], axis=1).reshape(-1)
        assert (np.diff(ends) > 0).all()
        kept = [0, *ends.tolist(), len(text.encode())]
        left = b"".join(text.encode()[a:b] for a, b in zip(kept[::2], kept[1::2], strict=True))
        assert left.decode() == found.text[i].as_py()
    assert spans_of(array(texts), owner, starts, stops).to_pylist() == [
        texts[n].encode()[a:b].decode() for n, a, b in spans
    ]


@pytest.mark.parametrize(
    ("owner", "start", "stop"), [(0, 1, 2), (0, 0, 1), (0, 0, 9), (0, -1, 1), (0, 2, 0), (2, 0, 0), (1, 0, 2)]
)
def test_spans_that_are_none(owner, start, stop):
    """Within a character, outside of the text, backwards: a stage that says so is at fault."""
    with pytest.raises(TypeError, match="spans to cut"):
        without(array(["é!", "x"]), *(np.array([v], np.int64) for v in (owner, start, stop)))


def characters(raw: bytes) -> list[int]:
    """Code points of any bytes; what is no valid UTF-8 as negative bytes."""
    return [p if p < 0xDC80 or p > 0xDCFF else -(p - 0xDC00) for p in map(ord, raw.decode("utf-8", "surrogateescape"))]


def normal(raw: bytes) -> tuple[int, ...]:
    """The normal form, as code points."""
    table, out = unicode.folding(), []
    for point in characters(raw):
        if point in SPACES:
            if out and out[-1] != 32:
                out.append(32)
        else:
            out.append(int(table[point]) if 0 <= point < len(table) else point)
    return tuple(out[:-1] if out and out[-1] == 32 else out)


def composed(raw: bytes) -> bytes:
    """NFC as the kernel has it: of rows that are valid UTF-8."""
    try:
        return pc.utf8_normalize(array([raw.decode()]), form="NFC")[0].as_py().encode()
    except UnicodeDecodeError:
        return raw


def twin(raw: bytes, paragraphs: bool) -> list[tuple[int, int, tuple[int, ...]]]:
    """(start, stop, normal form) of each line or paragraph, from the text itself and from its NFC."""
    there = [ranges(text, paragraphs) for text in (raw, composed(raw))]
    return [(a, b, normal(composed(raw)[c:d])) for (a, b), (c, d) in zip(*there, strict=True)]


def ranges(raw: bytes, paragraphs: bool) -> list[tuple[int, int]]:
    found: list[list[int]] = []
    at, open_ = 0, False
    for line in raw.split(b"\n"):
        end = min(at + len(line) + 1, len(raw))
        blank = not normal(line)
        if paragraphs and found and (blank or open_):
            found[-1][1] = end
        elif not blank:
            found.append([at, end])
        open_ = not blank
        at = end
    return [(a, b) for a, b in found]


@given(ROWS, st.booleans(), st.integers(1, 9))
@settings(max_examples=60)
def test_units(rows, paragraphs, least):
    """Ranges as they stand, and equal hashes for equal normal forms alone."""
    found = units(strings(rows), least, paragraphs=paragraphs)
    expected = [(i, *unit) for i, raw in enumerate(rows) for unit in twin(raw, paragraphs) if len(unit[2]) >= least]
    assert list(zip(found.rows.tolist(), found.starts.tolist(), found.stops.tolist(), strict=True)) == [
        e[:3] for e in expected
    ]
    forms: dict[tuple[int, ...], tuple[int, int]] = {}
    for unit, pair in zip(expected, zip(found.hashes.tolist(), found.checks.tolist(), strict=True), strict=True):
        assert forms.setdefault(unit[3], pair) == pair
    assert len(set(forms.values())) == len(forms)


def test_normal_form():
    """Case, white space and composition don't count; digits, signs and accents do."""
    same = ["Caf\u00e9  is OPEN", "  cafe\u0301 is\topen \r", "CAF\u00c9\u00a0is open"]
    other = ["cafe is open", "caf\u00e9 is open.", "caf\u00e9is open"]
    assert len(set(units(array(same), 1, paragraphs=False).hashes.tolist())) == 1
    assert len(set(units(array([same[0], *other]), 1, paragraphs=False).hashes.tolist())) == 4
    assert len(set(units(array(["3+4", "5-70", "a[i]", "a(i)"]), 1, paragraphs=False).hashes.tolist())) == 4
    # Line ends within a paragraph are white space.
    assert len(set(units(array(["one\ntwo", "One\r\n  two\n \n\n"]), 1, paragraphs=True).hashes.tolist())) == 1


def test_long_lines():
    """A line of a megabyte, of one character, of characters above ASCII, and one with spaces alone."""
    texts = ["x" * (1 << 20), "Ⱥ" * 300_000, " " * 10_000 + "\n" + "ab  " * 50_000, "\n" * 9999]
    found = units(array(texts), 1, paragraphs=False)
    assert found.rows.tolist() == [0, 1, 2]
    assert found.hashes[2] == units(array(["ab " * 50_000]), 1, paragraphs=False).hashes[0]


FORMS = st.sampled_from(
    [
        "é",
        "e\u0301",
        "ề",
        "한",
        "\u1112\u1161\u11ab",
        "\u0958",
        "\u0301",
        "\u0323\u0301",
        "\u212b",
        "a",
        "<\u0338",
        "-",
        " ",
    ]
)


ASSIGNED = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs", "Cn")), max_size=3)


@given(st.lists(st.lists(FORMS | ASSIGNED, max_size=12), min_size=1, max_size=5))
@settings(max_examples=150)
def test_places_in_the_normal_form(rows):
    """Of any word of a text in NFC, the part of the text as it is written that becomes it: both rests become what is beside."""
    texts = ["".join(row) for row in rows]
    batch = Batch.of(array(texts))
    words, normal = batch.composed.words("folded"), batch.composed.text.to_pylist()
    owner = np.repeat(np.arange(len(texts)), np.diff(words.rows))
    starts, stops = words.starts.astype(np.int64), words.stops.astype(np.int64)
    found = as_written(batch.text, batch.composed.text, owner, starts, stops)
    for row, first, last, start, stop in zip(owner, *found, starts, stops, strict=True):
        raw, form = texts[row].encode(), normal[row].encode()
        before, within, behind = (
            unicodedata.normalize("NFC", part.decode()).encode() for part in (raw[:first], raw[first:last], raw[last:])
        )
        assert before + within + behind == form
        assert len(before) <= start < stop <= len(form) - len(behind)
        if raw == form:
            assert (first, last) == (start, stop)


def test_places_of_words_in_parts():
    """Words between spaces are found to the byte, however many bytes each character takes."""
    said = ["forêt", "naïf", "한국어", "x", "क़लम", "Ång", "plain"] * 3
    whole = " ".join(unicodedata.normalize("NFD", w) if n % 3 else w for n, w in enumerate(said))
    batch = Batch.of(array(["", whole, "plain words", whole[::-1]]))
    words = batch.composed.words("folded")
    of = np.arange(words.rows[1], words.rows[2])
    both = batch.text, batch.composed.text
    places = as_written(*both, np.full(len(of), 1), *(v[of].astype(np.int64) for v in (words.starts, words.stops)))
    raw = whole.encode()
    assert " ".join(raw[a:b].decode() for a, b in zip(*places, strict=True)) == whole
    nothing = np.zeros(0, np.int64)
    assert [len(some) for some in as_written(*both, nothing, nothing, nothing)] == [0, 0]
    # Of a row that is not made of its parts nothing is found.
    other = pa.array(
        [*batch.composed.text.to_pylist()[:1], "x", *batch.composed.text.to_pylist()[2:]], pa.large_string()
    )
    one = np.array([1])
    assert [some.tolist() for some in as_written(batch.text, other, one, one * 0, one)] == [[0], [0]]
