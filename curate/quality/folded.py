# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A fastText model folded: one number a feature and class instead of a vector.

fastText's prediction is linear: the mean of the features' vectors, times the output matrix. So ``input @ output.T`` is
computed once, and a text's logits are the mean of its features' rows of that. Two labels under softmax need one number
a feature: the second label's logit minus the first's.

Probabilities are softmax, or one-vs-all by fastText's own table of 512 steps, where a step is up to 0.008. They are
what fastText computes before its ``predict`` adds 1e-5 to each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.errors import InputError
from curate.quality.fasttext_file import SOFTMAX, Dense, FastTextFile, Floats, Matrix, Quantized
from curate.store.arrays import read_arrays, write_arrays
from curate.text.fasttext_buckets import buckets_of
from curate.text.fasttext_features import Features, Sums, feature_sums, features

_SLAB_BYTES: Final = 32 << 20
_LANES: Final = 8
_SIGMOID_STEPS: Final = 512
_SIGMOID_END: Final = 8
"""SIGMOID_TABLE_SIZE and MAX_SIGMOID in loss.cc."""
_HALF_MOST: Final = 60_000.0
"""Nearly the largest float16, 65,504."""

_MOST_NGRAMS: Final = (1 << 31) - 1
"""What fastText's own files, and kernels, have room for."""

Precision = Literal["float16", "float32"]


