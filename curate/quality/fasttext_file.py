"""fastText's model files (.bin, .ftz), read without the library: settings, dictionary, matrices as they lie in the file.

The layout is that of ``FastText::saveModel`` (version 12, little-endian): a magic number and the version, ``Args``,
``Dictionary``, whether the input is quantized, the input matrix, whether the output is, the output matrix. Matrices
are not read here, but row by row when they are asked for. Every count is compared with what is left of the file before
anything is made of it.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

MAGIC: Final = 793712314
VERSION: Final = 12
OLDER: Final = 11
"""The last version whose classifiers have no subwords, whatever their settings say (``FastText::loadModel``)."""
HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
"""``loss_name`` in args.h; negative sampling predicts as one-vs-all does."""
_SUPERVISED: Final = 3
_CENTROIDS: Final = 256
_LABEL: Final = "__label__"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Args:
    """The settings that bear on a prediction."""

    dim: int
    word_ngrams: int
    loss: int
    bucket: int
    minn: int
    maxn: int


@dataclass(frozen=True)
class Quantizer:
    """A product quantizer: codes uint8[n, parts], and per part the centroids, float32[256, its columns]."""

    codes: npt.NDArray[np.uint8]
    centroids: tuple[Floats, ...]


@dataclass(frozen=True)
class Quantized:
    """A quantized matrix [rows, columns]: a row is its codes' centroids side by side, times its norm where there are any."""

    rows: int
    columns: int
    parts: Quantizer
    norms: Floats | None

    def decoded(self, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop`` as float32."""
        codes = self.parts.codes[start:stop]
        whole = np.concatenate([c[codes[:, i]] for i, c in enumerate(self.parts.centroids)], axis=1)
        return whole if self.norms is None else whole * self.norms[start:stop, None]


@dataclass(frozen=True)
class Dense:
    """A matrix [rows, columns] of float32 that lies at byte ``at`` of a file, and stays there until rows are asked for."""

    path: Path
    at: int
    rows: int
    columns: int

    def decoded(self, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop`` as float32, read from the file."""
        count = (stop - start) * self.columns
        values = np.fromfile(self.path, "<f4", count, offset=self.at + 4 * start * self.columns)
        if len(values) < count:
            raise InputError("the file has become shorter while it was read", place=str(self.path))
        return values.astype(np.float32, copy=False).reshape(-1, self.columns)


Matrix = Dense | Quantized


@dataclass(frozen=True)
class FastTextFile:
    """A supervised fastText model.

    Attributes:
        path: the file.
        args: its settings.
        words: the vocabulary, without labels; word ``i`` is row ``i`` of the input matrix.
        label_tokens: labels as they stand in the dictionary, with their prefix; label ``i`` is row ``i`` of the output.
        pruned: for a pruned model int32[k, 2]: bucket, and which row behind the words it is; None: every bucket is a row.
        input, output: the matrices.
    """

    path: Path
    args: Args
    words: tuple[bytes, ...]
    label_tokens: tuple[bytes, ...]
    pruned: npt.NDArray[np.int32] | None
    input: Matrix
    output: Matrix

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' names, without ``__label__``."""
        return tuple(t.decode("utf-8", "replace").removeprefix(_LABEL) for t in self.label_tokens)


def is_fasttext(path: Path) -> bool:
    """Whether a file begins as fastText's models do."""
    with path.open("rb") as file:
        return file.read(4) == struct.pack("<i", MAGIC)


def read_fasttext(path: Path) -> FastTextFile:
    """Read a model file; raises InputError for one that is not fastText's, damaged, or no classifier."""
    with path.open("rb") as file:
        if path.stat().st_size < 8:
            raise InputError("too short to be a fastText model", place=str(path), cure="give a .bin or .ftz file")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _Reader(data, path).model()


class _Reader:
    """Takes a file apart from front to back."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data = data
        self._path = path
        self._at = 0

    def model(self) -> FastTextFile:
        version = self._head()
        args = self._args(version)
        entries, pruned = self._dictionary()
        words, labels = entries
        quantized = self._flag("whether the input is quantized")
        matrix = self._matrix("input matrix", quantized)
        if pruned is not None and not quantized:
            self._damaged("its dictionary is pruned, but its matrix is not quantized")
        output = self._matrix("output matrix", self._flag("whether the output is quantized") and quantized)
        model = FastTextFile(self._path, args, words, labels, pruned, matrix, output)
        self._check(model)
        return model

    def _head(self) -> int:
        magic, version = self._numbers("<ii", "magic number")
        if magic != MAGIC:
            raise InputError("not a fastText model", place=str(self._path), cure="give a .bin or .ftz file")
        if version not in (OLDER, VERSION):
            raise InputError(
                f"a fastText model of version {version}; {OLDER} and {VERSION} can be read",
                place=str(self._path),
                cure="save it with fastText 0.9",
            )
        return int(version)

    def _args(self, version: int) -> Args:
        values = self._numbers("<12id", "settings")
        dim, _, _, _, _, ngrams, loss, kind, bucket, minn, maxn, _, _ = (int(v) for v in values)
        if kind != _SUPERVISED:
            raise InputError(
                "word vectors, not a classifier", place=str(self._path), cure="give a model of fasttext supervised"
            )
        if loss not in (HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VS_ALL):
            self._damaged(f"its loss is {loss}")
        args = Args(dim, ngrams, loss, bucket, minn, maxn)
        if version == OLDER:
            args = replace(args, maxn=0)
        if dim < 1 or bucket < 0 or ngrams < 0:
            self._damaged(f"dim {dim}, bucket {bucket}, wordNgrams {ngrams}")
        if bucket == 0 and (ngrams > 1 or args.maxn > 0):
            self._damaged("it has n-grams, but no bucket for them")
        return args

    def _dictionary(self) -> tuple[tuple[tuple[bytes, ...], tuple[bytes, ...]], npt.NDArray[np.int32] | None]:
        size, words, labels, _tokens, pruned = self._numbers("<iiiqq", "dictionary")
        if size < 0 or words < 0 or labels < 1 or words + labels != size:
            self._damaged(f"its dictionary has {size} entries, {words} words and {labels} labels")
        self._room(size * 10, f"dictionary of {size:,} entries")
        entries = []
        data, at = self._data, self._at
        for i in range(size):
            stop = data.find(b"\0", at)
            if stop < 0 or stop + 10 > len(data):
                self._cut_off(f"dictionary of {size:,} entries")
            if stop == at or data[stop + 9] != (i >= words):
                self._damaged(f"entry {i} of its dictionary is {'empty' if stop == at else 'of a strange type'}")
            entries.append(data[at:stop])
            at = stop + 10  # the zero, a count of eight bytes, a type
        self._at = at
        found = tuple(entries[:words]), tuple(entries[words:])
        if pruned < 0:
            return found, None
        pairs = self._array(np.dtype("<i4"), 2 * pruned, f"list of {pruned:,} buckets that were kept")
        return found, pairs.reshape(-1, 2).astype(np.int32)

    def _matrix(self, what: str, quantized: bool) -> Matrix:
        if quantized:
            return self._quantized(what)
        rows, columns = self._numbers("<qq", what)
        self._positive(rows, columns, what)
        self._room(4 * rows * columns, f"{what} of {rows:,} x {columns:,}")
        matrix = Dense(self._path, self._at, rows, columns)
        self._at += 4 * rows * columns
        return matrix

    def _quantized(self, what: str) -> Quantized:
        normed = self._flag(what)
        rows, columns, size = self._numbers("<qqi", what)
        self._positive(rows, columns, what)
        codes = self._array(np.dtype("u1"), size, f"{what} of {rows:,} x {columns:,}")
        parts = self._quantizer(codes, rows, columns, what)
        if not normed:
            return Quantized(rows, columns, parts, None)
        norm_codes = self._array(np.dtype("u1"), rows, f"norms of the {what}")
        norms = self._quantizer(norm_codes, rows, 1, f"norms of the {what}")
        return Quantized(rows, columns, parts, norms.centroids[0][norms.codes[:, 0], 0])

    def _quantizer(self, codes: npt.NDArray[np.uint8], rows: int, columns: int, what: str) -> Quantizer:
        dim, parts, width, last = self._numbers("<iiii", what)
        if dim != columns or parts < 1 or width < 1 or last < 1 or (parts - 1) * width + last != dim:
            self._damaged(f"its {what} is quantized in {parts} parts of {width} (the last {last}), {dim} in all")
        if len(codes) != rows * parts:
            self._damaged(f"its {what} has {len(codes):,} codes for {rows:,} rows in {parts} parts")
        flat = self._array(np.dtype("<f4"), dim * _CENTROIDS, f"centroids of the {what}").astype(np.float32)
        cut = (parts - 1) * width * _CENTROIDS
        centroids = [*flat[:cut].reshape(parts - 1, _CENTROIDS, width), flat[cut:].reshape(_CENTROIDS, last)]
        return Quantizer(codes.reshape(rows, parts), tuple(centroids))

    def _check(self, model: FastTextFile) -> None:
        args, rows = model.args, model.input.rows
        needed = len(model.words) + (args.bucket if model.pruned is None else len(model.pruned))
        if rows < needed or model.input.columns != args.dim:
            self._damaged(f"its input matrix is {rows:,} x {model.input.columns}, not {needed:,} x {args.dim}")
        if model.output.rows != len(model.label_tokens) or model.output.columns != args.dim:
            shape = f"{model.output.rows:,} x {model.output.columns}"
            self._damaged(f"its output matrix is {shape}, not {len(model.label_tokens):,} x {args.dim}")
        if model.pruned is not None and len(model.pruned):
            low, high = model.pruned.min(axis=0), model.pruned.max(axis=0)
            if low.min() < 0 or high[0] >= args.bucket or high[1] >= rows - len(model.words):
                self._damaged("a bucket that was kept has no row in its input matrix")

    def _positive(self, rows: int, columns: int, what: str) -> None:
        if rows < 1 or columns < 1:
            self._damaged(f"its {what} is {rows} x {columns}")

    def _flag(self, what: str) -> bool:
        return bool(self._numbers("<?", what)[0])

    def _numbers(self, layout: str, what: str) -> tuple[int, ...]:
        self._room(struct.calcsize(layout), what)
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def _array(self, kind: np.dtype[Any], count: int, what: str) -> npt.NDArray[Any]:
        if count < 0:
            self._damaged(f"its {what} has {count} values")
        self._room(count * kind.itemsize, what)
        values = np.frombuffer(self._data, kind, count, self._at)
        self._at += count * kind.itemsize
        return values

    def _room(self, size: int, what: str) -> None:
        if size > len(self._data) - self._at:
            self._cut_off(what)

    def _cut_off(self, what: str) -> None:
        raise InputError(
            f"a fastText model that ends within its {what}, at byte {len(self._data):,}",
            place=str(self._path),
            cure="the file is truncated or damaged: fetch it again",
        )

    def _damaged(self, what: str) -> None:
        raise InputError(f"a damaged fastText model: {what}", place=str(self._path), cure="fetch it again")
