"""What a stage is: a frozen, validated value with pure methods, in six kinds that the engine knows how to run.

Source is in ``source.py``, Generator in ``generator.py``, Writer in ``writer.py``.

========== =========================== ===================================================================
kind       works on                    the engine
========== =========================== ===================================================================
Source     inputs                      asks for splits, streams each split's batches
Filter     one batch                   fuses neighbours into one task per split: measure, decide, cut once
Global     all rows, by exchange       map -> sort by key -> reduce, phase after phase; joins verdicts back
Trainer    a stream of all rows        runs once, commits a folder (a model, a tokenizer)
Generator  answers of an LLM           asks in rounds through the journal, turns answers into documents
Writer     all rows, globally sorted   exchange by key range, prefix sums, one task per output shard
========== =========================== ===================================================================

The engine never names a concrete stage; a stage never names a path of the store, a worker, or Dask.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curate import assets
from curate.fingerprint import fingerprint
from curate.schema import DOCUMENT
from curate.stages.bounds import Bound, Threshold, first_reason, rules_of, thresholds_of
from curate.store.index import Earlier, Index
from curate.store.kept import Kept
from curate.store.object_file import ObjectFile
from curate.text.batch import Batch

PART: Final = "_part"
"""uint32: which input part of a Global stage a row came from."""
ROW: Final = "_row"
"""uint32: which row of that part's base file."""
KEY: Final = "key"
"""uint64: exchange rows are sorted by it; partitions are ranges of it."""
WEIGHT: Final = "weight"
"""int64, optional: summed per partition before the reduce, see Span."""
DOCUMENTS: Final = "documents"
"""What a phase calls the documents that the step reads."""
OUTSIDE: Final = 1 << 31
"""PART of rows of tables from outside begins here; parts of documents are fewer."""
AT: Final = "_at"
"""int64, beside a row that names another: which row of the batch that is."""
AGAIN: Final = "_again"
"""bool, of a phase with rounds: the row is to be gone through once more."""
MOST_REPORTED: Final = 10_000
"""Rows of a phase that the driver reads for a report."""
MOST_GROUPS: Final = 10_000
"""Values that a phase's group may have: their sums are held for all partitions at once."""

Signals = Mapping[str, pa.Array]
"""Row-aligned measurements by name; what ``decide`` reads and ``explain`` shows."""


@dataclass(frozen=True)
class Context:
    """What a stage may know beside its settings and its rows.

    Attributes:
        step: the step's id in the recipe.
        seed: the recipe's seed; None for a stage that is not ``seeded``.
        assets: for each setting named in ``Stage.asset_settings`` the file or folder it resolved to.
        kept: where results are kept that are dear to make, and found again by whoever needs the same; None: nowhere.
        earlier: the indexes of earlier data that a setting of the kind ``earlier`` lists.
    """

    step: str
    seed: int | None
    assets: Mapping[str, Path] = field(default_factory=dict)
    kept: Kept | None = None
    earlier: tuple[Earlier, ...] = ()

    def key(self, *salt: str | int) -> int:
        """A 64-bit key for keyed hashes, a pure function of (seed, salt): equal on every machine."""
        if self.seed is None:
            raise TypeError(f"step {self.step} asks for a key, but its stage does not say that it is seeded")
        digest = hashlib.blake2b("\x1f".join(map(str, (self.seed, *salt))).encode(), digest_size=8)
        return int.from_bytes(digest.digest(), "little")


