"""``read.code``: trees of source files, one document per file."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.errors import InputError
from curate.stages.catalog import NO_STAMP, Catalog, Files
from curate.stages.reading import REASONS
from curate.stages.reading_documents import BATCH_BYTES, BATCH_ROWS, Documents, Rows, meta_json, strings
from curate.stages.reading_files import absent, check_names, check_utf8, expand, listing
from curate.stages.reading_packs import pack, packs
from curate.stages.registry import register
from curate.stages.remote import fetched, is_url
from curate.stages.source import SetAside, Source, Split

_COOKIE: Final = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)
_BLANK: Final = re.compile(rb"^[ \t\f]*(?:[#\r\n]|$)", re.ASCII)
_COOKIE_BYTES: Final = 4096
# Names as codecs.lookup gives them. Python knows more codecs that a cookie may name (rot13, idna, unicode_escape):
# those are no encodings of files; and a file whose cookie can be read is not in UTF-16, whatever it says.
_ENCODINGS: Final = re.compile(
    r"utf-8|utf-8-sig|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|gbk|gb2312|gb18030|hz|big5|big5hkscs|shift_jis\w*|"
    r"euc_\w+|iso2022_\w+|johab|mac-\w+|tis-620"
)
_LANGUAGES: Final = {
    ".c": "c", ".cc": "c++", ".cpp": "c++", ".cs": "c#", ".css": "css", ".cu": "cuda", ".cxx": "c++", ".f90": "fortran",
    ".go": "go", ".h": "c", ".hpp": "c++", ".hs": "haskell", ".html": "html", ".ipynb": "jupyter", ".java": "java",
    ".jl": "julia", ".js": "javascript", ".json": "json", ".jsx": "javascript", ".kt": "kotlin", ".lua": "lua",
    ".m": "matlab", ".md": "markdown", ".ml": "ocaml", ".php": "php", ".pl": "perl", ".py": "python", ".pyi": "python",
    ".pyx": "cython", ".r": "r", ".rb": "ruby", ".rs": "rust", ".rst": "restructuredtext", ".scala": "scala",
    ".sh": "shell", ".sql": "sql", ".swift": "swift", ".toml": "toml", ".ts": "typescript", ".tsx": "typescript",
    ".yaml": "yaml", ".yml": "yaml", ".zig": "zig",
}  # fmt: skip


@register("read.code")
class ReadCode(Source):
    """Read trees of source files: each file is a document whose own id is its path below the root.

    Hidden files and folders are passed over, links to folders are not followed. Files are UTF-8 (a byte order mark is
    taken off), UTF-16 with a byte order mark or, in Python files, what a PEP 263 cookie says; nothing is guessed.
    ``meta`` has path, bytes (of the file), language (by extension), encoding where it is not UTF-8, and the license.

    Files are read in packs of some hundreds; they bear on no id, and one file more or less changes its own pack only.
    Paths may be URLs, as for read.jsonl.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar = {
        "no_text": REASONS["no_text"],
        "invalid_utf8": "the file is not UTF-8 and declares no other encoding",
        "too_large": "the file has more than max_document_bytes bytes",
        "unreadable": "the file can't be opened or decoded as it declares, is binary, or is a link that leads nowhere",
        "link": "a symbolic link: follow_symlinks is off, or it leads out of the root",
    }

    paths: list[str] = Field(
        min_length=1, description="folders (or files, or globs) of source files, or their URLs, in this order"
    )
    extensions: list[str] = Field([".py"], min_length=1, description="extensions of the files that are read")
    exclude: list[str] = Field(
        ["**/node_modules/**", "**/site-packages/**", "**/__pycache__/**"],
        description="patterns of paths below the root that are passed over; ** stands for any folders",
    )
    license: str | None = Field(None, description="license of all files, put into `meta`")
    follow_symlinks: bool = Field(False, description="read what links to files lead to, if that is below the root")
    source: str | None = Field(None, description="the documents' source; null: the step's id")
    max_document_bytes: int = Field(32 << 20, ge=1, description="files with more bytes are `too_large`")

    def absent(self, base: Path) -> list[str]:
        return absent(self.paths, base)

    def splits(self, base: Path, catalog: Catalog, split_bytes: int) -> list[Split]:
        found: list[Split] = []
        owner: dict[str, Files] = {}
        for given in self.paths:
            files = self._files(given, base)
            if len(self.paths) > 1:
                known = {name for name in files.names if name in owner and owner[name].root == files.root}
                files = files.chosen([n for n, name in enumerate(files.names) if name not in known])
                check_names(files, owner, given)
            digests = _digests(files, catalog)
            found += [pack(files, *ends, digests, ".") for ends in packs(files, 0, len(files), split_bytes)]
        return found

    def _files(self, given: str, base: Path) -> Files:
        """The files that are read of one entry of ``paths``."""
        suffixes = tuple(e if e.startswith(".") else f".{e}" for e in self.extensions)
        files = expand(given, base, suffixes)
        skip = [glob_pattern(p) for p in self.exclude]
        kept = [
            n
            for n, name in enumerate(files.names)
            if files.outright or (name.lower().endswith(suffixes) and not any(p.fullmatch(name) for p in skip))
        ]
        if not kept:
            raise InputError(
                f"no file with {listing(suffixes)} is left after `exclude`", place=files.root, cure="check the settings"
            )
        files = files.chosen(kept)
        check_utf8(files)
        return files

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = Documents(split.name, source, source=self.source, max_bytes=self.max_document_bytes, unit="file")
        pending: list[tuple[int, str, str, bytes]] = []
        asides: list[tuple[int, SetAside]] = []
        size = 0
        for number, (member, data) in enumerate(zip(split.members, self._contents(split), strict=True)):
            try:
                text, meta = self._document(member, data())
            except _NotRead as why:
                key = documents.aside(number, why.reason, why.detail, member)[1].origin
                asides.append((number, SetAside(key, why.reason, why.detail)))
                continue
            pending.append((number, member, text, meta))
            size += len(text)
            if size >= BATCH_BYTES or len(pending) >= BATCH_ROWS:
                yield from documents.batches(_rows(pending), asides)
                pending, asides, size = [], [], 0
        yield from documents.batches(_rows(pending) if pending else None, asides)

    def _contents(self, split: Split) -> Iterator[Callable[[], bytes]]:
        """By file, what gives its first bytes, one more than a document may have; that raises _NotRead."""
        if not is_url(split.path):
            for member in split.members:
                yield partial(self._local, Path(split.path), member)
            return
        with fetched(split.files(), self.max_document_bytes + 1) as files:
            for _, data in files:
                yield partial(bytes, data)

    def _local(self, root: Path, member: str) -> bytes:
        path = root / member
        try:
            if path.is_symlink():
                self._check_link(root, path)
            if path.exists() and not path.is_file():  # to open a pipe is to wait for who writes into it
                raise _NotRead("unreadable", "a pipe, a socket or a device")
            with path.open("rb") as file:
                return file.read(self.max_document_bytes + 1)
        except OSError as error:
            raise _NotRead("unreadable", f"can't be opened: {error.strerror}") from None

    def _document(self, member: str, raw: bytes) -> tuple[str, bytes]:
        """Text and meta of one file; raises _NotRead."""
        if len(raw) > self.max_document_bytes:
            raise _NotRead("too_large", f"the file has more than {self.max_document_bytes} bytes")
        suffix = PurePosixPath(member).suffix.lower()
        text, encoding = decode(raw, python=suffix in {".py", ".pyi", ".pyw"})
        meta: dict[str, object] = {"path": member, "bytes": len(raw)}
        meta["language"] = _LANGUAGES.get(suffix, suffix.removeprefix("."))
        if encoding != "utf-8":
            meta["encoding"] = encoding
        if self.license is not None:
            meta["license"] = self.license
        return text, meta_json(meta)

    def _check_link(self, root: Path, path: Path) -> None:
        if not path.exists():
            raise _NotRead("unreadable", "a symbolic link that leads nowhere")
        if not self.follow_symlinks:
            raise _NotRead("link", "a symbolic link, and follow_symlinks is off")
        if not path.resolve().is_relative_to(root.resolve()):
            raise _NotRead("link", "a symbolic link that leads out of the root")


