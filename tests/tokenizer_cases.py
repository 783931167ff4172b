"""One small tokenizer of each kind, made on the spot, and texts that are easily lost."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learning_cases import docstrings, source_files

from curate.stages.tokenizer_bytes import LETTERS

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"]
HARD = [
    "", " ", "\n", "\t", "\r\n", "\x00", " lead", "trail ", "a\r\nb\rc\n\n\n", "    def f():\n\t\treturn  1\n", "x² ½ ﬁ Å Å ſ ﷺ ＡＢ",
    "▁", "▁▁ ▁u ▁e", "\ue581", "\ue581u\ue581e▁\ue581", "\ue581c3", "😀👩‍👩‍👧‍👦🇩🇪", "e\u0301o\u0308\u0323", "日本語のテキスト", "\u3000\xa0\u2028\x85\ufeff",
    "<|endoftext|>", "<|pad|>", "<unk>", "<s></s>", "<0x0A><0x41>", "\U0010ffff\ufffd\uffff\ue000", "a" * 3_000, " " * 999, "İıẞΣς",
    "<|im_start|>user\nhi<|im_end|>", " ".join(CONTROLS), "".join(CONTROLS) * 3,
]  # fmt: skip


def texts() -> list[str]:
    """Prose and code that the small vocabularies are made from."""
    return docstrings()[:100] + source_files(12)


def sentencepiece(folder: Path, **settings: Any) -> Path:
    """A model by the library's own trainer, with a given setting changed from what loses nothing."""
    import sentencepiece as library

    model = io.BytesIO()
    plain: dict[str, Any] = {
        "vocab_size": 500,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
        "hard_vocab_limit": False,
        "minloglevel": 2,
        "bos_id": -1,
        "pad_id": -1,
        "control_symbols": CONTROLS[1:],
        "eos_piece": CONTROLS[0],
    }
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(docstrings()[:80]), model_writer=model, **{**plain, **settings}
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return folder


def bytes_spec() -> dict[str, Any]:
    """A byte-level BPE of Hugging Face's own trainer: symbols that are special and not, and indentation."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=letters, special_tokens=CONTROLS[:2], show_progress=False
    )
    made.train_from_iterator(texts(), trainer)
    made.add_special_tokens(CONTROLS[2:3])
    made.add_tokens(CONTROLS[3:])
    made.add_tokens([AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)])
    return dict(json.loads(made.to_str()))


def spaces_spec() -> dict[str, Any]:
    """As Llama 2's file is: a space in front, U+2581 for spaces, bytes for what is no piece; and no cut before pieces."""
    pieces = ["<unk>", CONTROLS[0], *(f"<0x{b:02X}>" for b in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz(:)=.\n"]
    merges = [
        ["▁", "▁"],
        ["▁▁", "▁▁"],
        ["t", "h"],
        ["th", "e"],
        ["▁", "the"],
        ["i", "n"],
        ["e", "r"],
        ["r", "e"],
        ["d", "e"],
        ["de", "f"],
    ]
    pieces += ["".join(pair) for pair in merges]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    last = len(pieces)
    added = [{"id": i, "content": pieces[i], **special} for i in (0, 1)]
    added += [{"id": last + i, "content": name, **special} for i, name in enumerate(CONTROLS[1:])]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": merges,
        },
    }  # fmt: skip


def huggingface(folder: Path, spec: dict[str, Any], config: dict[str, Any] | None = None) -> Path:
    """A folder with a ``tokenizer.json``."""
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def ranks() -> dict[bytes, int]:
    """The ranks of ``bytes_spec``'s pieces: what it joins, in that order."""
    spec = bytes_spec()
    letters = {letter: byte for byte, letter in LETTERS.items()}
    pieces = [p for p in spec["model"]["vocab"] if p not in CONTROLS]
    pieces.sort(key=spec["model"]["vocab"].get)
    return {bytes(letters[c] for c in piece): i for i, piece in enumerate(pieces)}


def tiktoken(folder: Path) -> Path:
    """A file of ranks and what goes with it."""
    found = ranks()
    lines = [f"{base64.b64encode(piece).decode()} {i}\n" for piece, i in found.items()]
    (folder / "small.tiktoken").write_text("".join(lines))
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    special = {name: len(found) + i for i, name in enumerate(CONTROLS)}
    (folder / "small.json").write_text(json.dumps({"pattern": pattern, "special_tokens": special}))
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "sentencepiece": sentencepiece,
    "sentencepiece, space in front": lambda folder: sentencepiece(folder, add_dummy_prefix=True, model_type="bpe"),
    "huggingface, bytes": lambda folder: huggingface(folder, bytes_spec()),
    "huggingface, spaces": lambda folder: huggingface(folder, spaces_spec()),
    "tiktoken": tiktoken,
}
