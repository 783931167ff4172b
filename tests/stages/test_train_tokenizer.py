"""train.tokenizer: nothing is lost, control symbols stay out of reach, the same bytes each time."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_cases import batch, context, docstrings, source_files, split
from pydantic import ValidationError

from curate.errors import InputError
from curate.stages import tokenizer as tk
from curate.stages import tokenizer_sentencepiece as sp
from curate.stages.train_tokenizer import TrainTokenizer
from curate.text.batch import Batch
from curate.text.space_sign import ESCAPE, unescape

HARD = [
    "", " ", "\n", "\t", "\r\n", "\x00", " lead", "trail ", "a\r\nb\rc\n\n\n", "    def f():\n\t\treturn  1\n", "x² ½ ﬁ Å Å",
    "▁", "▁▁ ▁u ▁e", "\ue581", "\ue581u\ue581e▁\ue581", "😀👩‍👩‍👧‍👦🇩🇪", "e\u0301o\u0308\u0323", "日本語のテキスト", "\u3000\xa0\u2028\x85\ufeff",
    "<|endoftext|>", "<|pad|>", "<unk>", "<s></s>", "<0x0A><0x41>", "\U0010ffff\ufffd\uffff", "a" * 3_000, " " * 999,
]  # fmt: skip
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \t\n\r▁\ue581ue\x00²́")))


def documents():
    prose, code = docstrings()[:150], source_files(25)
    return batch(prose + code, ["prose"] * len(prose) + ["code"] * len(code))


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    stage = TrainTokenizer(vocab_size=900, model_type=request.param, max_bytes=120_000, held_out=0.2)
    return folder, stage.train(split(documents(), 40), folder, context("words")), stage


def back(tokenizer, text):
    return tokenizer.decode(next(tk.lists(tokenizer.encode(pa.array([text], pa.large_string())))))


def test_hard_texts_come_back(trained):
    """White space, control characters, U+2581, the escape itself, combining marks, literal symbols."""
    tokenizer = tk.load(trained[0])
    for text in HARD:
        assert back(tokenizer, text) == text
    assert back(tokenizer, "".join(HARD)) == "".join(HARD)


@given(TEXT)
def test_any_text_comes_back(trained, text):
    """decode(encode(text)) == text for every valid text."""
    assert back(tk.load(trained[0]), text) == text


def test_source_files_come_back(trained):
    """Real files, byte for byte, also as one batch."""
    tokenizer = tk.load(trained[0])
    files = source_files(60)
    assert [tokenizer.decode(ids) for ids in tk.lists(tokenizer.encode(pa.array(files, pa.large_string())))] == files


def test_control_symbols_are_never_made_from_text(trained):
    """A literal <|endoftext|> is characters; the ids of control symbols decode to nothing."""
    tokenizer = tk.load(trained[0])
    assert (tokenizer.end_of_text, tokenizer.padding) == (1, 2)
    assert tokenizer.piece(1) == "<|endoftext|>"
    for ids in tk.lists(tokenizer.encode(pa.array(HARD, pa.large_string()))):
        assert ids.dtype == "uint16"
        assert not len(ids) or ids.min() > 2
    assert tokenizer.decode([1, 2, 1]) == ""


def test_indentation_and_line_feeds_have_pieces(trained):
    """Runs of spaces cost one token, and a line feed is a piece, alone or with its neighbours."""
    tokenizer = tk.load(trained[0])
    written = [tokenizer.piece(i) for i in range(tokenizer.vocab_size)]
    assert "▁▁▁▁" in written
    assert any("\n" in p for p in written)
    (ids,) = tk.lists(tokenizer.encode(pa.array(["        "], pa.large_string())))
    assert len(ids) <= 2


def test_the_report_measures_bytes_per_token(trained):
    """By source, on contents that were not trained on."""
    folder, report, stage = trained
    assert report["vocab_size"] == tk.load(folder).vocab_size <= 900
    assert report["trained_bytes"] >= stage.max_bytes or report["trained_documents"] > 100
    measured = report["bytes_per_token"]
    assert set(measured["by_source"]) == {"prose", "code"}
    assert 2 < measured["all"]["bytes_per_token"] < 6
    assert json.loads((folder / "trained.json").read_text()) == report


def test_nothing_of_this_machine_is_in_the_model(trained):
    """No path and no name of a file is in what was written."""
    for path in trained[0].iterdir():
        data = path.read_bytes()
        assert b"/tmp" not in data and str(Path.cwd()).encode() not in data


def test_two_trainings_give_the_same_bytes(tmp_path):
    """Order of rows, size of batches, and another process with another hash seed do not matter."""
    docs = documents()
    stage = TrainTokenizer(vocab_size=600, max_bytes=60_000)
    stage.train(split(docs, 1_000), tmp_path / "a", context("words"))
    reverse = pa.array(range(len(docs) - 1, -1, -1))

    stage.train(split(Batch(docs.rows.take(reverse)), 7), tmp_path / "b", context("words"))
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_stream(sink, docs.rows.schema) as writer:
        writer.write_batch(docs.rows)
    code = (
        "import sys, pathlib, pyarrow as pa\n"
        "from curate.stages.base import Context\nfrom curate.text.batch import Batch\n"
        "from curate.stages.train_tokenizer import TrainTokenizer\n"
        "docs = [Batch(b) for b in pa.ipc.open_stream(sys.argv[1])]\n"
        "TrainTokenizer(vocab_size=600, max_bytes=60_000).train(docs, pathlib.Path(sys.argv[2]), Context('words', 1, {}))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    command = [sys.executable, "-c", code, str(tmp_path / "rows.arrow"), str(tmp_path / "c")]
    subprocess.run(command, check=True, env=environment)
    first = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    for other in ("b", "c"):
        assert {p.name: p.read_bytes() for p in (tmp_path / other).iterdir()} == first


def test_tiny_corpora_give_a_smaller_vocabulary(tmp_path):
    """Too little text for vocab_size is no error; no text at all is, with its cause."""
    report = TrainTokenizer(vocab_size=8_192).train(
        [batch(["def f(x):\n    return x\n"] * 3, ["s"] * 3)], tmp_path, context()
    )
    assert 259 < report["vocab_size"] < 400
    tokenizer = tk.load(tmp_path)
    assert [back(tokenizer, t) for t in HARD] == HARD
    for docs in ([], [batch([""], ["s"])]):
        with pytest.raises(InputError, match="no text"):
            TrainTokenizer().train(docs, tmp_path / "none", context())


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("text", ["日本語のテキスト\n" * 40, "abc", "tab\tone\ttwo\n" * 40, "▅ ▁ x\n" * 40])
def test_a_corpus_without_a_space_still_keeps_spaces(tmp_path, model_type, text):
    """Scripts without spaces give a model that loads and loses nothing; U+2585 is no reason to skip a text."""
    stage = TrainTokenizer(vocab_size=400, model_type=model_type)
    stage.train([batch([text] * 3, ["s"] * 3)], tmp_path, context())
    tokenizer = tk.load(tmp_path)
    assert [back(tokenizer, t) for t in [*HARD, text]] == [*HARD, text]
    assert "▁" in [tokenizer.piece(i) for i in range(tokenizer.vocab_size)]


def test_a_space_written_in_bytes_comes_back():
    """Bytes that spell U+2581 are a space, an escaped U+2581 is itself."""
    assert unescape("a▁b" + ESCAPE + "u") == "a b▁"


@given(st.text(), st.integers(4, 40))
def test_pieces_join_to_the_text(text, limit):
    """Pieces are whole characters, within the limit, and lose nothing."""
    parts = list(tk.pieces(text, limit))
    assert "".join(parts) == text
    assert all(0 < len(p.encode()) <= limit for p in parts)


def test_huge_texts_are_encoded_in_pieces(trained, monkeypatch):
    """A long text is the concatenation of its pieces' ids; nulls are empty."""
    tokenizer = tk.load(trained[0])
    monkeypatch.setattr(tk, "PIECE_BYTES", 100)
    text = source_files(3)[2]
    long, empty = tk.lists(tokenizer.encode(pa.array([text, None], pa.large_string())))
    assert tokenizer.decode(long) == text
    assert len(empty) == 0