@dataclass(frozen=True)
class Folded:
    """A folded model: what of it is stored, with tables for the kernels made of that.

    Attributes:
        label_tokens: labels as in the dictionary, with their prefix.
        softmax: softmax, else one-vs-all.
        word_ngrams, minn, maxn: the model's; 1 and 0 where it was pruned of all hashed features.
        words: the vocabulary.
        word_values: float32[words, k], without their subwords'.
        bucket_values: float32[bucket, k]; NaN where the model was pruned. k is 1 for softmax with two labels (the
            second one's logit minus the first's), else the number of labels.
    """

    label_tokens: tuple[bytes, ...]
    softmax: bool
    word_ngrams: int
    minn: int
    maxn: int
    words: tuple[bytes, ...]
    word_values: Floats
    bucket_values: Floats

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' names, without ``__label__``."""
        return tuple(t.decode("utf-8", "replace").removeprefix("__label__") for t in self.label_tokens)

    @cached_property
    def features(self) -> Features:
        """The tables that kernels take."""
        return features(
            self.words,
            self.label_tokens,
            self.word_values,
            buckets_of(self.bucket_values),
            self.word_ngrams,
            self.minn,
            self.maxn,
        )

    @property
    def width(self) -> int:
        """Values a feature has."""
        return int(self.word_values.shape[1])

    def sums(self, offsets: Any, data: Any, words: Any, *, own: bool) -> Sums:
        """Sums and counts of the features of rows, see ``feature_sums``."""
        return feature_sums(offsets, data, words, self.features, own=own)

    def probabilities(self, sums: Sums) -> npt.NDArray[np.float64]:
        """P of each label, float64[n, labels]; NaN for a row without any feature."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            logits = sums.values / sums.counts[:, None]
            if not self.softmax:
                return sigmoid(logits)
            if self.width == 1 and len(self.label_tokens) == 2:
                return 1 / (1 + np.exp(np.concatenate((logits, -logits), axis=1)))
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)

    def write(self, path: Path, precision: Precision = "float16") -> None:
        """Write it as plain arrays; ``float16`` halves it, and moves a logit by up to 1/2048 of itself."""
        values = [self.word_values, self.bucket_values]
        if precision == "float16" and all(np.nanmax(np.abs(v), initial=0) < _HALF_MOST for v in values):
            values = [v.astype(np.float16) for v in values]
        about = {
            "labels": [t.decode("utf-8", "surrogateescape") for t in self.label_tokens],
            "softmax": self.softmax,
            "word_ngrams": self.word_ngrams,
            "minn": self.minn,
            "maxn": self.maxn,
        }
        text = json.dumps(about, sort_keys=True).encode()
        arrays = {"about": text, "words": b"\0".join(self.words)}
        blobs = {name: np.frombuffer(raw, np.uint8) for name, raw in arrays.items()}
        write_arrays(path, {**blobs, "word_values": values[0], "bucket_values": values[1]})

    @classmethod
    def read(cls, path: Path) -> Folded:
        """What ``write`` wrote; raises InputError for anything else."""
        arrays = read_arrays(path)
        try:
            about = json.loads(arrays["about"].tobytes())
            blob = arrays["words"].tobytes()
            found = cls(
                label_tokens=tuple(str(t).encode("utf-8", "surrogateescape") for t in about["labels"]),
                softmax=bool(about["softmax"]),
                **{name: int(about[name]) for name in ("word_ngrams", "minn", "maxn")},
                words=tuple(blob.split(b"\0")) if blob else (),
                word_values=_values(arrays["word_values"]),
                bucket_values=_values(arrays["bucket_values"]),
            )
            found._check()
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
            raise InputError(f"not a folded model: {why}", place=str(path), cure="train it again") from None
        return found

    def _check(self) -> None:
        labels = len(self.label_tokens)
        width = 1 if self.softmax and labels == 2 else labels
        if not labels or self.word_values.shape != (len(self.words), width) or self.bucket_values.shape[1:] != (width,):
            raise ValueError(f"{labels} labels, {len(self.words)} words, values {self.word_values.shape}")
        if max(abs(n) for n in (self.word_ngrams, self.minn, self.maxn)) > _MOST_NGRAMS:
            raise ValueError(f"wordNgrams {self.word_ngrams}, minn {self.minn}, maxn {self.maxn}")
        if not all(self.words) or len(set(self.words)) < len(self.words):
            raise ValueError("a word is empty or there twice")
        if not len(self.bucket_values) and (self.word_ngrams > 1 or self.maxn > 0):
            raise ValueError("n-grams, but no buckets")
        if not (np.isfinite(self.word_values).all() and not np.isinf(self.bucket_values).any()):
            raise ValueError("values that are no numbers")


def fold(model: FastTextFile) -> Folded:
    """Fold a model of softmax or one-vs-all; raises InputError where its matrices hold NaN or infinity.

    Besides the result, one slab of 32 MB of the input is in memory at a time.
    """
    args, output = model.args, model.output.decoded(0, model.output.rows).astype(np.float64)
    softmax = args.loss == SOFTMAX
    weights = output[1:] - output[:1] if softmax and len(output) == 2 else output
    kept = len(model.words) + (args.bucket if model.pruned is None else len(model.pruned))
    values = np.empty((kept, len(weights)), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for start, part in _slabs(model.input, kept, weights):
            values[start : start + len(part)] = part
    if not (np.isfinite(values).all() and np.isfinite(output).all()):
        raise InputError(
            "the model's matrices hold numbers that are none (NaN or infinity)",
            place=str(model.path),
            cure="train it again with a lower learning rate",
        )
    words, hashed = values[: len(model.words)], values[len(model.words) :]
    if model.pruned is not None:
        whole = np.full((args.bucket if len(model.pruned) else 0, len(weights)), np.nan, np.float32)
        whole[model.pruned[:, 0]] = hashed[model.pruned[:, 1]]
        hashed = whole
    some = len(hashed) > 0
    return Folded(
        model.label_tokens,
        softmax,
        args.word_ngrams if some else 1,
        args.minn if some else 0,
        args.maxn if some else 0,
        model.words,
        words,
        hashed,
    )


def _slabs(matrix: Matrix, rows: int, weights: npt.NDArray[np.float64]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(first row, float64[k, classes]) of ``matrix @ weights.T``, summed in a fixed order whatever BLAS there is."""
    step = max(1, _SLAB_BYTES // (4 * matrix.columns))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        if isinstance(matrix, Dense):
            out = np.empty((stop - start, len(weights)), np.float64)
            _products(matrix.decoded(start, stop), weights, out)
        else:
            out = _quantized_products(matrix, start, stop, weights)
        yield start, out


@njit(nogil=True, cache=True)
def _products(rows, weights, out):
    """``out = rows @ weights.T`` (float32, float64, float64), each product of vectors in eight sums."""
    part = np.empty(_LANES, np.float64)
    for i in range(len(rows)):
        for c in range(len(weights)):
            part[:] = 0.0
            whole = rows.shape[1] // _LANES * _LANES
            for j in range(0, whole, _LANES):
                for lane in range(_LANES):
                    part[lane] += np.float64(rows[i, j + lane]) * weights[c, j + lane]
            for j in range(whole, rows.shape[1]):
                part[j - whole] += np.float64(rows[i, j]) * weights[c, j]
            out[i, c] = part.sum()


def _quantized_products(
    matrix: Quantized, start: int, stop: int, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The same for a quantized matrix: each centroid is multiplied once, and a row's products are looked up."""
    out = np.zeros((stop - start, len(weights)), np.float64)
    first = 0
    for i, centroids in enumerate(matrix.parts.centroids):
        part = weights[:, first : first + centroids.shape[1]]
        products = np.empty((len(centroids), len(weights)), np.float64)
        _products(np.ascontiguousarray(centroids), np.ascontiguousarray(part), products)
        out += products[matrix.parts.codes[start:stop, i]]
        first += centroids.shape[1]
    return out if matrix.norms is None else out * matrix.norms[start:stop, None]


def sigmoid(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``Loss::sigmoid`` of any array: a table of 512 steps between -8 and 8, in float32 as there; NaN stays."""
    at = np.arange(_SIGMOID_STEPS + 1) * np.float32(2 * _SIGMOID_END) / np.float32(_SIGMOID_STEPS) - _SIGMOID_END
    table = (1 / (1 + np.exp(-at.astype(np.float64)))).astype(np.float32).astype(np.float64)
    x = logits.astype(np.float32)
    steps = (np.clip(x, -_SIGMOID_END, _SIGMOID_END) + np.float32(_SIGMOID_END)) * np.float32(_SIGMOID_STEPS)
    steps = steps / np.float32(_SIGMOID_END) / np.float32(2)
    found = table[np.nan_to_num(steps).astype(np.int64)]
    found = np.where(x < -_SIGMOID_END, 0.0, np.where(x > _SIGMOID_END, 1.0, found))
    return np.where(np.isnan(x), np.nan, found)


def _values(array: npt.NDArray[Any]) -> Floats:
    if array.dtype not in (np.float16, np.float32) or array.ndim != 2:
        raise ValueError(f"values of {array.dtype}, {array.ndim} dimensions")
    return np.ascontiguousarray(array, np.float32)