@dataclass
class _NotRead(Exception):  # noqa: N818 - not an error: the file is set aside
    reason: str
    detail: str


def decode(raw: bytes, *, python: bool) -> tuple[str, str]:
    """Text and encoding of a source file; raises _NotRead where it can't be decoded as it declares."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif raw.startswith(codecs.BOM_UTF8):
        raw, encoding = raw[3:], "utf-8"
    else:
        encoding = _cookie(raw) if python else "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        reason = "invalid_utf8" if encoding == "utf-8" else "unreadable"
        raise _NotRead(reason, f"byte {error.start} is not {encoding}") from None
    if "\0" in text:
        raise _NotRead("unreadable", "binary: it holds a zero byte")
    return text, encoding


def _cookie(raw: bytes) -> str:
    """The encoding that the first two lines declare (PEP 263), utf-8 if none."""
    for line in raw[:_COOKIE_BYTES].splitlines()[:2]:
        found = _COOKIE.match(line)
        if found:
            name = found.group(1).decode("ascii")
            try:
                known = codecs.lookup(name).name
            except LookupError:
                known = ""
            if not _ENCODINGS.fullmatch(known):
                raise _NotRead("unreadable", f"it declares the encoding {name[:40]}, which is none")
            return "utf-8" if known == "utf-8-sig" else known
        if not _BLANK.match(line):
            break
    return "utf-8"


def _rows(pending: Sequence[tuple[int, str, str, bytes]]) -> Rows:
    numbers, members, texts, metas = zip(*pending, strict=True)
    return Rows(
        pa.array(texts, pa.large_string()),
        pa.array(members, pa.string()),
        pa.array(numbers, pa.int64()),
        None,
        strings(list(metas)),
    )


def _digests(files: Files, catalog: Catalog) -> list[str]:
    """What stands for the content of each file: also of those that turn out to be none."""
    there = files.stamps[:, 0] != NO_STAMP[0]
    found = ["no file"] * len(files)
    numbers = np.flatnonzero(there).tolist()
    for number, digest in zip(numbers, catalog.digests(files.chosen(numbers)), strict=True):
        found[number] = digest
    for number in files.links:
        target = f"link:{os.readlink(files.path(number))}"  # noqa: PTH115
        found[number] = f"{target}:{found[number]}" if there[number] else target
    return found


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression for a pattern of paths: ``**`` any folders, ``*`` and ``?`` within one name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(p, re.escape(p)) for p in parts), re.DOTALL)
