"""A published dataset as an array of rows: any of them at once, from maps of its shards."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, RecipeError, did_you_mean
from curate.fingerprint import fingerprint
from curate.load.folder import Facts, Shard, read_folder
from curate.load.index import Index
from curate.load.layout import Column, Layout, Schema, layout, message_size, read_schema
from curate.load.place import place_of
from curate.load.region import Region, gather
from curate.store.service import AT_ONCE

__all__ = ["Array", "Ragged", "Rows", "TokenDataset"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class Ragged(NamedTuple):
    """Rows of different lengths.

    Attributes:
        values: of all rows, one row's after another's.
        offsets: int64[n + 1]: row i has ``values[offsets[i]:offsets[i + 1]]``; a null row is an empty one.
    """

    values: Array
    offsets: Ints


Rows = dict[str, Array | Ragged]
"""By column: [n, length] of a fixed-size list, [n] of a number, Ragged of a list."""


class TokenDataset:
    """The rows of a dataset's folder, or of several one after another.

    ``dataset[i]`` gives a row's columns, ``dataset[a:b]`` and ``dataset[[...]]`` those of many. What lies in one piece in a map (a
    row; a slice within a record batch) is a read-only view of the map, other things are copies. Shards are mapped when the
    first of their rows is asked for. It may be used from several threads, pickled, and inherited by a fork.

    Args:
        path: a folder with uncompressed Arrow IPC streams: one that write.tokens or write.encoded published, or of
            ``Dataset.save_to_disk``; a path or URL (s3, gs, hf, memory), or several.
        cache: where shards from elsewhere are kept; by default CURATE_SHARDS or ``~/.cache/curate/shards``.

    Attributes:
        columns: by name; columns of text are left out.
        starts: int64[shards + 1], the first row of each shard, and the number of rows.
        fingerprint: 32 hex digits that stand for the content, wherever it lies. Of a folder without shards.json: for the names
            and sizes of its files.

    Raises InputError for what can't be read.
    """

    def __init__(self, path: str | Path | Sequence[str | Path], *, cache: str | Path | None = None) -> None:
        paths = [path] if isinstance(path, str | Path) else list(path)
        if not paths:
            raise InputError("no dataset is named", cure="give the path of a dataset's folder")
        self._made = ([str(p) for p in paths], cache)
        found = [read_folder(place_of(p, Path(cache) if cache else None)) for p in paths]
        self._shards: list[Shard] = [s for shards, _, _ in found for s in shards]
        if not self._shards:
            raise InputError("a dataset without shards", place=str(paths[0]), cure="see why its run wrote nothing")
        self._facts = _same([facts for _, facts, _ in found], paths)
        self._region = Region([s.size for s in self._shards])
        self._lock = threading.RLock()
        self._fetching: dict[int, Future[Path]] = {}
        self._ahead: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._schemas: dict[bytes, Schema] = {}
        self._schema = self._mapped(0, self._file(0))[1]
        self._index = Index(self._region.starts, self._schema.widths)
        self._open(np.flatnonzero([s.rows is None for s in self._shards]))
        rows = [self._index.rows[i] if s.rows is None else s.rows for i, s in enumerate(self._shards)]
        self.starts: Ints = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self.columns: Mapping[str, Column] = self._schema.columns
        self.fingerprint = _fingerprint(self._shards, [state for _, _, state in found], rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._made

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def sequence(self) -> int | None:
        """Tokens in each row; None of encoded documents, whose rows differ."""
        column = self.columns.get("input_ids")
        return None if column is None or column.plain else column.length

    @property
    def vocab_size(self) -> int | None:
        """Ids are below it; None where the folder does not say."""
        return self._facts.vocabulary

    @property
    def end_of_text(self) -> int | None:
        """The id between documents; None where the folder does not say."""
        return self._facts.end_of_text

    @property
    def padding(self) -> int | None:
        """The id on places without a token; None where the folder does not say."""
        return self._facts.padding

    @property
    def curriculum(self) -> bool:
        """Whether the order in which it is stored means something: phases of a mixture."""
        return self._facts.curriculum

    @property
    def remote(self) -> bool:
        """Whether some of it has to be fetched."""
        return any(s.place.remote for s in self._shards)

    def __getitem__(self, which: int | slice | Sequence[int] | Ints) -> Rows:
        if isinstance(which, slice):
            rows = np.arange(*which.indices(len(self)))
            return self._rows(rows, list(self.columns), views=which.step in (None, 1))
        if isinstance(which, int | np.integer):
            one = self._rows(np.array([which]), list(self.columns), views=True)
            return {name: found.values if isinstance(found, Ragged) else found[0] for name, found in one.items()}
        return self.take(which)

    def take(
        self,
        rows: Sequence[int] | Ints,
        columns: Sequence[str] | None = None,
        out: Mapping[str, Array] | None = None,
    ) -> Rows:
        """Columns (by default all) of rows in the order that is asked for, copied.

        Args:
            rows: numbers, from the end where negative; each may come again.
            out: by column an array to copy to, C-contiguous [n, length] of the column's dtype; others are made.

        Raises IndexError for a row, and RecipeError for a column, that is not there.
        """
        return self._rows(np.asarray(rows), self.chosen(columns), out=out or {})

    def chosen(self, columns: Sequence[str] | None) -> list[str]:
        """Names of columns, by default all; raises RecipeError for one that is not there."""
        for name in columns or ():
            if name not in self.columns:
                where = self._made[0][0]
                raise RecipeError(f"no column '{name}'", place=where, cure=did_you_mean(name, self.columns))
        return list(self.columns if columns is None else columns)

    def fetch(self, shard: int) -> None:
        """Begin to fetch a shard that will be wanted, in the background; nothing for one that is here."""
        with self._lock:
            self._own()
            if self._shards[shard].place.remote and not self._index.known[shard] and shard not in self._fetching:
                self._ahead = self._ahead or ThreadPoolExecutor(1, "curate-shards")
                place = self._shards[shard]
                self._fetching[shard] = self._ahead.submit(place.place.local, place.name, place.sha256)

    # -- shards

    def _own(self) -> None:
        """Forget what another process fetches: a fork has none of its threads."""
        if self._process != os.getpid():
            self._process, self._ahead, self._fetching = os.getpid(), None, {}

    def _file(self, number: int) -> Path:
        with self._lock:
            self._own()
            coming = self._fetching.pop(number, None)
        shard = self._shards[number]
        return coming.result() if coming else shard.place.local(shard.name, shard.sha256)

    def _mapped(self, number: int, file: Path) -> tuple[npt.NDArray[np.uint8], Schema]:
        """A shard's bytes and its schema, read once for all shards that begin with the same message."""
        data = self._region.put(number, file)
        size = message_size(data)
        key = data[:size].tobytes()
        if key not in self._schemas:
            self._schemas[key] = read_schema(data, str(self._shards[number]))
        return data, self._schemas[key]

    def _layout(self, number: int, file: Path) -> Layout:
        shard = self._shards[number]
        data, schema = self._mapped(number, file)
        if schema.columns != self._schema.columns:
            cure = "open them as datasets of their own"
            raise InputError(f"its columns differ from those of {self._shards[0]}", place=str(shard), cure=cure)
        return layout(data, schema, str(shard), shard.rows)

    def _open(self, numbers: Ints) -> None:
        """Map shards; those that have to be fetched come several at once."""
        if self._index.known[numbers].all():
            return
        missing = numbers[~self._index.known[numbers]].tolist()
        if len(missing) > 1 and self.remote:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                files = list(pool.map(self._file, missing))
        else:
            files = [self._file(number) for number in missing]
        with self._lock:
            for number, file in zip(missing, files, strict=True):
                self._index.add(number, self._layout(number, file))

    # -- rows

    def _rows(self, rows: Ints, names: Sequence[str], out: Mapping[str, Array] = {}, *, views: bool = False) -> Rows:
        if rows.dtype.kind not in "iu" and rows.size:
            raise IndexError(f"rows are whole numbers, not {rows.dtype}")
        rows = rows.astype(np.int64).ravel()
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"row {int(rows.min())} to {int(rows.max())} of {len(self)}")
        shards = np.searchsorted(self.starts, rows, "right") - 1
        self._open(np.unique(shards))
        inside = rows - self.starts[shards]
        views = views and rows.size > 0 and shards[0] == shards[-1]
        return {name: self._column(self.columns[name], shards, inside, out.get(name), views) for name in names}

    def _column(self, column: Column, shards: Ints, inside: Ints, out: Array | None, views: bool) -> Array | Ragged:
        at = self._index.at(column.tracks, shards, inside)
        if column.length is None:
            return self._ragged(column, at, shards, inside)
        shape = (len(at),) if column.plain else (len(at), column.length)
        width = column.width
        if views and at[-1] - at[0] == (len(at) - 1) * width:
            return self._region.data[at[0] : at[0] + len(at) * width].view(column.dtype).reshape(shape)
        if out is None:
            out = np.empty(shape, column.dtype)
        elif out.shape != shape or out.dtype != column.dtype or not out.flags.c_contiguous:
            raise ValueError(f"'{column.name}' needs a contiguous array {column.dtype}{list(shape)}")
        gather(self._region.data, at, np.arange(len(at) + 1) * width, out.reshape(-1).view(np.uint8))
        return out

    def _ragged(self, column: Column, at: Ints, shards: Ints, inside: Ints) -> Ragged:
        two = np.empty(len(at) * 2 * column.offset, np.uint8)
        gather(self._region.data, at, np.arange(len(at) + 1) * 2 * column.offset, two)
        bounds = two.view(np.int32 if column.offset == 4 else np.int64).reshape(-1, 2).astype(np.int64)
        values = self._index.at(column.tracks + 1, shards, inside) + bounds[:, 0] * column.dtype.itemsize
        lengths = bounds[:, 1] - bounds[:, 0]
        stop = values + lengths * column.dtype.itemsize
        if (
            (lengths < 0).any()
            or (values < self._region.starts[shards]).any()
            or (stop > self._region.starts[shards + 1]).any()
        ):
            bad = self._shards[int(shards[0])]
            raise InputError(f"'{column.name}' has offsets outside of its values", place=str(bad), cure="copy it again")
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        out = np.empty(int(offsets[-1]), column.dtype)
        gather(self._region.data, values, offsets * column.dtype.itemsize, out.view(np.uint8))
        return Ragged(out, offsets)


def _again(paths: list[str], cache: str | Path | None) -> TokenDataset:
    return TokenDataset(paths, cache=cache)


def _same(facts: Sequence[Facts], paths: Sequence[str | Path]) -> Facts:
    """What is said of several datasets that are read as one; raises InputError where their tokens mean other things."""
    first = facts[0]
    for other, path in zip(facts, paths, strict=True):
        for name in ("vocabulary", "end_of_text", "padding", "format"):
            if getattr(other, name) != getattr(first, name):
                raise InputError(
                    f"its {name.replace('_', '-')} is {getattr(other, name)}, that of {paths[0]} {getattr(first, name)}",
                    place=str(path),
                    cure="open them as datasets of their own",
                )
    return replace(first, curriculum=any(f.curriculum for f in facts))


def _fingerprint(shards: Sequence[Shard], states: Sequence[str], rows: Sequence[int]) -> str:
    if all(s.sha256 for s in shards):
        return fingerprint("curate.load/1", [s.sha256 for s in shards])
    return fingerprint(
        "curate.load/1", list(states), [[s.name, s.size, int(n)] for s, n in zip(shards, rows, strict=True)]
    )
