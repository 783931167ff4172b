"""A vector on its way from an endpoint to a column: as text, so that the journal and published rounds stay plain JSON.

The text is the base64 of the numbers as little-endian float32: what OpenAI's ``encoding_format: base64`` sends.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.llm.outcome import BAD_VECTOR, Failure

__all__ = ["decode", "encode", "vector_of"]

Vector = npt.NDArray[np.float32]


def encode(vector: npt.ArrayLike) -> str:
    """Numbers as text."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def decode(text: str) -> Vector:
    """float32[dim], from text that ``encode`` or an endpoint made; raises ValueError for any other."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"no base64 of float32 numbers ({error})") from None


def vector_of(data: object) -> Vector | Failure:
    """The one vector of a reply's ``data``, whether it came as base64 or as a list of numbers.

    A reply with no vector, with several, with none that is a vector, or with numbers that are not finite as float32, is
    one kind of failure.
    """
    if not isinstance(data, list) or len(data) != 1:
        count = len(data) if isinstance(data, list) else "no"
        return Failure(BAD_VECTOR, f"{count} vectors for one text")
    value: Any = data[0].get("embedding") if isinstance(data[0], dict) else None
    try:
        with np.errstate(over="ignore"):
            vector = decode(value) if isinstance(value, str) else _numbers(value)
    except (ValueError, TypeError, OverflowError) as error:
        return Failure(BAD_VECTOR, f"the vector is {error}")
    if not len(vector):
        return Failure(BAD_VECTOR, "the vector is empty")
    if not np.isfinite(vector).all():
        return Failure(BAD_VECTOR, "the vector has NaN or infinite numbers")
    return vector


def _numbers(value: object) -> Vector:
    if not isinstance(value, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise ValueError(f"no list of numbers but a {type(value).__name__}")
    return np.array(value, dtype=np.float64).astype(np.float32)
