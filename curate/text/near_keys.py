"""Keys by which nearly equal texts meet, for a state that is small, long-lived and has no texts to compare.

The keys are bands of MinHash signatures (``curate.text.minhash``) of word n-grams; two texts that share one key are taken
for near duplicates, and nothing is verified: the texts of a million earlier answers are not at hand. So chance must not
join texts that merely have a form in common, and with a million earlier ones there are a million chances: 10 bands of 11
join two texts of Jaccard similarity 0.8 with probability 0.59, of 0.9 with 0.98, of 0.4 with 4e-4, of 0.2 with 2e-7. (Of
14 bands of 8, as ``dedup.near`` has them to find candidates, two unrelated short functions of MBPP share one with
probability 6e-7, so that 45 % of new ones would be taken for copies after a million; of 10 of 11 with 2e-8.)

Words are runs of letters and digits in lower case, for code too: an exercise with other signs is no other exercise.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.text.batch import Batch
from curate.text.hashing import splitmix, xxh64_rows
from curate.text.minhash import signatures
from curate.text.ngrams import ngrams
from curate.text.normal import folded

__all__ = ["BANDS", "ROWS", "SHINGLES", "near_keys"]

BANDS: Final = 10
ROWS: Final = 11
SHINGLES: Final = ((25, 5), (8, 3), (1, 1))
"""Texts of at least so many words are compared by runs of so many: one word changed among 8 would leave no run of 5."""
_SEED: Final = 0x6E656172


def near_keys(docs: Batch) -> npt.NDArray[np.uint64]:
    """Keys of each text, uint64[n, BANDS]; texts that share one in the same column are near duplicates.

    A text without a word is like those with the same signs. Nulls read as empty texts.
    """
    words = docs.words("folded")
    counts = np.diff(words.rows)
    found = np.empty((len(counts), BANDS), np.uint64)
    most = np.iinfo(np.int64).max
    for least, n in SHINGLES:
        chosen = (counts >= least) & (counts < most)
        if chosen.any():
            grams = ngrams(words.kept(pa.array(chosen)), n)
            # Another seed for each n: a text of 25 words can't be held against one of 24.
            found[chosen] = signatures(grams, _SEED + n, BANDS, ROWS).bands
        most = least
    if not counts.all():
        none = np.flatnonzero(counts == 0)
        texts = folded(docs.text.take(pa.array(none)))
        for band, seed in enumerate(splitmix(_SEED, BANDS).tolist()):
            found[none, band] = xxh64_rows(texts, seed)
    return found
