"""Writing a dataset in another format: a folder that comes into being at once, with all that a trainer needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curate.errors import DamagedError, RecipeError, did_you_mean
from curate.export.chats import Chats, LastAnswers, Pairs, PairStrings
from curate.export.format import Format
from curate.export.jsonl import JsonLines
from curate.export.litdata import LitData
from curate.export.mds import Mds
from curate.export.megatron import Megatron
from curate.export.nanotron import Nanotron
from curate.export.parquet import Parquet
from curate.fingerprint import file_digest
from curate.store.dataset import SHARDS, Dataset, Kind
from curate.store.disk import Disk, storage_errors
from curate.store.files import encode_json
from curate.store.provenance import PROVENANCE

__all__ = ["EXPORT", "FORMATS", "Exported", "export"]

FORMATS: Final[dict[str, type[Format]]] = {
    each.name: each
    for each in (Parquet, JsonLines, Chats, LastAnswers, Pairs, PairStrings, Megatron, Nanotron, LitData, Mds)
}
EXPORT: Final = "export.json"
"""File of an export that says what it is and has the SHA-256 of every other."""
TOKENIZER: Final = "tokenizer"
"""Folder of an export with the tokenizer's own files."""

_ROWS: Final[dict[Kind, str]] = {"tokens": "packed sequences", "documents": "encoded documents", "text": "texts"}
_CURES: Final[dict[Kind, str]] = {
    "documents": "export what a 'write.encoded' step wrote: it has the same documents in the same order, not cut",
    "tokens": "export what a 'write.tokens' step wrote",
    "text": "export what a 'write.text' step wrote",
}
_NO_PART: Final = frozenset({SHARDS, PROVENANCE, "state.json", "dataset_info.json"})
"""Files of a dataset's folder that say something about it in its own format."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: those with rows: name, rows, tokens.
        rows, tokens, bytes: together; tokens with padding, where there is any.
        about: how it is read.
    """

    to: str
    files: list[dict[str, Any]]
    rows: int
    tokens: int
    bytes: int
    about: str


def export(
    dataset: Dataset,
    to: str,
    out: Path,
    columns: Sequence[str] | None = None,
    shard_bytes: int | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Write a dataset in a format to the folder ``out``, which must not be there yet and is there as a whole or not at all.

    Args:
        columns: those to write; all that the format takes when left out.
        shard_bytes: about how large a file is, before compression.
        done: told the bytes of each shard that was read.

    Raises:
        RecipeError: there is no such format, it can't hold these rows, or the folder is there.
        DamagedError: a shard is not the one that was written.
    """
    kind = FORMATS.get(to)
    if kind is None:
        raise RecipeError(f"there is no format '{to}'", place="--to", cure=did_you_mean(to, FORMATS))
    _check_kind(kind, dataset)
    if out.exists():
        raise RecipeError("is there already", place=str(out), cure="name another folder, or remove this one")
    with _appearing(out) as folder:
        made = _written(kind, dataset, folder, columns, shard_bytes, done)
        _bring_along(dataset, folder)
        total = _account(kind, dataset, made, folder)
    return Exported(
        to,
        made,
        sum(f["rows"] for f in made),
        sum(f["tokens"] for f in made),
        total,
        kind.about.replace("OUT", str(out)),
    )


def _check_kind(kind: type[Format], dataset: Dataset) -> None:
    if dataset.kind not in kind.kinds:
        wants = " or ".join(_ROWS[k] for k in sorted(kind.kinds))
        raise RecipeError(
            f"{kind.name} takes {wants}, and these are {_ROWS[dataset.kind]}",
            place=str(dataset.folder),
            cure=_CURES[min(kind.kinds)],
        )


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder beside the place, moved into it when all that is in it is on the disk; gone where the work fails."""
    disk, building = Disk(out.absolute().parent), f".{out.name}-{uuid.uuid4().hex[:12]}"
    with disk.writing_folder(building) as folder, storage_errors(str(folder)):
        yield folder
    try:
        disk.move(building, out.name)
    except BaseException:
        disk.remove_folder(building)
        raise


def _written(
    kind: type[Format],
    dataset: Dataset,
    folder: Path,
    columns: Sequence[str] | None,
    shard_bytes: int | None,
    done: Callable[[int], None],
) -> list[dict[str, Any]]:
    whole = dataset.schema()
    for name in columns or ():
        if name not in whole.names:
            raise RecipeError(
                f"the dataset has no column '{name}'", place="--columns", cure=did_you_mean(name, whole.names)
            )
    names = kind.columns(dataset, whole, columns)
    schema = pa.schema([whole.field(name) for name in names])
    writer = kind(folder, dataset, schema, shard_bytes or kind.shard_bytes)
    writer.asked = None if columns is None else tuple(columns)
    for shard in dataset.shards:
        dataset.check(shard)
        rows = 0
        for batch in dataset.batches(shard):
            if batch.schema.names != whole.names:
                raise DamagedError(
                    "has other columns than the first shard",
                    place=dataset.folder.name(shard.name),
                    cure="see 'curate verify'",
                )
            rows += batch.num_rows
            writer.add(batch.select(names))
        if shard.rows not in (-1, rows):
            raise DamagedError(
                f"has {rows:,} rows instead of {shard.rows:,}",
                place=dataset.folder.name(shard.name),
                cure="see 'curate verify'",
            )
        done(max(0, shard.size))
    writer.finish()
    return writer.describe()


def _bring_along(dataset: Dataset, folder: Path) -> None:
    """The tokenizer's files in a folder of their own, where no reader takes them for data, and the dataset's origin."""
    for entry in dataset.folder.list():
        if "/" in entry.key or entry.key.endswith(".arrow") or entry.key in _NO_PART - {PROVENANCE}:
            continue
        data = dataset.folder.read(entry.key) or b""
        place = folder if entry.key == PROVENANCE else folder / TOKENIZER
        if dataset.kind == "text" and entry.key != PROVENANCE:
            continue
        place.mkdir(exist_ok=True)
        (place / entry.key).write_bytes(data)


def _account(kind: type[Format], dataset: Dataset, made: list[dict[str, Any]], folder: Path) -> int:
    """Write what it is and the digest of every file; the bytes of all."""
    known = {file["name"]: file for file in made}
    files, total = [], 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name, size = path.relative_to(folder).as_posix(), path.stat().st_size
        files.append({**known.get(name, {}), "name": name, "size": size, "sha256": file_digest(path)})
        total += size
    said = {name: dataset.said[name] for name in _KEPT if name in dataset.said}
    value = {"format": "curate.export/1", "to": kind.name, "rows": _ROWS[dataset.kind], **said, "files": files}
    (folder / EXPORT).write_bytes(encode_json(value))
    return total


_KEPT: Final = ("sequence", "dtype", "vocab_size", "end_of_text", "padding", "pack", "sources")
