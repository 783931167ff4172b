"""Machines on one computer: network namespaces joined by a bridge, whose cables can be pulled (needs root and ``ip``)."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType
from typing import Any, Final, Self

SUBNET: Final = "10.213.7"
"""Of the bridge; nothing else here uses it."""
BRIDGE: Final = "curate-br"


def why_not() -> str:
    """Why there can be no such network here; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no ip command (package iproute2)"
    tried = subprocess.run(["ip", "netns", "add", "curate-try"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespace can be made ({tried.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", "curate-try"], check=False)
    return ""


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)


class Network:
    """Namespaces by name, each with an address on one bridge; as a context, all of it goes at the end."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.address = {name: f"{SUBNET}.{number}" for number, name in enumerate(names, 2)}

    def __enter__(self) -> Self:
        self._remove()
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("link", "set", BRIDGE, "up")
        for name in self._names:
            _ip("netns", "add", f"curate-{name}")
            _ip("link", "add", f"cu-{name}", "type", "veth", "peer", "name", "eth0", "netns", f"curate-{name}")
            _ip("link", "set", f"cu-{name}", "master", BRIDGE, "up")
            _ip("-n", f"curate-{name}", "link", "set", "lo", "up")
            _ip("-n", f"curate-{name}", "addr", "add", f"{self.address[name]}/24", "dev", "eth0")
            _ip("-n", f"curate-{name}", "link", "set", "eth0", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for name in self._names:
            _ip("netns", "del", f"curate-{name}", check=False)
            _ip("link", "del", f"cu-{name}", check=False)
        _ip("link", "del", BRIDGE, check=False)

    def start(self, name: str, *argv: str, **how: Any) -> subprocess.Popen[str]:
        """A process on one of the machines."""
        return subprocess.Popen(["ip", "netns", "exec", f"curate-{name}", *argv], text=True, **how)

    def cut(self, name: str) -> None:
        """Pull a machine's cable: nothing arrives and nobody is told."""
        _ip("link", "set", f"cu-{name}", "down")

    def heal(self, name: str) -> None:
        """Put it in again."""
        _ip("link", "set", f"cu-{name}", "up")
