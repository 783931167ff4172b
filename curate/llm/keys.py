"""Keys of endpoints: taken out of the environment before any child process starts, so that none inherits them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from curate.llm.model import Model

_CLIENT_ENV: Final = frozenset(
    {
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "USER",
        "LOGNAME",
        "NETRC",
        "APT_CONFIG",
        "npm_config_registry",
        "npm_config_userconfig",
        "npm_config_cafile",
        "npm_config_cache",
        "VIRTUAL_ENV",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "XDG_CONFIG_HOME",
        "XDG_CONFIG_DIRS",
        "XDG_CACHE_HOME",
    }
) | {
    f"PIP_{name}"
    for name in (
        "CONFIG_FILE",
        "INDEX_URL",
        "EXTRA_INDEX_URL",
        "FIND_LINKS",
        "NO_INDEX",
        "CERT",
        "CLIENT_CERT",
        "PROXY",
        "TRUSTED_HOST",
        "DEFAULT_TIMEOUT",
        "RETRIES",
    )
}
"""What registries' clients (pip, npm, apt-get) need to do as the user configured them; anything else may be a key."""

_held: dict[str, str] = {}


def withhold(models: Iterable[Model]) -> None:
    """Move the keys that these models name from this process's environment into its memory.

    Workers, the sandbox and the embedded server get copies of the environment when they start; a key that is no
    longer in it can't reach them, nor what hostile code might read of them.
    """
    for model in models:
        if model.key_env and (key := os.environ.pop(model.key_env, "").strip()):
            _held[model.key_env] = key


def key_of(model: Model) -> str:
    """The key a model names, held or still in the environment; empty if there is none."""
    name = model.key_env or ""
    return _held.get(name) or os.environ.get(name, "").strip()


def client_environment() -> dict[str, str]:
    """The environment for a registry's client: none of the user's keys is in it."""
    return {k: v for k, v in os.environ.items() if k in _CLIENT_ENV or k.upper().endswith("_PROXY")}
