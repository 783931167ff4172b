"""How a classifier reads a text: the kernels against slow twins on bytes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.quality.text_form import TextForm
from curate.text import unicode
from curate.text.batch import Batch

FOLD = unicode.folding()
PIECES = [
    *("a", "B", "word", "É", "ẞ", "Ⱥ", "數", "\u00a0", "😀", "__label__", "__label__x", "x__label__", "_", "__label_"),
    *("</s>", "</s", "a</s>", "</S>", " ", "\n", "\t", "\r", "\x0b", "\x0c", "\x00", "\x1c", "\u2028", "__LABEL__y"),
]
TEXTS = st.lists(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=30).map("".join))


def texts(values):
    return pa.array(values, pa.large_string())


def slow_words(raw: bytes) -> list[bytes]:
    for byte in b"\x00\t\n\x0b\x0c\r":
        raw = raw.replace(bytes([byte]), b" ")
    return [word for word in raw.split(b" ") if word]


def slow_cut(text: str, limit: int) -> bytes:
    """The first bytes, without a word that the cut goes through."""
    raw = text.encode()
    if len(raw) <= limit:
        return raw
    while limit and raw[limit] not in b"\x00\t\n\x0b\x0c\r ":
        limit -= 1
    return raw[:limit]


def slow_lower(raw: bytes) -> bytes:
    """Simple case folding: one code point for one."""
    return "".join(chr(FOLD[ord(c)]) if ord(c) < len(FOLD) else c for c in raw.decode()).encode()


def slow_line(text: str, form: TextForm) -> bytes:
    raw = text.encode() if form.max_bytes is None else slow_cut(text, form.max_bytes)
    raw = slow_lower(raw) if form.case == "lower" else raw
    return b" ".join(w for w in slow_words(raw) if not w.startswith(b"__label__") and w != b"</s>")


@settings(max_examples=40)
@given(TEXTS, st.sampled_from([None, 64, 70, 81]), st.sampled_from(["keep", "lower"]), st.integers(0, 3))
def test_lines_are_what_the_slow_twin_says(values, limit, case, skip):
    """Cut, case, separators, labels and end words; of slices of an array, too."""
    form = TextForm(max_bytes=limit, case=case)
    found = form.lines(texts(values)[skip:])
    assert found.cast(pa.large_binary()).to_pylist() == [slow_line(v, form) for v in values[skip:]]


@given(TEXTS, st.sampled_from([None, 64, 70]), st.sampled_from(["keep", "lower"]))
def test_what_is_cut_reads_as_the_whole(values, limit, case):
    """``cut`` keeps the line, is no longer than the limit, and changes nothing a second time."""
    form = TextForm(max_bytes=limit, case=case)
    once = form.cut(texts(values))
    assert form.lines(once) == form.lines(texts(values))
    assert form.cut(once) == once
    assert all(limit is None or len(v.encode()) <= limit for v in once.to_pylist())


def test_what_fasttext_would_misread_is_gone():
    """White space, labels and the end-of-line word do not reach fastText; nulls are empty; chunks are one text each."""
    form = TextForm(max_bytes=64)
    values = ["a\nb\tc\r\nd\x00e\x0bf\x0cg", "__label__good x </s> y", None, " \n"]
    expected = ["a b c d e f g", "x y", "", ""]
    assert form.lines(texts(values)).to_pylist() == expected
    chunks = pa.chunked_array([texts(values[:1]), texts(values[1:])])
    assert form.lines(chunks).to_pylist() == expected
    assert form.lines(pa.chunked_array([], pa.large_string())).to_pylist() == []
    assert form.cut(texts(values)).to_pylist() == [v or "" for v in values]


def test_bytes_that_are_no_utf8_are_left_as_they_are():
    """A row with broken bytes is read like any other."""
    raw = [b"A\xffB \xc3", b"\xe2\x82 C", b"__label__\xff x"]
    offsets = np.cumsum([0, *map(len, raw)])
    array = pa.LargeStringArray.from_buffers(3, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(b"".join(raw)))
    lines = TextForm(case="lower").lines(array).cast(pa.large_binary()).to_pylist()
    assert lines == [b"a\xffb \xc3", b"\xe2\x82 c", b"x"]


def test_a_batch_is_read_once():
    """Nothing is copied where nothing changes; what is made of a batch is made once and shared by equal forms."""
    docs = Batch.of(
        texts(["short", "A text that has more than sixty-four bytes in it, so that it has to be cut somewhere."])
    )
    assert TextForm().read(docs) is docs
    assert TextForm(max_bytes=None).read(docs) is docs
    cut = TextForm(max_bytes=64).read(docs)
    assert cut is not docs and TextForm(max_bytes=64).read(docs) is cut
    small = TextForm(max_bytes=64, case="lower").read(docs)
    assert TextForm(max_bytes=64, case="lower").read(docs) is small
    assert small.text.to_pylist()[1] == "a text that has more than sixty-four bytes in it, so that it has"


@pytest.mark.parametrize("wrong", [{"max_bytes": 10}, {"case": "upper"}, {"cut": 3}])
def test_strange_forms_are_refused(wrong):
    """Settings are checked."""
    with pytest.raises(ValidationError):
        TextForm(**wrong)
