"""A batch of rows whose text stays in Arrow buffers, with derived views that are computed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.text.arrow import Bytes, Offsets
    from curate.text.atoms import Atoms
    from curate.text.lines import Lines
    from curate.text.words import Policy, Words

V = TypeVar("V")


class Batch:
    """Rows of one record batch; immutable: a stage that edits text makes a new one.

    Derived views (words, lines, ...) are cached, so that ten rules cost one pass over the text; the batches that
    ``with_rows`` and ``filter`` give share them.
    """

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows
        self._views: dict[str, Any] = {}

    @classmethod
    def of(cls, text: pa.LargeStringArray) -> Batch:
        """A batch of texts alone."""
        return cls(pa.RecordBatch.from_pydict({"text": text}))

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __reduce__(self) -> tuple[type[Batch], tuple[pa.RecordBatch]]:
        # Views are cheaper to compute again than to send.
        return Batch, (self.rows,)

    def with_rows(self, rows: pa.RecordBatch) -> Batch:
        """The same texts with other columns beside them: views found by either are found for both."""
        made = Batch(rows)
        made._views = self._views
        return made

    def filter(self, keep: pa.BooleanArray) -> Batch:
        """The rows where ``keep`` is true, with what is known of each row's words, lines and the like."""
        made = Batch(self.rows.filter(keep))
        made._views = {name: view.kept(keep) for name, view in self._views.items() if hasattr(view, "kept")}
        return made

    def view(self, name: str, make: Callable[[], V]) -> V:
        """What ``make`` finds of the texts, found once; ``name`` says what of, settings included.

        A view with a method ``kept(keep)`` goes with the rows that ``filter`` keeps; others are found anew.
        """
        if name not in self._views:
            self._views[name] = make()
        found: V = self._views[name]
        return found

    def column(self, name: str) -> pa.Array:
        """One column by name; raises KeyError when the batch has none of that name."""
        return self.rows.column(name)

    @cached_property
    def text(self) -> pa.LargeStringArray:
        """The ``text`` column, one large_string array."""
        return self.rows.column("text")

    @cached_property
    def utf8(self) -> tuple[Offsets, Bytes]:
        """The text's offsets int64[n + 1] and bytes uint8[:], zero copy; what kernels take."""
        # numba takes most of a second to import: commands that touch no text do without.
        from curate.text.arrow import buffers

        return buffers(self.text)

    @property
    def atoms(self) -> Atoms:
        """What each byte of the text is, as bit masks; the one pass that words and lines are derived from."""
        from curate.text.atoms import atoms

        return self.view("atoms", lambda: atoms(*self.utf8))

    @property
    def composed(self) -> Batch:
        """The same rows with their texts in NFC, found once; this batch itself where all are in it already."""
        made = self.view("composed", self._composed)
        return self if made is None else made

    def _composed(self) -> Batch | None:
        # None, and not itself: a batch that held itself would outlive its last use.
        from curate.text.atoms import UNSTABLE, rows_with
        from curate.text.normal import composed

        # Words want the atoms anyway: text that is in NFC costs no pass of its own.
        which = rows_with(self.utf8[0], self.atoms, UNSTABLE)
        if not len(which):
            return None
        some = self.text.take(pa.array(which))
        normal = composed(some)
        if normal.equals(some):
            return None
        changes = np.zeros(len(self), np.bool_)
        changes[which] = True
        text = pc.replace_with_mask(self.text, pa.array(changes), normal)
        return Batch(self.rows.set_column(self.rows.schema.get_field_index("text"), "text", text))

    def words(self, policy: Policy) -> Words:
        """The text's words under a named policy (see ``curate.text.words``), computed once; each consumer names its own."""
        from curate.text.words import tokenized, words

        if policy == "tokens":
            return self.view(policy, lambda: tokenized(*self.utf8, self.words("gopher")))
        return self.view(policy, lambda: words(*self.utf8, policy, self.atoms))

    @property
    def lines(self) -> Lines:
        """The text's lines as byte ranges, computed once."""
        from curate.text.lines import lines

        return self.view("lines", lambda: lines(*self.utf8, self.atoms))

    @property
    def paragraphs(self) -> Lines:
        """The text's paragraphs (runs of lines that are not empty) as byte ranges, computed once."""
        from curate.text.lines import paragraphs

        return self.view("paragraphs", lambda: paragraphs(self.lines))
