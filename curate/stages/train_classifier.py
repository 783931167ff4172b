"""train.classifier: a model from labelled documents, with a card that says how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field, model_validator

from curate.errors import InputError
from curate.quality import card, classifier, report, routing
from curate.quality.cross_fit import CrossFitted, Folds, fold_folder
from curate.quality.examples import Examples, Wanted, gather
from curate.quality.fasttext_train import FastTextSettings
from curate.quality.heads_train import HeadSettings
from curate.quality.kinds import NEED_VECTORS, Job, Lesson, train_all
from curate.quality.label_columns import GRADES, NONE, SHARES, LabelColumn
from curate.quality.lessons import Balance, Division, Mask, divide, set_aside
from curate.quality.report import NAMES
from curate.quality.search import Search, search
from curate.quality.text_form import TextForm
from curate.quality.words_train import WordsSettings
from curate.stages.base import Context, Trainer
from curate.stages.registry import register
from curate.text.batch import Batch


@register("train.classifier")
class TrainClassifier(Trainer):
    """Train a classifier on documents with labels, and measure it on documents that it has not seen.

    ``labels`` names columns in order of trust; of each document the first one that has a label counts, and contents that
    this one calls both good and bad are left out. Of each class the contents with the smallest keyed hash are taken,
    copies once. Near copies (``curate.quality.split``) are one group, and a group is held out, or trained on, as a whole.

    What was trained on is cross-fitted: ``folds`` more models are trained, each without one fold of the groups, and
    ``score.classifier`` gives a document in a fold the score of the model that has not seen it. Writes the models,
    ``settings.json``, ``folds.npz`` and ``card.md``.
    """

    revision: ClassVar[int] = 7

    label: str | None = Field(
        None, description="column with the label, 1 good and 0 bad, such as 'labels.label'; short for one of 'labels'"
    )
    labels: list[str | LabelColumn] = Field(
        [],
        description="columns with labels, the most trusted first: a name (labels 0 and 1), or {column: judge.score, "
        "scale: 0-5, good_from: 3, licence: ...}; rows without a label are not trained on",
    )
    judge: str | None = Field(
        None,
        description="column with a judge's score 0-5 that the model is compared with; by default the first such column of 'labels'",
    )
    target: Literal["good", "grade", "share"] = Field(
        "good",
        description="learn good against bad; the grades 0-5: then the score is the expected grade / 5; or soft labels "
        "(scale 'share') as they are: then the score is the expected share",
    )
    route: str | None = Field(
        None,
        description="a 'route.answers' step: the classifier is a router, good is what needs the large model, and the card says "
        "which quality is kept at which share of calls of the large model",
    )
    test_sources: list[str] = Field(
        [],
        description="sources (patterns: *, ?) that are never trained on: the card says how good the model is on them",
    )
    max_per_class: int = Field(20_000, ge=1, description="at most so many documents a class")
    max_per_source: int | None = Field(None, ge=1, description="at most so many documents of a source in each class")
    min_per_class: int = Field(20, ge=2, description="with fewer documents to train on a class, stop")
    balance: Balance = Field(
        "none",
        description="train on as many documents of each class ('equal'), or on a number that grows with its square root",
    )
    held_out: float = Field(
        0.2, gt=0, lt=1, description="share of each class kept for the evaluation, near copies together"
    )
    folds: int = Field(
        4,
        ge=0,
        le=20,
        description="models for cross-fitting; 0: documents that were trained on are scored as any other",
    )
    threshold: float = Field(
        0.5, ge=0, le=1, description="score from which the report counts a document as said to be good"
    )
    most_wrong: int = Field(10, ge=0, description="how many of the worst mistakes the card names")
    max_judged: int = Field(10_000, ge=1, description="at most so many judged documents are compared")
    about: str = Field("", description="a sentence for the card: what good means here")
    labels_licence: str = Field("", description="terms under which the labels may be used")
    form: TextForm = Field(TextForm(), description="how texts are read, in training and scoring alike")
    model: Literal["fasttext", "words", "forest", "ridge", "logistic"] = Field(
        "fasttext",
        description="kind of the model: `words` for few labels and unlike sources; the last three learn from embeddings (`vectors`)",
    )
    fasttext: FastTextSettings = Field(FastTextSettings(), description="how a fastText model is trained")
    words: WordsSettings = Field(WordsSettings(), description="how a model of which words occur is trained")
    autotune: Search | None = Field(
        None,
        description="try so many other settings first, such as {trials: 8}, and take the best by groups that are set aside",
    )
    head: HeadSettings = Field(HeadSettings(), description="how a model that learns from embeddings is trained")
    vectors: str | None = Field(None, description="column with embeddings, for the kinds that learn from them")

    def needs_packages(self) -> frozenset[str]:
        """What trains models other than fastText's."""
        return frozenset({"scikit-learn"} if self.model != "fasttext" else ())

    @model_validator(mode="after")
    def _consistent(self) -> TrainClassifier:
        if (self.label is None) == (not self.labels):
            raise ValueError("name the label's column with 'label', or several with 'labels'")
        names = [column.column for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("'labels' names a column twice")
        scale = {"grade": "0-5", "share": "share"}.get(self.target)
        if scale and any(column.scale != scale for column in self.columns):
            raise ValueError(f"target '{self.target}' needs labels on the scale {scale}")
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to train on: folds is 0, or 2 and more")
        if self.autotune and self.model != "fasttext":
            raise ValueError("autotune is for fastText models")
        if self.target == "grade" and self.model in ("logistic", "words"):
            raise ValueError(f"'{self.model}' learns good against bad: let a 'ridge' or a 'forest' learn grades")
        if (self.model in NEED_VECTORS) != (self.vectors is not None):
            raise ValueError(f"'{self.model}' {'needs' if self.vectors is None else 'has no use for'} 'vectors'")
        return self

    @property
    def columns(self) -> tuple[LabelColumn, ...]:
        """The label columns in order of trust."""
        found = self.labels or [str(self.label)]
        return tuple(LabelColumn(column=each) if isinstance(each, str) else each for each in found)

    @property
    def _beside(self) -> dict[str, str]:
        return {name: f"{self.route}.{name}" for name in routing.COLUMNS} if self.route else {}

    @property
    def _judge(self) -> LabelColumn | None:
        known = [c for c in self.columns if (c.scale == "0-5" if self.judge is None else c.column == self.judge)]
        if known or self.judge is None:
            return known[0] if known else None
        return LabelColumn(column=self.judge, scale="0-5")

    def reads(self) -> frozenset[str]:
        """The labels' columns, the judge's, the embeddings', and those of the answers that a router is measured by."""
        names = {column.column for column in self.columns} | {*self._beside.values()}
        return frozenset(names | {name for name in (self.judge, self.vectors) if name})

    def train(self, docs: Iterable[Batch], out: Path, ctx: Context) -> Mapping[str, Any]:
        """Sample, divide, train, evaluate; see the class."""
        examples = gather(docs, self._wanted(ctx))
        classes = examples.labels.mark if self.target == "grade" else examples.labels.good  # shares are no classes
        division = divide(
            examples,
            classes,
            share=self.held_out,
            folds=self.folds,
            balance=self.balance,
            key=lambda purpose: ctx.key(ctx.step, purpose),
        )
        counts = report.counts(examples, division)
        self._check(counts, ctx)
        settings, found = self._fit(examples, division, out, ctx)
        result = {
            **self._facts(examples, division, counts, ctx),
            "settings": self._shown(settings),
            **found,
            **self._measure(examples, division, out, ctx),
        }
        (out / "card.md").write_text(card.render(result), encoding="utf-8")
        return result

    def _wanted(self, ctx: Context) -> Wanted:
        return Wanted(
            step=ctx.step,
            labels=self.columns,
            judge=self._judge,
            vectors=self.vectors,
            form=self.form,
            per_class=self.max_per_class,
            per_source=self.max_per_source,
            judged=self.max_judged,
            exact=self.target == "grade",
            key=ctx.key(ctx.step, "sample"),
            tests=tuple(self.test_sources),
            beside=self._beside,
        )

    def _check(self, counts: Mapping[str, int], ctx: Context) -> None:
        names = " or ".join(f"'{column.column}'" for column in self.columns)
        if not any(counts[f"seen_{name}"] for name in NAMES.values()):
            raise InputError(
                f"step '{ctx.step}': no document has a label in column {names}",
                cure="look at what the step before it labels",
            )
        if self.test_sources and not any(counts[f"tested_{name}"] for name in NAMES.values()):
            raise InputError(
                f"step '{ctx.step}': no labelled document is of the test sources {', '.join(self.test_sources)}",
                cure="name sources that are there, or leave test_sources out",
            )
        for mark, name in NAMES.items():
            train, held, seen = (counts[f"{part}_{name}"] for part in ("train", "held_out", "seen"))
            if train >= self.min_per_class and held:
                if not self.folds or counts[f"train_groups_{name}"] > 1:
                    continue
                raise InputError(
                    f"step '{ctx.step}': all {train} documents of class {mark} ({name}) to train on are near copies of each "
                    "other, so no fold can do without them",
                    cure="give it other documents of that class, or set folds to 0",
                )
            if not seen:
                cause = f"no document has label {mark} ({name}) in column {names}: one class alone teaches nothing"
            else:
                cause = (
                    f"class {mark} ({name}) is too small: {seen} documents in {counts[f'groups_{name}']} groups of near "
                    f"copies, {train} to train on, {held} held out"
                )
            raise InputError(
                f"step '{ctx.step}': {cause}",
                cure=f"give it at least {self.min_per_class} distinct documents of each class and some to hold out, "
                "or lower min_per_class",
            )

    def _fit(self, examples: Examples, division: Division, out: Path, ctx: Context) -> tuple[BaseModel, dict[str, Any]]:
        """Choose the settings, train the model and the folds' models; the settings, and how they were chosen."""
        marks = examples.labels.good if self.target == "good" else examples.labels.mark
        top = {"good": 1, "grade": GRADES - 1, "share": SHARES}[self.target]
        whole = Lesson(examples.rows, marks, top, self.form)
        settings: BaseModel = {"fasttext": self.fasttext, "words": self.words}.get(self.model, self.head)
        found = None
        if self.autotune:
            settings, found = search(
                self.model,
                whole,
                settings,
                self.autotune,
                division.used,
                set_aside(examples, division, self.autotune.held_out, ctx.key(ctx.step, "autotune")),
                lambda model, some: report.score_rows(model, examples.rows.filter(pa.array(some)), ctx.step),
            )
        jobs = [Job(division.used, settings, out)]
        jobs += [Job(division.used & (division.fold != k), settings, fold_folder(out, k)) for k in range(self.folds)]
        train_all(self.model, whole, jobs)
        if self.folds:
            Folds.of(examples.rows.column("content_hash"), division.fold).write(out)
        return settings, {"search": found}

    def _facts(self, examples: Examples, division: Division, counts: Mapping[str, int], ctx: Context) -> dict[str, Any]:
        """What is known before anything is scored."""
        return {
            "name": ctx.step,
            "about": self.about,
            "labels_licence": self.labels_licence,
            "target": self.target,
            "model": self.model,
            "rows": dict(counts),
            "groups": report.groups(examples, division),
            "labels": report.by_source(examples),
            "columns": report.by_column(examples, self.columns),
            "agreements": examples.votes.agreements(len(examples)),
            "folds": self.folds,
        }

    def _on_grades(self, examples: Examples) -> Mask:
        """bool[n]: the label that counts is on the scale 0-5."""
        scales = np.array([column.scale == "0-5" for column in self.columns])
        return scales[examples.labels.column] & (examples.labels.column != NONE)

    def _shown(self, settings: BaseModel) -> dict[str, Any]:
        """The settings that bear on the model, for the card."""
        return {
            **self.form.model_dump(mode="json"),
            **settings.model_dump(mode="json"),
            "balance": self.balance,
            "max_per_source": self.max_per_source,
            "folds": self.folds,
        }

    def _measure(self, examples: Examples, division: Division, out: Path, ctx: Context) -> dict[str, Any]:
        """Scores of everything, each by a model that has not seen it, and what they are worth."""
        model = classifier.load(out)
        scores = report.score_rows(model, examples.rows, ctx.step)
        grade, known = self.target == "grade", examples.labels.good != NONE
        result: dict[str, Any] = {}
        for name, grades, mine in (
            ("held_out", "grades", division.held & known),
            ("tests", "tests_grades", examples.tests & known),
        ):
            result[name] = result[grades] = None
            if mine.any():
                result[name] = report.measured(
                    examples, scores, mine, threshold=self.threshold, most_wrong=self.most_wrong
                )
            graded = mine & self._on_grades(examples)
            if graded.any():
                marks = examples.labels.mark[graded]
                result[grades] = report.grades(marks, scores[graded], as_grade=grade)
            if self.target == "share" and mine.any():
                result[name] |= {"shares": report.shares(examples.labels.mark[mine], scores[mine])}
        result["cross_fitted"] = result["judge"] = None
        if isinstance(model, CrossFitted):
            used = examples.rows.filter(pa.array(division.used))
            plain = np.zeros(len(examples), np.float32)
            plain[division.used] = report.score_rows(model.plain, used, ctx.step)
            result["cross_fitted"] = report.cross_fitted(examples, plain, scores, division.used, self.threshold)
        if judge := self._judge:
            result["judge"] = report.against_judge(
                examples, judge, scores, division, threshold=self.threshold, as_grade=grade
            )
        if self.route:
            fresh = known & ~examples.tests & (division.held | (division.fold >= 0))
            result["route"] = report.routed(examples, scores, fresh, ctx.key(ctx.step, "routing"))
        result["bytes"] = sum(p.stat().st_size for p in out.iterdir() if p.stem == "model")
        return result
