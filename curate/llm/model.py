"""What a recipe's ``models:`` section declares, and the caps of a run. No key is ever a value here."""

from __future__ import annotations

import re
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curate.environment import STORAGE

__all__ = ["LOCAL_MODEL", "Budget", "Model"]

LOCAL_MODEL: Final = "qwen2.5-coder-0.5b-instruct-q4_k_m"
"""Declared id of the model that the embedded server runs when a recipe says nothing else."""


_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("base_url must look like https://host/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError("base_url must not carry a key; put it into an environment variable and name it in key_env")
    return url.rstrip("/")


class Model(BaseModel):
    """A model and how to reach it.

    Only ``model`` is part of a request's identity: endpoint, prices, time-outs and weights' path may change
    without any answer being bought again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(LOCAL_MODEL, min_length=1, description="declared id, sent as the request's `model`")
    base_url: str | tuple[str, ...] | None = Field(
        None,
        description="OpenAI-compatible endpoint with its /v1, or a list of those that serve the same model; null = the"
        " embedded server",
    )
    key_env: str | None = Field(
        None,
        description="name of the environment variable that holds the key (or, with _FILE behind it, its file's path)",
    )
    licence: str = Field("", description="terms of the model's outputs; the local Qwen's are Apache-2.0")
    prompt_price: float = Field(0.0, ge=0, description="US dollars per million prompt tokens")
    completion_price: float = Field(0.0, ge=0, description="US dollars per million completion tokens")
    concurrency: int = Field(4, ge=1, le=1024, description="requests in flight at most, at each endpoint")
    requests_per_minute: float | None = Field(
        None, gt=0, description="what each endpoint allows; null = learn it from its headers and refusals"
    )
    tokens_per_minute: float | None = Field(
        None, gt=0, description="the same of tokens: a request counts its limit and a quarter of its bytes"
    )
    reasoning_tokens: int = Field(
        0,
        ge=0,
        description="what the model may think before it answers, if that counts as output: added to each limit of an"
        " answer, and to its reserve",
    )
    batch: bool = Field(False, description="ask in batches (the endpoint's /files and /batches): cheaper, within a day")
    batch_seconds: float = Field(30.0, gt=0, description="how often a batch is looked at")
    timeout_seconds: float = Field(300.0, gt=0, description="limit of one attempt")
    attempts: int = Field(5, ge=1, description="tries of one request before it counts as failed")
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="what the endpoint calls the limit of an answer"
    )
    encoding_format: Literal["base64", "float"] = Field(
        "base64", description="how an endpoint is asked to write embeddings; both are understood, whichever comes"
    )
    weights: str | None = Field(None, description="path of a GGUF for the embedded server")
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="what `weights` must hash to")
    threads: int | None = Field(None, ge=1, description="threads of the embedded server; null = min(2, cores)")

    @model_validator(mode="before")
    @classmethod
    def _terms(cls, data: Any) -> Any:
        # Terms are known for one file only; of any other model nobody but the user can say them.
        if isinstance(data, dict) and not data.get("licence"):
            local = data.get("base_url") is None and data.get("model", LOCAL_MODEL) == LOCAL_MODEL
            return {**data, "licence": "Apache-2.0" if local else "unstated"}
        return data

    @field_validator("base_url")
    @classmethod
    def _urls(cls, urls: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(urls, tuple):
            if not urls:
                raise ValueError("base_url names no endpoint")
            found = tuple(dict.fromkeys(_url(url) for url in urls))
            return found if len(found) > 1 else found[0]
        return None if urls is None else _url(urls)

    @field_validator("key_env")
    @classmethod
    def _name(cls, name: str | None) -> str | None:
        if name is None:
            return None
        # A key that was pasted here is not shown again, nor would a store's credential go to an endpoint that a recipe names.
        if not _VARIABLE.fullmatch(name):
            raise ValueError("key_env is the name of an environment variable, never the key itself")
        if name in STORAGE:
            raise ValueError(
                f"{name} opens object stores and goes to no endpoint; export the endpoint's key under a name of its own"
            )
        return name

    @model_validator(mode="after")
    def _reachable(self) -> Model:
        if self.base_url is None and self.model != LOCAL_MODEL and self.weights is None:
            raise ValueError(f"'{self.model}' needs a base_url, or weights for the embedded server")
        if self.batch and not isinstance(self.base_url, str):
            raise ValueError("batch: true needs one base_url: a batch is read where it was made")
        return self

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where it is served; empty: by the embedded server."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()

    @property
    def hosts(self) -> frozenset[str]:
        """Names of the hosts that serve it."""
        return frozenset(urlsplit(url).hostname or "" for url in self.endpoints)

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What that many tokens cost, US dollars."""
        return (prompt_tokens * self.prompt_price + completion_tokens * self.completion_price) / 1e6


class Budget(BaseModel):
    """Caps of a whole run, over all its generator steps; null = no cap. A reserve counts as spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    completion_tokens: int | None = Field(None, ge=0)
    prompt_tokens: int | None = Field(None, ge=0)
    dollars: float | None = Field(None, ge=0)

    @property
    def limited(self) -> bool:
        """Whether there is any cap."""
        return not (self.completion_tokens is self.prompt_tokens is self.dollars is None)

    def admits(self, prompt_tokens: int, completion_tokens: int, dollars: float) -> bool:
        """Whether a run may stand at these totals."""
        return (
            (self.prompt_tokens is None or prompt_tokens <= self.prompt_tokens)
            and (self.completion_tokens is None or completion_tokens <= self.completion_tokens)
            and (self.dollars is None or dollars <= self.dollars + 1e-9)
        )
