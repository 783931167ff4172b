"""Labels in a file: JSON lines, CSV or Parquet, read whole and checked, as sorted keys with a label each.

A row names a document by one of its columns (``origin``, or ``id`` or ``content_hash`` as 32 hex digits) and gives it a
label: 0 or 1, a grade from 0 to 5, or a name that ``classes`` translates. An empty label is none.
"""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, did_you_mean
from curate.stages.reading_files import head, looks_like
from curate.stages.reading_lines import Kind, gz_blocks, kind_of, plain_blocks, whole_lines, zst_blocks
from curate.text.hashing import hash128

Key = Literal["origin", "id", "content_hash"]
Keys = npt.NDArray[np.bytes_]
"""``S16``: 16 bytes a row, compared as a whole."""

HIGHEST: Final = 5
"""The largest label: the top of the additive scale. Labels of two classes are 0 and 1."""
_LINE_BYTES: Final = 16 << 20
_UNHEX: Final = np.full(256, 255, np.uint8)
for _digit, _characters in enumerate(
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "aA", "bB", "cC", "dD", "eE", "fF"]
):
    _UNHEX[[ord(c) for c in _characters]] = _digit


@dataclass(frozen=True)
class Labels:
    """The labels of a file: ``keys`` sorted and each once, ``labels`` (int8) beside them."""

    keys: Keys
    labels: npt.NDArray[np.int8]

    def of(self, keys: Keys) -> pa.Array:
        """The label of each key, int8, null where the file has none."""
        if not len(self.keys):
            return pa.nulls(len(keys), pa.int8())
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return pa.array(self.labels[at], pa.int8(), mask=self.keys[at] != keys)


def keys_of(column: pa.Array, key: Key) -> Keys:
    """What rows of documents are looked up by: ``id`` and ``content_hash`` as they are, of ``origin`` a 128-bit hash.

    A null is a key that no file has, but for a chance of 2^-128.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if key == "origin":
        column = hash128(pc.fill_null(column, "").cast(pa.large_string()))
    else:
        column = pc.fill_null(column, bytes(16))
    if not len(column):
        return np.zeros(0, "S16")
    start = 16 * column.offset
    return np.frombuffer(column.buffers()[1], "S16", count=len(column), offset=start)


def read_labels(path: Path, key: Key, column: str, key_column: str, classes: Mapping[str, int]) -> Labels:
    """The labels of a file, kept in this process while the file is the same.

    Raises InputError, with file and row, for what is no label file: see the module's docstring.
    """
    if not path.is_file():
        raise InputError("no such file", place=str(path), cure="check `labels`")
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size, key, column, key_column, tuple(sorted(classes.items())))


@functools.lru_cache(maxsize=4)
def _read(
    path: Path, _changed: int, _size: int, key: Key, column: str, key_column: str, classes: tuple[tuple[str, int], ...]
) -> Labels:
    where, keys, labels = _rows(path, key_column, column)
    if not len(keys):
        raise InputError("no row with a label", place=str(path), cure="a label file has one labelled document a row")

    def place(row: int) -> str:
        return f"{path}:{where(row)}"

    numbers = _numbers(labels, dict(classes), place)
    found = _wide(keys, key, key_column, place)
    have = np.flatnonzero(np.asarray(pc.is_valid(numbers)))
    rows, values = found[have], numbers.take(pa.array(have)).to_numpy(zero_copy_only=False).astype(np.int8)
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    same = rows[1:] == rows[:-1]
    if (wrong := np.flatnonzero(same & (values[1:] != values[:-1]))).size:
        one, other = (int(have[order[wrong[0] + i]]) for i in (0, 1))
        raise InputError(
            f"'{_shown(keys[other])}' has label {values[wrong[0] + 1]} here, and {values[wrong[0]]} in row {where(one)}",
            place=place(other),
            cure="a document has one label: remove one of the rows",
        )
    first = np.concatenate(([True], ~same)) if len(rows) else np.zeros(0, np.bool_)
    return Labels(rows[first], values[first])


# -- columns ------------------------------------------------------------------------------------------------


def _numbers(labels: pa.Array, classes: Mapping[str, int], place: Callable[[int], str]) -> pa.Array:
    """Labels as int8; each distinct value is looked at once."""
    values = labels.dictionary_encode()
    numbers: list[int | None] = []
    for code, value in enumerate(values.dictionary.to_pylist()):
        try:
            numbers.append(_number(value, classes))
        except ValueError as error:
            row = int(pc.index(values.indices, pa.scalar(code, values.indices.type)).as_py())
            known = f"; classes: {', '.join(classes)}" if classes else ""
            raise InputError(
                f"label {value!r} {error}",
                place=place(row),
                cure=f"labels are 0 or 1, or 0 to {HIGHEST}, or names that `classes` gives a number{known}",
            ) from None
    return pa.array(numbers, pa.int8()).take(values.indices)


def _number(value: Any, classes: Mapping[str, int]) -> int | None:
    """One label as a number; None for an empty one. Raises ValueError that says what is wrong."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if value in classes:
            return classes[value]
        try:
            value = float(value)
        except ValueError:
            raise ValueError("is no number and no known class") from None
    if not isinstance(value, bool | int | float):
        raise ValueError("is no number and no known class")  # noqa: TRY004  # said of the user's file, not of our call
    if not math.isfinite(value) or value != int(value):
        raise ValueError("is not whole")
    if not 0 <= value <= HIGHEST:
        raise ValueError(f"is not between 0 and {HIGHEST}")
    return int(value)


