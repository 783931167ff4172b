"""How many tokens a tokenizer makes of texts: bytes per token, and tokens per word, in all and by source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from curate.stages.tokenizer import Tokenizer
from curate.text.batch import Batch


def fertility(tokenizer: Tokenizer, batches: Iterable[Batch]) -> dict[str, Any]:
    """Of rows with ``text`` and ``source``: ``{"all": {...}, "by_source": {name: {...}}}``; empty without rows.

    Each has ``documents``, ``bytes`` (of UTF-8), ``tokens`` (without end-of-text), ``words`` (what stands between white
    space), ``bytes_per_token`` and ``tokens_per_word``; null where there is nothing to divide by.
    """
    sums: dict[str, Any] = {}
    for docs in batches:
        if not len(docs):
            continue
        columns = [
            np.ones(len(docs), np.int64),
            pc.binary_length(docs.text).to_numpy(zero_copy_only=False).astype(np.int64),
            np.diff(tokenizer.encode(docs.text).offsets.to_numpy()),
            np.diff(docs.words("gopher").rows),
        ]
        coded = docs.column("source").dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        for code, name in enumerate(coded.dictionary.to_pylist()):
            here = codes == code
            sums[name] = sums.get(name, 0) + np.array([int(column[here].sum()) for column in columns], np.int64)
    if not sums:
        return {}
    total = sum(sums.values())
    return {"all": _facts(total), "by_source": {name: _facts(sums[name]) for name in sorted(sums)}}


def _facts(sums: npt.NDArray[np.int64]) -> dict[str, Any]:
    documents, size, tokens, words = sums.tolist()
    return {
        "documents": documents,
        "bytes": size,
        "tokens": tokens,
        "words": words,
        "bytes_per_token": size / tokens if tokens else None,
        "tokens_per_word": tokens / words if words else None,
    }
