"""An object store as a service: how it is reached, what went wrong with a request, and whether to ask again.

Libraries raise what they like (botocore, aiohttp, google's, plain OSErrors), often one as the cause of another; here it
becomes one of a few plain things, of which a run's store and a source's inputs make errors in words of their own.

Keys, endpoints and regions come from where each library looks for them (AWS_ENDPOINT_URL, AWS_PROFILE,
GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, ...), never from an address or a recipe.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final, TypeVar

from curate.errors import CurateError, StorageError

T = TypeVar("T")

SCHEMES: Final[Mapping[str, str]] = {
    "file": "file", "local": "file", "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hf": "hf", "memory": "memory",
}  # fmt: skip
"""What an address may begin with, and what it is called here."""
INSTALL: Final[Mapping[str, str]] = {
    "s3": "pip install 'phi-curate[s3]'",
    "gs": "pip install 'phi-curate[gs]'",
    "hf": "pip install huggingface_hub",
}
"""By protocol: how to get the library for it."""
AT_ONCE: Final = 16
"""Small requests that are under way at once."""
PATIENCE_SECONDS: Final = 60.0
"""How long a request is tried again, unless CURATE_STORE_SECONDS says otherwise: throttling ends within seconds, and
what is away longer is better waited for by whoever starts the run again."""
_LONGEST_WAIT: Final = 8.0
_S3_TRIES: Final = 3
"""S3fs's own, so that one part of an upload does not cost all of it; the patience is that of ``tried``."""


def names_a_user(address: str) -> bool:
    """Whether an address holds a user or a key, which no file system here reads from there: it would stand in
    manifests and messages for nothing."""
    return "@" in address.partition("://")[2].partition("/")[0]


def file_system(protocol: str) -> Any:
    """Fsspec's file system, of which it keeps one for each process; raises ImportError where its library is missing.

    No listing is kept, for others write, too.
    """
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False} if protocol in ("s3", "gs") else {}
    if protocol == "s3":
        options |= {
            "endpoint_url": os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
            # More than one request at once for one small object would begin with a request for its size.
            "max_concurrency": 1,
            "config_kwargs": {
                "retries": {"max_attempts": 0},
                "connect_timeout": 10,
                "read_timeout": 60,
                "max_pool_connections": 2 * AT_ONCE,
            },
        }
    files = fsspec.filesystem(protocol, **options)
    files.retries = _S3_TRIES
    return files


class Trouble(Enum):
    """What went wrong with a request."""

    AGAIN = auto()
    """It may go well the next time: throttling, a failure, a connection that was cut."""
    ABSENT = auto()
    CONDITION = auto()
    """What the request says of the object does not hold: that there is none, its version, its length."""
    NO_BUCKET = auto()
    NO_KEYS = auto()
    REFUSED = auto()
    NO_LIBRARY = auto()
    OTHER = auto()
    """The store, or its library, says no in words of its own."""
    UNKNOWN = auto()
    """No matter of the store, as far as one can tell: this machine's disk, or a bug."""


_AGAIN_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP: time-outs, conflicts of two writers at once (S3's answer to a race of If-None-Match), throttling, failures."""
_AGAIN_CODES: Final = frozenset({
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "InternalError",
    "ServiceUnavailable", "RequestTimeout", "IncompleteBody", "BadDigest", "ConditionalRequestConflict",
})  # fmt: skip
_AGAIN_KINDS: Final = frozenset({
    # botocore: a connection that was refused, reset, closed or slow; half an answer.
    "HTTPClientError", "ConnectionError", "EndpointConnectionError", "ResponseParserError", "IncompleteReadError",
    # aiohttp, urllib3, requests, httpx, google.auth.
    "ClientConnectionError", "ClientPayloadError", "ServerDisconnectedError", "IncompleteRead", "ProtocolError",
    "ChunkedEncodingError", "Timeout", "TransportError", "FSTimeoutError", "ContentLengthError",
})  # fmt: skip
_NO_KEYS: Final = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError", "TokenRetrievalError",
    "DefaultCredentialsError", "RefreshError", "UnauthorizedSSOTokenError", "SSOTokenLoadError",
})  # fmt: skip
_NO_BUCKET: Final = ("bucket does not exist", "Invalid bucket name")
_AGAIN_ERRNOS: Final = frozenset({errno.EBUSY, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EPIPE, errno.ENETUNREACH})
_DISK_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""This machine's disk, to which an object is copied."""


def trouble(error: Exception) -> Trouble:
    """What an error that a library raised stands for."""
    chain = list(_chain(error))
    status = next((s for e in chain if (s := _status(e))), 0)
    code = next((c for e in chain if (c := _code(e))), "")
    kinds = {c.__name__ for e in chain for c in type(e).__mro__}
    if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
        return Trouble.UNKNOWN
    if isinstance(error, ImportError):
        return Trouble.NO_LIBRARY
    if kinds & _NO_KEYS:
        return Trouble.NO_KEYS
    if code in ("NoSuchBucket", "InvalidBucketName") or any(words in str(error) for words in _NO_BUCKET):
        return Trouble.NO_BUCKET
    if status in (412, 416) or isinstance(error, FileExistsError) or "FileExpired" in kinds:
        return Trouble.CONDITION
    if status == 404 or isinstance(error, FileNotFoundError):
        return Trouble.ABSENT
    if status in (401, 403) or isinstance(error, PermissionError):
        return Trouble.REFUSED
    if (
        status in _AGAIN_STATUS
        or code in _AGAIN_CODES
        or kinds & _AGAIN_KINDS
        or any(isinstance(e, ConnectionError | TimeoutError) for e in chain)
        or (isinstance(error, OSError) and error.errno in _AGAIN_ERRNOS)
    ):
        return Trouble.AGAIN
    return Trouble.OTHER if isinstance(error, OSError) or status else Trouble.UNKNOWN


def said(error: Exception) -> str:
    """What it says, or at least is called, in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def tried(request: Callable[[], T], failed: Callable[[Trouble, Exception], Exception]) -> T:
    """A request's answer; asked again, for CURATE_STORE_SECONDS, as long as that may help.

    Raises what ``failed`` makes of the last error; a CurateError from inside as it is.
    """
    began, wait = time.monotonic(), 0.1
    while True:
        try:
            return request()
        except CurateError:
            raise
        except Exception as error:
            kind = trouble(error)
            if kind is not Trouble.AGAIN or time.monotonic() - began + wait > _patience():
                made = failed(kind, error)
                if made is error:
                    raise
                raise made from None
        # Spread, so that workers that were throttled together do not come back together.
        time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret, and no part of any result
        wait = min(wait * 2, _LONGEST_WAIT)


def _patience() -> float:
    wanted = os.environ.get("CURATE_STORE_SECONDS") or PATIENCE_SECONDS
    try:
        return float(wanted)
    except ValueError:
        raise StorageError(
            f"'{wanted}' is no number of seconds", place="CURATE_STORE_SECONDS", cure="correct it, or unset it"
        ) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was made of."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__


def _status(error: BaseException) -> int:
    """Of the HTTP answer that it stands for, as botocore, huggingface_hub and google's libraries have it; 0 for none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(response, "status_code", None) or getattr(error, "code", getattr(error, "status", None))
    return found if isinstance(found, int) and 400 <= found < 600 else 0


def _code(error: BaseException) -> str:
    """S3's word for it; empty for none."""
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return found if isinstance(found, str) and not found.isdigit() else ""
