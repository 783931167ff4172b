"""Whether anything is trained on rows that a split sets aside for validation; checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from curate.errors import RecipeError
from curate.stages.base import Trainer
from curate.stages.select_equal import SelectEqual
from curate.stages.split_lineage import VALIDATION, SplitLineage

if TYPE_CHECKING:
    from curate.recipe.plan import PlannedStep

Steps = Mapping[str, "PlannedStep"]


def check_sides(steps: Steps) -> None:
    """Raise RecipeError, with the line, for a step that trains on rows that may be for validation.

    That is one whose rows come from where a split's come from, before it or behind it, unless one side of the split was
    selected on every way to it. A split that keeps an earlier one's sides, and that one, are one split.
    """
    families: dict[str, list[str]] = {}
    for name, step in steps.items():
        if isinstance(step.stage, SplitLineage):
            families[name] = families.get((step.stage.earlier or "").partition(".")[0], [])
            families[name].append(name)
    for family in {names[0]: names for names in families.values()}.values():
        columns = {f"{name}.side" for name in family}
        behind = set().union(*(_above(name, steps) for name in family))
        for name, step in steps.items():
            if not isinstance(step.stage, Trainer):
                continue
            above = _above(name, steps)
            related = any(not steps[one].inputs for one in above & behind)
            if related and not all(_selected(one, columns, steps) for one in step.inputs):
                split = [one for one in family if one in above][-1:] or family
                raise RecipeError(
                    f"'{name}' ({step.stage.name}) would be trained on rows that '{split[0]}' may set aside for validation",
                    place=step.step.place,
                    cure=f"let it read a step 'use: select.where' with column: {split[0]}.side and equals: train; what "
                    "trains before the corpus is complete needs a split before it (see 'earlier' of split.lineage)",
                )


def _above(name: str, steps: Steps) -> set[str]:
    """A step, and all whose rows come to it."""
    found, waiting = {name}, [name]
    while waiting:
        for above in steps[waiting.pop()].inputs:
            if above not in found:
                found.add(above)
                waiting.append(above)
    return found


def _selected(name: str, columns: set[str], steps: Steps) -> bool:
    """Whether all rows of a step passed a selection of the other side, or were made of such rows alone."""
    step = steps[name]
    if isinstance(step.stage, SelectEqual) and step.stage.column in columns:
        return VALIDATION not in step.stage.equals
    return bool(step.inputs) and all(_selected(above, columns, steps) for above in step.inputs)
