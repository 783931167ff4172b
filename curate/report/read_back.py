"""The text of rows that a run dropped while reading: it is not kept, so it is read again from the input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import CurateError
from curate.report.edits import editing, texts_of
from curate.report.run_folder import Row, RunFolder, recipe_path
from curate.stages.catalog import Catalog, Files, InputFile, Range
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.source import SPLIT_BYTES, SetAside, Source, Split
from curate.store.known_files import KnownFiles
from curate.store.known_ranges import KnownRanges
from curate.text.hashing import content_hash

MOST_BYTES: Final = 1 << 30
"""Input that is read again at most; more is left to the user, who knows from the origin where to look."""


class _Known(Catalog):
    """Digests of inputs as the run knew them: nothing is hashed again."""

    def __init__(self, run: RunFolder) -> None:
        self._files, self._ranges = KnownFiles(run.store), KnownRanges(run.store)
        self.changed: set[str] = set()

    def digests(
        self, files: Files, checks: str = "", check: Callable[[InputFile], object] = lambda _: None
    ) -> Sequence[str]:
        del check
        if files.given is not None and all(files.given):
            return files.given
        found = self._files.find(files.root, files.names, files.stamps, checks).digests
        self.changed.update(name for name, digest in zip(files.names, found, strict=True) if not digest)
        return [digest or "changed" for digest in found]

    def ranges(self, key: str, find: Callable[[], Iterable[Range]]) -> list[Range]:
        known = self._ranges.find(key)
        return list(find()) if known is None else [Range(*part) for part in known]


def read_back(
    run: RunFolder, rows: Iterable[Row], most_bytes: int = MOST_BYTES, *, originals: bool = False
) -> dict[bytes, str]:
    """Fill in ``text`` and ``meta`` of rows from the input or from a model's answers, as far as that is possible.

    The text of a row that went after a step had edited it is what it was then: the edits are made again. With
    ``originals`` also what was read of a row that is in the store as it was edited; see ``Row.texts``.

    Returns, by id, why a row's text (or the original of one that is there) could not be had.
    """
    rows = list(rows)
    edits = editing(run)
    by_step: dict[str, list[Row]] = {}
    why: dict[bytes, str] = {}
    for row in rows:
        if row.text is not None and not (originals and edits and _lacks_original(run, row)):
            continue
        if any(reason == TAKEDOWN for reason, _ in row.dropped.values()):
            why[row.id] = "a removal list names it"
        elif row.maker is None:
            why[row.id] = "which step read it is not known"
        else:
            by_step.setdefault(row.maker, []).append(row)
    for name, lost in by_step.items():
        step = run.steps[name]
        found = _from_input(run, name, lost, most_bytes) if step.is_a(Source) else _from_answers(run, name, lost)
        why.update({row.id: found for row in lost if row.maker not in row.texts})
    for row in rows:
        if row.text is None and row.maker is not None:
            row.text = row.texts.get(row.maker)
        if edits and row.text is not None:
            why.update(_edit_again(run, row))
    return why


def _lacks_original(run: RunFolder, row: Row) -> bool:
    texts = texts_of(run, row)
    return texts.original is None and not texts.hidden


def _edit_again(run: RunFolder, row: Row) -> dict[bytes, str]:
    """Make ``text`` and ``meta`` what they were when the row went, or are now; why there is none, by id."""
    texts = texts_of(run, row)
    row.meta = texts.meta if texts.meta is not None else row.meta
    if texts.now is None and texts.hidden:
        # Nothing of a text from before it is shown, nor of a meta.
        row.text = row.content_hash = row.meta = None
        why = texts.why or "which steps it passed is not known"
        return {row.id: f"what step {texts.hidden} takes of it can't be taken again: {why}"}
    if texts.now is None:
        row.note = f"before its edits: {texts.why or 'which steps it passed is not known'}"
    elif texts.now != row.text:
        row.text = texts.now
        row.content_hash = content_hash(pa.array([row.text], pa.large_string()))[0].as_py()
    return {}


def _from_input(run: RunFolder, name: str, rows: list[Row], most_bytes: int) -> str:
    """Read rows of one source step again; what to say about those that stay without a text."""
    path = recipe_path(run.store)
    if path is None:
        return "the recipe is no longer where it was, so its inputs can't be found"
    from curate.recipe.recipe import load_recipe

    try:
        stage = next((s.stage for s in load_recipe(path, plugins=False).steps if s.id == name), None)
        if not isinstance(stage, Source) or stage.name != run.steps[name].use:
            return f"the recipe has no step '{name}' any more that reads as this run did"
        known = _Known(run)
        splits = _chosen(stage.splits(path.parent, known, SPLIT_BYTES), [row.origin for row in rows])
        if sum(s.bytes for s in splits) > most_bytes:
            return f"finding it would read more than {most_bytes >> 20} MB of input again"
        for split in splits:
            _read(stage, split, name, {row.id: row for row in rows if name not in row.texts})
            if all(name in row.texts for row in rows):
                break
    except (CurateError, OSError) as error:
        return f"the input can't be read again: {error}"
    if known.changed:
        return "the input has changed since the run"
    return "the record never became a document; its origin says where it stands"


def _chosen(splits: list[Split], origins: list[str]) -> list[Split]:
    """Splits that may hold rows with these origins; of packs of small files only the files in question."""
    # An origin is NAME#KEY, or .#NAME of a source file; a name may hold a #, too.
    names = {o[:at] for o in origins for at, char in enumerate(o) if char == "#"}
    names |= {o[2:] for o in origins if o.startswith(".#")}
    chosen = []
    for split in splits:
        if split.members:
            stamps = zip(split.members, split.files(), strict=False)
            kept = [(member, stamp) for member, (_, stamp) in stamps if member in names]
            if kept:
                members = tuple(member for member, _ in kept)
                packed = b"".join(stamp for _, stamp in kept)
                chosen.append(dataclasses.replace(split, members=members, stop=len(members), bytes=0, stamps=packed))
        elif split.name in names:
            chosen.append(split)
    return chosen


def _read(stage: Source, split: Split, step: str, missing: dict[bytes, Row]) -> None:
    wanted = pa.array(list(missing), schema.ID_TYPE)
    for item in stage.read(split, step):
        if isinstance(item, SetAside):
            continue
        found = item.filter(pc.is_in(item.column("id"), value_set=wanted))
        for values in found.to_pylist():
            row = missing.pop(values["id"], None)
            if row is not None:
                row.texts[step], row.metas[step] = values["text"], values["meta"]
                if row.text is None:
                    row.meta, row.content_hash = values["meta"], values["content_hash"]
        if not missing:
            return


def answer_of(run: RunFolder, row: Row) -> dict[str, Any] | None:
    """The model's answer that a generated row came from, as it was published; None when that can't be told."""
    if row.maker is None or "#" not in row.origin:
        return None
    place = row.origin.rpartition("#")[2].split(".")
    if len(place) != 2 or not all(p.isdigit() for p in place):
        return None
    round_, number = int(place[0]), int(place[1])
    record = run.steps[row.maker].record
    folder = f"steps/{record.step}/{record.fingerprint[:16]}/rounds"
    files = [entry for entry in run.store.list(folder) if entry.key.endswith(f"-{round_:06d}.json")]
    if not files:
        return None
    answers = run.store.read_json(max(files, key=lambda entry: (entry.modified, entry.key)).key) or []
    found = answers[number] if number < len(answers) else None
    return dict(found) if found else None


def _from_answers(run: RunFolder, name: str, rows: list[Row]) -> str:
    for row in rows:
        answer = answer_of(run, row)
        if answer is not None:
            row.texts[name] = str(answer["text"])
    return f"no answer of '{name}' is on record for it"
