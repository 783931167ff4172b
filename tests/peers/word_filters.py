"""Our side of the comparison: by name, the words a filter reads and its verdicts on many texts.

To add a filter: put an Ours of the same name as in ``word_peer.FILTERS`` into FILTERS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from curate.stages.base import Context, Filter
from curate.stages.filter_massivetext import MassiveText
from curate.text.batch import Batch

Verdicts = dict[str, list[object]]
"""By rule: one value a text, true for dropped, or what was measured."""


@dataclass(frozen=True)
class Ours:
    """A filter of ours beside a peer's.

    Attributes:
        engine: the peer; a key of ``REQUIREMENTS``.
        words: the policy of the words that the peer is fed.
        verdicts: from texts to verdicts, with the peer's names of rules.
    """

    engine: str
    words: str
    verdicts: Callable[[list[str]], Verdicts]


def batch(texts: list[str]) -> Batch:
    return Batch(pa.RecordBatch.from_arrays([pa.array(texts, pa.large_string())], ["text"]))


def words(texts: list[str], policy: str) -> list[list[str]]:
    """The words of each text as strings."""
    docs = batch(texts)
    found = docs.words(policy)
    raw = [text.encode() for text in texts]
    return [
        [raw[i][found.starts[j] : found.stops[j]].decode() for j in range(found.rows[i], found.rows[i + 1])]
        for i in range(len(texts))
    ]


def decisions(stage: Filter) -> Callable[[list[str]], Verdicts]:
    """Whether each rule of a filter drops each text."""

    def verdicts(texts: list[str]) -> Verdicts:
        signals = stage.measure(batch(texts), Context("peers", None))
        return {reason: broken.fill_null(False).to_pylist() for reason, broken in stage.rules(signals)}

    return verdicts


def signals(stage: Filter) -> Callable[[list[str]], Verdicts]:
    """What a filter measures of each text."""

    def verdicts(texts: list[str]) -> Verdicts:
        return {k: v.to_pylist() for k, v in stage.measure(batch(texts), Context("peers", None)).items()}

    return verdicts


FILTERS = {
    "massivetext-datatrove": Ours("datatrove", "tokens", decisions(MassiveText(counting="datatrove"))),
    "massivetext-dolma": Ours("dolma", "gopher", signals(MassiveText(counting="dolma"))),
}
