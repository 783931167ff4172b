"""Where a run's journal lies; of a store that is no folder, on this machine, with copies of it in the store."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from curate.llm.journal import JOURNAL
from curate.llm.journal_copy import copy_journal, take_up
from curate.store.files import Store


class JournalCopies:
    """Context manager around asking a model.

    At its beginning the journal has what the store's copy has; a copy goes there as rounds close, in a thread of its own,
    and at the end. So another machine goes on from about the last closed round, and this one from the last answer. A
    store that is a folder has the journal in it: nothing is copied.
    """

    def __init__(self, store: Store) -> None:
        self.path = store.state(JOURNAL)
        self._store = store
        self._wanted, self._ended = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        if not self._store.remote:
            return self
        if self._store.exists(JOURNAL):
            with self._store.reading(JOURNAL) as copy:
                take_up(self.path, copy)
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()
        return self

    def closed(self) -> None:
        """A round is closed; raises what the last copy raised."""
        if self._error is not None:
            raise self._error
        self._wanted.set()

    def _copy(self) -> None:
        ended = False
        while not ended:
            self._wanted.wait()
            self._wanted.clear()
            ended = self._ended
            try:
                if self.path.exists():
                    with self._store.writing(JOURNAL) as out:
                        copy_journal(self.path, out)
                self._error = None
            except Exception as error:  # noqa: BLE001 - whoever asks the model is told, whatever it is
                self._error = error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._ended = True
        # Its last round: what came since the last copy.
        self._wanted.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
