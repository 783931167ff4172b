"""A run's folder, read only: its steps in order, their side tables, and single documents wherever they ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import DamagedError, RecipeError
from curate.report.step import Step
from curate.stages.base import Filter, Global
from curate.stages.generator import Generator
from curate.stages.source import Source
from curate.stages.writer import Writer
from curate.store import known_files, known_ranges
from curate.store.files import Store, store_at
from curate.store.parts import HIDDEN, read_part
from curate.store.records import Counts, Part, StepRecord
from curate.store.tables import open_table

REASON: Final = "reason"
"""Column of a signals table: why the row went."""
MIN_DIGITS: Final = 4
"""Fewest hex digits that stand for a document."""


@dataclass
class Row:
    """All that a run knows about one document.

    Attributes:
        id, source, origin: as in schema.DOCUMENT.
        maker: the step that read or generated it.
        meta, content_hash, text, columns: where its text is in the store; else None and empty.
        texts: its text as some steps left it, by step: where it is in the store, and what was read back.
        metas: its meta likewise.
        note: what must be said about ``text``; empty when there is nothing.
        dropped: by step, the reason and the detail for which it went there.
        signals: by step, what was measured on it.
    """

    id: bytes
    source: str = ""
    origin: str = ""
    maker: str | None = None
    meta: str | None = None
    content_hash: bytes | None = None
    text: str | None = None
    dropped: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    signals: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    metas: dict[str, str] = field(default_factory=dict)
    note: str = ""


class RunFolder:
    """A run's folder and its steps, in the recipe's order.

    Attributes:
        store: the folder.
        manifest: manifest.json; empty when the run has not come to its end.
        steps: by id.
        note: what a reader must know before the rest, empty when there is nothing: the newest run failed, for example.
    """

    def __init__(self, store: Store, manifest: dict[str, Any], steps: list[Step], note: str = "") -> None:
        self.store, self.manifest, self.note = store, manifest, note
        self.steps = {step.id: step for step in steps}

    # -- tables ----------------------------------------------------------------------------------------------

    def batches(self, key: str, columns: Iterable[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The batches of a table; only ``columns`` are read from the disk, those it lacks are left out."""
        with open_table(self.store.data(key), columns) as reader:
            for i in range(reader.num_record_batches):
                yield reader.get_batch(i)

    def bases(self) -> dict[str, str]:
        """Files that hold documents' text, each with the id of the step that has it among its parts first."""
        found: dict[str, str] = {}
        for step in self.steps.values():
            for part in step.record.parts:
                found.setdefault(part.data, step.id)
        return found

    def makers(self) -> dict[str, str | None]:
        """Files that hold documents' text, each with the step that read or generated its rows."""
        by_root: dict[str, str | None] = {}
        found: dict[str, str | None] = {}
        for step in self.steps.values():
            for part in step.record.parts:
                # What was edited after branches met has another file, but still its root.
                if part.root not in by_root:
                    by_root[part.root] = self.maker(step.id)
                found[part.data] = by_root[part.root]
        return found

    def visible(self, part: Part, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """The visible rows of a part, only ``columns`` of the base and of overlays (see read_part)."""
        wanted = set(columns)
        for visible in read_part(self.store, part, wanted):
            yield visible.rows.select([name for name in visible.rows.schema.names if name in wanted])

    def ends(self) -> list[Step]:
        """The steps whose rows are the result: what writers read, or without a writer what nobody read further."""
        writers = [s for s in self.steps.values() if s.is_a(Writer)]
        names = [name for w in writers for name in w.inputs]
        if not writers:
            read = {name for s in self.steps.values() for name in s.inputs if s.record.parts}
            names = [s.id for s in self.steps.values() if s.record.parts and s.id not in read]
        found = [self.steps[name] for name in dict.fromkeys(names) if name in self.steps]
        return [step for step in found if not self._same_rows(step, found)]

    def _same_rows(self, step: Step, others: list[Step]) -> bool:
        """Whether a step only adds columns to the rows of another of these, as an encoder does to those that are written as
        texts, too."""
        above = step
        while len(above.inputs) == 1 and above.is_a(Filter) and not above.record.counts.reasons:
            above = self.steps[above.inputs[0]]
            if above in others:
                return True
        return False

    def way(self) -> list[str]:
        """The steps that rows pass on their way into the result, in order; branches that only train are not among them."""
        found: set[str] = set()
        above = [s.id for s in self.ends()]
        while above:
            name = above.pop()
            if name not in found and name in self.steps:
                found.add(name)
                above += self.steps[name].inputs
        return [name for name in self.steps if name in found]

    # -- documents -------------------------------------------------------------------------------------------

    def maker(self, step: str) -> str | None:
        """The step that made the rows which ``step`` dropped, or whose text lies with it."""
        now = self.steps.get(step)
        while now is not None and not now.is_a(Source, Generator):
            now = self.steps.get(now.inputs[0]) if len(now.inputs) == 1 else None
        return now.id if now is not None else None

    def find(self, prefix: str) -> bytes:
        """The one document whose id begins with these hex digits, kept or dropped.

        Raises RecipeError when there is none, or several: the message lists them.
        """
        wanted = prefix.lower().removeprefix("0x")
        if not wanted or any(c not in "0123456789abcdef" for c in wanted):
            raise RecipeError("an id is written in hex digits", place=repr(prefix)[:80], cure="see 'curate inspect'")
        if not MIN_DIGITS <= len(wanted) <= 2 * schema.ID_BYTES:
            raise RecipeError(
                f"give {MIN_DIGITS} to {2 * schema.ID_BYTES} digits of the id",
                place=wanted[:80],
                cure="see 'curate inspect'",
            )
        found: set[bytes] = set()
        for key in [*self.dropped_tables(), *self.bases()]:
            for batch in self.batches(key, ["id"]):
                found.update(_begin_with(batch.column("id"), wanted))
        if len(found) == 1:
            return found.pop()
        if not found:
            raise RecipeError(
                f"no document's id begins with {wanted}",
                place=str(self.store),
                cure="see 'curate inspect --plain' for ids; rows that --sample or --limit left out are not in a run",
            )
        shown = ", ".join(i.hex()[: max(len(wanted) + 4, 8)] for i in sorted(found)[:8])
        more = ", ..." if len(found) > 8 else ""
        raise RecipeError(
            f"{len(found)} documents' ids begin with {wanted}: {shown}{more}",
            place=str(self.store),
            cure="give more digits",
        )

    def dropped_tables(self) -> list[str]:
        """Files with the rows that steps dropped, in the steps' order."""
        return [key for step in self.steps.values() for key in step.record.dropped]

    def rows(self, ids: Iterable[bytes], text: bool = True) -> dict[bytes, Row]:
        """What is known about documents, by id; their text only if it is in the store."""
        rows = {i: Row(i) for i in ids}
        wanted = pa.array(list(rows), schema.ID_TYPE)
        for key in self.dropped_tables():
            for batch in self.batches(key):
                for values in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist():
                    row = rows[values["id"]]
                    row.source, row.origin = values["source"], values["origin"]
                    row.dropped[values["step"]] = (values["reason"], values["detail"])
        makers = self.makers()
        beside = self._added()
        for key, owner in self.bases().items():
            self._base_rows(key, owner, makers[key], wanted, rows, text, beside.get(key, ()))
        for step in self.steps.values():
            for key in step.record.signals:
                for batch in self.batches(key):
                    for values in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist():
                        row = rows[values.pop("id")]
                        values.pop(REASON, None)
                        values.pop("content_hash", None)
                        row.signals[step.id] = values
        for row in rows.values():
            if row.maker is None and row.dropped:
                row.maker = next((m for step in row.dropped if (m := self.maker(step))), None)
        return rows

    def _added(self) -> dict[str, list[str]]:
        """Files with columns that global steps add, beside each file that holds documents' text."""
        found: dict[str, list[str]] = {}
        for step in self.steps.values():
            if step.is_a(Global) and step.added():
                for part in step.record.parts:
                    found.setdefault(part.data, []).append(part.overlays[-1])
        return found

    def _base_rows(
        self,
        key: str,
        owner: str,
        maker: str | None,
        wanted: pa.Array,
        rows: dict[bytes, Row],
        text: bool,
        beside: Sequence[str],
    ) -> None:
        where = [pc.indices_nonzero(pc.is_in(b.column("id"), value_set=wanted)) for b in self.batches(key, ["id"])]
        if not any(len(w) for w in where):
            return
        with ExitStack() as stack:
            reader = stack.enter_context(open_table(self.store.data(key)))
            more = [stack.enter_context(open_table(self.store.data(one))) for one in beside]
            for i, at in enumerate(where):
                if not len(at):
                    continue
                batch = reader.get_batch(i)
                if not text:
                    batch = batch.drop_columns(["text"])
                added = [one.get_batch(i).take(at).to_pylist() for one in more]
                for n, values in enumerate(batch.take(at).to_pylist()):
                    row = rows[values.pop("id")]
                    row.maker = maker
                    if text:
                        row.texts[owner], row.metas[owner] = values["text"], values["meta"]
                    for name in ("source", "origin", "meta", "content_hash", "text"):
                        if name in values:
                            setattr(row, name, values.pop(name))
                    row.columns.update(values)
                    for columns in added:
                        row.columns.update((name, v) for name, v in columns[n].items() if name != HIDDEN)


def _begin_with(ids: pa.Array, prefix: str) -> list[bytes]:
    from curate.text.arrow import fixed

    raw = fixed(ids)
    whole = np.frombuffer(bytes.fromhex(prefix[: len(prefix) // 2 * 2]), np.uint8)
    match = (raw[:, : len(whole)] == whole).all(axis=1)
    if len(prefix) % 2:
        match &= (raw[:, len(whole)] >> 4) == int(prefix[-1], 16)
    return [raw[i].tobytes() for i in np.flatnonzero(match)]


# -- opening -------------------------------------------------------------------------------------------------


_DONE: Final = ("steps.json", "manifest.json", "steps")
_BEGUN: Final = ("run.json", known_files.KEY, known_ranges.KEY)
"""What a run that failed before its first step, or a plan, leaves."""


def is_run(store: Store) -> bool:
    """Whether a folder, or what lies below an address, looks like a run's, be it one of which nothing is done."""
    return any(store.exists(key) for key in (*_DONE, *_BEGUN))


def check_begun(store: Store) -> None:
    """Raise RecipeError for a run of which nothing is done."""
    if is_run(store) and not any(store.exists(key) for key in _DONE):
        raise RecipeError("nothing of this run is done yet", place=str(store), cure="run its recipe first")


def locate_run(name: str) -> Store:
    """A run by its path, its address, or its name below ``runs/``; raises RecipeError when there is none."""
    for where in (name,) if "://" in name else (name, f"runs/{name}"):
        store = store_at(where)
        if is_run(store):
            return store
    if "://" in name:
        raise RecipeError("is no run: no steps.json below it", place=name, cure="give what 'curate run' had as --store")
    if Path(name).is_dir():
        raise RecipeError("is no run: no steps.json in it", place=name, cure="give a folder that 'curate run' made")
    near = sorted(p.name for p in Path("runs").glob("*") if is_run(Store(p))) if Path("runs").is_dir() else []
    cure = f"there are: {', '.join(near)}" if near else "give the folder that 'curate run' made, as in runs/phi-1-mini"
    raise RecipeError("there is no such run", place=name, cure=cure)


def open_run(name: str) -> RunFolder:
    """Open a run by path or name.

    A run that stopped early (a guard, a full disk) is opened as far as it came: its steps then come from the recipe
    that run.json names. Raises RecipeError when the folder is no run, or nothing in it is done.
    """
    store = locate_run(name)
    check_begun(store)
    manifest = store.read_view("manifest.json") or {}
    newest = _newest_session(store)
    failed = str(newest.get("outcome", "finished"))
    keys: dict[str, str] = store.read_json("steps.json") or {}
    if manifest and failed == "finished":
        return RunFolder(store, manifest, _from_manifest(store, manifest, keys))
    if newest.get("recipe") and Path(newest["recipe"]).is_file():
        try:
            steps = _from_recipe(store, Path(newest["recipe"]), keys)
        except RecipeError:
            # Edited since, and not right at the moment: the last finished run can still be looked at.
            steps = []
        if steps:
            note = f"the newest run did not come to its end ({failed}); this is what it did so far"
            return RunFolder(store, {}, steps, note)
    if manifest:
        note = f"the newest run did not come to its end ({failed}); this is the last one that did"
        return RunFolder(store, manifest, _from_manifest(store, manifest, keys), note)
    raise RecipeError(
        "this run has not come to its end, or to a stop that it could write down, so there is nothing to look at yet",
        place=str(store),
        cure="wait for it, or run its recipe again to go on",
    )


def finished_run(store: Store) -> RunFolder:
    """The run that manifest.json describes, whatever run.json says; raises RecipeError when there is none."""
    check_begun(store)
    manifest = store.read_view("manifest.json")
    if not manifest:
        raise RecipeError("the run has not come to its end", place=str(store), cure="run its recipe again to go on")
    return RunFolder(store, manifest, _from_manifest(store, manifest, store.read_json("steps.json") or {}))


def _newest_session(store: Store) -> dict[str, Any]:
    sessions = (store.read_view("run.json") or {}).get("sessions")
    return dict(sessions[-1]) if isinstance(sessions, list) and sessions and isinstance(sessions[-1], dict) else {}


def recipe_path(store: Store) -> Path | None:
    """The recipe's file, as the newest run recorded it, if it is still there."""
    recorded = _newest_session(store).get("recipe")
    return Path(recorded) if recorded and Path(recorded).is_file() else None


def _record(store: Store, key: str) -> StepRecord:
    value = store.read_json(key)
    if value is None:
        raise DamagedError(
            "a committed file is missing", place=store.name(key), cure="run the recipe again to make it anew"
        )
    return StepRecord.load(value)


def _from_manifest(store: Store, manifest: dict[str, Any], keys: dict[str, str]) -> list[Step]:
    steps = []
    for said in manifest["steps"]:
        record = _record(store, keys[said["id"]]) if said["id"] in keys else None
        if record is None or record.fingerprint != said["fingerprint"]:
            record = _newest_record(store, said["id"], said["fingerprint"])
        if record is None:
            record = StepRecord(said["id"], said["use"], said["fingerprint"], "", Counts())
        steps.append(Step(said["id"], said["use"], said["settings"], tuple(said["from"]), said["uses"], record))
    return steps


def _newest_record(store: Store, step: str, fingerprint: str = "") -> StepRecord | None:
    folder = f"steps/{step}" + (f"/{fingerprint[:16]}" if fingerprint else "")
    found = [e for e in store.list(folder) if e.key.rpartition("/")[2].startswith("done-") and e.key.endswith(".json")]
    if not found:
        return None
    return _record(store, max(found, key=lambda entry: (entry.modified, entry.key)).key)


def _from_recipe(store: Store, path: Path, keys: dict[str, str]) -> list[Step]:
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import load_recipe

    steps = []
    for planned in make_plan(load_recipe(path, plugins=False)).steps.values():
        # The step that failed is not in steps.json, and an older result of it may be: the newest one counts.
        record = _newest_record(store, planned.id)
        if record is None and planned.id in keys:
            record = _record(store, keys[planned.id])
        if record is not None and record.use == planned.stage.name:
            settings = planned.stage.model_dump(mode="json")
            steps.append(Step(planned.id, record.use, settings, planned.inputs, planned.uses, record))
    return steps
