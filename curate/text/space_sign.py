"""U+2581, with which SentencePiece writes a space: texts in which it occurs are escaped, so that it comes back.

U+2581 becomes the two characters ESCAPE ``u`` and ESCAPE becomes ESCAPE ``e``; decoding turns them back. ESCAPE is a
private-use character, so texts without it and without U+2581, nearly all, are encoded as they are.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ESCAPE", "SPACE", "escape", "unescape"]

SPACE: Final = "\u2581"
ESCAPE: Final = "\ue581"


def escape(text: pa.Array) -> pa.Array:
    """Texts without U+2581, from which ``unescape`` restores the originals."""
    text = pc.replace_substring(text, ESCAPE, ESCAPE + "e")
    return pc.replace_substring(text, SPACE, ESCAPE + "u")


def unescape(text: str) -> str:
    """The text that ``escape`` was given. In every escaped text an ESCAPE is followed by ``e`` or ``u``."""
    return text.replace(SPACE, " ").replace(ESCAPE + "u", SPACE).replace(ESCAPE + "e", ESCAPE)
