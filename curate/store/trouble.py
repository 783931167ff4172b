"""What went wrong with a request to an object store: is it worth another try, and if not, what is to be said of it?

Libraries raise what they like (botocore, aiohttp, google's, plain OSErrors), often one as the cause of another; here it
becomes one of a few plain things.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from typing import Final

from curate.errors import StorageError

AGAIN: Final = "again"
ABSENT: Final = "absent"
EXISTS: Final = "exists"

_AGAIN_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP: time-outs, conflicts of two writers at once (S3's answer to a race of If-None-Match), throttling, failures."""
_AGAIN_CODES: Final = frozenset({
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "InternalError",
    "ServiceUnavailable", "RequestTimeout", "IncompleteBody", "BadDigest", "ConditionalRequestConflict",
})  # fmt: skip
_AGAIN_KINDS: Final = frozenset({
    # botocore: a connection that was refused, reset, closed or slow; half an answer.
    "HTTPClientError", "ConnectionError", "EndpointConnectionError", "ResponseParserError", "IncompleteReadError",
    # aiohttp, urllib3, requests, google.auth.
    "ClientConnectionError", "ClientPayloadError", "ServerDisconnectedError", "IncompleteRead", "ProtocolError",
    "ChunkedEncodingError", "TransportError", "FSTimeoutError", "ContentLengthError",
})  # fmt: skip
_NO_KEYS: Final = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError", "TokenRetrievalError",
    "DefaultCredentialsError", "RefreshError", "UnauthorizedSSOTokenError", "SSOTokenLoadError",
})  # fmt: skip
_AGAIN_ERRNOS: Final = frozenset({errno.EBUSY, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EPIPE, errno.ENETUNREACH})


def trouble(error: BaseException, place: str) -> str | StorageError | None:
    """AGAIN, ABSENT, EXISTS, the error to raise instead; None for what is no matter of the store (a bug)."""
    chain = list(_chain(error))
    status = next((s for e in chain if (s := _status(e))), 0)
    code = next((c for e in chain if (c := _code(e))), "")
    kinds = {c.__name__ for e in chain for c in type(e).__mro__}
    if kinds & _NO_KEYS:
        cure = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or GOOGLE_APPLICATION_CREDENTIALS"
        return StorageError("no credentials were found", place=place, cure=cure)
    if code in ("NoSuchBucket", "InvalidBucketName") or "bucket does not exist" in str(error):
        cure = "create it, or choose another with --store"
        return StorageError("there is no such bucket", place=place, cure=cure)
    if status == 412 or code == "PreconditionFailed" or isinstance(error, FileExistsError):
        return EXISTS
    if status == 404 or isinstance(error, FileNotFoundError):
        return ABSENT
    if status in (401, 403) or isinstance(error, PermissionError):
        cure = "check the credentials, and what they may do in this bucket"
        return StorageError(f"access was refused ({code or status or 'no reason given'})", place=place, cure=cure)
    if (
        status in _AGAIN_STATUS
        or code in _AGAIN_CODES
        or kinds & _AGAIN_KINDS
        or any(isinstance(e, ConnectionError | TimeoutError | asyncio.TimeoutError) for e in chain)
        or (isinstance(error, OSError) and error.errno in _AGAIN_ERRNOS)
    ):
        return AGAIN
    if isinstance(error, OSError) or status:
        said = " ".join(str(error).split())[:200]
        return StorageError(f"the object store refused a request ({said})", place=place, cure="see what it means there")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was made of."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__


def _status(error: BaseException) -> int:
    """HTTP status, as botocore and google's libraries have it; 0 for none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else 0
    found = getattr(error, "code", getattr(error, "status", None))
    return found if isinstance(found, int) and 400 <= found < 600 else 0


def _code(error: BaseException) -> str:
    """S3's word for it; empty for none."""
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return found if isinstance(found, str) and not found.isdigit() else ""