class Stage(BaseModel):
    """A step's settings, frozen and validated, with pure methods.

    Class attributes a concrete stage sets:
        revision: bumped by hand when the same settings begin to give other results (golden tests ask for it).
        reasons: every reason it can give, with a sentence that explains it to a user.
        seeded: whether its results depend on the recipe's seed; sources and filters do not unless they say so.
        needs_python: whether its results depend on the running Python's grammar: its minor version is recorded with
            the step, and going on under another one is refused.
        plugin: the distribution it comes from, set when it is loaded; empty for curate's own.
        asset_settings: settings that name a file, folder or trained step; their content is in the fingerprint.
        lends: the asset setting whose asset a later step gets that names this one's id where it takes an asset of that kind
            (a writer names the step that encoded and gets its tokenizer); empty: none.
        place_settings: settings that bear on nothing but where assets are found.
        runs_on: the kind of worker that it is for, on clusters whose workers say what they offer (``resources``); elsewhere, and
            where none offers it, it runs on any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str] = ""
    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {}
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {}
    lends: ClassVar[str] = ""
    place_settings: ClassVar[frozenset[str]] = frozenset()
    seeded: ClassVar[bool] = True
    needs_python: ClassVar[bool] = False
    plugin: ClassVar[str] = ""
    runs_on: ClassVar[str] = ""

    def needs_packages(self) -> frozenset[str]:
        """Distributions beyond curate's own that it uses with these settings: a worker must have the driver's versions."""
        return frozenset()

    def reads(self) -> frozenset[str]:
        """Columns it needs beyond those of schema.DOCUMENT; checked before anything runs."""
        return frozenset()

    def adds(self) -> Mapping[str, pa.DataType]:
        """Columns it adds, by short name; in the rows they are called ``<step id>.<short name>``."""
        return {}

    def column_settings(self) -> Mapping[str, Any]:
        """The settings on which the values of its columns depend: columns of two steps can be compared where they are equal."""
        return self.model_dump(mode="json")

    def concrete(self) -> Stage:
        """The stage that runs: itself, unless its settings ask for another kind (``select.where`` with ``top``)."""
        return self

    def counted_by(self) -> str | None:
        """The column (or ``meta.FIELD``) by whose values a run counts what the stage keeps, so that no topic goes
        unseen; None for a stage whose reasons say enough."""
        return None

    def folders(self, base: Path | None = None) -> list[Path]:
        """The folders that its setting of the kind ``indexes`` lists, checked; ``base``: where the recipe is.

        What a name points to may change while a run goes on: the plan asks once, and ``Context.assets`` has the answer.
        """
        raise NotImplementedError

    def earlier_indexes(self, base: Path | None = None) -> list[Index]:
        """The same of its setting of the kind ``earlier``, which may lie on object stores."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Identity of the stage by meaning: name, revision, settings; assets and upstream are added by the plan."""
        return fingerprint(self.name, self.revision, self.model_dump(mode="python"), *self._whose())

    def _whose(self) -> tuple[str, ...]:
        """Two plugins may each have a stage of one name, and one revision: what one measured is not the other's."""
        return (self.plugin,) if self.plugin else ()


# -- row-local ----------------------------------------------------------------------------------------------


class Filter(Stage):
    """Measures each row, then decides from the measurements alone whether it stays.

    A stage that only adds columns (a scorer) is a Filter without rules.
    """

    seeded: ClassVar[bool] = False
    bounds: ClassVar[Sequence[Bound]] = ()
    """Its rules as a table, one line each; reports read from it which threshold belongs to which signal."""
    decide_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings that only ``rules`` reads: a change of them re-uses what was measured. Those of ``bounds`` are added."""
    measure_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings of ``bounds`` that ``measure`` reads too."""
    signals: ClassVar[Mapping[str, pa.DataType]] = {}
    """Everything that ``measure`` gives, by name; checked by the contract tests."""
    hides: ClassVar[bool] = False
    """Whether nobody is to see what its edits take: texts from before it are shown to no one, what it took is told by signals."""
    nothing_left: ClassVar[tuple[str, str] | None] = None
    """Cause and cure that a user reads where not one row stays; None: that may well be."""

    @classmethod
    def __pydantic_init_subclass__(cls, **how: Any) -> None:
        super().__pydantic_init_subclass__(**how)
        cls.decide_settings |= {bound.setting for bound in cls.bounds} - cls.measure_settings

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Row-aligned signals of a batch, a pure function of the rows. Those named in ``adds`` become columns."""
        raise NotImplementedError

    def warm(self, ctx: Context) -> None:
        """Load what ``measure`` needs (kernels, a model, an index), by measuring two rows; once a process, before the first."""
        columns = {name: pa.nulls(2, kind) for name, kind in zip(DOCUMENT.names, DOCUMENT.types, strict=True)}
        columns |= {name: pa.nulls(2, pa.float64()) for name in self.reads() if name not in columns}
        columns["text"] = pa.array(["", "def caf\u00e9(x):\n    return x\n"], pa.large_string())
        self.measure(Batch(pa.RecordBatch.from_pydict(columns)), ctx)

    def rules(self, signals: Signals) -> Sequence[tuple[str, pa.Array]]:
        """Each rule's reason and a boolean array of the rows that break it, in the order in which rules are tried.

        A null condition counts as false. A stage without rules (a scorer) keeps every row. From ``bounds``, unless a
        filter has rules that no table can say.
        """
        return rules_of(self.bounds, self, signals)

    def thresholds(self) -> Sequence[Threshold]:
        """The thresholds in force, by signal, for those who look at distributions."""
        return thresholds_of(self.bounds, self)

    def decide(self, signals: Signals) -> pa.Array:
        """A string array: the first rule that a row breaks, or null to keep it."""
        return first_reason(len(next(iter(signals.values()))), self.rules(signals))

    def edits(self) -> bool:
        """Whether ``edit`` gives rows that stay another text (removed lines); later steps see that one."""
        return False

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The new text of every row, large_string; called for rows that stay, where ``edits``.

        A pure function of each row. ``measure`` reports what it removes: the characters, and why.
        """
        raise NotImplementedError

    def edits_meta(self) -> bool:
        """Whether ``edit_meta`` gives rows that stay another ``meta``, too; a filter that does says ``edits``."""
        return False

    def edit_meta(self, docs: Batch, ctx: Context) -> pa.Array:
        """The new ``meta`` of every row, strings with a JSON object each; called with what ``edit`` is called with, where
        ``edits_meta``.

        A pure function of each row.
        """
        raise NotImplementedError

    def fields_found(self, docs: Batch) -> Mapping[str, int]:
        """For each field of ``meta`` that the settings name for edits, how many rows have it; called with what ``edit`` is called
        with. A run says which of them no row had: a name that was mistyped changes nothing, and nobody else would say so.
        """
        return {}

    def measure_fingerprint(self) -> str:
        """Identity of what ``measure`` computes: the settings without those that only ``rules`` reads.

        Where the running Python bears on it, what another minor version measured is not used again.
        """
        settings = self.model_dump(mode="python", exclude=set(self.decide_settings))
        python = (f"{sys.version_info.major}.{sys.version_info.minor}",) if self.needs_python else ()
        return fingerprint(self.name, self.revision, settings, *python, *self._whose())


