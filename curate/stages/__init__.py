"""All stages. A module of this folder whose name has a stage's dots as underscores registers that stage."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil


def load_all() -> None:
    """Import every module of this folder, so that the registry is complete."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def load(name: str) -> None:
    """Import the module of the stage of that name, if it is one of ours."""
    module = f"{__name__}.{name.replace('.', '_')}"
    if name.replace(".", "").replace("_", "").isalnum() and importlib.util.find_spec(module) is not None:
        importlib.import_module(module)
