"""One request to a model, its key, and its answer: plain values, known to everybody who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["chat", "embeddings"]


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        messages: chat messages, each a mapping with ``role`` and ``content``; of ``embeddings`` one, the text itself.
        family: name of the prompt family, for accounts per family.
        draw: which draw of the same prompt this is: equal prompts with different draws are different requests.
        max_tokens: limit of the answer; not part of the key: raising it re-asks only answers that were cut.
        sampling: temperature, top_p, seed, stop, ...: part of the key.
        subject: what the asker needs to make sense of the answer (topic, id of the document shown); not sent.
        kind: ``chat`` asks for an answer, ``embeddings`` for the vector of a text; part of the key.
    """

    messages: tuple[Mapping[str, str], ...]
    family: str
    draw: int
    max_tokens: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    subject: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "chat"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        key: key of the request in the journal (32 hex digits).
        text: the content; of ``embeddings`` the vector, as ``curate.llm.embedding`` writes it.
        finish_reason: ``stop``, ``length``, ``content_filter``, ...
        model: declared id of the model.
        prompt_tokens, completion_tokens: as the server counted them, else as estimated.
        licence: terms of the model's outputs, as the recipe declares them.
        dollars: US dollars it was charged when it was bought.
    """

    key: str
    text: str
    finish_reason: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    licence: str
    dollars: float = 0.0
