"""One attempt of one request over HTTP, and what came of it, as a value; nothing is retried here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import urlsplit

import openai

from curate.environment import secret
from curate.errors import EndpointError
from curate.llm.embedding import encode, vector_of
from curate.llm.headers import quotas, retry_after
from curate.llm.model import Model
from curate.llm.outcome import Failure, Reply
from curate.llm.request import Request

__all__ = ["BY_STATUS", "Client", "read_chat", "read_vector"]

BY_STATUS: Final = {
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
_EMPTY: Final = frozenset({"length", "content_filter", "refusal"})
# httpx or httpx2, whichever openai stands on.
_HTTP: Final[Any] = sys.modules[openai.APIStatusError.__annotations__["response"].partition(".")[0]]
_CONNECTIONS: Final = 16
"""Of one pool. A pool looks at all its connections, with a system call for each that is idle, for each request."""

# What openai wraps when nothing was sent.
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})


@dataclass
class _Pool:
    api: openai.AsyncOpenAI
    flying: int = 0


class Client:
    """Sends to one endpoint; use as an async context manager.

    Raises EndpointError at once when the environment variable that should hold the key does not.
    """

    def __init__(self, model: Model, base_url: str) -> None:
        self._model = model
        # Never None: openai would then take OPENAI_API_KEY and show it to whatever endpoint this is.
        self._key = _key(model, base_url) if model.key_env else "none"
        seconds = model.timeout_seconds
        timeout = openai.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        kept: Any = {"timeout": timeout}
        if urlsplit(base_url).scheme == "https":
            kept["verify"] = _HTTP.create_ssl_context()  # 20 ms of reading certificates: once for all
        count = math.ceil(model.concurrency / _CONNECTIONS)
        with _only_what_is_meant(base_url):
            first = openai.AsyncOpenAI(
                base_url=base_url, api_key=self._key, max_retries=0, http_client=openai.DefaultAsyncHttpxClient(**kept)
            )
            others = [first.copy(http_client=openai.DefaultAsyncHttpxClient(**kept)) for _ in range(count - 1)]
        self._pools = [_Pool(api) for api in (first, *others)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools:
            await pool.api.close()

    async def send(self, request: Request, max_tokens: int, key: str) -> Reply | Failure:
        """One attempt. Raises nothing that an endpoint can cause.

        ``key`` (the request's, in the journal) goes along as X-Client-Request-Id, the header by which OpenAI's support
        finds a request, and by which the scripted teacher tells draws of one prompt apart.
        """
        try:
            # The SDK's time-out is one of each read: a server that sends a byte now and then would never meet it.
            async with asyncio.timeout(self._model.timeout_seconds):
                path, body = self.body(request, max_tokens)
                # The SDK's typed calls cost twice the CPU of this one, and check nothing of a body.
                pool = min(self._pools, key=lambda pool: pool.flying)
                pool.flying += 1
                try:
                    response = await pool.api.post(
                        path, cast_to=_HTTP.Response, body=body, options={"headers": {"X-Client-Request-Id": key}}
                    )
                finally:
                    pool.flying -= 1
            outcome = (read_chat if request.kind == "chat" else read_vector)(_json(response))
            if isinstance(outcome, Failure):
                outcome = Failure(outcome.kind, self.clean(outcome.detail))
            return replace(outcome, quotas=found) if (found := quotas(response.headers)) else outcome
        except Exception as error:  # noqa: BLE001
            return self.failure(error)

    @property
    def api(self) -> openai.AsyncOpenAI:
        """The SDK's client, for what is no attempt of one request."""
        return self._pools[0].api

    def failure(self, error: Exception) -> Failure:
        """What an exception of the SDK, or of reading a reply, comes to."""
        if isinstance(error, openai.APIStatusError):
            return self._of_status(error)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__
            if type(cause).__name__ in _NEVER_SENT:
                kind = "connect"
            else:
                kind = "timeout" if isinstance(error, openai.APITimeoutError) else "dropped"
            return Failure(kind, self.clean(str(cause or error) or type(cause or error).__name__))
        if isinstance(error, TimeoutError):
            return Failure("timeout", f"no whole answer in {self._model.timeout_seconds:g} s")
        # JSON that is nested too deeply is a RecursionError; nobody knows what else a body may come to.
        return Failure("bad_reply", self.clean(f"{type(error).__name__}: {error}"))

    def body(self, request: Request, max_tokens: int) -> tuple[str, dict[str, Any]]:
        """Path below base_url and body of a request."""
        body: dict[str, Any] = {**request.sampling, "model": self._model.model}
        if request.kind == "embeddings":
            asked = {"input": request.messages[0]["content"], "encoding_format": self._model.encoding_format}
            return "/embeddings", body | asked
        messages = [dict(m) for m in request.messages]
        return "/chat/completions", {**body, "messages": messages, self._model.limit_field: max_tokens}

    def _of_status(self, error: openai.APIStatusError) -> Failure:
        status, headers = error.status_code, error.response.headers
        kind = BY_STATUS.get(status, "server_error" if status >= 500 else "refused_request")
        if status == 429 and error.code == "insufficient_quota":
            kind = "quota"
        if status == 500 and _TOO_LONG in error.message:
            kind = "refused_request"
        detail = self.clean(f"HTTP {status}: {error.message}")
        return Failure(kind, detail, retry_after(headers), quotas(headers))

    def clean(self, text: str) -> str:
        """One line, without the key."""
        # Some servers echo the Authorization header in their complaint.
        if self._model.key_env:
            text = text.replace(self._key, "***")
        return " ".join(text.split())[:300]


def _key(model: Model, place: str) -> str:
    key = secret(model.key_env or "")
    if not key:
        raise EndpointError(
            f"the key of '{model.model}' is not in the environment",
            place=place,
            cure=f"export {model.key_env}=..., or name its file in {model.key_env}_FILE",
        )
    if not (key.isascii() and key.isprintable()):
        # HTTP libraries show the header that they refuse, with the key in it.
        raise EndpointError(
            f"the key in {model.key_env} has characters that no key has (a line end, a curly quote)",
            place=place,
            cure=f"export {model.key_env} again, from where you have it",
        )
    return key


def _json(response: Any) -> object:
    try:
        return json.loads(response.content)
    except ValueError:
        return response.text


def read_chat(reply: object) -> Reply | Failure:
    """A chat completion's first choice. Its finish_reason decides what a null content is: an answer of which nothing is
    shown (cut while the model still thought, or filtered), or none."""
    if not isinstance(reply, dict):
        return Failure("bad_reply", f"no chat completion but a {type(reply).__name__}: {reply}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        return Failure("bad_reply", "a chat completion without choices")
    if not isinstance(choices[0], dict) or not isinstance(message := choices[0].get("message"), dict):
        return Failure("bad_reply", "a choice without a message")
    finish, content, refusal = choices[0].get("finish_reason"), message.get("content"), message.get("refusal")
    if not isinstance(content, str | None) or not isinstance(refusal, str | None):
        return Failure("bad_reply", f"content is a {type(content).__name__}")
    if refusal and not content:
        content, finish = refusal, "refusal"
    if content is None:
        if finish not in _EMPTY:
            return Failure("no_content", f"content is null, with finish_reason {finish}")
        content = ""
    # A lone surrogate, legal in JSON, can't be stored as UTF-8.
    text = content.encode("utf-8", "replace").decode()
    prompt, completion = _usage(reply, "prompt_tokens", "completion_tokens")
    return Reply(text, str(finish or "unknown"), prompt, completion)


def read_vector(reply: object) -> Reply | Failure:
    if not isinstance(reply, dict):
        return Failure("bad_reply", f"no embeddings but a {type(reply).__name__}: {reply}")
    if reply.get("data") is None:
        return Failure("bad_reply", "no embeddings but JSON of another shape")
    vector = vector_of(reply["data"])
    if isinstance(vector, Failure):
        return vector
    (prompt,) = _usage(reply, "prompt_tokens")
    return Reply(encode(vector), "stop", prompt, 0)


def _usage(reply: Mapping[str, Any], *names: str) -> list[int | None]:
    usage = reply.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in names]
    return [c if isinstance(c, int) and not isinstance(c, bool) and 0 <= c < _MOST_TOKENS else None for c in counts]


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
