"""What may go to the hub: a dataset's files, its card, and whether the terms of its documents let them be given on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curate.errors import RecipeError
from curate.report.card import card
from curate.report.origins import UNSTATED as NOT_STATED
from curate.report.origins import count_origins
from curate.report.run_folder import RunFolder
from curate.report.step import Step
from curate.stages.terms import UNKNOWN, UNSTATED, USES, conflicts
from curate.store.dataset import Dataset, side_table
from curate.store.records import SIDE

__all__ = ["Publication", "publication"]

_GIVEN_ON: Final = "train-open"
"""The use whose duties are those of whoever gives texts on: say where they are from, under which licence and name."""
_NOT_GIVEN_ON: Final = "evaluate"
"""The use that says of itself that nothing is given on."""
_MOST: Final = 4


@dataclass(frozen=True)
class Publication:
    """What is pushed.

    Attributes:
        files: paths in the repository, and what is there.
        folders: of the repository, that are this dataset's.
        accepted: terms that ask for more than to be named, which the user accepted, with their rows.
    """

    files: dict[str, Path | bytes]
    folders: tuple[str, ...]
    accepted: dict[str, int]


def publication(dataset: Dataset, run: RunFolder, step: str, accept: Iterable[str]) -> Publication:
    """The files of a dataset, with its card; every shard is the one that was written.

    Args:
        step: the writer of the run that made it.
        accept: terms that the user accepts aloud.

    Raises:
        RecipeError: the terms of its documents do not let them be given on, or ask for what was not accepted.
        DamagedError: a shard differs from what was written.
    """
    writer = run.steps[step]
    origins = count_origins(run, writer)
    rows: Counter[str] = Counter()
    for origin in origins.values():
        for name, n in origin.licences.items():
            rows[UNSTATED if name == NOT_STATED else name] += n
    accepted = _check(run, writer, rows, list(accept))
    for shard in dataset.shards:
        dataset.check(shard)
    files: dict[str, Path | bytes] = {"README.md": card(run, writer, origins).encode()}
    files |= {f"{step}/{e.key}": dataset.folder.path(e.key) for e in dataset.folder.list() if "/" not in e.key}
    table = side_table(dataset.folder)
    if dataset.kind == "tokens":
        files |= {f"{step}{SIDE}/{e.key}": table.path(e.key) for e in table.list() if "/" not in e.key}
    return Publication(files, (step, f"{step}{SIDE}"), accepted)


def _check(run: RunFolder, writer: Step, rows: Counter[str], accept: list[str]) -> dict[str, int]:
    """What was accepted, by rows; raises RecipeError for what was not."""
    use = run.manifest.get("use")
    if use == _NOT_GIVEN_ON:
        raise RecipeError(
            f"the recipe declares use: {use} ({USES[use].about})",
            place=f"step {writer.id}",
            cure="write a dataset under another use, whose terms are then checked",
        )
    asked = {terms: conflicts("" if terms == UNSTATED else terms, _GIVEN_ON) for terms in rows}
    asking = {terms: said for terms, said in asked.items() if said}
    left = {
        terms
        for terms, said in asking.items()
        if not (UNKNOWN in accept and said == {UNKNOWN})
        and conflicts("" if terms == UNSTATED else terms, _GIVEN_ON, accept)
    }
    if left:
        ordered = sorted(left, key=lambda terms: (-rows[terms], terms))
        shown = [f"{rows[t]:,} rows under '{t}' ({', '.join(sorted(asking[t]))})" for t in ordered[:_MOST]]
        more = f", {len(ordered) - _MOST} more terms" if len(ordered) > _MOST else ""
        raise RecipeError(
            f"terms of its documents ask for more than to be named where they are given on: {', '.join(shown)}{more}",
            place=f"step {writer.id}",
            cure=f"leave them out, or, if you may give them on, say for each: {_consent(ordered, asking)}",
        )
    return {terms: rows[terms] for terms in sorted(asking)}


def _consent(ordered: list[str], asking: dict[str, frozenset[str]]) -> str:
    """What to type: terms that nothing is known of have one word for all of them."""
    named = [f"--accept-terms '{terms}'" for terms in ordered if asking[terms] != {UNKNOWN}]
    return " ".join([*named[:_MOST], *(["--accept-terms unknown"] if len(named) < len(ordered) else [])])
