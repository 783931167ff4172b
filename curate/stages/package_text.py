"""Files of packages as text: what is packed is unpacked, pages lose their markup, notebooks their outputs.

======================= ==================================================================================
.gz, .dz                what is in it, by the name without it (at most MAX_FILE_BYTES)
.html, .htm, .xhtml     the page's main content, by resiliparse (``pip install 'phi-curate[packages]'``)
.docbook, .page, .utf8  its text, as that of a page (DocBook, Mallard, Stellarium's descriptions)
.ipynb                  text and code cells in their order, without outputs
no suffix               words without their tags, where it is a tagged corpus (``The/at jury/nn said/vbd ./.``)
anything else           as it is: UTF-8, else Latin-1
======================= ==================================================================================
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import PurePosixPath
from typing import Final

from curate.errors import InputError
from curate.stages.package_archives import MAX_FILE_BYTES

_PAGES: Final = (".html", ".htm", ".xhtml")
_BLOCKS: Final = {
    "para": "p",
    "simpara": "p",
    "title": "h2",
    "programlisting": "pre",
    "screen": "pre",
    "listitem": "li",
}
_BLOCK: Final = re.compile(rf"<(/?)({'|'.join(_BLOCKS)})\b[^>]*>")

_TAGGED: Final = re.compile(r"(\S+)/[a-z$*+'`.,:()-]+")
"""A word of a tagged corpus; the slash before its tag is the last one."""
_SAMPLE: Final = 4_000
_LEAST_WORDS: Final = 100


class NoText(Exception):  # noqa: N818 - not an error: the file is set aside
    """Why a file has no text."""


def text_of(path: str, raw: bytes) -> str:
    """The text of a file; raises NoText for one that is not what its name says, InputError without resiliparse."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in (".gz", ".dz"):
        return text_of(path.removesuffix(PurePosixPath(path).suffix), _gunzip(raw))
    if suffix in _PAGES:
        return _page(_decoded(raw), main=True)
    if suffix in (".docbook", ".page", ".utf8"):
        return _page(_BLOCK.sub(lambda m: f"<{m[1]}{_BLOCKS[m[2]]}>", _decoded(raw)), main=False)
    if suffix == ".ipynb":
        return _notebook(raw)
    text = _decoded(raw)
    return _untagged(text) if not suffix and _is_tagged(text) else text


def _decoded(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\0" in text:
        raise NoText("binary: it holds a zero byte")
    return text.replace("\r\n", "\n")


def _is_tagged(text: str) -> bool:
    words = text[:_SAMPLE].split()[:-1]
    return len(words) >= _LEAST_WORDS and all(map(_TAGGED.fullmatch, words))


def _untagged(text: str) -> str:
    words = _TAGGED.sub(r"\1", text).replace("``", '"').replace("''", '"')
    words = re.sub(r'" ([^"\n]*?) "', r'"\1"', words)
    return re.sub(r" ([.,;:?!)])(?=\s)", r"\1", words).replace("( ", "(").replace("\t", "")


def _gunzip(raw: bytes) -> bytes:
    state = zlib.decompressobj(wbits=31)
    try:
        data = state.decompress(raw, MAX_FILE_BYTES + 1)
    except zlib.error as error:
        raise NoText(f"not gzip: {error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise NoText(f"unpacks to more than {MAX_FILE_BYTES >> 20} MiB")
    if not state.eof:
        raise NoText("cut off")
    return data


def _page(html: str, *, main: bool) -> str:
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ImportError:
        raise InputError(
            "pages of packages are read with resiliparse, which is not installed",
            cure="pip install 'phi-curate[packages]' (in a checkout: pip install -c constraints.txt '.[packages]')",
        ) from None
    return str(extract_plain_text(html, main_content=main, alt_texts=False, links=False, noscript=False))


def _notebook(raw: bytes) -> str:
    try:
        cells = json.loads(raw)["cells"]
        sources = [(str(cell.get("cell_type")), cell.get("source", "")) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NoText("no notebook") from None
    parts = []
    for kind, source in sources:
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        parts.append(f"```\n{text}\n```" if kind == "code" else text)
    return "\n\n".join(part for part in parts if part.strip())
