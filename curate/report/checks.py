"""A list of what was checked, and of what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["Checks", "Problem"]

_MOST: Final = 5
"""Problems of one kind in one file that are told; of more just how many there are."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        check: which check found it.
        file: where.
        row: which row of the dataset, -1 where it is no single one.
        cause, cure: what is wrong, and what to do.
    """

    check: str
    file: str
    row: int
    cause: str
    cure: str

    def __str__(self) -> str:
        row = f" row {self.row:,}" if self.row >= 0 else ""
        return f"{self.file}:{row} {self.cause}; {self.cure}"


@dataclass
class Checks:
    """What was looked at, by check: how many of what; and what is wrong."""

    looked: dict[str, tuple[int, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _told: dict[tuple[str, str], int] = field(default_factory=dict)

    def saw(self, check: str, count: int, what: str) -> None:
        """So many more of these were looked at."""
        self.looked[check] = (self.looked.get(check, (0, what))[0] + count, what)

    def wrong(self, check: str, file: str, cause: str, cure: str, row: int = -1) -> None:
        """Something is wrong; of one kind in one file the first few are told."""
        told = self._told.get((check, file), 0)
        self._told[check, file] = told + 1
        if told < _MOST:
            self.problems.append(Problem(check, file, row, cause, cure))

    def untold(self) -> int:
        """How many more problems there are than ``problems``."""
        return sum(self._told.values()) - len(self.problems)

    def of(self, check: str) -> int:
        """How many problems a check found."""
        return sum(count for (name, _), count in self._told.items() if name == check)