# -- global -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """Where a partition lies in the global order: sums over all partitions before it, and over all.

    Keys are partitioned by range, so ``start_rows`` is the global rank of the partition's first row.

    Attributes:
        groups: the same of the rows of one group alone, for each group that has rows in the partition; see Phase.
        everything: rows and weight of every group, wherever its rows are, where the phase asks for them.
    """

    start_rows: int
    total_rows: int
    start_weight: int = 0
    total_weight: int = 0
    groups: Mapping[str, Span] = field(default_factory=dict)
    everything: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """A range of a global order, in weight: one output shard, or a window of an ordered phase."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Read:
    """One of the inputs of a phase, and how its rows are mapped.

    Attributes:
        map: ``(batch, ctx)`` to rows with KEY (and WEIGHT if wanted): a table, or several one after the other. With ``at`` it is
            given ``(batch, named, ctx)``: ``named`` has the rows that name the batch's, sorted by ROW, with AT beside them.
        of: DOCUMENTS, with PART and ROW beside their columns; or the reduced rows of an earlier phase, by its name; or the
            rows of one of the stage's tables (see Global.tables), with PART and ROW, too.
        at: an earlier phase whose reduced rows name others by PART and ROW: just the rows with these addresses are mapped.
            An address may be named several times.
        columns: of documents just these are read; None: all.
        windows: of an ordered phase: from the weight of all its rows to ranges of it. The map is given each Cut and the rows
            that lie in it or across its ends, in order: ``(cut, (weight before the batch, batch) pairs, ctx)``.
        row_bytes: about how many bytes of rows the map gives for a row, where that may be more than it is given; with ``at``
            for a row that names another, where that is not its text: what partitions and packs of inputs are measured by.
    """

    map: Callable[..., pa.Table | Iterable[pa.Table]]
    of: str = DOCUMENTS
    at: str | None = None
    row_bytes: int = 0
    columns: tuple[str, ...] | None = None
    windows: Callable[[int], Sequence[Cut]] | None = None


@dataclass(frozen=True)
class Rounds:
    """How a phase goes on with what it could not finish.

    The phase reads one earlier phase. Those of its reduced rows that AGAIN marks are mapped and reduced once more, with what
    other marked rows have become, round after round until none is marked. AGAIN is no column of what later phases read.

    Attributes:
        rest: all rows that are left, in any order, to rows that are done: what further rounds would give.
        few: when as many are left, ``rest`` gets them, in one task.
    """

    rest: Callable[[pa.Table, Context], pa.Table]
    few: int = 1_000_000


