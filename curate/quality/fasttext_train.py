"""Training of fastText models: one thread, a fixed seed, zeroed memory, rows in an order of their content."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate import environment
from curate.errors import InputError
from curate.quality import fit
from curate.quality.label_columns import SHARES
from curate.quality.text_form import TextForm

GOOD: Final = "__label__good"
BAD: Final = "__label__bad"
_COPIES: Final = 10
"""Lines of a text with a soft label: fastText knows no weights."""
_SEED: Final = 0x74657874626F6F6B


class FastTextSettings(BaseModel):
    """How a fastText model is trained. The defaults give a model of about 10 MB."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(32, ge=1, description="length of the vectors")
    epoch: int = Field(10, ge=1, description="passes over the training rows")
    lr: float = Field(0.3, gt=0, description="learning rate at the start; it falls to 0")
    word_ngrams: int = Field(2, ge=1, description="longest run of words that is a feature")
    min_count: int = Field(2, ge=1, description="rarer words are left out")
    bucket: int = Field(65_536, ge=0, description="rows in the hash table of the n-grams; sets the size of the model")
    loss: Literal["softmax", "ova"] = Field(
        "softmax", description="probabilities that add up to 1, or one yes-or-no of its own for each label (ova)"
    )
    minn: int = Field(0, ge=0, description="shortest run of characters that is a feature")
    maxn: int = Field(0, ge=0, description="longest; 0 for words alone, which is faster")
    quantize: bool = Field(False, description="product quantization: a fourth of the size or less, a little worse")
    cutoff: int = Field(
        0, ge=0, description="with quantize: only so many features with the largest vectors stay; 0: all"
    )
    qnorm: bool = Field(True, description="with quantize: lengths of the vectors are quantized apart from them")
    retrain: bool = Field(False, description="with cutoff: train once more on the features that stay")

    store: Literal["model", "folded"] = Field(
        "model",
        description="what is kept: fastText's file, or only the table that scores (folded): smaller, half precision",
    )

    @model_validator(mode="after")
    def _hashable(self) -> FastTextSettings:
        if (self.word_ngrams > 1 or self.maxn) and self.bucket == 0:
            raise ValueError("word_ngrams above 1 and maxn need a bucket above 0")
        if self.maxn and not 1 <= self.minn <= self.maxn:
            raise ValueError("minn lies between 1 and maxn")
        if (self.cutoff or self.retrain) and not self.quantize:
            raise ValueError("cutoff and retrain are about quantized models: set quantize")
        if self.retrain and not self.cutoff:
            raise ValueError("retrain needs a cutoff")
        if self.quantize and self.bucket < 256:
            raise ValueError("quantize needs a bucket of at least 256")
        return self


def train_fasttext(
    text: pa.LargeStringArray,
    labels: npt.ArrayLike,
    settings: FastTextSettings,
    form: TextForm,
    model: Path,
    top: int = 1,
) -> None:
    """Train on texts with labels 0 to ``top``; write the model to ``model`` (``.bin``, or quantized ``.ftz``).

    With ``top`` 1 the labels are called ``good`` and ``bad``. Soft labels (``top`` SHARES) are these two in _COPIES lines a
    text, as many of them good as is nearest to its share; a pass over all lines is so many epochs. Else labels are
    grades and called by what they are worth, grade / top: the expected value of such labels is a score in [0, 1].

    Neither the order of the rows nor the number of cores nor the temporary file's name bears on a byte of the model:
    rows are sorted by a hash of their text, and fastText gets one thread, a fixed seed and memory that is zero (see
    ``fit.py``).
    """
    lines = form.lines(text)
    marks = np.asarray(labels, dtype=np.int8)
    if len(marks) != len(lines):
        raise ValueError(f"{len(lines)} texts but {len(marks)} labels")
    rows = sorted(
        (xxhash.xxh3_64_intdigest(line.encode(), seed=_SEED), line, int(mark))
        for line, mark in zip(lines.to_pylist(), marks.tolist(), strict=True)
        if line
    )
    with tempfile.TemporaryDirectory(prefix="curate-train-") as temporary:
        path = Path(temporary) / "rows.txt"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            if top == SHARES:
                file.writelines(_soft(rows))
            else:
                names = [BAD, GOOD] if top == 1 else [f"__label__{grade / top:g}" for grade in range(top + 1)]
                file.writelines(f"{names[mark]} {line}\n" for _, line, mark in rows)
        _fit(path, settings if top < SHARES else _for_copies(settings), model)


def _soft(rows: Sequence[tuple[int, str, int]]) -> Iterator[str]:
    """Lines of texts with soft labels, all texts once, then again; in which of its copies a text is good, its hash says."""
    for copy in range(_COPIES):
        for key, line, mark in rows:
            good = (key + copy) % _COPIES * SHARES < mark * _COPIES - SHARES // 2
            yield f"{GOOD if good else BAD} {line}\n"


def _for_copies(settings: FastTextSettings) -> FastTextSettings:
    """What means the same where every text is there so many times."""
    epoch, least = -(-settings.epoch // _COPIES), settings.min_count * _COPIES
    return settings.model_copy(update={"epoch": epoch, "min_count": least})


def _fit(rows: Path, settings: FastTextSettings, model: Path) -> None:
    arguments: dict[str, Any] = {
        "dim": settings.dim,
        "epoch": settings.epoch,
        "lr": settings.lr,
        "wordNgrams": settings.word_ngrams,
        "minCount": settings.min_count,
        "bucket": settings.bucket,
        "loss": settings.loss,
        "minn": settings.minn,
        "maxn": settings.maxn,
    }
    if settings.quantize:
        arguments["quantize"] = {"cutoff": settings.cutoff, "qnorm": settings.qnorm, "retrain": settings.retrain}
    command = [sys.executable, "-P", fit.__file__, str(rows), str(model), json.dumps(arguments)]
    done = subprocess.run(command, env=fit.environment(environment.bare()), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        cure = "lower lr" if "NaN" in lines[-1] else "give it more rows, or a smaller min_count"
        raise InputError(f"fastText can't train: {lines[-1]}", cure=cure)
