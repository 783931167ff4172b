"""What a removal list means for a run: which documents it names, their copies, and what was made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.report.explain import EARLIER, json_object
from curate.report.run_folder import RunFolder
from curate.report.step import Step
from curate.stages.base import Trainer
from curate.stages.generator import Generator
from curate.stages.kinship import made_from
from curate.stages.removals import REASON, Entry, Removals
from curate.stages.writer import Writer
from curate.text.hashing import hex_ids

_KEPT: Final = r'"kept": ?"(?P<kept>[0-9a-f]{32})"'
"""In a row's ``detail``: whom it was a duplicate of."""
_COLUMNS: Final = ("id", "source", "origin", "meta", "content_hash")


@dataclass
class Hit:
    """A document that must go.

    Attributes:
        why: the entry that names it, or which document it is a copy of, or was made of.
        step: that read or made it; empty where only its end is known.
        fate: where it is now: ``in <writers>``, or by which step it was dropped and why.
    """

    id: str
    source: str
    origin: str
    why: str
    step: str
    fate: str = ""


@dataclass
class Takedown:
    """What would go.

    Attributes:
        named: documents that entries name.
        copies: documents with the same text, and those that the run found to be duplicates of one that goes: in its favour
            or it in theirs. The former would come back without it, the latter have nearly its text.
        derived: documents that a model was shown one of them for.
        trained: trained steps that learnt from any of them, or from what was made of them.
        writers: by step, how many of all of them are in that dataset.
        removed: how many documents earlier entries took down already, by entry.
        unmatched: entries that name nothing the run knows.
    """

    named: list[Hit] = field(default_factory=list)
    copies: list[Hit] = field(default_factory=list)
    derived: list[Hit] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    writers: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    unmatched: list[Entry] = field(default_factory=list)

    @property
    def hits(self) -> list[Hit]:
        """All documents that must go."""
        return [*self.named, *self.copies, *self.derived]


def take_down(run: RunFolder, removals: Removals) -> Takedown:
    """Look a list's entries up in a run.

    A document that went while its source was read (by a rule, say) has left no text and no ``meta`` in the run: entries find
    it by id, source and origin alone, and it comes back by no removal.
    """
    found = _Search(run, removals)
    found.name()
    found.copy()
    found.derive()
    found.reach()
    return found.result


