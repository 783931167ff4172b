"""score.reference: whether an answer says what is known to be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Final, Literal

import pyarrow as pa
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.chat import last_answers
from curate.stages.registry import register
from curate.stages.strata import fields_of
from curate.text.batch import Batch

_NUMBER: Final = re.compile(
    r"(?P<sign>(?<![\w)\]%])[-\u2212])?[$€£¥]?(?P<value>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|(?<!\w)\.\d+)"
)
"""A minus stands before what it makes negative, and behind nothing that it could be taken from: 5-10 is two numbers."""
_WORDS: Final = re.compile(r"\w+")
_MARK: Final = "####"
"""What stands before the result in GSM8K's solutions."""
_MOST_DIGITS: Final = 400


@register("score.reference")
class ScoreReference(Filter):
    """Add a score to answers whose right answer is known: 1 where they say it, 0 where not; every row stays.

    The right answer is a field of ``meta`` (of what follows ``####`` in it, where it has that). By ``how``

    - ``number``: the last number of the answer is the last of the reference; 1,000, $1000 and 1000.0 are one number, a range
      as 5-10 is two.
    - ``words``: the reference's words stand in the answer side by side, whatever their case.
    - ``exact``: both have the same words, and no others.
    - ``auto``: ``number`` where the reference is a number, else ``words``.

    The score is null where ``meta`` has no reference, or the row is no answer. An answer that names several candidates may
    have the right one last, or among them: a short form asked for in the query makes this a better judge.
    """

    revision: ClassVar[int] = 2
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
            how = "number" if _NUMBER.fullmatch(right.rstrip(".")) else "words"
        if how == "number":
            wanted = _last_number(right)
            return None if wanted is None else float(_last_number(answer) == wanted)
        wanted_words, said = ([word.casefold() for word in _WORDS.findall(text)] for text in (right, answer))
        if not wanted_words:
            return None
        if how == "exact":
            return float(said == wanted_words)
        return float(f" {' '.join(wanted_words)} " in f" {' '.join(said)} ")


def _last_number(text: str) -> Decimal | None:
    found = None
    for found in _NUMBER.finditer(text):  # noqa: B007 - the last one counts
        pass
    said = found["value"].replace(",", "") if found else ""
    if found is None or len(said) > _MOST_DIGITS:
        return None
    return -Decimal(said) if found["sign"] else Decimal(said)
