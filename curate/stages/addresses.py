"""Where a document comes from, in forms that can be compared: URLs and repositories, as its ``meta`` and origin say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import orjson

URL_FIELDS: Final = frozenset(
    [
        "url",
        "uri",
        "source_url",
        "page_url",
        "html_url",
        "document_url",
        "permalink",
        "link",
        "target_uri",
        "warc_target_uri",
        "canonical_url",
        "original_url",
        "repo_url",
        "repository_url",
    ]
)
"""Fields of ``meta`` that hold a document's address, in lower case with ``_`` for ``-``; also in objects inside of it."""
REPO_FIELDS: Final = frozenset(
    [
        "repo",
        "repository",
        "repo_name",
        "repository_name",
        "repo_full_name",
        "full_name",
        "max_stars_repo_name",
        "repo_url",
        "repository_url",
    ]
)
"""Fields of ``meta`` that hold a repository's name or address (``max_stars_repo_name`` is The Stack's)."""
_HOSTS: Final = frozenset(("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "raw.githubusercontent.com"))
"""Hosts whose paths begin with a repository's owner and name."""
_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_DEPTH: Final = 3
"""Objects inside ``meta`` that are looked into."""


def is_url(value: str) -> bool:
    """Whether it begins as the address of a page does."""
    return _URL.match(value) is not None


def url_of(value: str) -> str | None:
    """A URL as it is compared; None for what is none.

    http and https are the same, and so are hosts with and without ``www.``, in any case; the port of the scheme, a fragment,
    a slash at the end and the way characters are escaped don't count. The query does.
    """
    parts = urlsplit(value.strip()) if _URL.match(value.strip()) else urlsplit(f"//{value.strip()}")
    host = host_of(parts)
    if not host or ("." not in host and host != "localhost"):
        return None
    try:
        port = f":{parts.port}" if parts.port not in (None, 80, 443) else ""
    except ValueError:
        return None
    path = quote(unquote(parts.path), safe="/:@!$&'()*+,;=~-._").rstrip("/")
    return f"{host}{port}{path}{'?' + parts.query if parts.query else ''}"


def host_of(parts: SplitResult) -> str:
    """A host's name in lower case, without ``www.`` and the root's dot, other scripts as IDNA writes them."""
    try:
        host = (parts.hostname or "").rstrip(".")
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        return ""
    return host.lower().removeprefix("www.")


def repo_of(value: str) -> str | None:
    """``owner/name`` in lower case from a name or an address of a repository (``owner/*``: all of an owner's)."""
    said = value.strip().removeprefix("git+")
    if said.startswith("git@"):
        said = said.partition(":")[2]
    elif _URL.match(said) or said.partition("/")[0].lower() in _HOSTS:
        parts = urlsplit(said if _URL.match(said) else f"//{said}")
        said = parts.path
    segments = [s for s in said.split("/") if s]
    if len(segments) < 2:
        return None
    return f"{segments[0]}/{segments[1].removesuffix('.git')}".lower()


def domains_of(host: str) -> Iterator[str]:
    """A host and the domains it lies in."""
    while "." in host:
        yield host
        host = host.partition(".")[2]


def repos_in_path(path: str) -> Iterator[str]:
    """Every ``a/b`` of two folders that follow each other in an origin: one of them may be ``owner/name``."""
    for part in path.lower().split("#"):
        for owner, name in itertools.pairwise(part.split("/")):
            if owner and name:
                yield f"{owner}/{name}"


def addresses(meta: str | None) -> tuple[list[str], list[str]]:
    """URLs and repositories of a document, in normal form."""
    try:
        value = orjson.loads(meta or "{}")
    except orjson.JSONDecodeError:
        return [], []
    urls: list[str] = []
    repos: list[str] = []

    def look(value: Any, depth: int) -> None:
        for name, inner in value.items() if isinstance(value, dict) else ():
            field = str(name).lower().replace("-", "_")
            if isinstance(inner, dict) and depth:
                look(inner, depth - 1)
            for one in inner if isinstance(inner, list) else [inner]:
                if isinstance(one, str):
                    _collect(field, one, urls, repos)

    look(value, _DEPTH)
    return urls, repos


def _collect(field: str, value: str, urls: list[str], repos: list[str]) -> None:
    if field in URL_FIELDS and (url := _tried(url_of, value)) is not None:
        urls.append(url)
        if url.partition("/")[0] in _HOSTS and (repo := repo_of(f"https://{url}")) is not None:
            repos.append(repo)
    if field in REPO_FIELDS and (repo := _tried(repo_of, value)) is not None:
        repos.append(repo)


def _tried(normal: Callable[[str], str | None], value: str) -> str | None:
    """A stranger's value in normal form; None where it has none (``http://[``)."""
    try:
        return normal(value)
    except ValueError:
        return None
