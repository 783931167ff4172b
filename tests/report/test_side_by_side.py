"""Two texts beside each other: nothing is lost, what is marked differs, and rows are as wide as said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from curate.report.side_by_side import Row, side_by_side

TEXT = st.lists(
    st.lists(st.sampled_from(["a", "bb", "ccc", "漢字", "d" * 30, "e\u202ef"]), max_size=8), max_size=8
).map(lambda lines: "\n".join(" ".join(line) for line in lines))


def said(row: Row, side: str) -> str:
    """A column of a row, as it is shown."""
    return " ".join(text for text, _ in getattr(row, side))


def drawn(mine: str, kept: str, width: int = 30) -> list[str]:
    """The rows as one would see them."""
    return [f"{said(row, 'left')}{row.mark}{said(row, 'right')}" for row in side_by_side(mine, kept, width)[1]]


@given(TEXT, TEXT, st.integers(8, 40))
def test_columns_hold_both_texts(mine, kept, width):
    """Every word of either text stands in its column, in order; unmarked ones are the same on both sides."""
    note, rows = side_by_side(mine, kept, width, 10_000)
    if note:
        assert mine.split() == kept.split()
        return
    for side, text in (("left", mine), ("right", kept)):
        assert all(cell_len(said(row, side)) <= width for row in rows if row.mark != ":")
        if not any(row.mark == ":" for row in rows):
            words = "".join(text.replace("\u202e", "\\u202e").split())
            assert "".join(said(row, side) for row in rows).replace(" ", "") == words
    for row in rows:
        alike = [[text for text, differs in side if not differs] for side in (row.left, row.right)]
        assert alike[0] == alike[1] or row.mark == ":"
        assert (row.mark in "<|") == any(d for _, d in row.left)
        assert (row.mark in ">|") == any(d for _, d in row.right)


def test_what_differs_is_marked():
    """Changed, missing and added words, and lines of one side alone."""
    assert drawn("one two three", "one 2 three") == ["one two three|one 2 three"]
    assert drawn("one two three", "one three") == ["one two three<one three"]
    assert drawn("one\nthree", "one\ntwo\nthree") == ["one one", ">two", "three three"]
    assert drawn("if x:\n    y = 1", "if x:\n  y = 2") == ["if x: if x:", "    y = 1|  y = 2"]
    rows = side_by_side("one two three", "one 2 three", 30)[1]
    assert rows[0].left == (("one", False), ("two", True), ("three", False))


def test_alike_rows_are_left_out():
    """Far from a difference rows are counted, and at the end what is too much."""
    lines = [f"line {i}" for i in range(40)]
    changed = [*lines[:20], "another", *lines[21:]]
    shown = drawn("\n".join(lines), "\n".join(changed))
    assert shown[0] == "... 18 rows alike:"
    assert shown[3] == "line 20|another"
    assert shown[-1] == "... 17 rows alike:"
    _, rows = side_by_side("\n".join(lines), "\n".join(f"{line} x" for line in lines), 30, most=5)
    assert len(rows) == 6
    assert said(rows[-1], "left") == "... 35 more rows"


def test_texts_that_a_sentence_tells_apart():
    """Equal ones, and those that differ in white space."""
    assert side_by_side("a b", "a b", 30) == ("both have the same text", [])
    assert side_by_side("a b", "a  b\n", 30) == ("they differ in white space only", [])


def test_large_texts_take_no_time():
    """A hundred thousand words without a common line are not compared word by word."""
    mine, kept = (" ".join(f"{c}{i}" for i in range(100_000)) for c in "ab")
    assert len(side_by_side(mine, kept, 40)[1]) == 61
