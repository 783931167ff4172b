"""A written dataset: a few of its rows, decoded when the folder has the tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate.errors import DamagedError, InputError
from curate.report.plain import lines, one_line

_LINES: Final = 8
_VALUES: Final = 6
_KEY: Final = 0x64617461736574


@dataclass(frozen=True)
class Shown:
    """One row: its number, printable lines of its text or tokens, and its other columns."""

    row: int
    text: list[str]
    values: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Some rows of a dataset; ``note`` says what could not be done."""

    rows: int
    shards: int
    columns: list[str]
    note: str
    shown: list[Shown]


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds Arrow shards, as writers make them."""
    return folder.is_dir() and any(folder.glob("*.arrow"))


def sample(folder: Path, rows: int, seed: int) -> Sample:
    """Some rows of a dataset, chosen by their number and the seed."""
    shards = sorted(folder.glob("*.arrow"))
    if not shards:
        raise InputError("no .arrow file in this folder", place=str(folder), cure="give the folder of a writer's step")
    counts = [sum(b.num_rows for b in _batches(path)) for path in shards]
    total = sum(counts)
    chosen = sorted(np.random.default_rng([_KEY, seed]).permutation(total)[:rows].tolist()) if total else []
    first = next(_batches(shards[0]), None)
    columns = list(first.schema.names) if first is not None else []
    decode, note = _decoder(folder) if "input_ids" in columns else (None, "")
    shown, start = [], 0
    for path, count in zip(shards, counts, strict=True):
        here = [n - start for n in chosen if start <= n < start + count]
        shown += [_show(start + at, values, decode) for at, values in _at(path, here)]
        start += count
    return Sample(total, len(shards), columns, note, shown)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            yield from reader
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedError(
            f"can't be read as Arrow ({one_line(error)})", place=str(path), cure="see 'curate check RUN'"
        ) from None


def _at(path: Path, wanted: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    start = 0
    for batch in _batches(path) if wanted else ():
        for at in wanted:
            if start <= at < start + batch.num_rows:
                yield at, batch.slice(at - start, 1).to_pylist()[0]
        start += batch.num_rows


def _decoder(folder: Path) -> tuple[Any, str]:
    try:
        from curate.stages.tokenizer import Tokenizer

        tokenizer = Tokenizer.load(folder)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a stranger's folder, the numbers can be shown
        return (
            None,
            f"no tokenizer that can be read is in the folder, so tokens are shown as numbers ({one_line(error)})",
        )
    return getattr(tokenizer, "decode", None), ""


def _show(row: int, values: dict[str, Any], decode: Any) -> Shown:
    tokens = values.pop("input_ids", None)
    text = values.pop("text", None)
    if tokens is not None and decode is not None:
        shown = lines(str(decode(tokens)), 96, _LINES)
    elif tokens is not None:
        shown = lines(" ".join(map(str, tokens[:200])) + (" ..." if len(tokens) > 200 else ""), 96, _LINES)
    else:
        shown = lines(text, 96, _LINES) if isinstance(text, str) else []
    rest = {k: one_line(v, 100) if isinstance(v, str | list | dict) else v for k, v in list(values.items())[:_VALUES]}
    return Shown(row, shown, rest)
