"""How diverse a set of texts is, whole and by prompt family: what `curate diversity` shows.

Texts are put in an order by a keyed hash of their content (and, of equal ones, of how many came before), so every
measure is a function of the set of texts, whatever files they lie in and in which order. The files are read twice: for the
hashes, then for the texts that these chose. In memory are 16 bytes a text, 90 for each of MOST, and the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, RecipeError
from curate.report.plain import one_line
from curate.report.texts import Texts
from curate.stages.strata import META, NONE, strata
from curate.text import diversity
from curate.text.batch import Batch
from curate.text.hashing import splitmix, xxh64_rows
from curate.text.near_keys import BANDS, near_keys
from curate.text.species import Species

MOST: Final = 1_000_000
"""Texts that near duplicates are looked for in; of more the first ones by hash."""
SAMPLE: Final = 1000
"""Texts of the sample, on which the measures of wording are taken."""
MOST_SAMPLE: Final = 5000
BLEU_TEXTS: Final = 1000
"""Texts of the sample that are compared with each other by BLEU, at most."""
BLEU_WORDS: Final = 256
"""Words of a text that are compared by BLEU: the longer a text, the more of it some other one has, too."""
DISTINCT_WORDS: Final = 20_000
REPEATED: Final = 8
"""Words of an n-gram that makes a repetition: no phrase of the language has so many."""
SLICE: Final = 1 << 14
FUNCTIONS: Final = 1000
FAMILIES: Final = 20
"""Families that are measured, those with the most texts."""
_HEAD: Final = 1 << 16
"""Bytes of a text that are looked at in the sample."""
_KEY: Final = 0x6469766572736974
_CHUNK: Final = 10_000

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Diversity:
    """The measures of a dataset, or of one family of it. Shares are 0 to 1; None where there is too little to measure.

    Attributes:
        dataset: as the user called it.
        family: the value of the column or field that families are told apart by; None for the whole dataset.
        texts, bytes: how many there are, and of how many bytes.
        looked_at: in how many near duplicates were looked for.
        near_duplicates: share of these that nearly repeat an earlier one.
        curve: the same of the first N, as (N, share), N ascending.
        unseen: Good-Turing's estimate of the probability that another text would be new.
        sample: texts that what follows was measured on.
        compression: bytes over compressed bytes (zstd 3) of slices of SLICE bytes.
        distinct: by n different n-grams over n-grams of the first DISTINCT_WORDS words.
        repeated: share of n-grams of REPEATED words that stand in another text, too.
        self_bleu: mean BLEU-4 of the first BLEU_WORDS words of each of at most BLEU_TEXTS with the others as references.
        template: share of texts that begin with ``opening``, the most frequent one.
        shared: share of texts whose opening is that of another one, too.
        vendi: Vendi score, 1 to ``sample``.
        functions, unique_functions: functions of Python, at most FUNCTIONS, and their different normal forms.
    """

    dataset: str
    family: str | None
    texts: int
    bytes: int
    looked_at: int
    near_duplicates: float | None
    curve: list[tuple[int, float]]
    unseen: float | None
    sample: int
    compression: float | None
    distinct: dict[int, float | None]
    repeated: float | None
    self_bleu: float | None
    template: float | None
    opening: str
    shared: float | None
    vendi: float | None
    functions: int
    unique_functions: int


@dataclass(frozen=True)
class Measured:
    """A dataset.

    Attributes:
        whole: all its texts.
        families: the FAMILIES with the most texts; empty where there is one alone.
        more: how many families are not among them.
        set_aside: records that are no documents, by reason.
        notes: what a reader must know.
    """

    whole: Diversity
    families: list[Diversity]
    more: int
    set_aside: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Progress:
    """Who is told how far it is: ``read(bytes)``, and ``measuring(what)`` for each group of texts."""

    read: Callable[[int], None] = lambda _: None
    measuring: Callable[[str], None] = lambda _: None


def measure(texts: Texts, by: str, sample: int = SAMPLE, progress: Progress | None = None) -> Measured:
    """All measures of a dataset, and of its families, which ``by`` tells apart (a column, or ``meta.FIELD``).

    Raises InputError where there is no text, RecipeError where there is no such column, and what reading it raises.
    """
    progress = progress or Progress()
    index = _Index.of(texts, by, progress)
    if not len(index.hashes):
        raise InputError("there is no text in it", place=texts.name, cure="check --text, the field that holds it")
    groups = index.groups()
    chosen = {name: _ordered(index.hashes, rows)[:MOST] for name, rows in groups.items()}
    kept = _Kept(
        np.unique(np.concatenate(list(chosen.values()))), {r for c in chosen.values() for r in c[:sample].tolist()}
    )
    for start, batch in texts.numbered(progress.read):
        kept.add(start, batch)
    found = []
    for name, rows in chosen.items():
        progress.measuring(name or texts.name)
        size = int(index.sizes[groups[name]].sum())
        found.append(
            _measured(texts.name, name, len(groups[name]), size, kept.keys_of(rows), kept.texts_of(rows[:sample]))
        )
    return Measured(
        found[0], found[1:], index.families - len(found) + 1 if index.families > 1 else 0, texts.set_aside, texts.notes
    )


@dataclass(frozen=True)
class _Index:
    """Of each text a hash of its content, its bytes, and the number of its family; the families' names."""

    hashes: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    names: list[str]

    @classmethod
    def of(cls, texts: Texts, by: str, progress: Progress) -> _Index:
        hashes, sizes, codes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        names: dict[str, int] = {}
        for _, batch in texts.numbered(progress.read):
            hashes.append(xxh64_rows(batch.column("text"), _KEY))
            sizes.append(np.asarray(pc.fill_null(pc.binary_length(batch.column("text")), 0)).astype(np.int64))
            said = _families(batch, by).dictionary_encode()
            own = [names.setdefault(name, len(names)) for name in said.dictionary.to_pylist()]
            codes.append(np.array(own, np.int32)[said.indices.to_numpy()] if own else codes[0])
        return cls(np.concatenate(hashes), np.concatenate(sizes), np.concatenate(codes), list(names))

    @property
    def families(self) -> int:
        """How many there are, those without a name not counted."""
        return len(set(self.names) - {NONE})

    def groups(self) -> dict[str | None, Rows]:
        """Rows of the whole (None), then of each family that is measured, the largest first."""
        found: dict[str | None, Rows] = {None: np.arange(len(self.hashes))}
        if self.families > 1:
            counts = np.bincount(self.codes, minlength=len(self.names)).tolist()
            named = [(-count, name) for count, name in zip(counts, self.names, strict=True) if name != NONE]
            for _, name in sorted(named)[:FAMILIES]:
                found[name] = np.flatnonzero(self.codes == self.names.index(name))
        return found


