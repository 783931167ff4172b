"""Removal lists: documents that must not be used any more, named by id, text, place, URL, site, repository or source.

A list is a text file of lines ``kind:value`` (``#`` begins a comment; a line that is an id or a URL needs no kind), or CSV or
JSON lines with columns called by the kinds below. A document that any entry names is dropped behind its source, before any
step sees it: so nothing is made of it, and what was made of it is made anew without it.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import InputError
from curate.fingerprint import fingerprint
from curate.stages.addresses import addresses, domains_of, host_of, is_url, repo_of, repos_in_path, url_of

REASON: Final = "takedown"
"""Why such a document is dropped: by its source's step, or by the step that made it of a model's answer."""
SENTENCE: Final = "an entry of the recipe's `takedown` list names it"
KINDS: Final = ("id", "content_hash", "origin", "source", "repo", "site", "url")
"""In the order in which they are tried."""
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")
_NEEDLES: Final = 200
"""Names in one regular expression; with more than ten times as many every row's ``meta`` is parsed, which costs less."""
_LONGEST_LINE: Final = 1 << 16


@dataclass(frozen=True)
class Entry:
    """What is to be removed: a kind, its value in normal form, and the file and line that say so."""

    kind: str
    value: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True)
class Removals:
    """The removal lists of a recipe: small, and picklable; entries are read where they are needed.

    Attributes:
        paths: the files.
        digest: of what the entries say, in whatever order and form.
    """

    paths: tuple[Path, ...]
    digest: str

    def entries(self) -> tuple[Entry, ...]:
        """All entries, each once; raises InputError when the lists are no longer what the digest says."""
        return self._index().entries

    def named(self, rows: pa.RecordBatch) -> pa.Array:
        """For each document the entry that names it, as ``kind:value``; null for those that stay."""
        return self._index().named(rows)

    def _index(self) -> _Index:
        return _index(self.paths, self.digest)


def read_removals(paths: Iterable[Path]) -> Removals:
    """Read lists; raises InputError, with file and line, for what is none."""
    files = tuple(paths)
    return Removals(files, _digest(_read(files)))


def _digest(entries: Iterable[Entry]) -> str:
    return fingerprint(sorted(map(str, entries)))


@functools.lru_cache(maxsize=2)
def _index(paths: tuple[Path, ...], digest: str) -> _Index:
    entries = _read(paths)
    if _digest(entries) != digest:
        raise InputError(
            "the removal list was changed while the run went on", place=str(paths[0]), cure="run again with it"
        )
    return _Index(entries)


# -- files ---------------------------------------------------------------------------------------------------


def _read(paths: tuple[Path, ...]) -> tuple[Entry, ...]:
    found: dict[tuple[str, str], Entry] = {}
    for path in paths:
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise InputError("there is no such removal list", place=str(path), cure="check 'takedown:'") from None
        except OSError as error:
            raise InputError(f"can't be read ({error.strerror})", place=str(path)) from None
        except UnicodeDecodeError as error:
            raise InputError(f"is no UTF-8 text (byte {error.start})", place=str(path)) from None
        reader = {".csv": _csv, ".jsonl": _jsonl}.get(path.suffix.lower(), _lines)
        for entry in reader(text, str(path)):
            found.setdefault((entry.kind, entry.value), entry)
    return tuple(found.values())


