"""What a source step reads: splits, with files' digests cached, and long compressed files cut into pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from curate.fingerprint import content_digest, fingerprint
from curate.run.task import Task
from curate.stages.base import Source, Split
from curate.store.files import Store, crash_point, storage_errors, sync_file


class Digests:
    """Content digests of input files; (path, size, mtime, ctime) only saves reading a file again."""

    KEY = "digests.json"

    def __init__(self, store: Store) -> None:
        self._store = store
        known = store.read_json(self.KEY)
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}
        self._changed = False

    def __call__(self, path: Path) -> str:
        """Digest of a file's content."""
        facts = path.stat()
        # mtime can be set back (cp -p, rsync -t over another version of the same size), ctime can't.
        stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
        entry = self._known.get(str(path))
        if entry is None or entry[:-1] != stamp:
            entry = [*stamp, content_digest(path)]
            self._known[str(path)] = entry
            self._changed = True
        return str(entry[-1])

    def save(self) -> None:
        """Keep what was learnt."""
        if self._changed:
            self._store.replace(self.KEY, json.dumps(self._known, sort_keys=True).encode())
            self._changed = False


def split_identity(split: Split) -> str:
    """What a split's rows depend on: its content, and the name and position that go into their ids."""
    return fingerprint(split.digest, split.name, split.start, split.stop, split.offset, list(split.members))


def read_files(splits: list[Split], digest: Digests) -> list[dict[str, str]]:
    """Names and content digests of what splits read, however it was split: for the manifest."""
    found: dict[str, list[str]] = {}
    for split in splits:
        path = Path(split.path)
        if split.members:
            # A member may be a link that leads nowhere, or a pipe: its source sets it aside.
            members = [f"{m}={digest(path / m) if (path / m).is_file() else 'no file'}" for m in split.members]
            found.setdefault(split.name, []).extend(members)
        else:
            found.setdefault(split.name, []).append(digest(path) if path.is_file() else split.digest)
    return [
        {"name": name, "digest": values[0] if len(set(values)) == 1 else fingerprint(sorted(set(values)))}
        for name, values in sorted(found.items())
    ]


@dataclass(frozen=True)
class CutTask(Task):
    """Cuts a long file that can only be read from its beginning into pieces, committing each as it goes."""

    source: Source
    split: Split
    split_bytes: int

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "map"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.split.bytes

    def work(self) -> list[dict[str, Any]]:
        """The pieces, as plain values; pieces that an earlier attempt committed are not written again."""
        pieces = []
        for number, (offset, data) in enumerate(self.source.cut(self.split, self.split_bytes)):
            receipt = f"{self.folder}/receipts/{self.key}.{number}.json"
            piece = self.store.read_whole(receipt)
            if piece is None:
                key = self.store.fresh(self.folder, f"{number:06d}", ".piece.zst")
                path = self.store.path(key)
                with storage_errors(str(path)):
                    path.write_bytes(zstandard.ZstdCompressor(level=1).compress(data))
                    sync_file(path)
                piece = self.store.put_if_absent(receipt, {"file": key, "offset": offset, "bytes": len(data)})
                crash_point("cut.after-piece")
            pieces.append(piece)
        return pieces

    def splits(self, pieces: list[dict[str, Any]]) -> list[Split]:
        """The splits that stand for the file now."""
        return [
            Split(
                path=str(self.store.path(piece["file"])),
                name=self.split.name,
                start=0,
                stop=-1,
                digest=fingerprint(self.split.digest, piece["offset"], piece["bytes"]),
                bytes=piece["bytes"],
                offset=piece["offset"],
            )
            for piece in pieces
        ]
