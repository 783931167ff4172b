"""Responses of endpoints: what is one, and the answers in it.

A response may be an object, its text, or what was streamed; each may also be written into a string. A string that is JSON is
only looked into if it has the shape of an endpoint's body: an answer in JSON is an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from curate.stages.answered import ASSISTANT
from curate.stages.chat_messages import NotRead, answer_of, kind_of, stops
from curate.stages.chat_streams import are_chunks, events, put_together

__all__ = ["answers_of", "opened", "parsed"]

_JSON: Final = re.compile(r"\s*[{\[]")
_OBJECTS: Final = frozenset({"chat.completion", "chat.completion.chunk", "text_completion", "response"})
"""What OpenAI's bodies call themselves."""
_OF_MESSAGES: Final = frozenset(
    {
        "role",
        "content",
        "refusal",
        "annotations",
        "audio",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "function_call",
        "name",
    }
)
"""Fields of a message by an assistant: an object with others is none."""


def parsed(value: Any) -> Any:
    """What a string holds as JSON, an object or an array; anything else as it is."""
    if not isinstance(value, str) or not _JSON.match(value):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def opened(response: Any) -> Any:
    """A response as an object, whether it came in a string or in a stream; an answer's text as it is."""
    if isinstance(response, str):
        chunks = events(response)
        if chunks is not None:
            return put_together(chunks)
        inside = parsed(response)
        if not _is_body(inside):
            return response
        response = inside
    return put_together(response) if isinstance(response, list) else response


def _is_body(inside: Any) -> bool:
    """Whether what a string holds has the shape of an endpoint's response, rather than being an answer in JSON."""
    if isinstance(inside, list):
        return are_chunks(inside)
    if not isinstance(inside, Mapping):
        return False
    choices, output, content, error = (inside.get(name) for name in ("choices", "output", "content", "error"))
    named = isinstance(name := inside.get("object"), str) and name in _OBJECTS
    if isinstance(choices, list):
        return named or any(_is_choice(choice) for choice in choices)
    if isinstance(output, list):
        return named or any(kind_of(item) == "message" and isinstance(item.get("content"), list) for item in output)
    if isinstance(content, list) and any(kind_of(part) for part in content):
        return kind_of(inside) == "message" or inside.get("role") == ASSISTANT or "stop_reason" in inside
    if isinstance(error, Mapping):
        return isinstance(error.get("message"), str) and "type" in error
    if "status_code" in inside and "body" in inside:
        return True
    return inside.get("role") == ASSISTANT and _OF_MESSAGES.issuperset(inside)


def _is_choice(choice: Any) -> bool:
    if not isinstance(choice, Mapping):
        return False
    message, text = choice.get("message"), choice.get("text")
    if isinstance(message, Mapping):
        return "role" in message or "content" in message
    return isinstance(choice.get("delta"), Mapping) or (isinstance(text, str) and "finish_reason" in choice)


def answers_of(response: Any, stopped: Any = None) -> list[str | NotRead]:
    """One answer for each choice of a response that is ``opened``, in order.

    Args:
        stopped: why it ended, where that is said beside the response; what the response says comes first.
    """
    if isinstance(response, str):
        return [answer_of({"content": response}, stopped)]
    if not isinstance(response, Mapping):
        return [NotRead("no_answer", "the response is neither an object nor text")]
    if response.get("error"):
        return [NotRead("failed", "an error in place of an answer")]
    if isinstance(choices := response.get("choices"), list):
        return [_choice(choice, stopped) for choice in choices]
    if isinstance(output := response.get("output"), list):
        details, status = response.get("incomplete_details"), response.get("status")
        if status == "failed":
            return [NotRead("failed", "an error in place of an answer")]
        reason = details.get("reason") if isinstance(details, Mapping) else None
        unfinished = status if status != "completed" else None
        words = (*stops(response), reason, unfinished, stopped)
        return [answer_of({"content": _output(output)}, next((word for word in words if word), None))]
    stopped = next(iter(stops(response)), stopped)
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


def _choice(choice: Any, stopped: Any) -> str | NotRead:
    if not isinstance(choice, Mapping):
        return NotRead("no_answer", "a choice is no object")
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}
    return answer_of(message, next(iter(stops(choice)), stopped))
