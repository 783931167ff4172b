"""``read.dataset``: Hugging Face datasets, from a folder or from the hub."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from curate.assets import locate
from curate.errors import CurateError, InputError, did_you_mean
from curate.hub import failures as hub_failures
from curate.stages import remote
from curate.stages.catalog import Catalog, InputFile, Range, file_at, together
from curate.stages.read_arrow import arrow_ranges, read_arrow
from curate.stages.reading import REASONS, TextSource
from curate.stages.reading_columns import Columns
from curate.stages.reading_files import absent, walk
from curate.stages.registry import register
from curate.stages.source import SetAside, Split, split_digest

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_HUB_NAME: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PROBE_SECONDS: Final = 5.0
_ROWS: Final = 1024


@register("read.dataset")
class ReadDataset(TextSource):
    """Read a Hugging Face dataset.

    ``path`` is a folder that ``save_to_disk`` wrote (its Arrow files are read as they are), a folder of data files
    that ``datasets`` understands, or the name of a dataset on the hub; the latter two are streamed, a split per
    shard, and nothing is stored. A dataset on the hub needs ``commit``, the full hash of one: branches and
    tags move, and a dataset that moves has no identity. Positions are ordinals of rows in the shard.

    A record's place is the path of its data file where a shard is one file, else the shard's number.
    """

    revision: ClassVar[int] = 2
    reasons: ClassVar = REASONS

    path: str = Field(min_length=1, description="a folder or its URL, or a name on the hub such as owner/name")
    config: str | None = Field(None, description="the dataset's configuration; null: its default")
    split: str | None = Field(None, description="the dataset's split; may be null where there is only one")
    commit: str | None = Field(None, description="commit of a dataset on the hub (its revision), 40 hex digits")

    def absent(self, base: Path) -> list[str]:
        return [] if self.commit is not None else absent([self.path], base)

    def splits(self, base: Path, catalog: Catalog, split_bytes: int) -> list[Split]:
        given = remote.plain(self.path)
        folder = None if remote.is_url(given) else locate(given, base).absolute()
        if folder is not None and not folder.is_dir():
            return self._streamed(self._hub_name(folder), None, catalog)
        saved = self._saved(given if folder is None else str(folder))
        if saved is not None:
            splits = self.splitting(catalog, split_bytes)
            found = map(splits, saved, catalog.digests(together(saved)))
            return list(itertools.chain.from_iterable(found))
        if folder is None:
            raise InputError(
                "no dataset that save_to_disk wrote",
                place=given,
                cure="read its files with read.parquet, read.jsonl or read.arrow",
            )
        return self._streamed(str(folder), folder, catalog)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        return arrow_ranges(self, file, split_bytes)

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        if split.stamps:
            yield from read_arrow(self, split, source)
            return
        documents = self.documents(split, source, "row")
        columns, schema, position = None, None, 0
        for table in self._tables(split):
            if columns is None or table.schema != schema:
                columns, schema = Columns.of(self, table.schema, f"{split.path} ({split.name})"), table.schema
            for batch in table.combine_chunks().to_batches():
                yield from columns.documents(batch, position, documents)
                position += batch.num_rows

    # -- what save_to_disk wrote

    def _saved(self, folder: str) -> list[InputFile] | None:
        """Arrow files of a folder that ``save_to_disk`` wrote; None for any other folder."""
        below = ""
        splits = _json(f"{folder}/dataset_dict.json")
        if splits is not None:
            below = f"{self._chosen(splits.get('splits', []), folder)}/"
        state = _json(f"{folder}/{below}state.json")
        if state is None:
            return None
        found = []
        for entry in state.get("_data_files", []):
            path, name = f"{folder}/{below}{entry['filename']}", below + entry["filename"]
            try:
                found.append(file_at(path, name))
            except (OSError, InputError) as error:
                if isinstance(error, InputError) and "no such" not in error.cause:
                    raise
                raise InputError("a file that state.json names is missing", place=path, cure="save it again") from None
        return found

    # -- what is streamed

    def _hub_name(self, missing: Path) -> str:
        if not _HUB_NAME.fullmatch(self.path):
            raise InputError("no such folder", place=str(missing), cure="check path; a hub's name is owner/name")
        if self.commit is None or not _COMMIT.fullmatch(self.commit):
            was = "no commit" if self.commit is None else f"'{self.commit}', which is no full hash of a commit"
            raise InputError(
                f"neither a folder nor pinned on the hub: it has {was}",
                place=self.path,
                cure="correct the folder, or set commit: 40 hex digits, from the dataset's page, Files, History",
            )
        return self.path

    def _streamed(self, path: str, folder: Path | None, catalog: Catalog) -> list[Split]:
        import datasets

        if folder is None:
            self._probe()
        with _failures(path, hub=folder is None):
            name, shards = self._open(path)
            builder = datasets.load_dataset_builder(path, self.config, revision=self._revision(path))
            files = [str(f) for f in (builder.config.data_files or {}).get(name, [])]
            if shards.features is not None:
                Columns.of(self, shards.features.arrow_schema, path)
            count = shards.num_shards
        if len(files) != count:  # a shard is not a file
            files = []
        found, whole = [], ""
        for index in range(count):
            shard = _below(files[index], folder) if files else f"{name}/{index:05d}"
            size = 0
            if folder is not None and files and Path(files[index]).is_file():
                file = file_at(files[index], shard)
                content, size = catalog.digests(together([file]))[0], file.size
                if size == 0:
                    raise InputError("the file is empty", place=files[index], cure="remove it or fix it")
            elif folder is not None:
                content = whole = whole or "/".join(catalog.digests(walk(str(folder), ("",))))
            else:
                content = f"{path}@{self.commit}"
            found.append(Split(path, shard, index, index + 1, split_digest(content, shard, index, count), size))
        return found

    def _tables(self, split: Split) -> Iterator[pa.Table]:
        hub = not Path(split.path).is_absolute()
        if hub:
            self._probe()
        with _failures(split.path, hub=hub):
            _, shards = self._open(split.path)
            shard = shards.shard(num_shards=shards.num_shards, index=split.start)
            # As Arrow tables images and sounds stay bytes: nothing is decoded.
            tables = iter(shard.with_format("arrow").iter(batch_size=_ROWS))
        while True:
            with _failures(split.path, hub=hub):
                table = next(tables, None)
            if table is None:
                return
            yield table

    def _open(self, path: str) -> tuple[str, Any]:
        """Name of the dataset's split, and its rows, streamed."""
        import datasets

        found = datasets.load_dataset(path, self.config, revision=self._revision(path), streaming=True)
        name = self._chosen([str(n) for n in found], path)
        return name, found[name]

    def _revision(self, path: str) -> str | None:
        return None if Path(path).is_absolute() else self.commit

    def _chosen(self, names: list[str], place: str) -> str:
        if self.split is None and len(names) == 1:
            return names[0]
        if self.split is None:
            raise InputError(f"the dataset has splits {', '.join(names)}", place=place, cure="name one with split:")
        if self.split not in names:
            raise InputError(f"no split '{self.split}'", place=place, cure=did_you_mean(self.split, names))
        return self.split

    def _probe(self) -> None:
        """Ask the hub once, briefly: ``datasets`` itself tries for half a minute and then blames the name."""
        from huggingface_hub import HfApi

        with _failures(self.path, hub=True):
            HfApi().dataset_info(self.path, revision=self.commit, timeout=_PROBE_SECONDS)


