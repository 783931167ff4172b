"""``redact.pii``: personal data out of texts and of what lies beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate.errors import did_you_mean
from curate.stages.answered import MESSAGES, QUERY, USER, query_id, without_drawn
from curate.stages.base import Context, Filter, Signals
from curate.stages.reading_documents import meta_json, meta_object, strings
from curate.stages.registry import register
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.text.personal import Found

_KINDS: Final = ("email", "phone", "ip", "card", "iban", "ssn", "secret")
_NAMES: Final[Mapping[str, str]] = {
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "ip": "IP_ADDRESS",
    "card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "ssn": "US_SSN",
    "secret": "SECRET",
}
"""As Presidio calls them (presidio-analyzer's entities); a secret is none of its kinds."""
_SHORTEST: Final = 7
"""Bytes of the shortest string that may hold any."""
_DIGEST_BYTES: Final = 8


class _Seen(NamedTuple):
    """What was found in a batch.

    Attributes:
        text: in its texts.
        metas: each row's meta as values; None where nothing of it changes.
        leaves: all strings of those, as one array; ``meta`` what was found in them.
        counts: int64[n], how many stand in each row's meta.
        fields: of ``drop`` and ``hash`` each path, and how many rows have it.
    """

    text: Found
    metas: list[dict[str, Any] | None]
    leaves: pa.LargeStringArray
    meta: Found
    counts: np.ndarray
    fields: dict[str, int]


@register("redact.pii")
class RedactPii(Filter):
    """Put a word in the place of personal data, in texts and in all strings of their `meta`, names of fields among them.

    `meta.query`, which stands for what was asked, is made anew of what is left: it would tell what was there to who guesses it.

    Kinds: `email`; `phone` (international, North American, French, British and German forms, and any number that
    stands behind a word as tel or call me); `ip` (global addresses of both versions); `card` (by issuer, length and
    Luhn's check); `iban` (by country, length and mod 97); `ssn` (US social security numbers); `secret` (keys of
    OpenAI, Anthropic, AWS, GitHub, GitLab, Google, Hugging Face, npm, PyPI, SendGrid, Slack, Stripe, DigitalOcean;
    JSON web tokens; private key blocks; passwords in URLs). `<EMAIL_ADDRESS>` and the like take their place.
    Names, streets and birthdays are not found.

    What is nobody's stays unless `reserved`: example.com, 192.168.0.1, 555-0100, test numbers of cards. `drop` and
    `hash` are for fields of `meta` that name somebody, as a user's id in a log; a run counts the rows in which each
    was, and says which were in none. Texts from before this step are shown by no report; how much was taken, by
    kind, are its signals.
    """

    revision: ClassVar[int] = 4
    # Pseudonyms depend on the seed.
    seeded: ClassVar[bool] = True
    hides: ClassVar[bool] = True
    signals: ClassVar[Mapping[str, pa.DataType]] = dict.fromkeys((*_KINDS, "in_meta"), pa.int64())
    decide_settings: ClassVar = frozenset({"placeholder", "drop", "hash"})

    kinds: list[str] = Field(list(_KINDS), min_length=1, description="what is taken out")
    reserved: bool = Field(
        False, description="take out, too, what is set apart for examples, tests, fiction and private networks"
    )
    placeholder: str = Field(
        "<{kind}>", description="what is put in its place; {kind} stands for EMAIL_ADDRESS and the like"
    )
    drop: list[str] = Field([], description="fields of `meta`, or dotted paths, that go: request.user, ip")
    hash: list[str] = Field(
        [], description="fields of `meta` that become pseudonyms: equal ones of equal values, under the recipe's seed"
    )

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: list[str]) -> list[str]:
        for kind in kinds:
            if kind not in _KINDS:
                raise ValueError(f"there is no kind '{kind}'; {did_you_mean(kind, _KINDS)}")
        return kinds

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """How many of each kind stand in each text, and how many of all in its meta."""
        seen = self._seen(docs)
        counts = seen.text.counts()
        found: dict[str, pa.Array] = {kind: pa.array(counts[:, number]) for number, kind in enumerate(_KINDS)}
        return {**found, "in_meta": pa.array(seen.counts)}

    def edits(self) -> bool:
        """Always."""
        return True

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The texts with words in place of what was found."""
        from curate.text.personal import replaced

        return replaced(docs.text, self._seen(docs).text, self._word)

    def edits_meta(self) -> bool:
        """Always."""
        return True

    def edit_meta(self, docs: Batch, ctx: Context) -> pa.Array:
        """The same of all strings in ``meta``, without what is dropped, with pseudonyms for what is hashed."""
        from curate.text.personal import replaced

        seen, texts = self._seen(docs), self.edit(docs, ctx)
        leaves = iter(replaced(seen.leaves, seen.meta, self._word).to_pylist())
        key = ctx.key("pii") if self.hash else 0
        made: list[bytes] = []
        changed = np.zeros(len(docs), np.bool_)
        for row, fields in enumerate(seen.metas):
            if fields is None:
                continue
            # Of what was there: addresses of two people are one word now.
            named = [(path, _pseudonym(fields, path, key)) for path in self.hash]
            other = _with_strings(fields, leaves)
            for path in self.drop:
                owner, name = _owner(other, path)
                if owner is not None:
                    del owner[name]
            for path, pseudonym in named:
                owner, name = _owner(other, path)
                if owner is not None:
                    owner[name] = pseudonym
            if QUERY in other:
                other[QUERY] = _asked(other, str(texts[row]))
            made.append(meta_json(other))
            changed[row] = True
        metas = docs.column("meta")
        return pc.replace_with_mask(metas, pa.array(changed), strings(made)) if made else metas

    def fields_found(self, docs: Batch) -> Mapping[str, int]:
        """Of each path of ``drop`` and ``hash`` the rows that have it."""
        return self._seen(docs).fields

    def _word(self, kind: str) -> str:
        return self.placeholder.replace("{kind}", _NAMES[kind])

    def _seen(self, docs: Batch) -> _Seen:
        # Measured and edited at once; the batch keeps it from one to the other.
        return docs.view(f"pii {self.kinds} {self.reserved} {self.drop} {self.hash}", lambda: self._look(docs))

    def _look(self, docs: Batch) -> _Seen:
        from curate.text.personal import find

        metas: list[dict[str, Any] | None] = []
        leaves: list[str] = []
        sizes: list[int] = []
        for meta in docs.column("meta").to_pylist():
            before = len(leaves)
            fields = None
            if meta is not None and len(meta) >= _SHORTEST:
                fields = meta_object(meta)
                _strings(fields, leaves)
            metas.append(fields)
            sizes.append(len(leaves) - before)
        array = _array(leaves)
        found = find(array, self.kinds, reserved=self.reserved)
        owner = np.repeat(np.arange(len(docs)), sizes)
        counts = np.bincount(owner[found.row], minlength=len(docs)).astype(np.int64)
        text = find(docs.text, self.kinds, reserved=self.reserved)
        told = np.bincount(text.row, minlength=len(docs)) > 0
        named = {
            path: [row for row, of in enumerate(metas) if of is not None and _holds(of, path)] for path in self._paths()
        }
        goes = np.zeros(len(docs), np.bool_)
        for rows in named.values():
            goes[rows] = True
        there = [
            counts[row] > 0 or goes[row] or (told[row] and fields is not None and QUERY in fields)
            for row, fields in enumerate(metas)
        ]
        if not all(there):
            # Of the others nothing is written anew, so nothing of them is walked through again.
            array, found = _only(
                array, found, np.array(there, np.bool_)[owner] if len(owner) else np.zeros(0, np.bool_)
            )
            metas = [fields if has else None for fields, has in zip(metas, there, strict=True)]
        return _Seen(text, metas, array, found, counts, {path: len(rows) for path, rows in named.items()})

    def _paths(self) -> tuple[str, ...]:
        return (*self.drop, *self.hash)


def _only(leaves: pa.LargeStringArray, found: Found, keep: np.ndarray) -> tuple[pa.LargeStringArray, Found]:
    """Some of the strings, with what stands in them: all that was found stands in those."""
    number = np.cumsum(keep) - 1
    return leaves.filter(pa.array(keep)), found._replace(row=number[found.row], rows=int(keep.sum()))


def _array(strings_: list[str]) -> pa.LargeStringArray:
    try:
        return pa.array(strings_, pa.large_string())
    except UnicodeEncodeError:  # lone surrogates, which JSON can write
        return pa.array([one.encode("utf-8", "replace").decode() for one in strings_], pa.large_string())


def _plain(name: str) -> bool:
    """Whether a field's name is a word, as most are: nothing that is looked for is of small letters alone."""
    return name.isalpha() and name.islower()


