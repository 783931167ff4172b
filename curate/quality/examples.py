"""The documents that a classifier learns from and is measured on, found in two passes over any number of rows.

The first pass holds hashes only, and chooses contents; the second takes the chosen contents' texts and everything that
any row says about them. So memory is bounded by what was chosen, and what counts for a content does not depend on which
of its rows came first, or on a class being full when the other one's row came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate.quality.classifier import VECTORS
from curate.quality.label_columns import NONE, Hashes, LabelColumn, Labels, Marks, Votes
from curate.quality.sample import HASH, Contents, Smallest
from curate.quality.text_form import TextForm
from curate.text.batch import Batch

Makers = Mapping[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Wanted:
    """What to look for.

    Attributes:
        step: the step's name, for messages.
        labels: the columns with labels in order of trust.
        judge: a column that is compared with the model, or None; it may be one of ``labels``.
        vectors: a column with embeddings, or None.
        form: how much of a text is held.
        per_class, per_source, judged: at most so many contents of a class, of a source within a class, with a judgement.
        exact: whether two grades of one content contradict each other when both are good.
        key: of the hash that chooses.
        tests: sources (patterns) that are only tested on: their contents are chosen apart from the others.
        beside: more columns of numbers, by what they are called in ``Examples.rows``.
    """

    step: str
    labels: tuple[LabelColumn, ...]
    judge: LabelColumn | None
    vectors: str | None
    form: TextForm
    per_class: int
    per_source: int | None
    judged: int
    exact: bool
    key: int
    tests: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)

    def tested(self, sources: pa.Array) -> npt.NDArray[np.bool_]:
        """bool[n]: rows of a source that is only tested on."""
        if not self.tests:
            return np.zeros(len(sources), np.bool_)
        coded = sources.dictionary_encode()
        hit = [any(fnmatchcase(name, p) for p in self.tests) for name in coded.dictionary.to_pylist()]
        return np.asarray([*hit, False])[np.asarray(coded.indices)]

    @property
    def columns(self) -> tuple[LabelColumn, ...]:
        """Every column with labels, those that count first."""
        known = {column.column for column in self.labels}
        return (*self.labels, self.judge) if self.judge and self.judge.column not in known else self.labels

    def read(self, batch: Batch) -> list[Marks]:
        """Each column's labels of a batch; a row without a vector has none, where vectors are wanted."""
        marks = [column.read(batch, self.step) for column in self.columns]
        if self.vectors is None:
            return marks
        there = np.asarray(batch.column(self.vectors).is_valid())
        return [np.where(there, mark, NONE).astype(np.int8) for mark in marks]

    @property
    def judge_place(self) -> int | None:
        """The judge's number among ``columns``."""
        names = [column.column for column in self.columns]
        return names.index(self.judge.column) if self.judge else None


@dataclass(frozen=True)
class Examples:
    """Distinct contents in order of their keyed hash.

    Attributes:
        rows: ``id, document, source, content_hash, text, bytes`` and HASH (VECTORS, and what is wanted beside them), one row a
            content, one chunk.
        labels: what counts for each; NONE for contents that are only compared with the judge, or contradictory.
        votes: every label that a row gave to one of them.
        judge: int8[n], the judge's label, NONE for contents without one.
        makers: by column, who made its labels, where a model did: (model, licence of what it writes), sorted.
        tests: bool[n], contents that a row of a source that is only tested on has.
        seen: rows with a label by class, before anything was chosen; rows that are only tested on do not count.
    """

    rows: pa.Table
    labels: Labels
    votes: Votes
    judge: Marks
    makers: Makers
    tests: npt.NDArray[np.bool_]
    seen: dict[int, int]

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def sources(self) -> npt.NDArray[Any]:
        """str[n] as objects."""
        return np.array(self.rows.column("source").to_pylist(), dtype=object)


def gather(docs: Iterable[Batch], wanted: Wanted) -> Examples:
    """Choose and fetch; ``docs`` is gone through twice."""
    if iter(docs) is docs:
        raise TypeError("rows are gone through twice: give a list, or what can be iterated again")
    classes, judged, seen = _choose(docs, wanted)
    chosen = np.union1d(classes, judged)
    rows, votes, makers, tests = _fetch(docs, chosen, wanted)
    labels = votes.resolve(len(chosen), trusted=len(wanted.labels), exact=wanted.exact)
    place = wanted.judge_place
    return Examples(
        rows,
        _bounded(labels, np.isin(chosen, classes), tests, wanted.per_class),
        votes,
        np.full(len(chosen), NONE, np.int8) if place is None else votes.of(place, len(chosen)),
        makers,
        tests,
        seen,
    )


def _choose(docs: Iterable[Batch], wanted: Wanted) -> tuple[Hashes, Hashes, dict[int, int]]:
    """First pass: hashes of the contents to learn from, and of those to compare with the judge; labelled rows by class."""
    from curate.text.hashing import keyed_hash

    classes, judged, seen = Contents(wanted.per_class, wanted.per_source), Contents(wanted.judged), {1: 0, 0: 0}
    for batch in docs:
        marks = wanted.read(batch)
        hashes = keyed_hash(batch.column("content_hash"), wanted.key)
        good = _first(marks, wanted.labels)
        sources = Shown.of(batch).sources if wanted.per_source or wanted.tests else batch.column("source")
        tests = wanted.tested(sources)
        for mark in seen:
            seen[mark] += int(((good == mark) & ~tests).sum())
        # Tests are classes of their own, so that neither kind takes the other one's places.
        classes.add(hashes, np.where(tests & (good != NONE), good + 2, good).astype(np.int8), sources)
        if wanted.judge_place is not None:
            judged.add(hashes, np.where(marks[wanted.judge_place] == NONE, -1, 0).astype(np.int8), sources)
    return classes.chosen(), judged.chosen(), seen


