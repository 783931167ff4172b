"""Symbols and merges of a SentencePiece BPE model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from curate.text.bpe_merges import CHARACTER, POINTS, Symbols, pair_table
from curate.text.fixed_strings import fixed_strings
from curate.text.piece_model import BPE, BYTE, NORMAL, UNUSED, USER_DEFINED, PieceModel
from curate.text.space_sign import SPACE

__all__ = ["mergeable", "piece_symbols"]

_SPACE: Final = " "


def mergeable(model: PieceModel) -> dict[str, int] | None:
    """Ids of the pieces that merges make, and of their characters, spaces as spaces; None: its texts are not just merged."""
    plain = model.model_type == BPE and model.byte_fallback and model.escape_spaces and not model.space_behind
    if not plain or model.charsmap or model.remove_extra_spaces or UNUSED in model.types:
        return None
    pairs = list(zip(model.pieces, model.types, strict=True))
    if any(_SPACE in piece for piece, kind in pairs if kind in (NORMAL, USER_DEFINED)):
        return None  # never found: the library has turned spaces into U+2581 by then
    own = {piece for piece, kind in pairs if kind not in (NORMAL, USER_DEFINED)}
    if any(len(piece) == 1 for piece in own) or any(
        piece in own for piece, kind in pairs if kind in (NORMAL, USER_DEFINED)
    ):
        return None  # whether such a text becomes that symbol depends on the library's version
    return {piece.replace(SPACE, _SPACE): i for i, (piece, kind) in enumerate(pairs) if kind == NORMAL}


def piece_symbols(model: PieceModel, normal: Mapping[str, int]) -> Symbols | None:
    """Of a model and its ``mergeable`` pieces; None: it has too many user-defined symbols."""
    of_point = np.zeros(POINTS, np.uint32)
    of_byte = np.zeros(256, np.uint32)
    user = dict[bytes, int]()
    for i, (piece, kind) in enumerate(zip(model.pieces, model.types, strict=True)):
        if kind == BYTE:
            of_byte[int(piece[3:5], 16)] = i
        if kind == USER_DEFINED:
            user[piece.replace(SPACE, _SPACE).encode()] = i
        if len(piece) == 1:
            of_point[ord(piece.replace(SPACE, _SPACE))] = i + 1
    fixed = fixed_strings(user)
    if fixed is None:
        return None
    scores = np.array([model.scores[i] for i in normal.values()], np.float32)
    ranks = np.unique(-scores, return_inverse=True)[1]
    pairs = list[tuple[int, int, int, int]]()

    def symbol(part: str) -> int | None:
        if len(part) > 1:
            return normal.get(part)
        return int(of_point[ord(part)]) - 1 if of_point[ord(part)] else CHARACTER | ord(part)

    for (piece, i), rank in zip(normal.items(), ranks.tolist(), strict=True):
        for cut in range(1, len(piece)):
            left, right = symbol(piece[:cut]), symbol(piece[cut:])
            if left is not None and right is not None:
                pairs.append((left, right, rank, i))
    table = np.array(pairs, np.int64).reshape(-1, 4).T
    return Symbols(of_point, of_byte, False, pair_table(*table), fixed)
