"""Items of benchmarks, read from their files: JSON lines (plain, gz, zst) and Parquet."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from curate.benchmarks.registry import FIELDS, Benchmark, File, is_items, usual
from curate.errors import InputError

MOST_BYTES: Final = 1 << 30
"""Of a file when it is unpacked: the largest benchmark named in the registry has 0.2 GB."""
_DEFINES: Final = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+\w", re.MULTILINE)
_WORD: Final = re.compile(r"\w")


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: unique within its benchmark.
        split: which one it is of.
        prompt: what a model is given; it has a word.
        answer: what is right, as text: the solution, or the right choice; empty where none is known.
        test: what an answer is tried with; empty without.
        entry_point: the function that is asked for; empty without.
        choices: among which the answer is; empty where it is free.
        few_shot: what is shown before the question; empty without.
        place: file and row that it comes from.
    """

    id: str
    split: str
    prompt: str
    answer: str = ""
    test: str = ""
    entry_point: str = ""
    choices: tuple[str, ...] = ()
    few_shot: str = ""
    place: str = ""

    @property
    def solution(self) -> str:
        """The code of the whole solution: with the prompt where the answer is the body of the prompt's function."""
        return self.answer if _DEFINES.search(self.answer) else self.prompt + self.answer

    @property
    def asks_for_code(self) -> bool:
        """Whether the answer is a function."""
        return bool(self.entry_point or _DEFINES.search(self.answer))


def read_items(benchmark: Benchmark, files: Mapping[str, Path], splits: Sequence[str] | None = None) -> list[Item]:
    """The items of a benchmark in the order of its files, of some splits, by default those that are checked or shown.

    Args:
        files: where each of the entry's files (``File.file``) is; with a ``*`` in its name, those that it stands for. Whether
            they are the right ones, ``fetch.check`` says.

    Raises InputError naming file and row of what is no item.
    """
    wanted = set(splits) if splits is not None else {*benchmark.splits.checked, *benchmark.splits.few_shot}
    found: list[Item] = []
    seen: dict[str, str] = {}
    there: set[str] = set()
    for split, listed in benchmark.get.files.items():
        if not (split in wanted or benchmark.guess or "split" in benchmark.fields):
            continue
        for item in _of_split(benchmark, split, listed, files):
            there.add(item.split)
            if item.split in wanted:
                if item.id in seen:
                    raise InputError(
                        f"the id '{item.id}' is that of {seen[item.id]}, too",
                        place=item.place,
                        cure="give every item an id of its own, or name no field for ids",
                    )
                seen[item.id] = item.place
                found.append(item)
    if not found:
        raise InputError(
            f"benchmark '{benchmark.key}' has no item in the splits {', '.join(sorted(wanted))}",
            place=str(benchmark.folder),
            cure=f"name another split; there are: {', '.join(sorted(there or benchmark.get.files))}",
        )
    _check_count(benchmark, found, splits)
    return found


def _of_split(benchmark: Benchmark, split: str, listed: Sequence[File], files: Mapping[str, Path]) -> Iterator[Item]:
    """Items of the files of a split. Where rows have no ids, they are numbered: within the split, the folder, the file."""
    paths = [files[name] for file in listed for name in sorted(files) if file.stands_for(name)]
    folders, stems = len({path.parent for path in paths}) > 1, len({path.name for path in paths}) > 1
    for path in paths:
        parts = (
            [split] * (len(benchmark.get.files) > 1)
            + [path.parent.name] * folders
            + [path.name.partition(".")[0]] * stems
        )
        yield from _items(benchmark, path, split, "/".join(parts) + "/" * bool(parts))


def _check_count(benchmark: Benchmark, found: Sequence[Item], splits: Sequence[str] | None) -> None:
    count = sum(item.split in benchmark.splits.checked for item in found)
    if splits is None and benchmark.items not in (None, count):
        raise InputError(
            f"benchmark '{benchmark.key}' has {count:,} items to check, and the registry says {benchmark.items:,}",
            place=str(benchmark.folder),
            cure="fetch it again, or correct the registry",
        )


