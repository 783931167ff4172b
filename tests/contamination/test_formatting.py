"""Formatting never changes a verdict: white space, case, signs, quotes, line ends, escapes; of copies and of other code."""

from __future__ import annotations

import html
import io
import json
import re
import tokenize

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contamination.carriers import documents
from tests.contamination.found import Against
from tests.contamination.items import humaneval

ITEMS = humaneval()
OTHERS = ["\n\n".join(blocks) for blocks in documents()["code file"]][:6]
UNITS = (" ", "  ", "    ", "\t", "        ")
ENDS = ("\n", "\r\n", "  \n", "\n\n")


def indented(source: str, unit: str, end: str) -> str:
    """With another unit of indentation, and other line ends but within strings."""
    depth, depths, strings = 0, {}, set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            depth += 1 if token.type == tokenize.INDENT else -1
        else:
            depths.setdefault(token.start[0], depth)
            strings |= set(range(token.start[0], token.end[0]))
    out = []
    for number, line in enumerate(source.split("\n"), 1):
        body = line if number - 1 in strings else unit * depths.get(number, 0) + line.lstrip(" ")
        # Within a string, and behind a backslash, a line's end is part of what is written.
        out.append(body + ("\n" if number in strings or body.endswith("\\") else end))
    return "".join(out)


def quoted(source: str) -> str:
    """With the other quotes where that needs no escape."""
    lines = source.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        text = token.string
        if token.type == tokenize.STRING and re.fullmatch(r"'[^'\"\\]*'|\"[^'\"\\]*\"", text):
            (row, start), (_, stop) = token.start, token.end
            other = "'" if text[0] == '"' else '"'
            lines[row - 1] = lines[row - 1][:start] + other + text[1:-1] + other + lines[row - 1][stop:]
    return "\n".join(lines)


def spaced(source: str) -> str:
    """With spaces around every operator."""
    lines = source.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type == tokenize.OP:
            (row, start), (_, stop) = token.start, token.end
            lines[row - 1] = (
                lines[row - 1][:start]
                + " " * bool(lines[row - 1][:start].strip())
                + token.string
                + " "
                + lines[row - 1][stop:]
            )
    return "\n".join(lines)


@settings(max_examples=12)
@given(st.data())
def test_layout_of_code_changes_no_verdict(data):
    """Items and other files, laid out otherwise: the same are found, and the same item is named."""
    picked = data.draw(st.lists(st.sampled_from(range(len(ITEMS))), min_size=8, max_size=8, unique=True))
    sources = [ITEMS[i].source for i in picked] + OTHERS
    unit, end = data.draw(st.sampled_from(UNITS)), data.draw(st.sampled_from(ENDS))
    changed = [quoted(source) for source in sources] if data.draw(st.booleans()) else sources
    changed = [spaced(text) for text in changed] if data.draw(st.booleans()) else changed
    changed = [indented(text, unit, end) for text in changed]
    before, after = Against.humaneval().found(sources), Against.humaneval().found(changed)
    assert after.any.tolist() == before.any.tolist() == [True] * 8 + [False] * len(OTHERS)
    assert all(b[0] in a for a, b in zip(after.items[:8], before.items[:8], strict=True))


@settings(max_examples=12)
@given(st.data())
def test_case_signs_and_escapes_change_no_verdict(data):
    """Prompts and pages in other letters, wrapped anew, within JSON or HTML."""
    picked = data.draw(st.lists(st.sampled_from(range(len(ITEMS))), min_size=8, max_size=8, unique=True))
    texts = [ITEMS[i].prompt for i in picked] + OTHERS
    changed = []
    for text in texts:
        case = data.draw(st.sampled_from([str.upper, str.lower, str.title, str]))
        sign = data.draw(st.sampled_from([" ", "\n", ", ", " - ", "\t\t", "; "]))
        words = case(re.sub(r"[^\w]+", lambda _, s=sign: s, text))
        escape = data.draw(st.sampled_from([str, json.dumps, html.escape, repr]))
        changed.append(escape(words))
    before, after = Against.humaneval().found(texts), Against.humaneval().found(changed)
    assert after.any.tolist() == before.any.tolist() == [True] * 8 + [False] * len(OTHERS)
    assert all(b[0] in a for a, b in zip(after.items[:8], before.items[:8], strict=True))
