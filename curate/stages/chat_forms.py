"""Records of chats as people have them, and what was asked and answered in each.

========== ====================================================================================================
form       a record is
========== ====================================================================================================
request    ``{request: {model, messages}, response: {choices, model}}``; ``body`` for ``request``, ``response.body`` as batch
           files have it; the fields of either beside each other; requests and responses of OpenAI's chat completions and
           Responses and of Anthropic's Messages; a response may be its text, or what was streamed (chunks, or their lines);
           each may be JSON in a string
messages   ``{messages: [{role, content}]}``, ShareGPT's ``{conversations: [{from, value}]}``, ``{conversation: [...]}``; with
           or without an answer beside it
columns    ``instruction``, ``input`` and ``output``, or other names of what was asked and answered
========== ====================================================================================================

A system message may stand beside messages and columns (``system``, ``system_prompt``), and so may why the answer ended
(``finish_reason``, ``stop_reason``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from curate.stages.answered import ASSISTANT, SYSTEM, USER
from curate.stages.chat_messages import Message, NotRead, answer_of, content_of, last, said, stops
from curate.stages.chat_responses import answers_of, opened, parsed

__all__ = ["Exchange", "Fields", "at", "exchange"]

_REQUESTS: Final = ("request", "body")
_CHATS: Final = ("messages", "conversations", "conversation")
_SYSTEMS: Final = (SYSTEM, "system_prompt")
_RESPONSES: Final = ("response", "completion")
_COLUMNS: Final = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "answer"),
    ("query", "response"),
)
"""Names of what was asked and what was answered, in the order in which they are tried; the first names also stand alone."""

_BEFORE: Final = "previous_response_id"


@dataclass(frozen=True)
class Fields:
    """Which fields hold what, where somebody said so; None: where they are known to be.

    Attributes:
        form: request, messages, columns, or auto.
        messages, system, query, input, answer, model: names or dotted paths; see ``at``.
    """

    form: str = "auto"
    messages: str | None = None
    system: str | None = None
    query: str | None = None
    input: str | None = None
    answer: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Exchange:
    """What a record says.

    Attributes:
        asked: messages up to the user's last before the answer (with what a chat has between: see ``exchange``).
        answers: one for each choice, or why it is none; empty: the record has none.
        model: who answered, where it is said.
    """

    asked: list[Message]
    answers: list[str | NotRead]
    model: str | None


def at(record: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path of a record, of objects or of JSON in strings; None where nothing does.

    A field whose name has dots is found by its name.
    """
    if path in record:
        return record[path]
    value: Any = record
    for name in path.split("."):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                return None
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def exchange(record: dict[str, Any], fields: Fields, *, answered: bool) -> Exchange:
    """What was asked and answered; what was used of the record is taken out of it. Raises NotRead.

    Args:
        answered: whether answers are wanted; else what was asked is all up to the last message by the user.
    """
    if record.get(_BEFORE):
        raise _no_history()
    form = _form(record, fields)
    if form == "request":
        return _request(record, fields)
    stopped = next(iter(stops(record)), None)
    told = _told(record, fields)
    if form == "columns":
        return _columns(record, fields, told, stopped)
    model = _string(_taken(record, fields.model or "model"))
    messages = [*told, *_chat(record, fields)]
    beside = [fields.answer] if fields.answer else [name for name in _RESPONSES if name in record]
    response = opened(next((value for name in beside if (value := _taken(record, name)) is not None), None))
    if isinstance(record.get("choices"), list):
        response = {"choices": record.pop("choices")}
    if record.get("error"):
        response = {"error": record.pop("error")}
    inside = response is None and not beside
    end = last(messages, ASSISTANT if answered and inside else USER)
    if answered and inside and end >= 0:
        return Exchange(said(messages[:end]), [answer_of(messages[end], stopped)], model)
    asked = said(messages[: end + 1] if inside and end >= 0 else messages)
    answers = [] if response is None else answers_of(response, stopped)
    return Exchange(asked, answers, _string(_model(response)) or model)


def _form(record: dict[str, Any], fields: Fields) -> str:
    if fields.form != "auto":
        return fields.form
    if fields.query is not None:
        return "columns"
    if fields.messages is not None:
        return "messages"
    if any(_is_request(record, name) for name in _REQUESTS):
        return "request"
    if any(name in record for name in _CHATS):
        return "messages"
    return "columns"


def _is_request(record: dict[str, Any], name: str) -> bool:
    """Whether a field is a request; one that is JSON in a string is put into the record as an object."""
    value = record.get(name)
    if isinstance(value, str):
        value = parsed(value)
        if not isinstance(value, Mapping) or not (
            isinstance(value.get("messages"), list)
            or ("model" in value and (value.get("input") or value.get("prompt")))
        ):
            return False
        record[name] = value
    return isinstance(value, Mapping)


