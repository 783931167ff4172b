"""train.tokenizer: nothing is lost, control symbols stay out of reach, the same bytes each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_cases import batch, context, docstrings, source_files, split

from curate.errors import InputError
from curate.stages import tokenizer as tk
from curate.stages import tokenizer_sentencepiece as sp
from curate.stages.train_tokenizer import TrainTokenizer
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
    from curate.text.batch import Batch

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