def _strings(value: Any, into: list[str]) -> None:
    """All strings in a value, in order, names of fields that are not plain before what the fields hold."""
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, dict):
        for name, one in value.items():
            if not _plain(name):
                into.append(name)
            _strings(one, into)
    elif isinstance(value, list):
        for one in value:
            _strings(one, into)


def _with_strings(value: Any, strings_: Any) -> Any:
    """The value with other strings, in the order of ``_strings``."""
    if isinstance(value, str):
        return next(strings_)
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for name, one in value.items():
            said = name if _plain(name) else next(strings_)
            while said in made:  # two names that became one word
                said = f"{said} {len(made) + 1}"
            made[said] = _with_strings(one, strings_)
        return made
    if isinstance(value, list):
        return [_with_strings(one, strings_) for one in value]
    return value


def _asked(fields: dict[str, Any], text: str) -> str:
    """What stands for a query: of the chat, or of the text where there is none. What it was where the chat is none."""
    messages = fields.get(MESSAGES)
    if messages is None:
        return query_id([{"role": USER, "content": text}])
    try:
        return query_id(without_drawn(messages, fields))
    except (TypeError, KeyError, AttributeError):
        return str(fields[QUERY])


def _owner(fields: dict[str, Any], path: str) -> tuple[dict[str, Any] | None, str]:
    """The object that holds what a path names, and its name there; a name with dots in it is tried first."""
    if path in fields:
        return fields, path
    *way, name = path.split(".")
    value: Any = fields
    for step in way:
        value = value.get(step) if isinstance(value, dict) else None
    return (value, name) if isinstance(value, dict) and name in value else (None, name)


def _holds(fields: dict[str, Any], path: str) -> bool:
    return _owner(fields, path)[0] is not None


def _pseudonym(fields: dict[str, Any], path: str, key: int) -> str | None:
    """What stands for a field's value; null of null, or where there is none."""
    owner, name = _owner(fields, path)
    if owner is None or owner[name] is None:
        return None
    said = meta_json({"": owner[name]})
    return hashlib.blake2b(said, key=key.to_bytes(8, "little"), digest_size=_DIGEST_BYTES).hexdigest()