class _Search:
    def __init__(self, run: RunFolder, removals: Removals) -> None:
        self.run, self.removals, self.result = run, removals, Takedown()
        self.makers = run.makers()
        self.known: dict[bytes, Hit] = {}
        self.texts: dict[bytes, str] = {}

    # -- who ---------------------------------------------------------------------------------------------------

    def name(self) -> None:
        """Documents that entries name."""
        matched: set[str] = set()
        for key, maker in self.makers.items():
            for rows in self.run.batches(key, _COLUMNS):
                for row, entry in _named(rows, self.removals.named(rows)):
                    matched.add(entry)
                    self._add(self.result.named, row, entry, maker or "")
        for key in self.run.dropped_tables():
            for rows in self.run.batches(key):
                self._dropped_rows(rows, matched)
        self.result.unmatched = [e for e in self.removals.entries() if str(e) not in matched]

    def _dropped_rows(self, rows: pa.RecordBatch, matched: set[str]) -> None:
        """Those that earlier lists took down, and those that went before they left a text."""
        taken = rows.filter(pc.equal(rows.column("reason"), REASON))
        for entry in taken.column("detail").to_pylist():
            self.result.removed[entry] = self.result.removed.get(entry, 0) + 1
            matched.add(entry)
        rows = rows.filter(pc.not_equal(rows.column("reason"), REASON))
        n = rows.num_rows
        bare = pa.RecordBatch.from_pydict(
            {
                **{name: rows.column(name) for name in ("id", "source", "origin")},
                "meta": pa.repeat(pa.scalar("{}"), n),
                "content_hash": pa.nulls(n, schema.ID_TYPE),
            }
        )
        for row, entry in _named(bare, self.removals.named(bare)):
            matched.add(entry)
            if row["id"] not in self.known:
                self._add(self.result.named, row, entry, "")

    def copy(self) -> None:
        """The same text elsewhere, and duplicates."""
        same = pa.array(sorted(self.texts), schema.ID_TYPE)
        for key, maker in self.makers.items():
            if maker is not None and self.run.steps[maker].is_a(Generator):
                continue  # a judge's row has the text of the document that it is about: see derive
            for rows in self.run.batches(key, _COLUMNS) if len(same) else ():
                for row in rows.filter(pc.is_in(rows.column("content_hash"), value_set=same)).to_pylist():
                    if row["id"] not in self.known:
                        self._add(
                            self.result.copies, row, f"the text of {self.texts[row['content_hash']]}", maker or ""
                        )
        pairs = self._duplicates()
        while True:
            known = pa.array(sorted(hit.id for hit in self.known.values()), pa.string())
            one_of_both = pc.xor(*(pc.is_in(pairs.column(name), value_set=known) for name in ("id", "kept")))
            more = pairs.filter(one_of_both).to_pylist()
            if not more:
                return
            for row in more:
                shown, kept = row["id"], row["kept"]
                if bytes.fromhex(kept) in self.known:
                    self._add(self.result.copies, {**row, "id": bytes.fromhex(shown)}, f"{row['reason']} of {kept}", "")
                else:
                    other = {"id": bytes.fromhex(kept), "source": "", "origin": ""}
                    self._add(self.result.copies, other, f"kept in place of {shown}", "")

    def _duplicates(self) -> pa.Table:
        """Rows that went as duplicates of others of this run, and in whose favour, by columns: there may be as many as documents."""
        names = ["id", "source", "origin", "reason", "kept"]
        tables = [pa.table([pa.array([], pa.string())] * len(names), names=names)]
        for key in self.run.dropped_tables():
            for rows in self.run.batches(key):
                rows = rows.filter(pc.invert(pc.match_substring(rows.column("detail"), EARLIER)))
                kept = pc.struct_field(pc.extract_regex(rows.column("detail"), _KEPT), "kept")
                columns = [hex_ids(rows.column("id")), *(rows.column(name) for name in names[1:4]), kept]
                tables.append(pa.table(columns, names=names).filter(pc.is_valid(kept)))
        return pa.concat_tables(tables)

    def derive(self) -> None:
        """What models wrote of what goes; and of that."""
        for step in (s for s in self.run.steps.values() if s.is_a(Generator)):
            for key in dict.fromkeys(p.data for p in step.record.parts):
                for rows in self.run.batches(key, _COLUMNS):
                    for row in rows.to_pylist():
                        shown = [i for i in made_from(row["meta"]) if i in self.known]
                        if shown and row["id"] not in self.known:
                            self._add(self.result.derived, row, f"made of {shown[0].hex()}", step.id)

    # -- where -------------------------------------------------------------------------------------------------

    def reach(self) -> None:
        """Which results hold any of them, and what became of each."""
        for one, row in self.run.rows((i for i, hit in self.known.items() if not hit.origin), text=False).items():
            self.known[one].source, self.known[one].origin = row.source, row.origin
        ids = pa.array(sorted(self.known), schema.ID_TYPE)
        where: dict[bytes, list[str]] = {}
        fates = self._fates(ids)
        # A rejected answer lies in the row of the one that was chosen over it.
        chosen = {one: bytes.fromhex(said["chosen"]) for one, (*_, said) in fates.items() if "chosen" in said}
        rows = pa.array(sorted({*self.known, *chosen.values()}), schema.ID_TYPE)
        for step in self.run.steps.values() if len(ids) else ():
            if not step.is_a(Writer, Trainer):
                continue
            found = set(self._inside(step, rows))
            beside = {one for one, other in chosen.items() if other in found} if _writes_columns(step) else set()
            inside = {one for one in self.known if one in found} | beside
            if inside and step.is_a(Trainer):
                self.result.trained.append(step.id)
            elif inside:
                self.result.writers[step.id] = len(inside)
            for one in inside if step.is_a(Writer) else ():
                where.setdefault(one, []).append(step.id)
        for one, (step_id, reason, said) in fates.items():
            earlier = f" of a document in index {said['index']}" if {"index", "kept"} <= said.keys() else ""
            self.known[one].fate = f"dropped by {step_id}: {reason}{earlier}"
        for one, writers in where.items():
            self.known[one].fate = f"in {', '.join(writers)}"

    def _inside(self, step: Step, ids: pa.Array) -> Iterator[bytes]:
        for part in (p for name in step.inputs for p in self.run.steps[name].record.parts):
            for rows in self.run.visible(part, ["id"]):
                yield from rows.filter(pc.is_in(rows.column("id"), value_set=ids)).column("id").to_pylist()

    def _fates(self, ids: pa.Array) -> dict[bytes, tuple[str, str, dict[str, Any]]]:
        """By which step each of them was dropped, why, and what that says."""
        found: dict[bytes, tuple[str, str, dict[str, Any]]] = {}
        for key in self.run.dropped_tables() if len(ids) else ():
            for rows in self.run.batches(key):
                for row in rows.filter(pc.is_in(rows.column("id"), value_set=ids)).to_pylist():
                    found.setdefault(row["id"], (row["step"], row["reason"], json_object(row["detail"])))
        return found

    # -- both --------------------------------------------------------------------------------------------------

    def _add(self, to: list[Hit], row: dict[str, Any], why: str, step: str) -> None:
        if row["id"] in self.known:
            return
        self.known[row["id"]] = Hit(row["id"].hex(), row["source"], row["origin"], why, step)
        to.append(self.known[row["id"]])
        if (text := row.get("content_hash")) is not None:
            self.texts.setdefault(text, row["id"].hex())


def _writes_columns(step: Step) -> bool:
    return step.stage is not None and issubclass(step.stage, Writer) and step.stage.writes_columns


def _named(rows: pa.RecordBatch, entries: pa.Array) -> Iterator[tuple[dict[str, Any], str]]:
    at = pc.is_valid(entries)
    yield from zip(rows.filter(at).to_pylist(), entries.filter(at).to_pylist(), strict=True)


def resolved(found: Takedown, removals: Removals) -> str:
    """A list that removes all of it: the entries, and the copies by their ids. What was made of them needs no entry."""
    lines = ["# Removal list, made by 'curate takedown': name it in a recipe as 'takedown:'."]
    lines += [str(entry) for entry in removals.entries()]
    if found.copies:
        lines.append(
            "# Copies of what these name, as the run found them: a line that is removed brings its document back."
        )
        lines += [line for hit in found.copies for line in (f"# {hit.why}", f"id:{hit.id}")]
    return "\n".join(lines) + "\n"
