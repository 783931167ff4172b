"""A batch of rows whose text stays in Arrow buffers, with derived views that are computed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from curate.text.arrow import Bytes, Offsets
    from curate.text.atoms import Atoms
    from curate.text.lines import Lines
    from curate.text.words import Policy, Words


class Batch:
    """Rows of one record batch; immutable: a stage that edits text makes a new one.

    Derived views (words, lines, ...) are cached, so that ten rules cost one pass over the text; the batches that
    ``with_rows`` and ``filter`` give share them.
    """

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows
        self._views: dict[str, Any] = {}

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
        """The rows where ``keep`` is true, with what is known of their words and lines."""
        from curate.text.rows import kept

        made = Batch(self.rows.filter(keep))
        mask = keep.to_numpy(zero_copy_only=False)
        made._views = {name: kept(view, mask) for name, view in self._views.items() if name != "atoms"}
        return made

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

        if "atoms" not in self._views:
            self._views["atoms"] = atoms(*self.utf8)
        found: Atoms = self._views["atoms"]
        return found

    def words(self, policy: Policy) -> Words:
        """The text's words under a named policy (see ``curate.text.words``), computed once; each consumer names its own."""
        from curate.text.words import tokenized, words

        if policy not in self._views:
            if policy == "tokens":
                self._views[policy] = tokenized(*self.utf8, self.words("gopher"))
            else:
                self._views[policy] = words(*self.utf8, policy, self.atoms)
        found: Words = self._views[policy]
        return found

    @property
    def lines(self) -> Lines:
        """The text's lines as byte ranges, computed once."""
        from curate.text.lines import lines

        if "lines" not in self._views:
            self._views["lines"] = lines(*self.utf8, self.atoms)
        found: Lines = self._views["lines"]
        return found

    @property
    def paragraphs(self) -> Lines:
        """The text's paragraphs (runs of lines that are not empty) as byte ranges, computed once."""
        from curate.text.lines import paragraphs

        if "paragraphs" not in self._views:
            self._views["paragraphs"] = paragraphs(self.lines)
        found: Lines = self._views["paragraphs"]
        return found