def _fetch(
    docs: Iterable[Batch], chosen: Hashes, wanted: Wanted
) -> tuple[pa.Table, Votes, Makers, npt.NDArray[np.bool_]]:
    """Second pass: one row of each chosen content, every row's labels, who made them, and what is only tested on."""
    from curate.text.hashing import keyed_hash

    rows, votes = Smallest(rows=len(chosen) + 1, distinct=True), Votes(wanted.columns)
    makers: dict[str, set[tuple[str, str]]] = {column.column: set() for column in wanted.columns}
    tests = np.zeros(len(chosen), np.bool_)
    for batch in docs:
        hashes = keyed_hash(batch.column("content_hash"), wanted.key)
        marks = wanted.read(batch)
        here = np.isin(hashes, chosen) & np.any([mark != NONE for mark in marks], axis=0)
        if not here.any():
            continue
        kept, marks, hashes = batch.filter(pa.array(here)), [mark[here] for mark in marks], hashes[here]
        shown = Shown.of(kept)
        place = np.searchsorted(chosen, hashes)
        tests[place[wanted.tested(shown.sources)]] = True
        votes.add(place, marks)
        rows.add(_row(kept, shown, wanted), hashes)
        for column, mark in zip(wanted.columns, marks, strict=True):
            makers[column.column] |= {maker for row, maker in shown.makers.items() if mark[row] != NONE}
    table = rows.rows()
    return _EMPTY if table is None else table, votes, {name: sorted(found) for name, found in makers.items()}, tests


def _first(marks: Sequence[Marks], labels: Sequence[LabelColumn]) -> Marks:
    """int8[n]: 1 or 0 by the first column that has a label, NONE where none has."""
    good = np.full(len(marks[0]), NONE, np.int8)
    for column, mark in zip(labels, marks, strict=False):
        good = np.where(good == NONE, column.good(mark), good)
    return good


def _bounded(labels: Labels, among: npt.NDArray[np.bool_], tests: npt.NDArray[np.bool_], per_class: int) -> Labels:
    """Labels of contents ``among`` those that were chosen by class, ``per_class`` at most of each, and of each's tests.

    A content that was chosen for one class may count for the other, by a row with a more trusted label.
    """
    out = ~among
    for kind in (0, 1):
        for part in (tests, ~tests):
            out[np.flatnonzero(among & part & (labels.good == kind))[per_class:]] = True
    mark, good, column = (
        np.where(out, NONE, values).astype(np.int8) for values in (labels.mark, labels.good, labels.column)
    )
    return Labels(mark, good, column, labels.contradictory & among, labels.overruled & ~out)


def _row(batch: Batch, shown: Shown, wanted: Wanted) -> pa.Table:
    """What is held of rows: only so much of a text as the model reads; the length is the document's own."""
    columns = {
        "id": batch.column("id"),
        "document": shown.ids,
        "source": shown.sources,
        "content_hash": batch.column("content_hash"),
        "text": wanted.form.cut(batch.text),
        "bytes": pc.binary_length(pc.fill_null(batch.text, "")).cast(pa.int64()),
    }
    if wanted.vectors:
        columns[VECTORS] = batch.column(wanted.vectors)
    columns |= {name: batch.column(column).cast(pa.float64()) for name, column in wanted.beside.items()}
    return pa.table(columns)


@dataclass(frozen=True)
class Shown:
    """The documents that rows are about: a row that is a judgement (``label.llm``) is about the one that was shown.

    Attributes:
        ids: binary(16)[n], of the documents.
        sources: string[n], theirs.
        makers: for rows that a model made, by number of the row: the model and the licence of what it writes.
    """

    ids: pa.Array
    sources: pa.Array
    makers: Mapping[int, tuple[str, str]]

    @classmethod
    def of(cls, batch: Batch) -> Shown:
        """Of a batch's rows."""
        ids, sources, meta = batch.column("id"), batch.column("source"), batch.column("meta")
        judgements = np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring(meta, '"document":'), False)))
        if not len(judgements):
            return cls(ids, sources, {})
        id_list, source_list, makers = ids.to_pylist(), sources.to_pylist(), {}
        for row in judgements.tolist():
            try:
                value = orjson.loads(meta[row].as_py())
                # Beside a document's own fields, where the row keeps these.
                value = value["grade"] if isinstance(value.get("grade"), dict) else value
                shown, source = bytes.fromhex(value["document"]), str(value["source"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # somebody else's field of that name
            if len(shown) == 16:
                id_list[row], source_list[row] = shown, source
                if "model" in value:  # an embedded document, too, says which one it is, and nobody judged it
                    makers[row] = str(value["model"]), str(value.get("licence", ""))
        return cls(pa.array(id_list, ids.type), pa.array(source_list, sources.type), makers)


_EMPTY: Final = pa.table(
    {
        "id": pa.array([], pa.binary(16)),
        "document": pa.array([], pa.binary(16)),
        "source": pa.array([], pa.string()),
        "content_hash": pa.array([], pa.binary(16)),
        "text": pa.array([], pa.large_string()),
        "bytes": pa.array([], pa.int64()),
        HASH: pa.array([], pa.uint64()),
    }
)
