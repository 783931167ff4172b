"""System messages as an asset: what a teacher is told before a query, drawn by rules from the query's submix and task.

A file (``data/system-messages/*.yaml``) lists messages, each with an id and a name, and rules; the first rule that fits a query
says which of the messages may be drawn for it. With ``shown`` a record shows another message than the one that was used
(prompt erasing, arXiv 2311.11045).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from curate.errors import InputError
from curate.stages.answered import SUBMIX, TASK
from curate.stages.prompted import pick

__all__ = ["SystemMessage", "SystemMessages", "offers_choices", "read_system_messages"]

_EXAMPLE: Final = "see data/system-messages/orca.yaml"
_MARKED: Final = re.compile(r"(?<!\S)[(\[]?([A-Za-z]|[1-9]|[ivx]{2,4}|[IVX]{2,4})(?:[)\]][.:]?|[.:])[ \t]+\S")
_HEAD: Final = re.compile(
    r"\b(?:(?:options|choices|possible answers|opt)(?: are)?[ \t]*:"
    r"|(?:choose|pick|select)(?: your answer)? from(?: the following[.:]|[ \t]*:))",
    re.IGNORECASE,
)
_BULLET: Final = r"(?:\[[-+]\]|--|[-+*•])"
_ITEM: Final = re.compile(rf"\n[ \t]*{_BULLET}[ \t]*\S")
_INLINE: Final = re.compile(rf"[ \t]+({_BULLET})[ \t]*(?=\S)")
"""Items that follow their head in its line."""
_ORDERS: Final = (["a", "b"], ["1", "2"], ["i", "ii"])


class SystemMessage(BaseModel):
    """One message. An empty ``text``: no system message is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1)
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    text: str = ""
    shown: str | None = None


class _Rule(BaseModel):
    """Which messages may be drawn for queries that it fits: patterns (``*``) of their submix and task, any case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    submix: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    choice: bool | None = None
    messages: tuple[int, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {k: [v] if k in ("submix", "task") and isinstance(v, str) else v for k, v in data.items()}

    def fits(self, query: str, meta: Mapping[str, Any]) -> bool:
        """Whether a query is one of those."""
        for field, patterns in ((SUBMIX, self.submix), (TASK, self.task)):
            value = str(meta.get(field) or "").lower()
            if patterns and not any(fnmatchcase(value, pattern.lower()) for pattern in patterns):
                return False
        return self.choice is None or self.choice == offers_choices(query)


class SystemMessages(BaseModel):
    """One file of them.

    Attributes:
        version: its author's number; the content bears on a step's identity whether the number was raised or not.
        about: one sentence for a reader.
        shown: what records show in place of each message that was used; null: that one. A message may say its own.
        messages: with ids and names that differ.
        rules: the first that fits a query counts; where none does, nothing is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    about: str = Field(min_length=1)
    shown: str | None = None
    messages: tuple[SystemMessage, ...] = Field(min_length=1)
    rules: tuple[_Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> SystemMessages:
        for what in ("id", "name"):
            given = [getattr(message, what) for message in self.messages]
            if twice := next((one for one in given if given.count(one) > 1), None):
                raise ValueError(f"two messages have the {what} '{twice}'")
        known = {message.id for message in self.messages}
        for number, rule in enumerate(self.rules, 1):
            if missing := sorted(set(rule.messages) - known):
                raise ValueError(f"rule {number} names message {missing[0]}, which is not there")
        return self

    def draw(self, query: str, meta: Mapping[str, Any], key: int, salt: str) -> SystemMessage | None:
        """The message for a query: of those that may be, the one with the smallest keyed hash for it, so that one message
        more takes only its share of the queries from the others. None where no rule fits.

        Args:
            query: what the user says.
            meta: of the query; its submix and task are looked at.
            key: of the hash.
            salt: what stands for the query.
        """
        for rule in self.rules:
            if rule.fits(query, meta):
                by_name = {message.name: message for message in self.messages if message.id in rule.messages}
                return by_name[pick(list(by_name), key, salt)]
        return None

    def shows(self, message: SystemMessage) -> str:
        """What a record shows where this one was used."""
        return next((said for said in (message.shown, self.shown) if said is not None), message.text)


def offers_choices(query: str) -> bool:
    """Whether a query is multiple choice, by how it is written.

    Under a head (``Options:``, ``Pick your answer from:``) it has two items with dashes, stars or pluses, or two marked in their
    order, beginning with the first (``(A) ... (B) ...``, ``a).``, ``[1].``, ``i.``); or without a head, beside a question mark,
    such that are marked with letters. That is how FLAN v2 (google-research/FLAN, ``format_options_non_deterministic``) writes
    them, but for dashes and numbers without a head, which lists of any kind have.
    """
    if (head := _HEAD.search(query)) is None:
        return "?" in query and _begins(_marks(query, 0), _ORDERS[0])
    if len(_ITEM.findall(query, head.end())) >= 2 or _inline(query):
        return True
    marks = _marks(query, head.end())
    return any(_begins(marks, order) for order in _ORDERS)


def _inline(query: str) -> bool:
    """Whether a head is followed by two items with the same bullet in its line."""
    for head in _HEAD.finditer(query):
        if first := _INLINE.match(query, head.end()):
            line = query[first.end() : query.find("\n", first.end()) % (len(query) + 1)]
            if re.search(rf"[ \t]{re.escape(first[1])}[ \t]*\S", line):
                return True
    return False


def _marks(query: str, start: int) -> list[str]:
    return [m[1].lower() for m in _MARKED.finditer(query, start)]


def _begins(marks: list[str], order: list[str]) -> bool:
    return any(marks[i : i + len(order)] == order for i in range(len(marks)))


def read_system_messages(path: Path) -> SystemMessages:
    """The messages in a file; raises InputError that names the field that is wrong."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"no file of system messages: {str(error).splitlines()[0]}", place=str(path), cure=_EXAMPLE
        ) from None
    try:
        return SystemMessages.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"no file of system messages: {where}: {first['msg']}", place=str(path), cure=_EXAMPLE
        ) from None
