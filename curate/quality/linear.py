# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A weighted sum of a vector's numbers, as it is (ridge) or through the logistic function."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Linear"]


@njit(nogil=True, cache=True)
def _sums(vectors, weights, intercept):
    """float32[n, dim], float64[dim], float64 to float64[n].

    A loop, not BLAS: that adds up a row in another order when the batch has another size, and then a row's score
    depends on its neighbours.
    """
    result = np.empty(len(vectors), np.float64)
    for row in range(len(vectors)):
        # Four sums at once: one alone waits for each addition.
        a = b = c = d = 0.0
        stop = len(weights) // 4 * 4
        for i in range(0, stop, 4):
            a += vectors[row, i] * weights[i]
            b += vectors[row, i + 1] * weights[i + 1]
            c += vectors[row, i + 2] * weights[i + 2]
            d += vectors[row, i + 3] * weights[i + 3]
        for i in range(stop, len(weights)):
            a += vectors[row, i] * weights[i]
        result[row] = intercept + ((a + b) + (c + d))
    return result


@njit(nogil=True, cache=True)
def _logistic(values):
    """float64[n] to float64[n] in [0, 1]; no overflow at either end."""
    result = np.empty(len(values), np.float64)
    for i in range(len(values)):
        power = math.exp(-abs(values[i]))
        result[i] = 1 / (1 + power) if values[i] >= 0 else power / (1 + power)
    return result


@dataclass(frozen=True)
class Linear:
    """Weights float64[dim] and intercept float64[1]; ``logistic``: whether the sum goes through 1 / (1 + exp(-x))."""

    weights: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]
    logistic: bool

    def predict(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """float32[n, dim] to float64[n] in [0, 1]: a ridge's sum is cut off at both ends."""
        sums = _sums(vectors, self.weights, self.intercept[0])
        return _logistic(sums) if self.logistic else np.clip(sums, 0.0, 1.0)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, as they are stored."""
        return {"weights": self.weights, "intercept": self.intercept}

    @classmethod
    def read(cls, arrays: Mapping[str, npt.NDArray[Any]], dim: int, *, logistic: bool) -> Self:
        """From stored arrays; raises ValueError with a clause for what are no weights for ``dim`` numbers."""
        for name, size in (("weights", dim), ("intercept", 1)):
            if name not in arrays:
                raise ValueError(f"it has no array '{name}'")
            if arrays[name].dtype != np.float64 or arrays[name].shape != (size,):
                raise ValueError(f"'{name}' is {arrays[name].dtype}{list(arrays[name].shape)}, not float64[{size}]")
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"'{name}' has NaN or infinite numbers")
        return cls(np.ascontiguousarray(arrays["weights"]), arrays["intercept"], logistic)
