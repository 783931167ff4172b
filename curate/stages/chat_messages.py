"""What is said in messages: roles, contents, answers, and why something is none.

Contents may be lists of parts, of which all must be text: a chat about a picture is set aside, and so is one in which a tool was
called. What a model thought (``thinking``, ``reasoning``; ``<think>`` at the beginning of what it said) is no part of its answer.
A chat has one system message, its first; others, and a developer's, are joined to it, as what asks again allows no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from curate.stages.answered import ASSISTANT, SYSTEM, USER
from curate.stages.answers import without_thoughts

__all__ = [
    "BROKEN_OFF",
    "REASONS",
    "TEXTS",
    "Message",
    "NotRead",
    "answer_of",
    "content_of",
    "kind_of",
    "last",
    "said",
    "stops",
]

REASONS: Final[Mapping[str, str]] = {
    "no_chat": "the record has no field in which a chat, or what was asked, is expected",
    "bad_message": "a message is no object, or its role or its content is none that is known",
    "tool_calls": "a tool was called in the chat: what it gave is no answer in words",
    "not_text": "a message holds something else than text: a picture, sound, a file",
    "no_history": "the record goes on with a chat that it does not hold (`previous_response_id`)",
    "no_query": "nobody asked: there is no message by the user, or an empty one",
    "no_answer": "there is no answer, or an empty one",
    "cut_short": "the answer is not whole: it was allowed no more tokens, is not done, or what was streamed broke off",
    "refused": "the endpoint held the answer back (`refusal`, `content_filter`)",
    "failed": "the request failed: an error, or a status of 400 or above, in place of an answer",
}

_ROLES: Final = {
    **dict.fromkeys(("user", "human", "prompter"), USER),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "bing", "bard"), ASSISTANT),
    **dict.fromkeys(("system", "developer"), SYSTEM),
}
_TOOLS: Final = frozenset({"tool", "function", "function_call", "function_response", "observation"})
_CALLS: Final = frozenset(
    {"tool_use", "tool_result", "tool_call", "function_call", "function_call_output", "server_tool_use"}
)
TEXTS: Final = frozenset({"text", "input_text", "output_text"})
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})
BROKEN_OFF: Final = "broken_off"
"""Why what was streamed without an end ended."""
_CUT: Final = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded", "pause_turn"}
    | {"in_progress", "queued", "incomplete", "cancelled", "abort", BROKEN_OFF}
)
"""Why an answer ended that is not whole: words of OpenAI, Anthropic, Mistral and vLLM; states of OpenAI's Responses."""
_HELD_BACK: Final = frozenset({"content_filter", "refusal"})

Message = dict[str, str]


@dataclass
class NotRead(Exception):  # noqa: N818 - not an error: the record is set aside
    """Why a record, or one of its answers, is none."""

    reason: str
    detail: str


def last(messages: Sequence[Any], role: str) -> int:
    """The number of the last message in a role; -1: there is none."""
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if isinstance(message, Mapping) and _ROLES.get(_named(message)) == role:
            return number
    return -1


# -- messages -----------------------------------------------------------------------------------------------


def said(messages: Sequence[Any]) -> list[Message]:
    """Messages as {role, content}, the last of them by the user and not empty; raises NotRead.

    What is not empty of what a system says is one message, the first; what is said twice is in it once.
    """
    told: dict[str, None] = {}
    found: list[Message] = []
    for message in messages:
        role, content = _role(message), content_of(message)
        if role == SYSTEM:
            if content.strip():
                told[content] = None
            continue
        found.append({"role": role, "content": without_thoughts(content) if role == ASSISTANT else content})
    if not found or found[-1]["role"] != USER or not found[-1]["content"].strip():
        raise NotRead("no_query", "the last message before the answer is not by the user, or empty")
    return [{"role": SYSTEM, "content": "\n\n".join(told)}, *found] if told else found


def _role(message: Any) -> str:
    if not isinstance(message, Mapping):
        raise NotRead("bad_message", "a message is no object")
    named = _named(message)
    if (role := _ROLES.get(named)) is not None:
        return role
    if named in _TOOLS or kind_of(message) in _CALLS:
        raise NotRead("tool_calls", "a message is by a tool")
    raise NotRead("bad_message", f"role {named[:40]!r} is not known")


def _named(message: Mapping[str, Any]) -> str:
    named = message.get("role", message.get("from"))
    return named.lower() if isinstance(named, str) else ""


def kind_of(thing: Any) -> str:
    """The type that a message or a part of one says it is of; empty: none."""
    kind = thing.get("type") if isinstance(thing, Mapping) else None
    return kind if isinstance(kind, str) else ""


def content_of(message: Mapping[str, Any]) -> str:
    """What a message says; raises NotRead where that is not all text."""
    if message.get("tool_calls") or message.get("function_call"):
        raise NotRead("tool_calls", "the assistant called a tool")
    content = message.get("content", message.get("value"))
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise NotRead("bad_message", "a content is neither text nor a list of parts")
    return "\n".join(text for part in content if (text := _part(part)) is not None)


def _part(part: Any) -> str | None:
    """The text of a part; None of what a model only thought."""
    if isinstance(part, str):
        return part
    kind = kind_of(part)
    if kind in _CALLS:
        raise NotRead("tool_calls", "a part of a message is a tool's")
    if kind in _THOUGHTS:
        return None
    if kind == "refusal":
        raise NotRead("refused", "the model declined")
    if kind in TEXTS and isinstance(part.get("text"), str):
        return str(part["text"])
    raise NotRead("not_text", f"a part of a message is of the type {kind[:40]!r}")


# -- answers ------------------------------------------------------------------------------------------------


def answer_of(message: Any, stopped: Any = None) -> str | NotRead:
    """A message's content, or why it is no answer.

    Args:
        stopped: why it ended, where that is said beside the message and not in it.
    """
    if not isinstance(message, Mapping):
        return NotRead("no_answer", "a choice has no message")
    stopped = next((word.lower() for word in (stopped, *stops(message)) if isinstance(word, str)), None)
    if message.get("refusal") or stopped in _HELD_BACK:
        return NotRead("refused", "the endpoint held the answer back")
    try:
        content = without_thoughts(content_of(message))
    except NotRead as why:
        return why
    if stopped in _CUT:
        return NotRead("cut_short", f"it ended by {stopped!r}")
    return content if content.strip() else NotRead("no_answer", "the answer is empty")


def stops(holder: Mapping[str, Any]) -> list[Any]:
    """Words for why an answer ended that stand in a message, a response or a record."""
    return [word for name in ("finish_reason", "stop_reason") if (word := holder.get(name))]