def _families(batch: pa.RecordBatch, by: str) -> pa.StringArray:
    """The family of each row. A field of ``meta`` may also lie in a record's own field ``meta``, as in what a run wrote."""
    if not by.startswith(META) and by not in batch.schema.names:
        raise RecipeError(
            f"there is no column '{by}'", place="--by", cure=f"name one of a run's, or a field of meta, as meta.{by}"
        )
    said = strata(Batch(batch), by)
    if by.startswith(META) and pc.all(pc.equal(said, NONE)).as_py():
        inner = pa.RecordBatch.from_pydict({"meta": strata(Batch(batch), f"{META}meta")})
        return strata(Batch(inner), by)
    return said


def _ordered(hashes: npt.NDArray[np.uint64], rows: Rows) -> Rows:
    """Some rows in an order that depends on nothing but what texts there are.

    The second, third, ... of equal texts have places of their own: copies lie anywhere, as if drawn at random.
    """
    order = rows[np.argsort(hashes[rows], kind="stable")]
    equal = hashes[order]
    first = np.flatnonzero(np.concatenate([[True], equal[1:] != equal[:-1]])) if len(equal) else np.zeros(0, np.int64)
    copy = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    salt = splitmix(_KEY, int(copy.max(initial=0)) + 1)[copy]
    mixed = (equal ^ salt) * np.uint64(0x9E3779B97F4A7C15)
    return order[np.lexsort([equal, mixed ^ (mixed >> np.uint64(32))])]


class _Kept:
    """What is kept of chosen rows: their keys, and of the sample's the beginning of the text."""

    def __init__(self, rows: Rows, sample: set[int]) -> None:
        self._rows, self._sample = rows, sample
        self._keys = np.empty((len(rows), BANDS), np.uint64)
        self._texts: dict[int, str] = {}

    def add(self, start: int, batch: pa.RecordBatch) -> None:
        """Take what is wanted of a batch whose first row has that number."""
        first, last = np.searchsorted(self._rows, [start, start + batch.num_rows])
        if first == last:
            return
        docs = Batch.of(batch.column("text").take(pa.array(self._rows[first:last] - start)))
        self._keys[first:last] = near_keys(docs)
        for at, row in enumerate(self._rows[first:last].tolist()):
            if row in self._sample:
                self._texts[row] = (docs.text[at].as_py() or "")[:_HEAD]

    def keys_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """Keys of some of the rows, in their order."""
        return self._keys[np.searchsorted(self._rows, rows)]

    def texts_of(self, rows: Rows) -> Batch:
        """Texts of some rows of the sample, in their order."""
        return Batch.of(pa.array([self._texts[row] for row in rows.tolist()], pa.large_string()))


def _measured(
    dataset: str, family: str | None, texts: int, size: int, keys: npt.NDArray[np.uint64], docs: Batch
) -> Diversity:
    species = Species()
    copies = np.concatenate([species.add(keys[i : i + _CHUNK]) >= 0 for i in range(0, len(keys), _CHUNK)])
    curve = [(n, float(copies[:n].mean())) for n in grid(len(keys))]
    begins = diversity.templates(docs)
    functions, forms = diversity.unique_functions(docs, FUNCTIONS)
    some = Batch.of(docs.text[:BLEU_TEXTS]) if len(docs) > BLEU_TEXTS else docs
    return Diversity(
        dataset,
        family,
        texts,
        size,
        len(keys),
        curve[-1][1] if curve else None,
        curve,
        species.unseen,
        len(docs),
        diversity.compression(docs, SLICE),
        {n: diversity.distinct(docs, n, DISTINCT_WORDS) for n in (1, 2, 3)},
        diversity.self_repetition(docs, REPEATED),
        diversity.self_bleu(some, BLEU_WORDS),
        begins[0] if begins else None,
        one_line(begins[2], 60) if begins else "",
        begins[1] if begins else None,
        diversity.vendi(docs),
        functions,
        forms,
    )


def grid(count: int) -> Sequence[int]:
    """10, 20, 50, 100, ... below a number, and the number."""
    steps = (step * 10**power for power in range(1, 13) for step in (1, 2, 5))
    return [*(n for n in steps if n < count), *([count] if count else [])]
