"""Byte-level vocabularies: our scan against the patterns themselves, ids against ``tokenizers`` and ``tiktoken``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twins import strings

from curate.text.arrow import buffers
from curate.text.encoder import of_bytes
from curate.text.fixed_strings import MOST_NODES, fixed_strings
from curate.text.pretokens import BLANK, LETTER, NUMBER, PATTERNS, UNKNOWN, classes, pretoken_marks

GPT2 = next(iter(PATTERNS))
ADDED = {**{b" " * n: 900 + n for n in range(2, 9)}, b"\t\t": 920, b"<|x": 921, b"<|x|>y": 922, "é".encode(): 923}
TEXTS = (
    *(
        "'s",
        "'S",
        "'ll",
        "'lL",
        "'ve",
        "'\u017f",
        "'d",
        "'",
        "don't",
        "''re",
        "a",
        "Zz",
        "é",
        "的",
        "ª",
        "\u01c5",
        "\u0301",
    ),
    *(
        "1",
        "12",
        "1234",
        "²",
        "½",
        "٣",
        " ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\u00a0",
        "\u2003",
        "\u0085",
        "\x1c",
        "\u180e",
        "\u200b",
    ),
    *(".", "(", "--", "…", "🙂", "_", "\x00", "<|x", "<|x|>y", "|>", "\uffff", "\U0001f6d8"),
)
TEXT = st.lists(st.sampled_from(TEXTS) | st.text(max_size=2), max_size=12).map("".join)
NOTHING = fixed_strings({})


def split(texts, pattern, fixed):
    """Pre-tokens of each text; None: left to the library."""
    rows = [text.encode() for text in texts]
    offsets, data = buffers(strings(rows))
    unsure = np.zeros(len(rows), bool)
    marks = pretoken_marks(data, offsets, classes(), PATTERNS[pattern], fixed, unsure)
    starts = np.flatnonzero(np.unpackbits(marks.view(np.uint8), bitorder="little"))
    found = []
    for row, start, stop, left in zip(rows, offsets[:-1], offsets[1:], unsure, strict=True):
        cuts = [*(starts[(starts >= start) & (starts < stop)] - start).tolist(), len(row)]
        found.append(None if left else [row[a:b].decode() for a, b in pairwise(cuts)])
    return found


def known(text):
    return all(classes()[ord(c)] != UNKNOWN for c in text)


@settings(max_examples=150)
@example(texts=["'\u017f' \u017f", "a\n \n  b", " \n", "x\r\n\r\n y", "\n  ", "  \u00a0\u00a0a"])
@given(texts=st.lists(TEXT, max_size=4))
def test_the_scan_is_the_pattern(texts):
    """What each pattern's regular expression finds, or no answer where our tables don't know a character."""
    for pattern in PATTERNS:
        expected = [regex.findall(pattern, text) if known(text) else None for text in texts]
        assert split(texts, pattern, NOTHING) == expected, pattern


@settings(max_examples=50)
@given(text=TEXT)
def test_fixed_strings_come_first(text):
    """From the left, the longest; the pattern sees what is between them, as if each part were a text."""
    longest = regex.compile("|".join(regex.escape(s.decode()) for s in sorted(ADDED, key=len, reverse=True)))
    expected, done = [], 0
    for match in [*longest.finditer(text), None]:
        expected += regex.findall(GPT2, text[done : match.start() if match else None])
        if match:
            expected.append(match.group())
            done = match.end()
    assert split([text], GPT2, fixed_strings(ADDED)) == [expected if known(regex.sub(longest, "", text)) else None]


def test_classes_of_all_characters():
    """Each assigned character is what the pattern's library says it is."""
    points = [i for i in range(0x110000) if not 0xD800 <= i < 0xE000 and classes()[i] != UNKNOWN]
    every = "".join(map(chr, points))
    for kind, name in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (BLANK, r"\s")):
        theirs = {ord(c) for c in regex.findall(name, every)}
        assert theirs == {i for i in points if classes()[i] == kind}


def test_too_many_fixed_strings():
    """A tree of more nodes than are kept is not made."""
    assert fixed_strings({str(i).encode(): i for i in range(MOST_NODES)}) is None
    assert of_bytes([], None, GPT2, {str(i).encode(): i for i in range(MOST_NODES)}, lambda text: text) is None


def characters():
    """How ``tokenizers`` writes bytes: GPT-2's printable characters."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in seen]
    return {chr(b): b for b in seen} | {chr(256 + i): b for i, b in enumerate(rest)}


@pytest.fixture(scope="module")
def learnt():
    """A small vocabulary: ``tokenizers``' own object, the bytes of its ids, its merges."""
    import json

    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(Path(__file__).read_text(encoding="utf-8").splitlines(keepends=True), trainer)
    model = json.loads(made.to_str())["model"]
    plain = characters()
    vocabulary = [bytes(plain[c] for c in piece) for piece in sorted(model["vocab"], key=model["vocab"].get)]
    ids = {text: i for i, text in enumerate(vocabulary)}
    merges = [tuple(ids[bytes(plain[c] for c in part)] for part in pair) for pair in model["merges"]]
    made.add_tokens([AddedToken(s.decode()) for s in ADDED])
    added = {s: made.token_to_id(s.decode()) for s in ADDED}
    return made, vocabulary, merges, added


@settings(max_examples=60)
@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_those_of_tokenizers(learnt, texts):
    """With added tokens; rows with characters that we don't know are theirs."""
    library, vocabulary, merges, added = learnt

    def theirs(text):
        return pa.array([library.encode(t).ids for t in text.to_pylist()], pa.large_list(pa.uint16()))

    text = pa.array(texts, pa.large_string())
    encoder = of_bytes(vocabulary, merges, GPT2, added, theirs)
    assert encoder.encode(text).to_pylist() == theirs(text).to_pylist()


@settings(max_examples=60)
@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_those_of_tiktoken(learnt, texts):
    """The vocabulary as ranks, and cl100k's pattern; of more than 65,535 ids uint32."""
    tiktoken = pytest.importorskip("tiktoken")
    pattern = list(PATTERNS)[-1]
    ranks = {text: i if len(text) == 1 else 70_000 + i for i, text in enumerate(learnt[1])}
    library = tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def theirs(text):
        return pa.array([library.encode_ordinary(t) for t in text.to_pylist()], pa.large_list(pa.uint32()))

    vocabulary = [b""] * (max(ranks.values()) + 1)
    for piece, i in ranks.items():
        vocabulary[i] = piece
    text = pa.array(texts, pa.large_string())
    encoder = of_bytes(vocabulary, None, pattern, {}, theirs)
    assert encoder.encode(text) == theirs(text)


def test_what_the_library_must_do_itself(learnt):
    """Other patterns, vocabularies without all bytes, and ids that merges don't reach."""
    _, vocabulary, merges, _ = learnt
    assert of_bytes(vocabulary, merges, r"\S+", {}, lambda text: text) is None
    assert of_bytes(vocabulary[1:], None, GPT2, {}, lambda text: text) is None
    more = [*vocabulary, b"\xff\xfe\xfd"]
    assert of_bytes(more, None, GPT2, {}, lambda text: text) is None
    assert of_bytes(more, merges, GPT2, {}, lambda text: text, whole=True) is None
    assert of_bytes(more, merges, GPT2, {}, lambda text: text) is not None
