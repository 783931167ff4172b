r"""A tokenizer as ``transformers`` opens it: tokenizer.json, its configuration, and the form of chats as a template.

A SentencePiece BPE becomes the library's BPE with the same pieces, ids and bytes; every pair of pieces that makes a piece is a
merge, in the order of scores. A literal U+2581 is escaped as here (``curate.text.space_sign``). What ``transformers`` does
otherwise, whatever the tokenizer: the name of a control symbol in a text becomes that symbol.

The template is ChatML as ``encode.tokens`` writes it, with ``{% generation %}`` around what is trained on: the contents of the
assistant and the symbols that end them. Here a role's name and a content are encoded each by itself; there both are one text.
So texts are cut behind a role's line before anything else: ids are the same, but for a text that begins with one (``user\n``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from curate.errors import InputError
from curate.stages.answered import ASSISTANT, SYSTEM, USER
from curate.stages.chat import Chat
from curate.stages.tokenizer import CONFIG_FILE, Tokenizer, load, tokenizer_file
from curate.stages.tokenizer_huggingface import HuggingFace
from curate.stages.tokenizer_sentencepiece import SentencePiece
from curate.text.piece_model import BPE, CONTROL, NORMAL, USER_DEFINED, PieceModel
from curate.text.space_sign import ESCAPE, SPACE

__all__ = ["chat_template", "transformers_files"]

_ROLES: Final = (SYSTEM, USER, ASSISTANT)
_LONGEST: Final = 1 << 30
"""Tokens that a text may have: a tokenizer has no limit, a model has."""


def transformers_files(place: Path) -> dict[str, bytes]:
    """Files of a folder that ``AutoTokenizer.from_pretrained`` opens; with a chat template where there are ChatML's symbols.

    Raises InputError for a tokenizer of another kind than SentencePiece's BPE or a ``tokenizer.json``.
    """
    tokenizer, file = load(place), tokenizer_file(place)
    if isinstance(tokenizer, SentencePiece):
        model = PieceModel.read(tokenizer.proto)
        if model.model_type != BPE or model.dummy_prefix or USER_DEFINED in model.types:
            raise InputError(
                "is no plain BPE (unigram, a space in front, or symbols matched in text)",
                place=str(file),
                cure="train one with 'train.tokenizer' (model_type: bpe)",
            )
        spec, config = _spec(model), dict[str, Any]()
    elif isinstance(tokenizer, HuggingFace):
        spec, beside = dict(tokenizer.spec), file.parent / CONFIG_FILE
        config = json.loads(beside.read_bytes()) if beside.is_file() else {}
    else:
        raise InputError("has no form that transformers reads", place=str(file), cure="name a .model or tokenizer.json")
    names = {i: name for name, i in tokenizer.controls().items()}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    config |= {"eos_token": names[tokenizer.end_of_text], "pad_token": names[tokenizer.padding]}
    config.setdefault("model_max_length", _LONGEST)
    if template := chat_template(tokenizer):
        config["chat_template"] = template
        spec["pre_tokenizer"] = _behind_roles(spec.get("pre_tokenizer"))
    return {
        "tokenizer.json": (json.dumps(spec, ensure_ascii=False) + "\n").encode(),
        CONFIG_FILE: (json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(),
    }


def chat_template(tokenizer: Tokenizer) -> str | None:
    """ChatML as Jinja; None for a tokenizer without its symbols."""
    chat = Chat()
    if not {chat.start, chat.end} <= tokenizer.controls().keys():
        return None
    start, end = json.dumps(chat.start), json.dumps(chat.end)
    said = f"{{{{- message['content'] + {end} }}}}"
    return (
        f"{{%- for message in messages %}}{{{{- {start} + message['role'] + '\\n' }}}}"
        f"{{%- if message['role'] == '{ASSISTANT}' %}}{{%- generation %}}{said}{{%- endgeneration %}}"
        f"{{%- else %}}{said}{{%- endif %}}{{{{- '\\n' }}}}{{%- endfor %}}"
        f"{{%- if add_generation_prompt %}}{{{{- {start} + '{ASSISTANT}\\n' }}}}{{%- endif %}}"
    )


def _behind_roles(given: Any) -> dict[str, Any]:
    """What cuts texts, with a cut behind a role's line at their beginning before it."""
    pattern = {"Regex": rf"\A(?:{'|'.join(_ROLES)})\n"}
    cut = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    steps = given["pretokenizers"] if given and given["type"] == "Sequence" else [given] if given else []
    return {"type": "Sequence", "pretokenizers": [cut, *steps]}


def _spec(model: PieceModel) -> dict[str, Any]:
    """The tokenizer.json of a SentencePiece BPE."""
    vocab = {piece: i for i, piece in enumerate(model.pieces)}
    added = [
        {
            "id": i,
            "content": piece,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, piece in enumerate(model.pieces)
        if model.types[i] == CONTROL
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": _sequence("normalizers", [(ESCAPE, ESCAPE + "e"), (SPACE, ESCAPE + "u"), (" ", SPACE)]),
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *(_replace(*each) for each in ((SPACE, " "), (ESCAPE + "u", SPACE), (ESCAPE + "e", ESCAPE))),
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": _merges(model, vocab),
        },
    }


def _sequence(name: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    return {"type": "Sequence", name: [_replace(*pair) for pair in pairs]}


def _replace(what: str, by: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": what}, "content": by}


def _merges(model: PieceModel, vocab: dict[str, int]) -> list[list[str]]:
    """Every two pieces that together are one, those of the highest score first; of one piece in the order of ids."""
    normal = {piece for i, piece in enumerate(model.pieces) if model.types[i] == NORMAL}
    found = []
    for piece in normal:
        for at in range(1, len(piece)):
            left, right = piece[:at], piece[at:]
            if left in normal and right in normal:
                found.append((-model.scores[vocab[piece]], vocab[left], vocab[right], [left, right]))
    return [pair for *_, pair in sorted(found)]
