"""What a plan needs of the workers of a cluster beside curate: packages of extras, assets, kinds of workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from curate.recipe.plan import Plan
from curate.run.trained import found_here, portable
from curate.stages.tokenizer import tokenizer_file
from curate.store.near import known_digest

_TOKENIZERS = {".json": "tokenizers", ".tiktoken": "tiktoken"}
"""Packages that read a tokenizer's file, by its suffix."""


@dataclass(frozen=True)
class Needs:
    """Some kilobytes, plain values.

    Attributes:
        packages: versions that the driver has, by distribution.
        assets: by what a user calls them, where they are (see trained.portable) and the digest of their content; empty
            where that is not compared: an index may be larger than what a worker should read before it begins.
        kinds: ids of the steps that are for a kind of worker, by kind.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
    assets: Mapping[str, tuple[tuple[bool, str], str]] = field(default_factory=dict)
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """As JSON says it."""
        return {"packages": dict(self.packages), "assets": dict(self.assets)}

    @classmethod
    def load(cls, said: Mapping[str, Any]) -> Self:
        """What ``dump`` gave, without the kinds, which are the driver's matter."""
        assets = {name: ((bool(path[0]), str(path[1])), str(digest)) for name, (path, digest) in said["assets"].items()}
        return cls(dict(said["packages"]), assets)


def needs_of(plan: Plan) -> Needs:
    """What workers must have that take part in a plan."""
    packages: set[str] = set()
    assets: dict[str, tuple[tuple[bool, str], str]] = {}
    kinds: dict[str, list[str]] = {}
    for step in plan.steps.values():
        packages |= step.stage.needs_packages()
        if step.stage.runs_on:
            kinds.setdefault(step.stage.runs_on, []).append(step.id)
        for setting, path in step.assets.items():
            kind = step.stage.asset_settings[setting.partition("/")[0]]
            if kind == "tokenizers":
                packages |= {name} if (name := _TOKENIZERS.get(tokenizer_file(path).suffix)) else set()
            digest = "" if kind == "indexes" else step.digests[setting]
            assets[f"{path.name} ({setting.partition('/')[0]} of step '{step.id}')"] = portable(path), digest
        for index in step.earlier:
            if not index.at.remote:
                assets[f"{index.folder.name} (against of step '{step.id}')"] = portable(index.folder), ""
    return Needs(_versions(packages), assets, {kind: tuple(steps) for kind, steps in kinds.items()})


def _versions(names: set[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # a driver may do without what its workers use
    return found


def lacking(needs: Needs) -> list[str]:
    """What this machine lacks of it, or has in another version: a few words for each."""
    here = _versions(set(needs.packages))
    said = [
        f"{name} {here.get(name, 'absent')} instead of {wanted}"
        for name, wanted in needs.packages.items()
        if here.get(name) != wanted
    ]
    return said + [
        why for name, (path, digest) in needs.assets.items() if (why := _asset(name, found_here(path), digest))
    ]


def _asset(name: str, path: Path, digest: str) -> str:
    try:
        if not path.exists():
            return f"no {name}: {path} is not there"
        if digest and known_digest(path) != digest:
            return f"another {name} at {path}"
    except OSError as error:
        return f"{name} can't be read at {path} ({error.strerror})"
    return ""
