"""train.classifier: a fastText model from labelled documents, with a card that says how good it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import InputError
from curate.quality import card, evaluate
from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.fasttext_train import FastTextSettings
from curate.quality.sample import HASH, Smallest, keyed_hash
from curate.quality.text_form import TextForm
from curate.stages.base import Context, Trainer
from curate.stages.registry import register
from curate.text.batch import Batch

GOOD_FROM: Final = 3
"""A judge's score from which a document counts as good: FineWeb-Edu's threshold (arXiv 2406.17557)."""

_NAMES: Final = {1: "good", 0: "bad"}
_ROWS_AT_ONCE: Final = 1024


@register("train.classifier")
class TrainClassifier(Trainer):
    """Train a fastText classifier on documents with a label (1 good, 0 bad), and measure it on held-out ones.

    Of each class the documents with the smallest keyed hash of their content are taken, copies once, contents with both
    labels not at all. The split is by content too; the report also says how good the model is on held-out documents that
    have no near copy among those trained on. Writes the model, ``settings.json`` and ``card.md``.
    """

    revision: ClassVar[int] = 5

    label: str = Field(description="column with the label, such as 'labels.label'; rows without one are not trained on")
    judge: str | None = Field(None, description="column with a judge's score 0-5, such as 'judge.score'; only reported")
    max_per_class: int = Field(20_000, ge=1, description="at most so many documents a class")
    min_per_class: int = Field(20, ge=2, description="with fewer documents to train on a class, stop")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the contents kept for the evaluation")
    threshold: float = Field(
        0.5, ge=0, le=1, description="score from which the report counts a document as said to be good"
    )
    most_wrong: int = Field(10, ge=0, description="how many of the worst mistakes the card names")
    max_judged: int = Field(10_000, ge=1, description="at most so many judged documents are compared")
    about: str = Field("", description="a sentence for the card: what good means here")
    labels_licence: str = Field("", description="terms under which the labels may be used")
    form: TextForm = Field(TextForm(), description="how texts are read, in training and scoring alike")
    fasttext: FastTextSettings = Field(FastTextSettings(), description="how the model is trained")

    def reads(self) -> frozenset[str]:
        """The label's column and the judge's."""
        return frozenset({self.label} | ({self.judge} if self.judge else set()))

    def train(self, docs: Iterable[Batch], out: Path, ctx: Context) -> Mapping[str, Any]:
        """Sample, train, evaluate; see the class."""
        classes = {mark: Smallest(rows=self.max_per_class, distinct=True) for mark in _NAMES}
        judged = Smallest(rows=self.max_judged, distinct=True)
        seen: Counter[int] = Counter()
        key = ctx.key(ctx.step, "sample")
        for batch in docs:
            rows = self._columns(batch)
            hashes = keyed_hash(rows.column("content_hash"), key)
            for mark, sample in classes.items():
                here = pc.fill_null(pc.equal(rows.column("label"), mark), False)
                seen[mark] += int(pc.sum(here).as_py() or 0)
                sample.add(rows.filter(here), hashes[np.asarray(here)])
            here = pc.is_valid(rows.column("judge"))
            judged.add(rows.filter(here), hashes[np.asarray(here)])
        rows, contradictory = _both({mark: sample.rows() for mark, sample in classes.items()})
        held = evaluate.held_out(rows.column("content_hash"), ctx.key(ctx.step, "held out"), self.held_out)
        labels = rows.column("label").to_numpy().astype(np.int8)
        counts = self._counts(seen, labels, held, contradictory)
        self._check(counts, ctx)
        kept = pa.array(~held)
        model = FastTextClassifier.train(
            rows.filter(kept).column("text").combine_chunks(), labels[~held], self.fasttext, out, self.form
        )
        report = {
            "name": ctx.step,
            "about": self.about,
            "labels_licence": self.labels_licence,
            "rows": counts,
            "labels": _by_source(rows.column("source").to_pylist(), labels),
            **self._evaluate(model, rows.filter(pa.array(held)), labels[held], _near_copies(rows.column("text"), held)),
            "judge": self._compare(model, judged.rows(), rows, held),
            "settings": {**self.form.model_dump(mode="json"), **self.fasttext.model_dump(mode="json")},
        }
        (out / "card.md").write_text(card.render(report), encoding="utf-8")
        return report

    def _columns(self, batch: Batch) -> pa.RecordBatch:
        names = ["id", "content_hash", "source", "meta"]
        columns = {name: batch.column(name) for name in names}
        # Only what the model will read is held; the length is the document's own.
        columns["text"] = self.form.cut(batch.text)
        columns["bytes"] = pc.binary_length(pc.fill_null(batch.text, "")).cast(pa.int64())
        columns["label"] = batch.column(self.label).cast(pa.int8())
        nothing = pa.nulls(len(batch), pa.int8())
        columns["judge"] = batch.column(self.judge).cast(pa.int8()) if self.judge else nothing
        return pa.RecordBatch.from_pydict(columns)

    def _counts(
        self, seen: Counter[int], labels: npt.NDArray[np.int8], held: npt.NDArray[np.bool_], contradictory: int
    ) -> dict[str, int]:
        counts = {"contradictory": contradictory}
        for mark, name in _NAMES.items():
            counts[f"seen_{name}"] = seen[mark]
            counts[f"taken_{name}"] = int((labels == mark).sum())
            counts[f"train_{name}"] = int(((labels == mark) & ~held).sum())
            counts[f"held_out_{name}"] = int(((labels == mark) & held).sum())
        return counts

    def _check(self, counts: Mapping[str, int], ctx: Context) -> None:
        for mark, name in _NAMES.items():
            train, held, seen = (counts[f"{part}_{name}"] for part in ("train", "held_out", "seen"))
            if train >= self.min_per_class and held:
                continue
            if not seen:
                cause = f"no document has label {mark} ({name}) in column '{self.label}'"
            else:
                cause = f"class {mark} ({name}) is too small: {seen} documents, {train} to train on, {held} held out"
            raise InputError(
                f"step '{ctx.step}': {cause}",
                cure=f"give it at least {self.min_per_class} distinct documents of each class and some to hold out, "
                "or lower min_per_class",
            )

    def _evaluate(
        self, model: FastTextClassifier, rows: pa.Table, labels: npt.NDArray[np.int8], copies: npt.NDArray[np.bool_]
    ) -> dict[str, Any]:
        scores = model.score(Batch.of(rows.column("text").combine_chunks()))
        sources = rows.column("source").to_pylist()
        lengths = rows.column("bytes").to_numpy()
        wrong = np.where(labels == 1, scores < self.threshold, scores >= self.threshold)
        miss = np.abs(labels - scores.astype(np.float64))
        worst = [i for i in np.argsort(-miss, kind="stable").tolist() if wrong[i]][: self.most_wrong]
        ids = rows.column("id")
        apart = labels[~copies], scores[~copies]
        return {
            "held_out": evaluate.evaluate(labels, scores, sources=sources, lengths=lengths, threshold=self.threshold),
            "near_copies": {
                "rows": int(copies.sum()),
                "roc_auc_without": evaluate.roc_auc(*apart),
                "accuracy_without": evaluate.rates(evaluate.confusion(*apart, self.threshold))["accuracy"],
            },
            "most_wrong": [
                {"id": ids[i].as_py().hex(), "source": sources[i], "label": int(labels[i]), "score": float(scores[i])}
                for i in worst
            ],
        }

    def _compare(
        self, model: FastTextClassifier, judged: pa.Table | None, rows: pa.Table, held: npt.NDArray[np.bool_]
    ) -> dict[str, Any] | None:
        """How far judge, contrast labels and classifier agree, on the judged documents, as it is."""
        if judged is None:
            return None
        hashes = rows.column("content_hash").to_pylist()
        known = dict(zip(hashes, rows.column("label").to_pylist(), strict=True))
        trained = {h for h, out in zip(hashes, held.tolist(), strict=True) if not out}
        contents = judged.column("content_hash").to_pylist()
        own = judged.column("label").to_pylist()
        labels = [known.get(h) if mark is None else mark for h, mark in zip(contents, own, strict=True)]
        grades = judged.column("judge").to_numpy().astype(np.int8)
        scores = model.score(Batch.of(judged.column("text").combine_chunks()))
        metas = [_object(m) for m in judged.column("meta").to_pylist()]
        by_judge, by_model = grades >= GOOD_FROM, scores >= self.threshold
        have = np.array([mark is not None for mark in labels])
        by_label = np.array([mark == 1 for mark in labels])
        return {
            "rows": len(grades),
            "good_from": GOOD_FROM,
            "in_training": sum(h in trained for h in contents),
            "models": sorted({str(m["model"]) for m in metas if "model" in m}),
            "licences": sorted({str(m["licence"]) for m in metas if "licence" in m}),
            "scores": {str(g): int((grades == g).sum()) for g in range(6)},
            "pairs": {
                "judge, label": _pair(by_judge[have], by_label[have]),
                "judge, classifier": _pair(by_judge, by_model),
                "label, classifier": _pair(by_label[have], by_model[have]),
            },
            "quadratic_kappa": evaluate.quadratic_kappa(grades, np.floor(np.minimum(scores * 6, 5))),
            "roc_auc": evaluate.roc_auc(by_judge, scores),
        }


def _near_copies(text: pa.ChunkedArray, held: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which held-out rows share a band of MinHash (``curate.text.minhash``) with a row that is trained on.

    What the model reads of them is then nearly the same: they test nothing. A pair at a Jaccard of 0.8 shares one with
    probability 0.92, of 0.5 0.05, of 0.3 0.001.
    """
    from curate.text.arrow import buffers
    from curate.text.minhash import signatures
    from curate.text.words import words

    parts = [text.slice(start, _ROWS_AT_ONCE) for start in range(0, len(text), _ROWS_AT_ONCE)]
    bands = np.concatenate([signatures(words(*buffers(part), "folded"), 0).bands for part in parts])
    shared = [np.isin(ours, theirs) for ours, theirs in zip(bands[held].T, bands[~held].T, strict=True)]
    known = (bands[held] != 0).any(axis=1)  # rows shorter than a shingle have none
    found: npt.NDArray[np.bool_] = np.any(shared, axis=0) & known
    return found


