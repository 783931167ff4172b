"""A given tokenizer that changes texts, without what changes them: the same pieces and ids.

What a text was normalised to before is what it is now, if it is normal already: then its ids are the same (but for a space
that was put in front). What has no bytes for unknown characters can't be mended.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from curate.errors import InputError
from curate.stages.tokenizer import CONFIG_FILE, load, tokenizer_file

_IDENTITY: Final = b"\x0a\x08identity\x12\x00\x20\x00\x28\x01"
"""Of a NormalizerSpec: name, no rules (precompiled_charsmap), remove_extra_whitespaces off, escape_whitespaces on."""
_KEEPS: Final = ("Prepend", "Replace", "ByteLevel")
"""Normalisers of Hugging Face that only write spaces or bytes in another way."""


def mended(place: Path) -> dict[str, bytes]:
    """The files of a folder with it; raises InputError where that would still change texts."""
    file = tokenizer_file(place)
    data = file.read_bytes()
    if file.suffix == ".model":
        # A field that comes again takes the place of what was said before (protocol buffers: merging of messages).
        files = {"tokenizer.model": data + b"\x1a" + bytes((len(_IDENTITY),)) + _IDENTITY}
    elif file.suffix == ".json":
        files = {"tokenizer.json": json.dumps(_plain(json.loads(data)), ensure_ascii=False).encode()}
        beside = file.parent / CONFIG_FILE
        files |= {CONFIG_FILE: beside.read_bytes()} if beside.is_file() else {}
    else:
        raise InputError("nothing in it changes texts", place=str(file), cure="use it as it is")
    with tempfile.TemporaryDirectory(prefix="curate-tokenizer-") as work:
        for name, written in files.items():
            (Path(work) / name).write_bytes(written)
        try:
            load(Path(work))
        except InputError as error:
            raise InputError(
                f"{error.cause} even without its normalisation", place=str(file), cure="name another tokenizer"
            ) from None
    return files


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    given = spec.get("normalizer") or {}
    kept = [n for n in given.get("normalizers", [given]) if n.get("type") in _KEEPS and _keeps(n)]
    steps = json.loads(json.dumps(spec.get("pre_tokenizer") or {}))
    for step in [steps, *steps.get("pretokenizers", [])]:
        if step.get("type") == "ByteLevel":
            step["add_prefix_space"] = False
    return {
        **spec,
        "normalizer": {"type": "Sequence", "normalizers": kept} if kept else None,
        "pre_tokenizer": steps or None,
    }


def _keeps(normalizer: Mapping[str, Any]) -> bool:
    """Of replacements only that of a space by its sign can be undone."""
    return normalizer["type"] != "Replace" or normalizer.get("pattern") == {"String": " "}