@dataclass(frozen=True)
class Phase:
    """Some maps, and the reduce of what they give.

    Attributes:
        name: for progress, and for later phases that read it.
        reads: what is mapped; all maps give rows with the same columns.
        reduce: the rows of one partition, sorted by KEY, then ``sort_by``, to rows: a table, or several one after the other.
            Must not depend on which other keys share the partition.
        sort_by: columns that make the order total.
        group: a string column of the mapped rows: rows and weights are summed for each of its values too, which ranks
            rows within groups; null rows are in none. At most MOST_GROUPS values.
        group_label: what a user calls that column.
        all_groups: whether Span.everything is wanted; it travels with every task.
        ordered: its rows are not reduced in tasks of their own: who reads the phase goes through them in their order, by
            ``windows``; ``reduce`` is given them there, some at a time, with an empty Span, and keeps their number.
        dense: whether its rows are written as they are: they hardly compress, as tokens, or are read once, as what a writer sorts.
        even: whether KEYs are spread over all of uint64, as hashes are: partitions are then equal ranges of it. Those of
            a phase whose keys are not (scores) are cut where its rows are.
        rounds: how it goes on until its rows are what they will be; None: they are that at once.
        streamed: ``reduce`` is given an iterator of tables, none of them empty, instead of one table, rows in their order, and a KEY's rows may lie
            in several: its memory then does not grow with the rows that share a KEY. Span is that of the partition.
    """

    name: str
    reads: tuple[Read, ...]
    reduce: Callable[[Any, Span, Context], pa.Table | Iterable[pa.Table]]
    sort_by: tuple[str, ...]
    group: str | None = None
    group_label: str = ""
    all_groups: bool = False
    ordered: bool = False
    dense: bool = False
    even: bool = True
    rounds: Rounds | None = None
    streamed: bool = False


VERDICTS: Final = pa.schema(
    [
        pa.field(PART, pa.uint32()),
        pa.field(ROW, pa.uint32()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
"""What the phase that decides gives: the rows that go, why, and (JSON) what they were compared with."""


class Global(Stage):
    """Decides about rows by comparing them with others. Rows it gives no verdict on stay.

    A Global that ``adds`` columns gives their values in the rows of the phase that decides, under their short names; a row
    whose reason is null stays.
    """

    def phases(self) -> tuple[Phase, ...]:
        """Phases in an order in which each reads earlier ones; a pure function of the settings."""
        raise NotImplementedError

    def decides(self) -> str:
        """The phase whose rows are ``verdicts``, by name; it is no phase with rounds."""
        return self.phases()[-1].name

    def verdicts(self) -> pa.Schema:
        """Columns of the phase that decides: VERDICTS, then those that it adds. It may give more, for later phases."""
        return pa.schema([*VERDICTS, *(pa.field(name, kind) for name, kind in self.adds().items())])

    def tables(self, ctx: Context) -> Mapping[str, Sequence[Path | ObjectFile]]:
        """Tables from outside by name, each as files (store/tables.py) in an order that depends on their content alone.

        Their rows get PART, which is OUTSIDE and the file's number in its table, and ROW, their number in the file, unless
        they have columns of these names. What lies in them is in the fingerprint, by settings that are assets.
        """
        return {}

    def reported(self) -> tuple[str, ...]:
        """Names of phases that give few rows (MOST_REPORTED), which ``report`` reads."""
        return ()

    def report(self, rows: Mapping[str, pa.Table], ctx: Context) -> Mapping[str, Any]:
        """Plain values for the manifest from the rows of the phases that are ``reported``, in the order of their keys."""
        return {}


# -- models -------------------------------------------------------------------------------------------------


class Trainer(Stage):
    """Makes a folder (a classifier, a tokenizer) from rows; its output is known by the digest of its content."""

    def train(self, docs: Iterable[Batch], out: Path, ctx: Context) -> Mapping[str, Any]:
        """Write the asset's files to ``out``; return a report of plain values for the manifest.

        Sees all rows in a stated order, and can go through them more than once. Must be deterministic: one thread where
        the library needs it.
        """
        raise NotImplementedError