def _lines(text: str, path: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        said, place = line.strip(), f"{path}:{number}"
        if not said or said.startswith("#"):
            continue
        if len(said) > _LONGEST_LINE:
            raise InputError("a line is too long for an entry", place=place, cure="one entry a line")
        kind, _, value = said.partition(":")
        if kind in KINDS:
            yield _entry(kind, value.strip(), place)
        elif _HEX.fullmatch(said):
            yield _entry("id", said, place)
        elif is_url(said):
            yield _entry("url", said, place)
        else:
            raise InputError(
                f"'{said[:80]}' is no entry", place=place, cure=f"write kind:value with one of {', '.join(KINDS)}"
            )


def _csv(text: str, path: str) -> Iterator[Entry]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [name.strip().lower() for name in next(rows, [])]
        _check_columns(head, path)
        for row in rows:
            yield from _cells(dict(zip(head, row, strict=False)), f"{path}:{rows.line_num}")
    except csv.Error as error:
        raise InputError(f"is no CSV: {error}", place=f"{path}:{rows.line_num}") from None


def _jsonl(text: str, path: str) -> Iterator[Entry]:
    # Not splitlines: JSON may hold U+2028 and its like as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"is no JSON: {error}", place=place) from None
        if not isinstance(row, dict):
            raise InputError("is no JSON object", place=place, cure='one object a line, such as {"url": "..."}')
        _check_columns(row, place)
        yield from _cells(row, place)


def _check_columns(names: Iterable[str], place: str) -> None:
    if not set(names) & {*KINDS, "repository"}:
        raise InputError(
            f"no column says what to remove (there are: {', '.join(names)[:200] or 'none'})",
            place=place,
            cure=f"call one {', '.join(KINDS[:-1])} or {KINDS[-1]}",
        )


def _cells(row: Mapping[str, Any], place: str) -> Iterator[Entry]:
    for name in (*KINDS, "repository"):
        value = row.get(name)
        if value is not None and str(value).strip():
            yield _entry("repo" if name == "repository" else name, str(value).strip(), place)


def _entry(kind: str, value: str, place: str) -> Entry:
    if not value:
        raise InputError(f"'{kind}:' names nothing", place=place, cure="say what to remove, or remove the line")
    try:
        normal = _NORMAL.get(kind, str)(value)
    except ValueError:
        normal = None
    if normal is None:
        raise InputError(f"'{value[:80]}' is no {kind}", place=place, cure=_CURES.get(kind, ""))
    return Entry(kind, normal, place)


def _id(value: str) -> str | None:
    return value.lower() if _HEX.fullmatch(value) else None


def _site(value: str) -> str | None:
    host = host_of(urlsplit(value if "//" in value else f"//{value}"))
    return host if "." in host else None


def _url(value: str) -> str | None:
    normal = url_of(value.removesuffix("*"))
    return f"{normal}*" if normal is not None and value.endswith("*") else normal


_NORMAL: Final[Mapping[str, Callable[[str], str | None]]] = {
    "id": _id,
    "content_hash": _id,
    "repo": repo_of,
    "site": _site,
    "url": _url,
}
_CURES: Final = {
    "id": "write 32 hex digits: 'curate explain' shows them",
    "content_hash": "write 32 hex digits: 'curate explain' shows them",
    "repo": "write repo:owner/name, or repo:owner/* for all of an owner's",
    "site": "write site:example.org",
    "url": "write url:https://host/path, or url:https://host/path/* for all below",
}


# -- matching ------------------------------------------------------------------------------------------------


class _Index:
    """Entries, ready to be looked up."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for entry in entries:
            by_kind[entry.kind].append(entry.value)
        self._exact = {
            "id": pa.array([bytes.fromhex(v) for v in by_kind["id"]], schema.ID_TYPE),
            "content_hash": pa.array([bytes.fromhex(v) for v in by_kind["content_hash"]], schema.ID_TYPE),
            "origin": pa.array([v for v in by_kind["origin"] if not v.endswith("*")], pa.string()),
            "source": pa.array(by_kind["source"], pa.string()),
        }
        self._below = [v.removesuffix("*") for v in by_kind["origin"] if v.endswith("*")]
        self._repos = frozenset(by_kind["repo"])
        self._sites = frozenset(by_kind["site"])
        self._urls = frozenset(v for v in by_kind["url"] if not v.endswith("*"))
        self._starts = tuple(v.removesuffix("*") for v in by_kind["url"] if v.endswith("*"))
        self._needles = self._patterns()

    def _patterns(self) -> list[str] | None:
        """Regular expressions, one of which finds every ``meta`` or origin that can match; None: look at every one."""
        names = {repo.removesuffix("*") for repo in self._repos} | self._sites
        names |= {re.split(r"[/:?]", url, maxsplit=1)[0] for url in (*self._urls, *self._starts)}
        if len(names) > 10 * _NEEDLES or any("xn--" in name for name in names):
            return None
        # A slash may be written as "\/" in JSON, and more than once.
        quoted = [re.escape(name).replace("/", r"(?:\\?/)+") for name in sorted(names)]
        # Hosts in other scripts have more than one spelling, and so have escaped names of repositories.
        quoted += [r"[^\x00-\x7f]", r"\\u", *(["%[0-9a-f]{2}"] if self._repos else [])]
        return [f"(?i){'|'.join(quoted[i : i + _NEEDLES])}" for i in range(0, len(quoted), _NEEDLES)]

    def named(self, rows: pa.RecordBatch) -> pa.Array:
        """See Removals.named."""
        found: pa.Array = pa.nulls(rows.num_rows, pa.string())
        for kind, values in self._exact.items():
            if len(values):
                at = pc.index_in(rows.column(kind), value_set=values)
                shown = [f"{kind}:{v.hex() if isinstance(v, bytes) else v}" for v in values.to_pylist()]
                found = pc.coalesce(found, pa.array(shown).take(at))
        for start in self._below:
            hit = pc.starts_with(rows.column("origin"), start)
            found = pc.coalesce(found, pc.if_else(hit, f"origin:{start}*", pa.scalar(None, pa.string())))
        if not (self._repos or self._sites or self._urls or self._starts):
            return found
        return pc.coalesce(found, self._by_address(rows))

    def _by_address(self, rows: pa.RecordBatch) -> pa.Array:
        meta, origin = rows.column("meta"), rows.column("origin")
        if self._needles is None:
            at = range(rows.num_rows)
        else:
            may = pa.array([False] * rows.num_rows, pa.bool_())
            for pattern in self._needles:
                for column in (meta, origin):
                    may = pc.or_(may, pc.fill_null(pc.match_substring_regex(column, pattern), False))
            at = pc.indices_nonzero(may).to_pylist()
        said: list[str | None] = [None] * rows.num_rows
        for i in at:
            said[i] = self.address(meta[i].as_py(), origin[i].as_py())
        return pa.array(said, pa.string())

    def address(self, meta: str | None, origin: str | None) -> str | None:
        """The entry that names a document by its repository, site or URL."""
        urls, repos = addresses(meta)
        for repo in [*repos, *repos_in_path(origin or "")]:
            owner = f"{repo.partition('/')[0]}/*"
            if (hit := repo if repo in self._repos else owner if owner in self._repos else None) is not None:
                return f"repo:{hit}"
        for url in urls:
            host = re.split(r"[/:?]", url, maxsplit=1)[0]
            if (site := next((s for s in domains_of(host) if s in self._sites), None)) is not None:
                return f"site:{site}"
        for url in urls:
            if url in self._urls:
                return f"url:{url}"
            if (
                start := next((s for s in self._starts if url == s or url.startswith((f"{s}/", f"{s}?"))), None)
            ) is not None:
                return f"url:{start}*"
        return None
