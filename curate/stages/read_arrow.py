"""``read.arrow``: Arrow IPC, in files and in streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pyarrow as pa

from curate.errors import DamagedInputError
from curate.stages import remote
from curate.stages.catalog import InputFile, Range
from curate.stages.reading import REASONS, FileSource, TextSource
from curate.stages.reading_checked import check_batch
from curate.stages.reading_columns import Columns
from curate.stages.reading_files import group_sizes, head, not_what_it_says
from curate.stages.registry import register
from curate.stages.source import SetAside, Split

_FILE: Final = b"ARROW1"
_STREAM: Final = b"\xff\xff\xff\xff"


@register("read.arrow")
class ReadArrow(FileSource, TextSource):
    """Read Arrow IPC files and streams; names end in .arrow, .arrows, .feather or .ipc.

    Which of the two it is, the content says. A split of a file is a run of record batches; a stream is one split,
    as it has no index. Positions are ordinals of rows in the file. Feather V1 is not read.
    """

    revision: ClassVar[int] = 2
    reasons: ClassVar = REASONS

    suffixes: ClassVar = (".arrow", ".arrows", ".feather", ".ipc")

    def check(self, file: InputFile) -> None:
        with _opened(file.path, file.stamp) as arrow:
            Columns.of(self, arrow.reader.schema, file.path)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        return arrow_ranges(self, file, split_bytes)

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        return read_arrow(self, split, source)


def arrow_ranges(stage: TextSource, file: InputFile, split_bytes: int) -> Iterator[Range]:
    """Parts of one Arrow file or stream; ``offset`` is the position of a part's first row."""
    with _opened(file.path, file.stamp) as arrow:
        Columns.of(stage, arrow.reader.schema, file.path)
        rows = _batch_rows(arrow) if arrow.is_file else None
    if rows is None:
        yield Range(0, -1, file.size)
        return
    # The index does not tell how large a batch is: rows stand for bytes.
    total = sum(rows)
    for start, stop, size in group_sizes([file.size * r // max(1, total) for r in rows], split_bytes):
        yield Range(start, stop, size, sum(rows[:start]))


def read_arrow(stage: TextSource, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
    """Documents of a split that ``arrow_ranges`` gave."""
    documents = stage.documents(split, source, "row")
    with _opened(split.path, split.stamps) as arrow:
        columns = Columns.of(stage, arrow.reader.schema, split.path)
        position = split.offset
        if arrow.is_file:
            stop = arrow.reader.num_record_batches if split.stop < 0 else split.stop
            batches = (arrow.reader.get_batch(index) for index in range(split.start, stop))
        else:
            batches = iter(arrow.reader)
        for batch in batches:
            check_batch(batch)
            yield from columns.documents(batch, position, documents)
            position += batch.num_rows


@dataclass(frozen=True)
class _Arrow:
    """An open Arrow file, which has an index, or stream, which has none."""

    source: pa.NativeFile
    reader: Any
    is_file: bool


def _batch_rows(arrow: _Arrow) -> list[int]:
    """Rows of each record batch: read from one column of fixed width where there is one, to decompress little."""
    fixed = [i for i, f in enumerate(arrow.reader.schema) if pa.types.is_primitive(f.type)]
    options = pa.ipc.IpcReadOptions(included_fields=[fixed[0] if fixed else 0], use_threads=False)
    lean = pa.ipc.open_file(arrow.source, options=options)
    return [lean.get_batch(index).num_rows for index in range(lean.num_record_batches)]


@contextmanager
def _opened(path: str, stamp: bytes) -> Iterator[_Arrow]:
    """A file in the address space, not in memory, or a remote one; what Arrow can't read becomes an InputError."""
    start = head(path, stamp, len(_FILE))
    if not start.startswith((_FILE, _STREAM)):
        raise not_what_it_says(path, "Arrow", start)
    is_file = start.startswith(_FILE)
    with ExitStack() as stack:
        if remote.is_url(path):
            # A batch of a file is read as a whole; a stream message by message.
            file = stack.enter_context(remote.opened(path, stamp, 0 if is_file else remote.BLOCK))
            source = stack.enter_context(pa.PythonFile(file, "r"))
        else:
            with remote.local_errors(path):
                source = stack.enter_context(pa.memory_map(path))
        try:
            yield _Arrow(source, (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source), is_file)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise DamagedInputError(
                f"damaged Arrow data before byte {_tell(source)}: {why}",
                place=path,
                cure="fetch or write it again",
            ) from None


def _tell(source: pa.NativeFile) -> int:
    return int(source.size() if source.closed else source.tell())
