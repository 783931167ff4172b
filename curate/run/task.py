"""A task: a picklable value whose ``run`` does work once, commits it, and returns its small receipt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import CurateError
from curate.store.files import Store, storage_errors, sync_file


@dataclass(frozen=True)
class Task:
    """What every task has.

    Attributes:
        store: where it commits.
        folder: the step's folder in the store.
        key: identity of the task: fingerprint of the step and digest of its input.
    """

    store: Store
    folder: str
    key: str

    @property
    def receipt(self) -> str:
        """Key of the task's receipt."""
        return f"{self.folder}/receipts/{self.key}.json"

    def run(self) -> Any:
        """Do the work unless its receipt is there; return the receipt."""
        return self.store.commit(self.receipt, self.work, self.point, self.settled)

    def commit(self, value: Any, unsynced: Iterable[Path]) -> Any:
        """Make the files durable that ``work`` wrote when it gave this value, and put the receipt; see Bundle."""
        with storage_errors(str(self.store)):
            for path in unsynced:
                sync_file(path)
        return self.store.put_receipt(self.receipt, self.settled(value), self.point)

    def settled(self, value: Any) -> Any:
        """What ``work`` gave, after small files were put that belong before the receipt; the data is durable by then."""
        return value

    @property
    def cost(self) -> int | None:
        """Bytes of input where its work is about in proportion to them; None where one can't say, or others follow it."""
        return None

    @property
    def commits(self) -> int:
        """How many receipts it puts."""
        return 1

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of workers that it is for, see Stage.runs_on."""
        return frozenset()

    @property
    def point(self) -> str:
        """Prefix of the crash points around its commit."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """What it works on, for people."""
        return f"{self.folder} {self.key[:12]}"

    @property
    def size(self) -> int:
        """Bytes of input it stands for, for progress."""
        return 0

    def work(self) -> Any:
        """Write data durably and return the receipt's value."""
        raise NotImplementedError


@contextmanager
def at_step(step: str) -> Iterator[None]:
    """Errors from inside that name no place get the step's name as theirs: a stage knows columns, not where it stands."""
    try:
        yield
    except CurateError as error:
        if error.place or f"'{step}'" in error.cause:
            raise
        raise type(error)(error.cause, place=f"step '{step}'", cure=error.cure) from None
