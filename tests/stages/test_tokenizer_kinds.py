"""Tokenizers of each kind lose nothing and keep control symbols out of reach; those that can't are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import source_files
from tokenizer_cases import (
    CONTROLS,
    HARD,
    KINDS,
    bytes_spec,
    huggingface,
    ranks,
    sentencepiece,
    spaces_spec,
    texts,
    tiktoken,
)

from curate.errors import EndpointError, InputError, RecipeError
from curate.stages import tokenizer as tk
from curate.stages import tokenizer_named
from curate.stages.tokenizer_mended import mended

PIECE = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from([*" \t\n\r▁\ue581uec\x00²́", *CONTROLS, "<0x41>", "<unk>", "the ", "def "]),
)
TEXT = st.lists(PIECE).map("".join)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tk.Tokenizer:
    return tk.load(KINDS[request.param](tmp_path_factory.mktemp("kind")))


def ids_of(tokenizer: tk.Tokenizer, some: list[str]) -> list[np.ndarray[Any, Any]]:
    return list(tk.lists(tokenizer.encode(pa.array(some, pa.large_string()))))


def test_hard_texts_come_back(tokenizer: tk.Tokenizer) -> None:
    """And no id of theirs is a control symbol's; the library alone gives the same."""
    some = [*HARD, "".join(HARD), *source_files(6)]
    held = set(tokenizer.controls().values())
    found = ids_of(tokenizer, some)
    assert [tokenizer.decode(ids) for ids in found] == some
    assert not held & set(np.concatenate(found).tolist())
    assert tokenizer.encode_slow(pa.array(some, pa.large_string())).to_pylist() == [ids.tolist() for ids in found]
    assert {ids.dtype for ids in found} == {np.dtype(np.uint16)}
    assert max(int(ids.max()) for ids in found if len(ids)) < tokenizer.vocab_size


@settings(max_examples=15)
@given(st.lists(TEXT, max_size=3))
def test_any_text_comes_back(tokenizer: tk.Tokenizer, some: list[str]) -> None:
    held = set(tokenizer.controls().values())
    for text, ids in zip(some, ids_of(tokenizer, some), strict=True):
        assert tokenizer.decode(ids) == text
        assert not held & set(ids.tolist())


def test_control_symbols(tokenizer: tk.Tokenizer) -> None:
    """Known by name, without a text; what there is not is named with a cure."""
    controls = tokenizer.controls()
    assert set(CONTROLS) <= set(controls)
    assert tokenizer.end_of_text == tokenizer.control("<|endoftext|>") == tokenizer.padding
    assert tokenizer.decode([*controls.values()]) == ""
    assert tokenizer.piece(tokenizer.control("<|im_end|>")) == "<|im_end|>"
    with pytest.raises(InputError, match=r"no control symbol '<\|user\|>'") as caught:
        tokenizer.control("<|user|>")
    assert "special" in caught.value.cure


