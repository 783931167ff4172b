"""Answered queries as documents: one form for logs that are read, answers that models write, and what compares them.

=================  ==========================================================================================
``text``           what the user said and what was answered, one after the other, blank lines between; no system message
``meta.messages``  the chat as it is shown to a student: a list of {role, content}, the last by the assistant
``meta.query``     32 hex digits that stand for what was asked: equal for all answers to one query, whoever asked whom. What
                   a log's model was told by a system message is part of it, one that was drawn for an answer is not
``meta.model``     declared id of the model that answered; null or missing: nobody said
``meta.terms``     the terms that the record stands under
``meta.task``      the task that the query is of, where it is known
``meta.submix``    the part of a collection that it is of; of generated answers the query's source, where nothing was said
``meta.score``     a number that the answer was given, where the data has one
``meta.made_from`` the document that was the query, by hex id, where it was one: so a takedown finds its answers
``meta.strategy``  name of the system message that generate.answers drew for the answer, where it drew one
=================  ==========================================================================================

What a teacher was told, where it is not what is shown, stands in ``meta.prompt`` and ``meta.system`` (prompt erasing, arXiv
2311.11045). A *query* is a document, too: its text is what the user says; ``meta.messages``, where it has some, is the chat
so far, the last by the user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = [
    "ASSISTANT",
    "MADE_FROM",
    "MESSAGES",
    "MODEL",
    "QUERY",
    "SCORE",
    "STRATEGY",
    "SYSTEM",
    "TASK",
    "USER",
    "query_id",
    "text_of",
    "without_drawn",
]

MESSAGES: Final = "messages"
QUERY: Final = "query"
MODEL: Final = "model"
TASK: Final = "task"
SCORE: Final = "score"
MADE_FROM: Final = "made_from"
SUBMIX: Final = "submix"
STRATEGY: Final = "strategy"
"""Fields of ``meta``."""
SYSTEM: Final = "system"
USER: Final = "user"
ASSISTANT: Final = "assistant"
"""Roles of messages."""

Message = Mapping[str, str]


def query_id(messages: Sequence[Message]) -> str:
    """What stands for a query: a hash of what was said before the last answer, by the system, too: an answer under "Translate
    to German." is none to what was asked under "Translate to French.". An empty system message says nothing."""
    asked = [m for m in messages if m["role"] != SYSTEM or m["content"].strip()]
    if asked and asked[-1]["role"] == ASSISTANT:
        asked = asked[:-1]
    digest = hashlib.blake2b(digest_size=16)
    for message in asked:
        for part in (message["role"], message["content"]):
            said = part.encode()
            digest.update(len(said).to_bytes(8, "little") + said)
    return digest.hexdigest()


def without_drawn(messages: Sequence[Message], meta: Mapping[str, Any]) -> Sequence[Message]:
    """A chat without the system message that generate.answers drew for its answer, as ``meta`` says: it is none of the
    query's, whose answers under other ones are answers to the same query."""
    drawn = STRATEGY in meta and MADE_FROM in meta
    return messages[1:] if drawn and messages and messages[0]["role"] == SYSTEM else messages


def text_of(messages: Sequence[Message]) -> str:
    """The text of a chat: what was said in it, without system messages."""
    return "\n\n".join(m["content"] for m in messages if m["role"] != SYSTEM)
