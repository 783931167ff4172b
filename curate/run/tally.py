"""Counts of what a step keeps, by source (or another stratum) and by length: so that no topic goes without a word."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.quality.evaluate import LENGTHS
from curate.stages.strata import META, NONE, strata
from curate.store.records import KeptBy, add_kept
from curate.text.batch import Batch

LENGTH: Final = "length"
"""What classes of length are counted under; each is called by its lower end in bytes, as in a classifier's card."""


def tally(docs: Batch, stays: npt.NDArray[np.bool_], by: str) -> KeptBy:
    """Rows and bytes before and after, by the values of ``by`` (see strata) and by length.

    Args:
        docs: the rows before.
        stays: bool[n], which of them stay.
        by: a column, or ``meta.FIELD``.
    """
    sizes = np.asarray(pc.fill_null(pc.binary_length(docs.text), 0)).astype(np.int64)
    # Another branch's column is none of this part's.
    there = by in docs.rows.schema.names or by.startswith(META)
    named = (strata(docs, by) if there else pa.array([NONE] * len(docs), pa.string())).dictionary_encode()
    lengths = np.searchsorted(np.asarray(LENGTHS), sizes, side="right") - 1
    found: KeptBy = {}
    add_kept(found, {by: _counted(np.asarray(named.indices), named.dictionary.to_pylist(), sizes, stays)})
    add_kept(found, {LENGTH: _counted(lengths, [str(n) for n in LENGTHS], sizes, stays)})
    return found


def _counted(
    codes: npt.NDArray[Any], names: list[str], sizes: npt.NDArray[np.int64], stays: npt.NDArray[np.bool_]
) -> dict[str, list[int]]:
    most = len(names)
    columns = [np.bincount(codes[here], minlength=most) for here in (slice(None), stays)]
    # Sums of a batch's bytes are whole numbers far below 2^53: float64 holds them exactly.
    columns += [np.bincount(codes[here], sizes[here], minlength=most) for here in (slice(None), stays)]
    counts = np.stack(columns, axis=1).astype(np.int64).tolist() if most else []
    return {name: each for name, each in zip(names, counts, strict=True) if each[0]}