def test_models_that_would_lose_text_are_refused(tmp_path):
    """Nothing, junk, and a model with the library's defaults are InputErrors."""
    with pytest.raises(InputError, match="no tokenizer"):
        tk.load(tmp_path)
    (tmp_path / sp.MODEL_FILE).write_bytes(b"junk")
    with pytest.raises(InputError, match="not a SentencePiece model"):
        tk.load(tmp_path)
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(docstrings()[:50]),
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / sp.MODEL_FILE).write_bytes(model.getvalue())
    with pytest.raises(InputError, match="changes texts"):
        tk.load(tmp_path)


def small(folder, texts, sources=None, **settings):
    """Train on a few texts; the tokenizer and the report."""
    stage = TrainTokenizer(**{"vocab_size": 400, "held_out": 0.01, **settings})
    report = stage.train([batch(texts, sources or ["s"] * len(texts))], folder, context())
    return tk.load(folder), report


def test_digits_are_tokens_of_their_own(tmp_path):
    """However often a number occurs, it is written digit by digit, as any other is."""
    tokenizer, _ = small(tmp_path, [f"in 2024 and 2024, line {i}: 2024" for i in range(60)])
    (ids,) = tk.lists(tokenizer.encode(pa.array(["2024"], pa.large_string())))
    assert [tokenizer.piece(int(i)) for i in ids] == ["2", "0", "2", "4"]
    pieces = [tokenizer.piece(i) for i in range(tokenizer.vocab_size)]
    assert not [p for p in pieces if re.search(r"\d.*\d", p) and not p.startswith("<0x")]


