"""Wheels from a package index, through pip as the user configured it. Nothing of them is installed or imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from curate import environment
from curate.errors import EndpointError


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement ``name==version``, alone in a folder; raises EndpointError with pip's own line."""
    # An environment made by uv has no pip of its own.
    pip = [sys.executable, "-P", "-m", "pip"] if importlib.util.find_spec("pip") else ["uv", "tool", "run", "pip"]
    command = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), requirement]
    # TMPDIR: what is being downloaded can be seen to grow, and lands on the disk that was checked for space.
    env = {**environment.client(), "TMPDIR": str(folder)}
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise EndpointError(f"{requirement}: {(lines or ['pip failed'])[-1]}")
    return next(folder.glob("*.whl"))
