"""Text of strangers, made safe to look at."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from small_run import HOSTILE

from curate.report.plain import escaped, lines, number, one_line, short_number


def is_harmless(text: str) -> bool:
    """No control, format, surrogate or separator character but line feed, tab and space, and joiners that are letters."""
    return all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") or c in "\n\t" for c in text)


@given(st.text(alphabet=st.characters(), max_size=200))
def test_nothing_that_moves_a_cursor_is_left(text: str) -> None:
    """Whatever the text, neither one line nor several hold a control character."""
    assert is_harmless(one_line(text, 50))
    assert "\n" not in one_line(text, 50)
    assert all(is_harmless(line) and "\n" not in line for line in lines(text, 30, 5))


def test_hidden_characters_are_written_out() -> None:
    """Escape sequences, C1 controls, direction marks and zero-width characters show as escapes."""
    shown = escaped(HOSTILE)
    for mark in ("\\x1b[2J", "\\x9b5A", "\\u202e", "\\u200b", "<script>"):
        assert mark in shown
    assert "\x1b" not in shown and "\u202e" not in shown and "\u200b" not in shown


def test_one_line_is_short_and_says_that_it_is_cut() -> None:
    """A long text ends in dots at exactly the width asked for; white space is one space."""
    assert one_line("a\n\n b\tc") == "a b c"
    assert len(one_line("word " * 1000, 80)) == 80
    assert one_line("word " * 1000, 80).endswith("...")
    assert one_line("   " * 100 + "x", 80) == "x"


def test_lines_keep_breaks_and_wrap_the_long_ones() -> None:
    """A huge line is broken at the width; what is left out is said."""
    assert lines("a\nb\r\nc") == ["a", "b", "c"]
    shown = lines("x" * 1_000_000, 96, 4)
    assert [len(line) for line in shown[:4]] == [96] * 4
    assert shown[4] == "... (1,000,000 characters in all)"


def test_numbers_for_people() -> None:
    """Three decimals at most, thousands marked, tiny ones in scientific form."""
    assert [number(v) for v in (0.5, 1.0, 12345, 0.00001, None, True, 1234.56)] == [
        "0.5", "1", "12,345", "1.0e-05", "-", "yes", "1,234.6",
    ]  # fmt: skip
    assert [short_number(v) for v in (0.12345, 12.345, 12345.6)] == ["0.123", "12.3", "12,346"]