def _wide(keys: pa.Array, key: Key, name: str, place: Callable[[int], str]) -> Keys:
    """The file's keys as 16 bytes each."""
    empty = pc.fill_null(pc.equal(pc.binary_length(keys), 0), True)
    if (bad := pc.index(empty, True).as_py()) >= 0:
        raise InputError(f"no '{name}'", place=place(bad), cure="every row names its document")
    if key == "origin":
        return keys_of(keys, key)
    if pa.types.is_fixed_size_binary(keys.type) and keys.type.byte_width == 16:
        return keys_of(keys, key)
    data = keys.cast(pa.large_binary())
    lengths = pc.binary_length(data).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(lengths != 32)
    if not wrong.size:
        digits = _UNHEX[np.frombuffer(b"".join(data.to_pylist()), np.uint8)].reshape(-1, 32)
        wrong = np.flatnonzero((digits == 255).any(axis=1))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            f"'{name}' is '{_shown(keys[row])}', not 32 hex digits",
            place=place(row),
            cure=f"give the document's {key}, as 'curate inspect' shows it, or set `key`",
        )
    return np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2]).view("S16").ravel()


def _shown(key: pa.Scalar) -> str:
    value = key.as_py()
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


# -- files --------------------------------------------------------------------------------------------------


def _rows(path: Path, key: str, label: str) -> tuple[Callable[[int], int], pa.Array, pa.Array]:
    """The number by which a user finds a row of the file, and both columns."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".parquet"):
        columns = _parquet(path, key, label)
        return (lambda row: row + 1), columns[0], columns[1]
    reader = {".jsonl": _json_rows, ".ndjson": _json_rows, ".csv": _csv_rows}.get(Path(name).suffix)
    if reader is None:
        raise InputError(
            "the name says neither .jsonl, .csv (.gz, .zst) nor .parquet", place=str(path), cure="rename it"
        )
    lines: list[int] = []
    keys: list[str | None] = []
    labels: list[Any] = []
    for line, one, value in reader(path, key, label):
        if one is not None and not isinstance(one, str):
            raise InputError(f"'{key}' is no text", place=f"{path}:{line}", cure="every row names its document")
        lines.append(line)
        keys.append(one)
        # Whole numbers beside fractions and names beside numbers are one column of text: each is read by _number.
        labels.append(None if value is None else str(int(value)) if isinstance(value, bool) else str(value))
    return lines.__getitem__, pa.array(keys, pa.large_string()), pa.array(labels, pa.large_string())


def _parquet(path: Path, key: str, label: str) -> tuple[pa.Array, pa.Array]:
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        _columns_there([key, label], names, str(path))
        table = pq.read_table(path, columns=[key, label], use_threads=False)
        keys, labels = (_plain(table.column(name)) for name in (key, label))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"no Parquet file: {str(error).splitlines()[0]}", place=str(path), cure="check `labels`"
        ) from None
    kind = keys.type
    if not (pa.types.is_large_string(kind) or pa.types.is_null(kind) or kind == pa.binary(16)):
        raise InputError(f"column '{key}' holds {kind}, not text", place=str(path), cure="every row names its document")
    if pa.types.is_nested(labels.type):
        raise InputError(f"column '{label}' holds {labels.type}, not labels", place=str(path), cure="one label a row")
    return keys.cast(pa.large_string()) if pa.types.is_null(kind) else keys, labels


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array; text as large_string, however the file stores it; raises ArrowInvalid for bytes that are no text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if kind in (pa.string(), pa.string_view(), pa.binary(), pa.large_binary()):
        column = column.cast(pa.large_string())
    return column.combine_chunks()


def _lines(path: Path) -> Iterator[bytes]:
    start = head(str(path))
    kind = kind_of(start)
    if kind == "plain" and (what := looks_like(start)):
        raise InputError(f"the content is {what}", place=str(path), cure="rename it after its content")
    unpack: dict[Kind, Callable[[str], Iterator[bytes]]] = {"plain": plain_blocks, "gz": gz_blocks, "zst": zst_blocks}
    blocks = unpack[kind](str(path))
    for _, lines in whole_lines(blocks, 0, first=True, limit=_LINE_BYTES):
        if lines is None:
            raise InputError(f"a line of over {_LINE_BYTES >> 20} MB", place=str(path), cure="is it a label file?")
        yield from lines


def _json_rows(path: Path, key: str, label: str) -> Iterator[tuple[int, Any, Any]]:
    seen = False
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"no JSON: {error}", place=f"{path}:{number}", cure="one object a line") from None
        if not isinstance(value, dict):
            raise InputError("no JSON object", place=f"{path}:{number}", cure="one object a line")
        if not seen:
            _columns_there([key, label], list(value), f"{path}:{number}")
            seen = True
        yield number, value.get(key), value.get(label)


def _csv_rows(path: Path, key: str, label: str) -> Iterator[tuple[int, Any, Any]]:
    try:
        text = b"\n".join(_lines(path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"no UTF-8 at byte {error.start}", place=str(path), cure="save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, [])
        _columns_there([key, label], names, f"{path}:1")
        one, other = names.index(key), names.index(label)
        for row in reader:
            if len(row) == len(names):
                yield reader.line_num, row[one], row[other]
            elif row:
                raise InputError(
                    f"{len(row)} fields, the header has {len(names)}",
                    place=f"{path}:{reader.line_num}",
                    cure="quote fields that hold a comma",
                )
    except csv.Error as error:
        raise InputError(f"no CSV: {error}", place=f"{path}:{reader.line_num}", cure="quotes must be closed") from None


def _columns_there(wanted: list[str], names: list[str], place: str) -> None:
    for setting, name in zip(("key", "column"), wanted, strict=True):
        if names.count(name) != 1:
            what = f"no column '{name}'" if name not in names else f"two columns '{name}'"
            raise InputError(f"{what} (setting {setting})", place=place, cure=did_you_mean(name, names))
