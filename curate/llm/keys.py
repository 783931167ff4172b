"""Keys of endpoints: taken out of the environment before any child process starts, so that none inherits them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from curate.llm.model import Model

_held: dict[str, str] = {}


def withhold(models: Iterable[Model]) -> None:
    """Move the keys that these models name from this process's environment into its memory.

    Workers, the sandbox and the embedded server get copies of the environment when they start; a key that is no
    longer in it can't reach them, nor what hostile code might read of them.
    """
    for model in models:
        if model.key_env and (key := os.environ.pop(model.key_env, "").strip()):
            _held[model.key_env] = key


def key_of(model: Model) -> str:
    """The key a model names, held or still in the environment; empty if there is none."""
    name = model.key_env or ""
    return _held.get(name) or os.environ.get(name, "").strip()
