"""JSON lines taken apart by a kernel say what a parser says of them, or are left to it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.text.json_lines import cut, plain

TEXT = st.text(
    st.one_of(st.sampled_from('ab"\\/\n\t\u00e9\u20ac\U0001f600\x7f{}[],:'), st.characters(codec="utf-8")), max_size=30
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 10**19), st.floats(allow_nan=False, allow_infinity=False), TEXT
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)
OBJECTS = st.lists(
    st.tuples(st.one_of(st.just("text"), st.sampled_from(["id", "te", "texts"]), TEXT), VALUES), max_size=5
)
SPACES = st.text(" \t\r", max_size=2)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """An object with members in any order, some of them twice; white space anywhere, escapes or none, sometimes a byte amiss."""
    ascii_only, members = draw(st.booleans()), []
    for name, value in draw(OBJECTS):
        key, said = (json.dumps(x, ensure_ascii=ascii_only) for x in (name, value))
        members.append(f"{draw(SPACES)}{key}{draw(SPACES)}:{draw(SPACES)}{said}{draw(SPACES)}")
    line = f"{draw(SPACES)}{{{','.join(members) or draw(SPACES)}}}{draw(SPACES)}".encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(line) - 1))
        line = (
            line[:at]
            + draw(st.sampled_from([b"", b"\x80", b'"', b"\\", b"\x01", b",", b"}", b"\xed\xa0\x80", b"u12"]))
            + line[at + 1 :]
        )
    return line.replace(b"\n", b" ")


def parsed(line: bytes) -> Any:
    """What a parser says; None where it is no JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def check(many: list[bytes], key: str = "text") -> int:
    """Every line that is called good is that, and its parts are the whole; how many are good."""
    block = b"".join(line + b"\n" for line in many)
    found = cut(block, key)
    assert [block[a : b - 1] for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)] == many
    rest = parsed(bytes(found.rest))
    if rest is None:  # one of them is no JSON: all of them are parsed as they are
        assert any(parsed(line) is None for line, good in zip(many, found.good, strict=True) if good)
        return -1
    left = iter(rest)
    for line, good, text in zip(many, found.good, found.texts.to_pylist(), strict=True):
        if good:
            row = next(left)
            assert row[key] == ""
            assert {**row, key: text} == parsed(line)
            assert list(row) == list(parsed(line))
        else:
            assert text == ""
    assert next(left, None) is None
    return int(found.good.sum())


@given(st.lists(lines(), max_size=4))
@example([b""])
@settings(max_examples=150)
def test_any_lines(many: list[bytes]) -> None:
    """Whatever a line is, it is taken apart rightly or not at all."""
    check(many)


@given(st.lists(st.tuples(TEXT, VALUES), min_size=1, max_size=4), st.booleans())
@settings(max_examples=60)
def test_usual_lines(rows: list[tuple[str, Any]], ascii_only: bool) -> None:
    """Objects as programs write them are all good."""
    many = [json.dumps({"id": "x", "meta": more, "text": t}, ensure_ascii=ascii_only).encode() for t, more in rows]
    assert check(many) == len(rows)


@pytest.mark.parametrize(
    ("line", "good"),
    [
        (rb'{"text":"\ud83d\ude00 \u0000 \u00e9 \u20AC \/\b\f"}', True),
        (b'{"text":"' + b"x" * 100 + "é€😀".encode() * 9 + b'"}', True),
        (b'{"text":"a","more":' + b"[" * 60 + b"]" * 60 + b"}", True),
        (b'{"text":"a","more":' + b"[" * 70 + b"]" * 70 + b"}", False),
        (b'{"text":"a","text":"b"}', False),
        (rb'{"te\u0078t":"a","text":"b"}', False),
        (b'{"text":1}', False),
        (b'{"more":{"text":"a"}}', False),
        (b'[{"text":"a"}]', False),
        (b'{"text":"a"} {"text":"b"}', False),
        (rb'{"text":"\ud83d"}', False),
        (rb'{"text":"\ud83d\u0041"}', False),
        (rb'{"text":"\ude00"}', False),
        (rb'{"text":"\x41"}', False),
        (b'{"text":"\x1f"}', False),
        (b'{"text":"\xc0\x80"}', False),
        (b'{"text":"\xf4\x90\x80\x80"}', False),
        (b'{"text":"\xe2\x82"}', False),
        (b'{"text":"a', False),
        (b'{"text":"a\\', False),
        (b'\xef\xbb\xbf{"text":"a"}', False),
        (b"", False),
    ],
)
def test_this_line(line: bytes, good: bool) -> None:
    """Every escape, every kind of damage; beside others, which it does not touch."""
    assert check([line]) == good
    assert check([b'{"text":"one"}', line, b'{"id":2,"text":"t\\nwo"}\r']) == 2 + good


def test_keys() -> None:
    """A key may be any that is written in one way."""
    assert check(['{"": "a", "é": "b"}'.encode()], "é") == 1
    assert check([b'{"": "a"}'], "") == 1
    assert [plain(key) for key in ("text", "é", "", 'a"', "a\\", "a\n", "\ud800")] == [True] * 3 + [False] * 4
