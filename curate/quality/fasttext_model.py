"""fastText models as classifiers: our own, with the form that they read texts in, and anybody's .bin or .ftz file.

What is scored is folded (``curate.quality.folded``); models that can't be (hierarchical softmax, more labels than it
would be worth) go through the library.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.quality.classifier import EMPTY_SCORE, Scores
from curate.quality.fasttext_file import HIERARCHICAL, FastTextFile, read_fasttext
from curate.quality.fasttext_library import LibraryModel
from curate.quality.fasttext_train import GOOD, FastTextSettings, train_fasttext
from curate.quality.folded import Folded, Precision, fold
from curate.quality.folder import Description, describe, no_model
from curate.quality.labels import Choice, choice
from curate.quality.text_form import TextForm
from curate.text.batch import Batch

MODELS: Final = ("model.npz", "model.ftz", "model.bin")
"""What a folder's model may be called, in the order in which they are looked for."""
_FORM: Final = TextForm()
_WHOLE: Final = TextForm(max_bytes=None)
_MOST_BYTES: Final = 2 << 30
"""Of a folded table: above, a model goes through the library, whose table is smaller where labels are many."""

Model = Folded | LibraryModel


class FastTextClassifier:
    """A fastText model, the form in which it reads texts, and what of its probabilities is the score."""

    def __init__(self, model: Model, form: TextForm, wanted: Choice, *, own: bool) -> None:
        self.model = model
        self.form = form
        self._wanted = wanted
        self._own = own

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's labels, without ``__label__``."""
        return self.model.labels

    def score(self, docs: Batch) -> Scores:
        """P(label), or the expected value of labels that are numbers, for each text.

        EMPTY_SCORE for a text without words; a model that is not ours has its own opinion of that.
        """
        scores = self._wanted(self.probabilities(docs)).astype(np.float32)
        return np.where(np.isnan(scores), np.float32(EMPTY_SCORE), scores)

    def probabilities(self, docs: Batch) -> npt.NDArray[np.float64]:
        """P of each label, float64[n, labels], without the 1e-5 that ``predict`` adds; NaN where nothing is known."""
        from curate.text.arrow import buffers

        read = self.form.read(docs)
        if isinstance(self.model, LibraryModel):
            lines = self.form.lines(docs.text) if self._own else read.text
            found, words = self.model.probabilities(lines), np.diff(buffers(lines)[0])
        else:
            sums = self.model.sums(*read.utf8, read.words("raw"), own=self._own)
            found, words = self.model.probabilities(sums), sums.words
        if self._own:
            found[words == 0] = np.nan
        return found

    @classmethod
    def load(cls, folder: Path, label: str | None = None) -> Self:
        """The classifier in a folder; raises InputError if there is none, or none that this version can read."""
        form = describe(folder).form
        path = next((folder / name for name in MODELS if (folder / name).is_file()), None)
        if path is None:
            raise no_model(folder)
        model = _read(path)
        default = GOOD.removeprefix("__label__")
        return cls(model, form, choice(model.labels, label, default, str(path)), own=True)

    @classmethod
    def foreign(cls, path: Path, label: str | None = None) -> Self:
        """Anybody's model file: texts are read whole, and as fastText's ``predict`` reads them (line ends are spaces)."""
        model = _read(path)
        default = model.labels[0] if len(model.labels) == 1 else None
        return cls(model, _WHOLE, choice(model.labels, label, default, str(path)), own=False)

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
        train_folder(text, labels, settings, folder, form)
        return cls.load(folder)


def train_folder(
    text: pa.LargeStringArray,
    labels: npt.ArrayLike,
    settings: FastTextSettings,
    folder: Path,
    form: TextForm,
    top: int = 1,
) -> None:
    """Train on texts with labels 0 to ``top`` (see ``train_fasttext``); write model and description to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "model.ftz" if settings.quantize else "model.bin"
    described = settings.model_dump(mode="json")
    if settings.store == "folded":
        with tempfile.TemporaryDirectory(prefix="curate-train-") as temporary:
            train_fasttext(text, labels, settings, form, Path(temporary) / name, top)
            write_folded(Path(temporary) / name, folder, form, **described)
        return
    train_fasttext(text, labels, settings, form, folder / name, top)
    _only(folder, name)
    Description(kind="fasttext", form=form, settings=described).write(folder)


def write_folded(model: Path, folder: Path, form: TextForm, precision: Precision = "float16", **settings: Any) -> None:
    """Make ``folder`` a classifier that holds only the folded table of a model file (``model.npz``, kind ``folded``).

    In half precision a probability moves by 1e-3 at most where a text has few features. ``settings``: how the model was trained, for those who read it.
    Raises InputError for a model that can't be folded.
    """
    file = read_fasttext(model)
    if file.args.loss == HIERARCHICAL:
        raise InputError(
            "hierarchical softmax can't be folded", place=str(model), cure="train with loss softmax or ova"
        )
    folder.mkdir(parents=True, exist_ok=True)
    fold(file).write(folder / "model.npz", precision)
    _only(folder, "model.npz")
    Description(kind="folded", form=form, settings=settings).write(folder)


def _only(folder: Path, name: str) -> None:
    """Remove the models that an earlier training left beside ``name``."""
    for other in MODELS:
        if other != name:
            (folder / other).unlink(missing_ok=True)


def _read(path: Path) -> Model:
    if path.suffix == ".npz":
        return Folded.read(path)
    file = read_fasttext(path)
    if file.args.loss == HIERARCHICAL or _folded_bytes(file) > _MOST_BYTES:
        return LibraryModel.load(path, file.labels, file.label_tokens)
    return fold(file)


def _folded_bytes(file: FastTextFile) -> int:
    # A pruned model has few rows of the matrix, but its folded table a place for every bucket.
    rows = len(file.words) + file.args.bucket if file.pruned is not None and len(file.pruned) else file.input.rows
    return 4 * rows * len(file.label_tokens)
