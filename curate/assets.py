"""Where the assets are that a user reads, copies and edits: recipes, classifiers, data.

In a wheel they lie in ``curate/_assets``; in a checkout beside the package.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final, Literal

from curate.errors import RecipeError

Kind = Literal["pipelines", "classifiers", "data", "indexes", "earlier", "tokenizers"]

_PACKAGE: Final = Path(__file__).resolve().parent
ROOT: Final = _PACKAGE / "_assets" if (_PACKAGE / "_assets").is_dir() else _PACKAGE.parent
"""The folder that holds ``pipelines/``, ``classifiers/`` and ``data/``."""


def names(kind: Kind) -> list[str]:
    """Names of the assets of a kind, sorted: recipes without ``.yaml``, folders by name."""
    folder = ROOT / kind
    if not folder.is_dir():
        return []
    return sorted(
        p.stem if p.suffix == ".yaml" else p.name for p in folder.iterdir() if not p.name.startswith((".", "_"))
    )


def find(kind: Kind, name: str) -> Path:
    """Path of an asset by name; raises RecipeError with the nearest names."""
    for path in (
        ROOT / kind / name,
        ROOT / kind / f"{name}.yaml",
        ROOT / kind / f"{name}.jsonl",
        ROOT / kind / f"{name}.md",
    ):
        if path.exists():
            return path
    folder = name.rpartition("/")[0]
    there = [f"{folder}/{p.stem}" for p in sorted((ROOT / kind / folder).glob("*"))] if folder else names(kind)
    near = difflib.get_close_matches(name, there, n=1)
    cure = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(there) or 'none'}"
    raise RecipeError(f"no {kind[:-1] if kind != 'data' else 'data'} '{name}'", cure=cure)


def locate(path: str, base: Path | None = None) -> Path:
    """A recipe's path: relative to the recipe's folder, then to the working folder, then to the assets' root."""
    given = Path(path).expanduser()
    if given.is_absolute():
        return given
    for root in ([base] if base else []) + [Path.cwd(), ROOT]:
        if (root / given).exists():
            return root / given
    return (base or Path.cwd()) / given
