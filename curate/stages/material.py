"""What a generator asks about, read from the documents of earlier steps: topics, outlines, and extracts as seeds.

What ``generate.topics`` and ``generate.outlines`` write says so in ``meta.generated``; every other document is a seed: an
extract of it is shown to the model, as data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate.quality.sample import Smallest
from curate.stages.judge_prompts import mark_of
from curate.stages.judge_view import view
from curate.stages.stated import terms_of
from curate.text.batch import Batch

GENERATED: Final = "generated"
"""Field of ``meta`` that says what a document is to later generators: ``topic`` or ``outline``."""
_LOOKED_AT: Final = 40_000
"""Characters of a document from which an extract is taken."""
_PARAGRAPH: Final = re.compile(r"(?:\A|\n[ \t]*\n)(?=\S)")
_END: Final = re.compile(r"[.!?。！？][\"')\]»”]{0,3}(?=\s|\Z)|(?<=[。！？])")


@dataclass(frozen=True)
class Told:
    """One thing to write about.

    Attributes:
        topic, chapter, about: what it is, what it belongs to, what to explain.
        audience, style: where they are settled already (a section's are its outline's); else empty.
        more: further values for prompts (``title``, ``section``, ``outline``, ``before``), plain text.
        facts: what the record keeps of it.
        made_from: the document that it comes from, by hex id, with its terms; empty for what a file lists.
    """

    topic: str
    chapter: str
    about: str
    audience: str = ""
    style: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    made_from: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells it from others."""
        return "\x1f".join((self.chapter, self.topic, self.about, *self.more.values()))


@dataclass(frozen=True)
class Seed:
    """A document of which an extract is shown: its hex id, the first characters of its text, its terms."""

    id: str
    text: str
    terms: str


@dataclass(frozen=True)
class Material:
    """What was read: topics in order of their ids, sections of outlines, and the seeds with the smallest keyed hashes."""

    topics: tuple[Told, ...] = ()
    sections: tuple[Told, ...] = ()
    seeds: tuple[Seed, ...] = ()


def read_material(docs: Iterable[Batch], seeds: int, key: int) -> Material:
    """Material of documents; at most so many seeds, drawn by keyed hash of their ids."""
    from curate.text.hashing import keyed_hash

    made: dict[str, list[tuple[bytes, str, str]]] = {"topic": [], "outline": []}
    sample = Smallest(rows=max(seeds, 1))
    for batch in docs:
        rows = batch.rows.select(["id", "text", "meta"])
        kinds = {kind: pc.match_substring(rows.column("meta"), f'"{GENERATED}":"{kind}"') for kind in made}
        for kind, found in kinds.items():
            some = rows.filter(found)
            made[kind] += zip(*(some.column(name).to_pylist() for name in some.schema.names), strict=True)
        others = pc.and_(pc.invert(pc.or_(*kinds.values())), pc.greater(pc.binary_length(rows.column("text")), 0))
        rest = rows.filter(others)
        if seeds and rest.num_rows:
            short = pc.utf8_slice_codeunits(rest.column("text"), 0, _LOOKED_AT)
            table = pa.table({"id": rest.column("id"), "text": short, "meta": rest.column("meta")})
            sample.add(table, keyed_hash(rest.column("id"), key))
    held = sample.rows() if seeds else None
    drawn = held.select(["id", "text", "meta"]).to_pylist() if held is not None else []
    topics = [_topic(one.hex(), text, orjson.loads(meta)) for one, text, meta in sorted(made["topic"])]
    sections = [s for one, _, meta in sorted(made["outline"]) for s in _sections(one.hex(), orjson.loads(meta))]
    return Material(
        tuple(topics),
        tuple(sections),
        tuple(Seed(row["id"].hex(), row["text"], terms_of(orjson.loads(row["meta"]))) for row in drawn),
    )


def _topic(document: str, text: str, meta: Mapping[str, Any]) -> Told:
    path = [str(p) for p in meta.get("path", [])]
    return Told(
        topic=text.strip(),
        chapter=path[-1] if path else text.strip(),
        about=str(meta.get("about") or text.strip()),
        facts={"path": path},
        made_from={document: terms_of(meta)},
    )


def _sections(document: str, meta: Mapping[str, Any]) -> list[Told]:
    sections = meta.get("sections") or []
    outline = "\n".join(f"{n}. {s['title']}" for n, s in enumerate(sections, 1))
    found = []
    for number, section in enumerate(sections, 1):
        before = sections[number - 2]["title"] if number > 1 else ""
        found.append(
            Told(
                topic=str(meta.get("topic", "")),
                chapter=str(meta.get("chapter", "")),
                about=str(section.get("about") or section["title"]),
                audience=str(meta.get("audience", "")),
                style=str(meta.get("style", "")),
                more={
                    "title": str(meta.get("title", "")),
                    "section": str(section["title"]),
                    "outline": outline,
                    "before": str(before),
                },
                facts={"title": meta.get("title", ""), "section": section["title"], "number": number},
                made_from={document: terms_of(meta)},
            )
        )
    return found


def extract(text: str, limit: int, key: int, salt: str) -> str:
    """At most ``limit`` characters of a text, from the beginning of a paragraph that is drawn, to the end of a sentence."""
    starts = [m.end() for m in _PARAGRAPH.finditer(text)] or [0]
    # A last paragraph of a few words shows nothing.
    enough = [s for s in starts if len(text) - s >= min(limit, len(text)) // 2] or starts[:1]
    digest = hashlib.blake2b(salt.encode(), digest_size=8, key=key.to_bytes(8, "little")).digest()
    start = enough[int.from_bytes(digest, "little") % len(enough)]
    return whole(text[start : start + limit], cut=len(text) > start + limit)


def whole(text: str, *, cut: bool) -> str:
    """A piece of text that was cut, up to its last sentence or at least its last word."""
    if not cut:
        return text.strip()
    ends = [m.end() for m in _END.finditer(text)]
    if ends and ends[-1] >= len(text) // 2:
        return text[: ends[-1]].strip()
    return (re.sub(r"\s+\S*\Z", "", text) or text).strip()


def quoted(text: str, document: str, key: int) -> str:
    """A document as a model is shown it: without hidden characters, marks of chats and sentences that give a model orders,
    between delimiters that its author can not know (``curate.stages.judge_view`` says why)."""
    mark = mark_of(document, key)
    seen = view(text, len(text), ratings=False).text
    return f"<document {mark}>\n{seen}\n</document {mark}>"


def distinct(texts: Sequence[str]) -> list[str]:
    """Texts without repeats, in order."""
    return list(dict.fromkeys(texts))
