"""A batch of rows whose text stays in Arrow buffers, with derived views that are computed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from curate.text.arrow import Bytes, Offsets
    from curate.text.atoms import Atoms
    from curate.text.lines import Lines
    from curate.text.words import Policy, Words


class Batch:
    """Rows of one record batch; immutable: a stage that edits text makes a new one.

    Derived views (words, lines, ...) are cached on the batch, so that ten rules cost one pass over the text.
    """

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows
        self._words: dict[str, Words] = {}

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __reduce__(self) -> tuple[type[Batch], tuple[pa.RecordBatch]]:
        # Views are cheaper to compute again than to send.
        return Batch, (self.rows,)

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

    @cached_property
    def atoms(self) -> Atoms:
        """What each byte of the text is, as bit masks; the one pass that words and lines are derived from."""
        from curate.text.atoms import atoms

        return atoms(*self.utf8)

    def words(self, policy: Policy) -> Words:
        """The text's words under a named policy (see ``curate.text.words``), computed once; each consumer names its own."""
        from curate.text.words import tokenized, words

        if policy not in self._words:
            if policy == "tokens":
                found = tokenized(*self.utf8, self.words("gopher"))
            else:
                found = words(*self.utf8, policy, self.atoms)
            self._words[policy] = found
        return self._words[policy]

    @cached_property
    def lines(self) -> Lines:
        """The text's lines as byte ranges, computed once."""
        from curate.text.lines import lines

        return lines(*self.utf8, self.atoms)

    @cached_property
    def paragraphs(self) -> Lines:
        """The text's paragraphs (runs of lines that are not empty) as byte ranges, computed once."""
        from curate.text.lines import paragraphs

        return paragraphs(self.lines)