def _pair(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {"rows": len(a), "agreement": evaluate.agreement(a, b), "cohen_kappa": evaluate.cohen_kappa(a, b)}


def _object(meta: str) -> dict[str, Any]:
    value = json.loads(meta or "{}")
    return value if isinstance(value, dict) else {}


def _by_source(sources: list[str], labels: npt.NDArray[np.int8]) -> dict[str, dict[str, int]]:
    counts = Counter(zip(sources, labels.tolist(), strict=True))
    return {s: {name: counts[s, mark] for mark, name in _NAMES.items()} for s in sorted(set(sources))}


def _both(samples: Mapping[int, pa.Table | None]) -> tuple[pa.Table, int]:
    """Both classes' rows without the contents that are in both, and how many those were."""
    tables = [t for t in samples.values() if t is not None]
    if not tables:
        return _NO_ROWS, 0
    rows = pa.concat_tables(tables).sort_by([(HASH, "ascending"), ("label", "ascending")])
    hashes = rows.column(HASH).to_numpy()
    again = np.concatenate((hashes[1:] == hashes[:-1], [False]))
    either = again | np.roll(again, 1)
    return rows.filter(pa.array(~either)).combine_chunks(), int(again.sum())


_NO_ROWS: Final = pa.table(
    {
        "content_hash": pa.array([], pa.binary(16)),
        "label": pa.array([], pa.int8()),
        "source": pa.array([], pa.string()),
    }
)
