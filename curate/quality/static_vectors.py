# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Embeddings without a network: each token has a vector, a text's is the mean over its tokens.

The vectors and the tokenizer are files of the ``wordllama`` wheel (256 numbers for each of Llama 2's 32,000 tokens,
distilled by its author, MIT), known by their SHA-256. They are read where they lie: nothing of that package is
imported. Words are what white space separates; each is tokenized as Llama tokenizes it behind a space, once per process
as long as it is remembered, and what is remembered bears on the time alone.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.errors import InputError
from curate.fingerprint import file_digest
from curate.text.batch import Batch
from curate.text.hashing import mix64

__all__ = ["DIMENSIONS", "StaticVectors", "static_vectors"]

DIMENSIONS: Final = 256
_FILES: Final = {
    "weights/l2_supercat_256.safetensors": "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    "tokenizers/l2_supercat_tokenizer_config.json": "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}
_CURE: Final = "pip install 'phi-curate[embeddings]'"
_REMEMBERED: Final = 1 << 20
"""Distinct words after which all are forgotten: some 50 MB."""
_SEED: Final = np.uint64(0x77C9)

Vectors = npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def _find(keys, word):
    """Where a hash is in the table of open addressing, or the free place where it belongs; 0 marks a free one."""
    mask = np.uint64(len(keys) - 1)
    at = mix64(word ^ _SEED) & mask
    while keys[at] != 0 and keys[at] != word:
        at = (at + np.uint64(1)) & mask
    return at


@njit(nogil=True, cache=True)
def _unknown(keys, hashes, stops, limit):
    """int64[k]: places of words within the limit whose hash is not in the table, copies included."""
    found = np.empty(len(hashes), np.int64)
    count = 0
    for i in range(len(hashes)):
        if stops[i] <= limit and keys[_find(keys, hashes[i])] != hashes[i]:
            found[count] = i
            count += 1
    return found[:count].copy()


@njit(nogil=True, cache=True)
def _insert(keys, places, words, first):
    """Remember that the tokens of words[i] begin at first[i]."""
    for i in range(len(words)):
        at = _find(keys, words[i])
        keys[at] = words[i]
        places[at] = first[i]


@njit(nogil=True, cache=True)
def _means(rows, hashes, stops, limit, keys, places, ends, tokens, matrix, out):
    """Write each row's mean into float32[n, dim]; bool[n]: whether it has a token. Numbers are added in order."""
    there = np.zeros(len(rows) - 1, np.bool_)
    for row in range(len(rows) - 1):
        count = 0
        for word in range(rows[row], rows[row + 1]):
            if stops[word] > limit:
                break
            place = places[_find(keys, hashes[word])]
            for k in range(place, ends[place]):
                vector = matrix[tokens[k]]
                for d in range(matrix.shape[1]):
                    out[row, d] += vector[d]
                count += 1
        if count:
            there[row] = True
            for d in range(matrix.shape[1]):
                out[row, d] /= np.float32(count)
    return there


class StaticVectors:
    """The matrix, the tokenizer, and the words met so far. Safe for threads: they take turns."""

    def __init__(self, matrix: Vectors, tokenizer: Any, remembered: int = _REMEMBERED) -> None:
        self._matrix, self._tokenizer, self._remembered = matrix, tokenizer, remembered
        self._mutex = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._keys = np.zeros(1 << 16, np.uint64)
        self._places = np.zeros(1 << 16, np.int64)
        # ends[p]: behind the last token of the word whose tokens begin at p. One slot stays free for words without any.
        self._tokens = np.zeros(1, np.int32)
        self._ends = np.zeros(1, np.int64)

    def of(self, docs: Batch, max_bytes: int) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """float32[n, DIMENSIONS], the mean over the tokens of the words that end within the first ``max_bytes`` bytes,
        and bool[n], whether there are any: a row without one is zero."""
        words = docs.words("gopher")
        out = np.zeros((len(docs), self._matrix.shape[1]), np.float32)
        with self._mutex:
            if self._count > self._remembered:
                self._forget()
            self._learn(docs, max_bytes)
            there = _means(
                words.rows, words.hashes, words.stops, max_bytes, self._keys, self._places, self._ends, self._tokens,
                self._matrix, out,
            )  # fmt: skip
        return out, there

    def _learn(self, docs: Batch, max_bytes: int) -> None:
        """Tokenize the batch's words that are not remembered."""
        words = docs.words("gopher")
        unknown = _unknown(self._keys, words.hashes, words.stops, max_bytes)
        if not len(unknown):
            return
        hashes, first = np.unique(words.hashes[unknown], return_index=True)
        offsets, data = docs.utf8
        place = unknown[first]
        row = np.searchsorted(words.rows, place, side="right") - 1
        starts, stops = offsets[row] + words.starts[place], offsets[row] + words.stops[place]
        texts = [
            data[a:b].tobytes().decode("utf-8", "replace") for a, b in zip(starts.tolist(), stops.tolist(), strict=True)
        ]
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        sizes = np.array([len(one.ids) for one in found], np.int64)
        tokens = np.fromiter((i for one in found for i in one.ids), np.int32, int(sizes.sum()))
        begins = len(self._tokens) + np.cumsum(sizes) - sizes
        begins[sizes == 0] = 0
        ends = np.zeros(len(tokens), np.int64)
        ends[(begins - len(self._tokens))[sizes > 0]] = (begins + sizes)[sizes > 0]
        self._tokens = np.concatenate((self._tokens, tokens))
        self._ends = np.concatenate((self._ends, ends))
        self._grow(len(hashes))
        _insert(self._keys, self._places, hashes, begins)
        self._count += len(hashes)

    def _grow(self, more: int) -> None:
        """Keep the table at most half full."""
        size = len(self._keys)
        while size < 2 * (self._count + more):
            size *= 2
        if size == len(self._keys):
            return
        keys, places = self._keys, self._places
        self._keys, self._places = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        _insert(self._keys, self._places, keys[keys != 0], places[keys != 0])


@lru_cache(maxsize=1)
def static_vectors() -> StaticVectors:
    """Those of this process, read once; raises InputError where the wheel is missing, or is not the one that is known."""
    package, tokenizers = importlib.util.find_spec("wordllama"), importlib.util.find_spec("tokenizers")
    if package is None or tokenizers is None or not package.submodule_search_locations:
        raise InputError("static embeddings are in the wheel 'wordllama', which is not installed", cure=_CURE)
    folder = Path(package.submodule_search_locations[0])
    for name, digest in _FILES.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            raise InputError("not the file of static embeddings that is known", place=str(path), cure=_CURE)
    from tokenizers import Tokenizer

    weights, tokenizer = (folder / name for name in _FILES)
    return StaticVectors(_matrix(weights), Tokenizer.from_file(str(tokenizer)))


def _matrix(path: Path) -> Vectors:
    """The one float16 matrix of a safetensors file: a length, a JSON header, the numbers."""
    raw = path.read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8:begin])["embedding.weight"]
    first, last = (begin + offset for offset in entry["data_offsets"])
    return np.frombuffer(raw[first:last], "<f2").astype(np.float32).reshape(entry["shape"])
