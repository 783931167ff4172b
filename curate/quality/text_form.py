"""The form in which a classifier reads a text: the same for training and for scoring, and stored with the model.

fastText reads a line of words. A document becomes one like this:

- the words are read that lie wholly within its first ``max_bytes`` bytes;
- under ``case: lower`` its letters are made small, by Unicode's simple case folding;
- what ends a word is white space as fastText has it: the bytes 9 to 13, 32 and 0. So a line feed, which would end the
  document, is a space like any other; a no-break space belongs to a word;
- words that begin with ``__label__`` (in a training file they would be labels) and the word ``</s>`` (at which fastText
  stops reading) are left out, as if they were not there: the words on both sides are neighbours.

``read`` and ``lines`` say the same to those who score (``curate.quality.folded``) and to those who train: a model's
score of a text is what fastText predicts for its line.
"""

from __future__ import annotations

from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate.text.batch import Batch

_ROWS_AT_ONCE: Final = 1024


class TextForm(BaseModel):
    """What is done to a text before its words are looked at; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int | None = Field(
        8_192, ge=64, description="words within so many first bytes of a text are read; null: all of them"
    )
    case: Literal["keep", "lower"] = Field("keep", description="'lower': capitals count as small letters")

    def read(self, docs: Batch) -> Batch:
        """The rows as they are read: ``docs`` itself where nothing is cut or changed, else a batch of texts alone.

        It is a view of ``docs``: classifiers of one form share it and its words.
        """
        made, limit = docs, self.max_bytes
        if limit is not None:
            cut = docs.view(f"first {limit}", lambda: _cut(docs, limit))
            made = docs if cut is None else cut
        if self.case == "lower":
            made = made.view("small letters", lambda: _small(made))
        return made

    def cut(self, text: pa.LargeStringArray | pa.ChunkedArray) -> pa.LargeStringArray:
        """As much of each text as is read, in its own case; nulls become empty. What is cut reads as the whole does."""
        whole = Batch.of(_one_array(text))
        return self.model_copy(update={"case": "keep"}).read(whole).text

    def lines(self, text: pa.LargeStringArray | pa.ChunkedArray) -> pa.LargeStringArray:
        """Texts as fastText reads them from a training file: words with one space between two, empty where none is."""
        from curate.text.fasttext_lines import lines

        whole = _one_array(text)
        parts = []
        for start in range(0, len(whole), _ROWS_AT_ONCE):
            docs = self.read(Batch.of(whole.slice(start, _ROWS_AT_ONCE)))
            parts.append(lines(*docs.utf8, docs.words("raw")))
        return pa.concat_arrays(parts) if parts else pa.array([], pa.large_string())


def _cut(docs: Batch, limit: int) -> Batch | None:
    """The batch cut to its first words; None where it is no longer than that."""
    from curate.text.arrow import from_text
    from curate.text.fasttext_lines import first_words

    offsets, data = docs.utf8
    ends, cut = first_words(offsets, data, limit)
    return None if cut is data else Batch.of(from_text(ends, cut))


def _small(docs: Batch) -> Batch:
    from curate.text.arrow import from_text
    from curate.text.fasttext_lines import small_letters

    return Batch.of(from_text(*small_letters(*docs.utf8)))


def _one_array(text: pa.LargeStringArray | pa.ChunkedArray) -> pa.LargeStringArray:
    whole = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    return pc.fill_null(whole, "").cast(pa.large_string())
