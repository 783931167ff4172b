"""Classifiers: a score in [0, 1] for each text of a batch. One folder holds one classifier.

fastText reads a line of words, and several things in a document would not be words to it. Before training and scoring
alike (``as_lines``):

- the text is cut to its first ``max_bytes`` bytes, at the boundary of a character;
- what fastText takes for white space (tab, line feed, vertical tab, form feed, carriage return, NUL) becomes a space: a
  line feed ends the document for it, and raises ValueError in ``predict``;
- ``</s>`` becomes ``< /s>``: fastText stops reading the line at this word;
- ``__label__`` becomes ``__label __``: in a training file such a word is a label.

Only ``predict`` with a list is called: with a string, stock fasttext 0.9.3 raises ValueError under NumPy 2.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.errors import InputError
from curate.quality import fit

SETTINGS_FILE: Final = "settings.json"
EMPTY_SCORE: Final = 0.0
"""The score of a text without a single word: there is nothing in it to be good. fastText would say about a half."""

_GOOD: Final = "__label__good"
_BAD: Final = "__label__bad"
_KIND: Final = "fasttext"
_ROWS_AT_ONCE: Final = 1024
_SEED: Final = 0x74657874626F6F6B

Scores = npt.NDArray[np.float32]


class Classifier(Protocol):
    """Anything that gives texts a score."""

    def score(self, text: pa.LargeStringArray) -> Scores:
        """One float32 in [0, 1] a row, higher is better; a null counts as an empty text."""
        ...


class FastTextSettings(BaseModel):
    """How a fastText model is trained. The defaults give a model of about 10 MB."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(32, ge=1, description="length of the vectors")
    epoch: int = Field(10, ge=1, description="passes over the training rows")
    lr: float = Field(0.3, gt=0, description="learning rate at the start; it falls to 0")
    word_ngrams: int = Field(2, ge=1, description="longest run of words that is a feature")
    min_count: int = Field(2, ge=1, description="rarer words are left out")
    bucket: int = Field(65_536, ge=0, description="rows in the hash table of the n-grams; sets the size of the model")
    quantize: bool = Field(False, description="product quantization: a fourth of the size or less, a little worse")
    max_bytes: int = Field(8_192, ge=64, description="only so many first bytes of a text are read")

    @model_validator(mode="after")
    def _hashable(self) -> FastTextSettings:
        if self.word_ngrams > 1 and self.bucket == 0:
            raise ValueError("word_ngrams above 1 need a bucket above 0")
        if self.quantize and self.bucket < 256:
            raise ValueError("quantize needs a bucket of at least 256")
        return self


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


def as_lines(text: pa.LargeStringArray, max_bytes: int) -> pa.LargeStringArray:
    """Texts as fastText can read them; see the module's docstring."""
    lines = first_bytes(text, max_bytes)
    lines = pc.replace_substring_regex(lines, r"[\x00\t\n\x0b\x0c\r]", " ")
    lines = pc.replace_substring(lines, "</s>", "< /s>")
    lines = pc.replace_substring(lines, "__label__", "__label __")
    return pc.utf8_trim(lines, " ")


def _one_chunk(text: pa.Array | pa.ChunkedArray) -> pa.Array:
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text