def _failures(place: str, *, hub: bool) -> AbstractContextManager[None]:
    """Failures of ``datasets`` and of the hub as errors of ours."""
    if hub:
        return hub_failures(place, correct="path and commit", instead="a folder with the data")
    return _unreadable(place)


@contextmanager
def _unreadable(place: str) -> Iterator[None]:
    try:
        yield
    except CurateError:
        raise
    except Exception as error:  # noqa: BLE001 - readers of formats have kinds of their own
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(
            f"datasets can't read it ({why})", place=place, cure="check the files, config and split"
        ) from None


def _json(path: str) -> dict[str, Any] | None:
    """A JSON object; None when there is no such file."""
    try:
        if not remote.is_url(path) and not Path(path).is_file():
            return None
        with remote.opened(path, buffer=0) as file:
            value = json.loads(file.read())
    except InputError as error:
        if error.cause.startswith("no such"):
            return None
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"can't be read: {error}", place=path, cure="save the dataset again") from None
    if not isinstance(value, dict):
        raise InputError("no JSON object", place=path, cure="save the dataset again")
    return value


def _below(file: str, folder: Path | None) -> str:
    """A data file's path below the dataset's root; for the hub, what follows the commit."""
    if folder is None:
        return file.partition("@")[2].partition("/")[2] or file
    path = Path(file)
    for root in (folder, folder.resolve()):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name
