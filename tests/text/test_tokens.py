"""Tokens: the kernel against its twin on any strings, and what spaCy gives for a page of examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import token_twins
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twins import ROWS, strings

from curate.text.batch import Batch
from curate.text.word_hashes import word_hash

VISIBLE = r"""
    don't can't I'm it's would've the The U.S. e.g. a.m and/or cannot C++ Id 's ’s example.com
    http:// https://www.a-b.org/x?y=1 me@mail.org 1.2.3.4 :80 class.md lower.Upper ab.cd ( ) [ ] { }
    < > " ' “ ” ` , . .. ... … ; : ! ? # * - -- --- – — ~ / \ = + ^ % & _ | @ $ £ € US$ :) ): :* 5
    12 km 5km 3% mph M é É 中 ß ☃ © ² ° a B xyz
"""
PIECES = (
    *(" ", "\n", "\u3000"),
    *VISIBLE.split(),
)
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def split(rows: list[bytes]) -> list[list[str]]:
    docs = Batch(pa.RecordBatch.from_arrays([strings(list(rows))], ["text"]))
    found = docs.words("tokens")
    out = []
    for i, row in enumerate(rows):
        spans = range(int(found.rows[i]), int(found.rows[i + 1]))
        out.append([row[found.starts[j] : found.stops[j]].decode("utf-8", "surrogateescape") for j in spans])
    return out


@settings(max_examples=100)  # the first example compiles
@given(texts=st.lists(TEXT, max_size=6))
@example(texts=["a." * 40, "(" * 50, "x.y" * 30, "--" * 20])
@example(texts=["(" * 50, "a(b " * 9, "[" * 200] * 9)  # more tokens than there is room for at first
def test_tokens_are_the_twins(texts: list[str]) -> None:
    """Words made of what the rules are about."""
    assert split([text.encode() for text in texts]) == [token_twins.tokens(text) for text in texts]


@settings(max_examples=66)
@given(rows=ROWS)
def test_tokens_of_any_bytes(rows: list[bytes]) -> None:
    """Any bytes: the same as the twin, and nothing but white space is lost."""
    found = split(rows)
    for row, own in zip(rows, found, strict=True):
        text = row.decode("utf-8", "surrogateescape")
        assert own == token_twins.tokens(text)
        assert "".join(own) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said: "don\'t!"', ["He", "said", ":", '"', "do", "n't", "!", '"']),
        ("@the-example.com me@the-example.com", ["@the", "-", "example.com", "me@the-example.com"]),
        ("(see http://a.org/x(1)).", ["(", "see", "http://a.org/x(1", ")", ")", "."]),
        ("well-known U.S. rules, e.g. 5km/h", ["well", "-", "known", "U.S.", "rules", ",", "e.g.", "5", "km/h"]),
        ("end.Start lower.lower a/b 1-2", ["end", ".", "Start", "lower.lower", "a", "/", "b", "1", "-", "2"]),
        ("snake_case <b>x</b> a==b", ["snake_case", "<", "b", ">", "x</b", ">", "a==b"]),
        ("wait... what?! $5.00", ["wait", "...", "what", "?", "!", "$", "5.00"]),
    ],
)
def test_what_spacy_gives(text: str, expected: list[str]) -> None:
    """Examples run through spaCy 3.8.18's blank English tokenizer."""
    assert split([text.encode()]) == [expected]


def test_hashes_are_of_bytes() -> None:
    """Equal tokens have equal hashes wherever they stand, others do not."""
    docs = Batch(pa.RecordBatch.from_arrays([strings([b"a (a) The the \x00 aaaaaaaaaaaa aaaaaaaaaaaa."])], ["text"]))
    found = docs.words("tokens")
    names = split([b"a (a) The the \x00 aaaaaaaaaaaa aaaaaaaaaaaa."])[0]
    by_name: dict[str, set[int]] = {}
    for name, value in zip(names, found.hashes, strict=True):
        by_name.setdefault(name, set()).add(int(value))
    assert all(len(values) == 1 for values in by_name.values())
    assert len(np.unique(found.hashes)) == len(by_name)


def test_words_of_different_sizes_with_one_hash() -> None:
    """How a word is cut is remembered by its hash; a word of another size that has the same one is cut on its own."""
    sizes = (5 * 0x9E3779B97F4A7C15 ^ 8 * 0x9E3779B97F4A7C15) & (1 << 64) - 1
    pairs = []
    for short in (b"(ab).", b"$5km)", b"x-y-z", b"it's!"):
        other = (int.from_bytes(short, "little") ^ sizes).to_bytes(8, "little")
        hashes = [word_hash(np.frombuffer(word, np.uint8), 0, len(word)) for word in (short, other)]
        assert hashes[0] == hashes[1]
        pairs += [short, other, short]
    for rows in (pairs, pairs[::-1]):
        assert split(rows) == [token_twins.tokens(row.decode("utf-8", "surrogateescape")) for row in rows]


@pytest.mark.parametrize("text", ["", "a", "a.", "it's", "(b)", "5km", "1234567"])
def test_text_of_less_than_eight_bytes(text: str) -> None:
    """A batch that is shorter than what kernels read at once."""
    assert split([text.encode()]) == [token_twins.tokens(text)]
