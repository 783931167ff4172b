"""What a dataset carries with it of the manifest of its run, so that a copy still names its origin."""

from __future__ import annotations

import json
from typing import Any, Final

from curate.errors import DamagedError
from curate.store.files import Store

PROVENANCE: Final = "provenance.json"
"""File in a dataset's folder: the part of the run's manifest that the dataset was made of."""


def of_dataset(whole: dict[str, Any], writer: str) -> dict[str, Any]:
    """The part of a manifest that one writer's dataset was made of; ``dataset`` names the writer's step."""
    by_id = {step["id"]: step for step in whole["steps"]}
    found: set[str] = set()
    above = [writer]
    while above:
        name = above.pop()
        if name not in found:
            found.add(name)
            above += [*by_id[name]["from"], *by_id[name]["uses"].values()]
    steps = [step for step in whole["steps"] if step["id"] in found]
    asked = {step["settings"].get("model") for step in steps}
    return {
        **whole,
        "dataset": writer,
        "models": {name: model for name, model in whole["models"].items() if name in asked},
        "inputs": {name: files for name, files in whole["inputs"].items() if name in found},
        "steps": steps,
    }


def provenance(folder: Store) -> dict[str, Any]:
    """What a dataset's folder says of its origin; empty where it says nothing.

    Raises DamagedError for a file that is none of ours.
    """
    raw = folder.read(PROVENANCE)
    if raw is None:
        return {}
    try:
        value = json.loads(raw)
        if isinstance(value, dict) and {"manifest", "dataset", "steps"} <= value.keys():
            return value
    except ValueError:
        pass
    raise DamagedError(
        "is not what was written", place=folder.name(PROVENANCE), cure="copy the dataset again from its run"
    )
