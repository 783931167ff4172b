"""fastText models as classifiers.

Only ``predict`` with a list is called: with a string, stock fasttext 0.9.3 raises ValueError under NumPy 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.quality.classifier import EMPTY_SCORE, Scores
from curate.quality.fasttext_train import BAD, GOOD, FastTextSettings, train_fasttext
from curate.quality.folder import Description, describe, no_model
from curate.quality.text_form import TextForm
from curate.text.batch import Batch

_ROWS_AT_ONCE: Final = 1024
_FORM: Final = TextForm()


class FastTextClassifier:
    """A fastText model with two labels, and the form in which it reads texts."""

    def __init__(self, model: Any, form: TextForm) -> None:
        self._model = model
        self.form = form

    def score(self, docs: Batch) -> Scores:
        """P(good) for each text; EMPTY_SCORE for one without words."""
        lines = self.form.lines(docs.text)
        scores = np.full(len(lines), EMPTY_SCORE, dtype=np.float32)
        for start in range(0, len(lines), _ROWS_AT_ONCE):
            part = lines.slice(start, _ROWS_AT_ONCE).to_pylist()
            rows = [i for i, line in enumerate(part) if line]
            if rows:
                scores[start + np.asarray(rows)] = self._predict([part[i] for i in rows])
        return scores

    def _predict(self, lines: list[str]) -> Scores:
        labels, probabilities = self._model.predict(lines, k=2)
        first_is_good = np.array([row[0] == GOOD for row in labels])
        values = np.array([np.asarray(row, dtype=np.float64) for row in probabilities])
        good = np.where(first_is_good, values[:, 0], values[:, 1])
        # fastText adds 1e-5 to each probability; dividing by the sum keeps [0, 1] and the order near both ends.
        return (good / values.sum(axis=1)).astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The classifier in a folder; raises InputError if there is none, or none that this version can read."""
        form = describe(folder).form
        path = next((folder / n for n in ("model.ftz", "model.bin") if (folder / n).is_file()), None)
        if path is None:
            raise no_model(folder)
        import fasttext

        try:
            model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"fastText can't read the model: {error}", place=str(path), cure="train it again"
            ) from None
        if sorted(model.labels) != [BAD, GOOD]:
            raise InputError(f"the model's labels are {sorted(model.labels)}", place=str(path), cure="train it again")
        return cls(model, form)

    @classmethod
    def train(
        cls,
        text: pa.LargeStringArray,
        labels: npt.ArrayLike,
        settings: FastTextSettings,
        folder: Path,
        form: TextForm = _FORM,
    ) -> Self:
        """Train on texts with labels 1 (good) and 0 (bad); write the model and its description to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        name, other = ("model.ftz", "model.bin") if settings.quantize else ("model.bin", "model.ftz")
        train_fasttext(text, labels, settings, form, folder / name)
        (folder / other).unlink(missing_ok=True)
        Description(kind="fasttext", form=form, settings=settings.model_dump(mode="json")).write(folder)
        return cls.load(folder)