def test_a_long_document_is_cut_not_skipped(tmp_path):
    """What stands behind many times the library's longest sentence is learnt."""
    text = "plain words of a line\n" * 4_000 + "xylophonist quartzite\n" * 400
    tokenizer, report = small(tmp_path, [text])
    assert report["trained_documents"] == 1
    (ids,) = tk.lists(tokenizer.encode(pa.array(["xylophonist"], pa.large_string())))
    assert len(ids) <= 4


def test_special_symbols(tmp_path):
    """Roles of a chat have ids that no text is encoded to; names that would do harm are refused."""
    names = ["<|im_start|>", "<|im_end|>", "[INST]"]
    tokenizer, _ = small(tmp_path, ["<|im_start|>user\nhi<|im_end|> [INST] <|im_start|>\n"] * 20, special=names)
    held = set(tokenizer.controls().values())
    assert [tokenizer.control(name) for name in names] == [3, 4, 5]
    for name in names:
        (ids,) = tk.lists(tokenizer.encode(pa.array([f"a {name}{name} b"], pa.large_string())))
        assert not held & set(ids.tolist())
        assert tokenizer.decode(ids) == f"a {name}{name} b"
        assert tokenizer.decode([tokenizer.control(name)]) == ""
    for bad, why in (
        (["<|a|>", "<|a|>"], "named twice"),
        (["<0x41>"], "is there in any case"),
        (["<|endoftext|>"], "is there in any case"),
        (["<|a,b|>"], "no name of a symbol"),
        (["x"], "no name of a symbol"),
        ([f"<{i}>" for i in range(200)], "no room"),
    ):
        with pytest.raises(ValidationError, match=why):
            TrainTokenizer(vocab_size=400, special=bad)


def test_the_sample_is_by_weight(tmp_path):
    """Shares are of the sample's bytes, whatever the corpus has of each; a content is taken once; the rest is left out."""
    texts = [f"{name} number {i} of its kind, a line of words\n" * 5 for name in "abc" for i in range(200)]
    sources = [name for name in ("a-one", "b", "c") for _ in range(200)]
    mix = {"a-*": 0.25, "b": 0.75, "x": 0.0}
    _, report = small(tmp_path, texts, sources, mix=mix, max_bytes=20_000)
    assert set(report["trained_on"]) == {"a-*", "b"}
    one = len(texts[0]) + 2
    assert 5_000 <= report["trained_on"]["a-*"] < 5_000 + one
    assert 15_000 <= report["trained_on"]["b"] < 15_000 + one
    assert report["trained_bytes"] == sum(report["trained_on"].values())
    # Another order, other batches: the same bytes.
    stage = TrainTokenizer(vocab_size=400, held_out=0.01, mix=mix, max_bytes=20_000)
    backwards = batch(texts, sources).rows.take(pa.array(range(599, -1, -1)))
    stage.train(split(Batch(backwards), 7), tmp_path / "again", context())
    assert (tmp_path / "again" / "tokenizer.model").read_bytes() == (tmp_path / "tokenizer.model").read_bytes()
    with pytest.raises(InputError, match="no text"):
        small(tmp_path / "none", texts, sources, mix={"elsewhere": 1.0})
    with pytest.raises(ValidationError, match="a weight each"):
        TrainTokenizer(mix={"a": {"epochs": 2}})


def test_fertility_counts_what_is_there(trained):
    """By source: bytes, tokens and words, as an obvious twin counts them."""
    from curate.stages.fertility import fertility

    tokenizer = tk.load(trained[0])
    texts, sources = ["one two", "", "x\ty\n\nz  é", "你好 a"], ["p", "q", "p", "r"]
    found = fertility(tokenizer, split(batch(texts, sources), 2))
    for name in "pqr":
        mine = [t for t, s in zip(texts, sources, strict=True) if s == name]
        tokens = sum(len(ids) for ids in tk.lists(tokenizer.encode(pa.array(mine, pa.large_string()))))
        words, size = sum(len(t.split()) for t in mine), sum(len(t.encode()) for t in mine)
        assert found["by_source"][name] == {
            "documents": len(mine),
            "bytes": size,
            "tokens": tokens,
            "words": words,
            "bytes_per_token": size / tokens if tokens else None,
            "tokens_per_word": tokens / words if words else None,
        }
    assert found["all"]["tokens"] == sum(found["by_source"][s]["tokens"] for s in "pqr")
    assert fertility(tokenizer, []) == {}
