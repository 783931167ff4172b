"""What documents have of items: hits, and from when on one counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

LAYERS: Final = ("words", "code", "rephrased")
"""What a hit was found by: word n-grams (``curate.text.overlap``), functions in normal form (``curate.text.syntax``), names,
numbers and rare words (``curate.text.rephrased``)."""
WORDS, CODE, REPHRASED = range(len(LAYERS))
REASONS: Final = ("benchmark_ngram", "benchmark_code", "benchmark_rephrased")
"""By layer; a hit by words of something that only counts as a whole is ``benchmark_exact``."""
_TELLING: Final = (("item", "containment"), ("code_item", "tau"), ("rephrased_item", "likely"))
"""By layer, the signals of ``decontaminate`` that name the strongest hit's item, and say how strong it is."""
MOSTLY_RUN: Final = 13
"""Words of an item in a row, below which the share of a document says nothing: "Write a function" is half of many a line."""

HIT: Final = pa.struct(
    [
        ("item", pa.string()),
        ("layer", pa.string()),
        ("part", pa.string()),
        ("strength", pa.float32()),
        ("run", pa.int32()),
        ("of_document", pa.float32()),
    ]
)
"""A hit as a signal of its row has it."""


@dataclass(frozen=True)
class Hits:
    """What rows have of items, a hit each; rows ascending, then layers, then the strongest first.

    Attributes:
        row: int64[h].
        item: int32[h]; see ``Loaded.items``.
        layer: int8[h]; see LAYERS.
        part: int8[h]; of the item, see ``parts``.
        strength: float32[h], 0 to 1; by words the share of the part's n-grams, by code the match rate tau; rephrased: how
            likely it is.
        run: int32[h]; words of the part in a row, 0 in other layers.
        of_row: float32[h]; the share of the row that it is.
        whole: bool[h]; a part that only counts as a whole, and is there.
        unit: int32[h]; by words the unit that was found, 0 in other layers.
        start, stop: int64[h]; bytes of the row's text: of the function, of the passage; 0 by words, see ``spans_of``.
    """

    row: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    layer: npt.NDArray[np.int8]
    part: npt.NDArray[np.int8]
    strength: npt.NDArray[np.float32]
    run: npt.NDArray[np.int32]
    of_row: npt.NDArray[np.float32]
    whole: npt.NDArray[np.bool_]
    unit: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]

    def take(self, at: npt.NDArray[np.generic]) -> Hits:
        """Some of them: by number, or where true."""
        return Hits(**{name: values[at] for name, values in vars(self).items()})

    @classmethod
    def of(cls, several: Sequence[Hits]) -> Hits:
        """Those of several layers, in the order of hits."""
        every = Hits(**{name: np.concatenate([getattr(some, name) for some in several]) for name in vars(several[0])})
        return every.take(np.lexsort((every.layer, every.row)))

    @classmethod
    def spanning(
        cls,
        layer: int,
        part: int,
        row: npt.NDArray[np.int64],
        item: npt.NDArray[np.integer],
        strength: npt.NDArray[np.floating],
        start: npt.NDArray[np.integer],
        stop: npt.NDArray[np.integer],
        sizes: npt.NDArray[np.int64],
    ) -> Self:
        """Hits that are a stretch of their row; ``sizes``: bytes of each row."""
        many = len(row)
        return cls(
            row=row,
            item=item.astype(np.int32),
            layer=np.full(many, layer, np.int8),
            part=np.full(many, part, np.int8),
            strength=strength.astype(np.float32),
            run=np.zeros(many, np.int32),
            of_row=((stop.astype(np.int64) - start) / np.maximum(sizes[row], 1)).astype(np.float32),
            whole=np.zeros(many, np.bool_),
            unit=np.zeros(many, np.int32),
            start=start.astype(np.int64),
            stop=stop.astype(np.int64),
        )

    def lists(self, rows: int, items: pa.StringArray) -> pa.ListArray:
        """By row, all of its hits: list of HIT. ``items``: names of items by their numbers."""
        columns = [
            items.take(pa.array(self.item)),
            pa.array(LAYERS).take(pa.array(self.layer)),
            pa.array(parts()).take(pa.array(self.part)),
            pa.array(self.strength),
            pa.array(self.run),
            pa.array(self.of_row),
        ]
        values = pa.StructArray.from_arrays(columns, fields=list(HIT))
        ends = np.searchsorted(self.row, np.arange(rows + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), values)

    def reasons(self) -> list[str]:
        """By hit, the reason that it is."""
        found = np.where(self.whole, "benchmark_exact", np.array(REASONS)[self.layer])
        return [str(reason) for reason in found]


def parts() -> tuple[str, ...]:
    """Names of the parts of items: those of words, and the solution's function."""
    from curate.text.overlap_units import PARTS  # kernels: a stage that only names signals does without

    return (*PARTS, "solution")


def decisive(reason: str | None, signals: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the signals that have the item and the strength by which a row went.

    Those of the layer that decided; where ``reason`` is none of a layer's, of the first layer with a hit. None without any.
    """
    layer = {"benchmark_exact": WORDS, **{name: number for number, name in enumerate(REASONS)}}.get(reason or "")
    told = _TELLING if layer is None else _TELLING[layer : layer + 1]
    return next((names for names in told if signals.get(names[0]) is not None and names[1] in signals), None)


@dataclass(frozen=True)
class Least:
    """From when on a hit counts; see the settings of ``decontaminate``."""

    containment: float = 0.3
    run: int = 32
    of_document: float = 0.8
    tau: float = 0.9
    likely: float = 0.62

    def counted(self, hits: Hits) -> npt.NDArray[np.bool_]:
        """bool[h]."""
        mostly = (hits.of_row >= np.float32(self.of_document)) & (hits.run >= MOSTLY_RUN)
        enough = (hits.strength >= np.float32(self.containment)) | (hits.run >= self.run) | mostly
        least = np.array([np.inf, self.tau, self.likely], np.float32)[hits.layer]
        return np.asarray(((hits.layer == WORDS) & (hits.whole | enough)) | (hits.strength >= least))
