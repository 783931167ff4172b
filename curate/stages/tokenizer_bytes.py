"""What tokenizers have in common whose pieces are bytes: GPT-2's letters for them, and text from ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt


def _letters() -> dict[int, str]:
    """A visible letter for each byte, as GPT-2's encoder.py has them (``bytes_to_unicode``, MIT licence)."""
    own = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    rest = [byte for byte in range(256) if byte not in own]
    return {byte: chr(byte) for byte in own} | {byte: chr(256 + n) for n, byte in enumerate(rest)}


LETTERS: Final[Mapping[int, str]] = _letters()
"""The letter that stands for a byte in vocabularies of byte-level BPE: a space is ``\u0120``."""
BYTES: Final[Mapping[str, int]] = {letter: byte for byte, letter in LETTERS.items()}


def raw(piece: str) -> bytes | None:
    """The bytes that a piece is written for; None where a letter stands for none."""
    try:
        return bytes(BYTES[letter] for letter in piece)
    except KeyError:
        return None


def whole(pieces: Iterable[bytes]) -> bool:
    """Whether each byte is a piece of its own, so that nothing is unknown."""
    return {piece for piece in pieces if len(piece) == 1} == {bytes((byte,)) for byte in range(256)}


def text_of(table: Sequence[bytes], ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
    """The text of some ids by the bytes of each; what is no UTF-8 becomes U+FFFD."""
    return b"".join(map(table.__getitem__, np.asarray(ids, np.int64).tolist())).decode("utf-8", "replace")
