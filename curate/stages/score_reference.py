"""score.reference: whether an answer says what is known to be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Context as Arithmetic
from decimal import Decimal
from functools import cache
from typing import ClassVar, Final, Literal
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.chat import last_answers
from curate.stages.registry import register
from curate.stages.strata import fields_of
from curate.text import unicode
from curate.text.batch import Batch

_SUPERSCRIPTS: Final = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
_NUMBER: Final = re.compile(
    r"(?P<sign>(?<![\w)\]%])[-\u2212])?[$€£¥]?(?P<value>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|(?<!\w)\.\d+)"
    r"(?:[eE](?P<e>[-+\u2212]?\d{1,3})(?!\w)"
    r"|[ ]?(?:[x*\u00d7\u00b7]|\\times|\\cdot)[ ]?10(?:(?:\^|\*\*)\{?(?P<power>[-+\u2212]?\d{1,3})\}?"
    rf"|(?P<raised>[\u207b\u207a]?[{_SUPERSCRIPTS}]{{1,3}})))?"
)
"""A minus stands before what it makes negative, and behind nothing that it could be taken from: 5-10 is two numbers. Powers of
ten: 1.5e3, 1.5 * 10^3, 1.5 \\times 10^{3}, and with a raised 3."""
_WIDE: Final = {0xFEE0 + point: point for point in range(0x21, 0x7F)}
"""Signs as wide as a Chinese character, and what they are; NFKC would also take a raised 2 for a 2."""
_MARK: Final = "####"
"""What stands before the result in GSM8K's solutions."""
_MOST_DIGITS: Final = 400
_EXACT: Final = Arithmetic(prec=_MOST_DIGITS)
_HANGUL: Final = (0xAC00, 0xD7A3)
"""First and last of Korean's composed syllables."""


@register("score.reference")
class ScoreReference(Filter):
    """Add a score to answers whose right answer is known: 1 where they say it, 0 where not; every row stays.

    The right answer is a field of ``meta`` (of what follows ``####`` in it, where it has that). By ``how``

    - ``number``: the last number of the answer is the last of the reference; 1,000, $1000, 1000.0, 1e3 and 1 * 10^3 are one
      number, a range as 5-10 is two.
    - ``words``: the reference's words stand in the answer side by side, whatever their case and form (NFKC). Of scripts
      without spaces (Chinese, Japanese, Thai, ...), and of Korean, whose particles hang on words, each character is one.
    - ``exact``: both have the same words, and no others.
    - ``auto``: ``number`` where the reference is a number, else ``words``.

    The score is null where ``meta`` has no reference, or the row is no answer. An answer that names several candidates may
    have the right one last, or among them: a short form asked for in the query makes this a better judge.
    """

    revision: ClassVar[int] = 3
    signals: ClassVar[Mapping[str, pa.DataType]] = {"score": pa.float64()}

    reference: str = Field("reference", min_length=1, description="field of `meta` with the right answer")
    how: Literal["auto", "number", "words", "exact"] = Field("auto", description="how the two are compared, see above")

    def adds(self) -> Mapping[str, pa.DataType]:
        """The score."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``score``: 1, 0 or null."""
        references = fields_of(docs.column("meta"), (self.reference,))[0].to_pylist()
        answers = last_answers(docs.column("meta")).to_pylist()
        return {"score": pa.array([self._score(*pair) for pair in zip(references, answers, strict=True)], pa.float64())}

    def _score(self, reference: str | None, answer: str | None) -> float | None:
        if reference is None or answer is None:
            return None
        right = reference.rpartition(_MARK)[2].strip()
        how = self.how
        if how == "auto":
            how = "number" if _NUMBER.fullmatch(right.translate(_WIDE).rstrip(".")) else "words"
        if how == "number":
            wanted = _last_number(right)
            return None if wanted is None else float(_last_number(answer) == wanted)
        wanted_words, said = (_words(text) for text in (right, answer))
        if not wanted_words:
            return None
        if how == "exact":
            return float(said == wanted_words)
        return float(f" {' '.join(wanted_words)} " in f" {' '.join(said)} ")


@cache
def _word() -> re.Pattern[str]:
    """A word: letters, marks and numbers, or one of a script without spaces with its marks. By the committed tables."""
    kinds = unicode.kinds()
    points = np.arange(len(kinds))
    alone = (kinds & unicode.ALONE != 0) | ((points >= _HANGUL[0]) & (points <= _HANGUL[1]))
    mark, word = kinds & unicode.MARK != 0, kinds & unicode.WORD != 0
    return re.compile(f"[{_ranges(alone & ~mark)}][{_ranges(mark)}]*|[{_ranges(word & (~alone | mark))}]+")


def _ranges(wanted: npt.NDArray[np.bool_]) -> str:
    """Some code points, as the inside of a pattern's brackets."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8))).reshape(-1, 2)
    return "".join(f"\\U{first:08x}-\\U{stop - 1:08x}" for first, stop in edges.tolist())


def _words(text: str) -> list[str]:
    return _word().findall(normalize("NFKC", normalize("NFKC", text).casefold()))


def _last_number(text: str) -> Decimal | None:
    found = None
    for found in _NUMBER.finditer(text.translate(_WIDE)):  # noqa: B007 - the last one counts
        pass
    said = found["value"].replace(",", "") if found else ""
    if found is None or len(said) > _MOST_DIGITS:
        return None
    power = normalize("NFKC", found["e"] or found["power"] or found["raised"] or "0").replace("\u2212", "-")
    value = Decimal(said).scaleb(int(power), _EXACT)
    return -value if found["sign"] else value
