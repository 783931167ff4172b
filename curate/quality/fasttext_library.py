"""fastText models that are not folded, through the library: those of hierarchical softmax.

Only ``predict`` with a list is called: with a string, stock fasttext 0.9.3 raises ValueError under NumPy 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError

_ROWS_AT_ONCE: Final = 1024
_OFFSET: Final = 1e-5
"""What ``predict`` adds to each probability (``std_log`` in loss.cc)."""


class LibraryModel:
    """A model that the library has loaded; its labels are in the order of its output matrix."""

    def __init__(self, model: Any, labels: tuple[str, ...], tokens: tuple[bytes, ...], place: str) -> None:
        self._model = model
        self._place = place
        self.labels = labels
        self._columns = {token.decode("utf-8", "replace"): i for i, token in enumerate(tokens)}

    @classmethod
    def load(cls, path: Path, labels: tuple[str, ...], tokens: tuple[bytes, ...]) -> LibraryModel:
        """Load a file whose labels (and as they stand in its dictionary) are known; raises InputError with what the library says."""
        import fasttext

        try:
            return cls(fasttext.load_model(str(path)), labels, tokens, str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise InputError(
                f"fastText can't read the model: {error}", place=str(path), cure="fetch it again"
            ) from None

    def probabilities(self, text: pa.LargeStringArray) -> npt.NDArray[np.float64]:
        """P of each label, float64[n, labels]; NaN where the library gives none. Line ends are spaces."""
        lines = pc.replace_substring(text.cast(pa.large_binary()), b"\n", b" ")
        out = np.full((len(lines), len(self.labels)), np.nan)
        for start in range(0, len(lines), _ROWS_AT_ONCE):
            part = [(raw or b"").decode("utf-8", "replace") for raw in lines.slice(start, _ROWS_AT_ONCE).to_pylist()]
            names, values = self._model.predict(part, k=-1)
            for row, (found, given) in enumerate(zip(names, values, strict=True)):
                if len(found):
                    out[start + row] = 0.0
                    out[start + row, [self._columns[name] for name in found]] = np.asarray(given, np.float64) - _OFFSET
                    if np.isnan(out[start + row]).any():
                        raise InputError("the model's scores are NaN", place=self._place, cure="train it again")
        return out.clip(0.0, 1.0)
