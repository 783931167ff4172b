"""The form in which a classifier reads a text: the same for training and for scoring, and stored with the model.

fastText reads a line of words, and several things in a document would not be words to it (``TextForm.lines``):

- the text is cut to its first ``max_bytes`` bytes, at the boundary of a character;
- what fastText takes for white space (tab, line feed, vertical tab, form feed, carriage return, NUL) becomes a space: a
  line feed ends the document for it, and raises ValueError in ``predict``;
- ``</s>`` becomes ``< /s>``: fastText stops reading the line at this word;
- ``__label__`` becomes ``__label __``: in a training file such a word is a label.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field


class TextForm(BaseModel):
    """What is done to a text before its words are looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(8_192, ge=64, description="only so many first bytes of a text are read")

    def lines(self, text: pa.LargeStringArray) -> pa.LargeStringArray:
        """Texts as fastText can read them; see the module's docstring."""
        lines = first_bytes(text, self.max_bytes)
        lines = pc.replace_substring_regex(lines, r"[\x00\t\n\x0b\x0c\r]", " ")
        lines = pc.replace_substring(lines, "</s>", "< /s>")
        lines = pc.replace_substring(lines, "__label__", "__label __")
        return pc.utf8_trim(lines, " ")


def first_bytes(text: pa.LargeStringArray, limit: int) -> pa.LargeStringArray:
    """Each text's first ``limit`` bytes, cut at the boundary of a character; nulls become empty."""
    text = pc.fill_null(_one_chunk(text), "").cast(pa.large_string())
    if not len(text):
        return text
    _, offset_buffer, data_buffer = text.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    starts, stops = offsets[:-1], offsets[1:]
    if int((stops - starts).max()) <= limit:
        return text
    data = np.frombuffer(data_buffer, dtype=np.uint8)
    ends = np.minimum(starts + limit, stops)
    for _ in range(3):
        inside = ends < stops
        inside[inside] = (data[ends[inside]] & 0xC0) == 0x80  # a byte that continues a character
        ends = ends - inside
    view = memoryview(data_buffer)
    cut = b"".join(view[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True))
    new_offsets = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int64)
    return pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(new_offsets), pa.py_buffer(cut))


def _one_chunk(text: pa.Array | pa.ChunkedArray) -> pa.Array:
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