def _told(record: dict[str, Any], fields: Fields) -> list[dict[str, Any]]:
    """System messages beside what was said; what is no text, where nobody named it, is something else and stays."""
    if fields.system:
        named = _taken(record, fields.system)
        return [{"role": SYSTEM, "content": named}] if named else []
    there = [name for name in _SYSTEMS if name in record]
    used = (fields.messages, fields.query, fields.input, fields.answer, fields.model) if there else ()
    told = [name for name in there if name not in used and _is_text(record[name])]
    return [{"role": SYSTEM, "content": record.pop(name)} for name in told]


def _is_text(content: Any) -> bool:
    try:
        content_of({"content": content})
    except NotRead:
        return False
    return True


def _no_history() -> NotRead:
    return NotRead("no_history", f"what was said before is not in the record, see its '{_BEFORE}' or 'conversation'")


def _columns(record: dict[str, Any], fields: Fields, told: list[dict[str, Any]], stopped: Any) -> Exchange:
    query, answer = fields.query, fields.answer
    if query is None:
        pairs = (pair for pair in _COLUMNS if pair[0] in record and pair[1] in record)
        alone = ((asked, "") for asked, _ in _COLUMNS if asked in record)
        query, known = next(pairs, None) or next(alone, (None, ""))
        answer = answer or known or None
    if query is None:
        names = ", ".join(list(record)[:8])
        raise NotRead("no_chat", f"no request, messages, conversations or known columns among {names[:200] or 'none'}")
    asked, more = _taken(record, query), _taken(record, fields.input or "input")
    parts = [part for part in (asked, more) if isinstance(part, str) and part.strip()]
    if not isinstance(asked, str) or not parts:
        raise NotRead("no_query", f"field '{query}' is empty, missing or no text")
    given = None if answer is None else opened(_taken(record, answer))
    answers = [] if given is None else answers_of(given, stopped)
    model = _string(_taken(record, fields.model or "model"))
    return Exchange(
        said([*told, {"role": USER, "content": "\n\n".join(parts)}]), answers, _string(_model(given)) or model
    )


def _request(record: dict[str, Any], fields: Fields) -> Exchange:
    request: Any = next((record.pop(name) for name in _REQUESTS if _is_request(record, name)), None)
    if request is None:
        raise NotRead("no_chat", "no object in the field 'request' or 'body'")
    response = opened(next((record.pop(name) for name in _RESPONSES if name in record), None))
    failed = record.pop("error", None)
    status = None
    if isinstance(response, Mapping) and "body" in response:
        status, response = response.get("status_code"), opened(response["body"])
    request = dict(request)
    if any(holder.get(_BEFORE) for holder in (request, response) if isinstance(holder, Mapping)) or _kept_there(
        request
    ):
        raise _no_history()
    told = _told(record, fields) if fields.system else []
    asked = said([*told, *_of_request(request)])
    model = _string(at(record, fields.model)) if fields.model else None
    model = model or _string(_model(response)) or _string(request.get("model"))
    answers: list[str | NotRead]
    if failed or (isinstance(status, int) and status >= 400):
        what = f"status {status}" if isinstance(status, int) else "an error in place of an answer"
        answers = [NotRead("failed", what)]
    else:
        answers = [] if response is None else answers_of(response, next(iter(stops(record)), None))
    for name, rest in (("request", request), ("response", _rest(response))):
        rest.pop("model", None)
        if rest:
            record[name] = rest
    return Exchange(asked, answers, model)


def _kept_there(request: Mapping[str, Any]) -> bool:
    """Whether a request goes on with a conversation that OpenAI's Responses keep."""
    kept = request.get("conversation")
    return bool(kept) and (isinstance(kept, str) or (isinstance(kept, Mapping) and "id" in kept))


def _of_request(request: dict[str, Any]) -> list[Any]:
    """The messages of a request, with what some write beside them; both are taken out of it."""
    beside = [request.pop(name) for name in (SYSTEM, "instructions") if request.get(name)]
    found: list[Any] = [{"role": SYSTEM, "content": content} for content in beside]
    given = next((request.pop(name) for name in ("messages", "input", "prompt") if request.get(name)), None)
    if isinstance(given, str):
        return [*found, {"role": USER, "content": given}]
    if not isinstance(given, list):
        raise NotRead("no_chat", "the request has no messages")
    return found + given


def _rest(response: Any) -> dict[str, Any]:
    """What is left of a response without its answers."""
    if not isinstance(response, Mapping):
        return {}
    return {k: v for k, v in response.items() if k not in ("choices", "output", "content", "text", "error")}


def _chat(record: dict[str, Any], fields: Fields) -> list[Any]:
    names = [fields.messages] if fields.messages else [name for name in _CHATS if name in record]
    for name in names:
        given = _taken(record, name)
        given = parsed(given)  # a list written as JSON into a column
        if isinstance(given, list) and given:
            return given
    raise NotRead("no_chat", f"field '{names[0] if names else _CHATS[0]}' has no messages")


def _taken(record: dict[str, Any], path: str) -> Any:
    """What stands at a path; a field of that name is taken out of the record."""
    return record.pop(path) if path in record else at(record, path)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _model(response: Any) -> Any:
    return response.get("model") if isinstance(response, Mapping) else None
