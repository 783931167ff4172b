"""What documents say of their kin: the repository, package, book or site they are from, and the documents they were made of. No stage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.stages.addresses import REPO_FIELDS, URL_FIELDS
from curate.stages.strata import NONE, columns_of, fields_of, strata
from curate.text.batch import Batch

MADE_FROM: Final = ("document", "made_from")
"""Fields of a generated row's ``meta`` that name the documents it was made of: one hex id, or a list of them."""
REPOSITORY, PACKAGE, BOOK, SITE, FOLDER = "repository", "package", "book", "site", "folder"
KINDS: Final = (REPOSITORY, PACKAGE, BOOK, SITE, FOLDER)
"""Kinds of kin that are no column; see ``kin``."""
_PACKAGE_FIELDS: Final = ("package",)
_BOOK_FIELDS: Final = ("book", "book_id", "isbn")
_SITE_FIELDS: Final = ("site", "domain", "host")
_HOST: Final = r"^(?:https?:)?//(?:[^/?#@\s]*@)?(?:www\.)?(?P<host>[^/?#:@\s]+)"
_CODE_HOSTS: Final = "github\\.com|gitlab\\.com|bitbucket\\.org|codeberg\\.org|raw\\.githubusercontent\\.com"
_HOSTED: Final = rf"^(?:git\+)?(?:https?://|git@|ssh://git@)?(?:www\.)?(?:{_CODE_HOSTS})[/:]"
_REPOSITORY: Final = r"^(?P<name>[^/\s]+/[^/?#\s]+?)(?:\.git)?(?:[/?#].*)?$"
_NOTHING: Final = pa.scalar(None, pa.string())


def kin_columns(group: Sequence[str]) -> frozenset[str]:
    """The columns that a stage must be given for ``kin``, but those of schema.DOCUMENT."""
    return frozenset().union(*(columns_of(name) for name in group if name not in KINDS))


def kin(docs: Batch, group: Sequence[str]) -> list[tuple[str, pa.StringArray]]:
    """Kinds with each document's value, null where it has none; a kind may come several times.

    ``group`` names columns, ``meta.FIELD`` and KINDS. These are read from fields of ``meta`` that corpora use:

    - ``repository``: ``owner/name`` from a field such as ``repo`` or ``repository_name``, or from the URL of a page on a host
      of code. Case, ``.git`` and the host do not count.
    - ``package``: ``package`` without its version (``pypi:faker==40.54.0`` and ``pypi:faker`` are one).
    - ``book``: ``book``, ``book_id`` or ``isbn``.
    - ``site``: ``site``, ``domain`` or ``host``, or the host of a URL that is no host of code, without ``www.``
    - ``folder``: the first folder of a document's origin, for ``read.code`` over checkouts that lie side by side.
    """
    wanted = [name for name in group if name in KINDS]
    names = tuple(sorted({f for kind in wanted for f in _FIELDS.get(kind, ())}))
    found = dict(zip(names, fields_of(docs.column("meta"), names), strict=True)) if names else {}
    pairs: list[tuple[str, pa.StringArray]] = []
    for name in group:
        if name not in KINDS:
            values = strata(docs, name)
            pairs.append((name, pc.if_else(pc.equal(values, NONE), _NOTHING, values)))
        elif name == FOLDER:
            pairs.append((FOLDER, _extracted(docs.column("origin"), r"^(?P<name>[^/#]+)/", "name")))
        else:
            pairs += [(name, _normal(name, field, found[field])) for field in _FIELDS[name]]
    return [(name, values) for name, values in pairs if values.null_count < len(values)]


_FIELDS: Final = {
    REPOSITORY: (*sorted(REPO_FIELDS), *sorted(URL_FIELDS - REPO_FIELDS)),
    PACKAGE: _PACKAGE_FIELDS,
    BOOK: _BOOK_FIELDS,
    SITE: (*_SITE_FIELDS, *sorted(URL_FIELDS)),
}


def _normal(kind: str, field: str, values: pa.StringArray) -> pa.StringArray:
    """Values of a field of ``meta`` in the form in which they are compared; null for what is none of the kind."""
    if values.null_count == len(values):
        return values
    values = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    values = pc.if_else(pc.equal(values, ""), _NOTHING, values)
    if kind == REPOSITORY:
        hosted = pc.match_substring_regex(values, _HOSTED)
        # A page on another host has a path, too: only fields of repositories may leave the host out.
        may = pc.or_(hosted, pc.invert(pc.match_substring(values, "://"))) if field in REPO_FIELDS else hosted
        names = _extracted(pc.replace_substring_regex(values, _HOSTED, ""), _REPOSITORY, "name")
        return pc.if_else(may, names, _NOTHING)
    if kind == PACKAGE:
        return pc.replace_substring_regex(values, "==.*$", "")
    if kind == SITE and field in URL_FIELDS:
        hosts = _extracted(values, _HOST, "host")
        return pc.if_else(pc.match_substring_regex(hosts, f"^(?:{_CODE_HOSTS})$"), _NOTHING, hosts)
    if kind == SITE:
        # A "domain" without a dot is a field of knowledge.
        return _extracted(values, r"^(?:https?://)?(?:www\.)?(?P<host>[^/?#:@\s]+\.[^/?#:@\s]+)", "host")
    return values


def _extracted(values: pa.Array, pattern: str, name: str) -> pa.StringArray:
    return pc.struct_field(pc.extract_regex(values, pattern), name)


# -- what documents were made of ------------------------------------------------------------------------------


def made_from(meta: str | None) -> list[bytes]:
    """Ids of the documents that a generated row was made of, as its ``meta`` says."""
    try:
        value: Any = orjson.loads(meta or "{}")
    except orjson.JSONDecodeError:
        return []
    said = [value.get(name) for name in MADE_FROM] if isinstance(value, dict) else []
    ids = [one for each in said for one in (each if isinstance(each, list) else [each])]
    hexes = [one for one in ids if isinstance(one, str) and len(one) == 2 * schema.ID_BYTES]
    return [bytes.fromhex(one) for one in hexes if re.fullmatch("[0-9a-fA-F]+", one)]


def parents(docs: Batch) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Which rows were made of which documents: int64[m] rows, and the ids (binary16) of what they were made of.

    Only rows whose ``meta`` has such a field are parsed: a source's rows have none.
    """
    meta = docs.column("meta")
    may = pc.or_(*(pc.match_substring(meta, f'"{name}"') for name in MADE_FROM))
    at = np.flatnonzero(np.asarray(pc.fill_null(may, False)))
    said = [made_from(one) for one in meta.take(pa.array(at)).to_pylist()]
    rows = np.repeat(at, [len(ids) for ids in said]).astype(np.int64)
    return rows, pa.array([one for ids in said for one in ids], schema.ID_TYPE)
