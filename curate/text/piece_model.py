"""What a SentencePiece model file says, read without the library: it gives no normalisation, and no type of a piece.

The file is a protocol buffer, ``sentencepiece_model.proto`` of the library; numbers below are its field numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["BPE", "BYTE", "CONTROL", "NORMAL", "UNIGRAM", "UNKNOWN", "UNUSED", "USER_DEFINED", "PieceModel"]

NORMAL: Final = 1
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
UNUSED: Final = 5
BYTE: Final = 6
UNIGRAM: Final = 1
BPE: Final = 2

Value = int | bytes


@dataclass(frozen=True, slots=True)
class PieceModel:
    """Pieces and settings of a model.

    Attributes:
        pieces: text of each id, with U+2581 for a space.
        scores: float32 values; BPE merges the highest first.
        types: NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED or BYTE for each id.
        model_type: UNIGRAM, BPE, or another.
        byte_fallback: characters that are no piece become bytes.
        space_behind: a space belongs to the word before it.
        charsmap: the compiled rules by which texts are changed first; empty: none.
        dummy_prefix: a space is put in front of each text.
        remove_extra_spaces: spaces are dropped.
        escape_spaces: a space is written as U+2581.
    """

    pieces: list[str]
    scores: list[float]
    types: list[int]
    model_type: int
    byte_fallback: bool
    space_behind: bool
    charsmap: bytes
    dummy_prefix: bool
    remove_extra_spaces: bool
    escape_spaces: bool

    @classmethod
    def read(cls, data: bytes) -> PieceModel:
        """Of the bytes of a model file; raises ValueError if they are none."""
        pieces: list[str] = []
        scores: list[float] = []
        types: list[int] = []
        trainer: dict[int, Value] = {}
        normalizer: dict[int, Value] = {}
        for number, value in _fields(data):
            if number == 1:
                piece = dict(_fields(_bytes(value)))
                pieces.append(_bytes(piece.get(1, b"")).decode())
                scores.append(struct.unpack("<f", _bytes(piece.get(2, bytes(4))))[0])
                types.append(int(piece.get(3, NORMAL)))
            elif number == 2:
                trainer.update(_fields(_bytes(value)))
            elif number == 3:
                normalizer.update(_fields(_bytes(value)))
        return cls(
            pieces=pieces,
            scores=scores,
            types=types,
            model_type=int(trainer.get(3, UNIGRAM)),
            byte_fallback=bool(trainer.get(35, False)),
            space_behind=bool(trainer.get(24, False)),
            charsmap=_bytes(normalizer.get(2, b"")),
            dummy_prefix=bool(normalizer.get(3, True)),
            remove_extra_spaces=bool(normalizer.get(4, True)),
            escape_spaces=bool(normalizer.get(5, True)),
        )


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("not a SentencePiece model")  # noqa: TRY004 - of the file, not of the caller
    return value


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field of a message; numbers that are no varints come as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind, -1)
        if size < 0 or at + size > len(data):
            raise ValueError("not a SentencePiece model")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("not a SentencePiece model")
