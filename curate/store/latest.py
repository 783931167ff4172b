"""The newest result of each writer and trainer, under its step's id."""

from __future__ import annotations

import uuid
from typing import Final

from curate.errors import StorageError
from curate.store.files import Store, crash_point, storage_errors, sync_folder

LATEST: Final = "latest"
"""Folder of an object store's pointers."""


def set_latest(store: Store, step: str, folder: str) -> None:
    """Let ``<run>/<step>`` point at a finished folder, in one atomic act: a link on a disk; on an object store, which
    has no links, ``<run>/latest/<step>.json`` says which folder it is."""
    if store.remote:
        crash_point("publish.before-swap")
        store.replace_json(f"{LATEST}/{step}.json", {"folder": folder, "address": store.address(folder)})
        return
    link = store.root / step
    temporary = store.root / f".{step}.{uuid.uuid4().hex[:12]}"
    with storage_errors(str(link)):
        if link.is_dir() and not link.is_symlink():
            # Copying a run without its links (scp -r, cp -L) makes folders of them.
            raise StorageError(
                "is a folder of its own, and no link to what the step made",
                place=str(link),
                cure="move it away and run again",
            )
        temporary.symlink_to(folder, target_is_directory=True)
        crash_point("publish.before-swap")
        temporary.replace(link)
        sync_folder(store.root)


def latest(store: Store, step: str) -> str:
    """Key by which the newest result is read: the link's, or what the pointer says; the link's where there is none."""
    said = store.read_json(f"{LATEST}/{step}.json") if store.remote else None
    return str(said["folder"]) if said else step
