"""``read.arrow``: Arrow IPC, in files and in streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

import pyarrow as pa

from curate.errors import InputError
from curate.stages.reading import REASONS, FileSource, RecordSource
from curate.stages.reading_checked import check_batch
from curate.stages.reading_columns import Columns
from curate.stages.reading_files import Digest, InputFile, find_files, group_sizes, head, not_what_it_says, split_digest
from curate.stages.registry import register
from curate.stages.source import SetAside, Split

_FILE: Final = b"ARROW1"
_STREAM: Final = b"\xff\xff\xff\xff"


@register("read.arrow")
class ReadArrow(FileSource):
    """Read Arrow IPC files and streams; names end in .arrow, .arrows, .feather or .ipc.

    Which of the two it is, the content says. A split of a file is a run of record batches; a stream is one split,
    as it has no index. Positions are ordinals of rows in the file. Feather V1 is not read.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar = REASONS

    def splits(self, base: Path, digest: Digest, split_bytes: int) -> list[Split]:
        return [
            split
            for file in find_files(self.paths, base, (".arrow", ".arrows", ".feather", ".ipc"))
            for split in arrow_splits(self, file, digest, split_bytes)
        ]

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        return read_arrow(self, split, source)


def arrow_splits(stage: RecordSource, file: InputFile, digest: Digest, split_bytes: int) -> Iterator[Split]:
    """Splits of one Arrow file or stream; ``offset`` is the position of a split's first row."""
    is_file = _is_file(file.path)
    with _mapped(file.path) as mapped:
        reader = pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)
        Columns.of(stage, reader.schema, str(file.path))
        rows = _batch_rows(mapped, reader) if is_file else []
    content = digest(file.path)

    def split(start: int, stop: int, size: int, offset: int) -> Split:
        key = split_digest(content, file.name, start, stop)
        return Split(str(file.path), file.name, start, stop, key, size, offset)

    if not is_file:
        yield split(0, -1, file.size, 0)
        return
    # The index does not tell how large a batch is: rows stand for bytes.
    total = sum(rows)
    for start, stop, size in group_sizes([file.size * r // max(1, total) for r in rows], split_bytes):
        yield split(start, stop, size, sum(rows[:start]))


def read_arrow(stage: RecordSource, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
    """Documents of a split that ``arrow_splits`` made."""
    documents = stage.documents(split, source, "row")
    path = Path(split.path)
    with _mapped(path) as mapped:
        is_file = _is_file(path)
        reader = pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)
        columns = Columns.of(stage, reader.schema, split.path)
        position = split.offset
        if is_file:
            stop = reader.num_record_batches if split.stop < 0 else split.stop
            batches = (reader.get_batch(index) for index in range(split.start, stop))
        else:
            batches = iter(reader)
        for batch in batches:
            check_batch(batch)
            yield from columns.documents(batch, position, documents)
            position += batch.num_rows


def _is_file(path: Path) -> bool:
    start = head(path)
    if not start.startswith((_FILE, _STREAM)):
        raise not_what_it_says(path, "Arrow", start)
    return start.startswith(_FILE)


def _batch_rows(mapped: pa.MemoryMappedFile, reader: pa.RecordBatchFileReader) -> list[int]:
    """Rows of each record batch: read from one column of fixed width where there is one, to decompress little."""
    fixed = [i for i, f in enumerate(reader.schema) if pa.types.is_primitive(f.type)]
    options = pa.ipc.IpcReadOptions(included_fields=[fixed[0] if fixed else 0], use_threads=False)
    lean = pa.ipc.open_file(mapped, options=options)
    return [lean.get_batch(index).num_rows for index in range(lean.num_record_batches)]


@contextmanager
def _mapped(path: Path) -> Iterator[pa.MemoryMappedFile]:
    """A file in the address space, not in memory; what Arrow can't read becomes an InputError."""
    try:
        with pa.memory_map(str(path)) as mapped:
            try:
                yield mapped
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                raise InputError(
                    f"damaged Arrow data before byte {_tell(mapped)}: {why}",
                    place=str(path),
                    cure="fetch or write it again",
                ) from None
    except OSError as error:
        raise InputError(f"can't be read: {error}", place=str(path), cure="check its permissions") from None


def _tell(mapped: pa.MemoryMappedFile) -> int:
    return int(mapped.size() if mapped.closed else mapped.tell())
