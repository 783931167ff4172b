"""What can go wrong, as a tree; each class says what the runner does and which exit code a user sees.

CurateError                 stop the run                                     exit 1
├── RecipeError             the recipe or a command's arguments are wrong    exit 2
├── InputError              an input is missing, empty or not what it says   exit 3
│   └── DamagedInputError   ... and damaged: a source may set such a file aside
├── EndpointError           a model's endpoint or weights can't be used      exit 4
├── BudgetError             the spending cap leaves nothing to work with     exit 5
├── StorageError            the store can't be written or read (disk full)   exit 6
├── GuardError              a step dropped more, or less, than its guard     exit 7
├── VersionError            a half-done step was begun with other versions   exit 8
├── DamagedError            a committed file is missing or differs           exit 9
├── WorkerError             workers died again and again on one task         exit 10
└── BusyError               another command holds the store                  exit 11

A run that ``curate cancel`` stopped ends with code 12 (``CANCELLED``); one that a signal stopped with 128 + its number.
A row or a shard that is bad alone is no exception: it is set aside with a reason, counted in the manifest.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

__all__ = [
    "CANCELLED",
    "BudgetError",
    "BusyError",
    "CurateError",
    "DamagedError",
    "DamagedInputError",
    "EndpointError",
    "GuardError",
    "InputError",
    "RecipeError",
    "StorageError",
    "VersionError",
    "WorkerError",
    "did_you_mean",
]


CANCELLED: Final = 12
"""Of a run that somebody asked to stop: unlike one whose machine was preempted (143) it is not to be begun again."""


class CurateError(Exception):
    """A failure with a cause, a place and a cure, printed as one line without a traceback.

    Args:
        cause: what is wrong, in one clause.
        place: where: ``recipe.yaml:12``, a file, a row; empty when there is none.
        cure: what the user can do; empty when there is nothing to add.
    """

    exit_code = 1

    def __init__(self, cause: str, *, place: str = "", cure: str = "") -> None:
        super().__init__(cause, place, cure)
        self.cause, self.place, self.cure = cause, place, cure

    def __str__(self) -> str:
        text = f"{self.place}: {self.cause}" if self.place else self.cause
        return f"{text}; {self.cure}" if self.cure else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive the default pickling between workers and driver.
        return (_rebuild, (type(self), self.cause, self.place, self.cure))


def _rebuild(kind: type[CurateError], cause: str, place: str, cure: str) -> CurateError:
    return kind(cause, place=place, cure=cure)


class RecipeError(CurateError):
    """The recipe, or what was typed on the command line, is wrong."""

    exit_code = 2


class InputError(CurateError):
    """An input is missing, empty, or not what its name says."""

    exit_code = 3


class DamagedInputError(InputError):
    """The content of an input file is damaged, cut short, or gone; its place is the file's path."""


class EndpointError(CurateError):
    """A model's endpoint can't be reached, or its weights can't be had."""

    exit_code = 4


class BudgetError(CurateError):
    """The spending cap leaves nothing to work with."""

    exit_code = 5


class StorageError(CurateError):
    """The store can't be written or read, a full disk for example."""

    exit_code = 6


class GuardError(CurateError):
    """A step dropped a larger or a smaller share of its rows, or of their text, than its guard allows."""

    exit_code = 7


class VersionError(CurateError):
    """A half-done step was begun with other versions of the libraries that bear on its result."""

    exit_code = 8


class DamagedError(CurateError):
    """A committed file is missing, cut short, or differs from its digest."""

    exit_code = 9


class WorkerError(CurateError):
    """Workers died again and again on one task."""

    exit_code = 10


class BusyError(CurateError):
    """Another command holds the store, or took it because this one seemed dead."""

    exit_code = 11


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A cure that names the nearest of some names, or all of them."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"did you mean '{near[0]}'?" if near else f"there are: {shown or 'none'}"
