"""What of this process's environment its children get, and where its secrets go before the first of them starts.

Workers, trainers, the sandbox, the embedded server and registries' clients are processes, and a process can be asked for
its environment. ``withhold`` takes every variable out of ours that is, by its name, somebody's key, and keeps it in
memory, where ``secret`` finds it. What object stores need stays: workers read and write there.

============ ===================================================================================================
child        gets
============ ===================================================================================================
workers      what is left of the environment, credentials of object stores among it
trainers,    ``bare()``: what a program needs to start, no credential at all (the sandbox gets nothing)
local server
pip, npm,    ``client()``: what they need to reach their registry as the user configured them
apt-get
============ ===================================================================================================
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from curate.errors import EndpointError

STORAGE: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
    }
)
"""Credentials by which botocore, google-auth and huggingface_hub find inputs and stores."""
_CONFIGURATION: Final = ("FSSPEC_", "DASK_")

_SECRET: Final = re.compile(
    r"(?:^|_)(?:KEY|APIKEY|KEY_ID|SECRET|TOKEN|PAT|AUTH|JWT|PASS|PASSWD|PASSWORD|PASSPHRASE|CREDENTIALS?)(?:_\d+)?$",
    re.IGNORECASE,
)
_SECRET_START: Final = re.compile(r"AWS_BEARER_TOKEN_", re.IGNORECASE)
"""What a variable's name looks like that holds a key; a path (``..._FILE``) is none."""
_IN_URL: Final = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
"""A value that is an address with a password in it, as DATABASE_URL often is."""
_KEY_FILE_BYTES: Final = 1 << 16
_SHORTEST: Final = 6
"""A shorter value is no key, and to blot it out of a line would blot out words."""

_BARE: Final = frozenset(
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PYTHONHOME",
    ]
)
_CLIENT: Final = frozenset(
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "USER",
        "LOGNAME",
        "NETRC",
        "APT_CONFIG",
        "VIRTUAL_ENV",
        "npm_config_registry",
        "npm_config_userconfig",
        "npm_config_cafile",
        "npm_config_cache",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "XDG_CONFIG_HOME",
        "XDG_CONFIG_DIRS",
        "XDG_CACHE_HOME",
        "PIP_CONFIG_FILE",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_NO_INDEX",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_PROXY",
        "PIP_TRUSTED_HOST",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_RETRIES",
    ]
)
"""What registries' clients need to do as the user configured them; anything else may be a key."""

_held: dict[str, str] = {}


# -- secrets ---------------------------------------------------------------------------------------------------


def is_secret(name: str, value: str = "") -> bool:
    """Whether a variable is somebody's key: by its name, or because its value is an address with a password.

    Not those of ``STORAGE``, not the configuration of fsspec and Dask, not addresses of proxies and package indexes:
    workers and clients need them. A path is no key, whatever it leads to.
    """
    if name in STORAGE or name.upper().startswith(_CONFIGURATION) or _is_path(value):
        return False
    configured = name in _CLIENT or name.upper().endswith("_PROXY")
    return bool(_SECRET.search(name) or _SECRET_START.match(name) or (_IN_URL.match(value) and not configured))


def _is_path(value: str) -> bool:
    try:
        return value.startswith("/") and Path(value).exists()
    except OSError:  # too long for one
        return False


def withhold(names: Iterable[str] = ()) -> None:
    """Move secrets from this process's environment into its memory: these, and all that ``is_secret`` knows.

    Nor do they stay where the kernel shows how this process was started (``/proc/PID/environ``), or in a core file.
    """
    wanted = {*names, *(name for name, value in os.environ.items() if is_secret(name, value))}
    for name in sorted(wanted & set(os.environ)):
        value = os.environ[name]
        _wipe(name)
        del os.environ[name]
        if value.strip():
            _held[name] = value.strip()
    if _held:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _wipe(name: str) -> None:
    # unsetenv only forgets where a variable lies. The bytes stay where the kernel put them when the process began.
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    address = library.getenv(os.fsencode(name))
    if address:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))


def secret(name: str) -> str:
    """The secret of that name: withheld, still in the environment, or in the file that ``<name>_FILE`` names.

    Empty if there is none. A recipe may choose the name, never the file: else it could have any file sent to an endpoint.
    Raises EndpointError for a file that can't be read.
    """
    value = _held.get(name) or os.environ.get(name, "").strip()
    path = os.environ.get(f"{name}_FILE", "").strip()
    if value or not path:
        return value
    try:
        with Path(path).expanduser().open("rb") as file:
            value = file.read(_KEY_FILE_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise EndpointError(
            f"the file with the key can't be read ({why})", place=path, cure=f"see {name}_FILE in the environment"
        ) from None
    _held[name] = value
    return value


_IN_ADDRESS: Final = re.compile(r"(?:(?<=://)[^/@\s'\"]+|(?<![\w/])[^\s/:@'\"<>]+:[^\s/:@'\"<>]+)@(?=[\w\[])")
_IN_QUERY: Final = re.compile(
    r"([?&;](?:[a-z0-9-]*(?:signature|credential|security-token|token|secret|password|key)|sig)=)[^&;\s'\"#]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text with no key in it: withheld secrets, what stands before an address's ``@``, signatures in its query."""
    for value in sorted(_held.values(), key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, "***")
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub("***@", text))


# -- children --------------------------------------------------------------------------------------------------


def restored() -> dict[str, str]:
    """The environment as the user gave it to this command, keys among it: for another curate command alone, which moves them
    into its memory as the first thing it does, as this one did."""
    return {**os.environ, **_held}


def bare() -> dict[str, str]:
    """The environment for a child that runs native code on text from anywhere: enough to start, no secrets."""
    return {name: value for name, value in os.environ.items() if name in _BARE}


def client() -> dict[str, str]:
    """The environment for a registry's client: none of the user's keys is in it but those of that registry."""
    return {k: v for k, v in os.environ.items() if k in _CLIENT or k.upper().endswith("_PROXY")}
