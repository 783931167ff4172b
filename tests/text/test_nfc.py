"""The quick check before NFC: what it passes can't be changed by NFC, and it passes what real texts are made of."""

from __future__ import annotations

import sys
import unicodedata

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import normal

JAMO = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
"""Vowels and finals, which compose with what stands before them by rule and not by table."""


def second_characters() -> set[int]:
    """Code points that may compose with the one before: the second of every canonical decomposition, and jamo."""
    found = set(JAMO)
    for point in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            found.add(int(parts[1], 16))
    return found


def test_what_is_passed_is_inert() -> None:
    """Of every code point that passes: it is its own NFC, of combining class 0, and composes with nothing before it."""
    seconds, passed = second_characters(), 0
    for point in range(sys.maxunicode + 1):
        char = chr(point)
        if 0xD800 <= point <= 0xDFFF or not normal.inert(point):
            continue
        passed += 1
        assert unicodedata.combining(char) == 0, hex(point)
        assert unicodedata.normalize("NFC", char) == char, hex(point)
        assert point not in seconds, hex(point)
    assert passed > 40_000


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=30))
def test_a_row_that_is_passed_is_its_own_nfc(text: str) -> None:
    """The flag of a row: without it NFC changes nothing."""
    composable = normal.row_flags(pa.array([text]))[0] & normal.COMPOSABLE
    assert composable or unicodedata.normalize("NFC", text) == text
    assert bool(composable) == any(not normal.inert(ord(c)) for c in text)


def test_common_texts_are_passed() -> None:
    """Quotes, dashes, Western letters, Greek, Russian, Chinese, Japanese, Korean: nothing to normalise."""
    texts = [
        "\u201cquoted\u201d \u2014 \u20ac5\u2026 na\u00efve \u0153uvre",
        "\u03b1\u03ac\u0416\u0451",
        "\u4f60\u597d\u3001\u304c\u30ac\ud55c\uff01",
    ]
    assert not (normal.row_flags(pa.array(texts)) & normal.COMPOSABLE).any()
    marks = ["e\u0301", "\u212b", "\u2000", "\u1112\u1161", "\u0344", "\u0958"]
    assert (normal.row_flags(pa.array(marks)) & normal.COMPOSABLE).all()
