"""Uploading a dataset to the Hugging Face hub: large files first, each once, then all of it in one commit.

What was uploaded before a cut is known by its content, and is not sent again. Until the commit nothing of it shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curate import environment, hub
from curate.errors import EndpointError, InputError, RecipeError

__all__ = ["Pushed", "push", "token"]

TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_AT_ONCE: Final = 16
"""Files whose upload is asked for together; after each lot progress is told."""


@dataclass(frozen=True)
class Pushed:
    """What was pushed: the commit and its page, files and bytes, files of an older dataset that went, whether
    everybody sees it."""

    url: str
    commit: str
    files: int
    bytes: int
    removed: list[str]
    public: bool


def token() -> str:
    """The hub's token: of the environment, which no longer has it then, of the file that HF_TOKEN_FILE names, or of
    ``hf auth login``. Raises EndpointError where there is none."""
    environment.withhold(TOKENS)
    found = next((value for name in TOKENS if (value := environment.secret(name))), "")
    if not found:
        from huggingface_hub import get_token

        found = get_token() or ""
    if not found:
        raise EndpointError(
            "there is no token for the hub",
            place="HF_TOKEN",
            cure="set HF_TOKEN or HF_TOKEN_FILE, or say 'hf auth login'; a token with write access is at huggingface.co/settings/tokens",
        )
    return found


def push(
    files: Mapping[str, Path | bytes],
    repo: str,
    key: str,
    *,
    public: bool,
    message: str,
    folders: tuple[str, ...],
    done: Callable[[int], None] = lambda _: None,
) -> Pushed:
    """Upload files, by their paths in the repository, and commit them together.

    Args:
        repo: OWNER/NAME of a dataset; made when there is none, private unless ``public``.
        key: the hub's token.
        message: of the commit.
        folders: in which files that are not among these are removed: what an older version of the dataset left.
        done: told the bytes of each file that is on the hub.

    Raises:
        RecipeError: the name is no name of a repository, or it is public and ``public`` was not said.
        InputError: the hub has no such owner, or not for this token.
        EndpointError: it can't be reached, or it refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise RecipeError(
            f"'{repo}' is no name of a repository ({error})", place="REPO", cure="write OWNER/NAME"
        ) from None
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=key)
    with _failures(repo):
        api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
        info = api.dataset_info(repo)
    if not public and info.private is False:
        raise RecipeError("is public on the hub", place=repo, cure="say --public, or push to another repository")
    known = [file.rfilename for file in info.siblings or []]
    old = [name for name in known if name.partition("/")[0] in folders and "/" in name and name not in files]
    adds = [CommitOperationAdd(name, data if isinstance(data, bytes) else str(data)) for name, data in files.items()]
    sizes = {name: len(data) if isinstance(data, bytes) else data.stat().st_size for name, data in files.items()}
    with _failures(repo):
        for start in range(0, len(adds), _AT_ONCE):
            some = adds[start : start + _AT_ONCE]
            api.preupload_lfs_files(repo, some, repo_type="dataset")
            done(sum(sizes[add.path_in_repo] for add in some))
        operations: list[Any] = [*adds, *(CommitOperationDelete(name) for name in old)]
        commit = api.create_commit(repo, operations, commit_message=message, repo_type="dataset")
    return Pushed(str(commit.commit_url), str(commit.oid), len(adds), sum(sizes.values()), old, info.private is False)


@contextmanager
def _failures(repo: str) -> Iterator[None]:
    """The hub's failures as errors of ours, with what pushing needs as the cure, and no token in them."""
    from huggingface_hub import errors

    try:
        with hub.failures(repo, correct="the repository's name", instead="the folder later: what was uploaded stays"):
            try:
                yield
            except errors.HfHubHTTPError as error:
                status = error.response.status_code if error.response is not None else 0
                if status in (401, 403):
                    raise InputError(
                        "the hub does not let this token write there",
                        place=repo,
                        cure="use a token with write access to that owner's repositories",
                    ) from None
                raise
            except RuntimeError as error:  # of one of the threads that upload: what went wrong is its cause
                raise error.__cause__ or error from None
    except EndpointError as error:
        cure = "say the same again: what was uploaded is not sent again; check the network and HF_ENDPOINT"
        raise EndpointError(environment.redacted(error.cause), place=repo, cure=cure) from None
