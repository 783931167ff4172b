"""Kinds of models that can be trained: for each, one function from rows and settings to a folder.

``curate.quality.classifier.KINDS`` has the other half: from such a folder to a ``Classifier``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.quality.classifier import VECTORS
from curate.quality.heads import HEADS, Kind
from curate.quality.label_columns import Marks
from curate.quality.text_form import TextForm


@dataclass(frozen=True)
class Lesson:
    """What one model learns from.

    Attributes:
        rows: ``text`` and ``source``, and ``vectors`` for a kind in NEED_VECTORS.
        marks: int8[n], 0 to ``top``.
        top: the best label: 1 (good, against 0), 5 (grades), or SHARES (soft labels, in hundredths).
        form: how texts are read.
    """

    rows: pa.Table
    marks: Marks
    top: int
    form: TextForm

    def only(self, some: npt.NDArray[np.bool_]) -> Lesson:
        """The same with fewer rows."""
        return Lesson(self.rows.filter(pa.array(some)), self.marks[some], self.top, self.form)


Train = Callable[[Lesson, Any, Path], None]
"""Train by the kind's settings; write the model and ``settings.json`` to a folder, which may not exist yet.

Bytes of the folder depend on nothing else, not on the order of the rows. Kinds in IN_PROCESSES are called in several
threads at once.
"""


def _fasttext(lesson: Lesson, settings: Any, folder: Path) -> None:
    from curate.quality.fasttext_model import train_folder

    text = lesson.rows.column("text").combine_chunks()
    train_folder(text, lesson.marks, settings, folder, lesson.form, lesson.top)


def _words(lesson: Lesson, settings: Any, folder: Path) -> None:
    from curate.quality.words_train import train_words

    train_words(lesson.rows, lesson.marks / lesson.top, settings, folder, lesson.form)


def _head(kind: Kind) -> Train:
    def train(lesson: Lesson, settings: Any, folder: Path) -> None:
        from curate.quality.heads_train import train_head
        from curate.quality.vectors import matrix

        vectors, there = matrix(lesson.rows.column(VECTORS))
        train_head(kind, vectors, lesson.marks[there] / lesson.top, settings, folder)

    return train


TRAIN: Final[Mapping[str, Train]] = {"fasttext": _fasttext, "words": _words, **{kind: _head(kind) for kind in HEADS}}
IN_PROCESSES: Final = frozenset({"fasttext"})
"""Kinds that train in a process of their own: several may at the same time. The others do so one after another."""
NEED_VECTORS: Final = frozenset(HEADS)
"""Kinds that learn from a column of embeddings."""


@dataclass(frozen=True)
class Job:
    """One training: of which rows of a lesson (bool[n]), by which settings, into which folder."""

    some: npt.NDArray[np.bool_]
    settings: Any
    folder: Path


def train_all(kind: str, lesson: Lesson, jobs: Sequence[Job]) -> None:
    """Do jobs with one lesson, as many at once as there are cores; only so many copies of their texts are held.

    Raises the error of the first job, in their order, that has one.
    """
    cores = len(os.sched_getaffinity(0)) if kind in IN_PROCESSES else 1
    with ThreadPoolExecutor(max(1, min(len(jobs), cores))) as pool:
        running = [pool.submit(_do, kind, lesson, job) for job in jobs]
        try:
            for each in running:
                each.result()
        finally:
            for each in running:
                each.cancel()


def _do(kind: str, lesson: Lesson, job: Job) -> None:
    TRAIN[kind](lesson.only(job.some), job.settings, job.folder)
