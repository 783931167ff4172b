"""A written dataset: a few of its rows, decoded when the folder has the tokenizer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from curate.errors import DamagedError, InputError
from curate.report.plain import lines, one_line
from curate.report.run_folder import check_begun, is_run
from curate.store.dataset import Dataset, open_dataset
from curate.store.files import Entry, Store, store_at
from curate.store.latest import latest
from curate.store.object_file import ObjectFile
from curate.store.tables import open_data

if TYPE_CHECKING:
    from curate.stages.tokenizer import Tokenizer

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


def shards(folder: Store) -> list[Entry]:
    """The Arrow shards of a dataset's folder, as writers make them, in order; none where it is no such folder."""
    return [entry for entry in folder.list() if "/" not in entry.key and entry.key.endswith(".arrow")]


def locate_dataset(name: str) -> Store | None:
    """A written dataset's folder, by its path or address, or as RUN/STEP; None for a run, and where there is none."""
    found, above = store_at(name), run_above(name)
    if found.remote and above is not None and (folder := latest(*above)) != above[1]:
        found = store_at(above[0].address(folder))
    return found if not is_run(found) and shards(found) else None


def the_dataset(name: str) -> Dataset:
    """A written dataset by its path or address, or as RUN/STEP; raises InputError where there is none, and RecipeError for a run
    of which nothing is done."""
    found = locate_dataset(name)
    if found is None:
        check_begun(store_at(name))
        cure = "name one of its steps that write, as RUN/STEP" if is_run(store_at(name)) else "give a writer's folder"
        raise InputError("is no dataset", place=name, cure=cure)
    return open_dataset(found)


def run_above(name: str) -> tuple[Store, str] | None:
    """The run and the step of what is named as RUN/STEP; None for any other name."""
    above, _, step = str(store_at(name)).rpartition("/")
    if not above or ("://" in above and above.count("/") < 3):  # a bucket is no store
        return None
    run = store_at(above)
    return (run, step) if is_run(run) else None


def sample(folder: Store, rows: int, seed: int) -> Sample:
    """Some rows of a dataset, chosen by their number and the seed."""
    files = [folder.data(entry.key) for entry in shards(folder)]
    if not files:
        raise InputError("no .arrow file in this folder", place=str(folder), cure="give the folder of a writer's step")
    counts = [sum(b.num_rows for b in batches(file)) for file in files]
    total = sum(counts)
    chosen = sorted(np.random.default_rng([_KEY, seed]).permutation(total)[:rows].tolist()) if total else []
    first = next(batches(files[0]), None)
    columns = list(first.schema.names) if first is not None else []
    decode, note = decoder(folder) if "input_ids" in columns else (None, "")
    shown, start = [], 0
    for file, count in zip(files, counts, strict=True):
        here = [n - start for n in chosen if start <= n < start + count]
        shown += [_show(start + at, values, decode) for at, values in _at(file, here)]
        start += count
    return Sample(total, len(files), columns, note, shown)


def batches(path: Path | ObjectFile) -> Iterator[pa.RecordBatch]:
    """The rows of a shard; raises DamagedError for what is none."""
    try:
        with open_data(path) as source, pa.ipc.open_stream(source) as reader:
            yield from reader
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedError(
            f"can't be read as Arrow ({one_line(error)})", place=str(path), cure="see 'curate check RUN'"
        ) from None


def _at(path: Path | ObjectFile, wanted: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    start = 0
    for batch in batches(path) if wanted else ():
        for at in wanted:
            if start <= at < start + batch.num_rows:
                yield at, batch.slice(at - start, 1).to_pylist()[0]
        start += batch.num_rows


@contextmanager
def tokenizer_of(folder: Store) -> Iterator[Tokenizer]:
    """The tokenizer whose files lie in a dataset's folder; raises InputError where there is none."""
    from curate.stages.tokenizer import opened

    with tempfile.TemporaryDirectory(prefix="curate-tokenizer-") as copied:
        place = Path(copied) if folder.remote else folder.root
        if folder.remote:
            for entry in folder.list():
                if "/" not in entry.key and not entry.key.endswith(".arrow"):
                    (place / entry.key).write_bytes(folder.read(entry.key) or b"")
        yield opened(place)


def decoder(folder: Store) -> tuple[Callable[[Any], str] | None, str]:
    """What decodes a dataset's tokens; None where nothing can, and why."""
    try:
        with tokenizer_of(folder) as tokenizer:
            return tokenizer.decode, ""
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a stranger's folder, the numbers can be shown
        why = f"no tokenizer that can be read is in the folder, so tokens are shown as numbers ({one_line(error)})"
        return None, why


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
