"""What a run remembers: parts, counts and step records, as plain JSON in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from curate.fingerprint import fingerprint

KeptBy = dict[str, dict[str, list[int]] | None]
"""By column and value: rows before and after a step, bytes of text before and after. None: more than MOST_VALUES."""
SIDE: Final = ".sequences"
"""What the name of a dataset's folder is followed by in that of the folder with the tables beside it."""
MOST_VALUES: Final = 1_000
"""Values of a column that are counted; of a column with more none are, however the rows are split."""


@dataclass(frozen=True)
class Part:
    """Documents of one split: a base file that holds the text, and overlays beside it.

    Attributes:
        key: lineage of what is visible: a pure function of recipe, inputs and step; equal keys, equal rows.
        root: which split of which source the rows come from: what measurements are filed under, by id and content,
            so that a text that was edited is told from what it was.
        data: key of the base file.
        overlays: keys of files aligned with the base file batch by batch: ``_hidden`` hides rows, other columns are added.
        rows, bytes: visible rows, and bytes of their text.
        columns: stands for the names and types of what is visible: equal for parts that have the same; empty where an
            earlier version did not say.
    """

    key: str
    root: str
    data: str
    overlays: tuple[str, ...]
    rows: int
    bytes: int
    columns: str = ""

    @staticmethod
    def load(value: Mapping[str, Any]) -> Part:
        """From JSON."""
        return Part(**{**value, "overlays": tuple(value["overlays"])})


def rounds_of(step: str, identity: str, parts: Iterable[Part]) -> str:
    """What the keys of a step's closed rounds begin with: their number in six digits and ``.json`` come after it."""
    read = fingerprint(identity, [part.key for part in parts])
    return f"steps/{step}/{identity[:16]}/rounds/{read[:16]}-"


@dataclass
class Counts:
    """What a step kept, dropped and edited.

    Attributes:
        bytes_out: of the text as the step left it.
        measured: rows whose signals were computed anew.
        reasons: rows by the reason for which they went.
        edited: rows that stayed with another text.
        removed: bytes of text that edits took from them.
        kept_by: what became of each source (or other stratum) and class of length, where the stage asks for it.
        fields: of the fields of ``meta`` that an edit's settings name each, and the rows that have it.
    """

    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    measured: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    edited: int = 0
    removed: int = 0
    kept_by: KeptBy = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        """Sum, in place."""
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.measured += other.measured
        self.edited += other.edited
        self.removed += other.removed
        self.add_reasons(other.reasons)
        add_kept(self.kept_by, other.kept_by)
        self.add_fields(other.fields)

    def add_reasons(self, rows: Mapping[str, int]) -> None:
        """Add rows by reason, in place."""
        for reason, count in rows.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def add_fields(self, rows: Mapping[str, int]) -> None:
        """Add rows by field, in place."""
        for name, count in rows.items():
            self.fields[name] = self.fields.get(name, 0) + count

    @staticmethod
    def load(value: Mapping[str, Any]) -> Counts:
        """From JSON."""
        return Counts(**value)


def add_kept(counts: KeptBy, more: KeptBy) -> None:
    """Add counts by value to others, in place."""
    for column, values in more.items():
        here = counts.setdefault(column, {})
        if here is None or values is None:
            counts[column] = None
            continue
        for value, added in values.items():
            before = here.get(value, [0] * len(added))
            here[value] = [a + b for a, b in zip(before, added, strict=True)]
        if len(here) > MOST_VALUES:
            counts[column] = None


def counts_of(receipt: Any) -> dict[str, Counts]:
    """Counts by step in a receipt, if it has any."""
    if isinstance(receipt, dict) and isinstance(receipt.get("counts"), dict):
        counts = receipt["counts"]
        if counts and all(isinstance(v, dict) and "rows_in" in v for v in counts.values()):
            return {name: Counts.load(value) for name, value in counts.items()}
    return {}


@dataclass
class StepRecord:
    """A finished step.

    Attributes:
        step, use, fingerprint: which step, which stage, under which identity.
        identity: what later steps build on: the fingerprint, or the digest of the output where the step is no
            pure function of its inputs (training, LLM).
        parts: what it gives to later steps; for a step inside a segment the segment's last step has them.
        dropped, signals: keys of side tables.
        folder: key of the folder it made (a model, a dataset), if it makes one.
        indexed: key of the folder with the index of what it kept, if it leaves one.
        beside: key of the folder with the tables beside its dataset, if it makes any.
        report: plain values for the manifest.
        shards: final files with rows, size and sha256.
        files: name and size of the other files in its folder, or in its index; of small ones the sha256, too.
    """

    step: str
    use: str
    fingerprint: str
    identity: str
    counts: Counts
    parts: list[Part] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    folder: str | None = None
    report: dict[str, Any] = field(default_factory=dict)
    shards: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    indexed: str | None = None
    beside: str | None = None

    @property
    def published(self) -> str | None:
        """Key of the folder that is found under the step's name."""
        return self.folder or self.indexed

    def dump(self) -> dict[str, Any]:
        """To JSON."""
        # Not by asdict, which copies all that is in it: there may be a million parts.
        return {**vars(self), "counts": vars(self.counts), "parts": [vars(part) for part in self.parts]}

    @staticmethod
    def load(value: Mapping[str, Any]) -> StepRecord:
        """From JSON."""
        return StepRecord(
            **{**value, "counts": Counts.load(value["counts"]), "parts": [Part.load(p) for p in value["parts"]]}
        )


def total(counts: Iterable[Counts]) -> Counts:
    """Sum of counts."""
    result = Counts()
    for each in counts:
        result.add(each)
    return result


def named_files(value: Any) -> Iterator[str]:
    """Keys of all files and folders that a receipt or a record names: what it says is true only while they are there."""
    if isinstance(value, list):
        for item in value:
            yield from named_files(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("file", "folder", "data", "indexed", "beside") and isinstance(item, str):
                yield item
            elif name in ("overlays", "dropped", "signals"):
                yield from [item] if isinstance(item, str) else item.values() if isinstance(item, dict) else item or ()
            elif name in ("part", "parts", "again", "side"):
                yield from named_files(item)