def test_long_texts_go_in_pieces(tokenizer: tk.Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come back, too, and do not change what stands beside them; a null is an empty text."""
    some = [source_files(3)[2], "short", *HARD[:12]]
    whole = ids_of(tokenizer, some)
    monkeypatch.setattr(tk, "PIECE_BYTES", 100)
    found = tokenizer.encode(pa.array([*some, None], pa.large_string()))
    rows = list(tk.lists(found))
    assert [tokenizer.decode(ids) for ids in rows] == [*some, ""]
    assert rows[1].tolist() == whole[1].tolist()
    assert ids_of(tokenizer, []) == []


def test_ids_are_those_of_the_file(tmp_path: Path) -> None:
    """Where no control symbol is written in a text, the library gives the same ids from the file as it is."""
    from tokenizers import Tokenizer

    for spec in (bytes_spec(), spaces_spec()):
        ours = tk.load(huggingface(tmp_path, spec))
        theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        some = [t for t in [*HARD, *source_files(8)] if not any(c in t for c in [*CONTROLS, "<unk>", "▁", "\ue581"])]
        expected = [one.ids for one in theirs.encode_batch(some, add_special_tokens=False)]
        assert [ids.tolist() for ids in ids_of(ours, some)] == expected
        assert theirs.encode(" <|im_start|>", add_special_tokens=False).ids[-1] == ours.control("<|im_start|>")


def test_tiktoken_and_hugging_face_agree(tmp_path: Path) -> None:
    """The same pieces in both forms are the same tokenizer."""
    spec = bytes_spec()
    spec["added_tokens"] = [t for t in spec["added_tokens"] if not t["content"].isspace()]
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    face, tik = tk.load(huggingface(one, spec)), tk.load(tiktoken(other))
    shift = len([c for c in spec["model"]["vocab"] if c in CONTROLS])
    for left, right in zip(ids_of(face, texts()), ids_of(tik, texts()), strict=True):
        assert (left - shift).tolist() == right.tolist()


LOSSY: list[tuple[str, Any]] = [
    ("folds characters", lambda folder: sentencepiece(folder, normalization_rule_name="nmt_nfkc")),
    ("drops white space", lambda folder: sentencepiece(folder, remove_extra_whitespaces=True)),
    ("no bytes for characters", lambda folder: sentencepiece(folder, byte_fallback=False)),
    ("no symbol that ends a text", lambda folder: sentencepiece(folder, eos_id=-1)),
    ("do not come back", lambda folder: huggingface(folder, {**bytes_spec(), "normalizer": {"type": "NFC"}})),
    ("do not come back", lambda folder: huggingface(folder, {**bytes_spec(), "normalizer": {"type": "Lowercase"}})),
    ("no bytes for characters", lambda folder: huggingface(folder, {**bytes_spec(), "pre_tokenizer": None})),
    ("no symbol that ends a text", lambda folder: huggingface(folder, {**bytes_spec(), "added_tokens": []})),
    ("not every byte", lambda folder: huggingface(folder, without(bytes_spec(), "a"))),
    ("do not come back", lambda folder: huggingface(folder, unigram(spaces_spec()))),
]  # fmt: skip


def test_a_control_symbol_made_from_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library does: each one's name is tried."""
    tokenizer = tk.load(sentencepiece(tmp_path))
    assert tk._lost(tokenizer) == ""
    monkeypatch.setattr(type(tokenizer), "controls", lambda self: {"the": int(self.library.piece_to_id("e"))})
    assert "becomes that symbol" in tk._lost(tokenizer)


def without(spec: dict[str, Any], piece: str) -> dict[str, Any]:
    spec["model"]["vocab"] = {p: i for p, i in spec["model"]["vocab"].items() if p != piece}
    spec["model"]["merges"] = [m for m in spec["model"]["merges"] if piece not in "".join(m)]
    return spec


def unigram(spec: dict[str, Any]) -> dict[str, Any]:
    """In this form of Hugging Face's the text <0x41> is the byte: nothing can be done about it."""
    vocabulary = [[piece, -float(i)] for i, piece in enumerate(spec["model"]["vocab"])]
    return {**spec, "model": {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": True}}


@pytest.mark.parametrize(("why", "make"), LOSSY, ids=[f"{i} {why}" for i, (why, _) in enumerate(LOSSY)])
def test_what_changes_texts_is_refused(why: str, make: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why) as caught:
        tk.load(make(tmp_path))
    assert "train.tokenizer" in caught.value.cure
    tk.opened(tmp_path)  # what others wrote with it can be shown


def test_the_end_is_what_the_configuration_says(tmp_path: Path) -> None:
    """``eos_token`` and ``pad_token`` beside the file, as a name or as transformers writes them."""
    config = {"eos_token": {"content": "<|im_end|>", "__type": "AddedToken"}, "pad_token": "<tool>"}
    tokenizer = tk.load(huggingface(tmp_path, bytes_spec(), config))
    assert tokenizer.end_of_text == tokenizer.control("<|im_end|>")
    assert tokenizer.padding == tokenizer.control("<tool>")


def test_what_is_no_tokenizer(tmp_path: Path) -> None:
    """Each says what it is and what to do."""
    for name, data, why in (
        ("a.json", "{}", "not a Hugging Face tokenizer"),
        ("b.json", "[]", "not a Hugging Face tokenizer"),
        ("c.tiktoken", "IQ== 0\n", "pattern and special tokens are not known"),
        ("r50k_base.tiktoken", "no ranks\n", "not a tiktoken encoding"),
        ("p50k_base.tiktoken", "", "not a tiktoken encoding: it is empty"),
        ("odd.json", json.dumps({**bytes_spec(), "pre_tokenizer": {"type": "ByteLevel"}}), "can't read this tokenizer"),
        ("d.txt", "", r"no tokenizer is called \*.txt"),
    ):
        (tmp_path / name).write_text(data)
        with pytest.raises(InputError, match=why):
            tk.load(tmp_path / name)
    with pytest.raises(InputError, match="several tokenizers"):
        tk.load(tmp_path)
    with pytest.raises(InputError, match="no tokenizer"):
        tk.load(tmp_path / "nowhere")
    (tmp_path / "twice").mkdir()
    tiktoken(tmp_path / "twice")
    said = json.loads((tmp_path / "twice" / "small.json").read_text())
    said["special_tokens"]["<|endoftext|>"] = 5
    (tmp_path / "twice" / "small.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="same id"):
        tk.load(tmp_path / "twice")


# -- by name --------------------------------------------------------------------------------------------------


def test_codegen_has_tokens_for_indentation(tmp_path: Path) -> None:
    """Runs of 2 to 31 spaces and of 2 to 9 tabs, the longest first, with the ids that CodeGen gives them."""
    vocabulary = {letter: i for i, letter in enumerate(bytes_letters())} | {"<|endoftext|>": 50256}
    given = {"encoder.json": json.dumps(vocabulary).encode(), "vocab.bpe": b"#version: 0.2\n"}
    for name, data in tokenizer_named._gpt2(given, tokenizer_named._SPACES).items():
        (tmp_path / name).write_bytes(data)
    tokenizer = tk.load(tmp_path)
    assert (tokenizer.vocab_size, tokenizer.end_of_text, tokenizer.dtype) == (50295, 50256, np.dtype(np.uint16))
    x, nl, space = vocabulary["x"], vocabulary["Ċ"], vocabulary["Ġ"]
    for text, ids in {
        "x" + " " * 31: [x, 50257],
        "  x": [50286, x],
        " x": [space, x],
        "x\n    x": [x, nl, 50284, x],
        " " * 33: [50257, 50286],
        "\t\tx": [50294, x],
        "\t" * 9: [50287],
        "\t" * 10: [50287, vocabulary["ĉ"]],
    }.items():
        assert ids_of(tokenizer, [text])[0].tolist() == ids, text


def bytes_letters() -> list[str]:
    from curate.stages.tokenizer_bytes import LETTERS

    return list(LETTERS.values())


def test_ranks_of_the_package_are_the_authors_file() -> None:
    """A line of the package is a mark, the first id, and pieces one after the other."""
    data = json.dumps({"bpe_ranks": "! 0 IQ== Ig==\n! 2 Iw=="}).encode()
    assert tokenizer_named._as_ranks(data) == b"IQ== 0\nIg== 1\nIw== 2\n"


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be fetched is named with the place it could be put; what is known by no name, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CURATE_OFFLINE", "1")
    monkeypatch.delenv("CURATE_PACKAGES", raising=False)
    with pytest.raises(EndpointError, match=r"encoder\.json") as caught:
        tokenizer_named.folder("codegen")
    assert "https://openaipublic.blob.core.windows.net/gpt-2/" in caught.value.cure
    with pytest.raises(RecipeError, match="no tokenizer 'gpt-5'") as unknown:
        tokenizer_named.folder("gpt-5")
    assert "codegen" in unknown.value.cure
    small = dict.fromkeys(tokenizer_named.FILES, b"")
    small["r50k_base.tiktoken"] = b"".join(b"%b %d\n" % (encoded(piece), i) for piece, i in ranks().items())
    monkeypatch.setattr(tokenizer_named, "_published", small.__getitem__)
    folder = tokenizer_named.folder("r50k_base")
    assert folder == tokenizer_named.folder("r50k_base")
    assert tk.load(folder).end_of_text == 50256


def encoded(piece: bytes) -> bytes:
    import base64

    return base64.b64encode(piece)


def test_kernels_take_what_they_can(tmp_path: Path) -> None:
    """Byte-level BPE is encoded by our kernels, with its indentation; what cuts otherwise by the library, with the same ids."""
    spec = bytes_spec()
    other = {
        **spec,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    }
    first = {**spec, "model": {**spec["model"], "ignore_merges": True}}
    for one, kernels in ((spec, True), (first, True), (other, False)):
        tokenizer = tk.load(huggingface(tmp_path, one))
        assert (tokenizer._encoder is not None) is kernels
        some = pa.array([*HARD, *source_files(4)], pa.large_string())
        assert tokenizer.encode(some).to_pylist() == tokenizer.encode_slow(some).to_pylist()


# -- mended ---------------------------------------------------------------------------------------------------


NORMAL = "plain words and code:\n    return x + 1  # twice\n"
MENDABLE: list[Any] = [
    lambda folder: sentencepiece(folder, normalization_rule_name="nmt_nfkc", remove_extra_whitespaces=False),
    lambda folder: sentencepiece(folder, normalization_rule_name="nmt_nfkc", remove_extra_whitespaces=True, add_dummy_prefix=True),
    lambda folder: huggingface(folder, {**bytes_spec(), "normalizer": {"type": "NFC"}}),
    lambda folder: huggingface(folder, with_first(spaces_spec(), {"type": "NFKC"})),
]  # fmt: skip


def with_first(spec: dict[str, Any], normalizer: dict[str, Any]) -> dict[str, Any]:
    spec["normalizer"]["normalizers"].insert(0, normalizer)
    return spec


@pytest.mark.parametrize("make", MENDABLE)
def test_mended(make: Any, tmp_path: Path) -> None:
    """Without its normalisation it keeps every text; the pieces are the same, and a normal text's ids."""
    given, out = make(tmp_path), tmp_path / "out"
    out.mkdir()
    for name, data in mended(given).items():
        (out / name).write_bytes(data)
    before, after = tk.opened(given), tk.load(out)
    assert before.lossy or tk._lost(before)
    assert [tokenizer_back(after, text) for text in HARD] == HARD
    assert [after.piece(i) for i in range(after.vocab_size)] == [before.piece(i) for i in range(before.vocab_size)]
    word = pa.array(["plain"], pa.large_string())
    assert before.encode_slow(word).to_pylist() == after.encode_slow(word).to_pylist()
    if before.piece(0) != "<unk>" or not before.lossy:  # the others drop or fold white space
        normal = pa.array([NORMAL], pa.large_string())
        assert before.encode_slow(normal).to_pylist() == after.encode_slow(normal).to_pylist()


def tokenizer_back(tokenizer: tk.Tokenizer, text: str) -> str:
    return tokenizer.decode(ids_of(tokenizer, [text])[0])


def test_what_can_not_be_mended(tmp_path: Path) -> None:
    """What has no bytes stays refused, with its reason; a tiktoken encoding has nothing to leave out."""
    with pytest.raises(InputError, match=r"no bytes for characters.* even without its normalisation"):
        mended(sentencepiece(tmp_path, byte_fallback=False, normalization_rule_name="nmt_nfkc"))
    (tmp_path / "t").mkdir()
    with pytest.raises(InputError, match="nothing in it changes texts"):
        mended(tiktoken(tmp_path / "t"))
