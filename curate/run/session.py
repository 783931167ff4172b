"""run.json: when, where and how long. Nothing in it is part of any result."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from curate.environment import redacted
from curate.errors import CurateError, DamagedError, StorageError
from curate.run.watch import Watch
from curate.store.files import Store, encode_json

KEEP = 50
"""Sessions kept in run.json, the newest last."""


class Session:
    """One invocation on one store; recorded when it ends, however it ends.

    Args:
        store: the run's folder.
        argv: the command line.
        recipe: the recipe's file: reports read text back through it.
        prices: of each model what it is counted at and where that is from.
        watch: is told of the beginning and the end.
    """

    def __init__(
        self,
        store: Store,
        argv: Sequence[str],
        recipe: Path | None = None,
        prices: Mapping[str, str] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._store, self._watch = store, watch
        self._facts: dict[str, Any] = {
            "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "argv": [redacted(word) for word in argv],
            "outcome": "killed",
        }
        if recipe is not None:
            self._facts["recipe"] = str(recipe.absolute())
        if prices:
            self._facts["prices"] = dict(prices)

    def __enter__(self) -> Self:
        if self._watch is not None:
            self._watch.begin(self._facts)
        return self

    def failed(self, why: str) -> None:
        """It stopped with an error."""
        self._facts["outcome"] = f"failed: {redacted(why)}"

    def finished(self, seconds: dict[str, float], cpu: Mapping[str, Any] | None = None) -> None:
        """It came to its end; wall seconds by step, and CPU seconds and bytes by step and kind of work."""
        self._facts["outcome"] = "finished"
        if cpu:
            self._facts["cpu"] = cpu
        self._facts["seconds"] = {name: round(value, 3) for name, value in seconds.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StorageError) if self._store.remote else not self._store.root.is_dir():
            # A store that is away was waited for long enough.
            return
        if kind in (KeyboardInterrupt, SystemExit):
            self._facts["outcome"] = "interrupted"
        elif error is not None and self._facts["outcome"] == "killed":
            # Ours say all that there is to say; of others the class is half of it.
            self.failed(str(error) if isinstance(error, CurateError) else f"{type(error).__name__}: {error}")
        self._facts["ended"] = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        if self._watch is not None:
            self._watch.end(self._facts)
        try:
            self._record()
        except StorageError:
            # A disk that was full before is full now: the error on its way says what was being done.
            if kind is None:
                raise

    def _record(self) -> None:
        try:
            earlier = self._store.read_view("run.json") or {}
        except DamagedError:
            earlier = {}
        known = earlier.get("sessions")
        sessions = [*(known if isinstance(known, list) else ()), self._facts][-KEEP:]
        self._store.replace("run.json", encode_json({"sessions": sessions}))
