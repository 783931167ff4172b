"""Which files a URL names: an object, a folder (all objects below a prefix), or a pattern.

The store is asked for listings only: a request for a thousand objects or more, never one for each.
"""

from __future__ import annotations

import fnmatch
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from curate.errors import InputError
from curate.stages import remote
from curate.stages.catalog import Files
from curate.store.service import AT_ONCE

WILD: Final = "*?["


def expand_url(url: str, suffixes: Sequence[str]) -> Files:
    """The files that a URL names; raises InputError when there are none, or its store can't be asked."""
    if any(c in url for c in WILD):
        return _matching(url)
    facts = remote.info(url)
    if facts["type"] != "directory":
        root, _, name = url.rpartition("/")
        one = _Found()
        one.add(root, name, facts)
        return one.files(root, outright=True)
    ends = tuple(suffixes)
    found = _below(url, None, lambda name: not hidden(name) and name.lower().endswith(ends)).files(url)
    if not len(found):
        raise InputError(f"no file with {', '.join(suffixes)} in this folder", place=url, cure="check paths")
    return found


def hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, has a name that begins with a dot."""
    return name.startswith(".") or "/." in name


def _matching(url: str) -> Files:
    kind, _, rest = url.partition("://")
    parts = rest.split("/")
    first = next(n for n, part in enumerate(parts) if any(c in part for c in WILD))
    if first == 0:
        raise InputError("a bucket's name is no pattern", place=url, cure="name the bucket")
    root, pattern = f"{kind}://{'/'.join(parts[:first])}", parts[first:]
    depth = None if "**" in pattern else len(pattern)
    found = _below(root, depth, matcher(pattern)).files(root)
    if not len(found):
        raise InputError(f"nothing matches '{'/'.join(pattern)}'", place=root, cure="check the pattern")
    return found


def matcher(parts: Sequence[str]) -> Callable[[str], object]:
    """Whether a name matches a pattern as Python's glob understands it: ``**`` is any folders, or none; hidden files
    and folders are matched only by what begins with a dot itself."""
    regex = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            regex += r"(?:[^./][^/]*/)*" + (r"[^./][^/]*" if last else "")
            continue
        one = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")
        shown = "" if part.startswith(".") else r"(?!\.)"
        regex += shown + one.replace(".*", "[^/]*") + ("" if last else "/")
    return re.compile(regex, re.DOTALL).fullmatch


@dataclass
class _Found:
    """Objects, by columns: what a store says of each would be a kilobyte of dict."""

    names: list[str] = field(default_factory=list)
    stamps: array[int] = field(default_factory=lambda: array("q"))
    given: list[str] = field(default_factory=list)

    def add(self, root: str, name: str, facts: Mapping[str, Any]) -> None:
        """Take in an object."""
        url = f"{root}/{name}"
        self.names.append(name)
        self.stamps.extend(remote.stamp_of_info(url, facts))
        self.given.append(remote.given(url, facts))

    def extend(self, more: _Found) -> None:
        """Take in others."""
        self.names += more.names
        self.stamps += more.stamps
        self.given += more.given

    def files(self, root: str, *, outright: bool = False) -> Files:
        """In order."""
        return Files.in_order(root, self.names, self.stamps, given=self.given, outright=outright)


def _below(root: str, depth: int | None, keep: Callable[[str], object]) -> _Found:
    """Objects below the root, at most so many levels deep; folders in it are listed side by side."""
    files = remote.filesystem(root)
    base = f"{files._strip_protocol(root).rstrip('/')}/"  # noqa: SLF001 - fsspec has no other name for it

    def chosen(found: Iterable[Mapping[str, Any]]) -> _Found:
        kept = _Found()
        for facts in found:
            path = str(facts["name"])
            if facts["type"] != "directory" and path.startswith(base) and keep(path[len(base) :]):
                kept.add(root, path[len(base) :], facts)
        return kept

    def listed(folder: str) -> _Found:
        deeper = {} if depth is None else {"maxdepth": depth - 1}
        return chosen(remote.tried(lambda: files.find(folder, detail=True, **deeper), folder).values())

    top = remote.tried(lambda: files.ls(root, detail=True), root)
    found = chosen(top)
    if depth != 1:
        kind = remote.protocol(root)
        folders = [f"{kind}://{str(facts['name']).strip('/')}" for facts in top if facts["type"] == "directory"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for more in pool.map(listed, folders):
                found.extend(more)
    return found
