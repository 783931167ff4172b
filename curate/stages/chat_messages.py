"""What is said in messages and in responses: roles, contents, answers, and why something is none.

Contents may be lists of parts, of which all must be text: a chat about a picture is set aside, and so is one in which a tool was
called. What a model thought (``thinking``, ``reasoning``) is no part of its answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from curate.stages.answered import ASSISTANT, SYSTEM, USER

__all__ = ["REASONS", "Message", "NotRead", "answer_of", "answers_of", "last", "said"]

REASONS: Final[Mapping[str, str]] = {
    "no_chat": "the record has no field in which a chat, or what was asked, is expected",
    "bad_message": "a message is no object, or its role or its content is none that is known",
    "tool_calls": "a tool was called in the chat: what it gave is no answer in words",
    "not_text": "a message holds something else than text: a picture, sound, a file",
    "no_query": "nobody asked: there is no message by the user, or an empty one",
    "no_answer": "there is no answer, or an empty one",
    "cut_short": "the answer ended where it was allowed no more tokens",
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
_TEXTS: Final = frozenset({"text", "input_text", "output_text"})
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})
_CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens"})
_HELD_BACK: Final = frozenset({"content_filter", "refusal"})
_EVENTS: Final = re.compile(r"(?:event: [^\n]*\n)?data: \{")
"""How a body of server-sent events begins."""

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
    """Messages as {role, content}, the last of them by the user and not empty; raises NotRead."""
    found = [{"role": _role(message), "content": _content(message)} for message in messages]
    if not found or found[-1]["role"] != USER or not found[-1]["content"].strip():
        raise NotRead("no_query", "the last message before the answer is not by the user, or empty")
    return found


def _role(message: Any) -> str:
    if not isinstance(message, Mapping):
        raise NotRead("bad_message", "a message is no object")
    named = _named(message)
    if (role := _ROLES.get(named)) is not None:
        return role
    if named in _TOOLS or _kind(message) in _CALLS:
        raise NotRead("tool_calls", "a message is by a tool")
    raise NotRead("bad_message", f"role {named[:40]!r} is not known")


def _named(message: Mapping[str, Any]) -> str:
    named = message.get("role", message.get("from"))
    return named.lower() if isinstance(named, str) else ""


def _kind(thing: Any) -> str:
    """The type that a message or a part of one says it is of; empty: none."""
    kind = thing.get("type") if isinstance(thing, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _content(message: Mapping[str, Any]) -> str:
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
    kind = _kind(part)
    if kind in _CALLS:
        raise NotRead("tool_calls", "a part of a message is a tool's")
    if kind in _THOUGHTS:
        return None
    if kind in _TEXTS and isinstance(part.get("text"), str):
        return str(part["text"])
    raise NotRead("not_text", f"a part of a message is of the type {kind[:40]!r}")


# -- answers ------------------------------------------------------------------------------------------------


def answers_of(response: Any) -> list[str | NotRead]:
    """One answer for each choice of a response, in order."""
    if isinstance(response, str):
        if not _EVENTS.match(response):
            return [answer_of({"content": response})]
        response = _events(response)
        if response is None:
            return [NotRead("cut_short", "a chunk of what was streamed is no JSON")]
    if isinstance(response, list):
        response = {"choices": _streamed(response)}
    if not isinstance(response, Mapping):
        return [NotRead("no_answer", "the response is neither an object nor text")]
    if response.get("error"):
        return [NotRead("failed", "an error in place of an answer")]
    if isinstance(choices := response.get("choices"), list):
        return [_choice(choice) for choice in choices]
    stopped = response.get("stop_reason") or response.get("finish_reason")
    if isinstance(output := response.get("output"), list):
        details = response.get("incomplete_details")
        stopped = stopped or (details.get("reason") if isinstance(details, Mapping) else None)
        return [answer_of({"content": _output(output)}, stopped)]
    if "content" not in response and isinstance(response.get("text"), str):
        return [answer_of({"content": response["text"]}, stopped)]
    return [answer_of(response, stopped)]


def _output(items: Sequence[Any]) -> list[Any]:
    """The parts of what OpenAI's Responses put out."""
    parts: list[Any] = []
    for item in items:
        inside = item.get("content") if isinstance(item, Mapping) and item.get("type", "message") == "message" else None
        parts += inside if isinstance(inside, list) else [item]
    return parts


def _choice(choice: Any) -> str | NotRead:
    if not isinstance(choice, Mapping):
        return NotRead("no_answer", "a choice is no object")
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}
    return answer_of(message, choice.get("finish_reason"))


def answer_of(message: Any, stopped: Any = None) -> str | NotRead:
    """A message's content, or why it is no answer."""
    if not isinstance(message, Mapping):
        return NotRead("no_answer", "a choice has no message")
    stopped = stopped if isinstance(stopped, str) else None
    if message.get("refusal") or stopped in _HELD_BACK:
        return NotRead("refused", "the endpoint held the answer back")
    try:
        content = _content(message)
    except NotRead as why:
        return why
    if stopped in _CUT:
        return NotRead("cut_short", f"it ended by {stopped!r}")
    return content if content.strip() else NotRead("no_answer", "the answer is empty")


def _events(body: str) -> list[Any] | None:
    """The chunks of a body of server-sent events; None: one of them is no JSON."""
    # Not splitlines: a string of JSON may have a separator of Unicode in it.
    chunks = [line.removeprefix("data: ") for line in body.split("\n") if line.startswith("data: {")]
    try:
        return [orjson.loads(chunk) for chunk in chunks]
    except orjson.JSONDecodeError:
        return None


def _streamed(chunks: Sequence[Any]) -> list[dict[str, Any]]:
    """The choices of streamed chunks, each with its deltas put together."""
    found: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        choices = chunk.get("choices") if isinstance(chunk, Mapping) else None
        for choice in choices if isinstance(choices, list) else []:
            number = choice.get("index", 0) if isinstance(choice, Mapping) else None
            delta = choice.get("delta") if isinstance(choice, Mapping) else None
            if not isinstance(number, int) or not isinstance(delta, Mapping):
                continue
            here = found.setdefault(number, {"message": {"content": []}, "finish_reason": None})
            message = here["message"]
            if isinstance(delta.get("content"), str):
                message["content"].append(delta["content"])
            for name in ("refusal", "tool_calls", "function_call"):
                if delta.get(name):
                    message[name] = delta[name]
            here["finish_reason"] = choice.get("finish_reason") or here["finish_reason"]
    for here in found.values():
        here["message"]["content"] = "".join(here["message"]["content"])
    return [found[number] for number in sorted(found)]
