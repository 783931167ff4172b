"""A tokenizer looked at: what it is, whether it changes texts, how many tokens it makes of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.report.scoring import source_for, splits_of
from curate.stages import tokenizer_named
from curate.stages.fertility import fertility
from curate.stages.source import SetAside
from curate.stages.tokenizer import load, opened, tokenizer_file
from curate.text.batch import Batch


@dataclass(frozen=True)
class Looked:
    """What can be said of it.

    Attributes:
        file: where it is.
        changes: what it does to texts, empty: nothing.
        controls: ids of its control symbols.
        fertility: bytes per token and tokens per word of documents (``curate.stages.fertility``); empty without any.
    """

    file: str
    vocab_size: int
    dtype: str
    end_of_text: int
    padding: int
    changes: str
    controls: dict[str, int]
    fertility: dict[str, Any]


def find_tokenizer(name: str) -> Path:
    """The folder or file of a tokenizer: a path, else a name, whose files are fetched if they are not there yet."""
    return Path(name) if Path(name).exists() else tokenizer_named.folder(name)


def look(place: Path, files: Sequence[str], text: str) -> Looked:
    """Read a tokenizer, and documents if there are any; raises InputError for documents where it would change them."""
    found = opened(place)
    try:
        load(place)
        changes = ""
    except InputError as error:
        if files:
            raise
        changes = error.cause
    measured: dict[str, Any] = {}
    if files:
        stage = source_for(files, text)
        rows = (item for split in splits_of(stage) for item in stage.read(split, "file"))
        measured = fertility(found, (Batch(item) for item in rows if not isinstance(item, SetAside)))
    return Looked(
        str(tokenizer_file(place)),
        found.vocab_size,
        str(found.dtype),
        found.end_of_text,
        found.padding,
        changes,
        found.controls(),
        measured,
    )
