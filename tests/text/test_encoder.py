"""Byte-pair encoding: the kernels against a slow, obvious merge and against SentencePiece itself, on models of several kinds."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import bpe_cache
from curate.text.encoder import of_pieces
from curate.text.piece_model import CONTROL, UNUSED, PieceModel
from curate.text.space_sign import escape

OURS = {
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "byte_fallback": True,
    "split_digits": True,
    "required_chars": "\u2581",
}
KINDS = {
    "ours": OURS,
    "across words": {**OURS, "split_by_whitespace": False, "split_by_unicode_script": False, "split_digits": False},
    "one space": {**OURS, "allow_whitespace_only_pieces": False, "split_by_number": False},
    "few characters": {**OURS, "character_coverage": 0.98, "required_chars": ""},
    "symbols": {
        **OURS,
        "add_dummy_prefix": True,
        "user_defined_symbols": ["<|role|>", "<|role", "\u2581of\u2581", "é的", "aaa"],
    },
}
SOURCE = Path(__file__).read_text(encoding="utf-8")
LEARNT = [
    *SOURCE.splitlines(keepends=True),
    "naïve café 的人的 的人 e\u0301e\u0301 🙂🙂 aaaa aaaaaaaa\n\n\n\n\t\t\t 2024 20242024\n",
]


def trained(model_type="bpe", vocab_size=700, **settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LEARNT * 3),
        model_writer=model,
        model_type=model_type,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def models():
    made = {name: trained(**kind) for name, kind in KINDS.items()}
    return {
        name: (of_pieces(model), sentencepiece.SentencePieceProcessor(model_proto=model))
        for name, model in made.items()
    }


def by_library(library, texts):
    return [library.encode(text) for text in escape(pa.array(texts, pa.large_string())).to_pylist()]


def slowly(model: PieceModel, text: str) -> list[int]:
    """The best pair of neighbours of the whole text becomes one, the leftmost of equals, until none is a piece."""
    known = {piece: i for i, piece in enumerate(model.pieces) if model.types[i] == 1}
    parts = list(text.replace(" ", "\u2581"))
    while True:
        pairs = [(-model.scores[known[a + b]], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in known]
        if not pairs:
            break
        _, i = min(pairs)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    bytes_ = [model.pieces.index(f"<0x{i:02X}>") for i in range(256)]
    return [i for part in parts for i in ([known[part]] if part in known else [bytes_[b] for b in part.encode()])]


WORDS = (
    *(
        "the ",
        " of",
        "\n",
        "\n\n    ",
        ":\n",
        ")\n",
        "    ",
        "\t",
        "  ",
        "a" * 9,
        "aaaa",
        "2024",
        "é",
        "e\u0301",
        "的",
        "人",
        "🙂",
        "ß",
    ),
    *("<|role|>", "<|role|>x<|role|", " of ", "é的", "aaaaaaa"),
    *(
        "\u2581",
        "\ue581",
        "\ue581u",
        "\x00",
        "\u2585",
        "<0x0A>",
        "<s>",
        "</s>",
        "<unk>",
        "def ",
        "model",
        "(",
        "]",
        "=" * 20,
        "\u00a0",
        "\uffff",
    ),
)
TEXT = st.lists(st.sampled_from(WORDS) | st.text(max_size=3) | st.sampled_from(SOURCE.split(" ")), max_size=14).map(
    "".join
)


@settings(max_examples=60)
@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_the_librarys(models, texts):
    """Any texts, models whose pieces cross words, hold white space alone, lack characters: the same ids."""
    for name, (encoder, library) in models.items():
        assert encoder.encode(pa.array(texts, pa.large_string())).to_pylist() == by_library(library, texts), name


@settings(max_examples=30)
@given(text=TEXT)
def test_merges_are_the_obvious_ones(models, text):
    """Without any cut, cache or table: the same ids."""
    encoder, library = models["across words"]
    model = PieceModel.read(library.serialized_model_proto())
    escaped = escape(pa.array([text])).to_pylist()[0]
    assert encoder.encode(pa.array([text], pa.large_string())).to_pylist() == [slowly(model, escaped)]


def test_equal_scores_merge_from_the_left(models):
    """Where scores are equal the place decides, not the id."""
    model = models["ours"][1].serialized_model_proto()
    flat = bytearray(model)
    read = PieceModel.read(model)
    for piece, score in zip(read.pieces, read.scores, strict=True):  # scores in steps of forty: many equals
        raw = piece.encode()
        field = b"\x0a" + bytes([len(raw)]) + raw + b"\x15"
        at = flat.find(field)
        flat[at + len(field) : at + len(field) + 4] = np.float32(np.floor(score / 40)).tobytes()
    library = sentencepiece.SentencePieceProcessor(model_proto=bytes(flat))
    assert len(set(PieceModel.read(bytes(flat)).scores)) < 20
    encoder = of_pieces(bytes(flat))
    assert encoder.encode(pa.array(LEARNT, pa.large_string())).to_pylist() == by_library(library, LEARNT)


def test_batches_and_the_size_of_the_table_change_nothing(models, monkeypatch):
    """A table of 16 places, emptied all the time; rows one by one; slices and nulls: the same ids."""
    encoder, library = models["ours"]
    rows = [*LEARNT, "", None, "x" * 300, "=" * 60]
    whole = encoder.encode(pa.array(rows, pa.large_string())).to_pylist()
    assert whole == by_library(library, [row or "" for row in rows])
    array = pa.array(["before", *rows, "behind"], pa.large_string())
    assert encoder.encode(array[1:-1]).to_pylist() == whole
    assert [encoder.encode(array[i : i + 1]).to_pylist()[0] for i in range(1, len(rows) + 1)] == whole
    monkeypatch.setattr(encoder, "_cache", bpe_cache.Cache(encoder._cache._model, places=16))
    assert encoder.encode(array[1:-1]).to_pylist() == whole
    assert encoder._cache.nbytes < 20_000
    assert encoder.encode(pa.array([], pa.large_string())).to_pylist() == []
    assert encoder.encode(pa.array(rows, pa.string())).to_pylist() == whole


def test_threads_share_an_encoder(models):
    """Four threads at once, one table that is emptied all the time: each gets its own texts' ids."""
    encoder, library = models["ours"]
    shared = of_pieces(library.serialized_model_proto())
    shared._cache = bpe_cache.Cache(shared._cache._model, places=64)
    rows = [pa.array(LEARNT[i::4] * 20, pa.large_string()) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert [ids.to_pylist() for ids in pool.map(shared.encode, rows)] == [
            encoder.encode(r).to_pylist() for r in rows
        ]


def test_ends_of_buffers(models):
    """Bytes are not read behind a buffer's end, whatever stands there."""
    encoder, library = models["ours"]
    for text in ("a", "def model", "é", "x = [" * 30):
        raw = text.encode() + b"garbage"
        array = pa.Array.from_buffers(
            pa.large_string(),
            1,
            [None, pa.py_buffer(np.array([0, len(text.encode())])), pa.py_buffer(raw).slice(0, len(text.encode()))],
        )
        assert encoder.encode(array).to_pylist() == by_library(library, [text])


def test_long_runs_do_not_blow_up(models):
    """A text of 500 kB without any place to cut, and one of characters that are no piece: n log n."""
    encoder, library = models["ours"]
    run = "a" * 500_000
    (ids,) = encoder.encode(pa.array([run], pa.large_string())).to_pylist()
    assert ids == library.encode(run)
    (ids,) = encoder.encode(pa.array(["\uac00" * 100_000], pa.large_string())).to_pylist()
    assert ids == 100_000 * by_library(library, ["\uac00"])[0]


def test_bytes_that_are_no_text_are_kept(models):
    """What is no UTF-8 becomes the ids of its bytes."""
    encoder, library = models["ours"]
    array = pa.array([b"a\xff\xc3 b\xe2\x96"], pa.large_binary()).cast(pa.large_string(), safe=False)
    (ids,) = encoder.encode(array).to_pylist()
    assert [library.id_to_piece(i) for i in ids if library.is_byte(i)] == ["<0xFF>", "<0xC3>", "<0xE2>", "<0x96>"]


def test_what_the_library_must_do_itself():
    """Unigram, normalised and byteless models, and those with pieces that no text has, are not taken on."""
    assert of_pieces(trained("unigram", 500, **OURS)) is None
    for change in (
        {"normalization_rule_name": "nfkc"},
        {"remove_extra_whitespaces": True},
        {"byte_fallback": False},
        {"user_defined_symbols": ["x y"]},
        {"control_symbols": ["é"]},
    ):
        assert of_pieces(trained(vocab_size=500, **{**OURS, **change})) is None
    with pytest.raises(ValueError, match="SentencePiece"):
        of_pieces(b"no model")


def test_a_model_is_read_as_the_library_reads_it(models):
    """Pieces, scores, types, settings."""
    library = models["ours"][1]
    model = PieceModel.read(library.serialized_model_proto())
    assert model.pieces == [library.id_to_piece(i) for i in range(len(model.pieces))]
    assert model.scores == [library.get_score(i) for i in range(len(model.pieces))]
    assert [kind == CONTROL for kind in model.types] == [library.is_control(i) for i in range(len(model.pieces))]
    assert UNUSED not in model.types
    assert model.byte_fallback and model.escape_spaces and not model.dummy_prefix
