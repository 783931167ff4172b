"""What was streamed as a response, put together: chunks of OpenAI's chats and completions, events of its Responses and of Anthropic's Messages.

A stream is whole if it says why it ended, or that it did (``[DONE]``); what broke off is ``BROKEN_OFF``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from curate.stages.chat_messages import BROKEN_OFF, TEXTS, kind_of

__all__ = ["are_chunks", "events", "put_together"]

_DONE: Final = "[DONE]"
_EVENTS: Final = re.compile(
    r"\ufeff?(?:(?:(?::|event:|id:|retry:)[^\n]*|[ \t\r]*)\n)*+data: ?(?:\{|\[DONE\])"
    r"|(?:: [^\n]*\n\r?\n)+\Z"  # it broke off while there were only signs of life
)
"""How a body of server-sent events begins."""
_MESSAGES: Final = frozenset({"message_start", "content_block_start", "content_block_delta", "message_delta"})
"""Events of Anthropic's Messages that bear on an answer."""


def events(body: str) -> list[Any] | None:
    """The chunks that a body of server-sent events holds, up to the first that is no JSON; None: it is no such body."""
    if not _EVENTS.match(body):
        return None
    found: list[Any] = []
    for lines in _event_lines(body):
        try:
            found += [_chunk(line) for line in lines]
        except orjson.JSONDecodeError:
            try:  # one chunk may be written in several lines
                found.append(_chunk("\n".join(lines)))
            except orjson.JSONDecodeError:
                break
    return found


def _event_lines(body: str) -> Iterator[list[str]]:
    """The lines of data of each event."""
    data: list[str] = []
    # Not splitlines: a string of JSON may have a separator of Unicode in it.
    for line in body.removeprefix("\ufeff").split("\n"):
        line = line.removesuffix("\r")
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").strip(" "))
        elif not line and data:
            yield data
            data = []
    if data:
        yield data


def _chunk(data: str) -> Any:
    return data if data == _DONE else orjson.loads(data)


def are_chunks(found: Sequence[Any]) -> bool:
    """Whether a list is what was streamed, and not some list."""
    return any(isinstance(chunk, Mapping) and (_deltas(chunk) or _is_event(chunk)) for chunk in found)


def _deltas(chunk: Mapping[str, Any]) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(c, Mapping) and isinstance(c.get("delta"), Mapping) for c in choices
    )


def _is_event(chunk: Mapping[str, Any]) -> bool:
    return (kind := kind_of(chunk)) in _MESSAGES or kind.startswith("response.")


def put_together(chunks: Sequence[Any]) -> Mapping[str, Any]:
    """The response that was streamed in chunks, as if it had not been."""
    objects = [chunk for chunk in chunks if isinstance(chunk, Mapping)]
    failed = next((chunk for chunk in objects if chunk.get("error") or kind_of(chunk) == "error"), None)
    if failed is not None:
        return {"error": failed.get("error") or failed}
    if any(kind_of(chunk) in _MESSAGES for chunk in objects):
        return _of_blocks(objects)
    if any(kind_of(chunk).startswith("response.") for chunk in objects):
        wholes = [whole for chunk in objects if isinstance(whole := chunk.get("response"), Mapping)]
        return wholes[-1] if wholes else {"output": [], "status": "incomplete"}
    model = next((name for chunk in objects if (name := chunk.get("model"))), None)
    return {"model": model, "choices": _of_choices(objects, "stop" if _DONE in chunks else BROKEN_OFF)}


def _of_choices(chunks: Sequence[Mapping[str, Any]], otherwise: str) -> list[dict[str, Any]]:
    """OpenAI's choices, each with its deltas put together; those that do not say why they ended did so ``otherwise``."""
    found: dict[int, dict[str, Any]] = {}
    pieces: dict[int, list[str]] = {}
    for chunk in chunks:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            number = choice.get("index", 0) if isinstance(choice, Mapping) else None
            if not isinstance(number, int):
                continue
            delta = choice.get("delta")
            if not isinstance(delta, Mapping):
                delta = {"content": choice["text"]} if isinstance(choice.get("text"), str) else None
            if delta is None:
                continue
            here = found.setdefault(number, {"message": {}, "finish_reason": None})
            if isinstance(delta.get("content"), str):
                pieces.setdefault(number, []).append(delta["content"])
            for name in ("refusal", "tool_calls", "function_call"):
                if delta.get(name):
                    here["message"][name] = delta[name]
            here["finish_reason"] = choice.get("finish_reason") or here["finish_reason"]
    for number, here in found.items():
        here["message"]["content"] = "".join(pieces.get(number, ()))
        here["finish_reason"] = here["finish_reason"] or otherwise
    return [found[number] for number in sorted(found)]


def _of_blocks(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Anthropic's message of its blocks."""
    message: dict[str, Any] = {}
    stopped: Any = None
    blocks: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        start, block, delta = (chunk.get(name) for name in ("message", "content_block", "delta"))
        number = chunk.get("index", 0)
        if isinstance(start, Mapping):
            message = dict(start)
        if isinstance(delta, Mapping) and delta.get("stop_reason"):
            stopped = delta["stop_reason"]
        if not isinstance(number, int):
            continue
        if isinstance(block, Mapping):
            blocks[number] = {**block, "text": [block["text"]] if isinstance(block.get("text"), str) else []}
        if kind_of(delta) == "text_delta" and isinstance(delta, Mapping) and isinstance(delta.get("text"), str):
            blocks.setdefault(number, {"type": "text", "text": []})["text"].append(delta["text"])
    for block in blocks.values():
        text = block.pop("text")
        if kind_of(block) in TEXTS:
            block["text"] = "".join(text)
    return {**message, "content": [blocks[number] for number in sorted(blocks)], "stop_reason": stopped or BROKEN_OFF}
