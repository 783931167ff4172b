"""A server of tests in a process of its own: a module that, run as a script, says where it listens and serves until it is left."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Self


class Served:
    """Runs a script whose end is ``serve``.

    Attributes:
        url: where it listens.
    """

    def __init__(self, script: str, env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        assert self.url, f"{script} did not start"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def unused_name() -> str:
    """The name of a bucket that nobody has used."""
    return f"bucket-{uuid.uuid4().hex[:12]}"


def serve(port: int, forever: Callable[..., Any], *args: Any) -> None:
    """In the script: say the address, serve, and end with whoever holds its standard input."""
    print(f"http://127.0.0.1:{port}", flush=True)
    threading.Thread(target=forever, args=args, daemon=True).start()
    sys.stdin.read()
