"""Versions of the libraries (and, for stages that say so, of Python) that bear on results: recorded at a step's first commit, compared when it goes on."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from curate.errors import VersionError
from curate.recipe.plan import PlannedStep
from curate.stages.plugins import plugin_of
from curate.store.files import Store

LIBRARIES: Final = ("numpy", "pyarrow", "numba", "fasttext-modern", "fasttext-community", "fasttext", "sentencepiece")


@cache
def library_versions() -> dict[str, str]:
    """Installed versions of LIBRARIES; those that are not there are left out. Looked up once a process."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_versions(store: Store, folder: str, step: PlannedStep) -> None:
    """Record settings and versions of a step that begins; refuse to go on with one begun under other versions.

    Raises VersionError: half of a step's rows by one version and half by another would be no result of either.
    """
    now = dict(library_versions())
    if step.stage.needs_python:
        now["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    plugin = plugin_of(step.stage)
    if plugin is not None:
        now[f"plugin {plugin.name}"] = f"{plugin.version} ({plugin.digest[:12]})"
    settings = step.stage.model_dump(mode="json")
    first = store.put_if_absent(f"{folder}/step.json", {"use": step.stage.name, "settings": settings, "versions": now})
    if first["versions"] == now:
        return
    changed = [
        f"{n} {first['versions'].get(n, 'absent')} -> {now.get(n, 'absent')}"
        for n in sorted({*first["versions"], *now})
        if first["versions"].get(n) != now.get(n)
    ]
    raise VersionError(
        f"was begun with other versions ({', '.join(changed)})",
        place=f"step {step.id}",
        cure=f"install those again, or remove {store.name(folder)} to redo the step",
    )
