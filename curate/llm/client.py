"""One attempt of one request over HTTP, and what came of it, as a value; nothing is retried here."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import openai
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from curate.environment import secret
from curate.errors import EndpointError
from curate.llm.embedding import encode, vector_of
from curate.llm.model import Model
from curate.llm.outcome import Failure, Reply
from curate.llm.request import Request

__all__ = ["Client"]

_BY_STATUS: Final = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "server_error",
    409: "server_error",
    429: "rate_limited",
    503: "unavailable",
    504: "timeout",  # a gateway gave up waiting: the answer may have been made behind it
    524: "timeout",  # the same, in Cloudflare's words
}
_TOO_LONG: Final = "too large to process"
"""What llama.cpp says, with 500, about a text that has more tokens than it embeds at once: to ask again is no use."""
_OPENAI: Final = "api.openai.com"
_CONNECT_SECONDS: Final = 5.0
"""Limit of connecting: a host that swallows packets is known as unreachable long before an answer would be late."""
_MOST_TOKENS: Final = 1 << 31
"""A server that counts more has counted nothing."""
# httpx's or httpx2's: what openai wraps when nothing was sent.
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})


class Client:
    """Sends to one endpoint; use as an async context manager.

    Raises EndpointError at once when the environment variable that should hold the key does not.
    """

    def __init__(self, model: Model, base_url: str) -> None:
        self._model = model
        # Never None: openai would then take OPENAI_API_KEY and show it to whatever endpoint this is.
        self._key = _key(model) if model.key_env else "none"
        seconds = model.timeout_seconds
        timeout = openai.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        with _only_what_is_meant(base_url):
            self._openai = openai.AsyncOpenAI(base_url=base_url, api_key=self._key, max_retries=0, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._openai.close()

    async def send(self, request: Request, max_tokens: int, key: str) -> Reply | Failure:
        """One attempt. Raises nothing that an endpoint can cause.

        ``key`` (the request's, in the journal) goes along as X-Client-Request-Id, the header by which OpenAI's support
        finds a request, and by which the scripted teacher tells draws of one prompt apart.
        """
        try:
            # The SDK's time-out is one of each read: a server that sends a byte now and then would never meet it.
            async with asyncio.timeout(self._model.timeout_seconds):
                if request.kind == "embeddings":
                    outcome = _read_vector(await self._embed(request, key))
                else:
                    outcome = _read(await self._chat(request, max_tokens, key))
            return outcome if isinstance(outcome, Reply) else Failure(outcome.kind, self._clean(outcome.detail))
        except TimeoutError:
            return Failure("timeout", f"no whole answer in {self._model.timeout_seconds:g} s")
        except openai.APIStatusError as error:
            return self._of_status(error)
        except openai.APIConnectionError as error:
            cause = error.__cause__
            if type(cause).__name__ in _NEVER_SENT:
                kind = "connect"
            else:
                kind = "timeout" if isinstance(error, openai.APITimeoutError) else "dropped"
            return Failure(kind, self._clean(str(cause or error) or type(cause or error).__name__))
        except Exception as error:  # noqa: BLE001
            # openai builds its objects without validation: a strange body surfaces as whatever breaks first, JSON that
            # is nested too deeply as a RecursionError.
            return Failure("bad_reply", self._clean(f"{type(error).__name__}: {error}"))

    async def _chat(self, request: Request, max_tokens: int, key: str) -> object:
        # In extra_body: a local server knows parameters (top_k, grammar) that the SDK's signature does not.
        body: dict[str, Any] = {**request.sampling, self._model.limit_field: max_tokens}
        messages: Any = [dict(m) for m in request.messages]
        return await self._openai.chat.completions.create(
            model=self._model.model, messages=messages, extra_body=body, extra_headers={"X-Client-Request-Id": key}
        )

    async def _embed(self, request: Request, key: str) -> object:
        return await self._openai.embeddings.create(
            model=self._model.model,
            input=request.messages[0]["content"],
            encoding_format=self._model.encoding_format,
            extra_body=dict(request.sampling),
            extra_headers={"X-Client-Request-Id": key},
        )

    def _of_status(self, error: openai.APIStatusError) -> Failure:
        status = error.status_code
        kind = _BY_STATUS.get(status, "server_error" if status >= 500 else "refused_request")
        if status == 429 and error.code == "insufficient_quota":
            kind = "quota"
        if status == 500 and _TOO_LONG in error.message:
            kind = "refused_request"
        return Failure(kind, self._clean(f"HTTP {status}: {error.message}"), _retry_after(error.response.headers))

    def _clean(self, text: str) -> str:
        # Some servers echo the Authorization header in their complaint.
        if self._model.key_env:
            text = text.replace(self._key, "***")
        return " ".join(text.split())[:300]


def _key(model: Model) -> str:
    key = secret(model.key_env or "")
    if not key:
        raise EndpointError(
            f"the key of '{model.model}' is not in the environment",
            place=model.base_url or "",
            cure=f"export {model.key_env}=..., or name its file in {model.key_env}_FILE",
        )
    if not (key.isascii() and key.isprintable()):
        # HTTP libraries show the header that they refuse, with the key in it.
        raise EndpointError(
            f"the key in {model.key_env} has characters that no key has (a line end, a curly quote)",
            place=model.base_url or "",
            cure=f"export {model.key_env} again, from where you have it",
        )
    return key


def _read(reply: object) -> Reply | Failure:
    # A 200 with an HTML body comes back as a str, a JSON of another shape as an object full of None.
    if not isinstance(reply, ChatCompletion):
        return Failure("bad_reply", f"no chat completion but a {type(reply).__name__}: {reply}")
    choices: Any = reply.choices
    if not isinstance(choices, list) or not choices:
        return Failure("bad_reply", "a chat completion without choices")
    message, finish = choices[0].message, choices[0].finish_reason
    refusal = getattr(message, "refusal", None)
    text = message.content if message.content is not None else refusal or ""
    if not isinstance(text, str):
        return Failure("bad_reply", f"content is a {type(text).__name__}")
    if refusal and not message.content:
        finish = "refusal"
    usage: Any = reply.usage
    return Reply(
        # A lone surrogate, legal in JSON, can't be stored as UTF-8.
        text.encode("utf-8", "replace").decode(),
        str(finish or "unknown"),
        _count(getattr(usage, "prompt_tokens", None)),
        _count(getattr(usage, "completion_tokens", None)),
    )


def _read_vector(reply: object) -> Reply | Failure:
    if not isinstance(reply, CreateEmbeddingResponse):
        return Failure("bad_reply", f"no embeddings but a {type(reply).__name__}: {reply}")
    if getattr(reply, "data", None) is None:
        return Failure("bad_reply", "no embeddings but JSON of another shape")
    vector = vector_of(reply.data)
    if isinstance(vector, Failure):
        return vector
    prompt = _count(getattr(getattr(reply, "usage", None), "prompt_tokens", None))
    return Reply(encode(vector), "stop", prompt, 0)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds asked for by retry-after-ms, or Retry-After as seconds or a date; None when there is neither."""
    with contextlib.suppress(ValueError, TypeError):
        if (ms := headers.get("retry-after-ms")) is not None:
            return float(ms) / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return float(value)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


@contextlib.contextmanager
def _only_what_is_meant(base_url: str) -> Iterator[None]:
    """What the SDK finds in the environment while it is built: no proxy before a server on this machine, and the user's
    account and headers with OpenAI (OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS, ...) for nobody but OpenAI, or whom they are
    for by OPENAI_BASE_URL."""
    host = urlsplit(base_url).hostname or ""
    changed: dict[str, str | None] = {}
    if host in {"127.0.0.1", "localhost", "::1"}:
        without = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), host)))
        changed = {"NO_PROXY": without, "no_proxy": without}
    meant = urlsplit(os.environ.get("OPENAI_BASE_URL", "")).hostname or _OPENAI
    if host not in (meant, _OPENAI):
        changed |= {name: None for name in os.environ if name.startswith("OPENAI_")}
    before = {name: os.environ.get(name) for name in changed}
    try:
        _set(changed)
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
