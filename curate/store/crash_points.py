"""Where tests kill a process: points with names around every act by which a store changes for good."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

__all__ = ["CRASH_POINTS", "crash_point"]

CRASH_POINTS: Final = (
    "segment.before-data",
    "segment.before-receipt",
    "segment.after-receipt",
    "map.before-receipt",
    "map.after-receipt",
    "reduce.before-receipt",
    "reduce.after-receipt",
    "apply.before-receipt",
    "index.before-receipt",
    "train.before-receipt",
    "shard.before-receipt",
    "shard.after-receipt",
    "cut.after-piece",
    "round.before-publish",
    "round.after-publish",
    "step.before-done",
    "step.after-done",
    "assemble.before-folder",
    "assemble.after-folder",
    "publish.before-link",
    "publish.before-swap",
    "publish.before-manifest",
    "publish.after-manifest",
)
"""Names for CURATE_CRASH_AT, by which tests kill a process between any two durable acts."""


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL if CURATE_CRASH_AT names this point and its token file can still be taken.

    CURATE_CRASH_AT is ``name`` or ``name=path``, or several with commas between: with a path the kill happens once,
    for whoever removes that file.
    """
    for entry in os.environ.get("CURATE_CRASH_AT", "").split(","):
        wanted, _, token = entry.partition("=")
        if wanted != name:
            continue
        if token:
            try:
                Path(token).unlink()
            except FileNotFoundError:
                continue
        os.kill(os.getpid(), signal.SIGKILL)