def _fields(benchmark: Benchmark, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By what they are, the fields of rows that have some columns."""
    if not benchmark.guess:
        return dict(benchmark.fields)
    guessed = {name: usual(name, columns) for name in FIELDS}
    return {**{name: found for name, found in guessed.items() if found}, **benchmark.fields}


def _items(benchmark: Benchmark, path: Path, split: str, head: str) -> Iterator[Item]:
    for number, row in rows(path):
        place = f"{path}:{number}"
        fields = _fields(benchmark, list(row))
        try:
            yield _item(benchmark, fields, row, split, f"{head}{number - 1}", place)
        except (ValueError, TypeError) as error:
            cure = "correct the row, or the fields in the registry"
            raise InputError(f"no item: {error}", place=place, cure=cure) from None


def _item(
    benchmark: Benchmark,
    fields: Mapping[str, tuple[str, ...]],
    row: Mapping[str, Any],
    split: str,
    id_: str,
    place: str,
) -> Item:
    def text(name: str) -> str:
        return "\n".join(filter(None, (_text(_value(row, path), path) for path in fields.get(name, ()))))

    if "prompt" not in fields:
        raise ValueError(f"which field is the prompt is not said (there are: {', '.join(row)[:200] or 'none'})")
    prompt = text("prompt")
    if not _WORD.search(prompt):
        raise ValueError(f"a prompt without words ({'+'.join(fields['prompt'])})")
    choices = _choices(fields.get("choices", ()), row)
    answer = _answer(benchmark, fields, row, choices) if choices else text("answer")
    return Item(
        id=text("id") or id_,
        split=text("split") or split,
        prompt=prompt,
        answer=answer,
        test=text("test"),
        entry_point=text("entry_point"),
        choices=choices,
        few_shot=text("few_shot"),
        place=place,
    )


def _value(row: Any, path: str) -> Any:
    """A field by its path; JSON text is gone into like an object. None where there is none."""
    value = row
    for part in path.split("."):
        if isinstance(value, str):
            value = orjson.loads(value) if value else None
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _text(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "\n".join(_text(one, path) for one in value)
    raise TypeError(f"{path} is no text")


def _choices(paths: tuple[str, ...], row: Mapping[str, Any]) -> tuple[str, ...]:
    if len(paths) == 1:
        value = _value(row, paths[0])
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise TypeError(f"{paths[0]} is no list of choices")
        return tuple(_text(one, paths[0]) for one in value)
    return tuple(_text(_value(row, path), path) for path in paths)


def _answer(
    benchmark: Benchmark, fields: Mapping[str, tuple[str, ...]], row: Mapping[str, Any], choices: tuple[str, ...]
) -> str:
    """The right choice: by its number, by its label, or itself."""
    value = _value(row, fields["answer"][0]) if "answer" in fields else None
    if value is None or value in ("", -1):
        return ""
    labels = _value(row, fields["labels"][0]) if "labels" in fields else None
    said = _text(value, fields["answer"][0]).strip()
    if labels is not None and said in (known := [_text(label, "labels").strip() for label in labels]):
        at = known.index(said)
    elif said in choices:
        return said
    elif re.fullmatch(r"\d+", said):
        at = int(said) - benchmark.first_choice
    elif re.fullmatch(r"[A-Z]", said):
        at = ord(said) - ord("A")
    else:
        raise ValueError(f"the answer '{said[:40]}' is none of the choices")
    if not 0 <= at < len(choices):
        raise ValueError(f"the answer '{said[:40]}' is none of {len(choices)} choices")
    return choices[at]


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1; of the line) and row of a file; raises InputError where it is none."""
    if not is_items(path.name):
        raise InputError("no file of items", place=str(path), cure="give JSON lines (plain, gz, zst) or Parquet")
    try:
        if path.name.endswith(".parquet"):
            yield from enumerate(pq.read_table(path).to_pylist(), 1)
            return
        data = _unpacked(path)
    except (OSError, EOFError, pa.ArrowInvalid, zstandard.ZstdError) as error:
        why = str(error).splitlines()[0][:200]
        raise InputError(
            f"items can't be read: {why}", place=str(path), cure="check the file, or fetch it again"
        ) from None
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"is no JSON: {error}", place=f"{path}:{number}", cure="correct the line") from None
        if not isinstance(row, dict):
            raise InputError("is no JSON object", place=f"{path}:{number}", cure='one object a line: {"prompt": "..."}')
        yield number, row


def _unpacked(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.name.endswith(".gz"):
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=io.BytesIO(raw))
    elif path.name.endswith(".zst"):
        stream = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True)
    else:
        return raw
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InputError(
            f"it unpacks to more than {MOST_BYTES >> 20} MB", place=str(path), cure="cut it into several files"
        )
    return data