class FastTextClassifier:
    """A fastText model with two labels, and the settings with which texts must be prepared for it."""

    def __init__(self, model: Any, settings: FastTextSettings) -> None:
        self._model = model
        self.settings = settings

    def score(self, text: pa.LargeStringArray) -> Scores:
        """P(good) for each text; EMPTY_SCORE for one without words."""
        lines = as_lines(text, self.settings.max_bytes)
        scores = np.full(len(lines), EMPTY_SCORE, dtype=np.float32)
        for start in range(0, len(lines), _ROWS_AT_ONCE):
            part = lines.slice(start, _ROWS_AT_ONCE).to_pylist()
            rows = [i for i, line in enumerate(part) if line]
            if rows:
                scores[start + np.asarray(rows)] = self._predict([part[i] for i in rows])
        return scores

    def _predict(self, lines: list[str]) -> Scores:
        labels, probabilities = self._model.predict(lines, k=2)
        first_is_good = np.array([row[0] == _GOOD for row in labels])
        values = np.array([np.asarray(row, dtype=np.float64) for row in probabilities])
        good = np.where(first_is_good, values[:, 0], values[:, 1])
        # fastText adds 1e-5 to each probability; dividing by the sum keeps [0, 1] and the order near both ends.
        return (good / values.sum(axis=1)).astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> FastTextClassifier:
        """The classifier in a folder; raises InputError if there is none, or none that this version can read."""
        settings = _settings(folder)
        path = next((folder / n for n in ("model.ftz", "model.bin") if (folder / n).is_file()), None)
        if path is None:
            raise _no_model(folder)
        import fasttext

        try:
            model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"fastText can't read the model: {error}", place=str(path), cure="train it again"
            ) from None
        if sorted(model.labels) != [_BAD, _GOOD]:
            raise InputError(f"the model's labels are {sorted(model.labels)}", place=str(path), cure="train it again")
        return cls(model, settings)

    @classmethod
    def train(
        cls,
        texts: pa.LargeStringArray,
        labels: npt.ArrayLike,
        settings: FastTextSettings,
        folder: Path,
    ) -> FastTextClassifier:
        """Train on texts with labels 1 (good) and 0 (bad), write the model and its settings to ``folder``.

        Neither the order of the rows nor the number of cores nor the temporary file's name bears on a byte of the
        model: rows are sorted by a hash of their text, and fastText gets one thread, a fixed seed and memory that is zero
        (see ``fit.py``).
        """
        lines = as_lines(texts, settings.max_bytes)
        marks = np.asarray(labels, dtype=np.int8)
        if len(marks) != len(lines):
            raise ValueError(f"{len(lines)} texts but {len(marks)} labels")
        rows = sorted(
            (xxhash.xxh3_64_intdigest(line.encode(), seed=_SEED), line, int(mark))
            for line, mark in zip(lines.to_pylist(), marks.tolist(), strict=True)
            if line
        )
        folder.mkdir(parents=True, exist_ok=True)
        name, other = ("model.ftz", "model.bin") if settings.quantize else ("model.bin", "model.ftz")
        with tempfile.TemporaryDirectory(prefix="curate-train-") as temporary:
            path = Path(temporary) / "rows.txt"
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{_GOOD if mark else _BAD} {line}\n" for _, line, mark in rows)
            _fit(path, settings, folder / name)
        (folder / other).unlink(missing_ok=True)
        described = {"kind": _KIND, "settings": settings.model_dump(mode="json")}
        (folder / SETTINGS_FILE).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return cls.load(folder)


def _fit(rows: Path, settings: FastTextSettings, model: Path) -> None:
    arguments = {
        "dim": settings.dim,
        "epoch": settings.epoch,
        "lr": settings.lr,
        "wordNgrams": settings.word_ngrams,
        "minCount": settings.min_count,
        "bucket": settings.bucket,
        "quantize": settings.quantize,
    }
    command = [sys.executable, "-P", fit.__file__, str(rows), str(model), json.dumps(arguments)]
    done = subprocess.run(command, env=fit.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        cure = "lower lr" if "NaN" in lines[-1] else "give it more rows, or a smaller min_count"
        raise InputError(f"fastText can't train: {lines[-1]}", cure=cure)


def _no_model(folder: Path) -> InputError:
    return InputError(
        "no trained classifier in this folder",
        place=str(folder),
        cure="train one with a 'train.classifier' step and name that step, or run 'curate train'",
    )


def _settings(folder: Path) -> FastTextSettings:
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise _no_model(folder)
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["kind"] != _KIND:
            raise InputError(f"unknown kind of classifier '{described['kind']}'", place=str(path))
        return FastTextSettings(**described["settings"])
    except (KeyError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"not the settings of a classifier: {first}", place=str(path), cure="train it again") from None


def load(folder: Path) -> Classifier:
    """The classifier in a folder, read once per process and again when its files have changed."""
    files = sorted(p for p in folder.glob("*") if p.name == SETTINGS_FILE or p.stem == "model")
    stats = tuple((p.name, (s := p.stat()).st_size, s.st_mtime_ns, s.st_ino) for p in files)
    return _load(folder.absolute(), stats)


@lru_cache(maxsize=4)
def _load(folder: Path, stats: tuple[tuple[str, int, int, int], ...]) -> Classifier:  # noqa: ARG001 - part of the cache's key
    return FastTextClassifier.load(folder)
